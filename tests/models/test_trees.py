"""The member of boosted trees, against LightGBM itself, scikit-learn's log-loss and the graph."""

from __future__ import annotations

import lightgbm
import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from sklearn.metrics import log_loss

from idskit.export.lower.lower_model import lower
from idskit.export.verify import run_onnx, run_torch
from idskit.models.members.trees import Trees
from idskit.models.network import Network, NetworkSettings
from idskit.models.preparation import fit_preparation
from idskit.schema import Feature, Schema
from idskit.training.members.boosted_trees import tree_arrays
from idskit.training.members.calibration import fit_share

SCHEMA = Schema(name="toy", features=tuple(Feature(name=f"n{i}", unit="count") for i in range(12)))


def make_rows(classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Counters whose classes need several columns to tell, with many equal values and zeros."""
    rng = np.random.default_rng(seed)
    rows = np.round(rng.lognormal(1, 2, (600, 12)), 1).astype(np.float32)
    rows[rng.random(rows.shape) < 0.3] = 0
    labels = ((rows[:, 0] > 2).astype(int) + (rows[:, 1] + rows[:, 2] > 6)) % classes
    return rows, labels


def fit_trees(classes: int) -> tuple[lightgbm.LGBMClassifier, Trees]:
    model = lightgbm.LGBMClassifier(n_estimators=20, num_leaves=8, verbose=-1, n_jobs=1)
    model.fit(*make_rows(classes, 0))
    return model, Trees.of(tree_arrays(model), classes)


@pytest.mark.parametrize("classes", [2, 3])
def test_logits_are_those_of_lightgbm(classes):
    model, trees = fit_trees(classes)
    rows, _ = make_rows(classes, 1)
    expected = model.predict(rows, raw_score=True)
    if classes == 2:
        expected = np.stack([np.zeros_like(expected), expected], axis=1)
    np.testing.assert_allclose(trees.raw(torch.from_numpy(rows)).numpy(), expected, atol=1e-5)


def test_rows_next_to_a_threshold_take_lightgbms_side():
    model, trees = fit_trees(2)
    split = trees.left != torch.arange(len(trees.left))
    limits = torch.unique(trees.threshold[split])
    rows = torch.zeros(3 * len(limits), 12)
    around = [limits, limits.nextafter(torch.tensor(1e9)), limits.nextafter(torch.tensor(-1e9))]
    for column in range(12):
        rows[:, column] = torch.cat(around)
    got = trees.raw(rows)[:, 1].numpy()
    np.testing.assert_allclose(got, model.predict(rows.numpy(), raw_score=True), atol=1e-5)


def network_with_trees(classes: int, novelty: str) -> Network:
    torch.manual_seed(0)
    rows, _ = make_rows(classes, 0)
    settings = NetworkSettings(width=8, novelty=novelty)
    network = Network(fit_preparation(rows, SCHEMA), classes, settings)
    network.trees = fit_trees(classes)[1]
    network.trees.temperature.fill_(1.7)
    network.trees.share.fill_(0.4)
    return network.eval()


def test_probabilities_are_the_average_of_the_members():
    network = network_with_trees(3, "none")
    rows = torch.from_numpy(make_rows(3, 1)[0])
    with torch.inference_mode():
        alone = network.logits(network.preparation(rows)).softmax(dim=1)
        trees = (network.trees.raw(rows) / 1.7).softmax(dim=1)
        got = network(rows)
    np.testing.assert_allclose(got, 0.6 * alone + 0.4 * trees, atol=1e-5)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("novelty", ["none", "autoencoder"])
def test_the_exported_graph_gives_the_same_probabilities(classes, novelty):
    network = network_with_trees(classes, novelty)
    rows, _ = make_rows(classes, 1)
    expected = run_torch(network, rows)
    assert expected.std() > 0.05, "a constant answer would prove nothing"
    np.testing.assert_allclose(run_onnx(lower(network).model(), rows), expected, atol=1e-5)


def test_the_share_makes_the_labels_likeliest():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 500)
    first = np.clip(np.where(labels, 0.6, 0.4) + rng.normal(0, 0.3, 500), 0.01, 0.99)
    second = np.clip(np.where(labels, 0.7, 0.3) + rng.normal(0, 0.3, 500), 0.01, 0.99)
    best = minimize_scalar(
        lambda share: log_loss(labels, (1 - share) * first + share * second),
        bounds=(0, 1),
        method="bounded",
        options={"xatol": 1e-6},
    ).x
    of_label = [torch.from_numpy(np.where(labels, p, 1 - p)) for p in (first, second)]
    assert 0.05 < best < 0.95
    assert fit_share(*of_label, torch.ones(500)) == pytest.approx(best, abs=1e-3)
