"""What an ensemble consists of: members that are fitted, calibrated and asked in the same way.

    member    fitted to                        calibrated                        its log-odds are
    network   labels, or a teacher, in epochs  a temperature                     the first
    trees     raw rows, by LightGBM            a temperature, a share            averaged, as shares
    novelty   benign rows                      the most that counts, an offset   added to attacks

What a member fits lies in a module below ``idskit.models``: that is what a run keeps, what answers
after training, and what ``idskit.export.lower`` turns into operators of the exported graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from idskit.data.dataset import Part
from idskit.models.members.prepared_rows import PreparedRows
from idskit.models.network import CHUNK, Network


@dataclass(frozen=True, kw_only=True)
class LabelledSignals:
    """A part of the data after the preparation, and what the members so far say of it."""

    rows: PreparedRows  # the signals on the network's device
    labels: Tensor  # (n,) int64
    weights: Tensor  # (n,) float32, mean 1
    log_odds: Tensor  # (n, classes) of the members so far, zeros before the first

    def __len__(self) -> int:
        return len(self.labels)


class Member(Protocol):
    """One member of the ensemble, while it is trained."""

    def fit(self) -> None:
        """Fit to the training rows."""

    def calibrate(self, held: LabelledSignals) -> None:
        """Choose on validation rows how far to trust it, given the members before."""

    def log_odds(self, held: LabelledSignals) -> Tensor:
        """Return the log-odds (n, classes) of the members up to and with this one."""


def prepare(network: Network, part: Part) -> LabelledSignals:
    """Prepare the rows of a part as ``network`` does."""
    device = network.temperature.device
    weights = part.weights.astype(np.float64)
    return LabelledSignals(
        rows=PreparedRows(
            flows=torch.from_numpy(part.rows), signals=signals_of(network, part.rows)
        ),
        labels=torch.from_numpy(part.labels).to(device),
        weights=torch.from_numpy((weights / weights.mean()).astype(np.float32)).to(device),
        log_odds=torch.zeros(len(part), network.body.classifier.out_features, device=device),
    )


def signals_of(network: Network, rows: NDArray[np.float32]) -> Tensor:
    """Prepare raw rows (n, features) as signals (n, length), on the network's device."""
    device = network.temperature.device
    with torch.inference_mode():
        chunks = torch.split(torch.from_numpy(rows), CHUNK)
        signals = torch.cat([network.preparation(chunk.to(device)) for chunk in chunks])
    return signals.clone()  # outside of inference mode, so that gradients may be taken
