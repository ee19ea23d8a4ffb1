"""fp16 for CUDA: the network's products in half precision.

The front end stays in fp32, because raw counters and powers of a spectrum pass 65504, the largest
half; so does whatever else reads raw values, and the Softmax, whose small probabilities are what
the threshold is compared with.
"""

from __future__ import annotations

import numpy as np
from onnx import NodeProto, TensorProto

from idskit.export.lower.graph_parts import Graph
from idskit.modelfile.model_file import OUTPUT


def halve(graph: Graph) -> Graph:
    """Return the same graph with its layers, and what reads nothing but theirs, in fp16."""
    halved = Graph(graph.columns, graph.classes)
    halved.constants = dict(graph.constants)
    halved.layers, halved.taken_over = graph.layers, graph.taken_over
    halves: set[str] = set()  # values in fp16
    for node in graph.nodes:
        values = set(node.input) - set(graph.constants)
        follows = values <= halves and OUTPUT not in node.output
        in_half = node.name not in graph.taken_over and (node.name in graph.layers or follows)
        turned = {name for name in values if (name in halves) != in_half}
        halved.nodes.append(_reading(node, {name: _cast(halved, name, in_half) for name in turned}))
        if in_half:
            halves.update(node.output)
            _halve_constants(halved, node)
    return halved


def _cast(graph: Graph, name: str, to_half: bool) -> str:
    """``name`` in the other precision, made once."""
    suffix, kind = ("half", TensorProto.FLOAT16) if to_half else ("single", TensorProto.FLOAT)
    turned = f"{name}.{suffix}"
    if not any(turned in node.output for node in graph.nodes):
        graph.node("Cast", [name], turned, to=kind)
    return turned


def _halve_constants(graph: Graph, node: NodeProto) -> None:
    for name in node.input:
        if name in graph.constants and graph.constants[name].dtype == np.float32:
            graph.constants[name] = graph.constants[name].astype(np.float16)


def _reading(node: NodeProto, renamed: dict[str, str]) -> NodeProto:
    """Return the node with some of its inputs renamed."""
    changed = NodeProto()
    changed.CopyFrom(node)
    changed.ClearField("input")
    changed.input.extend(renamed.get(name, name) for name in node.input)
    return changed
