"""More rows to train on, of whose labels only the family is known: each is given a class.

    training rows ──> LightGBM ──> of each row's possible classes the likeliest ──> training rows

Self-training (H. J. Scudder, "Probability of Error of Some Adaptive Pattern-Recognition Machines",
IEEE Trans. Information Theory 11, 1965), held to what the labels do say. Validation and test rows
stay as they are.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from idskit.data.parts import Dataset, MoreRows, Part, join
from idskit.training.baseline import fit_lightgbm

GROUP = "more rows"


def with_more(dataset: Dataset, more: MoreRows, *, seed: int, threads: int) -> Dataset:
    """The data set with more training rows, which of each class weigh no more than its own.

    Args:
        dataset: divided; its training rows say what is likely.
        more: none of them a row of ``dataset``.
        seed: of LightGBM.
        threads: of LightGBM.
    """
    model = fit_lightgbm(dataset, seed=seed, threads=threads)
    likely = np.where(more.possible, model.predict_proba(more.rows), -1.0)
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
            f"of the more rows {several:,} may be of several classes: LightGBM of the other "
            "training rows says of which",
        ),
    )
