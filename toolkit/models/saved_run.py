"""A training run on disk: what training writes and evaluation and export read.

    RUN/run.json           every setting, schema, classes, threshold, data hashes, versions
    RUN/model.safetensors  the network's weights and everything that was fitted
    RUN/rows.safetensors   raw rows and labels for export: calibration (training rows, drawn per
                           class) and held (validation rows)
    RUN/metrics.json       what evaluation on the test rows gave

Only JSON and safetensors: nothing here is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from idskit.errors import DeviceError, RunError
from idskit.files.output import write_whole
from idskit.models.frontend import MFCCSettings
from idskit.models.members.trees import Trees
from idskit.models.network import Network, NetworkSettings
from idskit.models.preparation import Preparation
from idskit.schema import Schema

RUN_FORMAT = 1
RUN_FILE, WEIGHTS_FILE, PARTIAL = "run.json", "model.safetensors", ".partial"


@dataclass(frozen=True, kw_only=True)
class LabelledRows:
    """Raw rows and the index of their class."""

    flows: NDArray[np.float32]  # (n, features)
    labels: NDArray[np.int64]  # (n,)


@dataclass(frozen=True, kw_only=True)
class Run:
    """A finished training run.

    ``facts`` is everything of run.json that is for people and the model's card: data set, protocol,
    training settings, data hashes, versions, validation metrics.
    """

    network: Network
    schema: Schema
    classes: tuple[str, ...]  # the first is the benign one
    threshold: float  # alert when 1 - P(benign) reaches it
    facts: Mapping[str, Any]
    calibration: LabelledRows
    held: LabelledRows


def save_run(run: Run, folder: Path) -> None:
    """Write ``run`` into ``folder``, run.json last: a folder with run.json is complete."""
    folder.mkdir(parents=True, exist_ok=True)
    preparation = run.network.preparation
    document = {
        "format": RUN_FORMAT,
        "network": asdict(run.network.settings),
        "preparation": {
            "columns": preparation.columns,
            "numbers": len(preparation.number_column),
            "indicators": len(preparation.indicator_column),
            "length": preparation.length,
            "channels": preparation.channels,
            "time_index": preparation.time_index,
        },
        "trees": None if run.network.trees is None else run.network.trees.sizes(),
        "schema": json.loads(run.schema.to_json()),
        "classes": list(run.classes),
        "threshold": run.threshold,
        "facts": dict(run.facts),
    }
    weights = {name: tensor.contiguous() for name, tensor in run.network.state_dict().items()}
    rows = {
        "calibration.flows": torch.from_numpy(run.calibration.flows),
        "calibration.labels": torch.from_numpy(run.calibration.labels),
        "held.flows": torch.from_numpy(run.held.flows),
        "held.labels": torch.from_numpy(run.held.labels),
    }
    write_whole(folder / WEIGHTS_FILE, lambda path: path.write_bytes(save(weights)))
    write_whole(folder / "rows.safetensors", lambda path: path.write_bytes(save(rows)))
    text = json.dumps(document, indent=2, sort_keys=True) + "\n"
    write_whole(folder / RUN_FILE, lambda path: path.write_text(text))


def _mfcc(document: Mapping[str, Any]) -> MFCCSettings:
    """Read the shape of a front end; runs of before 0.2 also say which stages were trained."""
    retired = {"train_window", "train_dft", "train_mel", "train_dct", "window_penalty"}
    return MFCCSettings(**{k: v for k, v in document.items() if k not in retired})


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """A folder for the files of a run; those in ``folder`` are replaced when all are written.

    A disk that fills up or a process that is killed in between leaves the earlier run as it was.
    """
    for left in folder.glob(f"{PARTIAL}*"):  # of processes that were killed
        rmtree(left, ignore_errors=True)
    partial = Path(mkdtemp(prefix=PARTIAL, dir=folder))
    try:
        yield partial
        (folder / RUN_FILE).unlink(missing_ok=True)  # with it a folder is complete
        for file in sorted(partial.iterdir(), key=lambda path: path.name == RUN_FILE):
            file.replace(folder / file.name)
    finally:
        rmtree(partial, ignore_errors=True)


def load_run(folder: Path) -> Run:
    """Read a finished run.

    Raises:
        RunError: not a run, unfinished, damaged, or written by another version.
    """
    file = _require_run(folder)
    try:
        document = json.loads(file.read_text())
        if document["format"] != RUN_FORMAT:
            raise RunError(
                f"{file} is of run format {document['format']}, this version reads {RUN_FORMAT}: "
                "use the idskit that trained it, or train again"
            )
        settings = dict(document["network"])
        settings["mfcc"] = _mfcc(settings["mfcc"])
        classes = tuple(map(str, document["classes"]))
        network = Network(
            Preparation(**document["preparation"]), len(classes), NetworkSettings(**settings)
        )
        if document.get("trees"):
            network.trees = Trees(**document["trees"])
        network.load_state_dict(load_file(folder / WEIGHTS_FILE))
        rows = load_file(folder / "rows.safetensors")
        return Run(
            network=network.eval(),
            schema=Schema.from_json(json.dumps(document["schema"])),
            classes=classes,
            threshold=float(document["threshold"]),
            facts=document["facts"],
            calibration=_rows(rows, "calibration"),
            held=_rows(rows, "held"),
        )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        detail = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RunError(
            f"the training run in {folder} is damaged or half written ({detail}): train again"
        ) from error


def torch_device(device: str) -> torch.device:
    """Return where torch computes a run: on what was asked for.

    Raises:
        DeviceError: torch does not have it here.
    """
    if device not in {"cpu", "cuda"}:
        raise DeviceError(
            f"device {device!r} was asked for with a training run: torch has cpu and cuda; export "
            "the run and name the ONNX file for others"
        )
    if device == "cuda" and not torch.cuda.is_available():
        raise DeviceError(
            f"device cuda was asked for, but torch {torch.__version__} sees no GPU: install a "
            "torch built for CUDA (pytorch.org), or use device cpu"
        )
    return torch.device(device)


def members_of(folder: Path) -> list[Path]:
    """Return the runs of every seed in ``folder``, or ``folder`` itself where there was one."""
    seeds = [file.parent for file in folder.glob(f"seed-*/{RUN_FILE}")]
    return sorted(seeds, key=lambda seed: (len(seed.name), seed.name)) or [folder]


def fingerprint(folder: Path) -> str:
    """Return the SHA-256 of a finished run's weights: what names it, wherever it lies.

    Raises:
        RunError: not a finished run.
    """
    _require_run(folder)
    try:
        return hashlib.sha256((folder / WEIGHTS_FILE).read_bytes()).hexdigest()
    except OSError as error:
        raise RunError(
            f"the weights of the training run in {folder} cannot be read ({error.strerror}): "
            "train it again"
        ) from error


def _require_run(folder: Path) -> Path:
    file = folder / RUN_FILE
    if not file.is_file():
        raise RunError(
            f"{folder} was asked for as a training run, but it has no run.json: train first "
            "(idskit train), or name the folder of a finished run"
        )
    return file


def _rows(tensors: Mapping[str, torch.Tensor], part: str) -> LabelledRows:
    return LabelledRows(
        flows=tensors[f"{part}.flows"].numpy(), labels=tensors[f"{part}.labels"].numpy()
    )
