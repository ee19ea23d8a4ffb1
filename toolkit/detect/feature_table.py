"""Tables of flow features, CSV, Parquet or Arrow, as feature matrices of a schema.

Columns are found by name, in any order, others are passed over; nothing is filled in. Rows are read
in batches, so a table of any length fits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idskit.alerts.alert import FLOW_NUMBERS, UNKNOWN_END
from idskit.errors import DataError, SchemaError, require
from idskit.flow import ENDS, FLOW
from idskit.schema import Feature, Schema
from idskit.tables.content import kind_of
from idskit.tables.lines import open_lines
from idskit.tables.numbers import number
from idskit.tables.pieces import is_parquet, open_parquet

BATCH = 1024
_NAMED = 5  # missing columns listed in a message
_ADDRESSES = ("src_ip", "dst_ip")
# Columns that say whose flow a row is, as `extract` writes them; the addresses may be missing.
IDENTITY = (*_ADDRESSES, *FLOW_NUMBERS)
_LAST = "end_us"  # alone, it still dates a row
_END = "end"  # why a flow was emitted, as `extract` writes it; a table may lack it
_MAPPED = 0xFFFF << 32  # ::ffff:0:0/96, RFC 4291, 2.5.5.2
_LAST_US = 253_402_300_800_000_000  # the year 10000: beyond what EVE can write

Columns = dict[str, Sequence[object]]


@dataclass(frozen=True, kw_only=True)
class TableRows:
    """Some rows of a table."""

    features: NDArray[np.float64]  # (n, features)
    flows: NDArray[np.void] | None  # (n,) FLOW where the table has all FLOW_NUMBERS
    ends_us: NDArray[np.int64] | None = None  # (n,) where it has only these: last packets


def read_flow_table(path: Path, schema: Schema) -> Iterator[TableRows]:
    """Yield the rows of a CSV (plain or packed), Parquet or Arrow table.

    A nominal column may hold the category's name or its code; a name the schema does not list
    becomes -1, as everywhere. ICMP types are not in a table, so its flows have none.

    Raises:
        SchemaError: the file cannot be read, lacks columns (they are named), or holds text, NaN
            or infinity (row, counted from 1, and column are named).
        MissingExtra: Parquet or Arrow was asked for and pyarrow is not installed.
    """
    first = 1
    try:
        for columns in _batches(path, schema):
            reader = _Reader(path, first, columns)
            features = np.column_stack([reader.numbers(feature) for feature in schema.features])
            flows = reader.flows()
            ends_us = reader.ends_us() if flows is None else None
            yield TableRows(features=features, flows=flows, ends_us=ends_us)
            first += len(features)
    except DataError as error:
        raise SchemaError(str(error)) from error


def _batches(path: Path, schema: Schema) -> Iterator[Columns]:
    if path.suffix == ".arrow" or kind_of(path) == "arrow":
        return _arrow(path, schema)
    return _parquet(path, schema) if is_parquet(path) else _csv(path, schema)


def _csv(path: Path, schema: Schema) -> Iterator[Columns]:
    with open_lines(path) as lines:
        width = len(lines.header.names)
        wanted = _positions(list(lines.header.names), schema, path)
        rows: list[list[str]] = []
        for count, fields in enumerate(lines.rows(), start=1):
            if len(fields) != width:
                raise SchemaError(
                    f"{path} has {width} columns, but row {count} has {len(fields)} "
                    "fields: repair or remove that row"
                )
            rows.append(fields)
            if len(rows) == BATCH:
                yield {name: [row[i] for row in rows] for name, i in wanted.items()}
                rows = []
        if rows:
            yield {name: [row[i] for row in rows] for name, i in wanted.items()}


def _parquet(path: Path, schema: Schema) -> Iterator[Columns]:
    with open_parquet(path) as file:
        stored = file.schema_arrow.names
        wanted = _positions([name.strip() for name in stored], schema, path)
        columns = {name: stored[i] for name, i in wanted.items()}
        for batch in file.iter_batches(BATCH, columns=sorted(set(columns.values()))):
            yield {name: _cells(batch.column(column)) for name, column in columns.items()}


def _cells(column: Any) -> list[object]:
    """The values of a column; a text that stands in many rows is one object."""
    from pyarrow import types

    if not types.is_dictionary(column.type):
        return list(column.to_pylist())
    texts = column.dictionary.to_pylist()
    return [None if code is None else texts[code] for code in column.indices.to_pylist()]


def _arrow(path: Path, schema: Schema) -> Iterator[Columns]:
    require("pyarrow", "train")
    import pyarrow
    from pyarrow import ipc

    try:
        with ipc.open_file(path) as file:
            wanted = _positions([name.strip() for name in file.schema.names], schema, path)
            for index in range(file.num_record_batches):
                batch = file.get_batch(index)
                yield {name: _cells(batch.column(i)) for name, i in wanted.items()}
    except (OSError, pyarrow.ArrowException) as error:
        raise SchemaError(f"table {path} cannot be read as Arrow: {error}") from error


def _positions(header: list[str], schema: Schema, path: Path) -> dict[str, int]:
    """Where the schema's columns stand in ``header``, and those that say whose flow a row is."""
    missing = [name for name in schema.names if name not in header]
    if missing:
        more = "" if len(missing) <= _NAMED else f" and {len(missing) - _NAMED} more"
        raise SchemaError(
            f"{path} lacks {len(missing)} of the {len(schema)} columns of schema {schema.name}: "
            f"{', '.join(missing[:_NAMED])}{more}; add them, or use a model of this table's schema"
        )
    wanted = [name for name in (*schema.names, *_identity(header)) if name in header]
    return {name: header.index(name) for name in wanted}


def _identity(header: Sequence[str]) -> tuple[str, ...]:
    """Columns to read in addition to the features: a flow as a whole, or when it ended."""
    if not set(FLOW_NUMBERS) <= set(header):
        return (_LAST,)
    return (*IDENTITY, _END) if set(_ADDRESSES) <= set(header) else (*FLOW_NUMBERS, _END)


@dataclass(frozen=True)
class _Reader:
    """Columns of some rows as numbers; what is none is named by row and column."""

    path: Path
    first: int  # number of the first row
    columns: Columns

    def numbers(self, feature: Feature) -> NDArray[np.float64]:
        """One column (n,)."""
        values = self.columns[feature.name]
        if feature.categories:
            values = _codes(values, feature.categories)
        try:
            column = np.array(values, np.float64)
        except (ValueError, TypeError):
            column = np.array([_number(value) for value in values])
        self._require(np.isfinite(column), feature.name, "a finite number")
        return column

    def flows(self) -> NDArray[np.void] | None:
        """FLOW records (n,), or None where the table has not all FLOW_NUMBERS."""
        if not set(FLOW_NUMBERS) <= set(self.columns):
            return None
        flows = np.zeros(len(self.columns[FLOW_NUMBERS[0]]), FLOW)
        flows["icmp_type"] = flows["icmp_code"] = -1
        for name in FLOW_NUMBERS:
            flows[name] = self._counts(name)
        flows["end"] = self._ends(len(flows))
        if set(_ADDRESSES) <= set(self.columns):
            self._put_addresses(flows)
        return flows

    def ends_us(self) -> NDArray[np.int64] | None:
        """Times of the last packets (n,), or None where the table has none."""
        return self._counts(_LAST) if _LAST in self.columns else None

    def _put_addresses(self, flows: NDArray[np.void]) -> None:
        for name in _ADDRESSES:
            end = name.removesuffix("_ip")
            words = [self._words(name, i) for i in range(len(flows))]
            flows[f"{end}_high"], flows[f"{end}_low"] = zip(*words, strict=True)
        flows["ip_version"] = [4 if _is_mapped(*words) else 6 for words in words]

    def _counts(self, name: str) -> NDArray[np.int64]:
        column = self.numbers(Feature(name=name, unit=""))
        largest = min(int(np.iinfo(FLOW[name]).max), _LAST_US)
        fits = (column == np.trunc(column)) & (column >= 0) & (column < largest + 1.0)
        self._require(fits, name, f"a whole number from 0 to {largest}")
        return column.astype(np.int64)

    def _ends(self, count: int) -> list[int]:
        codes = {name: code for code, name in enumerate(ENDS)}
        return [codes.get(str(end), UNKNOWN_END) for end in self.columns.get(_END, [""] * count)]

    def _words(self, name: str, row: int) -> tuple[int, int]:
        """High and low word of an address."""
        try:
            return _address_words(str(self.columns[name][row]).strip())
        except ValueError:
            good = np.arange(len(self.columns[name])) != row
            self._require(good, name, "an IP address")
            raise

    def _require(self, good: NDArray[np.bool_], name: str, due: str) -> None:
        bad = np.flatnonzero(~good)
        if len(bad):
            raise SchemaError(
                f"{self.path} holds {self.columns[name][bad[0]]!r} in row {self.first + bad[0]}, "
                f"column {name!r}, where {due} is due: repair or remove such rows"
            )


def _is_mapped(high: int, low: int) -> bool:
    """Whether these words are an IPv4 address."""
    return high == 0 and low >> 32 == _MAPPED >> 32


@lru_cache(maxsize=1 << 14)
def _address_words(text: str) -> tuple[int, int]:
    address = ip_address(text)
    number = int(address) | (_MAPPED if address.version == 4 else 0)
    return number >> 64, number & (1 << 64) - 1


def _codes(values: Sequence[object], categories: tuple[str, ...]) -> list[object]:
    codes = {name: code for code, name in enumerate(categories)}
    return [codes.get(str(value).strip(), _unlisted(value)) for value in values]


def _unlisted(value: object) -> object:
    """-1 for the name of another category; a number is a code already, and nothing is nothing."""
    is_name = isinstance(value, str) and value.strip() and np.isnan(_number(value))
    return -1 if is_name else value


def _number(value: object) -> float:
    if isinstance(value, str):
        found = number(value)
        return math.nan if found is None else found
    try:
        return float(value)  # type: ignore[arg-type]
    except (ValueError, TypeError):
        return math.nan
