"""The fp32 twin of an int8 file: the same graph with its quantised matrices computed in fp32.

A gateway has only the int8 file, and still wants to know whether int8 paid. The twin is made out of
the file itself: every operator on bytes becomes the same one on floats, and a convolution over rows
the dense matrix that the fp32 export has. The twin is as fast as that export; its answers mean
nothing, for its weights are made up.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from idskit.bench.backends import Candidate, Rows
from idskit.detect.session import require_provider, session_options
from idskit.modelfile.graph_check import trace
from idskit.modelfile.model_file import INPUT, OUTPUT, read_model
from idskit.modelfile.onnx_file import FLOAT, INT64, Node, OnnxFile, Tensor

_ALIKE = {
    "QuantizeLinear": "Identity",
    "DequantizeLinear": "Identity",
    "QLinearSigmoid": "Sigmoid",
}


def fp32_twin(candidate: Candidate, path: Path) -> Candidate:
    """What ``candidate``, opened from the int8 file ``path``, would be at fp32."""
    execution = candidate.execution
    options = session_options(execution.threads)
    content = in_floats(read_model(path).graph).to_bytes()
    provider = require_provider(execution.provider_asked)
    start = time.perf_counter()
    session = onnxruntime.InferenceSession(content, options, providers=[provider])
    loaded = time.perf_counter()

    def infer(rows: Rows) -> object:
        return session.run([OUTPUT], {INPUT: rows})[0]

    infer(candidate.sample[:1])
    return replace(
        candidate,
        model=replace(candidate.model, name=f"{candidate.model.name} at fp32", precision="fp32"),
        infer=infer,
        detector=None,
        accuracy=None,
        init_ms=(loaded - start) * 1e3,
        first_ms=(time.perf_counter() - loaded) * 1e3,
    )


def in_floats(graph: OnnxFile) -> OnnxFile:
    """A graph of operators on bytes as one of operators on floats, its weights made up."""
    builder = _Builder(graph)
    for node in graph.nodes:
        builder.add(node)
    return replace(
        graph,
        nodes=tuple(builder.nodes),
        tensors={tensor.name: tensor for tensor in builder.tensors},
        opsets={"": graph.opsets[""]},
        metadata={},
    )


class _Builder:
    """Nodes on floats, and the constants they need: those that are no bytes, and weights."""

    def __init__(self, graph: OnnxFile) -> None:
        self._of_bytes = graph.tensors
        self._shapes = {
            name: value.shape
            for step in trace(graph, 1)
            for name, value in zip(step.node.outputs, step.result.values, strict=True)
        }
        self._random = np.random.default_rng(0)
        self.nodes: list[Node] = []
        self.tensors = [t for t in graph.tensors.values() if t.type in (FLOAT, INT64)]

    def add(self, node: Node) -> None:
        if node.kind == "DequantizeLinear" and node.inputs[0] in self._of_bytes:
            self._weights(node.outputs[0], self._of_bytes[node.inputs[0]].shape)
        elif node.kind == "QLinearConv":
            self._convolution(node)
        elif node.kind == "QGemm":
            self._product(node.inputs[0], self._of_bytes[node.inputs[3]].shape, node.outputs[0])
        elif node.kind in ("QLinearMul", "QLinearAdd"):
            inputs = node.inputs[0], node.inputs[3]
            self._write(node.kind.removeprefix("QLinear"), inputs, node.outputs[0])
        elif node.kind == "NhwcMaxPool":
            self._pool(node)
        elif node.kind in _ALIKE:
            self._write(_ALIKE[node.kind], node.inputs[:1], node.outputs[0])
        else:
            self.nodes.append(node)

    def _convolution(self, node: Node) -> None:
        outs, ins, _, _ = self._of_bytes[node.inputs[3]].shape
        height = self._shapes[node.inputs[0]][2]
        made = self._shapes[node.outputs[0]][2]
        flat, product = f"{node.outputs[0]}.flat", f"{node.outputs[0]}.product"
        self._reshape(node.inputs[0], (-1, height * ins), flat)
        self._product(flat, (height * ins, made * outs), product)
        self._reshape(product, (1, -1, made, outs), node.outputs[0])

    def _product(self, source: str, shape: tuple[int, ...], output: str) -> None:
        weights = self._weights(f"{output}.weights", shape)
        self._write("Gemm", (source, weights), output)

    def _weights(self, name: str, shape: tuple[int, ...]) -> str:
        values = self._random.normal(0, 0.01, shape).astype(np.float32)
        self.tensors.append(Tensor.of(name, values))
        return name

    def _pool(self, node: Node) -> None:
        first, last = f"{node.outputs[0]}.first", f"{node.outputs[0]}.pooled"
        self._transpose(node.inputs[0], (0, 3, 1, 2), first)
        self._write("MaxPool", (first,), last, node.attributes)
        self._transpose(last, (0, 2, 3, 1), node.outputs[0])

    def _transpose(self, source: str, order: tuple[int, ...], output: str) -> None:
        self._write("Transpose", (source,), output, {"perm": np.array(order, np.int64)})

    def _reshape(self, source: str, shape: tuple[int, ...], output: str) -> None:
        self.tensors.append(Tensor.of(f"{output}.shape", np.array(shape, np.int64)))
        self._write("Reshape", (source, f"{output}.shape"), output)

    def _write(
        self,
        kind: str,
        inputs: tuple[str, ...],
        output: str,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        node = Node(kind=kind, inputs=inputs, outputs=(output,), attributes=attributes or {})
        self.nodes.append(node)
