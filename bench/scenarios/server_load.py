"""The server scenario: how many flows a second may arrive, at random, before they wait too long.

Arrivals are a Poisson process (MLPerf Inference, scenario Server). Flows that wait are judged
together, as the detector does. A flow's latency runs from its arrival to its verdict, so it holds
the queue. The answer is the highest rate whose p99 stays within a bound, found by doubling and then
by halving the ratio between a rate that holds and one that does not.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from idskit.bench.measure import (
    MIN_CALLS,
    Meter,
    Spread,
    crowded,
    nearest_rank,
    unstable,
)
from idskit.bench.result import Probe, Result, Server
from idskit.bench.scenarios.inference import POOL, Settings, build_result, input_rows
from idskit.bench.subject import Rows, Subject

BOUND_MS = 10.0  # that p99 may reach
PRECISION = 1.05  # the search ends when the bracket is that narrow
DESCENT = 16  # so far below where it should hold, slower arrivals shorten no queue
MAX_PROBE_S = 10.0
LOWEST_RATE = MIN_CALLS / MAX_PROBE_S  # fewer arrivals say nothing about a p99
_PATIENCE = 10  # bounds that the oldest flow may wait before a probe is given up
_SPIN_NS = 200_000  # sleeping overshoots by about that much

Infer = Callable[[Rows], object]


@dataclass(frozen=True, kw_only=True)
class Waits:
    """One probe: how long flows waited for their verdict."""

    ns: NDArray[np.int64]  # (arrivals,)
    served: bool  # False when the queue grew until the probe was given up


def server(subjects: Sequence[Subject], settings: Settings) -> list[Result]:
    """Find the highest rate of every subject, one search of each in turn."""
    searches = [_Search(subject, settings) for subject in subjects]
    for _ in range(settings.plan.searches):
        for search in searches:
            search.repeat()
    return [search.result() for search in searches]


def highest_rate(holds: Callable[[float], bool], start: float) -> float:
    """Highest rate that holds, to ``PRECISION``; 0 where none near ``start`` or above does.

    Args:
        holds: tries a rate.
        start: where to begin: a rate that should hold, if any does.
    """
    low, high = 0.0, max(start, LOWEST_RATE)
    floor = max(start / DESCENT, LOWEST_RATE)
    while holds(high):
        low, high = high, 2 * high
    while not low:
        if high <= floor:
            return 0.0
        lower = max(high / 2, floor)
        low, high = (lower, high) if holds(lower) else (0.0, lower)
    while high / low > PRECISION:
        middle = (low * high) ** 0.5
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def poisson_arrivals(rate_per_s: float, seconds: float, *, seed: int) -> NDArray[np.int64]:
    """Arrival times in nanoseconds (n,), of a Poisson process; the same for the same seed."""
    count = max(round(rate_per_s * seconds), 1)
    gaps_s = np.random.default_rng(seed).exponential(1 / rate_per_s, count)
    return (np.cumsum(gaps_s) * 1e9).astype(np.int64)


def serve(
    infer: Infer, rows: Rows, arrivals_ns: NDArray[np.int64], max_batch: int, patience_ns: float
) -> Waits:
    """Judge flows as they arrive, whatever waits together, and measure each one's wait.

    Args:
        infer: judges rows (n, features) float32.
        rows: what is judged, from the start again and again.
        arrivals_ns: (n,), ascending.
        max_batch: at most so many flows together, and no more than ``rows`` has.
        patience_ns: give up when a flow has waited longer.
    """
    clock = time.perf_counter_ns
    parts = itertools.cycle(range(0, len(rows) - max_batch + 1, max_batch))
    done = np.empty_like(arrivals_ns)
    served, begin = 0, clock()
    while served < len(arrivals_ns):
        _wait_until(begin + int(arrivals_ns[served]))
        now = clock() - begin
        waiting = int(np.searchsorted(arrivals_ns, now, side="right"))
        if now - arrivals_ns[served] > patience_ns:
            done[served:waiting] = now
            return Waits(ns=done[:waiting] - arrivals_ns[:waiting], served=False)
        last = min(waiting, served + max_batch)
        first_row = next(parts)
        infer(rows[first_row : first_row + last - served])
        done[served:last] = clock() - begin
        served = last
    return Waits(ns=done - arrivals_ns, served=True)


def _wait_until(moment_ns: int) -> None:
    while (left := moment_ns - time.perf_counter_ns()) > 0:
        if left > _SPIN_NS:
            time.sleep((left - _SPIN_NS) / 1e9)


class _Search:
    """All repeats of one subject's search."""

    def __init__(self, subject: Subject, settings: Settings) -> None:
        self.subject, self.settings = subject, settings
        self.max_batch = min(settings.server_batch, POOL)
        self.rows = input_rows(subject, POOL, settings.seed)
        self.rates: list[float] = []
        self.waits: list[NDArray[np.int64]] = []  # at the highest rate of each repeat
        self.probes: list[Probe] = []
        self.duration_s = 0.0
        self.meter = Meter()

    def repeat(self) -> None:
        """Search once more; later searches begin near what the first one found."""
        held: dict[float, NDArray[np.int64]] = {}
        tried: dict[float, NDArray[np.int64]] = {}

        def met(rate: float) -> bool:
            tried[rate] = waits = self._probe(rate)
            if self.probes[-1].met:
                held[rate] = waits
            return self.probes[-1].met

        def holds(rate: float) -> bool:
            return met(rate) or met(rate)  # once more: one hiccup of the machine decides nothing

        with self.meter:
            best = highest_rate(holds, 0.7 * max(self.rates, default=0) or self._first_rate())
        self.rates.append(best)
        self.waits.append(held[best] if best else tried[min(tried)])

    def _first_rate(self) -> float:
        """Return a fraction of what one flow at a time would allow."""
        calls = []
        for row in range(9):
            start = time.perf_counter()
            self.subject.infer(self.rows[row : row + 1])
            calls.append(time.perf_counter() - start)
        return 0.25 / sorted(calls)[4]

    def _probe(self, rate: float) -> NDArray[np.int64]:
        plan = self.settings.plan
        wanted_s = max(plan.probe_s, plan.probe_bounds * BOUND_MS / 1e3, MIN_CALLS / rate)
        arrivals = poisson_arrivals(
            rate, min(wanted_s, MAX_PROBE_S), seed=self.settings.seed + len(self.probes)
        )
        patience_ns = _PATIENCE * BOUND_MS * 1e6
        start = time.perf_counter()
        waits = serve(self.subject.infer, self.rows, arrivals, self.max_batch, patience_ns)
        self.duration_s += time.perf_counter() - start
        p50_ms, p99_ms = (nearest_rank(waits.ns, percent) / 1e6 for percent in (50, 99))
        met = waits.served and p99_ms <= BOUND_MS
        self.probes.append(Probe(rate_per_s=rate, p50_ms=p50_ms, p99_ms=p99_ms, met=met))
        return waits.ns

    def result(self) -> Result:
        """Return the scenario's result, and what casts doubt on it."""
        flows_per_s = Spread.of(self.rates)
        timing = self.meter.timing(self.waits)
        return build_result(
            self.subject,
            timing,
            self.settings,
            scenario="server",
            batch=self.max_batch,
            flows_per_s=flows_per_s,
            duration_s=self.duration_s,
            warnings=(*self._doubts(flows_per_s), *crowded(timing)),
            server=Server(
                bound_ms=BOUND_MS,
                max_batch=self.max_batch,
                probes=tuple(sorted(self.probes, key=lambda probe: probe.rate_per_s)),
            ),
        )

    def _doubts(self, flows_per_s: Spread) -> tuple[str, ...]:
        if not flows_per_s.max:
            lowest = min(self.probes, key=lambda probe: probe.rate_per_s)
            return (
                f"no steady state: no rate keeps p99 within {BOUND_MS:g} ms; at "
                f"{lowest.rate_per_s:,.0f} flows/s, p99 is {lowest.p99_ms:,.1f} ms; choose a "
                "smaller model",
            )
        return tuple(unstable(flows_per_s, "searches"))
