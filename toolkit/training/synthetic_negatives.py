"""Synthetic negatives: benign rows of which some columns come from other rows.

Each column of such a row is plausible and the whole is not, so a network that tells them from
benign rows has to learn how the columns of benign traffic depend on each other, and then also
notices attacks that no training row shows. The columns are drawn anew for every batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from idskit.data.dataset import Part

# The share of columns swapped in a row is drawn evenly from this range.
FEWEST, MOST = 0.1, 0.9


class Contrast:
    """Draws synthetic negatives from the prepared training rows."""

    def __init__(self, signals: Tensor, labels: Tensor, weights: Tensor, columns: Tensor) -> None:
        """Prepare to draw.

        Args:
            signals: (n, length) prepared training rows.
            labels: (n,), 0 is benign.
            weights: (n,); a row is drawn in proportion to its weight.
            columns: (length,) which raw column each place of the signal comes from.
        """
        self._signals = signals
        self._cumulated = weights.double().cumsum(0)
        self._benign = torch.where(labels == 0, weights, 0).double().cumsum(0)
        _, self._column = torch.unique(columns, return_inverse=True)

    def draw(self, count: int) -> Tensor:
        """Return signals (count, length) of synthetic negatives."""
        device = self._signals.device
        columns = int(self._column.max()) + 1
        base = self._pick(self._benign, (count, 1))
        donor = self._pick(self._cumulated, (count, columns))
        share = torch.rand(count, 1, device=device) * (MOST - FEWEST) + FEWEST
        swapped = torch.rand(count, columns, device=device) < share
        source = torch.where(swapped, donor, base)[:, self._column]  # (count, length)
        return self._signals.gather(0, source)

    @staticmethod
    def _pick(cumulated: Tensor, shape: tuple[int, int]) -> Tensor:
        """Row numbers of ``shape``, each drawn in proportion to its weight."""
        point = torch.rand(shape, device=cumulated.device, dtype=torch.float64) * cumulated[-1]
        return torch.searchsorted(cumulated, point, right=True).clamp(max=len(cumulated) - 1)


def swapped_columns(train: Part) -> Contrast:
    """Return what draws raw benign rows some of whose columns come from other rows."""
    return Contrast(
        torch.from_numpy(train.rows),
        torch.from_numpy(train.labels),
        torch.from_numpy(train.weights),
        torch.arange(train.rows.shape[1]),
    )


def attack_loss(logits: Tensor) -> Tensor:
    """Mean of -log P(any attack class) of (n, classes) logits."""
    return (logits.logsumexp(dim=1) - logits[:, 1:].logsumexp(dim=1)).mean()
