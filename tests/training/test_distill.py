"""Distillation: what the teacher says, what it costs not to follow it, what the network learns."""

from __future__ import annotations

from dataclasses import replace

import lightgbm
import numpy as np
import pytest
import torch

from idskit.data.dataset import Dataset, Part
from idskit.errors import RunError
from idskit.training.fit import fit
from idskit.training.members import lessons
from idskit.training.members.lessons import Distillation, soft_loss
from idskit.training.members.teachers import TEACHER, TreesTeacher
from idskit.training.settings import TrainingSettings
from idskit.training.synthetic_negatives import attack_loss


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def teach(train: Part, contrast: float = 0.5) -> TreesTeacher:
    return TreesTeacher(train, 2, contrast=contrast, seed=0, threads=1)


def test_without_made_up_attacks_the_teacher_is_plain_lightgbm(toy: Dataset):
    model = lightgbm.LGBMClassifier(
        **TEACHER, random_state=0, n_jobs=1, deterministic=True, force_row_wise=True, verbose=-1
    )
    model.fit(toy.train.rows, toy.train.labels)
    taught = teach(toy.train, contrast=0).probabilities(toy.test.rows)
    assert np.allclose(taught[:, :2], model.predict_proba(toy.test.rows), atol=1e-6)
    assert not taught[:, 2].any()


def test_a_row_like_no_other_is_some_attack(toy: Dataset):
    swapped = Distillation(toy.train, teach(toy.train), weight=1.0).draw(400)[1]
    own = teach(toy.train).probabilities(toy.validation.rows)
    assert swapped[:, 2].mean() > 3 * own[:, 2].mean()


def test_a_class_without_a_training_row_is_never_taught(toy: Dataset):
    teacher = TreesTeacher(toy.train, 4, contrast=0, seed=0, threads=1)
    assert not teacher.probabilities(toy.test.rows)[:, 2:].any()


def test_targets_lie_between_labels_and_teacher(toy: Dataset):
    teacher = teach(toy.train)
    labels = np.eye(3)[toy.train.labels]
    expected = 0.75 * labels + 0.25 * teacher.probabilities(toy.train.rows)
    targets = Distillation(toy.train, teacher, weight=0.25).targets
    assert np.allclose(targets, expected, atol=1e-6)


def test_soft_loss_of_labels_is_cross_entropy():
    logits, labels = torch.randn(50, 4), torch.randint(4, (50,))
    targets = torch.nn.functional.one_hot(labels, 5).float()
    expected = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    assert torch.allclose(soft_loss(logits, targets), expected, atol=1e-6)


def test_soft_loss_of_some_attack_is_the_loss_of_made_up_attacks():
    logits = torch.randn(50, 4)
    targets = torch.eye(5)[4].repeat(50, 1)
    assert torch.allclose(soft_loss(logits, targets).mean(), attack_loss(logits), atol=1e-6)


def test_the_network_comes_to_say_what_the_teacher_says(
    toy: Dataset, tiny: TrainingSettings, monkeypatch: pytest.MonkeyPatch
):
    settings = replace(tiny, epochs=4, batch=32, teacher=["lightgbm"])
    monkeypatch.setattr(lessons, "TEACHER_WEIGHT", 1.0)
    probabilities = fit(toy, settings).network.probabilities(toy.test.rows)
    taught = teach(toy.train).probabilities(toy.test.rows)
    assert np.corrcoef(probabilities[:, 0], taught[:, 0])[0, 1] > 0.8


def test_a_distilled_run_repeats(toy: Dataset, tiny: TrainingSettings):
    settings = replace(tiny, epochs=1, teacher=["lightgbm"])
    first, second = (fit(toy, settings).network.state_dict() for _ in range(2))
    assert all(first[name].equal(second[name]) for name in first)


def test_an_unknown_teacher_is_refused(toy: Dataset, tiny: TrainingSettings):
    with pytest.raises(RunError, match="oracle was asked for as a training run"):
        fit(toy, replace(tiny, teacher=["oracle"]))
