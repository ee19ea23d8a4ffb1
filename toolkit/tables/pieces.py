"""Pieces of a table as arrow columns, numbered by their position in the file.

Cells of CSV are bytes until a column is known to hold numbers: what is empty is null.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idskit.errors import DataError, require
from idskit.tables.content import as_text
from idskit.tables.lines import Header, Lines, even_rows, open_lines
from idskit.tables.numbers import number, remark
from idskit.tables.stored_columns import is_stored, open_stored

STORED_PIECE_ROWS = 1 << 16

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
    """Return the names of the columns.

    Raises:
        DataError: the file cannot be read, or has no header.
    """
    if is_stored(path):
        with open_stored(path) as table:
            return table.names
    with open_lines(path) as lines:
        return lines.header.names


def pandas_index_of(path: Path) -> frozenset[str]:
    """Return the columns that hold the index of a pandas frame, as files that pandas wrote say."""
    if not is_stored(path):
        return frozenset()
    with open_stored(path) as table:
        stored = (table.schema.metadata or {}).get(b"pandas", b"{}")
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
    return _stored_pieces(path, wanted) if is_stored(path) else _csv_pieces(path, wanted)


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
    """Return the same cells as strings, which need not be UTF-8 to be parsed as numbers."""
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
    """Return the number of rows, and the columns at ``places``."""
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
            for _ in even_rows(path, lines.header, data, first):
                pass
            raise DataError(f"{path} cannot be read as CSV: {error}; repair it") from error


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
    """Return the lines without blank ones, and without comments between them."""
    lines = data.splitlines(keepends=True)
    return b"".join(line for line in lines if line.strip() and not _is_comment(line, header))


def _is_comment(line: bytes, header: Header) -> bool:
    width = line.count(header.delimiter.encode()) + 1
    return line.lstrip().startswith(b"#") and width != len(header.names)


def _stored_pieces(path: Path, wanted: Collection[int] | None) -> Iterator[Piece]:
    with open_stored(path) as table:
        places = range(len(table.names)) if wanted is None else sorted(wanted)
        total, first = max(table.rows, 1), 1
        for columns in table.columns(places, STORED_PIECE_ROWS):
            rows = len(next(iter(columns.values()), ()))
            share = (first - 1 + rows) / total
            yield Piece(columns=columns, rows=rows, first=first, share=share, grouped=True)
            first += rows


def is_text(column: Any) -> bool:
    """Return whether the cells are texts, which may still be numbers."""
    from pyarrow import types

    return not (types.is_floating(column.type) or types.is_integer(column.type))
