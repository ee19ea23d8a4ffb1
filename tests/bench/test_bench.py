"""``bench`` from end to end on tiny models: the result file, its schema, the verdict."""

import json
from importlib.resources import files
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from idskit.bench import run, scenarios
from idskit.bench.backends import open_candidate, realistic_rows
from idskit.bench.measure import Plan
from idskit.bench.run import bench
from idskit.errors import DeviceError, IdskitError, ModelError, RunError, SchemaError
from idskit.schema import Feature, Schema

NAMES = Schema(
    name="names",
    features=(
        Feature(name="service", unit="", categories=("http", "ssh")),
        Feature(name="bytes", unit="bytes"),
    ),
)


@pytest.fixture(autouse=True)
def short(monkeypatch) -> None:
    monkeypatch.setattr(run, "QUICK", Plan(rounds=3, round_s=0.002, warmup_s=0.0))


def test_the_result_file_obeys_its_published_schema(make_model, tmp_path) -> None:
    bench([make_model()], scenario=["offline", "single-stream"], quick=True, json=tmp_path / "r")
    published = json.loads((files("idskit.bench") / "result.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(published)
    jsonschema.validate(json.loads((tmp_path / "r").read_text()), published)


def test_every_model_is_measured_at_every_batch_size(make_model) -> None:
    models = [make_model("a.onnx"), make_model("b.onnx")]
    report = bench(models, scenario=["offline"], quick=True)
    measured = [(r.model.name, r.run.batch) for r in report.results]
    sizes = scenarios.QUICK_BATCHES
    assert measured == [(name, size) for size in sizes for name in ("a", "b")]


def test_batch_and_threads_are_those_asked_for(make_model) -> None:
    report = bench([make_model()], scenario=["offline"], batch=5, threads=1, quick=True)
    (result,) = report.results
    assert (result.run.batch, result.execution.threads) == (5, 1)
    assert result.execution.provider_used == "CPUExecutionProvider"


def test_single_stream_judges_one_flow_a_call(make_model) -> None:
    (result,) = bench([make_model()], scenario=["single-stream"], quick=True).results
    assert result.run.batch == 1
    spent_ms = result.latency_ms["count"] * result.latency_ms["mean"]
    assert spent_ms / 1e3 == pytest.approx(result.run.duration_s)


def test_accuracy_is_what_the_exporter_wrote(make_model) -> None:
    seen = {"macro_f1_before": 0.9, "macro_f1_after": 0.88}
    facts = {"export": {"fp32_against_torch": None, "int8_against_fp32": seen}}
    accuracy = open_candidate(make_model(facts=facts)).accuracy
    assert accuracy.macro_f1 == 0.88
    assert accuracy.delta == pytest.approx(-0.02)


def test_a_model_that_says_nothing_of_accuracy_gets_none(make_model) -> None:
    assert open_candidate(make_model()).accuracy is None


def test_tables_go_to_stderr_and_json_to_stdout(make_model, capsys) -> None:
    bench([make_model()], scenario=["single-stream"], quick=True, json=Path("-"))
    out, err = capsys.readouterr()
    assert json.loads(out)["results"][0]["run"]["scenario"] == "single-stream"
    assert "99 of 100 flows are judged within this time" in err


def test_nothing_is_left_when_the_result_cannot_be_written(make_model, tmp_path) -> None:
    with pytest.raises(IdskitError, match="cannot be written"):
        bench(
            [make_model()], scenario=["single-stream"], quick=True, json=tmp_path / "absent" / "r"
        )
    assert [path.name for path in tmp_path.iterdir()] == ["toy.onnx"]


def test_an_unknown_scenario(make_model) -> None:
    with pytest.raises(IdskitError, match="'fast' was asked for: choose among offline"):
        bench([make_model()], scenario=["fast"])


def test_an_empty_batch(make_model) -> None:
    with pytest.raises(IdskitError, match="batch of 0 rows"):
        bench([make_model()], batch=0)


def test_an_unknown_device(make_model) -> None:
    with pytest.raises(DeviceError, match="'tpu' is not one of"):
        bench([make_model()], device="tpu")


def test_models_of_different_schemas(make_model) -> None:
    models = [make_model("a.onnx"), make_model("b.onnx", schema=NAMES, classes=("benign", "x"))]
    with pytest.raises(SchemaError, match="measure them in separate runs"):
        bench(models)


def test_a_missing_model(tmp_path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        bench([tmp_path / "absent.onnx"])


def test_a_folder_that_is_no_run(tmp_path) -> None:
    pytest.importorskip("torch")
    with pytest.raises(RunError, match=r"no run\.json"):
        bench([tmp_path])


def test_a_model_without_golden_vectors(make_model) -> None:
    with pytest.raises(IdskitError, match="no golden vectors"):
        bench([make_model(golden=np.empty((0, 3)))], quick=True)


def test_input_rows_keep_zeros_signs_and_categories() -> None:
    sample = np.array([[0, 0], [1, -400], [1, 7]], np.float32)
    rows = realistic_rows(sample, NAMES, 1000, seed=1)
    assert (rows.shape, rows.dtype) == ((1000, 2), np.float32)
    assert set(rows[:, 0]) == {0, 1}
    of_first = rows[rows[:, 0] == 0]
    assert not of_first.any()
    negative = rows[rows[:, 1] < 0, 1]
    assert negative.mean() == pytest.approx(-400, rel=0.02)
    assert len(np.unique(negative)) > 100


def test_input_rows_are_the_same_for_a_seed() -> None:
    sample = np.array([[1, 5], [0, 9]], np.float32)
    first, second = (realistic_rows(sample, NAMES, 50, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first, second)
