"""A training run that can be taken up again: one safetensors file, replaced after every epoch.

The file holds the weights, the best weights so far and the optimiser's moments as tensors, and the
settings, the scale of float16 gradients and the history as JSON in its header, so all of them are
of the same epoch. Random draws are seeded by (seed, epoch): there is no generator state to keep.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from idskit.data.dataset import Dataset
from idskit.errors import RunError
from idskit.files.output import write_whole
from idskit.training import distributed
from idskit.training.settings import ResolvedSettings

CHECKPOINT_FILE = "checkpoint.safetensors"
State = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """What one epoch gave."""

    train_loss: float  # synthetic negatives included
    validation_loss: float  # at its best temperature, as the finished network will have it
    seconds: float
    records_per_second: float  # training rows over the time of the training steps


@dataclass(kw_only=True)
class Progress:
    """Where training stands after some epochs."""

    best: State  # the network's state after the best epoch
    history: list[Epoch] = field(default_factory=list)

    @property
    def best_epoch(self) -> int:
        """Position of the lowest validation loss; the first of equals."""
        losses = [epoch.validation_loss for epoch in self.history]
        return losses.index(min(losses))


def identity_of(dataset: Dataset, settings: ResolvedSettings) -> dict[str, Any]:
    """Return what a resumed run must share: every setting, the data and the number of processes."""
    return {
        **settings.recorded(),
        "data": dict(dataset.sha256),
        "processes": distributed.processes(),
    }


def save_checkpoint(
    file: Path,
    network: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    progress: Progress,
    identity: Mapping[str, Any],
) -> None:
    """Write all that ``load_checkpoint`` needs; ``identity`` is what a resumed run must share."""
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in progress.best.items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in moments.items()}
    header = {
        "identity": json.dumps(dict(identity), sort_keys=True),
        "scaler": json.dumps(scaler.state_dict()),
        "history": json.dumps([vars(epoch) for epoch in progress.history]),
    }
    whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_whole(file, lambda path: path.write_bytes(save(whole, header)))


def load_checkpoint(
    file: Path,
    network: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    identity: Mapping[str, Any],
) -> Progress:
    """Put ``network``, ``optimizer`` and ``scaler`` where the checkpoint left them.

    Raises:
        RunError: there is no checkpoint, it is damaged, or it was made with other settings or data.
    """
    if not file.is_file():
        raise RunError(
            f"resuming was asked for, but {file.parent} has no {file.name}: train without resuming"
        )
    try:
        with safe_open(file, framework="pt") as opened:
            header = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        check_identity(json.loads(header["identity"]), identity, file)
        network.load_state_dict(_under("network.", tensors))
        optimizer.load_state_dict(_optimizer_state(optimizer, _under("optimizer.", tensors)))
        scaler.load_state_dict(json.loads(header["scaler"]))
        history = [Epoch(**epoch) for epoch in json.loads(header["history"])]
        return Progress(best=_under("best.", tensors), history=history)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise RunError(f"{file} is damaged ({error}): train without resuming") from error


def check_identity(found: Mapping[str, Any], asked: Mapping[str, Any], file: Path) -> None:
    """Refuse to go on from ``file`` with other settings or data.

    Raises:
        RunError: with what differs.
    """
    differing = [
        f"{name} is {asked.get(name)!r} and was {found.get(name)!r}"
        for name in sorted({*found, *asked})
        if found.get(name) != asked.get(name)
    ]
    if differing:
        raise RunError(
            f"{file} was made with other settings: {'; '.join(differing)}; resume with the same "
            "settings and data, or train without resuming"
        )


def _under(prefix: str, tensors: State) -> State:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _optimizer_state(optimizer: torch.optim.Optimizer, moments: State) -> dict[str, Any]:
    state: dict[int, State] = {}
    for key, value in moments.items():
        index, name = key.split(".")
        state.setdefault(int(index), {})[name] = value
    return {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
