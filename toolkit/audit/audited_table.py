"""A labelled table for the checks: a sample of its rows, and a hash of every row."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

# Rows that differ only in their last digits, by rounding to float32 or by jitter, are one record.
DIGITS = 5


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of the sampled rows."""

    name: str
    values: NDArray[np.float64]  # (m,) numbers, or positions in ``texts``; NaN where empty
    texts: tuple[str, ...] = ()  # the sorted texts of a column of text

    @cached_property
    def distinct(self) -> int:
        """Return the number of different values."""
        return len(np.unique(self.values[~np.isnan(self.values)]))


@dataclass(frozen=True, kw_only=True)
class Classes:
    """The class of each row: its label, or its capture."""

    name: str
    names: tuple[str, ...]
    codes: NDArray[np.int32]  # (n,) of every row, index into ``names``


@dataclass(frozen=True, kw_only=True)
class AuditTable:
    """Labelled rows from one or several files."""

    name: str
    columns: tuple[Column, ...]  # features, of the sampled rows
    sample: NDArray[np.int64]  # (m,) positions of the sampled rows, rising
    labels: tuple[Classes, ...]  # of every row
    captures: Classes | None  # of every row: its file, or its capture
    exact: NDArray[np.uint64]  # (n,) hash of the record: the features that identify nothing
    rounded: NDArray[np.uint64]  # (n,) the same after rounding to DIGITS significant digits
    unhashed: tuple[str, ...]  # columns left out of the hashes, as they identify rows
    # Columns that look like the index of a pandas frame: in the file, but no features.
    indexes: tuple[Column, ...] = ()
    notes: tuple[str, ...] = ()  # what was left out, and how numbers are written

    def __len__(self) -> int:
        return len(self.exact)
