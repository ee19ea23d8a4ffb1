"""The whole network: shapes, size, calibration."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from idskit.models.network import Network, NetworkSettings
from idskit.models.preparation import Preparation, fit_preparation
from idskit.models.resnet import ATTENTIONS, Attention, ResNet18
from idskit.schema import Feature, Schema

SCHEMA = Schema(name="wide", features=tuple(Feature(name=f"f{i}", unit="1") for i in range(30)))


def make_rows(count: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, 30)).astype(np.float32)


@pytest.fixture
def preparation() -> Preparation:
    return fit_preparation(make_rows(100), SCHEMA)


def count_parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_width_64_has_the_published_size():
    network = ResNet18((13, 10), 8, width=64, attention="both")
    assert count_parameters(network) == pytest.approx(11.26e6, rel=2e-3)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_probabilities_sum_to_one(preparation: Preparation, attention: Attention):
    network = Network(preparation, 3, NetworkSettings(width=8, attention=attention)).eval()
    probabilities = network(torch.from_numpy(make_rows(6)))
    assert probabilities.shape == (6, 3)
    assert torch.allclose(probabilities.sum(dim=1), torch.ones(6), atol=1e-6)


def test_each_attention_adds_its_own_parameters():
    sizes = {a: count_parameters(ResNet18((13, 10), 2, width=8, attention=a)) for a in ATTENTIONS}
    assert sizes["both"] - sizes["none"] == (
        sizes["channel"] + sizes["spatial"] - 2 * sizes["none"]
    )
    assert sizes["none"] < sizes["spatial"] < sizes["both"]


def test_temperature_divides_the_logits(preparation: Preparation):
    network = Network(preparation, 2, NetworkSettings(width=8)).eval()
    rows = torch.from_numpy(make_rows(4))
    logits = network.logits(network.preparation(rows))
    network.temperature.fill_(2.0)
    assert torch.allclose(network(rows), (logits / 2).softmax(dim=1))


def test_a_row_does_not_depend_on_its_batch(preparation: Preparation):
    network = Network(preparation, 2, NetworkSettings(width=8)).eval()
    rows = torch.from_numpy(make_rows(16))
    assert torch.allclose(network(rows)[:1], network(rows[:1]), atol=1e-6)
