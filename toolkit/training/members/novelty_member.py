"""The autoencoder of the ensemble: fitted to benign rows, its error added to attacks' log-odds.

It is shown rows a tenth of whose places come from another row (P. Vincent et al., "Extracting and
Composing Robust Features with Denoising Autoencoders", ICML 2008): it then has to know how columns
of benign traffic hang together and cannot just copy them.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from idskit.models.members.autoencoder import Autoencoder
from idskit.training.members.member import LabelledSignals

EPOCHS, BATCH, LEARNING_RATE = 30, 256, 1e-3
SWAPPED = 0.1
# Least spread of a place, of its own unit: a category seen in one row of thousands must not count
# hundredfold.
LEAST_SPREAD = 0.05
EXCEEDING = 0.01  # share of benign validation rows whose error is more than counts
FURTHEST, HALVINGS = 50.0, 50  # of the offset, in log-odds


class NoveltyMember:
    """An autoencoder of benign rows."""

    def __init__(self, autoencoder: Autoencoder, train: LabelledSignals, *, seed: int) -> None:
        self._autoencoder, self._train, self._seed = autoencoder, train, seed

    def fit(self) -> None:
        """Learn to rebuild the benign training rows."""
        benign = self._train.labels == 0
        signals, weights = self._train.rows.signals[benign], self._train.weights[benign]
        fit_autoencoder(self._autoencoder, signals, weights, seed=self._seed)

    def calibrate(self, held: LabelledSignals) -> None:
        """Choose the most that an error counts, then the offset of its logarithm."""
        autoencoder, signals, benign = self._autoencoder, held.rows.signals, held.labels == 0
        errors = autoencoder.error(signals[benign])
        autoencoder.most.fill_(fit_most(errors, held.weights[benign]))
        before = held.log_odds[:, 1:].logsumexp(dim=1) - held.log_odds[:, 0]
        novelty = autoencoder.log_odds(signals)
        autoencoder.offset.fill_(fit_offset(before, novelty, ~benign, held.weights))

    def log_odds(self, held: LabelledSignals) -> Tensor:
        """Return the log-odds (n, classes) with its own added to every attack."""
        return self._autoencoder.join(held.log_odds, held.rows)


def fit_autoencoder(
    autoencoder: Autoencoder, signals: Tensor, weights: Tensor, *, seed: int
) -> None:
    """Train on the prepared benign training rows (n, length), which count by ``weights`` (n,)."""
    autoencoder.center.copy_(signals.mean(dim=0))
    autoencoder.scale.copy_(1 / (signals.std(dim=0, correction=0) + LEAST_SPREAD))
    standard = autoencoder.standardise(signals)
    steps = torch.optim.Adam(autoencoder.parameters(), lr=LEARNING_RATE, fused=True)
    torch.manual_seed(seed)
    for epoch in range(EPOCHS):
        for group in steps.param_groups:
            group["lr"] = LEARNING_RATE * (1 - epoch / EPOCHS)
        for batch in torch.split(torch.randperm(len(standard)), BATCH):
            rows = standard[batch]
            rebuilt = autoencoder.rebuild(with_swapped(rows, SWAPPED))
            losses = (rebuilt - rows).square().mean(dim=1)
            loss = (losses * weights[batch]).sum() / weights[batch].sum()
            steps.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            steps.step()


def with_swapped(rows: Tensor, share: float) -> Tensor:
    """Return rows (n, length) of which ``share`` of the places come from another of them."""
    others = rows[torch.randperm(len(rows)).to(rows.device)]
    return torch.where(torch.rand_like(rows) < share, others, rows)


def fit_most(errors: Tensor, weights: Tensor) -> float:
    """The error (n,) that ``EXCEEDING`` of benign validation rows exceed, counted by weights (n,).

    Of rows that training showed no error is that large by chance; of benign traffic that changed
    many are, and they are no attacks (``python -m tests.training.shift``).
    """
    level = 1 - EXCEEDING
    return float(np.quantile(errors.numpy(), level, weights=weights.numpy(), method="inverted_cdf"))


def fit_offset(log_odds: Tensor, novelty: Tensor, attack: Tensor, weights: Tensor) -> float:
    """Offset that minimises the weighted negative log-likelihood of ``attack``; convex.

    Args:
        log_odds: (n,) of attack, by the classifier, of validation rows.
        novelty: (n,) what the autoencoder adds, before the offset.
        attack: (n,) bool.
        weights: (n,).
    """
    total, weights = (log_odds + novelty).double(), weights.double()
    wanted = (weights * attack).sum()
    low, high = -FURTHEST, FURTHEST
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if (weights * (total + middle).sigmoid()).sum() < wanted:
            low = middle
        else:
            high = middle
    return (low + high) / 2
