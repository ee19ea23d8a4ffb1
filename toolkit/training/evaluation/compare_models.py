"""One command, every model: train each on the same rows, measure them alike, write one table.

OUTPUT/comparison.json, comparison.md, comparison.svg
OUTPUT/resnet18/   a run folder for every network, trees and metrics.json for the others,
                   and member.json, written last: with it the member is finished
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from idskit import metrics
from idskit.data.dataset import Dataset
from idskit.errors import IdskitError, RunError
from idskit.files.output import write_json, write_whole
from idskit.models.network import MODELS, count_parameters
from idskit.models.saved_run import load_run
from idskit.report.console import PeopleConsole
from idskit.training import distributed
from idskit.training.checkpoint import CHECKPOINT_FILE, check_identity
from idskit.training.device import find_device
from idskit.training.evaluation.comparison import Comparison, Member
from idskit.training.evaluation.comparison_forest import (
    TREE_MODELS,
    Ensemble,
    Predict,
    TreeModel,
    fit_trees,
)
from idskit.training.evaluation.evaluate import measure
from idskit.training.settings import ResolvedSettings, TrainingSettings
from idskit.training.train import Predictions, baseline_predictions, load_data, train_on
from idskit.training.views import training_plots as report

# The first network once more, its columns in a random order: what does their neighbourhood give?
CONTROL = f"{MODELS[0]}-shuffled"
ALL: tuple[str, ...] = (*MODELS, CONTROL, *TREE_MODELS)
MEMBER_FILE = "member.json"
BATCH = 256  # flows of a timed call
WARM_UP, CALLS = 3, 30


def models_named(text: str) -> tuple[str, ...]:
    """Return the models that ``--model`` names: ``all``, or names between commas.

    Raises:
        RunError: a name that does not exist.
    """
    names = ALL if text == "all" else tuple(dict.fromkeys(n.strip() for n in text.split(",")))
    for name in names:
        if name not in ALL:
            raise RunError(
                f"model {name!r} was asked for, but the choices are all, {', '.join(ALL)}"
            )
    return names


def compare(
    settings: TrainingSettings,
    models: tuple[str, ...],
    *,
    data: Path | Sequence[Path],
    output: Path,
    resume: bool = False,
) -> Comparison:
    """Train every model of ``models`` on the same rows and write ``output``.

    Args:
        settings: of every model; ``model`` is not used, a front end asked for is that of all
            networks.
        models: names from ``ALL``.
        data: folder of the data set, or a table.
        output: made if absent; each model has a folder in it.
        resume: keep the models that are finished and go on from the checkpoints of the others.

    Returns:
        What was measured; a model that failed is named with its reason, and the others go on.

    Raises:
        DataError, SchemaError: the data cannot be used.
        RunError: settings out of range, no model could be trained, or a finished one in ``output``
            was trained with other settings.
        DeviceError: the device is not there.
    """
    whole = settings.resolved()
    find_device(whole)
    if distributed.started() > 1:
        raise RunError(
            f"a comparison was asked for in {distributed.started()} processes, but models are "
            "compared in one: start it without torchrun, or train one --model with it"
        )
    dataset = load_data(whole, data)
    members, failed = _train_all(models, settings, dataset, output, resume=resume)
    comparison = Comparison(
        dataset=dataset.name,
        protocol=dataset.protocol,
        seed=whole.seed,
        rows={part: len(getattr(dataset, part)) for part in ("train", "validation", "test")},
        notes=tuple(dataset.notes),
        members=tuple(members),
        failed=failed,
    )
    _write(comparison, output)
    return comparison


def _train_all(
    models: tuple[str, ...],
    settings: TrainingSettings,
    dataset: Dataset,
    output: Path,
    *,
    resume: bool,
) -> tuple[list[Member], dict[str, str]]:
    """Return the members, and why the others failed, by name."""
    members: list[Member] = []
    failed: dict[str, str] = {}
    baseline: Predictions | None = None
    console = PeopleConsole()
    for number, name in enumerate(models, start=1):
        if console.is_terminal:
            console.print(f"{number} of {len(models)}: {name}", highlight=False)
        own, folder = _settings_of(name, settings), output / name
        found = _finished(folder, _identity(name, own, dataset)) if resume else None
        try:
            if not found and name not in TREE_MODELS and baseline is None:
                baseline = baseline_predictions(dataset, own)  # of all networks alike
            members.append(found or _train(name, own, dataset, folder, baseline, resume=resume))
        except Exception as error:  # whatever it was, the other models are still wanted
            failed[name] = _reason(error)
    if not members:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
        raise RunError(f"none of the models asked for could be trained: {reasons}")
    return members, failed


def flows_per_second(predict: Predict, rows: NDArray[np.float32]) -> float:
    """Return the flows a second of ``predict`` on one thread: the median call of ``BATCH`` rows."""
    batch = np.ascontiguousarray(rows[np.arange(BATCH) % len(rows)])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        seconds = [_seconds(lambda: predict(batch)) for _ in range(WARM_UP + CALLS)]
    finally:
        torch.set_num_threads(threads)
    return BATCH / statistics.median(seconds[WARM_UP:])


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _settings_of(name: str, settings: TrainingSettings) -> ResolvedSettings:
    """The settings of one member; trees share those of the default network, and use few of them."""
    networks = [model for model in MODELS if model == name]
    shuffled = settings.shuffle_columns or name == CONTROL
    model = networks[0] if networks else MODELS[0]
    trees = settings.trees or "none"  # a network is compared with trees, not averaged with them
    return replace(settings, model=model, shuffle_columns=shuffled, trees=trees).resolved()


def _identity(name: str, settings: ResolvedSettings, dataset: Dataset) -> dict[str, Any]:
    """Return what a member must share to be kept."""
    return {**settings.recorded(), "model": name, "data": dict(dataset.sha256)}


def _finished(folder: Path, identity: dict[str, Any]) -> Member | None:
    """Return the member that ``folder`` holds, if it is finished.

    Raises:
        RunError: it was trained with other settings or data, or its file is damaged.
    """
    file = folder / MEMBER_FILE
    if not file.is_file():
        return None
    try:
        document = json.loads(file.read_text())
        check_identity(document["identity"], identity, file)
        return Member(**document["member"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{file} is damaged ({error}): train without resuming") from error


def _train(
    name: str,
    settings: ResolvedSettings,
    dataset: Dataset,
    folder: Path,
    baseline: Predictions | None,
    *,
    resume: bool,
) -> Member:
    started = time.perf_counter()
    (folder / MEMBER_FILE).unlink(missing_ok=True)
    trees = next((known for known in TREE_MODELS if known == name), None)
    member = (
        _train_network(name, settings, dataset, folder, baseline, resume=resume)
        if trees is None
        else _train_trees(trees, settings, dataset, folder)
    )
    member = replace(member, seconds=time.perf_counter() - started)
    document = {"identity": _identity(name, settings, dataset), "member": asdict(member)}
    write_json(folder / MEMBER_FILE, document)
    return member


def _train_network(
    name: str,
    settings: ResolvedSettings,
    dataset: Dataset,
    folder: Path,
    baseline: Predictions | None,
    *,
    resume: bool,
) -> Member:
    resume = resume and (folder / CHECKPOINT_FILE).is_file()
    document = train_on(dataset, settings, output=folder, resume=resume, baseline=baseline)
    network = load_run(folder).network
    return _member(
        name,
        document["test"],
        frontend=settings.frontend,
        parameters=count_parameters(network),
        size=(folder / "model.safetensors").stat().st_size,
        speed=flows_per_second(network.probabilities, dataset.test.rows),
    )


def _train_trees(
    name: TreeModel, settings: ResolvedSettings, dataset: Dataset, folder: Path
) -> Member:
    ensemble = fit_trees(name, dataset, seed=settings.seed, threads=settings.threads)
    document = _measured(ensemble, settings, dataset)
    folder.mkdir(parents=True, exist_ok=True)
    ensemble.save(folder)
    write_json(folder / "metrics.json", document)
    return _member(
        name,
        document["test"],
        frontend=None,
        parameters=ensemble.nodes,
        size=len(ensemble.content),
        speed=flows_per_second(ensemble.predict, dataset.test.rows),
    )


def _measured(ensemble: Ensemble, settings: ResolvedSettings, dataset: Dataset) -> dict[str, Any]:
    """Validation and test measures, at the threshold that validation rows choose."""
    validation, test = (ensemble.predict(p.rows) for p in (dataset.validation, dataset.test))
    labels = dataset.validation.labels
    benign = dataset.validation.take(labels == 0)
    threshold = settings.choose_threshold(benign, validation[labels == 0])
    return {
        "validation": metrics.summary(labels, validation, dataset.classes, threshold),
        **measure(dataset, dataset.test, test, threshold),
    }


def _member(
    name: str,
    test: dict[str, Any],
    *,
    frontend: str | None,
    parameters: int,
    size: int,
    speed: float,
) -> Member:
    return Member(
        name=name,
        frontend=frontend,
        parameters=parameters,
        bytes=size,
        flows_per_second=speed,
        seconds=0.0,
        macro_f1=test["macro_f1"],
        roc_auc=test["roc_auc"],
        tpr_at_fpr=test["tpr_at_fpr"],
    )


def _reason(error: Exception) -> str:
    text = str(error).splitlines()[0] if str(error) else ""
    return text if isinstance(error, IdskitError) else f"{type(error).__name__}: {text}"


def _write(comparison: Comparison, output: Path) -> None:
    write_json(output / "comparison.json", comparison.to_json())
    text = comparison.to_markdown()
    write_whole(output / "comparison.md", lambda path: path.write_text(text))
    report.plot_comparison(output / "comparison.svg", comparison.members, title=comparison.title)
