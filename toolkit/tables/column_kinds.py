"""What each column of tables is: numbers, categories, or nothing that can be learned from.

Decided over the first rows of all tables, until every column has shown a value, by what most of its
values are; whoever reads the rows then checks it over all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from idskit.tables.content import as_text
from idskit.tables.numbers import EMPTY, MISSING, number
from idskit.tables.pieces import Piece, is_text, pandas_index_of, pieces

LOOK_ROWS = 1_000
LOOK_PIECES = 16  # of 1 MiB, or 65,536 rows: for a column that is empty at first
# Texts that are as good as different in every row are names of rows, not categories.
FEW_TEXTS, ROWS_PER_TEXT = 32, 4
MOST_TEXTS = 4_096  # different texts of a column
_INDEX = re.compile(
    r"|unnamed: \d+(\.\d+|_level_\d+)*|level_\d+|__index_level_\d+__", re.IGNORECASE
)


@dataclass(frozen=True, kw_only=True)
class Kinds:
    """Names of the columns that are not numbers, by what they are."""

    rows: int  # looked at
    texts: frozenset[str]
    empty: frozenset[str]  # hold no value
    various: frozenset[str]  # texts that nearly all differ
    indexes: frozenset[str]  # of a pandas frame


@dataclass
class _Seen:
    """What the first rows show of a column."""

    numbers: int = 0
    texts: int = 0
    different: set[str] = field(default_factory=set)

    def add(self, values: Any, piece: Piece) -> None:
        """Count the next cells."""
        if not is_text(values):
            self.numbers += len(values) - values.null_count
            return
        coded = values.dictionary_encode()
        codes = coded.indices.drop_null().to_numpy(zero_copy_only=False)
        counts = np.bincount(codes, minlength=len(coded.dictionary))
        for value, count in zip(coded.dictionary.to_pylist(), counts, strict=True):
            self._add(as_text(value), int(count), piece.grouped)

    def _add(self, text: str, count: int, grouped: bool) -> None:
        if number(text, grouped) is None:
            self.texts += count
            if len(self.different) <= MOST_TEXTS:
                self.different.add(text)
        elif text.lower() not in MISSING:
            self.numbers += count

    @property
    def some(self) -> bool:
        return bool(self.numbers or self.texts)


def kinds_of(paths: Sequence[Path], headers: Sequence[Sequence[str]]) -> Kinds:
    """Look at the first rows of tables, and decide what their columns are, by name.

    Raises:
        DataError: a file that cannot be read.
        MissingExtra: pyarrow is not installed.
    """
    seen: dict[str, _Seen] = {name: _Seen() for header in headers for name in header}
    rows = 0
    for path, header in zip(paths, headers, strict=True):
        for piece in _first(path, header, seen):
            rows += piece.rows
            for place, values in piece.columns.items():
                seen[header[place]].add(values, piece)
    texts = {name for name, its in seen.items() if its.texts > its.numbers}
    return Kinds(
        rows=rows,
        texts=frozenset(texts),
        empty=frozenset(name for name, its in seen.items() if not its.some),
        various=frozenset(
            name for name in texts if too_various(len(seen[name].different), seen[name].texts)
        ),
        indexes=frozenset(filter(is_index_name, seen)).union(*map(pandas_index_of, paths)),
    )


def _first(path: Path, header: Sequence[str], seen: Mapping[str, _Seen]) -> Iterator[Piece]:
    rows = 0
    for count, piece in enumerate(pieces(path), start=1):
        yield piece
        rows += piece.rows
        if count >= LOOK_PIECES or (rows >= LOOK_ROWS and all(seen[name].some for name in header)):
            return


def too_various(texts: int, rows: int) -> bool:
    """Return whether so many different texts in so many rows are no categories."""
    return texts > max(FEW_TEXTS, rows // ROWS_PER_TEXT)


def is_index_name(name: str) -> bool:
    """Return whether pandas gives that name to the index of a frame, or to a column without one."""
    return bool(_INDEX.fullmatch(name))


def unique(names: Sequence[str]) -> list[str]:
    """Make names differ as pandas does: of a second ``a`` it makes ``a.1``."""
    taken: set[str] = set()
    found = []
    for name in names:
        free, count = name, 0
        while free in taken or (count and free in names):
            count += 1
            free = f"{name}.{count}"
        taken.add(free)
        found.append(free)
    return found


def is_empty(text: str) -> bool:
    """Return whether a cell of a text column holds nothing."""
    return text.lower() in EMPTY
