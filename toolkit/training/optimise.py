"""The optimiser of the network, and its learning rate from step to step."""

from __future__ import annotations

import math

import torch

from idskit.models.network import Network
from idskit.training.settings import ResolvedSettings

WARM_UP = 0.1  # share of all steps in which the learning rate rises


def optimizer_of(network: Network, settings: ResolvedSettings) -> torch.optim.AdamW:
    """AdamW that decays the body's matrices and leaves norms, biases and the front end alone."""
    decayed = [p for p in network.body.parameters() if p.ndim > 1]
    kept = [p for p in network.body.parameters() if p.ndim <= 1]
    kept += network.frontend.parameters()
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": kept, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)


def set_rate(optimizer: torch.optim.Optimizer, done: float, settings: ResolvedSettings) -> None:
    """Linear rise, then half a cosine down to zero; ``done`` is the share of all steps taken."""
    rising = done / WARM_UP
    falling = 0.5 + 0.5 * math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP))
    for group in optimizer.param_groups:
        group["lr"] = settings.learning_rate * min(rising, falling if rising >= 1 else 1.0)
