"""The networks beside ResNet-18: oracles of their parts, and what all of them must do."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from idskit.models.network import (
    FRONTENDS,
    MODELS,
    FrontEndName,
    Model,
    Network,
    NetworkSettings,
    count_parameters,
)
from idskit.models.preparation import Preparation, fit_preparation
from idskit.models.shuffled_columns import shuffle_columns
from idskit.models.zoo.deep_cnn import DeepCNN
from idskit.models.zoo.kernel_machine import FourierFeatures, KernelMachine
from idskit.models.zoo.mlp import MLP
from idskit.models.zoo.recurrent import Recurrent
from idskit.models.zoo.swin import WINDOW, Swin, WindowAttention
from idskit.schema import Feature, Schema

SCHEMA = Schema(name="wide", features=tuple(Feature(name=f"f{i}", unit="1") for i in range(30)))
IMAGE = (13, 10)


def make_rows(count: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, 30)).astype(np.float32)


def fitted() -> Preparation:
    return fit_preparation(make_rows(100), SCHEMA)


def make_network(model: Model, frontend: FrontEndName) -> Network:
    torch.manual_seed(0)
    return Network(fitted(), 3, NetworkSettings(model=model, frontend=frontend, width=8))


def naive_window_attention(
    attention: WindowAttention, tokens: torch.Tensor, size: tuple[int, int], shift: int
) -> torch.Tensor:
    """One window and one head at a time, biases looked up by relative position."""
    heads = attention.bias.shape[1]
    query, key, value = attention.project(tokens).chunk(3, dim=2)
    places = [(y, x) for y in range(size[0]) for x in range(size[1])]
    out = torch.zeros_like(tokens)
    step = tokens.shape[2] // heads
    for i, (y, x) in enumerate(places):
        home = (y + shift) // WINDOW, (x + shift) // WINDOW
        near = [
            j
            for j, (v, u) in enumerate(places)
            if ((v + shift) // WINDOW, (u + shift) // WINDOW) == home
        ]
        for head in range(heads):
            part = slice(head * step, (head + 1) * step)
            scores = torch.stack(
                [
                    (query[:, i, part] * key[:, j, part]).sum(1) / step**0.5
                    + attention.bias[
                        (y - places[j][0] + WINDOW - 1) * (2 * WINDOW - 1)
                        + (x - places[j][1] + WINDOW - 1),
                        head,
                    ]
                    for j in near
                ],
                dim=1,
            )
            mixed = (scores.softmax(1)[:, :, None] * value[:, near][:, :, part]).sum(1)
            out[:, i, part] = mixed
    return attention.merge(out)


@pytest.mark.parametrize("frontend", FRONTENDS)
@pytest.mark.parametrize("model", MODELS)
def test_every_network_takes_every_front_end(model: Model, frontend: FrontEndName):
    network = make_network(model, frontend).eval()
    probabilities = network(torch.from_numpy(make_rows(6)))
    assert probabilities.shape == (6, 3)
    assert torch.allclose(probabilities.sum(dim=1), torch.ones(6), atol=1e-6)


@pytest.mark.parametrize("model", MODELS)
def test_every_parameter_of_the_body_receives_a_gradient(model: Model):
    network = make_network(model, "mfcc")
    rows = torch.from_numpy(make_rows(32))
    weights = torch.randn(32, 3, generator=torch.Generator().manual_seed(1))
    (network.logits(network.preparation(rows)) * weights).sum().backward()
    idle = [n for n, p in network.body.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []


@pytest.mark.parametrize("model", MODELS)
def test_a_row_does_not_depend_on_its_batch(model: Model):
    network = make_network(model, "mfcc").eval()
    rows = torch.from_numpy(make_rows(16))
    assert torch.allclose(network(rows)[:1], network(rows[:1]), atol=1e-5)


@pytest.mark.parametrize(("kind", "gates"), [("gru", 3), ("lstm", 4)])
def test_recurrent_size_is_that_of_its_gates(kind: str, gates: int):
    body = Recurrent(kind, IMAGE, 2, width=8)  # type: ignore[arg-type]
    state, inputs = 32, IMAGE[0]
    first, second = (gates * state * (ins + state + 2) for ins in (inputs, state))
    assert count_parameters(body) == first + second + 2 * (state + 1)


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_recurrent_reads_columns_in_their_order(kind: str):
    torch.manual_seed(0)
    body = Recurrent(kind, IMAGE, 2, width=8)  # type: ignore[arg-type]
    image = torch.randn(2, *IMAGE)
    assert not torch.allclose(body(image), body(image.flip(2)), atol=1e-4)


@pytest.mark.parametrize("size", [(33, 10), (13, 10), (1, 122), (2, 1)])
def test_deep_cnn_takes_images_of_any_size(size: tuple[int, int]):
    assert DeepCNN(size, 4, width=8).eval()(torch.randn(3, *size)).shape == (3, 4)


def test_fourier_features_approximate_the_gaussian_kernel():
    torch.manual_seed(0)
    values = torch.randn(20, 7)
    mapped = FourierFeatures(7, 20_000, gamma=0.1)(values)
    kernel = (-0.1 * torch.cdist(values, values).square()).exp()
    assert (mapped @ mapped.T - kernel).abs().max() < 0.05


def test_only_the_classifier_of_the_kernel_machine_is_trained():
    names = {name for name, _ in KernelMachine(IMAGE, 2, width=8).named_parameters()}
    assert names == {"classifier.weight", "classifier.bias"}


@pytest.mark.parametrize("shift", [0, 1])
def test_window_attention_is_that_of_one_window_at_a_time(shift: int):
    torch.manual_seed(0)
    size = (5, 4)
    attention = WindowAttention(size, 16, shift)
    torch.nn.init.normal_(attention.bias)
    tokens = torch.randn(2, 20, 16)
    expected = naive_window_attention(attention, tokens, size, shift)
    assert torch.allclose(attention(tokens), expected, atol=1e-5)


def test_tokens_of_different_windows_meet_through_shifted_layers():
    torch.manual_seed(0)
    body = Swin(IMAGE, 2, width=8)
    tokens = torch.randn(1, 35, 32, requires_grad=True)
    body.blocks(tokens)[0, 0].sum().backward()
    assert tokens.grad[0, -1].abs().sum() > 0


def test_shuffled_columns_are_the_same_values_in_another_order():
    rows = torch.from_numpy(make_rows(9))
    plain, shuffled = fitted(), fitted()
    shuffle_columns(shuffled, 3)
    before, after = plain(rows), shuffled(rows)
    assert not torch.equal(before, after)
    assert torch.equal(before.sort(dim=1).values, after.sort(dim=1).values)


def test_shuffled_columns_still_know_where_they_come_from():
    rows = torch.from_numpy(make_rows(9))
    shuffled = fitted()
    shuffle_columns(shuffled, 3)
    assert torch.equal(shuffled(rows), fitted()(rows)[:, shuffled.signal_columns()])


def test_the_same_seed_shuffles_the_same_way():
    first, second, other = fitted(), fitted(), fitted()
    shuffle_columns(first, 3)
    shuffle_columns(second, 3)
    shuffle_columns(other, 4)
    assert first.placement.equal(second.placement)
    assert not first.placement.equal(other.placement)


def test_mlp_is_scikit_learns_forward_pass():
    torch.manual_seed(1)
    mlp = MLP((1, 30), 3, width=8).eval()
    rows = make_rows(20)
    linears = [module for module in mlp.modules() if isinstance(module, torch.nn.Linear)]
    oracle = MLPClassifier(hidden_layer_sizes=(128, 64), max_iter=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        oracle.fit(rows, np.arange(20) % 3)
    oracle.coefs_ = [linear.weight.detach().numpy().T for linear in linears]
    oracle.intercepts_ = [linear.bias.detach().numpy() for linear in linears]
    found = mlp(torch.from_numpy(rows)[:, None]).softmax(dim=1).detach().numpy()
    assert np.allclose(found, oracle.predict_proba(rows), atol=1e-5)
