"""Every kind of graph that export writes passes the check of what may be loaded, unchanged."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from tests.export.toy import PACKETS, SCHEMA, make_packet_rows, make_rows
from tests.models.test_derived import PAIRS, fit_model, network_with
from tests.models.test_derived import make_rows as derived_rows
from tests.models.test_trees import make_rows as tree_rows
from tests.models.test_trees import network_with_trees

from idskit.export.lower.graph_parts import Graph
from idskit.export.lower.lower_model import lower
from idskit.export.precision.fp16 import halve
from idskit.export.precision.quantize import calibrate, quantize
from idskit.export.target import target_named
from idskit.modelfile.graph_check import check_graph
from idskit.modelfile.onnx_file import read_onnx
from idskit.modelfile.operators import OPERATORS
from idskit.models.members.trees import Trees
from idskit.models.network import Network, NetworkSettings
from idskit.models.preparation import Signal, channels_of, fit_preparation
from idskit.training.members.boosted_trees import average_of, tree_arrays

Made = tuple[Graph, np.ndarray]


def network_of(
    *, signal: Signal = "features", scaling: str = "log-standard", noise: float = 0.01, **settings
) -> tuple[Network, np.ndarray]:
    """A network with random weights, which differ: torch's export writes equal ones once."""
    torch.manual_seed(0)
    make, schema = (make_packet_rows, PACKETS) if signal == "packets" else (make_rows, SCHEMA)
    flows = make(120, 1).flows
    channels = channels_of(signal, schema)
    preparation = fit_preparation(flows, schema, scaling=scaling, channels=channels)
    network = Network(preparation, 3, NetworkSettings(**{"width": 8} | settings))
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(noise * torch.randn_like(weight))
    return network.eval(), flows


def in_floats(**settings) -> Made:
    network, flows = network_of(**settings)
    return lower(network), flows


def in_bytes(target: str, *, qdq: bool = False, **settings) -> Made:
    network, flows = network_of(**settings)
    ranges = calibrate(lower(network), flows)
    return quantize(network, ranges, target_named(target), qdq=qdq), flows


def in_halves() -> Made:
    graph, flows = in_floats()
    return halve(graph), flows


def with_trees() -> Made:
    return lower(network_with_trees(3, "autoencoder")), tree_rows(3, 1)[0]


def with_a_committee() -> Made:
    arrays = [tree_arrays(fit_model(extra_trees=extra)) for extra in (False, True)]
    network = network_with(Trees.of(average_of(arrays), 3, PAIRS))
    return lower(network), derived_rows(1)[0]


VARIANTS: dict[str, Callable[[], Made]] = {
    **{
        model: lambda model=model: in_floats(model=model)
        for model in ("deep-cnn", "gru", "lstm", "swin", "kernel", "svm", "mlp")
    },
    "swin, equal weights": lambda: in_floats(model="swin", noise=0),
    "swin, packets": lambda: in_floats(model="swin", signal="packets", width=16),
    "resnet18": in_floats,
    "stft, channel": lambda: in_floats(frontend="stft", attention="channel"),
    "pcen, spatial, packets": lambda: in_floats(
        frontend="pcen", attention="spatial", signal="packets"
    ),
    "none, squeeze, quantile": lambda: in_floats(
        frontend="none", attention="squeeze", scaling="quantile"
    ),
    "minmax": lambda: in_floats(scaling="minmax"),
    "int8 x86-64": lambda: in_bytes("x86-64"),
    "int8 arm64": lambda: in_bytes("arm64", attention="squeeze"),
    "int8 in pairs": lambda: in_bytes("x86-64", qdq=True),
    "fp16": in_halves,
    "trees, novelty": with_trees,
    "committee of derived columns": with_a_committee,
}
_USED: set[tuple[str, str]] = set()


@pytest.mark.parametrize("name", VARIANTS)
def test_it_is_accepted_and_answers_the_same(name) -> None:
    graph, flows = VARIANTS[name]()
    content = graph.model().SerializeToString()
    read = read_onnx(content)
    check_graph(read, graph.classes)
    _USED.update((node.domain, node.op_type) for node in onnx.load_from_string(content).graph.node)
    answers = [
        onnxruntime.InferenceSession(file).run(None, {"flows": flows[:8]})[0]
        for file in (content, read.to_bytes())
    ]
    np.testing.assert_array_equal(*answers)


def test_no_operator_is_allowed_that_none_of_them_has(request) -> None:
    if request.session.testscollected < len(VARIANTS):
        pytest.skip("only some variants were made")
    assert set(OPERATORS) == _USED
