"""Temperature scaling (C. Guo et al., "On Calibration of Modern Neural Networks", ICML 2017)."""

from __future__ import annotations

import torch
from torch import Tensor

from idskit.models.members.trees import LEAST_PROBABILITY

# Limits of the temperature: validation rows that are all right would drive it to zero.
LOWEST, HIGHEST = 0.2, 20.0
HALVINGS = 50


def fit_temperature(logits: Tensor, labels: Tensor, weights: Tensor) -> float:
    """Return the temperature that minimises the weighted negative log-likelihood of ``labels``.

    The likelihood is convex in 1 / temperature, so its slope is bisected.

    Args:
        logits: (n, classes) of validation rows.
        labels: (n,) int64.
        weights: (n,).
    """
    logits, weights = logits.double(), weights.double()
    of_label = logits.gather(1, labels[:, None])[:, 0]
    low, high = 1 / HIGHEST, 1 / LOWEST
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        expected = ((logits * middle).softmax(dim=1) * logits).sum(dim=1)
        if (weights * (expected - of_label)).sum() < 0:  # sharper is still likelier
            low = middle
        else:
            high = middle
    return 2 / (low + high)


def fit_share(of_first: Tensor, of_second: Tensor, weights: Tensor) -> float:
    """Return the share of the second of two models at which their average fits best; concave.

    Args:
        of_first: (n,) its probability of each row's label, and so for ``of_second``.
        of_second: (n,).
        weights: (n,).
    """
    first, second, weights = (values.double() for values in (of_first, of_second, weights))
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        mean = (first + middle * (second - first)).clamp(min=LEAST_PROBABILITY)
        if (weights * (second - first) / mean).sum() > 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def negative_log_likelihood(logits: Tensor, labels: Tensor, weights: Tensor) -> float:
    """Weighted mean of -log P(label)."""
    losses = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    return float((losses * weights).sum() / weights.sum())
