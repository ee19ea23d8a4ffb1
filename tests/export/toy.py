"""A small trained run, made in a second or two."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from idskit.models.frontend import MFCCSettings, fit_pca
from idskit.models.network import Network, NetworkSettings
from idskit.models.preparation import Signal, channels_of, fit_preparation
from idskit.models.saved_run import LabelledRows, Run
from idskit.profiles import schema_named
from idskit.schema import Feature, Schema
from idskit.schemas.gateway_columns import PACKETS as LENGTH
from idskit.schemas.gateway_columns import SERIES_KINDS

CLASSES = ("benign", "flood", "scan")
SCHEMA = Schema(
    name="toy",
    features=(
        *(Feature(name=f"number{i}", unit="count") for i in range(20)),
        Feature(name="service", unit="code", categories=("http", "ssh", "dns")),
        Feature(name="constant", unit="count"),
    ),
)
PACKETS = schema_named("packets")


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


def make_packet_rows(count: int, seed: int) -> LabelledRows:
    """Flows of a few packets, of three classes that sizes and rhythm tell apart."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % len(CLASSES)
    flows = np.zeros((count, len(SERIES_KINDS), LENGTH), np.float32)
    for flow, label in zip(flows, labels, strict=True):
        packets = rng.integers(2, 40)
        used = min(packets, LENGTH)
        flow[0, :used] = rng.integers(40, 400 + 500 * label, used)
        flow[1, :used] = rng.choice([-1, 1], used, p=[0.1 + 0.3 * label, 0.9 - 0.3 * label])
        flow[2, 1:used] = rng.lognormal(5 + 3 * label, 1, used - 1)
    return LabelledRows(flows=flows.reshape(count, -1), labels=labels.astype(np.int64))


def make_run(
    *,
    encoding: str = "onehot",
    scaling: str = "log-standard",
    signal: Signal = "features",
    time_index: bool = False,
    pca: int = 0,
    steps: int = 40,
    **settings: Any,
) -> Run:
    """An unsaved run whose network has seen a few training steps."""
    torch.manual_seed(0)
    of_packets = signal == "packets"
    make, schema = (make_packet_rows, PACKETS) if of_packets else (make_rows, SCHEMA)
    train, held = make(600, 1), make(300, 2)
    preparation = fit_preparation(
        train.flows,
        schema,
        encoding=encoding,
        scaling=scaling,
        channels=channels_of(signal, schema),
        time_index=time_index,
    )
    made = {"width": 8, "mfcc": MFCCSettings(pca=pca)} | settings
    network = Network(preparation, len(CLASSES), NetworkSettings(**made))
    if pca:
        fit_pca(network.frontend, preparation(torch.from_numpy(train.flows)))
    signals, labels = preparation(torch.from_numpy(train.flows)), torch.from_numpy(train.labels)
    for part in network.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.momentum = 4 / steps  # of few steps, each counts for more
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    for step in range(steps):
        batch = torch.arange(step * 60, step * 60 + 60) % len(labels)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network.logits(signals[batch]), labels[batch]).backward()
        optimizer.step()
    network.temperature.fill_(1.3)
    return Run(
        network=network.eval(),
        schema=schema,
        classes=CLASSES,
        threshold=0.5,
        facts={"dataset": "toy"},
        calibration=LabelledRows(flows=train.flows[:120], labels=train.labels[:120]),
        held=held,
    )
