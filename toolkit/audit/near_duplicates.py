"""Rows that repeat another but for noise in their last digits, which no hash finds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from idskit.audit.audited_table import AuditTable, Column

# Numbers are the same within so much of themselves and of the median of their column.
NOISE = 2e-4
NEAR_ROWS = 20_000
MOST_CANDIDATES = 200  # rows of a similar pivot that are compared with each row
LEAST_FINE, FINE_SHARE = 2, 0.5  # columns of so many values a row, for chance not to match rows

Floats = NDArray[np.float64]


def near_repeats(table: AuditTable, others: AuditTable | None, seed: int) -> float:
    """Share of the rows of ``table`` that are near a row of ``others``, or another of its own.

    Judged by up to ``NEAR_ROWS`` rows of each and the columns of numbers; 0 where too few columns
    are fine enough to tell rows apart.
    """
    known = table if others is None else others
    varying = {column.name for column in known.columns if column.distinct > 1}
    names = [
        column.name
        for column in table.columns
        if not column.texts and column.name in varying and column.name not in table.unhashed
    ]
    theirs, ours = _columns(known, names), _columns(table, names)
    fine = [place for place, column in enumerate(theirs) if _is_fine(column)]
    if len(fine) < LEAST_FINE:
        return 0.0
    pivot = max(fine, key=lambda place: theirs[place].distinct)
    drawn = np.random.default_rng(seed).permutation(len(known.sample))[:NEAR_ROWS]
    judged = drawn if others is None else _draw(len(table.sample), seed)
    base = _matrix(theirs, drawn)
    rows = base if others is None else _matrix(ours, judged)
    scale = np.array([_scale(column) for column in theirs])
    near = _near(rows, base, pivot, scale, itself=others is None)
    return float(near.mean())


def _draw(count: int, seed: int) -> NDArray[np.int64]:
    return np.random.default_rng(seed).permutation(count)[:NEAR_ROWS]


def _columns(table: AuditTable, names: list[str]) -> list[Column]:
    by_name = {column.name: column for column in table.columns}
    return [by_name[name] for name in names]


def _is_fine(column: Column) -> bool:
    return column.distinct >= FINE_SHARE * len(column.values)


def _matrix(columns: list[Column], rows: NDArray[np.int64]) -> Floats:
    values = np.stack([column.values[rows] for column in columns], axis=1)
    return np.nan_to_num(values, nan=-1.0, posinf=np.inf, neginf=-np.inf)


def _scale(column: Column) -> float:
    """Median of what is not 0: 0 and a trace of noise are the same beside it."""
    used = np.abs(column.values[np.isfinite(column.values) & (column.values != 0)])
    return float(np.median(used)) if len(used) else 0.0


def _near(
    rows: Floats, base: Floats, pivot: int, scale: Floats, *, itself: bool
) -> NDArray[np.bool_]:
    """Which rows (n, columns) have a row of ``base`` near them, but themselves."""
    order = np.argsort(base[:, pivot], kind="stable")
    places = base[order, pivot]
    middle = rows[:, pivot]
    reach = NOISE * (np.where(np.isfinite(middle), np.abs(middle), 0) + scale[pivot])
    first = np.searchsorted(places, middle - reach)
    end = np.searchsorted(places, middle + reach, side="right")
    end = np.minimum(end, first + MOST_CANDIDATES)
    near = np.zeros(len(rows), np.bool_)
    left = np.flatnonzero(first < end)
    for step in range(MOST_CANDIDATES):
        left = left[(first[left] + step < end[left]) & ~near[left]]
        if not len(left):
            break
        candidate = order[first[left] + step]
        same = _all_close(rows[left], base[candidate], scale)
        near[left] = same & (candidate != left) if itself else same
    return near


def _all_close(rows: Floats, others: Floats, scale: Floats) -> NDArray[np.bool_]:
    equal = rows == others  # infinities too
    with np.errstate(invalid="ignore"):
        close = np.abs(rows - others) <= NOISE * (np.abs(others) + scale)
    return np.asarray((equal | close).all(axis=1))
