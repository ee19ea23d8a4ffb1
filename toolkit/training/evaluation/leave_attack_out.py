"""How well attacks are found that training never saw: whole attacks left out in turn.

The test file of NSL-KDD is full of attacks that its training file lacks, and so is the world.
``find_unseen`` asks the same question of training rows alone, so that settings can be chosen by the
answer and the test rows stay unseen; ``leave_each_out`` asks it for the report, attack by attack.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
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
from idskit.training.fit import fit, probabilities_of
from idskit.training.settings import TrainingSettings
from idskit.training.train import METRICS_FILE, load_data

# Attacks of KDDTrain+ left out together: each fold has some of every family.
NSL_KDD_FOLDS = (
    ("satan", "smurf", "guess_passwd", "buffer_overflow", "land", "imap"),
    ("ipsweep", "back", "warezmaster", "rootkit", "pod", "phf"),
    ("portsweep", "teardrop", "warezclient", "ftp_write", "loadmodule"),
    ("nmap", "neptune", "multihop", "perl", "spy"),
)
FEWEST_ROWS = 50  # of an attack, for a share worth a mean
MOST_ATTACKS = 20  # left out in turn: the largest, each a training of its own
LEFT_OUT_FILE = "left-out.json"  # what is measured so far, for a run that is stopped


@dataclass(frozen=True, kw_only=True)
class Unseen:
    """Means over the attacks left out."""

    roc_auc: float  # mean over the folds, benign validation rows against the attacks left out
    found_at_fpr: dict[str, float]  # by false-positive rate: mean share found, every attack alike
    attacks: dict[str, float]  # share found at the first of these rates, by attack


def hold_out(dataset: Dataset, names: Collection[str]) -> Dataset:
    """Attacks ``names`` leave training and validation and become, with benign rows, the test part.

    Raises:
        DataError: a name that the training rows do not have.
    """
    unknown = sorted(set(names) - set(dataset.groups))
    if unknown:
        raise DataError(f"{', '.join(unknown)} cannot be left out of {dataset.name}: no such rows")
    out = np.isin(np.array(dataset.groups), list(names))
    train, validation = out[dataset.train.groups], out[dataset.validation.groups]
    kept = dataset.validation.take(~validation)
    return replace(
        dataset,
        train=dataset.train.take(~train),
        validation=kept,
        test=join([kept.take(kept.labels == 0), dataset.train.take(train)]),
    )


def find_unseen(
    dataset: Dataset,
    settings: TrainingSettings,
    folds: Sequence[Collection[str]] = NSL_KDD_FOLDS,
    rates: Sequence[float] = (0.01, 0.03),
) -> Unseen:
    """Train once a fold without its attacks and measure how many of their rows are found.

    Args:
        dataset: its test part is not used.
        settings: of every training.
        folds: names of attacks to leave out together.
        rates: false-positive rates on benign validation rows.
    """
    areas, shares = [], dict[float, dict[str, float]]({rate: {} for rate in rates})
    for names in folds:
        fold = hold_out(dataset, names)
        test = fold.test
        score = metrics.attack_score(probabilities_of(fit(fold, settings).network, test.rows))
        areas.append(metrics.area_under(metrics.roc_curve(test.labels > 0, score)))
        for rate in rates:
            threshold = metrics.choose_threshold(score[test.labels == 0], rate)
            for name in names:
                rows = test.groups == fold.groups.index(name)
                if rows.sum() >= FEWEST_ROWS:
                    shares[rate][name] = float((score[rows] >= threshold).mean())
    return Unseen(
        roc_auc=float(np.mean(areas)),
        found_at_fpr={f"{r:g}": float(np.mean(list(shares[r].values()))) for r in rates},
        attacks=shares[rates[0]],
    )


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
    if settings.teacher or settings.prune or settings.more:
        raise RunError(
            "an earlier run has seen the attacks that are left out, and rows of coarser labels may "
            "be of them: leave out --teacher, --prune and --more"
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
    data: Path,
    output: Path,
    resume: bool = False,
) -> dict[str, Any]:
    """The document of a finished run with ``left_out`` (see ``leave_each_out``), also on disk."""
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
    attack = metrics.attack_score(probabilities_of(fitted.network, never_seen.rows))
    benign_rows = dataset.test.rows[dataset.test.labels == 0]
    benign = metrics.attack_score(probabilities_of(fitted.network, benign_rows))
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
    """What an earlier, stopped call measured."""
    if not file.is_file():
        return {}
    try:
        document = json.loads(file.read_text())
        check_identity(document["identity"], identity, file)
        return dict(document["attacks"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{file} is damaged ({error}): train without resuming") from error
