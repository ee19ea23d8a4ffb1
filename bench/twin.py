"""The fp32 twin of an int8 file: the same graph with its quantised matrices computed in fp32.

A gateway has only the int8 file, and still wants to know whether int8 paid. The twin is made out of
the file itself: every operator on bytes becomes the same one on floats, and a convolution over rows
the dense matrix that the fp32 export has. The twin is as fast as that export; its answers mean
nothing, for its weights are made up.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime

from idskit.bench.backends import Candidate, Rows
from idskit.bench.protobuf import number, packed, text
from idskit.detect.graph_facts import Node, Tensor, map_size, read_graph, size_out
from idskit.detect.model_file import INPUT, OUTPUT
from idskit.detect.protobuf import Value, fields
from idskit.detect.session import require_provider, session_options

# Field numbers of onnx.proto3.
_MODEL_GRAPH, _METADATA = 7, 14
_GRAPH_NODE, _GRAPH_TENSOR = 1, 5
_FLOAT, _INT64, _INTS = 1, 7, 7
_ALIKE = {
    "QuantizeLinear": "Identity",
    "DequantizeLinear": "Identity",
    "QLinearSigmoid": "Sigmoid",
}


def fp32_twin(candidate: Candidate, path: Path) -> Candidate:
    """What ``candidate``, opened from the int8 file ``path``, would be at fp32."""
    execution = candidate.execution
    options = session_options(execution.threads)
    content = in_floats(path.read_bytes())
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


def in_floats(content: bytes) -> bytes:
    """A file of operators on bytes as one of operators on floats, its weights made up."""
    nodes, tensors = read_graph(content)
    builder = _Builder(tensors)
    for node in nodes:
        builder.add(node)
    model = b""
    for field, value in fields(memoryview(content)):
        if field == _MODEL_GRAPH and isinstance(value, memoryview):
            model += packed(
                field, _others(value, {_GRAPH_NODE, _GRAPH_TENSOR}) + builder.graph(value)
            )
        elif field != _METADATA:
            model += _field(field, value)
    return model


class _Builder:
    """Nodes on floats, and the weights they need."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self._tensors = tensors
        self._heights: dict[str, int] = {}
        self._nodes = b""
        self._made = b""
        self._random = np.random.default_rng(0)

    def graph(self, source: memoryview) -> bytes:
        """Nodes, weights made up, and the constants of ``source`` that are no bytes."""
        kept = b""
        for field, value in fields(source):
            if field == _GRAPH_TENSOR and isinstance(value, memoryview):
                kind = dict(fields(value)).get(2)
                kept += _field(field, value) if kind in (_FLOAT, _INT64) else b""
        return self._nodes + kept + self._made

    def add(self, node: Node) -> None:
        if node.kind == "Reshape" and node.inputs[1] in self._tensors:
            self._heights[node.outputs[0]] = map_size(self._tensors[node.inputs[1]].values)[1]
        if node.kind == "DequantizeLinear" and node.inputs[0] in self._tensors:
            self._weights(node.outputs[0], self._tensors[node.inputs[0]].shape)
        elif node.kind == "QLinearConv":
            self._convolution(node)
        elif node.kind == "QGemm":
            self._product(node.inputs[0], self._tensors[node.inputs[3]].shape, node.outputs[0])
        elif node.kind in ("QLinearMul", "QLinearAdd"):
            self._node(node.kind.removeprefix("QLinear"), [node.inputs[0], node.inputs[3]], node)
        elif node.kind == "NhwcMaxPool":
            self._pool(node)
        else:
            one = node.inputs[:1] if node.kind in _ALIKE else node.inputs
            self._node(_ALIKE.get(node.kind, node.kind), one, node)

    def _convolution(self, node: Node) -> None:
        outs, ins, _, _ = self._tensors[node.inputs[3]].shape
        height = self._heights.get(node.inputs[0], 1)
        made = self._heights[node.outputs[0]] = size_out(node, (1, height))[1]
        flat, product = f"{node.outputs[0]}.flat", f"{node.outputs[0]}.product"
        self._reshape(node.inputs[0], (-1, height * ins), flat)
        self._product(flat, (height * ins, made * outs), product)
        self._reshape(product, (1, -1, made, outs), node.outputs[0])

    def _product(self, source: str, shape: tuple[int, ...], output: str) -> None:
        self._write("Gemm", [source, self._weights(f"{output}.weights", shape)], output)

    def _weights(self, name: str, shape: tuple[int, ...]) -> str:
        values = self._random.normal(0, 0.01, shape).astype(np.float32)
        self._constant(name, shape, _FLOAT, values.tobytes())
        return name

    def _pool(self, node: Node) -> None:
        first, last = f"{node.outputs[0]}.first", f"{node.outputs[0]}.pooled"
        self._write("Transpose", node.inputs, first, {"perm": (0, 3, 1, 2)})
        self._write("MaxPool", [first], last, node.attributes)
        self._write("Transpose", [last], node.outputs[0], {"perm": (0, 2, 3, 1)})

    def _reshape(self, source: str, shape: tuple[int, ...], output: str) -> None:
        raw = np.array(shape, np.int64)
        self._constant(f"{output}.shape", raw.shape, _INT64, raw.tobytes())
        self._write("Reshape", [source, f"{output}.shape"], output)

    def _constant(self, name: str, shape: tuple[int, ...], kind: int, raw: bytes) -> None:
        sides = b"".join(number(1, side) for side in shape)
        tensor = sides + number(2, kind) + text(8, name) + packed(9, raw)
        self._made += packed(_GRAPH_TENSOR, tensor)

    def _node(self, kind: str, inputs: Sequence[str], node: Node) -> None:
        raw = b"".join(packed(5, attribute) for attribute in node.raw_attributes)
        kept = b"" if node.kind in _ALIKE else raw
        self._write(kind, inputs, node.outputs[0], raw=kept)

    def _write(
        self,
        kind: str,
        inputs: Sequence[str],
        output: str,
        attributes: Mapping[str, tuple[int, ...]] | None = None,
        raw: bytes = b"",
    ) -> None:
        message = b"".join(text(1, name) for name in inputs) + text(2, output) + text(4, kind)
        for name, values in (attributes or {}).items():
            ints = b"".join(number(8, value) for value in values)
            message += packed(5, text(1, name) + ints + number(20, _INTS)) if values else b""
        self._nodes += packed(_GRAPH_NODE, message + raw)


def _others(message: memoryview, without: set[int]) -> bytes:
    return b"".join(_field(f, value) for f, value in fields(message) if f not in without)


def _field(field: int, value: Value) -> bytes:
    return number(field, value) if isinstance(value, int) else packed(field, bytes(value))
