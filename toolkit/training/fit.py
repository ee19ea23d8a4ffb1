"""Fit an ensemble to a data set: fit each member, calibrate each, choose the threshold.

Training rows fit the preparation and the members; validation rows choose the epoch, what calibrates
the members, and the threshold; test rows are not touched here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from idskit.data.dataset import Dataset, Part
from idskit.models.frontend import fit_pca
from idskit.models.network import Network
from idskit.models.preparation import channels_of, fit_preparation
from idskit.models.shuffled_columns import shuffle_columns
from idskit.training.checkpoint import Epoch
from idskit.training.device import find_device, seeded
from idskit.training.members.member import Member, prepare
from idskit.training.members.network_member import NetworkMember
from idskit.training.members.novelty_member import NoveltyMember
from idskit.training.members.trees_member import TreesMember
from idskit.training.settings import ResolvedSettings, TrainingSettings


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A trained network with all members, on the CPU, calibrated, with its threshold."""

    network: Network
    threshold: float  # alert when 1 - P(benign) reaches it
    history: tuple[Epoch, ...]
    best_epoch: int  # position in the history of the weights kept


def fit(
    dataset: Dataset,
    settings: TrainingSettings,
    *,
    folder: Path | None = None,
    resume: bool = False,
) -> Fitted:
    """Train on ``dataset``; in each process of torchrun, with one result.

    Args:
        dataset: its test part is not used.
        settings: dataset, protocol and labels were used to load the data and only name it here.
        folder: where a checkpoint is kept after every epoch; None keeps none. Of several machines
            all have to see it when a run is resumed.
        resume: go on from the checkpoint in ``folder``, to the result of an uninterrupted run.

    Raises:
        RunError: settings out of range, or a checkpoint that does not fit.
        DeviceError: CUDA was asked for and is not there.
    """
    whole = settings.resolved()
    device = find_device(whole)
    with seeded(whole, device):
        network = build_network(dataset, whole).to(device)
        first = NetworkMember(network, dataset, whole, folder=folder, resume=resume)
        members: list[Member] = [first]
        if whole.trees != "none":
            members.append(TreesMember(network, dataset, whole))
        if network.novelty is not None:
            members.append(NoveltyMember(network.novelty, first.train, seed=whole.seed))
        for member in members:
            member.fit()
        _calibrate(members, network.cpu().eval(), dataset.validation)
        return Fitted(
            network=network,
            threshold=_threshold(network, dataset.validation, whole),
            history=tuple(first.progress.history),
            best_epoch=first.progress.best_epoch,
        )


@torch.inference_mode()
def _calibrate(members: list[Member], network: Network, validation: Part) -> None:
    """Calibrate each member, given what those before it say of the validation rows."""
    held = prepare(network, validation)
    for member in members:
        member.calibrate(held)
        held = replace(held, log_odds=member.log_odds(held))


def _threshold(network: Network, validation: Part, settings: ResolvedSettings) -> float:
    benign = validation.take(validation.labels == 0)
    return settings.choose_threshold(benign, network.probabilities(benign.rows))


def build_network(dataset: Dataset, settings: ResolvedSettings) -> Network:
    """Return an untrained network for ``dataset``, its preparation fitted on the training rows."""
    preparation = fit_preparation(
        dataset.train.rows,
        dataset.schema,
        scaling=settings.scaling,
        encoding=settings.encoding,
        max_zeros=settings.max_zeros,
        channels=channels_of(settings.signal, dataset.schema),
        time_index=settings.time_index,
    )
    if settings.shuffle_columns:
        shuffle_columns(preparation, settings.seed)
    network = Network(preparation, len(dataset.classes), settings.network())
    if settings.pca:
        fit_pca(network.frontend, preparation(torch.from_numpy(dataset.train.rows)))
    return network
