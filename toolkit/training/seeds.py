"""Several trainings on one division of the data: mean and spread, and the run in the middle.

A single seed of a small network is worth several points either way, and the best of several is
worth less than it looks. So every seed is reported, and the run kept is the one whose validation
loss is the median.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from idskit.data.parts import Dataset
from idskit.errors import RunError
from idskit.output import write_whole
from idskit.training.checkpoint import CHECKPOINT_FILE, check_identity
from idskit.training.settings import ResolvedSettings, TrainingSettings
from idskit.training.train import METRICS_FILE, RUN_FILE, load_data, train_on

Document = dict[str, Any]
MEASURES = ("roc_auc", "accuracy", "macro_f1", "calibration_error")
RATES = ("false_positive_rate", "true_positive_rate", "accuracy", "macro_f1")


def train_seeds(
    settings: TrainingSettings, seeds: int, *, data: Path, output: Path, resume: bool = False
) -> Document:
    """Train ``seeds`` times, on the rows that the first seed divides, and keep the median run.

    ``output/seed-N`` gets each run; ``output`` a copy of the one whose best validation loss is the
    median (of an even number the lower of the two middle ones), with the spread in metrics.json.

    Args:
        settings: of every training; its seed is the first, the others follow it.
        seeds: how many.
        data: folder of the data set, or a table.
        output: made if absent.
        resume: keep the runs that are finished in ``output`` and go on with the one that is not.

    Returns:
        What metrics.json holds: the document of the run kept, and ``seeds`` (see ``spread``).

    Raises:
        RunError: fewer than one seed, or finished runs of other settings; or as ``train``.
    """
    if seeds < 1:
        raise RunError(f"{seeds} seeds were asked for, but at least one has to be trained")
    whole = settings.resolved()
    dataset = load_data(whole, data)
    documents = {
        seed: _train_one(dataset, replace(whole, seed=seed), output / f"seed-{seed}", resume)
        for seed in range(whole.seed, whole.seed + seeds)
    }
    kept = median_seed({seed: validation_loss(found) for seed, found in documents.items()})
    document = {**documents[kept], "seeds": {"kept": kept, **spread(documents)}}
    _keep(output / f"seed-{kept}", output, document)
    return document


def validation_loss(document: Mapping[str, Any]) -> float:
    """The lowest validation loss of a run's metrics.json."""
    return min(float(epoch["validation_loss"]) for epoch in document["history"])


def median_seed(losses: Mapping[int, float]) -> int:
    """The seed whose loss is the median; of an even number the lower of the middle two."""
    order = sorted(losses, key=lambda seed: (losses[seed], seed))
    return order[(len(order) - 1) // 2]


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
    """The single numbers of a ``metrics.summary``, by name."""
    found = {name: summary[name] for name in MEASURES}
    found |= {f"tpr_at_fpr_{rate}": value for rate, value in summary["tpr_at_fpr"].items()}
    return found | {f"{name}_at_threshold": summary["at_threshold"][name] for name in RATES}


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
    """One run in ``folder``; on resuming, what is finished there is kept."""
    started = (folder / CHECKPOINT_FILE).is_file()
    if resume and not started and (folder / RUN_FILE).is_file():
        facts = json.loads((folder / RUN_FILE).read_text())["facts"]
        asked = {**asdict(settings), "data": dict(dataset.sha256)}
        check_identity({**facts["settings"], "data": facts["sha256"]}, asked, folder / RUN_FILE)
        found: Document = json.loads((folder / METRICS_FILE).read_text())
        return found
    return train_on(dataset, settings, output=folder, resume=resume and started)


def _keep(chosen: Path, output: Path, document: Document) -> None:
    """Copy the files of a run, run.json last, with ``document`` as its metrics.json."""
    (output / RUN_FILE).unlink(missing_ok=True)
    text = json.dumps(document, indent=2) + "\n"
    for file in sorted(chosen.iterdir()):
        if file.name not in (RUN_FILE, METRICS_FILE):
            _copy(file, output)
    write_whole(output / METRICS_FILE, lambda path: path.write_text(text))
    _copy(chosen / RUN_FILE, output)


def _copy(file: Path, folder: Path) -> None:
    write_whole(folder / file.name, lambda path: shutil.copyfile(file, path))
