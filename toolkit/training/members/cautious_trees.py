"""Trees for networks never seen: small, with large leaves, rising with suspicious columns.

A tree that may split as it likes recognises the lab that a capture was made in. These have six
leaves of at least 200 rows each, see half of the columns at a time, and where more of a column can
only be more suspicious (failed connections, words of attacks, refused logins) their log-odds never
fall with it. DECISIONS.md has what each of these is worth on repositories never seen.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import lightgbm
import numpy as np

from idskit.data.dataset import Dataset, Part
from idskit.schema import Schema
from idskit.schemas.gateway_columns import SUSPICIOUS

TREES = 300
LEAVES, LEAST_ROWS = 6, 200
CAUTIOUS: dict[str, Any] = {
    "n_estimators": TREES,
    "num_leaves": LEAVES,
    "learning_rate": 0.05,
    "max_bin": 63,
    "colsample_bytree": 0.5,
    "subsample": 0.7,
    "subsample_freq": 1,
    "reg_lambda": 1.0,
    "deterministic": True,
    "force_row_wise": True,
    "verbose": -1,
}


# What family an attack is of need not hold on other networks as strictly as that it is one.
FAMILIES: dict[str, Any] = {"n_estimators": 80, "num_leaves": 15, "learning_rate": 0.1}


def fit_cautious(dataset: Dataset, *, seed: int, threads: int) -> lightgbm.LGBMClassifier:
    """Fit trees to whether a training row is of an attack."""
    train = dataset.train
    model = lightgbm.LGBMClassifier(
        **CAUTIOUS,
        min_child_samples=min(LEAST_ROWS, max(len(train) // 100, 1)),
        monotone_constraints=_directions(dataset.schema),
        random_state=seed,
        n_jobs=threads,
    )
    return model.fit(train.rows, (train.labels > 0).astype(int), sample_weight=train.weights)


def fit_families(dataset: Dataset, *, seed: int, threads: int) -> lightgbm.LGBMClassifier:
    """Fit trees to the family of the training rows that are attacks; classes count from 0."""
    attacks = _attacks(dataset.train)
    model = lightgbm.LGBMClassifier(
        **CAUTIOUS | FAMILIES,
        random_state=seed,
        n_jobs=threads,
    )
    return model.fit(attacks.rows, attacks.labels, sample_weight=attacks.weights)


def _directions(schema: Schema) -> list[int]:
    """Return 1 for each column that the log-odds may only rise with, else 0."""
    return [int(name in SUSPICIOUS) for name in schema.names]


def _attacks(part: Part) -> Part:
    """Return the rows of attacks: families from 0, each of the square root of its weight."""
    found = part.take(part.labels > 0)
    labels = found.labels - 1
    totals = np.bincount(labels, weights=found.weights)
    weights = (found.weights / np.sqrt(np.maximum(totals, 1e-9))[labels]).astype(np.float32)
    return replace(found, labels=labels, weights=weights / weights.mean())
