"""Derived columns and the committee: against numpy, LightGBM itself and the exported graph."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import lightgbm
import numpy as np
import pytest
import torch

from idskit.export.lower.lower_model import lower
from idskit.export.verify import run_onnx, run_torch
from idskit.models.members.derived_columns import NO_PAIRS, Derived, Pairs
from idskit.models.members.trees import Trees
from idskit.models.network import Network, NetworkSettings
from idskit.models.preparation import fit_preparation
from idskit.models.saved_run import RUN_FILE, LabelledRows, Run, load_run, save_run
from idskit.schema import Feature, Schema
from idskit.schemas import ciciot2023_columns as ciciot2023
from idskit.training.members.boosted_trees import average_of, tree_arrays
from idskit.training.members.choose_derived import pairs_of
from idskit.training.settings import TrainingSettings

SCHEMA = Schema(name="toy", features=tuple(Feature(name=f"n{i}", unit="count") for i in range(8)))
PAIRS = Pairs(products=((0, 1), (6, 2)), quotients=((3, 4), (5, 3), (1, 0)))


def make_rows(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Three classes by a product and a quotient; a fifth of the values are zero."""
    rng = np.random.default_rng(seed)
    rows = rng.lognormal(0, 1, (600, 8)).astype(np.float32)
    rows[rng.random(rows.shape) < 0.2] = 0
    labels = (rows[:, 0] * rows[:, 1] > 0.7).astype(int) + (rows[:, 3] > rows[:, 4])
    return rows, labels


def by_numpy(rows: np.ndarray) -> np.ndarray:
    products = [rows[:, a] * rows[:, b] for a, b in PAIRS.products]
    quotients = [rows[:, a] / np.where(rows[:, b] == 0, 1, rows[:, b]) for a, b in PAIRS.quotients]
    return np.column_stack([rows, *products, *quotients]).astype(np.float32)


def fit_model(*, extra_trees: bool) -> lightgbm.LGBMClassifier:
    rows, labels = make_rows(0)
    model = lightgbm.LGBMClassifier(
        n_estimators=15, num_leaves=8, verbose=-1, n_jobs=1, extra_trees=extra_trees
    )
    return model.fit(by_numpy(rows), labels)


def network_with(trees: Trees) -> Network:
    torch.manual_seed(0)
    preparation = fit_preparation(make_rows(0)[0], SCHEMA)
    network = Network(preparation, 3, NetworkSettings(width=8))
    network.trees = trees
    return network.eval()


def test_derived_columns_are_numpys_to_the_bit():
    rows, _ = make_rows(1)
    found = Derived.of(PAIRS)(torch.from_numpy(rows)).numpy()
    np.testing.assert_array_equal(found, by_numpy(rows))


def test_without_pairs_rows_stay_as_they_are():
    rows = torch.from_numpy(make_rows(1)[0])
    assert Derived.of(NO_PAIRS)(rows) is rows


def test_logits_of_a_committee_are_the_mean_of_what_lightgbm_predicts():
    models = [fit_model(extra_trees=at_random) for at_random in (False, True)]
    trees = Trees.of(average_of([tree_arrays(model) for model in models]), 3, PAIRS)
    rows, _ = make_rows(1)
    each = [model.predict(by_numpy(rows), raw_score=True) for model in models]
    assert np.abs(each[0] - each[1]).max() > 0.1, "two equal members would prove nothing"
    found = trees.raw(torch.from_numpy(rows)).numpy()
    np.testing.assert_allclose(found, np.mean(each, axis=0), atol=1e-5)


@pytest.mark.parametrize(
    "pairs",
    [PAIRS, replace(PAIRS, quotients=()), replace(PAIRS, products=())],
    ids=["both", "products", "quotients"],
)
def test_the_exported_graph_derives_the_same_columns(pairs: Pairs):
    rows, labels = make_rows(0)
    wider = Derived.of(pairs)(torch.from_numpy(rows)).numpy()[:, 8:]  # only what is derived
    model = lightgbm.LGBMClassifier(n_estimators=15, num_leaves=8, verbose=-1, n_jobs=1)
    model.fit(np.column_stack([np.zeros_like(rows), wider]), labels)
    trees = Trees.of(tree_arrays(model), 3, pairs)
    trees.share.fill_(1.0)
    network, (held, _) = network_with(trees), make_rows(1)
    expected = model.predict_proba(Derived.of(pairs)(torch.from_numpy(held)).numpy())
    np.testing.assert_allclose(run_torch(network, held), expected, atol=1e-5)
    np.testing.assert_allclose(run_onnx(lower(network).model(), held), expected, atol=1e-5)


def save(network: Network, folder: Path) -> None:
    calibration, held = (
        LabelledRows(flows=make_rows(seed)[0], labels=np.zeros(600, np.int64)) for seed in (0, 1)
    )
    run = Run(
        network=network,
        schema=SCHEMA,
        classes=("benign", "a", "b"),
        threshold=0.5,
        facts={},
        calibration=calibration,
        held=held,
    )
    save_run(run, folder)


def test_a_saved_run_keeps_its_pairs(tmp_path: Path):
    network = network_with(Trees.of(tree_arrays(fit_model(extra_trees=True)), 3, PAIRS))
    save(network, tmp_path)
    rows, _ = make_rows(1)
    np.testing.assert_array_equal(
        run_torch(load_run(tmp_path).network, rows), run_torch(network, rows)
    )


def test_runs_from_before_there_were_pairs_are_read(tmp_path: Path):
    rows, labels = make_rows(0)
    model = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1, n_jobs=1).fit(rows, labels)
    network = network_with(Trees.of(tree_arrays(model), 3))
    save(network, tmp_path)
    document = json.loads((tmp_path / RUN_FILE).read_text())
    for name in ("products", "quotients"):
        assert document["trees"].pop(name) == 0
    (tmp_path / RUN_FILE).write_text(json.dumps(document))
    np.testing.assert_array_equal(
        run_torch(load_run(tmp_path).network, rows), run_torch(network, rows)
    )


def test_every_known_pair_is_found_in_the_later_columns():
    schema = Schema(name="later", features=ciciot2023.LATER)
    pairs, names = pairs_of(schema, "committee"), [feature.name for feature in schema.features]
    assert [(names[a], names[b]) for a, b in pairs.products] == list(ciciot2023.PRODUCTS)
    assert [(names[a], names[b]) for a, b in pairs.quotients] == list(ciciot2023.QUOTIENTS)


def test_only_ciciot2023_has_pairs_by_default():
    found = {
        name: TrainingSettings(dataset=name).resolved()
        for name in ("nsl-kdd", "captures", "ciciot2023", "cicids2017", "iotid20", "table")
    }
    assert {name for name, each in found.items() if each.trees == "committee"} == {"ciciot2023"}


def test_only_a_committee_derives_columns_and_only_known_ones():
    schema = Schema(name="later", features=ciciot2023.LATER)
    assert not len(pairs_of(schema, "lightgbm"))
    assert not len(pairs_of(schema, "none"))
    assert not len(pairs_of(SCHEMA, "committee"))
