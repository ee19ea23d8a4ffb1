"""The scale on which evidence is weighed: nats of log-odds, of which ``OPENS`` open an incident."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

OPENS = 12.0  # nats that open an incident: e^-12 is an error in 160,000 tests
_FEW = 4096  # comparisons that take less time than ``np.isin`` takes to begin


def is_one_of(values: NDArray[Any], among: Sequence[int]) -> NDArray[np.bool_]:
    """Return which of (n,) numbers are among a few, as (n,)."""
    if len(values) * len(among) > _FEW:
        return np.isin(values, among)
    return np.asarray((values[:, None] == np.array(among)).any(axis=1))


def of(failures: int) -> float:
    """Return what divides ``OPENS`` so that many failures reach it, although the first decay."""
    return failures - 0.5


def each(failures: int) -> Callable[[NDArray[np.void], Floats], Floats]:
    """Return a weighing by which that many of what the columns count open an incident."""

    def weigh(_flows: NDArray[np.void], columns: Floats) -> Floats:
        return np.asarray(columns.sum(axis=1) * OPENS / (of(failures) if failures > 1 else 1))

    return weigh
