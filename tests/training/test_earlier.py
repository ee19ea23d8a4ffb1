"""Earlier runs as teachers, and which are refused."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from idskit.cli import app
from idskit.data.dataset import Dataset
from idskit.errors import RunError
from idskit.models.saved_run import load_run, members_of
from idskit.schema import Schema
from idskit.training.evaluation.leave_attack_out import leave_each_out
from idskit.training.fit import fit
from idskit.training.members import lessons
from idskit.training.members.lessons import Distillation
from idskit.training.members.teachers import RunsTeacher
from idskit.training.parents import load_teachers
from idskit.training.settings import TrainingSettings
from idskit.training.train import train_on

SETTINGS = TrainingSettings(width=8, epochs=3, batch=64, threads=1, novelty="none", trees="none")


@pytest.fixture(scope="module")
def seeds(toy: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two seeds, the second with trees and an autoencoder."""
    folder = tmp_path_factory.mktemp("seeds")
    whole = replace(SETTINGS, seed=5, split_seed=0, novelty="autoencoder", trees="lightgbm")
    train_on(toy, SETTINGS.resolved(), output=folder / "seed-0")
    train_on(toy, whole.resolved(), output=folder / "seed-1")
    return folder


@pytest.fixture(scope="module")
def run(seeds: Path) -> Path:
    return seeds / "seed-0"


def test_targets_are_the_mean_of_whole_models(toy: Dataset, seeds: Path):
    runs = load_teachers(members_of(seeds), toy, SETTINGS.resolved())
    first, second = (load_run(seeds / f"seed-{seed}").network for seed in (0, 1))
    assert second.trees is not None
    assert second.novelty is not None
    with torch.inference_mode():
        rows = torch.from_numpy(toy.train.rows)
        expected = (first(rows) + second(rows)).numpy() / 2
    teacher = RunsTeacher([run.network for run in runs])
    targets = Distillation(toy.train, teacher, weight=1.0).targets.numpy()
    assert np.allclose(targets[:, :2], expected, atol=1e-6)
    assert not targets[:, 2].any()


def test_the_student_comes_to_say_what_the_teacher_says(
    toy: Dataset, run: Path, monkeypatch: pytest.MonkeyPatch
):
    """The labels say the opposite and have no weight: what is learned is the teacher's."""
    opposite = replace(toy, train=replace(toy.train, labels=1 - toy.train.labels))
    monkeypatch.setattr(lessons, "TEACHER_WEIGHT", 1.0)
    student = fit(opposite, replace(SETTINGS, teacher=[str(run)])).network
    taught = load_run(run).network.probabilities(toy.test.rows)[:, 0]
    assert np.corrcoef(student.probabilities(toy.test.rows)[:, 0], taught)[0, 1] > 0.8


def test_a_run_names_its_teachers_by_their_weights(toy: Dataset, seeds: Path, tmp_path: Path):
    settings = replace(SETTINGS, epochs=1, inner=0.25, teacher=[str(seeds)])
    train_on(toy, settings.resolved(), output=tmp_path / "student")
    text = (tmp_path / "student" / "run.json").read_text()
    recorded = json.loads(text)["facts"]["settings"]
    weights = [(seeds / f"seed-{seed}" / "model.safetensors").read_bytes() for seed in (0, 1)]
    hashes = [hashlib.sha256(content).hexdigest() for content in weights]
    assert recorded["teacher"] == hashes
    assert str(seeds) not in text


def test_a_checkpoint_knows_its_teacher_wherever_that_lies(
    toy: Dataset, seeds: Path, tmp_path: Path
):
    settings = replace(SETTINGS, epochs=1, inner=0.5, teacher=[str(seeds / "seed-0")])
    whole = fit(toy, settings, folder=tmp_path).network.state_dict()
    moved = shutil.copytree(seeds / "seed-0", tmp_path / "moved")
    resumed = fit(toy, replace(settings, teacher=[str(moved)]), folder=tmp_path, resume=True)
    assert all(value.equal(whole[name]) for name, value in resumed.network.state_dict().items())
    with pytest.raises(RunError, match=r"other settings: teacher is \['.*'\] and was \['"):
        fit(toy, replace(settings, teacher=[str(seeds / "seed-1")]), folder=tmp_path, resume=True)


def test_seeds_are_taken_in_order_and_a_single_run_is_itself(tmp_path: Path):
    for name in ("seed-10", "seed-2", "seed-3"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").touch()
    (tmp_path / "seed-4").mkdir()  # not finished
    assert [seed.name for seed in members_of(tmp_path)] == ["seed-2", "seed-3", "seed-10"]
    assert members_of(tmp_path / "seed-2") == [tmp_path / "seed-2"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"split_seed": 1}, "other rows, .*: split_seed is 1 and was 0; name a run of the same"),
        ({"labels": "family", "rows": 9}, "labels is 'family' and was 'binary'; rows is 9 and"),
    ],
)
def test_a_run_of_another_division_is_refused(
    toy: Dataset, run: Path, change: dict[str, object], sentence: str
):
    settings = replace(SETTINGS, teacher=[str(run)], **change)  # type: ignore[arg-type]
    with pytest.raises(RunError, match=sentence):
        fit(toy, settings)


def test_what_is_refused_leaves_no_folder(toy: Dataset, run: Path, tmp_path: Path):
    settings = replace(SETTINGS, teacher=[str(run)], split_seed=1).resolved()
    with pytest.raises(RunError, match="split_seed is 1 and was 0"):
        train_on(toy, settings, output=tmp_path / "runs" / "seed-0")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"sha256": {"toy": "1"}}, "its data files were others"),
        ({"classes": ("benign", "flood")}, "its classes were others"),
        ({"schema": Schema(name="toy", features=())}, "its columns were others"),
    ],
)
def test_a_run_of_other_rows_is_refused(
    toy: Dataset, run: Path, change: dict[str, object], sentence: str
):
    other = replace(toy, **change)  # type: ignore[arg-type]
    with pytest.raises(RunError, match=sentence):
        load_teachers([run], other, SETTINGS.resolved())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"teacher": ["lightgbm", "nowhere"]}, "but lightgbm stands alone"),
        ({"teacher": ["none", "nowhere"]}, "but none stands alone"),
        ({"model": "svm"}, "its hinge loss learns labels only"),
        ({"teacher": ["nowhere"]}, "nowhere was asked for as a training run"),
    ],
)
def test_what_cannot_teach_is_refused(
    toy: Dataset, run: Path, change: dict[str, object], sentence: str
):
    settings = replace(SETTINGS, teacher=[str(run)])
    with pytest.raises(RunError, match=sentence):
        fit(toy, replace(settings, **change))  # type: ignore[arg-type]


def test_no_teacher_is_the_word_none():
    assert TrainingSettings(dataset="captures").resolved().teacher == ()
    assert TrainingSettings(dataset="captures", teacher=["none"]).resolved().teacher == ()
    taught = TrainingSettings(dataset="captures", teacher=["lightgbm"]).resolved()
    assert list(taught.teacher) == ["lightgbm"]


def test_attacks_are_not_left_out_of_what_a_run_has_seen(toy: Dataset, run: Path, tmp_path: Path):
    settings = replace(SETTINGS, teacher=[str(run)])
    with pytest.raises(RunError, match="has seen the attacks that are left out"):
        leave_each_out(toy, settings, output=tmp_path)
    flags = ["--leave-one-attack-out", "--teacher", str(run)]
    found = CliRunner().invoke(app, ["train", "nsl-kdd", "--data", str(run), *flags])
    assert found.exit_code == 2
