"""The scenarios, with the meanings of MLPerf Inference.

single-stream  one flow after the other: latency, judged by its percentiles
offline        all rows are there at once: throughput at several batch sizes
server         flows arrive at random: the highest rate at which they do not wait too long,
               see ``idskit.bench.scenarios.server_load``
pipeline       a capture in, alert lines out, see ``idskit.bench.scenarios.pipeline``
sustained      full load for minutes, see ``idskit.bench.scenarios.sustained``; only when asked for
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from idskit.bench.measure import Plan, Spread, Timing, doubts, latency_ms, measure, quantiles_ms
from idskit.bench.result import Memory, Result, RoundLatency, RunFacts, Server, Sustained
from idskit.bench.subject import Rows, Subject, realistic_rows
from idskit.errors import IdskitError
from idskit.machine.machine_facts import (
    cgroup_limits,
    peak_rss_mib,
    reset_peak_rss,
    rss_mib,
    sensors,
)

BATCHES = (1, 8, 64, 256, 1024, 4096)
QUICK_BATCHES = (16, 256, 1024)
SERVER_BATCH = 256
SEED = 20_24
POOL = 4096  # rows that the calls go through in turn, so no cache holds the one answer
_COPIES = 3  # of a model while it is loaded: the file, its parsed graph, the packed weights
_TRIAL = 256  # rows of the trial that tells how much memory a row takes


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What all scenarios share.

    Args:
        plan: how long to measure.
        batches: rows a call of the offline scenario.
        rss_start_mib: resident memory before the models were loaded.
        server_batch: most rows a call of the server and the sustained scenario.
        seed: of the input rows.
    """

    plan: Plan
    batches: tuple[int, ...]
    rss_start_mib: float | None
    server_batch: int = SERVER_BATCH
    seed: int = SEED

    def memory(self) -> Memory:
        """Memory of this process since ``reset_peak_rss``."""
        return Memory(start=self.rss_start_mib, peak=peak_rss_mib(), end=rss_mib())


def offline(subjects: Sequence[Subject], settings: Settings) -> list[Result]:
    """Throughput of every subject at every batch size.

    Raises:
        IdskitError: a batch does not fit memory.
    """
    return [
        result
        for batch in settings.batches
        for result in _inference("offline", subjects, batch, settings)
    ]


def single_stream(subjects: Sequence[Subject], settings: Settings) -> list[Result]:
    """Latency of every subject, one flow at a time."""
    return _inference("single-stream", subjects, 1, settings)


def require_room(path: Path) -> None:
    """Make sure that a model file can be loaded at all.

    Raises:
        IdskitError: it needs more memory than is free.
    """
    free_mib = free_memory_mib()
    size_mib = path.stat().st_size / 2**20 if path.is_file() else 0.0
    if free_mib is not None and _COPIES * size_mib > free_mib:
        raise IdskitError(
            f"model {path} of {size_mib:,.0f} MiB needs about {_COPIES * size_mib:,.0f} MiB to be "
            f"loaded, but {free_mib:,.0f} MiB are free: stop other programs or take a smaller model"
        )


def require_memory(subject: Subject, batch: int, seed: int = SEED) -> None:
    """Make sure that a batch fits: the system would end the process without a word.

    Raises:
        IdskitError: judging ``batch`` flows at once needs more memory than is free.
    """
    free_mib = free_memory_mib()
    if free_mib is None or batch <= _TRIAL:
        return
    rows = input_rows(subject, _TRIAL, seed)
    subject.infer(rows[:1])
    reset_peak_rss()
    before = rss_mib() or 0.0
    subject.infer(rows)
    trial_mib = max(peak_rss_mib() - before, rows.nbytes * 4 / 2**20)  # drawing rows takes 4 copies
    needed_mib = trial_mib * batch / _TRIAL
    if needed_mib > free_mib:
        raise IdskitError(
            f"batches of {batch} flows were asked for, and {subject.name} needs about "
            f"{needed_mib:,.0f} MiB for one, but {free_mib:,.0f} MiB are free: choose a smaller "
            "--batch"
        )


def input_rows(subject: Subject, count: int, seed: int) -> Rows:
    """Return rows (count, features) float32 for a subject."""
    return realistic_rows(subject.sample, subject.schema, count, seed=seed)


def cycle_rows(subject: Subject, batch: int, seed: int) -> Callable[[], object]:
    """Return what infers ``batch`` rows at each call, other rows each time."""
    count = max(POOL // batch, 1)
    rows = input_rows(subject, count * batch, seed)
    parts = itertools.cycle(rows.reshape(count, batch, -1))
    return lambda: subject.infer(next(parts))


def build_result(  # noqa: PLR0913 - one argument a fact that the scenarios do not share
    subject: Subject,
    timing: Timing,
    settings: Settings,
    *,
    scenario: str,
    batch: int,
    warnings: Sequence[str],
    flows_per_s: Spread | None = None,
    duration_s: float | None = None,
    server: Server | None = None,
    sustained: Sustained | None = None,
) -> Result:
    """Return a result of the durations of all calls; ``flows_per_s`` if these do not tell it."""
    speed = flows_per_s or timing.per_second(batch)
    calls = timing.calls
    return Result(
        model=subject.model,
        execution=subject.execution,
        run=RunFacts(
            scenario=scenario,
            batch=batch,
            rounds=len(timing.rounds),
            duration_s=float(calls.sum()) / 1e9 if duration_s is None else duration_s,
            warmup_s=settings.plan.warmup_s if flows_per_s is None else 0.0,
            seed=settings.seed,
            input="rows that the model carries, drawn at random, numbers varied by 5 %",
        ),
        init_ms=subject.init_ms,
        first_ms=subject.first_ms,
        latency_ms=latency_ms(calls),
        split_ms=None,
        flows_per_s=speed,
        packets_per_s=None,
        rss_mib=settings.memory(),
        **sensors(),
        power_w=timing.power_w,
        energy_mj_per_flow=energy_mj(timing.power_w, speed.median),
        accuracy=subject.accuracy,
        warnings=tuple(warnings),
        quantiles_ms=quantiles_ms(calls),
        round_latency_ms=RoundLatency(
            p50=timing.percentile_ms("p50"), p99=timing.percentile_ms("p99")
        ),
        server=server,
        sustained=sustained,
    )


def free_memory_mib(root: Path = Path("/")) -> float | None:
    """Memory that this process may still take: what the system has, within its group's limit."""
    meminfo = root / "proc/meminfo"
    found = re.search(r"^MemAvailable:\s*(\d+) kB", meminfo.read_text(), re.MULTILINE)
    limit = cgroup_limits(root)["memory_mib"]
    left = [] if limit is None else [limit - (rss_mib() or 0.0)]
    return min([int(found[1]) / 1024, *left]) if found else None


def _inference(
    scenario: str, subjects: Sequence[Subject], batch: int, settings: Settings
) -> list[Result]:
    for subject in subjects:
        require_memory(subject, batch, settings.seed)
    calls = {str(i): cycle_rows(c, batch, settings.seed) for i, c in enumerate(subjects)}
    reset_peak_rss()
    timings = measure(calls, settings.plan)
    tail = scenario == "single-stream"
    return [
        build_result(
            subject,
            timing,
            settings,
            scenario=scenario,
            batch=batch,
            warnings=doubts(timing, tail=tail),
        )
        for subject, timing in zip(subjects, timings.values(), strict=True)
    ]


def energy_mj(power_w: float | None, flows_per_s: float) -> float | None:
    """Return the millijoules a flow; None without a sensor of power."""
    return None if power_w is None or not flows_per_s else 1e3 * power_w / flows_per_s
