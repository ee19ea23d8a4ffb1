"""One training run from data to a finished folder: fit, measure, compare, draw, save."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idskit import metrics
from idskit.data.dataset import Dataset, Part
from idskit.data.datasets import load, load_more, load_unlabelled
from idskit.data.labelled_captures import DIVISION
from idskit.data.resample import resample
from idskit.errors import RunError
from idskit.files.output import write_json
from idskit.models.frontend import MelSpectrogram
from idskit.models.saved_run import LabelledRows, Run, replacing, save_run
from idskit.training import distributed
from idskit.training.checkpoint import CHECKPOINT_FILE, Epoch
from idskit.training.device import find_device
from idskit.training.evaluation.evaluate import measure
from idskit.training.fit import Fitted, fit
from idskit.training.members.lightgbm_baseline import TREES, lightgbm_probabilities
from idskit.training.pseudo_labels import with_more
from idskit.training.settings import ResolvedSettings, TrainingSettings
from idskit.training.views import training_plots as report

METRICS_FILE = "metrics.json"
CALIBRATION_ROWS = 1_000  # of each class: what the exporter measures activation ranges on
HELD_ROWS = 20_000  # what the exporter compares int8 with fp32 on
Predictions = tuple[NDArray[np.float32], NDArray[np.float32]]  # of validation and of test rows
PACKAGES = ("idskit", "torch", "numpy", "lightgbm", "safetensors")


def train(
    settings: TrainingSettings,
    *,
    data: Path | Sequence[Path],
    output: Path,
    resume: bool = False,
) -> dict[str, Any]:
    """Train on the data set that ``settings`` names and write the folder ``output``.

    The folder gets model.safetensors, rows.safetensors, metrics.json, roc.svg, reliability.svg,
    confusion.svg, loss.svg, filter-bank.svg (of a front end that has one) and, last, run.json: with
    it the folder is complete.

    Args:
        settings: what to train; see ``TrainingSettings``.
        data: folder of the data set, or a table.
        output: made if absent; an earlier run in it is replaced when this one is finished.
        resume: go on from the checkpoint that a stopped run left in ``output``.

    Returns:
        What metrics.json holds; nothing in a process of torchrun that is not the first.

    Raises:
        DataError, SchemaError: the data cannot be used.
        RunError: settings out of range, or nothing that can be resumed.
        DeviceError: the device is not there.
    """
    whole = settings.resolved()
    with distributed.joined(find_device(whole)):
        return train_on(load_data(whole, data), whole, output=output, resume=resume)


def load_data(settings: ResolvedSettings, data: Path | Sequence[Path]) -> Dataset:
    """Return the data set that ``settings`` name, divided and resampled as they say."""
    dataset = load(
        settings.dataset,
        data,
        protocol=settings.protocol,
        labels=settings.labels,
        seed=settings.split_seed,
        generated=settings.generated,
        reading=settings.reading(),
    )
    if settings.more:
        more = load_more(dataset, settings.more, labels=settings.labels, reading=settings.reading())
        dataset = with_more(dataset, more, settings)
    if settings.unlabelled:
        rows = load_unlabelled(dataset, settings.unlabelled)
        note = f"pre-trained on {len(rows):,} rows without labels as well"
        dataset = replace(dataset, unlabelled=rows, notes=(*dataset.notes, note))
    return resample(dataset, settings.resample, settings.seed)


def train_on(
    dataset: Dataset,
    whole: ResolvedSettings,
    *,
    output: Path,
    resume: bool = False,
    baseline: Predictions | None = None,
) -> dict[str, Any]:
    """Do what ``train`` does, on a data set that is loaded already.

    ``baseline`` is what ``baseline_predictions`` gave for it, if that was asked before.
    """
    with _made(output):
        fitted = fit(dataset, whole, folder=output, resume=resume)
    if distributed.rank():
        return {}
    probabilities = {
        "network": _predictions(fitted, dataset),
        "lightgbm": baseline or baseline_predictions(dataset, whole),
    }
    document = _metrics(dataset, whole, fitted, probabilities)
    with replacing(output) as folder:
        write_json(folder / METRICS_FILE, document)
        _draw(folder, dataset, fitted, document, probabilities)
        save_run(_run(dataset, whole, fitted, document), folder)
    (output / CHECKPOINT_FILE).unlink(missing_ok=True)
    return document


def baseline_predictions(dataset: Dataset, settings: ResolvedSettings) -> Predictions:
    """Return what LightGBM, fitted to the training rows, says of validation and test rows."""
    return lightgbm_probabilities(dataset, seed=settings.seed, threads=settings.threads)


@contextmanager
def _made(output: Path) -> Iterator[None]:
    """The folder is there; after an error what was made for it is gone, if nothing is in it."""
    new = [folder for folder in (output, *output.parents) if not folder.exists()]
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"the run was to be written to {output}, which cannot be made a folder "
            f"({error.strerror}): choose another with --output"
        ) from error
    try:
        yield
    except BaseException:
        with suppress(OSError):  # a checkpoint is in it
            for folder in new:
                folder.rmdir()
        raise


def _predictions(fitted: Fitted, dataset: Dataset) -> Predictions:
    parts = (dataset.validation, dataset.test)
    validation, test = (fitted.network.probabilities(part.rows) for part in parts)
    return validation, test


def _metrics(
    dataset: Dataset,
    settings: ResolvedSettings,
    fitted: Fitted,
    probabilities: dict[str, Predictions],
) -> dict[str, Any]:
    """Both models on validation and test rows, each with a threshold of its own."""
    is_benign = dataset.validation.labels == 0
    benign = dataset.validation.take(is_benign)
    models = {}
    for name, (validation, test) in probabilities.items():
        threshold = (
            fitted.threshold
            if name == "network"
            else settings.choose_threshold(benign, validation[is_benign])
        )
        models[name] = {
            "validation": metrics.summary(
                dataset.validation.labels, validation, dataset.classes, threshold
            ),
            **measure(dataset, dataset.test, test, threshold),
        }
    return {
        "dataset": dataset.name,
        "protocol": dataset.protocol,
        "classes": list(dataset.classes),
        "notes": [*dataset.notes, *_doubts(dataset, settings)],
        "rows": {name: len(getattr(dataset, name)) for name in ("train", "validation", "test")},
        **models.pop("network"),
        "baseline": {"name": "lightgbm", "trees": TREES, **models.pop("lightgbm")},
        "epochs": len(fitted.history),
        "best_epoch": fitted.best_epoch + 1,
        "training": _effort(fitted.history, settings),
        "history": [asdict(epoch) for epoch in fitted.history],
    }


def _doubts(dataset: Dataset, settings: ResolvedSettings) -> list[str]:
    """Return what the validation rows are too few to choose."""
    benign, rate = int((dataset.validation.labels == 0).sum()), settings.false_positive_rate
    least = metrics.RULE_OF_THREE / max(benign, 1)
    if settings.threshold or rate >= least:
        return []
    return [
        f"the threshold is a guess: {benign:,} benign validation rows cannot tell a false-positive "
        f"rate of {100 * rate:g} % from none (3 / n is {100 * least:.2g} %)"
    ]


def _effort(history: tuple[Epoch, ...], settings: ResolvedSettings) -> dict[str, Any]:
    """Return how fast the steps went, on what."""
    return {
        "records_per_second": statistics.median(epoch.records_per_second for epoch in history),
        "seconds": sum(epoch.seconds for epoch in history),
        "device": settings.device,
        "precision": settings.precision,
        "threads": settings.threads,
        "processes": distributed.processes(),
    }


def _run(
    dataset: Dataset, settings: ResolvedSettings, fitted: Fitted, document: dict[str, Any]
) -> Run:
    rng = np.random.default_rng(settings.seed)
    return Run(
        network=fitted.network,
        schema=dataset.schema,
        classes=dataset.classes,
        threshold=fitted.threshold,
        facts={
            "dataset": dataset.name,
            "protocol": dataset.protocol,
            "settings": settings.recorded(),
            "sha256": dict(dataset.sha256),
            "notes": list(dataset.notes),
            "rows": document["rows"],
            "epochs": document["epochs"],
            "best_epoch": document["best_epoch"],
            "metrics": {name: document[name] for name in ("validation", "test")},
            "versions": {"python": platform.python_version()}
            | {package: version(package) for package in PACKAGES},
            **({"division": DIVISION} if dataset.name == "captures" else {}),
        },
        calibration=_calibration_rows(dataset.train, rng),
        held=_labelled(_sample(dataset.validation, HELD_ROWS, rng)),
    )


def _calibration_rows(part: Part, rng: np.random.Generator) -> LabelledRows:
    """Return rows drawn from each class of ``part``."""
    classes = [part.take(part.labels == label) for label in np.unique(part.labels)]
    drawn = [_sample(members, CALIBRATION_ROWS, rng) for members in classes]
    return LabelledRows(
        flows=np.concatenate([members.rows for members in drawn]),
        labels=np.concatenate([members.labels for members in drawn]),
    )


def _sample(part: Part, rows: int, rng: np.random.Generator) -> Part:
    return part.take(np.sort(rng.permutation(len(part))[:rows]))


def _labelled(part: Part) -> LabelledRows:
    return LabelledRows(flows=part.rows, labels=part.labels)


def _draw(
    output: Path,
    dataset: Dataset,
    fitted: Fitted,
    document: dict[str, Any],
    probabilities: dict[str, Predictions],
) -> None:
    test, attack = document["test"], dataset.test.labels > 0
    title = f"{dataset.name}, {dataset.protocol} protocol"
    rows = f"{title}: {len(dataset.test):,} test rows"
    built = fitted.network.settings
    names = {
        "network": f"{built.model}, front end {built.frontend}",
        "lightgbm": f"LightGBM, {TREES} trees",
    }
    if attack.any() and not attack.all():
        curves = {
            name: metrics.roc_curve(attack, metrics.attack_score(of_test))
            for name, (_, of_test) in probabilities.items()
        }
        at = test["at_threshold"]
        report.plot_roc(
            output / "roc.svg",
            {names[name]: curve for name, curve in curves.items()},
            alarm_rate=at["false_positive_rate"],
            hit_rate=at["true_positive_rate"],
            title=rows,
        )
    both = {names["network"]: test, names["lightgbm"]: document["baseline"]["test"]}
    report.plot_reliability(output / "reliability.svg", both, title=rows)
    confusion = np.array(test["confusion"])
    report.plot_confusion(output / "confusion.svg", confusion, dataset.classes, title=rows)
    report.plot_loss(output / "loss.svg", fitted.history, fitted.best_epoch, title=title)
    frontend = fitted.network.frontend
    if isinstance(frontend, MelSpectrogram):
        title = f"mel filter bank, {title}"
        report.plot_filter_bank(output / "filter-bank.svg", frontend, title=title)
