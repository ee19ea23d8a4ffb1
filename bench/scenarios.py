"""The scenarios, with the meanings of MLPerf Inference.

offline        all rows are there at once: throughput at several batch sizes
single-stream  one flow after the other: latency, judged by its percentiles
pipeline       a capture in, alert lines out, see ``idskit.bench.pipeline``
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from idskit.bench.backends import Candidate, realistic_rows
from idskit.bench.machine import peak_rss_mib, reset_peak_rss, rss_mib, sensors
from idskit.bench.measure import Plan, Timing, doubts, latency_ms, measure
from idskit.bench.result import Memory, Result, RunFacts

SCENARIOS = ("offline", "single-stream", "pipeline")
BATCHES = (1, 8, 64, 256, 1024, 4096)
QUICK_BATCHES = (16, 256, 1024)
SEED = 20_24
_POOL = 4096  # rows that the calls go through in turn, so no cache holds the one answer


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What all scenarios share.

    Args:
        plan: how long to measure.
        batches: rows a call of the offline scenario.
        rss_start_mib: resident memory before the models were loaded.
        seed: of the input rows.
    """

    plan: Plan
    batches: tuple[int, ...]
    rss_start_mib: float | None
    seed: int = SEED

    def memory(self) -> Memory:
        """Memory of this process since ``reset_peak_rss``."""
        return Memory(start=self.rss_start_mib, peak=peak_rss_mib(), end=rss_mib())


def offline(candidates: Sequence[Candidate], settings: Settings) -> list[Result]:
    """Throughput of every candidate at every batch size."""
    return [
        result
        for batch in settings.batches
        for result in _inference("offline", candidates, batch, settings)
    ]


def single_stream(candidates: Sequence[Candidate], settings: Settings) -> list[Result]:
    """Latency of every candidate, one flow at a time."""
    return _inference("single-stream", candidates, 1, settings)


def _inference(
    scenario: str, candidates: Sequence[Candidate], batch: int, settings: Settings
) -> list[Result]:
    calls = {str(i): _call(c, batch, settings.seed) for i, c in enumerate(candidates)}
    reset_peak_rss()
    timings = measure(calls, settings.plan)
    return [
        _result(candidate, timing, _run_facts(scenario, batch, timing, settings), settings)
        for candidate, timing in zip(candidates, timings.values(), strict=True)
    ]


def _call(candidate: Candidate, batch: int, seed: int) -> Callable[[], object]:
    """One inference of ``batch`` rows, other rows each time."""
    count = max(_POOL // batch, 1)
    rows = realistic_rows(candidate.sample, candidate.schema, count * batch, seed=seed)
    parts = itertools.cycle(rows.reshape(count, batch, -1))
    return lambda: candidate.infer(next(parts))


def _run_facts(scenario: str, batch: int, timing: Timing, settings: Settings) -> RunFacts:
    return RunFacts(
        scenario=scenario,
        batch=batch,
        rounds=len(timing.rounds),
        duration_s=float(timing.calls.sum()) / 1e9,
        warmup_s=settings.plan.warmup_s,
        seed=settings.seed,
        input="rows that the model carries, drawn at random, numbers varied by 5 %",
    )


def _result(candidate: Candidate, timing: Timing, run: RunFacts, settings: Settings) -> Result:
    return Result(
        model=candidate.model,
        execution=candidate.execution,
        run=run,
        init_ms=candidate.init_ms,
        first_ms=candidate.first_ms,
        latency_ms=latency_ms(timing.calls),
        split_ms=None,
        flows_per_s=timing.per_second(run.batch),
        packets_per_s=None,
        rss_mib=settings.memory(),
        **sensors(),
        power_w=None,
        energy_mj_per_flow=None,
        accuracy=candidate.accuracy,
        warnings=tuple(doubts(timing, tail=run.scenario == "single-stream")),
    )
