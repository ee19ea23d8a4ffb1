"""``bench`` from end to end on tiny models: the result file, its schema, the verdict."""

import json
from importlib.resources import files
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from tests.bench.measured import measure

from idskit.bench import int8_peak as ceiling
from idskit.bench import run_bench as run
from idskit.bench.bench_options import DEFAULT_SCENARIOS
from idskit.bench.measure import Plan
from idskit.bench.result import Report
from idskit.bench.scenarios import inference as scenarios
from idskit.bench.scenarios.inference import free_memory_mib, require_memory
from idskit.bench.scenarios.pipeline import Passes
from idskit.bench.subject import open_subject, realistic_rows
from idskit.bench.views.compare_results import compare
from idskit.errors import DeviceError, IdskitError, ModelError, RunError, SchemaError
from idskit.schema import Feature, Schema

NAMES = Schema(
    name="names",
    features=(
        Feature(name="service", unit="", categories=("http", "ssh")),
        Feature(name="bytes", unit="bytes"),
    ),
)

PLAN = Plan(rounds=3, round_s=0.002, warmup_s=0.0, probe_s=0.01, probe_bounds=2, searches=1)


@pytest.fixture(autouse=True)
def short(monkeypatch) -> None:
    monkeypatch.setattr(run, "QUICK", PLAN)
    monkeypatch.setattr(run, "QUICK_PASSES", Passes(count=3, packets=1500))
    monkeypatch.setattr(ceiling, "PLAN", PLAN)


def test_the_result_file_obeys_its_published_schema(make_model, tmp_path) -> None:
    wanted = ["offline", "single-stream", "server", "sustained"]
    measure(make_model(), scenario=tuple(wanted), minutes=0.002, quick=True, json=tmp_path / "r")
    published = json.loads((files("idskit.bench") / "result.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(published)
    jsonschema.validate(json.loads((tmp_path / "r").read_text()), published)


def test_every_model_is_measured_at_every_batch_size(make_model) -> None:
    models = [make_model("a.onnx"), make_model("b.onnx")]
    report = measure(*models, scenario=("offline",), quick=True)
    measured = [(r.model.name, r.run.batch) for r in report.results]
    sizes = scenarios.QUICK_BATCHES
    assert measured == [(name, size) for size in sizes for name in ("a", "b")]


def test_batch_and_threads_are_those_asked_for(make_model) -> None:
    report = measure(make_model(), scenario=("offline",), batch=5, threads=(1,), quick=True)
    (result,) = report.results
    assert (result.run.batch, result.execution.threads) == (5, 1)
    assert result.execution.provider_used == "CPUExecutionProvider"


def test_several_thread_counts_are_measured_side_by_side(make_model) -> None:
    report = measure(
        make_model(),
        scenario=("offline",),
        batch=5,
        threads=(1, 2),
        quick=True,
    )
    assert [result.execution.threads for result in report.results] == [1, 2]
    assert any("with 2 threads as with 1" in sentence for sentence in report.verdict)


def test_a_cold_flow_engine_makes_the_first_run_a_quick_one(monkeypatch) -> None:
    monkeypatch.setattr(run, "needs_compiling", lambda _schema: True)
    monkeypatch.setattr(run, "FULL", None)  # what must not be used
    report = measure()
    assert report.verdict[-1] == run.COMPILED_FIRST
    assert {result.run.scenario for result in report.results} == set(DEFAULT_SCENARIOS)


def test_single_stream_judges_one_flow_a_call(make_model) -> None:
    (result,) = measure(make_model(), scenario=("single-stream",), quick=True).results
    assert result.run.batch == 1
    spent_ms = result.latency_ms["count"] * result.latency_ms["mean"]
    assert spent_ms / 1e3 == pytest.approx(result.run.duration_s)


def test_accuracy_is_what_the_exporter_wrote(make_model) -> None:
    seen = {"macro_f1_before": 0.9, "macro_f1_after": 0.88}
    facts = {"export": {"fp32_against_torch": None, "int8_against_fp32": seen}}
    accuracy = open_subject(make_model(facts=facts)).accuracy
    assert accuracy.macro_f1 == 0.88
    assert accuracy.delta == pytest.approx(-0.02)


def test_a_model_that_says_nothing_of_accuracy_gets_none(make_model) -> None:
    assert open_subject(make_model()).accuracy is None


def test_tables_go_to_stderr_and_json_to_stdout(make_model, capsys) -> None:
    measure(make_model(), scenario=("single-stream",), quick=True, json=Path("-"))
    out, err = capsys.readouterr()
    assert json.loads(out)["results"][0]["run"]["scenario"] == "single-stream"
    assert "99 of 100 flows are judged within this time" in err


def test_nothing_is_measured_when_the_result_cannot_be_written(
    make_model, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(run, "single_stream", lambda *_: pytest.fail("it was measured"))
    with pytest.raises(IdskitError, match=r"cannot be written: .* does not exist"):
        measure(
            make_model(), scenario=("single-stream",), quick=True, json=tmp_path / "absent" / "r"
        )
    assert [path.name for path in tmp_path.iterdir()] == ["toy.onnx"]


def test_more_threads_than_any_processor_runs_are_refused(make_model) -> None:
    with pytest.raises(DeviceError, match="100000 threads were asked for: choose 1 to 256"):
        measure(
            make_model(),
            scenario=("single-stream",),
            threads=(1, 100_000),
        )


def test_an_unknown_scenario(make_model) -> None:
    with pytest.raises(IdskitError, match="'fast' was asked for: choose among single-stream"):
        measure(make_model(), scenario=("fast",))


def test_an_empty_batch(make_model) -> None:
    with pytest.raises(IdskitError, match="batch is 0: choose 1 or more"):
        measure(make_model(), batch=0)


def test_an_unknown_device(make_model) -> None:
    with pytest.raises(DeviceError, match="'tpu' is not one of"):
        measure(make_model(), device="tpu")


def test_models_of_different_schemas(make_model) -> None:
    models = [make_model("a.onnx"), make_model("b.onnx", schema=NAMES, classes=("benign", "x"))]
    with pytest.raises(SchemaError, match="measure them in separate runs"):
        measure(*models)


def test_a_missing_model(tmp_path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        measure(tmp_path / "absent.onnx")


def test_a_folder_that_is_no_run(tmp_path) -> None:
    pytest.importorskip("torch")
    with pytest.raises(RunError, match=r"no run\.json"):
        measure(tmp_path)


def test_a_model_without_golden_vectors(make_model) -> None:
    with pytest.raises(IdskitError, match="no golden vectors"):
        measure(make_model(golden=np.empty((0, 3))), quick=True)


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


def test_without_a_model_the_shipped_one_is_measured_and_what_limits_it_is_said() -> None:
    report = measure(quick=True)
    said = " ".join(report.verdict)
    assert {result.run.scenario for result in report.results} == set(DEFAULT_SCENARIOS)
    assert {result.model.precision for result in report.results} == {"int8"}  # it alone
    for part in ("int8", "flows/s", "packets/s", "limits"):
        assert part in said


def test_views_are_written_and_made_again_from_the_result_file(make_model, tmp_path) -> None:
    names = ("r.json", "a.html", "a.md", "b.html", "b.md")
    file, html, markdown, html_again, markdown_again = (tmp_path / name for name in names)
    made = measure(
        make_model(),
        scenario=("offline", "server"),
        quick=True,
        json=file,
        html=html,
        markdown=markdown,
    )
    compare([file], html=html_again, markdown=markdown_again)
    assert Report.load(file).results == made.results
    assert html.read_text() == html_again.read_text()
    assert markdown.read_text() == markdown_again.read_text()
    assert Report.load(file).int8_rate == made.int8_rate


def test_sustained_is_measured_only_when_asked_for(make_model) -> None:
    assert "sustained" not in DEFAULT_SCENARIOS
    (result,) = measure(make_model(), scenario=("sustained",), minutes=0.002, quick=True).results
    assert result.run.scenario == "sustained"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"minutes": 5}, "--minutes was given without the scenario it belongs to"),
        ({"rate": 5}, "--rate was given without the scenario it belongs to"),
        ({"scenario": ("sustained",), "minutes": -2}, "--minutes -2 was asked for"),
        ({"scenario": ("sustained",), "minutes": 0}, "--minutes 0 was asked for"),
    ],
)
def test_settings_that_make_no_sense(make_model, arguments, said) -> None:
    with pytest.raises(IdskitError, match=said):
        measure(make_model(), **({"scenario": ("offline",), "quick": True} | arguments))


def test_a_batch_that_does_not_fit_memory(make_model) -> None:
    with pytest.raises(IdskitError, match=r"needs about .* MiB are free: choose a smaller --batch"):
        measure(make_model(), scenario=("offline",), batch=10**12)


def test_a_model_that_does_not_fit_memory(make_model, monkeypatch) -> None:
    monkeypatch.setattr(scenarios, "free_memory_mib", lambda: 0.001)
    with pytest.raises(IdskitError, match=r"toy\.onnx of 0 MiB needs about .* are free"):
        measure(make_model(), quick=True)


def test_a_batch_that_fits(make_model) -> None:
    require_memory(open_subject(make_model()), 4096)


def test_what_numpy_says_when_memory_ends_is_one_sentence(make_model, monkeypatch) -> None:
    monkeypatch.setattr(run, "offline", lambda *_: np.empty(10**15))
    with pytest.raises(IdskitError, match="scenario offline does not fit the memory"):
        measure(make_model(), scenario=("offline",), quick=True)


def test_what_onnxruntime_says_when_memory_ends_is_one_sentence(make_model, monkeypatch) -> None:
    def fail(*_):
        raise RuntimeError("Failed to allocate memory for requested buffer of size 1")

    monkeypatch.setattr(run, "offline", fail)
    with pytest.raises(IdskitError, match="scenario offline does not fit the memory"):
        measure(make_model(), scenario=("offline",), quick=True)


def test_free_memory_is_within_the_groups_limit(tmp_path) -> None:
    group = tmp_path / "sys/fs/cgroup"
    (tmp_path / "proc").mkdir()
    group.mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9000000 kB\nMemAvailable: 2097152 kB\n")
    assert free_memory_mib(tmp_path) == 2048
    (group / "memory.max").write_text("1048576\n")
    assert free_memory_mib(tmp_path) < 1
