"""The whole network: raw features in, calibrated probabilities out."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from idskit.models.frontend import LearnableMFCC, MFCCSettings
from idskit.models.preparation import Preparation
from idskit.models.resnet import Attention, ResNet18


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """What is built, apart from what is fitted."""

    width: int = 16
    attention: Attention = "both"
    mfcc: MFCCSettings = field(default_factory=MFCCSettings)


class Network(nn.Module):
    """preparation -> learnable MFCC -> ResNet-18 -> temperature -> softmax."""

    temperature: Tensor  # (), fitted on validation rows

    def __init__(self, preparation: Preparation, classes: int, settings: NetworkSettings) -> None:
        super().__init__()
        self.settings = settings
        self.preparation = preparation
        self.frontend = LearnableMFCC(preparation.length, settings.mfcc)
        self.body = ResNet18(
            (settings.mfcc.n_mfcc, self.frontend.frames),
            classes,
            width=settings.width,
            attention=settings.attention,
        )
        self.register_buffer("temperature", torch.ones(()))

    def logits(self, signal: Tensor) -> Tensor:
        """Logits (n, classes), before the temperature, of prepared signals (n, length)."""
        return self.body(self.frontend(signal))

    def forward(self, flows: Tensor) -> Tensor:
        """Calibrated probabilities (n, classes) of raw rows (n, features)."""
        return (self.logits(self.preparation(flows)) / self.temperature).softmax(dim=1)
