"""More rows to train on, of whose labels only the family is known: each is given a class.

    training rows ──> boosted trees ──> of a row's possible classes the likeliest ──> training rows

Self-training (H. J. Scudder, "Probability of Error of Some Adaptive Pattern-Recognition Machines",
IEEE Trans. Information Theory 11, 1965), held to what the labels do say. Validation and test rows
stay as they are.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from idskit.data.dataset import Dataset, MoreRows, Part, join
from idskit.training.members.boosted_trees import fit_boosted, with_pairs
from idskit.training.members.choose_derived import pairs_of
from idskit.training.settings import ResolvedSettings

GROUP = "more rows"
LEAST = 1e-9  # probability


def with_more(dataset: Dataset, more: MoreRows, settings: ResolvedSettings) -> Dataset:
    """Return the data set with more training rows, which of each class weigh no more than its own.

    Args:
        dataset: divided; its training rows say what is likely.
        more: none of them a row of ``dataset``.
        settings: of the trees that say it, which are those of the model.
    """
    likely = np.where(more.possible, _scores(dataset, more.rows, settings), -np.inf)
    labels = likely.argmax(axis=1).astype(np.int64)
    own = np.bincount(dataset.train.labels, dataset.train.weights, len(dataset.classes))
    added = np.bincount(labels, minlength=len(own))
    weights = np.minimum(own / np.maximum(added, 1), 1)[labels]
    part = Part(
        rows=more.rows,
        labels=labels,
        weights=weights.astype(np.float32),
        groups=np.full(len(labels), len(dataset.groups), np.int64),
    )
    several = int((more.possible.sum(axis=1) > 1).sum())
    return replace(
        dataset,
        train=join([dataset.train, part]),
        groups=(*dataset.groups, GROUP),
        notes=(
            *dataset.notes,
            *more.notes,
            f"of the more rows {several:,} may be of several classes: boosted trees of the other "
            "training rows say of which",
        ),
    )


def _scores(
    dataset: Dataset, rows: NDArray[np.float32], settings: ResolvedSettings
) -> NDArray[np.float64]:
    """Return how likely each class is (n, classes), on a scale of each row's own."""
    pairs = pairs_of(dataset.schema, settings.trees)
    wider = with_pairs(rows, pairs)
    members = [model.predict_proba(wider) for model in fit_boosted(dataset, settings, pairs)]
    total: NDArray[np.float64] = np.log(np.maximum(members, LEAST)).sum(axis=0)
    return total
