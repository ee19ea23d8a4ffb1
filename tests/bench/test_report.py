"""The verdict in words, and the tables, from results that are made up."""

import io
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from rich.console import Console

from idskit.bench.backends import Execution, ModelFacts
from idskit.bench.machine import machine_facts
from idskit.bench.measure import Spread
from idskit.bench.report import show, verdict
from idskit.bench.result import Memory, Report, Result, RunFacts, Split

ORT = Execution(
    backend="onnxruntime", provider_asked="cpu", provider_used="CPUExecutionProvider", threads=2
)
TORCH = replace(ORT, backend="torch eager", provider_used="cpu")


def make_result(
    flows_per_s: float,
    *,
    name: str = "ids",
    precision: str = "fp32",
    execution: Execution = ORT,
    scenario: str = "offline",
    batch: int = 256,
    **changed: object,
) -> Result:
    model = ModelFacts(name=name, sha256="0" * 64, precision=precision, opset=17, bytes=2048)
    run = RunFacts(
        scenario=scenario, batch=batch, rounds=1, duration_s=1, warmup_s=0, seed=1, input="made up"
    )
    latency = dict.fromkeys(("mean", "stdev", "min", "p50", "p90", "p95", "p99", "p99_9", "max"))
    result = Result(
        model=model,
        execution=execution,
        run=run,
        init_ms=1.0,
        first_ms=1.0,
        latency_ms={"count": 1} | latency | {"p50": 0.0123, "p99": 0.456},
        split_ms=None,
        flows_per_s=Spread.of([flows_per_s]),
        packets_per_s=None,
        rss_mib=Memory(start=1, peak=2, end=2),
        temperature_c=None,
        frequency_mhz=None,
        throttled=None,
        power_w=None,
        energy_mj_per_flow=None,
        accuracy=None,
        warnings=(),
    )
    return replace(result, **changed)


def words(*results: Result) -> str:
    return "\n".join(verdict(results))


@pytest.mark.parametrize(
    ("int8", "says"),
    [
        (300.0, "int8 pays here: 3.00 times the speed of fp32 (offline, batch 256)"),
        (80.0, "int8 costs more than it gains here: 0.80 times"),
        (101.0, "int8 is even here: 1.01 times"),
    ],
)
def test_it_says_whether_int8_pays(int8, says) -> None:
    assert says in words(make_result(100.0), make_result(int8, precision="int8"))


def test_one_flow_at_a_time_is_compared_by_its_median_latency() -> None:
    fp32 = make_result(1.0, scenario="single-stream", batch=1)
    int8 = make_result(
        1.0,
        precision="int8",
        scenario="single-stream",
        batch=1,
        latency_ms=fp32.latency_ms | {"p50": fp32.latency_ms["p50"] / 2},
    )
    assert "2.00 times the speed of fp32 (single-stream)" in words(fp32, int8)


def test_one_precision_alone_says_nothing_of_int8() -> None:
    assert "int8" not in words(make_result(100.0), make_result(90.0, name="other"))


def test_the_fastest_of_each_kind_is_compared() -> None:
    results = [make_result(speed, execution=e) for e, speed in ((ORT, 50.0), (TORCH, 10.0))]
    faster = make_result(100.0, name="faster")
    assert "faster in onnxruntime runs at 10.0 times" in words(*results, faster)


def test_it_compares_torch_with_onnxruntime() -> None:
    eager = make_result(10.0, name="run", execution=TORCH)
    assert "ids in onnxruntime runs at 10.0 times the speed of run" in words(
        make_result(100.0), eager
    )


def test_it_names_the_best_batch() -> None:
    results = [make_result(speed, batch=batch) for batch, speed in ((1, 10.0), (64, 90.0))]
    assert "90 flows a second in batches of 64" in words(*results)


def test_it_gives_latency_in_microseconds() -> None:
    found = words(make_result(10.0, scenario="single-stream", batch=1))
    assert "one flow in 12.3 µs, 99 of 100 within 456 µs" in found


def test_it_names_what_limits_a_pipeline() -> None:
    split = Split(extract=60.0, infer=30.0, post=10.0)
    found = words(
        make_result(
            10.0, scenario="pipeline", split_ms=split, packets_per_s=Spread.of([2_000_000.0])
        )
    )
    assert "2,000,000 packets a second; extract takes 60% of the time and limits" in found


def test_it_says_aloud_what_is_unstable() -> None:
    found = words(make_result(10.0, warnings=("unstable: rounds differ by 41%",)))
    assert "1 of 1 measurements have warnings" in found
    assert "rounds differ by 41%" in found


def test_it_says_when_all_is_stable() -> None:
    assert "All measurements are stable." in words(make_result(10.0))


def test_tables_hold_every_scenario() -> None:
    split = Split(extract=60.0, infer=30.0, post=10.0)
    results = (
        make_result(1234.0),
        make_result(10.0, scenario="single-stream", batch=1),
        make_result(
            10.0, scenario="pipeline", split_ms=split, packets_per_s=Spread.of([2_000_000.0])
        ),
    )
    report = Report(
        machine=machine_facts(), results=results, verdict=("So be it.",), created=datetime.now(UTC)
    )
    text = io.StringIO()
    show(report, Console(file=text, width=100))
    for part in ("1,234", "12.3", "2,000,000", "60%", "A ids", "So be it."):
        assert part in text.getvalue()
