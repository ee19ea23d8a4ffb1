"""What the network learns from a batch of training rows: the labels, or a teacher next to them.

    training rows, synthetic negatives          ──> FromLabels  ──> loss of a batch
    training rows, rows of swapped columns,
    and a teacher's probabilities of all these  ──> FromTeacher ──> loss of a batch

A teacher says almost nothing but the label on rows it was fitted to; on rows with swapped columns
it shows where its classes end (C. Bucila, R. Caruana, A. Niculescu-Mizil, "Model Compression", KDD
2006). The label of such a row is "some attack".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from idskit.data.dataset import Dataset, Part
from idskit.models.preparation import Preparation
from idskit.training.members.member import LabelledSignals
from idskit.training.members.teachers import Teacher, teacher_of
from idskit.training.settings import ResolvedSettings
from idskit.training.synthetic_negatives import Contrast, attack_loss, swapped_columns

Logits = Callable[[Tensor], Tensor]  # of signals (n, length): (n, classes)
TEACHER_WEIGHT = 0.5  # of the teacher's probabilities in a target; the label has the rest
SWAPPED = 0.5  # rows of swapped columns per training row


class Lesson(Protocol):
    """What the network is trained to say."""

    def loss(self, logits: Logits, batch: Tensor) -> Tensor:
        """Mean loss () of the training rows numbered ``batch`` (n,), and of rows made of them."""


def lesson_of(
    train: LabelledSignals, preparation: Preparation, dataset: Dataset, settings: ResolvedSettings
) -> Lesson:
    """Return the lesson that the settings name, on the prepared training rows of ``dataset``."""
    if not settings.teacher:
        return FromLabels(train, preparation.signal_columns(), settings)
    taught = Distillation(dataset.train, teacher_of(dataset, settings), weight=TEACHER_WEIGHT)
    return FromTeacher(train, preparation, taught)


class FromLabels:
    """Labels of training rows, and "some attack" for synthetic negatives."""

    def __init__(self, train: LabelledSignals, columns: Tensor, settings: ResolvedSettings) -> None:
        """Prepare to teach; ``columns`` (length,) says which raw column each place comes from."""
        signals, labels, weights = train.rows.signals, train.labels, train.weights
        self._train, self._per_row = train, settings.contrast
        self._contrast = Contrast(signals, labels, weights, columns)
        hinge, usual = functional.multi_margin_loss, functional.cross_entropy
        self._loss_of = hinge if settings.hinge else usual

    def loss(self, logits: Logits, batch: Tensor) -> Tensor:
        """Mean loss () of the training rows ``batch`` (n,) and of as many negatives as are due."""
        train, count = self._train, len(batch)
        negatives = self._contrast.draw(int(self._per_row * count))
        found = logits(torch.cat([train.rows.signals[batch], negatives]))
        losses = self._loss_of(found[:count], train.labels[batch], reduction="none")
        loss = (losses * train.weights[batch]).mean()
        return loss + self._per_row * attack_loss(found[count:]) if len(negatives) else loss


class FromTeacher:
    """A teacher's probabilities of training rows and of rows with swapped columns."""

    def __init__(
        self, train: LabelledSignals, preparation: Preparation, distillation: Distillation
    ) -> None:
        self._train, self._preparation, self._distillation = train, preparation, distillation

    def loss(self, logits: Logits, batch: Tensor) -> Tensor:
        """Mean loss () of the training rows ``batch`` (n,) and of half as many swapped rows."""
        train, count = self._train, len(batch)
        device = train.labels.device
        rows, of_swapped = self._distillation.draw(int(SWAPPED * count))
        with torch.no_grad():
            swapped = self._preparation(rows.to(device))
        found = logits(torch.cat([train.rows.signals[batch], swapped]))
        targets = self._distillation.targets[batch.cpu()].to(device)
        losses = soft_loss(found[:count], targets) * train.weights[batch]
        return losses.mean() + SWAPPED * soft_loss(found[count:], of_swapped.to(device)).mean()


class Distillation:
    """A teacher's probabilities, blended with labels, of training rows and of rows made of them."""

    def __init__(self, train: Part, teacher: Teacher, *, weight: float) -> None:
        """Ask the teacher about every training row.

        Args:
            train: raw training rows.
            teacher: that knows them.
            weight: of the teacher's probabilities; the labels have the rest.
        """
        self._teacher, self._weight, self._swapped = teacher, weight, swapped_columns(train)
        self.targets = self._blended(train.rows, torch.from_numpy(train.labels))  # (n, classes + 1)

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        """Raw rows (count, features) of swapped columns and their targets (count, classes + 1)."""
        rows = self._swapped.draw(count)
        some_attack = torch.full((count,), self.targets.shape[1] - 1)
        return rows, self._blended(rows.numpy(), some_attack)

    def _blended(self, rows: NDArray[np.float32], labels: Tensor) -> Tensor:
        taught = torch.from_numpy(self._teacher.probabilities(rows))
        known = functional.one_hot(labels, taught.shape[1]).float()
        return torch.lerp(known, taught, self._weight)


def soft_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy (n,) of (n, classes) logits against (n, classes + 1) probabilities.

    The last target is that of any attack class: its likelihood is P(not benign).
    """
    whole = logits.logsumexp(dim=1, keepdim=True)
    attack = logits[:, 1:].logsumexp(dim=1, keepdim=True)
    return -(targets * (torch.cat([logits, attack], dim=1) - whole)).sum(dim=1)
