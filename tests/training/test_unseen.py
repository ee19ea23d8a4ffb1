"""Attacks left out of training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from idskit.data.dataset import Dataset
from idskit.errors import DataError
from idskit.training.evaluation.leave_attack_out import find_unseen, hold_out
from idskit.training.settings import TrainingSettings


@pytest.fixture
def two_attacks(toy: Dataset) -> Dataset:
    """The toy data with every second attack row of a second name."""

    def name(labels: np.ndarray) -> np.ndarray:
        return labels * (1 + np.arange(len(labels)) % 2)

    parts = {
        side: replace(part, groups=name(part.labels))
        for side, part in (("train", toy.train), ("validation", toy.validation))
    }
    return replace(toy, groups=("normal", "flood", "scan"), **parts)


def test_an_attack_left_out_is_only_in_the_test_part(two_attacks: Dataset):
    fold = hold_out(two_attacks, ["scan"])
    for part in (fold.train, fold.validation):
        assert np.unique(part.groups).tolist() == [0, 1]
    assert np.unique(fold.test.groups).tolist() == [0, 2]


def test_no_attack_row_is_lost(two_attacks: Dataset):
    fold = hold_out(two_attacks, ["scan"])
    scans = (two_attacks.train.groups == 2).sum()
    assert len(fold.train) + scans == len(two_attacks.train)
    assert (fold.test.groups == 2).sum() == scans


def test_a_name_that_is_not_there_is_refused(two_attacks: Dataset):
    with pytest.raises(DataError, match="worm cannot be left out of toy"):
        hold_out(two_attacks, ["worm"])


def test_an_attack_like_the_others_is_found_unseen(two_attacks: Dataset, tiny: TrainingSettings):
    settings = replace(tiny, epochs=4, batch=32, contrast=0.0)
    found = find_unseen(two_attacks, settings, folds=[["scan"]], rates=[0.1])
    assert found.roc_auc > 0.9
    assert found.attacks["scan"] == found.found_at_fpr["0.1"] > 0.5
