"""Resampling: of training rows only, every row alike."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from idskit.data.dataset import Dataset, Part
from idskit.data.resample import Resample, resample
from idskit.schema import Feature, Schema

SIZES = {0: 70, 1: 20, 3: 9}  # class 2 has no row


def make_part(seed: int) -> Part:
    labels = np.repeat(list(SIZES), list(SIZES.values()))
    labels = np.random.default_rng(seed).permutation(labels)
    return Part(
        rows=np.arange(len(labels), dtype=np.float32)[:, None],  # its number
        labels=labels,
        weights=np.linspace(0.5, 1.5, len(labels), dtype=np.float32),
        groups=labels,
    )


def make_dataset() -> Dataset:
    return Dataset(
        name="toy",
        protocol="honest",
        schema=Schema(name="toy", features=(Feature(name="number", unit="1"),)),
        classes=("benign", "a", "b", "c"),
        groups=("benign", "a", "b", "c"),
        train=make_part(0),
        validation=make_part(1),
        test=make_part(2),
        notes=("first",),
        sha256={},
    )


def test_none_changes_nothing():
    dataset = make_dataset()
    assert resample(dataset, "none", 0) is dataset


@pytest.mark.parametrize(("how", "size"), [("over", 70), ("under", 9)])
def test_every_class_that_has_rows_gets_the_same_size(how: Resample, size: int):
    found = resample(make_dataset(), how, 0)
    assert Counter(found.train.labels.tolist()) == dict.fromkeys(SIZES, size)
    assert found.notes[-1] == f"training rows {how}-sampled: {size} of each class, 99 in all before"


@pytest.mark.parametrize("how", ["over", "under"])
def test_validation_and_test_rows_stay_as_they_are(how: Resample):
    before, after = make_dataset(), resample(make_dataset(), how, 0)
    for name in ("validation", "test"):
        assert getattr(before, name).rows.tolist() == getattr(after, name).rows.tolist()


def test_over_sampling_repeats_every_row_equally_often_give_or_take_one():
    found = resample(make_dataset(), "over", 0).train
    for label, size in SIZES.items():
        times = Counter(found.rows[found.labels == label, 0].tolist()).values()
        assert len(times) == size
        assert max(times) - min(times) <= 1


def test_under_sampling_repeats_no_row():
    rows = resample(make_dataset(), "under", 0).train.rows[:, 0].tolist()
    assert len(rows) == len(set(rows)) == 27


def test_rows_keep_their_label_and_weight():
    train, found = make_dataset().train, resample(make_dataset(), "over", 0).train
    at = found.rows[:, 0].astype(int)
    assert (found.labels == train.labels[at]).all()
    assert (found.weights == train.weights[at]).all()


def test_the_seed_decides_which_rows_are_drawn():
    first, again, other = (resample(make_dataset(), "under", seed) for seed in (1, 1, 2))
    assert first.train.rows.tolist() == again.train.rows.tolist() != other.train.rows.tolist()
