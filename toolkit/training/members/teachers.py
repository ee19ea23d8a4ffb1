"""Teachers of the network: what says, of a row, which classes it could be of.

    training rows, synthetic negatives ──> boosted trees ──> TreesTeacher
    earlier runs                       ──────────────────> RunsTeacher

A teacher is an object with one method, ``probabilities``. The trees are fitted to synthetic
negatives as well (``synthetic_negatives.py``), as one more class, "some attack", so a row that
resembles no training row is taught as such. Earlier runs (``parents.py``) know the classes only.
``lessons.py`` has how the network learns from either.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import lightgbm
import numpy as np
from numpy.typing import NDArray

from idskit.data.dataset import Dataset, Part
from idskit.models.network import Network
from idskit.training.parents import load_teachers
from idskit.training.settings import LIGHTGBM_TEACHER, ResolvedSettings
from idskit.training.synthetic_negatives import swapped_columns

# Many small, decorrelated trees: of the settings tried the best on captures left out (README.md).
TEACHER: dict[str, Any] = {
    "n_estimators": 300,
    "learning_rate": 0.05,
    "num_leaves": 15,
    "colsample_bytree": 0.3,
    "subsample": 0.7,
    "subsample_freq": 1,
}


class Teacher(Protocol):
    """What the network learns from, next to the labels."""

    def probabilities(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Of raw rows (n, features): (n, classes + 1), the last of an attack of no known class."""


def teacher_of(dataset: Dataset, settings: ResolvedSettings) -> Teacher:
    """Return the teacher that the settings name, which knows the training rows.

    Raises:
        RunError: an earlier run that does not exist, or is of other rows.
    """
    if LIGHTGBM_TEACHER not in settings.teacher:
        runs = load_teachers(settings.teacher_runs(), dataset, settings)
        return RunsTeacher([run.network for run in runs])
    return TreesTeacher(
        dataset.train,
        len(dataset.classes),
        contrast=settings.contrast,
        seed=settings.seed,
        threads=settings.threads,
    )


class TreesTeacher:
    """Boosted trees fitted to training rows and to synthetic negatives, as one class more."""

    def __init__(
        self,
        train: Part,
        classes: int,
        *,
        contrast: float,
        seed: int,
        threads: int,
    ) -> None:
        """Fit.

        Args:
            train: raw training rows.
            classes: of the labels; the first is the benign one.
            contrast: synthetic negatives per training row.
            seed: of the trees; the synthetic negatives come from torch's generator.
            threads: of the library.
        """
        self._classes, self._threads = classes, threads
        made_up = swapped_columns(train).draw(int(contrast * len(train))).numpy()
        rows = np.concatenate([train.rows, made_up])
        labels = np.concatenate([train.labels, np.full(len(made_up), classes)])
        weights = np.concatenate([train.weights, np.full(len(made_up), train.weights.mean())])
        model = lightgbm.LGBMClassifier(
            **TEACHER,
            random_state=seed,
            n_jobs=threads,
            deterministic=True,
            force_row_wise=True,
            verbose=-1,
        )
        model.fit(rows, labels, sample_weight=weights)
        self._present = np.asarray(model.classes_, np.int64)
        self._booster = model.booster_

    def probabilities(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Of raw rows (n, features): (n, classes + 1), the last of an attack of no known class."""
        found = np.asarray(self._booster.predict(rows, num_threads=self._threads))
        if found.ndim == 1:  # two classes: the library gives the second one's
            found = np.stack([1 - found, found], axis=1)
        probabilities = np.zeros((len(rows), self._classes + 1), np.float32)
        probabilities[:, self._present] = found
        return probabilities


class RunsTeacher:
    """Earlier runs as one teacher: the mean of what they say, whole models each."""

    def __init__(self, models: Sequence[Network]) -> None:
        self._models = models

    def probabilities(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Of raw rows (n, features): (n, classes + 1), the last zero: all they know are classes."""
        mean = np.mean([model.probabilities(rows) for model in self._models], axis=0)
        return np.pad(mean, ((0, 0), (0, 1)))
