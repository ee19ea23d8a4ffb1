"""Pre-training: before it sees a label, the network learns how the columns of rows hang together.

    rows, some of their places from other rows ──> front end, body ──> the rows as they were

J. Yoon et al., "VIME: Extending the Success of Self- and Semi-supervised Learning to Tabular
Domain", NeurIPS 2020. What it learns is where training starts; the layer that rebuilds is dropped.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from idskit.models.network import Network
from idskit.report.progress import ProgressBar
from idskit.training.members.novelty_member import LEAST_SPREAD, with_swapped
from idskit.training.optimise import optimizer_of, set_rate
from idskit.training.settings import ResolvedSettings

PRETRAIN_EPOCHS = 10  # that were measured with further rows (DECISIONS.md)
SWAPPED = 0.3  # share of the places that come from another row


def pretrain(network: Network, signals: Tensor, settings: ResolvedSettings) -> None:
    """Train front end and body for ``PRETRAIN_EPOCHS`` epochs to rebuild ``signals``.

    Args:
        network: on the device of ``signals``; its last layer is as it was afterwards.
        signals: (n, length) prepared rows, of whatever classes.
        settings: the batch, learning rate and decay of training.
    """
    devices = [signals.device] if signals.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):  # training draws the same whether this ran or not
        torch.manual_seed(settings.seed)
        classifier: nn.Linear = network.body.classifier
        network.body.classifier = nn.Linear(classifier.in_features, signals.shape[1]).to(signals)
        _rebuild(network, signals, settings)
        network.body.classifier = classifier


def _rebuild(network: Network, signals: Tensor, settings: ResolvedSettings) -> None:
    scale = 1 / (signals.std(dim=0, correction=0) + LEAST_SPREAD)  # places count alike
    optimizer = optimizer_of(network, settings)
    network.train()
    with ProgressBar("pre-training", PRETRAIN_EPOCHS, unit="epochs") as bar:
        for epoch in range(PRETRAIN_EPOCHS):
            total = 0.0
            order = torch.randperm(len(signals)).to(signals.device)
            batches = order.tensor_split(max(len(order) // settings.batch, 1))
            for step, batch in enumerate(batches, start=epoch * len(batches)):
                set_rate(optimizer, step / (PRETRAIN_EPOCHS * len(batches)), settings)
                rows = signals[batch]
                rebuilt = network.logits(with_swapped(rows, SWAPPED))
                loss = functional.smooth_l1_loss(rebuilt * scale, rows * scale)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                total += float(loss.detach()) * len(batch)
            bar.show(epoch + 1, f"loss {total / len(order):.4f}")
