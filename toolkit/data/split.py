"""Dividing rows without letting one side see the other: duplicates together, strata in proportion.

All draws come from a numpy Generator seeded by the caller, so a seed names one split.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def first_occurrence(rows: NDArray[np.float32]) -> NDArray[np.int64]:
    """For each row of (n, features), the position of the first row equal to it: (n,)."""
    if not len(rows):
        return np.empty(0, np.int64)
    _, first, inverse = np.unique(_as_bytes(rows), return_index=True, return_inverse=True)
    return first[inverse].astype(np.int64)


def seen_in(rows: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which of ``rows`` also occur among ``others``."""
    return np.isin(_as_bytes(rows), _as_bytes(others))


def _as_bytes(rows: NDArray[np.float32]) -> NDArray[np.void]:
    whole = np.ascontiguousarray(rows + np.float32(0))  # -0.0 becomes 0.0
    return whole.view(np.dtype((np.void, whole.shape[1] * whole.itemsize))).reshape(-1)


def stratified(
    strata: NDArray[np.int64], fraction: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Mark about ``fraction`` of each stratum, and never the whole of one."""
    marked = np.zeros(len(strata), np.bool_)
    for stratum in np.unique(strata):
        members = rng.permutation(np.flatnonzero(strata == stratum))
        count = min(int(fraction * len(members) + 0.5), len(members) - 1)
        marked[members[:count]] = True
    return marked


def stratified_distinct(
    rows: NDArray[np.float32],
    strata: NDArray[np.int64],
    fraction: float,
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """As ``stratified``, with equal rows always on the same side."""
    first = first_occurrence(rows)
    distinct = np.unique(first)
    marked = np.zeros(len(rows), np.bool_)
    marked[distinct] = stratified(strata[distinct], fraction, rng)
    return marked[first]


def draw_balanced(
    labels: NDArray[np.int64], total: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Positions of ``total`` rows, equally many of each class; small ones repeat."""
    classes = np.unique(labels)
    drawn = []
    for label in classes:
        members = np.flatnonzero(labels == label)
        each = total // len(classes)
        drawn.append(rng.choice(members, each, replace=each > len(members)))
    return rng.permutation(np.concatenate(drawn))
