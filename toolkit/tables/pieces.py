"""Pieces of a CSV or Parquet table as arrow columns, numbered by their position in the file.

Cells of CSV are bytes until a column is known to hold numbers: what is empty is null.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idskit.errors import DataError, require
from idskit.tables.content import as_text, kind_of
from idskit.tables.lines import (
    MOST_COLUMNS,
    Header,
    Lines,
    fields_of,
    open_lines,
    too_many_columns,
)
from idskit.tables.numbers import number, remark

PARQUET_PIECE_ROWS = 1 << 16
# Of Parquet: cells that a byte of the file may stand for, beyond the first ones (constant columns
# take next to nothing), and bytes of a column in a row group (a million rows of 8 bytes: 8 MiB).
MOST_CELLS_PER_BYTE, FREE_CELLS = 100, 1 << 26
MOST_CHUNK_BYTES = 256 << 20

Columns = Mapping[int, Any]  # arrow arrays by their position in the file


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Some rows."""

    columns: Columns
    rows: int
    first: int  # number of its first row, from 1
    share: float  # of the file, that has been read with it
    grouped: bool  # whether commas in numbers can only separate thousands
    repeated: int = 0  # headers dropped so far


def header_of(path: Path) -> tuple[str, ...]:
    """Names of the columns.

    Raises:
        DataError: the file cannot be read, or has no header.
    """
    if is_parquet(path):
        with open_parquet(path) as file:
            return tuple(name.strip() for name in file.schema_arrow.names)
    with open_lines(path) as lines:
        return lines.header.names


def pandas_index_of(path: Path) -> frozenset[str]:
    """Columns that hold the index of a pandas frame, as Parquet files of pandas say."""
    if not is_parquet(path):
        return frozenset()
    with open_parquet(path) as file:
        stored = (file.schema_arrow.metadata or {}).get(b"pandas", b"{}")
        try:
            listed = json.loads(stored)["index_columns"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return frozenset()
    names = listed if isinstance(listed, list) else []
    return frozenset(name.strip() for name in names if isinstance(name, str))


def pieces(path: Path, wanted: Collection[int] | None = None) -> Iterator[Piece]:
    """Yield the rows of a table with the columns ``wanted``, all if None.

    Raises:
        DataError: the file cannot be read, or a row is of another width (it is named).
        MissingExtra: pyarrow is not installed.
    """
    require("pyarrow", "train")
    return _parquet_pieces(path, wanted) if is_parquet(path) else _csv_pieces(path, wanted)


def to_numbers(
    path: Path, name: str, values: Any, piece: Piece, remarks: Counter[str] | None = None
) -> NDArray[np.float64]:
    """Read a column as numbers, NaN where there is none.

    Raises:
        DataError: something else stands there; row, column and value are named.
    """
    import pyarrow

    if not pyarrow.types.is_dictionary(values.type):
        with suppress(pyarrow.ArrowInvalid):
            return _array(_as_strings(values).cast(pyarrow.float64()))
    coded = values.dictionary_encode()
    texts = [as_text(value) for value in coded.dictionary.to_pylist()]
    numbers = [number(text, piece.grouped) for text in texts]
    codes: NDArray[np.int64] = _array(coded.indices.fill_null(len(texts)))
    bad = np.array([found is None for found in numbers] + [False])[codes]
    if bad.any():
        row = int(bad.argmax())
        raise misplaced(path, piece.first + row, name, texts[codes[row]])
    if remarks is not None:
        for text, count in zip(texts, np.bincount(codes, minlength=len(texts)), strict=False):
            if said := remark(text):
                remarks[said] += int(count)
    return np.array([*numbers, np.nan], np.float64)[codes]


def misplaced(path: Path, row: int, name: str, value: str) -> DataError:
    """Make the error of text where a number is due."""
    shown = value if len(value) <= 60 else value[:60] + "..."
    return DataError(
        f"{path}, row {row}, column {name!r}: a number is due, but {shown!r} was found: repair or "
        "remove that row, or the column"
    )


def _array(column: Any) -> NDArray[Any]:
    found: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return found


def _as_strings(values: Any) -> Any:
    """The same cells as strings, which need not be UTF-8 to be compared and parsed as numbers."""
    import pyarrow

    views = {pyarrow.binary(): pyarrow.string(), pyarrow.large_binary(): pyarrow.large_string()}
    return values.view(views[values.type]) if values.type in views else values


# CSV.


def _csv_pieces(path: Path, wanted: Collection[int] | None) -> Iterator[Piece]:
    first = 1
    with open_lines(path) as lines:
        places = range(len(lines.header.names)) if wanted is None else sorted(wanted)
        for data in lines.pieces():
            rows, columns = _parsed(path, lines, data, places, first)
            yield Piece(
                columns=columns,
                rows=rows,
                first=first,
                share=lines.share,
                grouped=lines.header.delimiter == ",",
                repeated=lines.repeated,
            )
            first += rows


def _parsed(
    path: Path, lines: Lines, data: bytes, places: Collection[int], first: int
) -> tuple[int, Columns]:
    """Number of rows, and the columns at ``places``."""
    import pyarrow

    if not data.strip():
        return 0, {place: pyarrow.array([], pyarrow.binary()) for place in places}
    try:
        return _arrow(data, lines.header, places)
    except pyarrow.ArrowInvalid as error:
        kept = _without_comments(data, lines.header)
        try:
            return _arrow(kept, lines.header, places)
        except pyarrow.ArrowInvalid:
            raise _uneven(path, lines.header, kept, first, str(error)) from error


def _arrow(data: bytes, header: Header, places: Collection[int]) -> tuple[int, Columns]:
    import pyarrow
    from pyarrow import csv as arrow_csv

    names = [str(place) for place in range(len(header.names))]
    table = arrow_csv.read_csv(
        pyarrow.BufferReader(data),
        arrow_csv.ReadOptions(column_names=names, block_size=len(data) + 1),
        arrow_csv.ParseOptions(delimiter=header.delimiter, newlines_in_values=b'"' in data),
        arrow_csv.ConvertOptions(
            column_types={str(place): pyarrow.binary() for place in places},
            include_columns=[str(place) for place in places],
            null_values=[""],
            strings_can_be_null=True,
            check_utf8=False,
        ),
    ).combine_chunks()
    columns = {int(name): _one(table.column(name)) for name in table.column_names}
    return table.num_rows, columns


def _one(column: Any) -> Any:
    import pyarrow

    return column.chunk(0) if column.num_chunks else pyarrow.array([], column.type)


def _without_comments(data: bytes, header: Header) -> bytes:
    """The lines without blank ones, and without comments between them."""
    lines = data.splitlines(keepends=True)
    return b"".join(line for line in lines if line.strip() and not _is_comment(line, header))


def _is_comment(line: bytes, header: Header) -> bool:
    width = line.count(header.delimiter.encode()) + 1
    return line.lstrip().startswith(b"#") and width != len(header.names)


def _uneven(path: Path, header: Header, data: bytes, first: int, reason: str) -> DataError:
    """Name the row that has another width, by reading the slow way."""
    for row, fields in enumerate(fields_of(data, header.delimiter), start=first):
        if len(fields) != len(header.names):
            return DataError(
                f"{path} has {len(header.names)} columns, but row {row} has {len(fields)} fields: "
                "repair or remove that row"
            )
    return DataError(f"{path} cannot be read as CSV: {reason}")


# Parquet.


def is_parquet(path: Path) -> bool:
    """Whether a table is a Parquet file, by its content.

    Raises:
        DataError: it is neither that nor CSV.
    """
    kind = kind_of(path)
    if kind == "text" and path.suffix.lower() == ".parquet":
        raise DataError(f"table {path} cannot be read as Parquet: it does not begin as one")
    if kind == "arrow":
        raise DataError(f"{path} is an Arrow file: save it as CSV or Parquet (pandas, pyarrow)")
    return kind == "parquet"


@contextmanager
def open_parquet(path: Path) -> Iterator[Any]:
    """Open a Parquet file whose declared size is in bounds.

    Raises:
        DataError: it cannot be read, or declares what no table of flows has.
        MissingExtra: pyarrow is not installed.
    """
    require("pyarrow", "train")
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            _require_bounds(path, file)
            texts = [field.name for field in file.schema_arrow if _is_words(field.type)]
        with parquet.ParquetFile(path, read_dictionary=texts) as file:
            yield file
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise DataError(f"table {path} cannot be read as Parquet: {reason}") from error


def _require_bounds(path: Path, file: Any) -> None:
    found = file.metadata
    if found.num_columns > MOST_COLUMNS:
        raise too_many_columns(path, found.num_columns)
    most = max(FREE_CELLS, MOST_CELLS_PER_BYTE * path.stat().st_size)
    if found.num_rows * found.num_columns > most:
        raise DataError(
            f"{path} ({path.stat().st_size:,} bytes) declares {found.num_rows:,} rows, which no "
            "real table of that size has: if you trust it, save it as CSV and give that"
        )
    largest = _largest_chunk(found)
    if not 0 <= largest <= MOST_CHUNK_BYTES:
        raise DataError(
            f"{path} has {largest:,} bytes of a column in one row group, and {MOST_CHUNK_BYTES:,} "
            "is the most: write it with smaller row groups (row_group_size=100000)"
        )


def _largest_chunk(found: Any) -> int:
    """Bytes of the largest column of a row group, unpacked; a negative one counts first."""
    groups = (found.row_group(i) for i in range(found.num_row_groups))
    sizes = [
        group.column(i).total_uncompressed_size
        for group in groups
        for i in range(found.num_columns)
    ]
    return max(sizes, key=lambda size: size if size >= 0 else 1 << 63, default=0)


def _parquet_pieces(path: Path, wanted: Collection[int] | None) -> Iterator[Piece]:
    with open_parquet(path) as file:
        stored = file.schema_arrow
        places = range(len(stored.names)) if wanted is None else sorted(wanted)
        for place in places:
            _require_flat(path, stored.field(place))
        total, first = max(file.metadata.num_rows, 1), 1
        names = [stored.names[place] for place in places]
        for batch in file.iter_batches(PARQUET_PIECE_ROWS, columns=names):
            columns = {p: _plain(batch.column(n)) for p, n in zip(places, names, strict=True)}
            share = (first - 1 + len(batch)) / total
            yield Piece(columns=columns, rows=len(batch), first=first, share=share, grouped=True)
            first += len(batch)


def _require_flat(path: Path, column: Any) -> None:
    from pyarrow import types

    if types.is_nested(column.type):
        raise DataError(
            f"{path}, column {column.name!r} holds {str(column.type)[:60]}, neither numbers nor "
            "text: remove it, or give each of its values a column"
        )


def _is_words(kind: Any) -> bool:
    from pyarrow import types

    return bool(
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_binary(kind)
        or types.is_large_binary(kind)
    )


def _plain(column: Any) -> Any:
    """A column as numbers, or as the text that CSV would have."""
    import pyarrow
    from pyarrow import compute, types

    kind = column.type
    if types.is_dictionary(kind):
        if _is_words(kind.value_type):  # stays so: a long text may stand in all rows
            return column
        return _plain(column.cast(kind.value_type))
    if types.is_boolean(kind):
        return compute.if_else(column, *pyarrow.array(["True", "False"]))
    if types.is_duration(kind):
        return column.cast(pyarrow.int64()).cast(pyarrow.float64(), safe=False)
    if types.is_temporal(kind):
        return column.cast(pyarrow.string())
    return column.cast(pyarrow.float64(), safe=False) if _is_numeric(kind) else column


def _is_numeric(kind: Any) -> bool:
    from pyarrow import types

    checks = (types.is_floating, types.is_integer, types.is_decimal, types.is_null)
    return any(check(kind) for check in checks)


def is_text(column: Any) -> bool:
    """Whether the cells are texts, which may still be numbers."""
    from pyarrow import types

    return not (types.is_floating(column.type) or types.is_integer(column.type))
