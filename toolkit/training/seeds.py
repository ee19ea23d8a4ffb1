"""Several trainings on one division of the data: mean and spread, and the run in the middle.

A single seed of a small network is worth several points either way, and the best of several is
worth less than it looks. So every seed is reported, and the run kept is the one whose validation
loss is the median: it stands for them. To ship one, ``best`` keeps the one of the lowest.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from idskit.data.dataset import Dataset
from idskit.errors import RunError
from idskit.files.output import write_json, write_whole
from idskit.models.saved_run import RUN_FILE, replacing
from idskit.training import distributed
from idskit.training.checkpoint import CHECKPOINT_FILE, check_identity
from idskit.training.device import find_device
from idskit.training.settings import ResolvedSettings, TrainingSettings, check_settings
from idskit.training.train import METRICS_FILE, load_data, train_on
from idskit.training.views import training_plots as report

Document = dict[str, Any]
Keep = Literal["median", "best"]
KEEPS: dict[Keep, str] = {"median": "median", "best": "lowest"}  # which loss that is, in words
SEEDS_PICTURE = "seeds.svg"
MEASURES = ("roc_auc", "accuracy", "macro_f1", "calibration_error")
RATES = ("false_positive_rate", "true_positive_rate", "accuracy", "macro_f1")
NAMED = ("named_accuracy", "named_macro_f1")  # of two classes the same as without a name


def train_seeds(
    settings: TrainingSettings,
    seeds: int,
    *,
    data: Path | Sequence[Path],
    output: Path,
    resume: bool = False,
    keep: Keep = "median",
) -> Document:
    """Train ``seeds`` times, on the rows that the first seed divides, and keep one run.

    One seed is trained in ``output``. Of several, each has ``output/seed-N``, and ``output`` a copy
    of one of them, with the spread in metrics.json and seeds.svg.

    Args:
        settings: of every training; its seed is the first, the others follow it.
        seeds: how many.
        data: folder of the data set, or a table.
        output: made if absent.
        resume: keep the runs that are finished in ``output`` and go on with the one that is not.
        keep: the run whose validation loss is the ``median`` (of an even number the lower of the
            middle two), or the ``best``.

    Returns:
        What metrics.json holds: the document of the run kept, and ``seeds`` (see ``spread``);
        nothing in a process of torchrun that is not the first.

    Raises:
        RunError: fewer than one seed, or finished runs of other settings; or as ``train``.
    """
    if keep not in KEEPS:
        raise RunError(f"keep {keep!r} was asked for, but the choices are {', '.join(KEEPS)}")
    if seeds < 1:
        raise RunError(f"{seeds} seeds were asked for, but at least one has to be trained")
    whole = settings.resolved()
    check_settings(replace(whole, seed=whole.seed + seeds - 1))  # before the first is trained
    with distributed.joined(find_device(whole)):
        dataset = load_data(whole, data)
        if seeds == 1:
            found = _finished(dataset, whole, output) if resume else None
            return found or train_on(dataset, whole, output=output, resume=resume)
        documents = {
            seed: _train_one(dataset, replace(whole, seed=seed), output / f"seed-{seed}", resume)
            for seed in range(whole.seed, whole.seed + seeds)
        }
        if distributed.rank():
            return {}
    losses = {seed: validation_loss(found) for seed, found in documents.items()}
    kept = kept_seed(losses, keep)
    seen = {"kept": kept, "kept_loss": KEEPS[keep], **spread(documents)}
    document = {**documents[kept], "seeds": seen}
    _keep(output / f"seed-{kept}", output, document)
    return document


def validation_loss(document: Mapping[str, Any]) -> float:
    """Return the lowest validation loss of a run's metrics.json."""
    return min(float(epoch["validation_loss"]) for epoch in document["history"])


def kept_seed(losses: Mapping[int, float], keep: Keep) -> int:
    """Return the seed whose loss is the median (the lower of two middle ones) or the least."""
    order = sorted(losses, key=lambda seed: (losses[seed], seed))
    return order[(len(order) - 1) // 2 if keep == "median" else 0]


def spread(documents: Mapping[int, Mapping[str, Any]]) -> Document:
    """Mean, standard deviation, lowest and highest of every measure of the test rows.

    Returns:
        seeds (the seeds, in order), network and baseline: measure to mean, std, min, max and each
        seed's value. A measure that the rows cannot give is left out.
    """
    runs = list(documents.values())
    return {
        "seeds": list(documents),
        "network": _spread([measures(run["test"]) for run in runs]),
        "baseline": _spread([measures(run["baseline"]["test"]) for run in runs]),
    }


def measures(summary: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the single numbers of a ``metrics.summary``, by name."""
    found = {name: summary[name] for name in MEASURES}
    found |= {f"tpr_at_fpr_{rate}": value for rate, value in summary["tpr_at_fpr"].items()}
    at = summary["at_threshold"]
    rates = RATES + NAMED * (len(summary["f1"]) > 2)
    found |= {f"{name}_at_threshold": at[name] for name in rates}
    alerts = at["false_alerts_per_hour"] or {}
    found |= {f"false_alerts_per_hour_{flows}": value for flows, value in alerts.items()}
    return found | {f"f1_{name}": value for name, value in summary["f1"].items()}


def _spread(runs: Sequence[Mapping[str, float | None]]) -> Document:
    found: Document = {}
    for name in runs[0]:
        values = [value for run in runs if (value := run[name]) is not None]
        if len(values) == len(runs):
            found[name] = {
                "mean": float(np.mean(values)),
                "std": float(np.std(values, ddof=1)) if len(values) > 1 else 0.0,
                "min": min(values),
                "max": max(values),
                "values": values,
            }
    return found


def _train_one(
    dataset: Dataset, settings: ResolvedSettings, folder: Path, resume: bool
) -> Document:
    """Train one run in ``folder``; on resuming, what is finished there is kept."""
    found = _finished(dataset, settings, folder) if resume else None
    started = (folder / CHECKPOINT_FILE).is_file()
    return found or train_on(dataset, settings, output=folder, resume=resume and started)


def _finished(dataset: Dataset, settings: ResolvedSettings, folder: Path) -> Document | None:
    """What the finished run in ``folder`` measured; None if there is none, or a later one began.

    Raises:
        RunError: it was trained with other settings or data.
    """
    if (folder / CHECKPOINT_FILE).is_file() or not (folder / RUN_FILE).is_file():
        return None
    facts = json.loads((folder / RUN_FILE).read_text())["facts"]
    asked = {**settings.recorded(), "data": dict(dataset.sha256)}
    check_identity({**facts["settings"], "data": facts["sha256"]}, asked, folder / RUN_FILE)
    found: Document = json.loads((folder / METRICS_FILE).read_text())
    return found


def _keep(chosen: Path, output: Path, document: Document) -> None:
    """Copy the files of a run, with ``document`` as its metrics.json."""
    with replacing(output) as folder:
        for file in chosen.iterdir():
            if file.name != METRICS_FILE:
                _copy(file, folder)
        write_json(folder / METRICS_FILE, document)
        report.plot_seeds(folder / SEEDS_PICTURE, document["seeds"], title=_title(document))


def _title(document: Document) -> str:
    seeds = len(document["seeds"]["seeds"])
    return f"{document['dataset']}, {document['protocol']} protocol: test rows, {seeds} seeds"


def _copy(file: Path, folder: Path) -> None:
    write_whole(folder / file.name, lambda path: shutil.copyfile(file, path))
