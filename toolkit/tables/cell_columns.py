"""Named columns of a table as Python values: CSV is read without pyarrow.

Detection reads flows by columns; tables of labels and of reviews are read row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from idskit.errors import DataError
from idskit.tables.content import as_text, decoded
from idskit.tables.lines import open_lines
from idskit.tables.stored_columns import is_stored, open_stored

_BATCH = 4096  # rows read at once where they are yielded one by one

Choice = Callable[[Sequence[str]], Mapping[str, int]]  # of a header: names, and where they are


@dataclass(frozen=True, kw_only=True)
class Cells:
    """Some rows of named columns: text of CSV; numbers, text or None of Parquet and Arrow."""

    columns: Mapping[str, Sequence[object]]
    grouped: bool = True  # whether commas in numbers can only separate thousands


def cell_columns(path: Path, choose: Choice, rows: int) -> Iterator[Cells]:
    """Yield the columns that ``choose`` finds in the header, at most ``rows`` rows at a time.

    Raises:
        DataError: the file cannot be read, or a row is of another width (it is named).
        MissingExtra: Parquet or Arrow, and pyarrow is not installed.
    """
    return _of_stored(path, choose, rows) if is_stored(path) else _of_lines(path, choose, rows)


def named_rows(
    path: Path, needed: Sequence[str], wanted: Sequence[str] = ()
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows of a table as texts by column, each with its number, which begins at 1.

    Args:
        path: of the table.
        needed: columns that it must have.
        wanted: columns that are read as well if it has them.

    Raises:
        DataError: a column is missing, the file cannot be read, or a row has another width.
    """
    number = 0
    for cells in cell_columns(path, partial(_places, path, needed, wanted), _BATCH):
        for row in zip(*cells.columns.values(), strict=True):
            number += 1
            texts = ("" if value is None else as_text(value) for value in row)
            yield number, dict(zip(cells.columns, texts, strict=True))


def _places(
    path: Path, needed: Sequence[str], wanted: Sequence[str], header: Sequence[str]
) -> dict[str, int]:
    missing = [name for name in needed if name not in header]
    if missing:
        raise DataError(
            f"{path} has no column {', '.join(missing)}: {', '.join(needed)} are needed"
        )
    return {name: header.index(name) for name in (*needed, *wanted) if name in header}


def _of_lines(path: Path, choose: Choice, rows: int) -> Iterator[Cells]:
    with open_lines(path) as lines:
        wanted = choose(lines.header.names)
        grouped = lines.header.delimiter == ","
        for batch in lines.rows(rows):
            columns = {name: [row[place] for row in batch] for name, place in wanted.items()}
            yield Cells(columns=columns, grouped=grouped)


def _of_stored(path: Path, choose: Choice, rows: int) -> Iterator[Cells]:
    with open_stored(path) as table:
        wanted = choose(table.names)
        for columns in table.columns(sorted(set(wanted.values())), rows):
            found = {place: _values(column) for place, column in columns.items()}
            yield Cells(columns={name: found[place] for name, place in wanted.items()})


def _values(column: Any) -> list[object]:
    """Return the cells of an arrow array; a text that stands in many rows is one object."""
    from pyarrow import types

    if not types.is_dictionary(column.type):
        return [_text(value) for value in column.to_pylist()]
    texts = [_text(value) for value in column.dictionary.to_pylist()]
    return [None if code is None else texts[code] for code in column.indices.to_pylist()]


def _text(value: object) -> object:
    return decoded(value) if isinstance(value, bytes) else value
