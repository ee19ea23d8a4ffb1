"""Trees in a cascade: against LightGBM's own members, the exported graph, and rising columns."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from idskit.data.dataset import Dataset, Part
from idskit.export.lower.lower_model import lower
from idskit.export.verify import run_onnx, run_torch
from idskit.models.members.trees import Trees
from idskit.models.network import Network, NetworkSettings
from idskit.models.preparation import fit_preparation
from idskit.schema import Schema
from idskit.schemas.gateway_columns import GATEWAY, SUSPICIOUS
from idskit.training.members.boosted_trees import fit_cascade
from idskit.training.members.cautious_trees import fit_cautious, fit_families
from idskit.training.settings import TrainingSettings

NAMES = ("fwd_sql_words", "uri_marks", "dns_labels", "is_tcp", "fwd_packets", "bwd_payload")
SCHEMA = Schema(name="gateway", features=tuple(f for f in GATEWAY.features if f.name in NAMES))
SETTINGS = TrainingSettings(dataset="captures", seed=3, threads=1).resolved()


def make_part(count: int, classes: int) -> Part:
    rng = np.random.default_rng(count)
    rows = np.round(rng.lognormal(0, 1.5, (count, len(SCHEMA))), 1).astype(np.float32)
    attack = rows[:, 0] + rows[:, 3] > 3
    labels = np.where(attack, 1 + (rows[:, 1] > 1) % (classes - 1), 0)
    weights = rng.uniform(0.5, 2, count).astype(np.float32)
    return Part(rows=rows, labels=labels, weights=weights, groups=np.zeros(count, np.int64))


def make_dataset(classes: int) -> Dataset:
    part = make_part(3000, classes)
    return Dataset(
        name="captures",
        protocol="honest",
        schema=SCHEMA,
        classes=("benign", "web", "scan")[:classes],
        groups=("one",),
        train=part,
        validation=part,
        test=part,
        notes=(),
        sha256={},
    )


@pytest.mark.parametrize("classes", [2, 3])
def test_probabilities_are_those_of_attack_and_of_family_given_attack(classes: int) -> None:
    dataset = make_dataset(classes)
    trees = Trees.of(fit_cascade(dataset, SETTINGS), classes)
    rows = make_part(500, classes).rows
    attack = fit_cautious(dataset, seed=3, threads=1).predict_proba(rows)[:, 1]
    families = np.ones((len(rows), 1))
    if classes > 2:
        families = fit_families(dataset, seed=3, threads=1).predict_proba(rows)
    expected = np.column_stack([1 - attack, attack[:, None] * families])
    found = trees.log_odds(torch.from_numpy(rows)).softmax(dim=1).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_graph_computes_the_same(classes: int) -> None:
    torch.manual_seed(0)
    dataset = make_dataset(classes)
    network = Network(
        fit_preparation(dataset.train.rows, SCHEMA), classes, NetworkSettings(width=8)
    )
    network.trees = Trees.of(fit_cascade(dataset, SETTINGS), classes)
    network.trees.temperature.fill_(1.7)
    network.trees.share.fill_(0.6)
    rows = make_part(400, classes).rows
    found = run_onnx(lower(network.eval()).model(), rows)
    np.testing.assert_allclose(found, run_torch(network, rows), atol=1e-5)


def test_log_odds_never_fall_with_a_suspicious_column() -> None:
    dataset = make_dataset(2)
    model = fit_cautious(dataset, seed=0, threads=1)
    rising = [i for i, name in enumerate(SCHEMA.names) if name in SUSPICIOUS]
    assert [SCHEMA.names[i] for i in rising] == ["fwd_sql_words", "dns_labels", "uri_marks"]
    for column in rising:
        rows = np.repeat(make_part(200, 2).rows, 2, axis=0)
        rows[1::2, column] += 5
        odds = model.predict(rows, raw_score=True)
        assert (odds[1::2] >= odds[::2]).all()


def test_every_suspicious_column_is_one_of_gateway() -> None:
    assert set(GATEWAY.names) >= SUSPICIOUS
