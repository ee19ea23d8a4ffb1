"""How well attacks are found that training never saw: whole attacks left out in turn.

The test file of NSL-KDD is full of attacks that its training file lacks, and so is the world. This
asks the same question of training rows alone, so that settings can be chosen by the answer and the
test rows stay unseen.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from idskit.data.parts import Dataset, join
from idskit.errors import DataError
from idskit.training import metrics
from idskit.training.fit import fit, probabilities_of
from idskit.training.settings import TrainingSettings

# Attacks of KDDTrain+ left out together: each fold has some of every family.
NSL_KDD_FOLDS = (
    ("satan", "smurf", "guess_passwd", "buffer_overflow", "land", "imap"),
    ("ipsweep", "back", "warezmaster", "rootkit", "pod", "phf"),
    ("portsweep", "teardrop", "warezclient", "ftp_write", "loadmodule"),
    ("nmap", "neptune", "multihop", "perl", "spy"),
)
FEWEST_ROWS = 50  # of an attack, for a share worth a mean


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
