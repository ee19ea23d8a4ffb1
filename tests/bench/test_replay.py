"""Paced replay: packets come when they are due, and verdicts are timed from there."""

import math
import time
from types import SimpleNamespace

import numpy as np
import pytest
from tests.bench.measured import measure

from idskit.bench import run_bench as run
from idskit.bench.measure import Plan
from idskit.bench.scenarios.pipeline import Passes
from idskit.bench.scenarios.replay import VERDICT_AT_US, PacedCapture, replay
from idskit.capture.capture_file import open_capture
from idskit.errors import CaptureError, IdskitError, SchemaError
from idskit.flow import VERDICT
from idskit.generate import generate
from idskit.profiles import schema_named
from idskit.profiles.flow_reader import open_flows

PACKETS = 2000
INFER_S = 0.004


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return generate(tmp_path_factory.mktemp("c") / "mixed.pcap", packets=PACKETS, mix="mixed").path


def detector(judged: list[int] | None = None):
    """One that takes INFER_S for any batch."""

    def flow_probabilities(batch):
        time.sleep(INFER_S)
        return batch.features[:, :2]

    def judge(_, flows):
        if judged is not None:
            judged.append(int(np.count_nonzero(flows["end"] == VERDICT)))
        return []

    return SimpleNamespace(
        schema=schema_named("gateway"), flow_probabilities=flow_probabilities, judge=judge
    )


def test_no_packet_comes_before_it_is_due_and_none_is_lost(path) -> None:
    rate, times = 20_000, []
    capture = PacedCapture(path, rate)
    for frames in capture.frames():
        elapsed_s = (time.perf_counter_ns() - capture.begin_ns) / 1e9
        assert (capture.seen - 1) / rate <= elapsed_s or not len(frames.records)
        times.append(frames.records["time_ns"].copy())
    with open_capture(path) as plain:
        expected = np.concatenate([frames.records["time_ns"] for frames in plain.frames()])
    np.testing.assert_array_equal(np.concatenate(times), expected)
    assert capture.over_ns - capture.begin_ns >= (PACKETS - 1) / rate * 1e9


def test_it_reads_as_many_packets_as_were_asked_for(path) -> None:
    capture = PacedCapture(path, 1e6, packets=300)
    assert sum(len(frames.records) for frames in capture.frames()) == capture.seen == 300


def test_time_asleep_is_counted(path, monkeypatch) -> None:
    now_ns = 5

    def passes(seconds: float) -> None:
        nonlocal now_ns
        now_ns += round(seconds * 1e9)

    monkeypatch.setattr(time, "perf_counter_ns", lambda: now_ns)
    monkeypatch.setattr(time, "sleep", passes)
    capture = PacedCapture(path, 10_000, packets=1000)
    for _ in capture.frames():
        passes(20e-6)  # of work
    spent_ns = capture.over_ns - capture.begin_ns
    assert spent_ns >= 999 * 100_000  # when the last one is due
    assert 0.5 * spent_ns < capture.slept_ns < spent_ns


def test_a_verdict_waits_at_least_for_its_inference(path, tmp_path) -> None:
    capture = PacedCapture(path, 10_000)
    with (tmp_path / "alerts").open("w") as sink:
        found = replay(detector(), capture, sink)
    assert found.packets == PACKETS
    assert found.waits_ns.min() >= INFER_S * 1e9
    assert found.infer_ns >= INFER_S * 1e9


def test_every_verdict_of_the_capture_is_timed(path, tmp_path) -> None:
    with open_flows(path, "gateway", verdict_at_s=[VERDICT_AT_US / 1e6]) as flows:
        expected = sum(np.count_nonzero(b.flows["end"] == VERDICT) for b in flows.batches())
    judged: list[int] = []
    with (tmp_path / "alerts").open("w") as sink:
        found = replay(detector(judged), PacedCapture(path, 5_000), sink)
    assert len(found.waits_ns) == sum(judged) == expected


def test_waits_run_from_when_the_packet_of_that_time_was_due(path) -> None:
    capture = PacedCapture(path, 1000)
    capture.begin_ns = 5
    np.testing.assert_array_equal(capture.due_ns(np.array([0, 250])), [5, 250_000_005])


def test_a_missing_capture(tmp_path) -> None:
    with pytest.raises(CaptureError, match="no such file"):
        PacedCapture(tmp_path / "absent.pcap", 10)


# The whole command.


@pytest.fixture
def flow_model(make_model, monkeypatch):
    monkeypatch.setattr(run, "QUICK", Plan(rounds=2, round_s=0.0, warmup_s=0.0))
    monkeypatch.setattr(run, "QUICK_PASSES", Passes(count=1, packets=1500, paced_s=0.3))
    schema = schema_named("gateway")
    return make_model(schema=schema, classes=("benign", "scan"), weights=np.zeros((len(schema), 2)))


def test_latency_is_that_of_verdicts_at_the_rate_asked_for(flow_model, path) -> None:
    report = measure(flow_model, scenario=("pipeline",), capture=path, rate=5000, quick=True)
    (result,) = report.results
    assert result.paced.rate_per_s == 5000
    assert result.latency_ms["count"] == result.paced.verdicts > 0
    assert "arriving at 5,000 packets/s" in result.run.input
    assert "At 5,000 packets/s" in report.verdict[0]


def test_a_rate_that_is_too_high_is_said(flow_model) -> None:
    (result,) = measure(flow_model, scenario=("pipeline",), rate=1e9, quick=True).results
    assert "fell behind: 1,000,000,000 packets/s were due" in result.warnings[0]
    assert result.packets_per_s.median < 1e9


@pytest.mark.parametrize(
    ("scenario", "rate", "message"),
    [
        ("offline", 100.0, "add --scenario pipeline"),
        ("pipeline", 0.0, "more than 0 is needed"),
        ("pipeline", math.nan, "more than 0"),
    ],
)
def test_a_rate_that_makes_no_sense(flow_model, scenario, rate, message) -> None:
    with pytest.raises(IdskitError, match=message):
        measure(flow_model, scenario=(scenario,), rate=rate, quick=True)


def test_a_rate_too_low_for_any_verdict(flow_model) -> None:
    with pytest.raises(SchemaError, match=r"no flow came to its verdict.*raise --rate"):
        measure(flow_model, scenario=("pipeline",), rate=4, quick=True)
