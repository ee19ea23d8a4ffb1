"""Tables made by code: honest ones, into which each test plants its own leak."""

from __future__ import annotations

import numpy as np
import pandas as pd


def honest(rows: int = 2000, classes: int = 2, seed: int = 0) -> pd.DataFrame:
    """Flows whose features say a lot about their label, as features of real attacks do.

    Some separate the classes wholly, some are small whole numbers, one is text, one is constant.
    """
    rng = np.random.default_rng(seed)
    label = rng.integers(classes, size=rows)
    made = {
        "duration": rng.lognormal(label, 1.0).round(6),
        "bytes": rng.lognormal(5 + label, 1.5).astype(int),
        "packets": rng.poisson(3 + 100 * label),
        "mean_size": rng.normal(60 + 300 * label, 20).round(2),
        "rate": rng.gamma(2, 10.0 ** (1 + label)),
        "strong": rng.normal(8.0 * label),
        "syn_share": rng.binomial(10, 0.1 + 0.8 * label / (classes - 1)) / 10,
        "flag": (rng.random(rows) < np.where(label, 0.97, 0.02)).astype(int),
        "noise": rng.normal(size=rows),
        "urgent": 0,
        "service": np.where(
            rng.random(rows) < 0.9,
            np.array(["http", "dns", "ssh", "ftp", "smtp"])[label],
            rng.choice(["http", "dns", "ntp"], rows),
        ),
    }
    return pd.DataFrame(made | {"label": np.array([f"class {c}" for c in range(classes)])[label]})
