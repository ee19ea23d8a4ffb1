"""Pruning: which channels matter, that the others may go, and what cannot be pruned."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from idskit.errors import RunError
from idskit.models.network import Network, NetworkSettings
from idskit.models.preparation import Preparation, fit_preparation
from idskit.models.prune import importance, prune
from idskit.models.resnet import Attention, BasicBlock
from idskit.schema import Feature, Schema

SCHEMA = Schema(name="wide", features=tuple(Feature(name=f"f{i}", unit="1") for i in range(30)))
ROWS = np.random.default_rng(0).normal(size=(100, 30)).astype(np.float32)
WIDE = NetworkSettings(width=8)
NARROW = replace(WIDE, inner=0.25)


@pytest.fixture(scope="module")
def preparation() -> Preparation:
    return fit_preparation(ROWS, SCHEMA)


def build(preparation: Preparation, settings: NetworkSettings, seed: int = 0) -> Network:
    """A network with statistics and gains like those of a trained one."""
    torch.manual_seed(seed)
    network = Network(preparation, 3, settings).eval()
    for module in network.body.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for part in (module.weight.data, module.running_var, module.bias.data):
                torch.nn.init.uniform_(part, 0.5, 1.5)
            module.running_mean.normal_()
    return network


def silence(block: BasicBlock, kept: torch.Tensor, kind: str) -> None:
    """Inner channels that are not ``kept`` say nothing, or nobody listens to them."""
    silent = torch.ones(block.bn1.num_features, dtype=torch.bool)
    silent[kept] = False
    with torch.no_grad():
        if kind == "silent":
            block.bn1.weight[silent] = 0
            block.bn1.bias[silent] = -1
        else:
            block.conv2.weight[:, silent] = 0


@pytest.mark.parametrize("kind", ["silent", "unheard"])
def test_channels_that_do_nothing_can_go(preparation: Preparation, kind: str):
    trained = build(preparation, WIDE)
    for block in trained.body.basic_blocks:
        channels = block.bn1.num_features
        silence(block, torch.randperm(channels)[: channels // 4], kind)
    pruned = build(preparation, NARROW, seed=1)
    rows = torch.from_numpy(ROWS)
    before = pruned(rows)
    prune(pruned, trained)
    assert torch.allclose(pruned(rows), trained(rows), atol=1e-6)
    assert not torch.allclose(before, trained(rows), atol=1e-2)


def test_a_channel_matters_as_much_as_what_the_block_hears_of_it(preparation: Preparation):
    """The second convolution's answers to a spike of the channel's spread on every pixel."""
    for block in build(preparation, WIDE).body.basic_blocks:
        high, wide = block.conv2.size
        spikes = torch.eye(high * wide).reshape(-1, 1, high, wide)
        for channel, found in enumerate(importance(block).tolist()):
            kernel = block.conv2.weight[:, channel : channel + 1]
            heard = functional.conv2d(spikes * block.bn1.weight[channel], kernel, padding=1)
            assert found == pytest.approx(heard.detach().square().sum().sqrt().item(), rel=1e-4)


@pytest.mark.parametrize("attention", ["squeeze", "none", "channel"])
def test_attention_of_another_kind_starts_anew(preparation: Preparation, attention: Attention):
    trained = build(preparation, WIDE)
    pruned = build(preparation, replace(WIDE, attention=attention), seed=1)
    fresh = {name: value.clone() for name, value in pruned.body.state_dict().items()}
    prune(pruned, trained)
    known = trained.body.state_dict()
    for name, value in pruned.body.state_dict().items():
        assert value.equal(known[name] if name in known else fresh[name])
    assert all(".squeeze." in name for name in fresh.keys() - known.keys())


def test_the_front_end_is_the_trained_one(preparation: Preparation):
    trained, pruned = build(preparation, WIDE), build(preparation, NARROW)
    with torch.no_grad():
        trained.frontend.mel.mul_(1.5)
    prune(pruned, trained)
    assert pruned.frontend.mel.equal(trained.frontend.mel)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"width": 16}, "width is 16 and was 8; pruning leaves out"),
        ({"frontend": "pcen"}, "frontend is pcen and was mfcc"),
        ({"mfcc": replace(WIDE.mfcc, pca=4)}, "pca is 4 and was 0"),
        ({"model": "mlp"}, "only resnet18 can be pruned, not mlp"),
        ({"inner": 0.5}, "inner is 0.5 and was 0.25"),
    ],
)
def test_what_does_not_fit_is_refused(
    preparation: Preparation, change: dict[str, object], sentence: str
):
    asked = replace(NARROW, **change)  # type: ignore[arg-type]
    with pytest.raises(RunError, match=sentence):
        prune(Network(preparation, 3, asked), Network(preparation, 3, NARROW))


def test_rows_prepared_in_another_way_are_refused(preparation: Preparation):
    other = fit_preparation(2 * ROWS, SCHEMA)
    with pytest.raises(RunError, match="columns are prepared in another way"):
        prune(Network(other, 3, NARROW), Network(preparation, 3, WIDE))
