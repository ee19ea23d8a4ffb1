"""The whole model, an ensemble: raw features in, calibrated probabilities out.

    raw rows ─ preparation ─ network ─ log-odds ─ trees ─ novelty ─ softmax

The network says first; every other member joins its log-odds, each in the same form: a module in
``members`` with ``log_odds`` of its own and ``join``, which says how they join those before it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from idskit.models.frontend import FrontEnd, LearnableMFCC, MFCCSettings
from idskit.models.lowering import Size
from idskit.models.members.autoencoder import Autoencoder, Novelty
from idskit.models.members.prepared_rows import PreparedRows
from idskit.models.members.trees import Trees
from idskit.models.preparation import Preparation
from idskit.models.resnet import Attention, ResNet18
from idskit.models.spectral import PCEN, LogPower, Row
from idskit.models.zoo.deep_cnn import DeepCNN
from idskit.models.zoo.kernel_machine import KernelMachine
from idskit.models.zoo.mlp import MLP
from idskit.models.zoo.recurrent import Recurrent
from idskit.models.zoo.swin import Swin

Model = Literal["resnet18", "deep-cnn", "gru", "lstm", "swin", "kernel", "svm", "mlp"]
FrontEndName = Literal["mfcc", "mfcc-fixed", "stft", "pcen", "none"]
FRONTENDS: tuple[FrontEndName, ...] = ("mfcc", "mfcc-fixed", "stft", "pcen", "none")
MFCC_FRONTENDS: tuple[FrontEndName, ...] = ("mfcc", "mfcc-fixed")
# Each network and the front end that its source shows it.
OWN_FRONTENDS: dict[Model, FrontEndName] = {
    "resnet18": "mfcc",
    "deep-cnn": "stft",
    "gru": "stft",
    "lstm": "stft",
    "swin": "mfcc",
    "kernel": "mfcc",
    "svm": "mfcc",
    "mlp": "none",
}
MODELS: tuple[Model, ...] = tuple(OWN_FRONTENDS)
CHUNK = 8192  # rows of a forward pass without gradients


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """What is built, apart from what is fitted."""

    model: Model = "resnet18"
    frontend: FrontEndName = "mfcc"
    width: int = 16
    attention: Attention = "both"  # of resnet18, as is inner
    inner: float = 1.0  # share of its channels that a block has between its convolutions
    mfcc: MFCCSettings = field(default_factory=MFCCSettings)  # of every front end but none
    novelty: Novelty = "none"  # a member that models benign traffic only


class Network(nn.Module):
    """A preparation, the network (front end, body, temperature), and the members that join it."""

    # Which classes these are is for the exporter to ask: it lowers some and not others.
    frontend: Any  # a FrontEnd
    body: Any  # images (n, height, width) to logits (n, classes)
    temperature: Tensor  # (), fitted on validation rows

    def __init__(self, preparation: Preparation, classes: int, settings: NetworkSettings) -> None:
        super().__init__()
        self.settings = settings
        self.preparation = preparation
        self.frontend = build_frontend(preparation.length, settings, preparation.channels)
        self.body = build_body(self.frontend.size, classes, settings)
        self.register_buffer("temperature", torch.ones(()))
        fitted = settings.novelty == "autoencoder"
        self.novelty = Autoencoder(preparation.length) if fitted else None
        self.trees: Trees | None = None  # a member that training adds when it has fitted it

    def logits(self, signal: Tensor) -> Tensor:
        """Return logits (n, classes), before the temperature, of prepared signals (n, length)."""
        return self.body(self.frontend(signal))

    def log_odds(self, signals: Tensor) -> Tensor:
        """Return calibrated logits (n, classes) of the network alone, of signals (n, length)."""
        return self.logits(signals) / self.temperature

    def others(self) -> list[Trees | Autoencoder]:
        """Return the members that join the network, in the order in which they do."""
        return [member for member in (self.trees, self.novelty) if member is not None]

    def forward(self, flows: Tensor) -> Tensor:
        """Return calibrated probabilities (n, classes) of raw rows (n, features)."""
        rows = PreparedRows(flows=flows, signals=self.preparation(flows))
        log_odds = self.log_odds(rows.signals)
        for member in self.others():
            log_odds = member.join(log_odds, rows)
        return log_odds.softmax(dim=1)

    def probabilities(self, flows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return probabilities (n, classes) of raw rows (n, features), computed in chunks."""
        where = self.temperature.device
        with torch.inference_mode():
            chunks = torch.split(torch.from_numpy(np.ascontiguousarray(flows)), CHUNK)
            found = torch.cat([self(chunk.to(where)).cpu() for chunk in chunks])
        probabilities: NDArray[np.float32] = found.numpy()
        return probabilities


def build_frontend(length: int, settings: NetworkSettings, channels: int = 1) -> FrontEnd:
    """Return the front end that ``settings`` name, for signals (n, length) of so many channels."""
    if settings.frontend == "none":
        return Row(length, channels)
    kinds = {"mfcc": LearnableMFCC, "mfcc-fixed": LearnableMFCC, "stft": LogPower, "pcen": PCEN}
    return kinds[settings.frontend](length, settings.mfcc, channels)


def build_body(size: Size, classes: int, settings: NetworkSettings) -> nn.Module:
    """Return the network that ``settings`` name, for images (n, *size)."""
    width = settings.width
    match settings.model:
        case "resnet18":
            attention, inner = settings.attention, settings.inner
            return ResNet18(size, classes, width=width, attention=attention, inner=inner)
        case "deep-cnn":
            return DeepCNN(size, classes, width=width)
        case "gru" | "lstm":
            return Recurrent(settings.model, size, classes, width=width)
        case "swin":
            return Swin(size, classes, width=width)
        case "kernel" | "svm":  # one machine, fitted by another loss
            return KernelMachine(size, classes, width=width)
        case "mlp":
            return MLP(size, classes, width=width)


def count_parameters(module: nn.Module) -> int:
    """Return how many numbers training adjusts."""
    return sum(parameter.numel() for parameter in module.parameters())
