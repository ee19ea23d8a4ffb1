"""The autoencoder's share in a verdict, against numpy and in the exported graph."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from idskit.export.lower.lower_model import lower
from idskit.export.verify import run_onnx, run_torch
from idskit.models.members.autoencoder import ERROR_FLOOR, Autoencoder
from idskit.models.network import Network, NetworkSettings
from idskit.models.preparation import fit_preparation
from idskit.schema import Feature, Schema

SCHEMA = Schema(
    name="toy",
    features=(
        *(Feature(name=f"n{i}", unit="count") for i in range(12)),
        Feature(name="protocol", unit="category", categories=("tcp", "udp")),
    ),
)
ROWS = np.random.default_rng(0).lognormal(2, 2, (300, 13)).astype(np.float32)
ROWS[:, 12] = np.arange(300) % 2


def make_network(novelty: str) -> Network:
    torch.manual_seed(0)
    settings = NetworkSettings(width=8, novelty=novelty)  # type: ignore[arg-type]
    network = Network(fit_preparation(ROWS, SCHEMA), 3, settings)
    if network.novelty is not None:
        network.novelty.center.uniform_(-1, 1)
        network.novelty.scale.uniform_(0.5, 2)
        network.novelty.offset.fill_(0.7)
    return network.eval()


def of_numpy(autoencoder: Autoencoder, signals: np.ndarray) -> np.ndarray:
    state = {name: value.double().numpy() for name, value in autoencoder.state_dict().items()}

    def linear(rows: np.ndarray, name: str) -> np.ndarray:
        return rows @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    standard = (signals - state["center"]) * state["scale"]
    hidden = np.maximum(linear(standard, "encoder"), 0)
    code = np.maximum(linear(hidden, "code"), 0)
    rebuilt = linear(np.maximum(linear(code, "decoder"), 0), "output")
    return np.log(((rebuilt - standard) ** 2).mean(axis=1) + ERROR_FLOOR) + state["offset"]


@torch.no_grad()
def test_the_log_error_is_that_of_numpy():
    network = make_network("autoencoder")
    signals = network.preparation(torch.from_numpy(ROWS))
    expected = of_numpy(network.novelty, signals.double().numpy())
    np.testing.assert_allclose(
        network.novelty.log_odds(signals).numpy(), expected, rtol=1e-4, atol=1e-4
    )


@torch.no_grad()
def test_novelty_is_added_to_the_log_odds_of_attack_and_leaves_the_families_proportions():
    plain, novel = make_network("none"), make_network("autoencoder")
    rows = torch.from_numpy(ROWS)
    before, after = plain(rows).double(), novel(rows).double()
    added = novel.novelty.log_odds(novel.preparation(rows)).double()
    assert torch.allclose(log_odds(after), log_odds(before) + added, atol=1e-3)
    assert torch.allclose(after[:, 1] / after[:, 2], before[:, 1] / before[:, 2], rtol=1e-4)


def log_odds(probabilities: torch.Tensor) -> torch.Tensor:
    return (probabilities[:, 1:].sum(dim=1) / probabilities[:, 0]).log()


def test_the_exported_graph_gives_the_same_probabilities():
    network = make_network("autoencoder")
    expected = run_torch(network, ROWS)
    assert expected.std() > 0.05, "a constant answer would prove nothing"
    np.testing.assert_allclose(run_onnx(lower(network).model(), ROWS), expected, atol=1e-5)


@pytest.mark.parametrize("novelty", ["none", "autoencoder"])
def test_novelty_changes_nothing_of_what_the_network_starts_from(novelty: str):
    kept, other = make_network("none").body.state_dict(), make_network(novelty).body.state_dict()
    assert all(kept[name].equal(other[name]) for name in kept)
