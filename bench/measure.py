"""How things are timed: warm-up apart, subjects in turn, and numbers that say when to doubt them.

The rounds of all subjects are interleaved (A B A B), so that a machine that grows warm or busy
slows them alike (after pyperf and the definitions of MLPerf Inference).
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from idskit.machine.sensors import Reading, read_sensors

Call = Callable[[], object]

PERCENTILES = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p99_9": 99.9}
MAX_RELATIVE_SPREAD = 0.10  # standard deviation over mean, the limit pyperf uses
MAX_TREND = 0.05  # change from the first half of the rounds to the second
MAX_WAITED = 0.05  # share of the time in which another program had the processor
MIN_CALLS = 100  # fewer say nothing about a tail
_SCHEDSTAT = Path("/proc/thread-self/schedstat")
CURVE = tuple(100 * (1 - 10 ** (-k / 8)) for k in range(33))  # per cent: 0 to 99.99, even in nines


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long to measure.

    Args:
        rounds: how often each subject has its turn.
        round_s: length of one turn; at least one call is made.
        warmup_s: before the first round, not counted; at least one call is made.
        min_rounds: of a subject so slow that its rounds take longer.
        probe_s: length of one try of the server scenario, at least.
        probe_bounds: the same, in times the bound: 20 find out a rate that is 5 % too high, for
            its queue grows as long as the bound.
        searches: how often the server scenario searches its rate.
    """

    rounds: int
    round_s: float
    warmup_s: float
    min_rounds: int = 3
    probe_s: float = 0.4
    probe_bounds: int = 20
    searches: int = 5

    @property
    def limit_s(self) -> float:
        """No subject begins another round after this, but for ``min_rounds``."""
        return 2 * self.rounds * self.round_s


QUICK = Plan(rounds=7, round_s=0.12, warmup_s=0.15, probe_s=0.1, probe_bounds=10, searches=3)
FULL = Plan(rounds=9, round_s=0.2, warmup_s=0.25)  # with nothing asked for, two minutes on a Pi


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
    """Durations of all calls of one subject, round by round, in nanoseconds."""

    rounds: tuple[NDArray[np.int64], ...]
    power_w: float | None = None  # drawn by the machine meanwhile, where a sensor says it
    waited: float | None = None  # share of the time spent ready to run, without a processor

    @property
    def calls(self) -> NDArray[np.int64]:
        """Return the durations of all rounds in one array."""
        return np.concatenate(self.rounds)

    def per_second(self, items: int) -> Spread:
        """Return items a second, round by round, when each call handles ``items``."""
        return Spread.of([items * len(calls) / (float(calls.sum()) / 1e9) for calls in self.rounds])

    def percentile_ms(self, name: str) -> Spread | None:
        """Return a percentile of latency round by round; None where one had too few calls."""
        values = [percentile_ms(calls, PERCENTILES[name]) for calls in self.rounds]
        known = [value for value in values if value is not None]
        return Spread.of(known) if len(known) == len(values) else None


def measure(subjects: Mapping[str, Call], plan: Plan) -> dict[str, Timing]:
    """Time each subject's call, one round of each in turn."""
    for call in subjects.values():
        run_round(call, plan.warmup_s)
    rounds: dict[str, list[NDArray[np.int64]]] = {name: [] for name in subjects}
    meters = {name: Meter() for name in subjects}
    for turn in range(plan.rounds):
        for name, call in subjects.items():
            spent_s = sum(int(durations.sum()) for durations in rounds[name]) / 1e9
            if turn < plan.min_rounds or spent_s < plan.limit_s:
                with meters[name]:
                    rounds[name].append(run_round(call, plan.round_s))
    return {name: meters[name].timing(taken) for name, taken in rounds.items()}


def waited_ns() -> int | None:
    """Return how long this thread was ready while others had the processor (sched-stats)."""
    try:
        return int(_SCHEDSTAT.read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return None


class Meter:
    """What the machine drew over several stretches of time, and how often others had the processor.

    Counters of energy are read before and after each; where there is only a gauge of power, that is
    read before the stretch ends, under load.
    """

    def __init__(
        self,
        read: Callable[[], Reading] = read_sensors,
        waited_ns: Callable[[], int | None] = waited_ns,
    ) -> None:
        self._read, self._waited_ns = read, waited_ns
        self._energy_j: list[float] = []
        self._energy_s: list[float] = []
        self._gauge_w: list[float] = []
        self._waits_s: list[float] = []
        self._spent_s = 0.0

    def __enter__(self) -> Meter:
        self._before = self._read().energy_j
        self._queued = self._waited_ns()
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        spent_s = time.perf_counter() - self._start
        queued, after = self._waited_ns(), self._read()
        self._spent_s += spent_s
        if self._queued is not None and queued is not None:
            self._waits_s.append((queued - self._queued) / 1e9)
        if self._before is not None and after.energy_j is not None:
            self._energy_j.append(after.energy_j - self._before)
            self._energy_s.append(spent_s)
        if after.power_w is not None:
            self._gauge_w.append(after.power_w)

    @property
    def power_w(self) -> float | None:
        """Return the watts of the machine; None without a sensor."""
        if self._energy_j:
            return sum(self._energy_j) / sum(self._energy_s)
        return statistics.fmean(self._gauge_w) if self._gauge_w else None

    @property
    def waited(self) -> float | None:
        """Return the share of time ready to run without a processor; None if not counted."""
        return sum(self._waits_s) / self._spent_s if self._waits_s else None

    def timing(self, rounds: Sequence[NDArray[np.int64]]) -> Timing:
        """Return the durations taken during the stretches, with what else was measured."""
        return Timing(rounds=tuple(rounds), power_w=self.power_w, waited=self.waited)


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
        known[name] = percentile_ms(durations_ns, percent)
    return known | {"max": float(values.max())}


def percentile_ms(durations_ns: NDArray[np.int64], percent: float) -> float | None:
    """Return the nearest-rank percentile in milliseconds; None after too few calls."""
    enough = len(durations_ns) * (100 - percent) >= 100 - 1e-6
    return nearest_rank(durations_ns, percent) / 1e6 if enough else None


def nearest_rank(values: NDArray[np.int64], percent: float) -> float:
    """Return the smallest value that ``percent`` of all do not exceed.

    Not numpy's ``inverted_cdf``, which takes the 1000th of 1000 values for 99.9 per cent.
    """
    rank = max(math.ceil(round(percent / 100 * len(values), 6)), 1)
    return float(np.partition(values, rank - 1)[rank - 1])


def quantiles_ms(durations_ns: NDArray[np.int64]) -> tuple[tuple[float, float], ...]:
    """Return the distribution as (per cent of calls, milliseconds at most), as far as it goes."""
    points = ((percent, percentile_ms(durations_ns, percent)) for percent in CURVE)
    return tuple((percent, ms) for percent, ms in points if ms is not None)


def doubts(timing: Timing, *, tail: bool = False) -> list[str]:
    """Return the reasons to call a measurement unstable; ``tail`` when its percentiles matter."""
    spread = timing.per_second(1)
    reasons = [*crowded(timing), *unstable(spread, "rounds")]
    trend = _trend(spread.values)
    if trend is not None:
        reasons.append(
            f"no steady state: speed {'rose' if trend > 0 else 'fell'} by {abs(trend):.0%} from "
            "the first half of the rounds to the second; let the machine settle, or measure it "
            "with --scenario sustained --minutes N"
        )
    if tail and len(timing.calls) < MIN_CALLS:
        reasons.append(
            f"unstable: only {len(timing.calls)} calls were timed, and percentiles of latency need "
            f"{MIN_CALLS}; measure longer"
        )
    return reasons


def crowded(timing: Timing) -> list[str]:
    """That other programs had the processor, if so: a median may lie for all its small spread."""
    if timing.waited is None or timing.waited <= MAX_WAITED:
        return []
    return [
        f"unstable: for {timing.waited:.0%} of the time other programs had the processor (limit "
        f"{MAX_WAITED:.0%}), so this machine is faster than the number says; stop them and measure "
        "again"
    ]


def unstable(spread: Spread, what: str) -> list[str]:
    """That ``what`` was repeated gave too different numbers, if so."""
    if spread.relative <= MAX_RELATIVE_SPREAD:
        return []
    return [
        f"unstable: {what} differ by {spread.relative:.0%} (standard deviation over mean, limit "
        f"{MAX_RELATIVE_SPREAD:.0%}); something else uses this machine, or its clock changes"
    ]


def _trend(values: Sequence[float]) -> float | None:
    """Change between the halves of a series, where these do not overlap at all."""
    half = len(values) // 2
    first, second = values[:half], values[len(values) - half :]
    if half < 3 or not (max(first) < min(second) or min(first) > max(second)):
        return None
    change = statistics.median(second) / statistics.median(first) - 1
    return change if abs(change) > MAX_TREND else None


def run_round(call: Call, seconds: float) -> NDArray[np.int64]:
    """Return nanoseconds of the calls that begin within so many seconds, at least one."""
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
