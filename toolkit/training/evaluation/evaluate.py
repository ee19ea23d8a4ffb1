"""Score a training run or an exported model on rows that it was not fitted to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from idskit import metrics
from idskit.data.capture_labels import Capture, find_captures
from idskit.data.dataset import OWN, Dataset, Part, Reading, join
from idskit.data.datasets import load
from idskit.data.labelled_captures import DIVISION, how_labelled
from idskit.detect.detector import Detector
from idskit.detect.session import thread_count
from idskit.errors import DataError, IdskitError, ModelError, RunError, SchemaError
from idskit.models.network import Network
from idskit.models.saved_run import load_run, torch_device
from idskit.schema import Schema
from idskit.schemas.catalog import NAMES as PROFILES
from idskit.training.evaluation import unseen_captures as wild

Probabilities = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """Whatever gives probabilities: the network of a run, or an exported file."""

    name: str  # how it computes: torch or onnxruntime
    probabilities: Callable[[NDArray[np.float32]], Probabilities]
    schema: Schema
    classes: tuple[str, ...]
    threshold: float
    facts: Mapping[str, Any]


def evaluate(
    model: Path,
    dataset: str,
    *,
    data: Path | Sequence[Path],
    device: str = "cpu",
    threads: int | None = None,
    label_column: str | None = Reading.label_column,
    benign_labels: Sequence[str] = (),
) -> dict[str, Any]:
    """Measure ``model`` on the test rows of the protocol, labels and seed it was trained with.

    On another data set than its own that is transfer: all distinct rows are judged, as none was
    trained on, as benign or attack, at the model's own threshold.

    Args:
        model: the folder of a run, computed by torch, or an .onnx file, by onnxruntime.
        dataset: name of the data set; its schema must be the model's.
        data: its folder, or the table.
        device: ``cpu`` or ``cuda``: what is asked for is what computes.
        threads: of one inference; all usable processors when None.
        label_column: of a table that is another than the model's own; found by its name if None.
        benign_labels: of it; found by their usual names if none are given.

    On a folder of captures, those that the model was not trained on are judged one by one, by
    repository and category (``idskit.training.evaluation.unseen_captures.report``). Where it was
    trained on all of them, its test part is measured.

    Returns:
        model, runtime, dataset, trained_on, transfer (whether these differ), protocol, notes, test
        (``metrics.summary``) and groups (see ``by_group``), ready for JSON.

    Raises:
        SchemaError: the data set has other columns than the model.
        ModelError, RunError: the model cannot be read, or does not say how it was trained.
        DeviceError: the device or so many threads cannot be had.
        DataError: the data cannot be used.
    """
    scorer = open_scorer(model, device=device, threads=threads)
    if dataset == "captures":
        captures = find_captures(data)
        unseen = _unseen_captures(scorer.facts, captures)
        if unseen:
            return _judge_wild(scorer, model, unseen, known=len(captures) - len(unseen))
    own = _split_of(scorer.facts, model)
    if dataset == "captures" and scorer.facts.get("division") != DIVISION:
        raise RunError(
            f"{model} was trained on captures that were divided by an earlier rule, so which of "
            f"those in {data} it was not fitted to is not known: evaluate it on captures that it "
            "was not trained on, or train it again"
        )
    if scorer.facts.get("dataset") not in (None, dataset):
        reading = Reading(label_column=label_column, benign_labels=benign_labels)
        return _transfer(scorer, model, dataset, data, reading)
    rows = _with_columns(_own_rows(scorer.facts, dataset, data, own), scorer.schema)
    _require_schema(rows, scorer, model)
    notes = list(rows.notes)
    if scorer.facts.get("sha256") != dict(rows.sha256):
        notes.append(
            "the data files are not those of the training run: test rows may have been trained on"
        )
    return {
        "model": model.name,
        "runtime": scorer.name,
        "dataset": rows.name,
        "trained_on": rows.name,
        "transfer": False,
        "protocol": rows.protocol,
        "notes": notes,
        **measure(rows, rows.test, scorer.probabilities(rows.test.rows), scorer.threshold),
    }


def _own_rows(
    facts: Mapping[str, Any], dataset: str, data: Path | Sequence[Path], own: dict[str, Any]
) -> Dataset:
    """Return the rows of the data that a model was trained on, divided as they were.

    Raises:
        DataError: there are only some of them, too few to be divided.
    """
    try:
        return load(dataset, data, **own)
    except DataError as error:
        if dataset != "captures":
            raise
        raise DataError(
            f"the model was trained on all captures in {_named(data)} and "
            f"on others, {len(facts.get('sha256', {}))} in all, and its test part cannot be taken "
            f"from these alone ({error}): name every folder that it was trained on, or captures "
            "that it does not know"
        ) from error


def _named(data: Path | Sequence[Path]) -> str:
    return str(data) if isinstance(data, Path) else ", ".join(map(str, data))


def _unseen_captures(facts: Mapping[str, Any], captures: Sequence[Capture]) -> list[Capture]:
    """Return the captures that a model was not trained on.

    Files are compared by content, so a copy under another name is known.
    """
    known = set(facts.get("sha256", {}).values())
    return [
        capture
        for capture in captures
        if hashlib.sha256(capture.path.read_bytes()).hexdigest() not in known
    ]


def _judge_wild(scorer: Scorer, model: Path, captures: list[Capture], known: int) -> dict[str, Any]:
    """Measure on captures that training did not know, capture by capture.

    ``known`` others next to them were left out, because it did.
    """
    by = wild.Judge(
        schema=scorer.schema,
        classes=scorer.classes,
        probabilities=scorer.probabilities,
        threshold=scorer.threshold,
    )
    judged, read = wild.judge(captures, by)
    return {
        "model": model.name,
        "runtime": scorer.name,
        "dataset": "captures",
        "trained_on": scorer.facts.get("dataset", "unknown"),
        "threshold": scorer.threshold,
        "notes": [
            *([f"{known} captures were left out: the model was trained on them"] if known else []),
            *how_labelled(read),
        ],
        "wild": wild.report(judged),
    }


def _transfer(
    scorer: Scorer,
    model: Path,
    dataset: str,
    data: Path | Sequence[Path],
    reading: Reading,
) -> dict[str, Any]:
    """Measure on the rows of a data set that training knew nothing of."""
    profile = scorer.schema.name
    rows = load(
        dataset,
        data,
        protocol="honest",
        labels="binary",
        seed=0,
        reading=replace(reading, schema=profile if profile in PROFILES else OWN),
    )
    _require_schema(rows, scorer, model)
    whole = join([rows.train, rows.validation, rows.test])
    benign = scorer.probabilities(whole.rows)[:, :1]
    nothing = replace(rows, train=whole.take(np.zeros(len(whole), np.bool_)))
    return {
        "model": model.name,
        "runtime": scorer.name,
        "dataset": rows.name,
        "trained_on": scorer.facts["dataset"],
        "transfer": True,
        "protocol": rows.protocol,
        "notes": [
            f"transfer: trained on {scorer.facts['dataset']}, judged on all {len(whole):,} "
            f"distinct rows of {rows.name}, as benign or attack, at the threshold of "
            f"{scorer.facts['dataset']}",
            *(note for note in rows.notes if not note.startswith("divided")),
        ],
        **measure(nothing, whole, np.hstack([benign, 1 - benign]), scorer.threshold),
    }


def _with_columns(rows: Dataset, schema: Schema) -> Dataset:
    """Leave the columns that a model reads, where its profile has gained others since."""
    columns = schema.columns_in(rows.schema)
    if columns is None or isinstance(columns, slice):
        return rows
    sides = {side: getattr(rows, side) for side in ("train", "validation", "test")}
    fewer = {side: replace(part, rows=part.rows[:, columns]) for side, part in sides.items()}
    return replace(rows, schema=schema, **fewer)


def _require_schema(rows: Dataset, scorer: Scorer, model: Path) -> None:
    if rows.schema.sha256 != scorer.schema.sha256:
        raise SchemaError(
            f"{model} was trained on schema {scorer.schema.name} of {len(scorer.schema)} features, "
            f"but {rows.name} has schema {rows.schema.name} of {len(rows.schema)}: evaluate it on "
            "the data set it was trained on, or train it on columns that both have (--schema)"
        )


def open_scorer(model: Path, *, device: str = "cpu", threads: int | None = None) -> Scorer:
    """Load a run's folder or an .onnx file.

    Raises:
        ModelError, RunError, DeviceError: it cannot be loaded, or not on that device.
    """
    if model.is_dir():
        where, count = torch_device(device), thread_count(threads)
        run = load_run(model)
        network = run.network.to(where)
        return Scorer(
            name="torch",
            probabilities=lambda rows: _with_threads(count, network, rows),
            schema=run.schema,
            classes=run.classes,
            threshold=run.threshold,
            facts=run.facts,
        )
    detector = Detector.load(model, device=device, threads=threads)
    return Scorer(
        name="onnxruntime",
        probabilities=detector.probabilities,
        schema=detector.schema,
        classes=detector.card.classes,
        threshold=detector.threshold,
        facts=detector.card.facts,
    )


def _with_threads(count: int, network: Network, rows: NDArray[np.float32]) -> Probabilities:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        return network.probabilities(rows)
    finally:
        torch.set_num_threads(before)


def measure(
    dataset: Dataset, part: Part, probabilities: Probabilities, threshold: float
) -> dict[str, Any]:
    """Return metrics of a part's rows as ``test``, and by attack or capture as ``groups``."""
    return {
        "test": metrics.summary(part.labels, probabilities, dataset.classes, threshold),
        "groups": by_group(dataset, part, probabilities, threshold),
    }


def by_group(
    dataset: Dataset, part: Part, probabilities: Probabilities, threshold: float
) -> dict[str, dict[str, Any]]:
    """Rows, alerts and their share for every group among the rows: what is found and what is not.

    ``trained_on`` says whether training saw rows of the same group.
    """
    alert = metrics.attack_score(probabilities) >= threshold
    rows = np.bincount(part.groups, minlength=len(dataset.groups))
    alerts = np.bincount(part.groups, alert, len(dataset.groups)).astype(np.int64)
    known = np.bincount(dataset.train.groups, minlength=len(dataset.groups))
    return {
        dataset.groups[group]: {
            "rows": int(rows[group]),
            "alerts": int(alerts[group]),
            "alert_share": float(alerts[group] / rows[group]),
            "trained_on": bool(known[group]),
        }
        for group in np.flatnonzero(rows)
    }


def _split_of(facts: Mapping[str, Any], model: Path) -> dict[str, Any]:
    """Return what decided which rows the training run kept for testing."""
    try:
        settings = facts["settings"]
        split = {name: settings[name] for name in ("protocol", "labels", "generated")}
        split["seed"] = settings.get("split_seed", settings["seed"])
        reading = {f.name: settings[f.name] for f in fields(Reading) if f.name in settings}
        return {**split, "reading": Reading(**reading)}
    except (KeyError, TypeError) as error:
        kind: type[IdskitError] = RunError if model.is_dir() else ModelError
        raise kind(
            f"{model} does not say with which protocol, labels and seed it was trained, so its "
            "test rows cannot be known: train it again"
        ) from error
