"""How sure a ratio between two series of rounds is.

Its interval is the one that belongs to the Mann-Whitney test: all ratios between a round of one
series and a round of the other, cut at exact ranks (Hodges and Lehmann 1963). It assumes nothing
about how times are distributed, only that rounds are alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

CONFIDENCE = 0.99  # of each interval: a file holds a dozen of them, and none should cry wolf


def ratio_interval(
    before: Sequence[float], after: Sequence[float], confidence: float = CONFIDENCE
) -> tuple[float, float] | None:
    """Interval of the ratio of ``after`` over ``before``, all above 0; None of too few values."""
    ratios = np.sort(np.divide.outer(np.asarray(after), np.asarray(before)).ravel())
    cut = _cut(len(before), len(after), confidence)
    return (float(ratios[cut - 1]), float(ratios[-cut])) if cut else None


def _cut(n: int, m: int, confidence: float) -> int:
    """Return how many of the n * m ratios lie beyond each end of the interval, plus one; 0: none.

    U counts the pairs in which the second sample is smaller; its exact distribution without a
    difference says how far the ranks may be cut.
    """
    ways = _ways(n, m)
    whole, tail = sum(ways), 0
    for cut, count in enumerate(ways):
        tail += count
        if tail / whole > (1 - confidence) / 2:
            return cut
    return 0


@cache
def _ways(n: int, m: int) -> tuple[int, ...]:
    """In how many orders of n + m values U is 0, 1, ..., n * m (Mann and Whitney 1947)."""
    if n == 0 or m == 0:
        return (1,)
    with_first = (0,) * m + _ways(n - 1, m)  # the largest value is of the first sample: m pairs
    with_second = _ways(n, m - 1)
    return tuple(
        (with_first[u] if u < len(with_first) else 0)
        + (with_second[u] if u < len(with_second) else 0)
        for u in range(n * m + 1)
    )
