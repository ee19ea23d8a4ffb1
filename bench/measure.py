"""How things are timed: warm-up apart, candidates in turn, and numbers that say when to doubt them.

The rounds of all candidates are interleaved (A B A B), so that a machine that grows warm or busy
slows them alike (after pyperf and the definitions of MLPerf Inference).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Call = Callable[[], object]

PERCENTILES = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p99_9": 99.9}
MAX_RELATIVE_SPREAD = 0.10  # standard deviation over mean, the limit pyperf uses
MIN_CALLS = 100  # fewer say nothing about a tail


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long to measure.

    Args:
        rounds: how often each candidate has its turn.
        round_s: length of one turn; at least one call is made.
        warmup_s: before the first round, not counted; at least one call is made.
    """

    rounds: int
    round_s: float
    warmup_s: float
    min_rounds: int = 3

    @property
    def limit_s(self) -> float:
        """No candidate begins another round after this, but for ``min_rounds``."""
        return 2 * self.rounds * self.round_s


QUICK = Plan(rounds=7, round_s=0.12, warmup_s=0.15)
FULL = Plan(rounds=11, round_s=0.4, warmup_s=0.5)


@dataclass(frozen=True, kw_only=True)
class Spread:
    """One number measured in several rounds; judge by the median, doubt by the rest."""

    median: float
    mean: float
    stdev: float
    min: float
    max: float
    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarise at least one value."""
        return cls(
            median=statistics.median(values),
            mean=statistics.fmean(values),
            stdev=statistics.stdev(values) if len(values) > 1 else 0.0,
            min=min(values),
            max=max(values),
            values=tuple(values),
        )

    @property
    def relative(self) -> float:
        """Standard deviation over mean."""
        return self.stdev / self.mean if self.mean else 0.0


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Durations of all calls of one candidate, round by round, in nanoseconds."""

    rounds: tuple[NDArray[np.int64], ...]

    @property
    def calls(self) -> NDArray[np.int64]:
        """Durations of all rounds in one array."""
        return np.concatenate(self.rounds)

    def per_second(self, items: int) -> Spread:
        """Items a second, round by round, when each call handles ``items``."""
        return Spread.of([items * len(calls) / (calls.sum() / 1e9) for calls in self.rounds])


def measure(candidates: Mapping[str, Call], plan: Plan) -> dict[str, Timing]:
    """Time each candidate's call, one round of each in turn."""
    for call in candidates.values():
        _round(call, plan.warmup_s)
    rounds: dict[str, list[NDArray[np.int64]]] = {name: [] for name in candidates}
    for turn in range(plan.rounds):
        for name, call in candidates.items():
            spent_s = sum(int(durations.sum()) for durations in rounds[name]) / 1e9
            if turn < plan.min_rounds or spent_s < plan.limit_s:
                rounds[name].append(_round(call, plan.round_s))
    return {name: Timing(rounds=tuple(taken)) for name, taken in rounds.items()}


def latency_ms(durations_ns: NDArray[np.int64]) -> dict[str, float | int | None]:
    """Latency in milliseconds: count, mean, stdev, min, percentiles, max.

    A percentile is the smallest duration seen that so many calls did not exceed (nearest rank). It
    is None where too few calls were made for it: 100 for p99, 1000 for p99.9.
    """
    values = durations_ns / 1e6
    known: dict[str, float | int | None] = {
        "count": len(values),
        "mean": float(values.mean()),
        "stdev": float(values.std(ddof=1)) if len(values) > 1 else 0.0,
        "min": float(values.min()),
    }
    for name, percent in PERCENTILES.items():
        enough = len(values) * (100 - percent) >= 100 - 1e-6
        nearest = np.percentile(values, percent, method="inverted_cdf")
        known[name] = float(nearest) if enough else None
    return known | {"max": float(values.max())}


def doubts(timing: Timing, *, tail: bool = False) -> list[str]:
    """Reasons to call a measurement unstable; ``tail`` when its percentiles matter."""
    reasons = []
    spread = timing.per_second(1)
    if spread.relative > MAX_RELATIVE_SPREAD:
        reasons.append(
            f"unstable: rounds differ by {spread.relative:.0%} (standard deviation over mean, "
            f"limit {MAX_RELATIVE_SPREAD:.0%}); something else uses this machine, or its clock "
            "changes"
        )
    if tail and len(timing.calls) < MIN_CALLS:
        reasons.append(
            f"unstable: only {len(timing.calls)} calls were timed, and percentiles of latency need "
            f"{MIN_CALLS}; measure longer"
        )
    return reasons


def _round(call: Call, seconds: float) -> NDArray[np.int64]:
    clock = time.perf_counter_ns
    durations = []
    stop = clock() + int(seconds * 1e9)
    after = 0
    while after < stop:
        before = clock()
        call()
        after = clock()
        durations.append(after - before)
    return np.array(durations, np.int64)
