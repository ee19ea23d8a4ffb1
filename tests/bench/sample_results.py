"""Results that nobody measured, for the tests of views and comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from idskit.bench.measure import Spread
from idskit.bench.result import Memory, Report, Result, RunFacts
from idskit.bench.subject import Execution, ModelFacts
from idskit.machine.machine_facts import machine_facts

ORT = Execution(
    backend="onnxruntime", provider_asked="cpu", provider_used="CPUExecutionProvider", threads=2
)
TORCH = replace(ORT, backend="torch eager", provider_used="cpu")


def make_result(
    *flows_per_s: float,
    name: str = "ids",
    precision: str = "fp32",
    execution: Execution = ORT,
    scenario: str = "offline",
    batch: int = 256,
    sha256: str = "0" * 64,
    **changed: object,
) -> Result:
    """A result whose rounds gave ``flows_per_s``."""
    model = ModelFacts(name=name, sha256=sha256, precision=precision, opset=17, bytes=2048)
    run = RunFacts(
        scenario=scenario,
        batch=batch,
        rounds=len(flows_per_s),
        duration_s=1.0,
        warmup_s=0.0,
        seed=1,
        input="made up",
    )
    latency = dict.fromkeys(("mean", "stdev", "min", "p90", "p95", "p99_9", "max"), 1.0)
    result = Result(
        model=model,
        execution=execution,
        run=run,
        init_ms=1.0,
        first_ms=1.0,
        latency_ms={"count": 1} | latency | {"p50": 0.0123, "p99": 0.456},
        split_ms=None,
        flows_per_s=Spread.of(flows_per_s),
        packets_per_s=None,
        rss_mib=Memory(start=1.0, peak=2.0, end=2.0),
        temperature_c=None,
        frequency_mhz=None,
        throttled=None,
        power_w=None,
        energy_mj_per_flow=None,
        accuracy=None,
        warnings=(),
    )
    return replace(result, **changed)


def make_report(*results: Result, machine: dict[str, object] | None = None, **changed) -> Report:
    """A report of this machine, or of one that differs from it by ``machine``."""
    report = Report(
        machine=machine_facts() | (machine or {}),
        results=results,
        verdict=("So be it.",),
        created=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    )
    return replace(report, **changed)


def rounds(middle: float, *, spread: float = 0.01, count: int = 7) -> Sequence[float]:
    """Evenly spread values around a middle."""
    return [middle * (1 + spread * (2 * i / (count - 1) - 1)) for i in range(count)]
