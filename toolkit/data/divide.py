"""Division of rows: duplicates on one side, strata in proportion.

All draws come from a numpy Generator seeded by the caller, so a seed names one split.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

CHUNK = 1 << 16  # rows


def first_occurrence(rows: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return for each row of (n, features) the position of the first row equal to it: (n,)."""
    if not len(rows):
        return np.empty(0, np.int64)
    _, first, inverse = np.unique(_as_bytes(rows), return_index=True, return_inverse=True)
    return first[inverse].astype(np.int64)


def seen_in(rows: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which of ``rows`` also occur among ``others``."""
    return np.isin(_as_bytes(rows), _as_bytes(others))


def _as_bytes(rows: NDArray[np.float32]) -> NDArray[np.void]:
    """Return a digest of each row: equal for equal rows, and 16 bytes however long they are."""
    digests = np.empty(len(rows), "V16")
    for start in range(0, len(rows), CHUNK):
        whole = np.ascontiguousarray(rows[start : start + CHUNK] + np.float32(0))  # -0.0 to 0.0
        found = b"".join(blake2b(row, digest_size=16).digest() for row in whole)
        digests[start : start + CHUNK] = np.frombuffer(found, "V16")
    return digests


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
    """Mark as ``stratified`` does, with equal rows always on the same side."""
    first = first_occurrence(rows)
    distinct = np.unique(first)
    marked = np.zeros(len(rows), np.bool_)
    marked[distinct] = stratified(strata[distinct], fraction, rng)
    return marked[first]


def stratified_units(
    strata: NDArray[np.int64],
    units: NDArray[np.int64],
    fraction: float,
    rng: np.random.Generator,
) -> tuple[NDArray[np.bool_], list[int]]:
    """Mark as ``stratified`` does, with rows of one unit on the same side; -1 is of no unit.

    A stratum is divided by unit if it has three or more, and all of its rows have one.

    Returns:
        The marks, and the strata that were divided by unit.
    """
    marked, by_unit = np.zeros(len(strata), np.bool_), []
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        found, counts = np.unique(units[members], return_counts=True)
        if found[0] < 0 or len(found) < 3:
            marked[members] = stratified(strata[members], fraction, rng)
            continue
        by_unit.append(int(stratum))
        order = rng.permutation(len(found))
        before = np.cumsum(counts[order]) - counts[order]
        chosen = order[: max(int((before < fraction * len(members)).sum()), 1)]
        marked[members] = np.isin(units[members], found[chosen[: len(found) - 1]])
    return marked, by_unit


def draw_balanced(
    labels: NDArray[np.int64], total: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Draw positions of ``total`` rows, equally many of each class; small classes repeat."""
    classes = np.unique(labels)
    drawn = []
    for label in classes:
        members = np.flatnonzero(labels == label)
        each = total // len(classes)
        drawn.append(rng.choice(members, each, replace=each > len(members)))
    return rng.permutation(np.concatenate(drawn))
