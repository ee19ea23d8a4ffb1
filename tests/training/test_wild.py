"""Captures of networks that a model never saw, judged one by one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from idskit.data.labelled_captures import DIVISION
from idskit.errors import DataError, RunError
from idskit.generate import generate
from idskit.metrics import exact_interval
from idskit.modelfile.model_path import model_path
from idskit.training.evaluation import evaluate as evaluate_module
from idskit.training.evaluation.evaluate import evaluate
from idskit.training.evaluation.unseen_captures import Judged, report


def judged(category: str, score: float, flagged: int = 0, repository: str = "lab") -> Judged:
    return Judged(
        capture=f"{category}-{score}.pcap",
        repository=repository,
        category=category,
        flows=10,
        flagged=flagged,
        score=score,
    )


SOME = [
    judged("benign", 0.1),
    judged("benign", 0.2),
    judged("benign", 0.9, flagged=4, repository="other"),
    judged("scan", 0.95, flagged=10),
    judged("scan", 0.15),
    judged("web", 0.5, repository="other"),
]


@pytest.mark.parametrize(("hits", "of"), [(0, 1), (0, 859), (3, 735), (143, 143), (41, 143)])
def test_intervals_are_those_of_clopper_and_pearson(hits: int, of: int):
    reference = binomtest(hits, of).proportion_ci(method="exact")
    assert exact_interval(hits, of) == pytest.approx((reference.low, reference.high))


def test_captures_and_not_flows_are_counted():
    found = report(SOME)
    assert found["captures"]["benign"]["raised"] == 1
    assert found["captures"]["benign"]["of"] == 3
    assert found["captures"]["attack"]["share"] == pytest.approx(1 / 3)
    assert (found["benign_flows"]["raised"], found["benign_flows"]["of"]) == (4, 30)
    assert found["categories"]["scan"]["raised"] == 1
    assert found["repositories"]["other (attack)"]["raised"] == 0


def test_the_area_is_scikit_learns_and_lies_in_its_interval():
    found = report(SOME)
    labels, scores = [item.is_attack for item in SOME], [item.score for item in SOME]
    assert found["roc_auc"] == pytest.approx(roc_auc_score(labels, scores))
    low, high = found["roc_auc_interval"]
    assert 0 <= low <= found["roc_auc"] <= high <= 1


def test_one_repository_gives_no_interval():
    found = report([item for item in SOME if item.repository == "lab"])
    assert found["roc_auc_interval"] is None


def test_wrong_captures_are_named_the_furthest_off_first():
    names = [item["capture"] for item in report(SOME)["wrong"]]
    assert names[0] == "benign-0.9.pcap"
    assert names[1:] == ["scan-0.15.pcap", "web-0.5.pcap"]


@pytest.mark.parametrize("only", ["benign", "scan"])
def test_captures_of_one_kind_measure_nothing(only: str):
    with pytest.raises(DataError, match="give captures of both kinds"):
        report([item for item in SOME if item.category == only])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A benign capture of one repository, and attacks of another."""
    for name, mix in (("calm.pcap", "benign"), ("storm.pcap", "home")):
        made = generate(tmp_path / name, packets=1500, mix=mix, seed=5)
        made.labels.unlink()
    lines = ["file,label,category,source_repository"]
    lines += ["calm.pcap,benign,web,first/lab", "storm.pcap,attack,scan,second/lab"]
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_a_folder_that_training_knew_nothing_of_is_judged_by_capture(folder: Path):
    with model_path() as model:
        found = evaluate(model, "captures", data=folder, threads=1)
    assert set(found["wild"]["repositories"]) == {"first/lab (benign)", "second/lab (attack)"}
    assert found["wild"]["captures"]["attack"]["raised"] == 1
    assert found["wild"]["benign_flows"]["of"] > 50


def _copy_known(shared: Path, to: Path) -> None:
    """Copy a capture that the shipped model was trained on."""
    trained_on = shared / "data" / "pcap" / "labelled" / "benign"
    shutil.copy(next(trained_on.glob("iot-sentinel_Aria_*.pcap")), to)


def test_a_capture_that_was_trained_on_is_known_by_its_content_and_left_out(
    folder: Path, shared: Path
):
    _copy_known(shared, folder / "other-name.pcap")
    with (folder / "labels.csv").open("a") as labels:
        labels.write("other-name.pcap,benign,iot,first/lab\n")
    with model_path() as model:
        found = evaluate(model, "captures", data=folder, threads=1)
    assert found["wild"]["captures"]["benign"]["of"] == 1
    assert found["notes"][0] == "1 captures were left out: the model was trained on them"


@pytest.fixture
def known_folder(tmp_path: Path, shared: Path) -> Path:
    """A capture that the shipped model was trained on, and nothing else."""
    _copy_known(shared, tmp_path / "calm.pcap")
    labels = "file,label,category,source_repository\ncalm.pcap,benign,web,first/lab\n"
    (tmp_path / "labels.csv").write_text(labels)
    return tmp_path


def test_known_captures_that_were_divided_by_another_rule_are_refused(
    known_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(evaluate_module, "DIVISION", DIVISION + 1)  # the model's is earlier now
    with model_path() as model, pytest.raises(RunError, match="divided by an earlier rule"):
        evaluate(model, "captures", data=known_folder, threads=1)


def test_some_of_the_captures_that_were_trained_on_measure_nothing(known_folder: Path):
    with model_path() as model, pytest.raises(DataError, match="name every folder that it was"):
        evaluate(model, "captures", data=known_folder, threads=1)
