"""Tables of flow features, CSV, Parquet or Arrow, as feature matrices of a schema.

Columns are found by name, in any order, others are passed over; nothing is filled in. Rows are read
in batches, so a table of any length fits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from idskit.alerts.alert import FLOW_NUMBERS, UNKNOWN_END
from idskit.errors import DataError, SchemaError
from idskit.flow import ENDS, FLOW, MAPPED, address_number
from idskit.schema import Feature, Schema
from idskit.tables.cell_columns import cell_columns
from idskit.tables.numbers import number

BATCH = 1024
_NAMED, _SHOWN = 5, 60  # missing columns listed in a message, and characters of a cell
_ADDRESSES = ("src_ip", "dst_ip")
# Columns that say whose flow a row is, as `extract` writes them; the addresses may be missing.
IDENTITY = (*_ADDRESSES, *FLOW_NUMBERS)
_LAST = "end_us"  # alone, it still dates a row
_END = "end"  # why a flow was emitted, as `extract` writes it; a table may lack it
_LAST_US = 253_402_300_800_000_000  # the year 10000: beyond what EVE can write


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
        for cells in cell_columns(path, partial(_positions, path, schema), BATCH):
            reader = _Reader(path, first, cells.columns, cells.grouped)
            features = np.column_stack([reader.numbers(feature) for feature in schema.features])
            flows = reader.flows()
            ends_us = reader.ends_us() if flows is None else None
            yield TableRows(features=features, flows=flows, ends_us=ends_us)
            first += len(features)
    except DataError as error:
        raise SchemaError(str(error)) from error


def _positions(path: Path, schema: Schema, header: Sequence[str]) -> dict[str, int]:
    """Find the schema's columns in ``header``, and those that say whose flow a row is."""
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
    """Return the columns to read besides the features: a whole flow, or when it ended."""
    if not set(FLOW_NUMBERS) <= set(header):
        return (_LAST,)
    return (*IDENTITY, _END) if set(_ADDRESSES) <= set(header) else (*FLOW_NUMBERS, _END)


@dataclass(frozen=True)
class _Reader:
    """Some rows of a table, whose cells are read as numbers and addresses."""

    path: Path
    first: int  # number of the first row
    columns: Mapping[str, Sequence[object]]
    grouped: bool  # whether commas in numbers can only separate thousands

    def numbers(self, feature: Feature) -> NDArray[np.float64]:
        """Return one column (n,)."""
        values = self.columns[feature.name]
        if feature.categories:
            values = _codes(values, feature.categories, self.grouped)
        try:
            column = _plain_numbers(values)
        except (ValueError, TypeError):
            column = np.array([_number(value, self.grouped) for value in values])
        self._require(np.isfinite(column), feature.name, "a finite number")
        return column

    def flows(self) -> NDArray[np.void] | None:
        """Return FLOW records (n,), or None where the table lacks some of FLOW_NUMBERS."""
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
        """Return the times of the last packets (n,), or None where the table has none."""
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
        """Return the high and low word of an address."""
        try:
            return _address_words(str(self.columns[name][row]).strip())
        except ValueError:
            good = np.arange(len(self.columns[name])) != row
            self._require(good, name, "an IP address")
            raise

    def _require(self, good: NDArray[np.bool_], name: str, due: str) -> None:
        bad = np.flatnonzero(~good)
        if len(bad):
            found = repr(self.columns[name][bad[0]])
            shown = found if len(found) <= _SHOWN else found[:_SHOWN] + "..."
            raise SchemaError(
                f"{self.path} holds {shown} in row {self.first + bad[0]}, "
                f"column {name!r}, where {due} is due: repair or remove such rows"
            )


def _is_mapped(high: int, low: int) -> bool:
    """Return whether these words are an IPv4 address."""
    return high == 0 and low >> 32 == MAPPED >> 32


@lru_cache(maxsize=1 << 14)
def _address_words(text: str) -> tuple[int, int]:
    number = address_number(text)
    return number >> 64, number & (1 << 64) - 1


def _codes(values: Sequence[object], categories: tuple[str, ...], grouped: bool) -> list[object]:
    codes = {name: code for code, name in enumerate(categories)}
    return [codes.get(str(value).strip(), _unlisted(value, grouped)) for value in values]


def _unlisted(value: object, grouped: bool) -> object:
    """Return -1 for a name that the schema does not list; codes and empty cells stay."""
    is_name = isinstance(value, str) and value.strip() and np.isnan(_number(value, grouped))
    return -1 if is_name else value


def _plain_numbers(values: Sequence[object]) -> NDArray[np.float64]:
    """Return numbers that are written as everywhere; Python's 1_000 and foreign digits are not."""
    written = "".join(value for value in values if isinstance(value, str))
    if "_" in written or not written.isascii():
        raise ValueError
    return np.array(values, np.float64)


def _number(value: object, grouped: bool) -> float:
    if isinstance(value, str):
        found = number(value, grouped)
        return math.nan if found is None else found
    try:
        return float(value)  # type: ignore[arg-type]
    except (ValueError, TypeError):
        return math.nan
