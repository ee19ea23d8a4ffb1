"""A kernel called without a look at the types of its arguments does what it does with one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from idskit.kernels.compile import Settled, kernel


class _Arrays(NamedTuple):
    counts: NDArray[np.int64]
    weights: NDArray[np.float64]


@kernel
def _add(arrays: _Arrays, first: int) -> float:
    total = 0.0
    for i in range(first, len(arrays.counts)):
        arrays.counts[i] += 1
        total += arrays.counts[i] * arrays.weights[i]
    return total


def test_settled_kernels_read_and_write_the_arrays_of_each_call() -> None:
    settled = Settled(_add)
    for length in (3, 0, 1000):
        arrays = _Arrays(np.arange(length), np.full(length, 0.5))
        expected = 0.5 * sum(range(2, length + 1))
        assert settled(arrays, 1) == (expected if length else 0.0)
        assert (arrays.counts[1:] == np.arange(2, length + 1)[: max(length - 1, 0)]).all()


def test_views_that_cannot_be_written_are_read_as_others() -> None:
    settled = Settled(_sum)
    numbers = np.arange(10)
    assert settled(numbers) == 45
    numbers.flags.writeable = False
    assert settled(numbers) == 45


@kernel
def _sum(numbers: NDArray[np.int64]) -> int:
    total = 0
    for number in numbers:
        total += int(number)
    return total
