"""Distillation: the network learns the probabilities of a teacher, next to the labels.

    training rows, synthetic negatives ──> boosted trees ──> teacher; or earlier runs are it
    training rows, rows of swapped columns ──> teacher's probabilities ──> network

A teacher says almost nothing but the label on rows it was fitted to; on rows with swapped columns
it shows where its classes end (C. Bucila, R. Caruana, A. Niculescu-Mizil, "Model Compression", KDD
2006). The trees are fitted to synthetic negatives as well (``synthetic_negatives.py``), as one more
class, "some attack", so a row that resembles no training row is taught as such. Earlier runs
(``parents.py``) know the classes only; the label of a row with swapped columns is "some attack"
there too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import lightgbm
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from idskit.data.dataset import Part
from idskit.training.synthetic_negatives import Contrast

Predict = Callable[[NDArray[np.float32]], NDArray[np.float32]]
SWAPPED = 0.5  # rows of swapped columns per training row
# Many small, decorrelated trees: of the settings tried the best on captures left out (README.md).
TEACHER: dict[str, Any] = {
    "n_estimators": 300,
    "learning_rate": 0.05,
    "num_leaves": 15,
    "colsample_bytree": 0.3,
    "subsample": 0.7,
    "subsample_freq": 1,
}


class Teacher:
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
        self.classes, self._threads = classes, threads
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
        probabilities = np.zeros((len(rows), self.classes + 1), np.float32)
        probabilities[:, self._present] = found
        return probabilities


class Committee:
    """Earlier runs as one teacher: the mean of what they say, whole models each."""

    def __init__(self, members: Sequence[Predict], classes: int) -> None:
        """Take the members, each from raw rows (n, features) to probabilities (n, classes)."""
        self.classes, self._members = classes, members

    def probabilities(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Of raw rows (n, features): (n, classes + 1), the last zero: all they know are classes."""
        mean = np.mean([member(rows) for member in self._members], axis=0)
        return np.pad(mean, ((0, 0), (0, 1)))


class Distillation:
    """The teacher's probabilities of training rows and of rows made of them."""

    def __init__(self, train: Part, teacher: Teacher | Committee, *, weight: float) -> None:
        """Ask the teacher about every training row.

        Args:
            train: raw training rows.
            teacher: fitted to them.
            weight: of the teacher's probabilities; the labels have the rest.
        """
        self._teacher, self._weight, self._swapped = teacher, weight, swapped_columns(train)
        labels = torch.from_numpy(train.labels)
        self.targets = self._blended(train.rows, labels)  # (n, classes + 1)

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        """Raw rows (count, features) of swapped columns and their targets (count, classes + 1)."""
        rows = self._swapped.draw(count)
        some_attack = torch.full((count,), self._teacher.classes)
        return rows, self._blended(rows.numpy(), some_attack)

    def _blended(self, rows: NDArray[np.float32], labels: Tensor) -> Tensor:
        taught = torch.from_numpy(self._teacher.probabilities(rows))
        known = functional.one_hot(labels, self._teacher.classes + 1).float()
        return torch.lerp(known, taught, self._weight)


def swapped_columns(train: Part) -> Contrast:
    """Draws raw benign rows some of whose columns come from other rows."""
    return Contrast(
        torch.from_numpy(train.rows),
        torch.from_numpy(train.labels),
        torch.from_numpy(train.weights),
        torch.arange(train.rows.shape[1]),
    )


def soft_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy (n,) of (n, classes) logits against (n, classes + 1) probabilities.

    The last target is that of any attack class: its likelihood is P(not benign).
    """
    whole = logits.logsumexp(dim=1, keepdim=True)
    attack = logits[:, 1:].logsumexp(dim=1, keepdim=True)
    return -(targets * (torch.cat([logits, attack], dim=1) - whole)).sum(dim=1)
