"""Read tables from files as typed frames, piece by piece: what training reads, with all columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from idskit.errors import DataError
from idskit.tables.column_kinds import is_empty, unique
from idskit.tables.content import as_text
from idskit.tables.matrix import TEXT_LENGTH, remark_notes
from idskit.tables.pieces import Piece, header_of, pandas_index_of, pieces, to_numbers

Cells: TypeAlias = "NDArray[np.float64] | pd.Series[Any]"


@dataclass(kw_only=True)
class TableFile:
    """A table file, and notes on how it is read."""

    path: Path
    header: tuple[str, ...]  # as pandas has it: a second ``a`` is ``a.1``, none ``Unnamed: 0``
    indexes: frozenset[str]  # columns that the file states to be the index of a pandas frame
    repeated: int = 0  # headers in the middle, dropped
    _remarks: dict[str, Counter[str]] = field(default_factory=dict)

    def frames(
        self, texts: Collection[str], unread: Collection[str] = ()
    ) -> Iterator[pd.DataFrame]:
        """Yield the rows: columns ``texts`` as str or None, all others but ``unread`` as float64.

        Raises:
            DataError: damaged, no rows, or text in a column of numbers.
        """
        empty = True
        for piece in pieces(self.path):
            self.repeated = piece.repeated
            if piece.rows:
                empty = False
                yield pd.DataFrame(
                    {
                        name: self._cells(name, piece, position, name in texts)
                        for position, name in enumerate(self.header)
                        if name not in unread
                    }
                )
        if empty:
            raise DataError(f"{self.path} holds no rows: give a table with labelled rows")

    def notes(self) -> list[str]:
        """Return what was dropped and how numbers are written; complete after the last row."""
        headers = f"{self.path.name}: left out: {self.repeated} repeated header lines"
        return [headers] * bool(self.repeated) + [
            f"{self.path.name}: {note}" for note in remark_notes(self._remarks)
        ]

    def _cells(self, name: str, piece: Piece, position: int, text: bool) -> Cells:
        values = piece.columns[position]
        if text:
            return _texts(values)
        remarks = self._remarks.setdefault(name, Counter())
        return to_numbers(self.path, name, values, piece, remarks) + 0.0  # -0.0 becomes 0.0


def open_table(path: Path) -> TableFile:
    """Read the header of a table.

    Raises:
        DataError: no such file, another format, damaged, or without a header.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file; give a table, or a data set by name with --data")
    named = [name or f"Unnamed: {position}" for position, name in enumerate(header_of(path))]
    header = tuple(unique(named))
    return TableFile(path=path, header=header, indexes=pandas_index_of(path))


def _texts(values: Any) -> pd.Series[Any]:
    """Return texts of cells, cut to a bounded length; equal ones are one object."""
    coded = values.dictionary_encode()
    texts = [_text(value) for value in coded.dictionary.to_pylist()]
    codes = coded.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False)
    return pd.Series(np.array([*texts, None], object)[codes], dtype=object)


def _text(value: object) -> str | None:
    text = as_text(value)
    return None if is_empty(text) else text[:TEXT_LENGTH]
