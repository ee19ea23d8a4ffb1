"""A whole run on small NSL-KDD files: what it writes, what it says, what it refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from idskit.data.published import nsl_kdd
from idskit.errors import DataError, DeviceError, ModelError, RunError
from idskit.metrics import summary
from idskit.models.saved_run import load_run
from idskit.training import train as train_module
from idskit.training.evaluation.evaluate import evaluate
from idskit.training.settings import TrainingSettings
from idskit.training.train import train

FILES = {
    "model.safetensors",
    "rows.safetensors",
    "run.json",
    "metrics.json",
    "roc.svg",
    "reliability.svg",
    "confusion.svg",
    "loss.svg",
    "filter-bank.svg",
}


@pytest.fixture(scope="module")
def finished(nsl_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("runs") / "first"
    settings = TrainingSettings(width=8, epochs=2, batch=64, threads=1)
    train(settings, data=nsl_folder, output=output)
    return output


def metrics_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.json").read_text())


def test_a_finished_folder_holds_the_run_and_nothing_else(finished: Path):
    assert {path.name for path in finished.iterdir()} == FILES


def test_pictures_are_svg(finished: Path):
    for path in finished.glob("*.svg"):
        assert ElementTree.parse(path).getroot().tag.endswith("svg")  # noqa: S314 - our own


def test_run_json_says_what_was_trained(finished: Path):
    facts = load_run(finished).facts
    assert facts["settings"]["width"] == 8
    assert facts["settings"]["scaling"] == "log-standard"
    assert set(facts["sha256"]) == {"KDDTrain+.txt", "KDDTest+.txt"}
    assert facts["rows"] == {"train": 510, "validation": 90, "test": 140}
    assert "torch" in facts["versions"]


def test_no_path_of_the_machine_is_written(finished: Path):
    text = (finished / "run.json").read_text() + (finished / "metrics.json").read_text()
    assert not re.search(r'"/[^"]', text)


def test_metrics_are_those_of_the_saved_network(finished: Path, nsl_folder: Path):
    run = load_run(finished)
    dataset = nsl_kdd.load(nsl_folder, protocol="official", labels="binary", seed=0)
    probabilities = run.network(torch.from_numpy(dataset.test.rows)).detach().numpy()
    expected = summary(dataset.test.labels, probabilities, run.classes, run.threshold)
    found = metrics_of(finished)["test"]
    assert found["confusion"] == expected["confusion"]
    alerts = [of["at_threshold"].pop("false_alerts_per_hour") for of in (found, expected)]
    assert alerts[0] == pytest.approx(alerts[1])
    for name in ("f1", "tpr_at_fpr", "at_threshold"):
        assert found[name] == pytest.approx(expected[name])
    for name in ("accuracy", "macro_f1", "roc_auc", "calibration_error", "threshold"):
        assert found[name] == pytest.approx(expected[name])


def test_the_baseline_stands_beside_the_network(finished: Path):
    document = metrics_of(finished)
    assert document["baseline"]["name"] == "lightgbm"
    assert document["baseline"]["test"].keys() == document["test"].keys()


def test_attacks_absent_from_training_are_marked(finished: Path):
    groups = metrics_of(finished)["groups"]
    assert {name: group["trained_on"] for name, group in groups.items()} == {
        "mscan": False,
        "neptune": True,
        "normal": True,
    }
    assert groups["mscan"]["rows"] == 20


def test_threshold_is_that_of_the_validation_rows(finished: Path):
    run, document = load_run(finished), metrics_of(finished)
    assert document["validation"]["at_threshold"]["false_positive_rate"] <= 0.01
    assert document["test"]["threshold"] == run.threshold


def test_calibration_rows_are_drawn_from_each_class(finished: Path):
    labels = load_run(finished).calibration.labels
    assert np.bincount(labels).tolist() == [255, 255]


def test_held_rows_are_the_validation_rows(finished: Path, nsl_folder: Path):
    dataset = nsl_kdd.load(nsl_folder, protocol="official", labels="binary", seed=0)
    assert (load_run(finished).held.flows == dataset.validation.rows).all()


def test_evaluating_the_run_gives_its_metrics(finished: Path, nsl_folder: Path):
    found = evaluate(finished, "nsl-kdd", data=nsl_folder)
    document = metrics_of(finished)
    assert found["test"] == document["test"]
    assert found["groups"].keys() == document["groups"].keys()
    assert found["runtime"] == "torch"


def test_evaluating_a_run_obeys_the_threads(
    finished: Path, nsl_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    before, asked = torch.get_num_threads(), []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    evaluate(finished, "nsl-kdd", data=nsl_folder, threads=3)
    assert asked == [3, before]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"device": "cuda"}, "device cuda was asked for, .* sees no GPU"),
        ({"device": "tensorrt"}, "device 'tensorrt' was asked for with a training run"),
        ({"threads": 100_000}, "100000 threads were asked for: choose 1 to 256"),
        ({"threads": 0}, "0 threads were asked for: choose 1 to 256"),
    ],
)
def test_evaluating_a_run_obeys_or_refuses(
    finished: Path, options: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match=words):
        evaluate(finished, "nsl-kdd", data=Path("unread"), **options)


def test_evaluating_on_other_files_says_so(finished: Path, nsl_folder: Path, tmp_path: Path):
    for name in ("KDDTrain+.txt", "KDDTest+.txt"):
        lines = (nsl_folder / name).read_text().splitlines(keepends=True)
        (tmp_path / name).write_text("".join(lines[:-1]))
    found = evaluate(finished, "nsl-kdd", data=tmp_path)
    assert any("not those of the training run" in note for note in found["notes"])


def test_evaluating_a_folder_without_a_run_is_refused(nsl_folder: Path, tmp_path: Path):
    with pytest.raises(RunError, match=r"no run\.json"):
        evaluate(tmp_path, "nsl-kdd", data=nsl_folder)


def test_evaluating_a_model_of_another_schema_is_refused(
    make_model: Callable[..., Path], nsl_folder: Path
):
    model = make_model()
    with pytest.raises(ModelError, match="does not say with which protocol, labels and seed"):
        evaluate(model, "nsl-kdd", data=nsl_folder)


def test_a_run_killed_between_epochs_resumes_to_the_same_folder(
    finished: Path, nsl_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    settings = TrainingSettings(width=8, epochs=2, batch=64, threads=1)
    with monkeypatch.context() as patch:
        patch.setattr(train_module, "lightgbm_probabilities", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(settings, data=nsl_folder, output=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint.safetensors"}
    train(settings, data=nsl_folder, output=tmp_path, resume=True)
    assert {path.name for path in tmp_path.iterdir()} == FILES
    for name in ("model.safetensors", "rows.safetensors", "run.json"):
        assert (tmp_path / name).read_bytes() == (finished / name).read_bytes()


def _interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_an_earlier_run_stays_until_the_next_is_finished(
    finished: Path, nsl_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for path in finished.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    settings = TrainingSettings(width=8, epochs=1, batch=64, threads=1, seed=9)
    with monkeypatch.context() as patch:
        patch.setattr(train_module, "lightgbm_probabilities", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(settings, data=nsl_folder, output=tmp_path)
    assert load_run(tmp_path).facts["settings"]["seed"] == 0


@pytest.mark.parametrize("protocol", ["honest", "paper"])
def test_other_protocols_and_families_run(nsl_folder: Path, tmp_path: Path, protocol: str):
    settings = TrainingSettings(width=8, epochs=1, batch=64, threads=1)
    document = train(
        replace(settings, protocol=protocol),  # type: ignore[arg-type]
        data=nsl_folder,
        output=tmp_path,
    )
    assert document["protocol"] == protocol
    assert document["notes"]


def test_an_output_that_cannot_be_a_folder_is_refused(nsl_folder: Path, tmp_path: Path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(RunError, match="cannot be made a folder"):
        train(TrainingSettings(epochs=1), data=nsl_folder, output=file)


def test_nothing_is_written_when_the_data_cannot_be_used(tmp_path: Path):
    output = tmp_path / "run"
    with pytest.raises(DataError, match="neither"):
        train(TrainingSettings(), data=tmp_path, output=output)
    assert not output.exists()
