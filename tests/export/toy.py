"""A small trained run, made in a second."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from idskit.models.network import Network, NetworkSettings
from idskit.models.preparation import fit_preparation
from idskit.schema import Feature, Schema
from idskit.training.run import LabelledRows, Run

CLASSES = ("benign", "flood", "scan")
SCHEMA = Schema(
    name="toy",
    features=(
        *(Feature(name=f"number{i}", unit="count") for i in range(20)),
        Feature(name="service", unit="code", categories=("http", "ssh", "dns")),
        Feature(name="constant", unit="count"),
    ),
)


def make_rows(count: int, seed: int) -> LabelledRows:
    """Rows of three classes that numbers 0 to 8 tell apart."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % len(CLASSES)
    flows = rng.lognormal(1, 2, (count, len(SCHEMA))) * rng.choice([-1, 1], (count, len(SCHEMA)))
    for part in range(3):
        flows[np.arange(count), 3 * labels + part] = rng.lognormal(6, 1, count)
    flows[:, 20] = rng.integers(-1, 3, count)  # -1: a category that the schema does not know
    flows[:, 21] = 7
    return LabelledRows(flows=flows.astype(np.float32), labels=labels.astype(np.int64))


def make_run(
    *,
    encoding: str = "onehot",
    scaling: str = "",
    **settings: Any,
) -> Run:
    """An unsaved run whose network has seen a few training steps."""
    torch.manual_seed(0)
    train, held = make_rows(600, 1), make_rows(300, 2)
    preparation = fit_preparation(
        train.flows, SCHEMA, encoding=encoding, scaling=scaling or "log-standard"
    )
    network = Network(preparation, len(CLASSES), NetworkSettings(**{"width": 8} | settings))
    signals, labels = preparation(torch.from_numpy(train.flows)), torch.from_numpy(train.labels)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    for step in range(40):
        batch = torch.arange(step * 60, step * 60 + 60) % len(labels)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network.logits(signals[batch]), labels[batch]).backward()
        optimizer.step()
    network.temperature.fill_(1.3)
    return Run(
        network=network.eval(),
        schema=SCHEMA,
        classes=CLASSES,
        threshold=0.5,
        facts={"dataset": "toy"},
        calibration=LabelledRows(flows=train.flows[:120], labels=train.labels[:120]),
        held=held,
    )
