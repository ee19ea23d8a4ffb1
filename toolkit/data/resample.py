"""Classes of the same size: rows repeated or left out, of training rows only."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from idskit.data.dataset import Dataset

Resample = Literal["none", "over", "under"]
RESAMPLES: tuple[Resample, ...] = ("none", "over", "under")


def resample(dataset: Dataset, how: Resample, seed: int) -> Dataset:
    """Return the data with training classes as large as the largest, or as the smallest.

    Over-sampling repeats every row of a class equally often, give or take one; under-sampling draws
    rows without repeating any. Validation and test rows stay as they are.
    """
    if how == "none":
        return dataset
    labels = dataset.train.labels
    sizes = np.bincount(labels)
    sizes = sizes[sizes > 0]
    size = int(sizes.max() if how == "over" else sizes.min())
    rng = np.random.default_rng(seed)
    chosen = [_drawn(np.flatnonzero(labels == label), size, rng) for label in np.unique(labels)]
    train = dataset.train.take(np.sort(np.concatenate(chosen)))
    note = f"training rows {how}-sampled: {size:,} of each class, {len(labels):,} in all before"
    return replace(dataset, train=train, notes=(*dataset.notes, note))


def _drawn(members: NDArray[np.int64], size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """``size`` of ``members``, each as often as the others, give or take one."""
    whole, rest = divmod(size, len(members))
    return np.concatenate([np.tile(members, whole), rng.permutation(members)[:rest]])
