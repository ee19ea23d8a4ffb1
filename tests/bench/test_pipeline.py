"""The pipeline scenario on small generated captures."""

import json
from importlib.resources import files

import jsonschema
import numpy as np
import pytest
from tests.bench.measured import measure

from idskit.bench import bench_options
from idskit.bench import run_bench as run
from idskit.bench.measure import Meter, Plan
from idskit.bench.scenarios import pipeline as module
from idskit.bench.scenarios.pipeline import Passes
from idskit.errors import CaptureError, SchemaError
from idskit.generate import generate
from idskit.machine.sensors import Reading
from idskit.profiles import schema_named


@pytest.fixture(autouse=True)
def short(monkeypatch) -> None:
    monkeypatch.setattr(run, "QUICK", Plan(rounds=2, round_s=0.0, warmup_s=0.0))
    monkeypatch.setattr(run, "QUICK_PASSES", Passes(count=3, packets=1500, paced_s=0.5))
    # the others take longer
    monkeypatch.setattr(bench_options, "DEFAULT_SCENARIOS", ("single-stream", "pipeline"))


@pytest.fixture
def flow_model(make_model):
    schema = schema_named("gateway")
    return make_model(schema=schema, classes=("benign", "scan"), weights=np.zeros((len(schema), 2)))


@pytest.fixture(scope="module")
def capture(tmp_path_factory):
    return generate(tmp_path_factory.mktemp("c") / "home.pcap", packets=2000, seed=3).path


@pytest.mark.parametrize("rate", [None, 3000.0])
def test_energy_of_a_flow_where_power_can_be_read(flow_model, monkeypatch, rate) -> None:
    monkeypatch.setattr(module, "Meter", lambda: Meter(lambda: Reading(power_w=3.0)))
    (result,) = measure(flow_model, scenario=("pipeline",), rate=rate, quick=True).results
    assert result.power_w == 3
    assert result.energy_mj_per_flow == pytest.approx(3000 / result.flows_per_s.median)


def test_it_generates_a_capture_when_none_is_given(flow_model) -> None:
    (result,) = measure(flow_model, scenario=("pipeline",), quick=True).results
    assert "1500 packets" in result.run.input
    assert len(result.packets_per_s.values) == result.run.rounds == 3


def test_packets_and_flows_are_those_of_the_capture(flow_model, capture) -> None:
    (result,) = measure(flow_model, scenario=("pipeline",), capture=capture, quick=True).results
    seconds = [2000 / rate for rate in result.packets_per_s.values]
    assert sum(seconds) == pytest.approx(result.run.duration_s)
    flows = {round(r * s) for r, s in zip(result.flows_per_s.values, seconds, strict=True)}
    assert len(flows) == 1


def test_the_split_adds_up_to_a_pass(flow_model, capture) -> None:
    (result,) = measure(flow_model, scenario=("pipeline",), capture=capture, quick=True).results
    split = result.split_ms
    assert min(split.extract, split.infer, split.post) > 0
    assert sum(split.shares().values()) == pytest.approx(1)


def test_scenarios_together_obey_the_published_schema(flow_model, capture, tmp_path) -> None:
    measure(flow_model, capture=capture, quick=True, json=tmp_path / "r.json")
    document = json.loads((tmp_path / "r.json").read_text())
    jsonschema.validate(
        document, json.loads((files("idskit.bench") / "result.schema.json").read_text())
    )
    measured = {result["run"]["scenario"] for result in document["results"]}
    assert measured == {"single-stream", "pipeline"}


def test_a_model_that_no_capture_feeds_is_left_out_aloud(make_model) -> None:
    report = measure(make_model(), quick=True)
    assert {result.run.scenario for result in report.results} == {"single-stream"}
    assert "No pipeline was measured: toy" in report.verdict[-1]


def test_a_model_that_no_capture_feeds_is_refused_when_asked_for(make_model) -> None:
    with pytest.raises(SchemaError, match="reads schema toy, which no capture gives"):
        measure(make_model(), scenario=("pipeline",), quick=True)


def test_a_missing_capture(flow_model, tmp_path) -> None:
    with pytest.raises(CaptureError, match="no such file"):
        measure(flow_model, scenario=("pipeline",), capture=tmp_path / "absent.pcap", quick=True)


def test_a_capture_without_flows(flow_model, capture, tmp_path) -> None:
    empty = tmp_path / "empty.pcap"
    empty.write_bytes(capture.read_bytes()[:24])
    with pytest.raises(SchemaError, match="holds no flows"):
        measure(flow_model, scenario=("pipeline",), capture=empty, quick=True)
