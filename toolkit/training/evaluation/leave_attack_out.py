"""How well attacks are found that training never saw: whole attacks left out in turn.

The test file of NSL-KDD is full of attacks that its training file lacks, and so is the world.
``leave_each_out`` trains without one attack after the other and reports how many of its rows are
found.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idskit import metrics
from idskit.data.dataset import Dataset, join
from idskit.errors import DataError, RunError
from idskit.files.output import write_json
from idskit.report.console import PeopleConsole
from idskit.training.checkpoint import check_identity
from idskit.training.fit import fit
from idskit.training.settings import TrainingSettings
from idskit.training.train import METRICS_FILE, load_data

FEWEST_ROWS = 50  # of an attack, for a share worth a mean
MOST_ATTACKS = 20  # left out in turn: the largest, each a training of its own
LEFT_OUT_FILE = "left-out.json"  # what is measured so far, for a run that is stopped


def leave_each_out(
    dataset: Dataset, settings: TrainingSettings, *, output: Path, resume: bool = False
) -> dict[str, Any]:
    """Train again without each attack, one after the other, and see whether its rows are found.

    All rows of the attack are judged, as training saw none, at the threshold that the validation
    rows without it choose; benign test rows give the false positives. Of data sets whose captures
    are on one side each, attacks are the classes, else the groups.

    Args:
        dataset: as the run had it.
        settings: of every training, as the run had them.
        output: keeps left-out.json, one attack more after every training.
        resume: keep what left-out.json holds.

    Returns:
        attacks (by name: rows, found, false_positive_rate, roc_auc, threshold), mean (of each of
        the last but one three, every attack alike) and notes, ready for JSON.

    Raises:
        DataError: fewer than two attacks have enough training rows.
        RunError: left-out.json is of other settings, an earlier run is learned from, or more rows.
    """
    if settings.resolved().teacher_runs() or settings.more:
        raise RunError(
            "an earlier run has seen the attacks that are left out, and rows of coarser labels may "
            "be of them: omit --teacher and --set more"
        )
    kinds, notes = _attacks(dataset)
    file = output / LEFT_OUT_FILE
    identity = {**settings.resolved().recorded(), "data": dict(dataset.sha256)}
    found = _measured(file, identity) if resume else {}
    console = PeopleConsole()
    for number, (name, rows) in enumerate(kinds.items(), start=1):
        if name in found:
            continue
        if console.is_terminal:
            console.print(f"leaving out {number} of {len(kinds)}: {name}", highlight=False)
        found[name] = _left_out(dataset, settings, rows)
        write_json(file, {"identity": identity, "attacks": found})
    measures = ("found", "false_positive_rate", "roc_auc")
    mean = {m: float(np.mean([one[m] for one in found.values()])) for m in measures}
    return {"attacks": found, "mean": mean, "notes": notes}


def report_left_out(
    settings: TrainingSettings,
    document: Mapping[str, Any],
    *,
    data: Path | Sequence[Path],
    output: Path,
    resume: bool = False,
) -> dict[str, Any]:
    """Return the document of a finished run with ``left_out``, and write it to disk."""
    whole = settings.resolved()
    found = leave_each_out(load_data(whole, data), whole, output=output, resume=resume)
    whole_document = {**document, "left_out": found}
    write_json(output / METRICS_FILE, whole_document)
    (output / LEFT_OUT_FILE).unlink(missing_ok=True)
    return whole_document


Masks = tuple[NDArray[np.bool_], ...]  # which rows, in the training, validation and test part


def _attacks(dataset: Dataset) -> tuple[dict[str, Masks], list[str]]:
    """The attacks to leave out and where their rows are, the largest first; and who is not tried.

    Raises:
        DataError: without one of them nothing is left that is an attack.
    """
    parts = (dataset.train, dataset.validation, dataset.test)
    apart = not np.intersect1d(dataset.train.groups, dataset.test.groups).size
    names = dataset.classes if apart else dataset.groups
    codes = [part.labels if apart else part.groups for part in parts]
    counts = np.bincount(codes[0][dataset.train.labels > 0], minlength=len(names))
    order = [int(code) for code in np.argsort(-counts, kind="stable") if counts[code]]
    if len(order) < 2:
        raise DataError(
            f"attacks were to be left out of {dataset.name} in turn, but its training rows are of "
            f"one kind of attack, {names[order[0]]}: finer labels are needed (--labels family)"
        )
    tried = [code for code in order if counts[code] >= FEWEST_ROWS][:MOST_ATTACKS]
    rest = ", ".join(names[code] for code in order if code not in tried)
    notes = [f"not left out, of fewer than {FEWEST_ROWS} rows or past {MOST_ATTACKS}: {rest}"]
    attack = [part.labels > 0 for part in parts]
    return {
        names[code]: tuple((c == code) & a for c, a in zip(codes, attack, strict=True))
        for code in tried
    }, notes if rest else []


def _left_out(dataset: Dataset, settings: TrainingSettings, rows: Masks) -> dict[str, Any]:
    train, validation, test = rows
    fold = replace(
        dataset,
        train=dataset.train.take(~train),
        validation=dataset.validation.take(~validation),
    )
    fitted = fit(fold, settings)
    never_seen = join(
        [dataset.train.take(train), dataset.validation.take(validation), dataset.test.take(test)]
    )
    attack = metrics.attack_score(fitted.network.probabilities(never_seen.rows))
    benign_rows = dataset.test.rows[dataset.test.labels == 0]
    benign = metrics.attack_score(fitted.network.probabilities(benign_rows))
    curve = metrics.roc_curve(
        np.repeat([True, False], [len(attack), len(benign)]), np.concatenate([attack, benign])
    )
    return {
        "rows": len(attack),
        "found": float((attack >= fitted.threshold).mean()),
        "false_positive_rate": float((benign >= fitted.threshold).mean()),
        "roc_auc": metrics.area_under(curve),
        "threshold": fitted.threshold,
    }


def _measured(file: Path, identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an earlier, stopped call measured."""
    if not file.is_file():
        return {}
    try:
        document = json.loads(file.read_text())
        check_identity(document["identity"], identity, file)
        return dict(document["attacks"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{file} is damaged ({error}): train without resuming") from error
