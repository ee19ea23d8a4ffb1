"""The baseline next to which every run is shown: gradient-boosted trees on the same raw rows."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from idskit.data.dataset import Dataset

TREES = 300
# The library's own settings break down where a class has few rows: its trees overshoot, and
# macro-F1 of the five classes of NSL-KDD falls by a third and more (DECISIONS.md). Slower,
# decorrelated trees do so in one of five seeds there.
SEVERAL_CLASSES: dict[str, Any] = {
    "learning_rate": 0.05,
    "colsample_bytree": 0.3,
    "subsample": 0.7,
    "subsample_freq": 1,
}
# What squared leaves cost where there are several classes, by data set: with it no seed breaks down
# on NSL-KDD. On rows of the other training files it gains no macro-F1 (DECISIONS.md).
LEAF_PENALTY = {"nsl-kdd": 1.0}


def lightgbm_probabilities(
    dataset: Dataset, *, seed: int, threads: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Fit LightGBM on the training rows; probabilities (n, classes) of validation and test rows.

    Args:
        dataset: raw rows, with their weights.
        seed: of the trees.
        threads: of the library.
    """
    model = fit_lightgbm(dataset, seed=seed, threads=threads)
    return _predict(model, dataset.validation.rows), _predict(model, dataset.test.rows)


def fit_lightgbm(
    dataset: Dataset,
    *,
    seed: int,
    threads: int,
    random_thresholds: bool = False,
) -> lightgbm.LGBMClassifier:
    """LightGBM fitted to the training rows, nominal columns as their codes.

    Args:
        dataset: raw rows, with their weights.
        seed: of the trees.
        threads: of the library.
        random_thresholds: each column offers one threshold, drawn at random, to a split: trees that
            fit worse one by one, and are wrong elsewhere.
    """
    train = dataset.train
    model = lightgbm.LGBMClassifier(
        n_estimators=TREES,
        random_state=seed,
        n_jobs=threads,
        deterministic=True,
        force_row_wise=True,
        verbose=-1,
        extra_trees=random_thresholds,
        **(_several_classes(dataset) if len(dataset.classes) > 2 else {}),
    )
    return model.fit(train.rows, train.labels, sample_weight=train.weights)


def _several_classes(dataset: Dataset) -> dict[str, Any]:
    return SEVERAL_CLASSES | {"reg_lambda": LEAF_PENALTY.get(dataset.name, 0.0)}


def _predict(model: lightgbm.LGBMClassifier, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(model.predict_proba(rows), np.float32)
