"""Fit the network to a data set: optimise, stop early, calibrate, choose the threshold.

Training rows fit the preparation and the weights; validation rows choose the epoch, the temperature
and the threshold; test rows are not touched here.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from idskit.data.dataset import Dataset, Part
from idskit.errors import DeviceError
from idskit.metrics import attack_score, choose_threshold
from idskit.models.frontend import fit_pca
from idskit.models.members.trees import Trees
from idskit.models.network import Network
from idskit.models.preparation import channels_of, fit_preparation
from idskit.models.shuffled_columns import shuffle_columns
from idskit.report.progress import ProgressBar
from idskit.training import distributed
from idskit.training.checkpoint import (
    CHECKPOINT_FILE,
    Epoch,
    Progress,
    State,
    load_checkpoint,
    save_checkpoint,
)
from idskit.training.members.boosted_trees import fit_trees
from idskit.training.members.calibration import fit_share, fit_temperature, negative_log_likelihood
from idskit.training.members.choose_derived import pairs_of
from idskit.training.members.novelty_member import fit_autoencoder, fit_most, fit_offset
from idskit.training.members.teachers import SWAPPED, Committee, Distillation, Teacher, soft_loss
from idskit.training.optimise import optimizer_of, set_rate
from idskit.training.parents import load_teachers
from idskit.training.pretrain import pretrain
from idskit.training.settings import (
    LIGHTGBM_TEACHER,
    Precision,
    ResolvedSettings,
    TrainingSettings,
    check_settings,
)
from idskit.training.synthetic_negatives import Contrast, attack_loss

TEACHER_WEIGHT = 0.5  # of the teacher's probabilities in a target; the label has the rest
CHUNK = 8192  # rows of a forward pass without gradients
HALF: dict[Precision, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A trained network, on the CPU, calibrated, with its threshold."""

    network: Network
    threshold: float  # alert when 1 - P(benign) reaches it
    history: tuple[Epoch, ...]
    best_epoch: int  # position in the history of the weights kept


@dataclass(frozen=True, kw_only=True)
class _Signals:
    """A part after the preparation, on the device."""

    signals: Tensor  # (n, length) float32
    labels: Tensor  # (n,) int64
    weights: Tensor  # (n,) float32, mean 1

    def __len__(self) -> int:
        return len(self.labels)


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
    pairs = pairs_of(dataset.schema, whole.trees)
    with _machine(whole, device):
        network = build_network(dataset, whole)
        network.to(device)
        if whole.unlabelled and not resume:
            pretrain(network, _prepared(network, _without_labels(dataset)), whole)
        loop = _Loop(network, dataset, whole)
        file = None if folder is None else folder / CHECKPOINT_FILE
        identity = _identity(dataset, whole)
        steps = (network, loop.optimizer, loop.scaler)
        if resume and file is not None:
            loop.progress = load_checkpoint(file, *steps, identity)
        with ProgressBar("training", whole.epochs, unit="epochs") as bar:
            for epoch in loop.epochs():
                loop.run(epoch)
                if distributed.rank() == 0:
                    bar.show(*_shown(loop.progress))
                if file is not None and distributed.rank() == 0:
                    save_checkpoint(file, *steps, loop.progress, identity)
        network.load_state_dict(loop.progress.best)
        loop.fit_novelty()
        if whole.trees != "none":
            arrays = fit_trees(dataset, whole, pairs)
            network.trees = Trees.of(arrays, len(dataset.classes), pairs)
        return _calibrate(network.cpu().eval(), dataset.validation, whole, loop.progress)


class _Classifier(nn.Module):
    """Prepared signals to logits, the body in mixed precision: what the steps of training run.

    The front end stays in float32. Its powers span more than sixteen bits resolve: with it in
    bfloat16 the loss after four epochs of 4,096 NSL-KDD rows was .334 instead of .285, with the
    body alone .287.
    """

    def __init__(self, network: Network, settings: ResolvedSettings) -> None:
        super().__init__()
        self.frontend, self.body = network.frontend, network.body
        self._device, self._half = settings.device, HALF.get(settings.precision)

    def forward(self, signals: Tensor) -> Tensor:
        """Logits (n, classes) float32 of signals (n, length)."""
        image = self.frontend(signals)
        with torch.autocast(self._device, dtype=self._half, enabled=self._half is not None):
            return cast(Tensor, self.body(image).float())


class _Loop:
    """Epochs of optimisation and what they need: signals, optimiser, progress."""

    def __init__(self, network: Network, dataset: Dataset, settings: ResolvedSettings) -> None:
        self.network, self.settings = network, settings
        self.train = _signals(network, dataset.train)
        self.validation = _signals(network, dataset.validation)
        self.contrast = Contrast(
            self.train.signals,
            self.train.labels,
            self.train.weights,
            network.preparation.signal_columns(),
        )
        self.distillation = _distil(dataset, settings) if settings.teacher else None
        self.logits = distributed.parallel(_Classifier(network, settings))
        self.optimizer = optimizer_of(network, settings)
        # Gradients of float16 would vanish below 6e-8 unscaled.
        self.scaler = torch.amp.GradScaler(settings.device, enabled=settings.precision == "fp16")
        self.progress = Progress(best=_snapshot(network))

    def epochs(self) -> Iterator[int]:
        """Numbers of the epochs still to run, until patience ends."""
        history = self.progress.history
        while len(history) < self.settings.epochs:
            if history and len(history) - 1 - self.progress.best_epoch >= self.settings.patience:
                return
            yield len(history)

    def run(self, epoch: int) -> None:
        """Train one epoch, measure it, and keep its weights if they are the best so far."""
        started = time.perf_counter()
        train_loss = self._train(epoch)
        trained = time.perf_counter() - started
        distributed.average(distributed.statistics(self.network))
        self.network.eval()
        with torch.inference_mode():
            logits = _logits(self.network, self.validation.signals)
        labels, weights = self.validation.labels, self.validation.weights
        temperature = fit_temperature(logits, labels, weights)
        validation_loss = negative_log_likelihood(logits / temperature, labels, weights)
        losses = torch.tensor([train_loss, validation_loss], dtype=torch.float64)
        losses = distributed.agreed(losses.to(logits.device))
        self.progress.history.append(
            Epoch(
                train_loss=float(losses[0]),
                validation_loss=float(losses[1]),
                seconds=time.perf_counter() - started,
                records_per_second=len(self.train) / trained,
            )
        )
        if self.progress.best_epoch == epoch:
            self.progress.best = _snapshot(self.network)

    def fit_novelty(self) -> None:
        """Fit the network's autoencoder, if it has one, to the benign training rows."""
        if self.network.novelty is not None:
            benign = self.train.labels == 0
            signals, weights = self.train.signals[benign], self.train.weights[benign]
            fit_autoencoder(self.network.novelty, signals, weights, seed=self.settings.seed)

    def _train(self, epoch: int) -> float:
        """One pass over the training rows; returns the mean loss."""
        self.network.train()
        torch.manual_seed(_epoch_seed(self.settings.seed, epoch))  # so an epoch can be repeated
        order = torch.randperm(len(self.train)).to(self.train.labels.device)
        batches = order.tensor_split(max(len(order) // self.settings.batch, 1))
        if distributed.processes() > 1:  # each makes up attacks of its own
            torch.manual_seed(_epoch_seed(self.settings.seed, epoch, distributed.rank()))
        total = torch.zeros((), device=order.device)
        for step, batch in enumerate(batches, start=epoch * len(batches)):
            set_rate(self.optimizer, step / (self.settings.epochs * len(batches)), self.settings)
            mine = distributed.share(batch)
            loss = self._batch_loss(mine) if self.distillation is None else self._taught(mine)
            loss = loss * (len(mine) * distributed.processes() / len(batch))  # the mean is over it
            self._step(loss + self.network.frontend.penalty())
            total += loss.detach() * len(batch)
        distributed.average([total])
        return float(total) / len(order)

    def _step(self, loss: Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def _batch_loss(self, batch: Tensor) -> Tensor:
        train, contrast = self.train, self.settings.contrast
        made_up = self.contrast.draw(int(contrast * len(batch)))
        logits = self.logits(torch.cat([train.signals[batch], made_up]))
        loss_of = functional.multi_margin_loss if self.settings.hinge else functional.cross_entropy
        losses = loss_of(logits[: len(batch)], train.labels[batch], reduction="none")
        loss = (losses * train.weights[batch]).mean()
        return loss + contrast * attack_loss(logits[len(batch) :]) if len(made_up) else loss

    def _taught(self, batch: Tensor) -> Tensor:
        """Loss against the teacher's probabilities, blended with the labels of training rows."""
        train, distillation = self.train, cast(Distillation, self.distillation)
        device = train.labels.device
        rows, of_swapped = distillation.draw(int(SWAPPED * len(batch)))
        with torch.no_grad():
            swapped = self.network.preparation(rows.to(device))
        logits = self.logits(torch.cat([train.signals[batch], swapped]))
        targets = distillation.targets[batch.cpu()].to(device)
        losses = soft_loss(logits[: len(batch)], targets) * train.weights[batch]
        taught = soft_loss(logits[len(batch) :], of_swapped.to(device))
        return losses.mean() + SWAPPED * taught.mean()


def build_network(dataset: Dataset, settings: ResolvedSettings) -> Network:
    """An untrained network for ``dataset``, its preparation fitted on the training rows."""
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


def _distil(dataset: Dataset, settings: ResolvedSettings) -> Distillation:
    """Return a teacher that knows the training rows, with its probabilities of them."""
    boosted = LIGHTGBM_TEACHER in settings.teacher
    ask = _boosted_teacher if boosted else _committee
    return Distillation(dataset.train, ask(dataset, settings), weight=TEACHER_WEIGHT)


def _boosted_teacher(dataset: Dataset, settings: ResolvedSettings) -> Teacher:
    return Teacher(
        dataset.train,
        len(dataset.classes),
        contrast=settings.contrast,
        seed=settings.seed,
        threads=settings.threads,
    )


def _committee(dataset: Dataset, settings: ResolvedSettings) -> Committee:
    runs = load_teachers(settings.teacher_runs(), dataset, settings)
    members = [partial(probabilities_of, run.network) for run in runs]
    return Committee(members, len(dataset.classes))


def probabilities_of(network: Network, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities (n, classes) float32 of raw rows (n, features), in chunks, where it lies."""
    where = network.preparation.placement.device
    with torch.inference_mode():
        chunks = torch.split(torch.from_numpy(np.ascontiguousarray(rows)), CHUNK)
        found = torch.cat([network(chunk.to(where)).cpu() for chunk in chunks])
    probabilities: NDArray[np.float32] = found.numpy()
    return probabilities


def find_device(settings: ResolvedSettings) -> torch.device:
    """The device that ``settings`` ask for.

    Raises:
        RunError: settings out of range.
        DeviceError: CUDA was asked for and is not there.
    """
    check_settings(settings)
    if settings.device == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise DeviceError(
            "device cuda was asked for, but torch finds no CUDA device here: install a CUDA build "
            "of torch on a machine with an NVIDIA GPU, or train with --device cpu"
        )
    number, found = distributed.local_device(), torch.cuda.device_count()
    if number >= found:
        raise DeviceError(
            f"device cuda was asked for in {number + 1} or more processes of this machine, but "
            f"torch finds {found} CUDA devices: start one process a device"
        )
    return torch.device("cuda", number)


@contextmanager
def _machine(settings: ResolvedSettings, device: torch.device) -> Iterator[None]:
    """Threads and seeds as ``settings`` say, and as they were afterwards."""
    threads = torch.get_num_threads()
    torch.set_num_threads(settings.threads)
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(settings.seed)
            yield
    finally:
        torch.set_num_threads(threads)


def _epoch_seed(*numbers: int) -> int:
    digest = hashlib.sha256(" ".join(map(str, numbers)).encode()).digest()
    return int.from_bytes(digest[:7], "big")


def _without_labels(dataset: Dataset) -> NDArray[np.float32]:
    """All rows to pre-train on (n, features)."""
    train = dataset.train.rows
    return train if dataset.unlabelled is None else np.concatenate([train, dataset.unlabelled])


def _prepared(network: Network, rows: NDArray[np.float32]) -> Tensor:
    """Raw rows (n, features) as signals (n, length), on the network's device."""
    device = network.temperature.device
    with torch.inference_mode():
        chunks = torch.split(torch.from_numpy(rows), CHUNK)
        signals = torch.cat([network.preparation(chunk.to(device)) for chunk in chunks])
    return signals.clone()  # outside of inference mode, so that gradients may be taken


def _signals(network: Network, part: Part) -> _Signals:
    device = network.temperature.device
    weights = part.weights.astype(np.float64)
    return _Signals(
        signals=_prepared(network, part.rows),
        labels=torch.from_numpy(part.labels).to(device),
        weights=torch.from_numpy((weights / weights.mean()).astype(np.float32)).to(device),
    )


def _logits(network: Network, signals: Tensor) -> Tensor:
    return torch.cat([network.logits(chunk) for chunk in torch.split(signals, CHUNK)])


def _shown(progress: Progress) -> tuple[int, str]:
    """Epochs done, and the losses of the last."""
    last = progress.history[-1]
    return len(progress.history), (
        f"loss {last.train_loss:.4f}, validation {last.validation_loss:.4f}"
    )


def _snapshot(network: Network) -> State:
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}


def _calibrate(
    network: Network, validation: Part, settings: ResolvedSettings, progress: Progress
) -> Fitted:
    held = _signals(network, validation)
    with torch.inference_mode():
        logits = _logits(network, held.signals)
    network.temperature.fill_(fit_temperature(logits, held.labels, held.weights))
    logits = logits / network.temperature
    if network.trees is not None:
        logits = _calibrate_trees(network.trees, logits, validation, held)
    if network.novelty is not None:
        log_odds = logits[:, 1:].logsumexp(dim=1) - logits[:, 0]
        benign = held.labels == 0
        with torch.inference_mode():
            errors = network.novelty.error(held.signals[benign])
            network.novelty.most.fill_(fit_most(errors, held.weights[benign]))
            novelty = network.novelty(held.signals)
        offset = fit_offset(log_odds, novelty, ~benign, held.weights)
        network.novelty.offset.fill_(offset)
    usual = validation.take(validation.labels == 0)
    score = attack_score(probabilities_of(network, usual.rows))
    return Fitted(
        network=network,
        threshold=choose_threshold(score, settings.false_positive_rate, usual.weights),
        history=tuple(progress.history),
        best_epoch=progress.best_epoch,
    )


def _calibrate_trees(trees: Trees, logits: Tensor, validation: Part, held: _Signals) -> Tensor:
    """Temperature and share of the trees; the logarithm of both members' averaged probabilities."""
    flows = torch.from_numpy(validation.rows)
    with torch.inference_mode():
        raw = trees.raw(flows)
    trees.temperature.fill_(fit_temperature(raw, held.labels, held.weights))
    first, second = (
        member.softmax(dim=1).gather(1, held.labels[:, None])[:, 0]
        for member in (logits, raw / trees.temperature)
    )
    trees.share.fill_(fit_share(first, second, held.weights))
    with torch.inference_mode():
        return trees.beside(logits, flows)


def _identity(dataset: Dataset, settings: ResolvedSettings) -> dict[str, Any]:
    """What a resumed run must share: every setting, the data and the number of processes."""
    return {
        **settings.recorded(),
        "data": dict(dataset.sha256),
        "processes": distributed.processes(),
    }
