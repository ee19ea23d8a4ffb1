"""The lowered graph against torch, its independent oracle."""

from __future__ import annotations

import collections
import copy
from functools import partial

import numpy as np
import onnx
import pytest
import torch
from tests.export.toy import SCHEMA, make_rows
from tests.export.toy import make_run as make_longer_run

from idskit.errors import RunError
from idskit.export.lower.lower_model import lower
from idskit.export.verify import run_onnx, run_torch
from idskit.models.network import OWN_FRONTENDS, Network
from idskit.models.preparation import SCALINGS, fit_preparation
from idskit.models.resnet import ATTENTIONS

# Of what was learned, a graph needs no more than that answers differ.
make_run = partial(make_longer_run, steps=16)


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize(("width", "inner"), [(8, 1.0), (16, 0.5)])
def test_graph_gives_torchs_probabilities(width, inner, attention):
    run = make_run(width=width, attention=attention, inner=inner)
    flows = run.held.flows
    expected = run_torch(run.network, flows)
    assert expected.std() > 0.05, "a constant answer would prove nothing"
    np.testing.assert_allclose(run_onnx(lower(run.network).model(), flows), expected, atol=1e-5)


@pytest.mark.parametrize("encoding", ["onehot", "ordinal"])
@pytest.mark.parametrize("scaling", SCALINGS)
def test_preparation_is_folded_exactly(scaling, encoding):
    run = make_run(scaling=scaling, encoding=encoding)
    flows = run.held.flows
    got = run_onnx(lower(run.network).model(), flows)
    np.testing.assert_allclose(got, run_torch(run.network, flows), atol=1e-5)


@pytest.mark.parametrize(
    "asked",
    [
        {"signal": "packets"},
        {"signal": "packets", "pca": 5, "time_index": True, "novelty": "autoencoder"},
        {"signal": "packets", "scaling": "minmax"},
        {"signal": "packets", "frontend": "stft"},
        {"signal": "packets", "frontend": "pcen"},
        {"signal": "packets", "frontend": "none"},
        {"pca": 1},
        {"pca": 12, "time_index": True, "scaling": "quantile", "novelty": "autoencoder"},
    ],
    ids=str,
)
def test_every_setting_of_the_signal_is_folded_exactly(asked):
    run = make_run(**asked)
    expected = run_torch(run.network, run.held.flows)
    assert expected.std() > 0.05, "a constant answer would prove nothing"
    got = run_onnx(lower(run.network).model(), run.held.flows)
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_quantiles_of_large_numbers_close_together_are_exact():
    """Differences of 1 at 16 millions: float32 has them only before they are scaled."""
    rows = make_rows(400, 1).flows
    rows[:, :20] = 16_000_000 + np.random.default_rng(0).integers(0, 50, (400, 20))
    network = make_run().network
    network.preparation = fit_preparation(rows, SCHEMA, scaling="quantile")
    network = Network(network.preparation, 3, network.settings).eval()
    expected = run_torch(network, rows)
    np.testing.assert_allclose(run_onnx(lower(network).model(), rows), expected, atol=1e-5)


def test_values_far_outside_training_are_clipped_as_in_torch(run):
    flows = run.held.flows.copy()
    flows[:, :20] *= np.float32(1e30)
    got = run_onnx(lower(run.network).model(), flows)
    np.testing.assert_allclose(got, run_torch(run.network, flows), atol=1e-5)


def test_graph_has_no_dead_node_and_no_shape_arithmetic(run):
    model = lower(run.network).model()
    onnx.checker.check_model(model, full_check=True)
    used = {name for node in model.graph.node for name in node.input} | {"probabilities"}
    assert all(set(node.output) & used for node in model.graph.node)
    assert all(tensor.name in used for tensor in model.graph.initializer)
    kinds = collections.Counter(node.op_type for node in model.graph.node)
    assert not {"Shape", "BatchNormalization"} & set(kinds)
    assert kinds["Conv"] == 2  # DFT and mel bank


def test_graph_loads_in_older_runtimes(run):
    model = lower(run.network).model()
    assert model.ir_version <= 10
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 17)]


@pytest.mark.parametrize("frontend", ["stft", "pcen", "none"])
def test_front_ends_are_folded_exactly(frontend):
    run = make_run(frontend=frontend)
    flows = run.held.flows
    expected = run_torch(run.network, flows)
    assert expected.std() > 0.05, "a constant answer would prove nothing"
    np.testing.assert_allclose(run_onnx(lower(run.network).model(), flows), expected, atol=1e-5)


@pytest.mark.parametrize("model", ["deep-cnn", "gru", "lstm", "swin", "kernel", "svm", "mlp"])
def test_bodies_that_are_not_lowered_are_taken_over(model):
    run = make_run(model=model, frontend=OWN_FRONTENDS[model])
    flows = run.held.flows
    graph = lower(run.network)
    got = run_onnx(graph.model(), flows)
    np.testing.assert_allclose(got, run_torch(run.network, flows), atol=1e-4)
    assert graph.taken_over
    assert run_onnx(graph.model(), flows[:1]) == pytest.approx(got[:1], abs=1e-5)
    assert graph.model().SerializeToString() == lower(run.network).model().SerializeToString()


def test_a_front_end_that_is_not_known_is_refused_in_a_sentence(run):
    network = copy.deepcopy(run.network)
    network.frontend = torch.nn.Identity()
    with pytest.raises(RunError, match=r"front end is Identity.*train with --set frontend=mfcc"):
        lower(network)
