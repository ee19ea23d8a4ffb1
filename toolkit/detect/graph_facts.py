"""What the graph of a model file is made of: nodes by kind, and the work of each matrix product."""

from __future__ import annotations

import math
import re
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from idskit.detect.protobuf import Value, fields

# Field numbers of onnx.proto3 (github.com/onnx/onnx).
_MODEL_GRAPH, _OPSET_IMPORT = 7, 8
_OPSET_DOMAIN, _OPSET_VERSION = 1, 2
_GRAPH_NODE, _GRAPH_TENSOR = 1, 5
_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _NODE_KIND, _NODE_ATTRIBUTE = 1, 2, 3, 4, 5
_ATTRIBUTE_NAME, _ATTRIBUTE_INTS = 1, 8
_TENSOR_SHAPE, _TENSOR_TYPE, _TENSOR_NAME, _TENSOR_RAW = 1, 2, 8, 9
_FLOAT16, _INT64 = 10, 7
# Kinds of products, and which of their inputs holds the weights.
_PRODUCTS = {"Gemm": 1, "MatMul": 1, "QGemm": 3}
_CONVOLUTIONS = {"Conv": 1, "QLinearConv": 3}
# Nodes whose output has as many values as their largest input.
_SAME_SIZE = ("Mul", "Add", "Relu", "Log", "Reshape", "Cast", "QuantizeLinear", "DequantizeLinear")


@dataclass(frozen=True, kw_only=True)
class Product:
    """A matrix product with constant weights."""

    name: str
    weights: int
    multiply_adds: int  # a flow


@dataclass(frozen=True, kw_only=True)
class GraphFacts:
    """What the graph of a model file is made of."""

    opset: int | None  # of the default operator domain
    operators: Counter[str]  # how many nodes of each kind, subgraphs left out
    products: tuple[Product, ...]  # in the order of the graph
    has_halves: bool  # whether a constant is in half precision

    @property
    def precision(self) -> str:
        """``int8`` where values are quantised, ``fp16`` where constants are, else ``fp32``."""
        quantised = any(re.search("quantize|qlinear|integer", n, re.I) for n in self.operators)
        return "int8" if quantised else "fp16" if self.has_halves else "fp32"

    @property
    def multiply_adds(self) -> int:
        """Of all products, a flow."""
        return sum(product.multiply_adds for product in self.products)


@dataclass(frozen=True, kw_only=True)
class Node:
    """A node as it is in the file."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, tuple[int, ...]]  # those that are lists of numbers
    raw_attributes: tuple[bytes, ...]  # all of them, as they are in the file


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """A constant: its elements' type is a number of onnx.proto3."""

    name: str
    type: int
    shape: tuple[int, ...]
    values: tuple[int, ...]  # of shapes


def graph_facts(content: bytes) -> GraphFacts:
    """Read the facts of a model's bytes that ``read_model`` has checked, without onnx."""
    nodes, tensors = read_graph(content)
    imports = (v for f, v in fields(memoryview(content)) if f == _OPSET_IMPORT)
    versions = [_default_opset(value) for value in imports if isinstance(value, memoryview)]
    opset = next((version for version in versions if version), None)
    return GraphFacts(
        opset=opset,
        operators=Counter(node.kind for node in nodes),
        products=tuple(_products(nodes, tensors)),
        has_halves=any(tensor.type == _FLOAT16 for tensor in tensors.values()),
    )


def read_graph(content: bytes) -> tuple[list[Node], dict[str, Tensor]]:
    """Nodes, subgraphs left out, and constants of a model's bytes."""
    graphs = [v for f, v in fields(memoryview(content)) if f == _MODEL_GRAPH]
    parts = [graph for graph in graphs if isinstance(graph, memoryview)]
    nodes = [node for part in parts for node in _nodes(part)]
    tensors = {tensor.name: tensor for part in parts for tensor in _tensors(part)}
    return nodes, tensors


def _products(nodes: list[Node], tensors: dict[str, Tensor]) -> Iterator[Product]:
    """Products with a constant second factor.

    A reshape may have folded part of a flow into the rows (the mel bank runs once a frame), so the
    values a flow has are followed through the graph where that is known.
    """
    sizes: dict[str, int] = {}
    maps: dict[str, MapSize] = {}
    constants = dict(tensors)
    for node in nodes:
        place = _PRODUCTS.get(node.kind, len(node.inputs))
        factor = constants.get(node.inputs[place]) if place < len(node.inputs) else None
        if node.kind == "Reshape" and node.inputs[1] in tensors:
            maps[node.outputs[0]] = map_size(tensors[node.inputs[1]].values)
        if node.kind in _CONVOLUTIONS and node.inputs[_CONVOLUTIONS[node.kind]] in tensors:
            maps[node.outputs[0]] = size = size_out(node, maps.get(node.inputs[0], (1, 1)))
            weights = math.prod(tensors[node.inputs[_CONVOLUTIONS[node.kind]]].shape)
            yield _product(node, weights, math.prod(size))
        elif factor is not None and len(factor.shape) == 2:
            height, width = factor.shape
            rows = max(sizes.get(node.inputs[0], height) // max(height, 1), 1)
            sizes[node.outputs[0]] = rows * width
            yield _product(node, height * width, rows)
        elif node.kind == "DequantizeLinear" and node.inputs[0] in constants:
            constants[node.outputs[0]] = constants[node.inputs[0]]
        elif node.kind in _SAME_SIZE and any(name in sizes for name in node.inputs):
            sizes[node.outputs[0]] = max(sizes.get(name, 0) for name in node.inputs)
        elif node.kind == "Mul" and node.inputs[0] in maps:
            maps[node.outputs[0]] = maps[node.inputs[0]]


def _product(node: Node, weights: int, rows: int) -> Product:
    name = node.name or node.outputs[0]
    return Product(name=name, weights=weights, multiply_adds=rows * weights)


MapSize = tuple[int, int]  # height and width of one flow's map


def map_size(shape: tuple[int, ...]) -> MapSize:
    """Of a map in a shape of (flows, channels, height, width) or (1, flows, rows, values)."""
    if len(shape) != 4:
        return 1, 1
    return (1, shape[2]) if shape[0] == 1 else (shape[2], shape[3])


def size_out(node: Node, size: MapSize) -> MapSize:
    """Size of a map after a convolution."""
    pads = node.attributes.get("pads", (0, 0, 0, 0))
    strides = node.attributes.get("strides", (1, 1))
    taps = node.attributes["kernel_shape"]
    height, width = (
        (size[i] + pads[i] + pads[i + 2] - taps[i]) // strides[i] + 1 for i in range(2)
    )
    return height, width


def _default_opset(message: memoryview) -> int | None:
    imported = dict(fields(message))
    version = imported.get(_OPSET_VERSION)
    return version if isinstance(version, int) and not imported.get(_OPSET_DOMAIN) else None


def _nodes(graph: memoryview) -> Iterator[Node]:
    for field, value in fields(graph):
        if field == _GRAPH_NODE and isinstance(value, memoryview):
            found = list(fields(value))
            yield Node(
                name=_text(found, _NODE_NAME),
                kind=_text(found, _NODE_KIND),
                inputs=_texts(found, _NODE_INPUT),
                outputs=_texts(found, _NODE_OUTPUT),
                attributes=dict(_attributes(found)),
                raw_attributes=tuple(
                    bytes(v) for f, v in found if f == _NODE_ATTRIBUTE and isinstance(v, memoryview)
                ),
            )


def _attributes(node: list[tuple[int, Value]]) -> Iterator[tuple[str, tuple[int, ...]]]:
    for field, value in node:
        if field == _NODE_ATTRIBUTE and isinstance(value, memoryview):
            found = list(fields(value))
            numbers = (v for f, v in found if f == _ATTRIBUTE_INTS and isinstance(v, int))
            yield _text(found, _ATTRIBUTE_NAME), tuple(numbers)


def _tensors(graph: memoryview) -> Iterator[Tensor]:
    for field, value in fields(graph):
        if field == _GRAPH_TENSOR and isinstance(value, memoryview):
            found = list(fields(value))
            kind, raw = dict(found).get(_TENSOR_TYPE), dict(found).get(_TENSOR_RAW)
            yield Tensor(
                name=_text(found, _TENSOR_NAME),
                type=kind if isinstance(kind, int) else 0,
                shape=tuple(v for f, v in found if f == _TENSOR_SHAPE and isinstance(v, int)),
                values=_int64s(raw) if kind == _INT64 and isinstance(raw, memoryview) else (),
            )


def _int64s(raw: memoryview) -> tuple[int, ...]:
    whole = bytes(raw[: len(raw) // 8 * 8])
    return struct.unpack(f"<{len(whole) // 8}q", whole)


def _texts(found: list[tuple[int, Value]], wanted: int) -> tuple[str, ...]:
    return tuple(
        bytes(value).decode(errors="replace")
        for field, value in found
        if field == wanted and isinstance(value, memoryview)
    )


def _text(found: list[tuple[int, Value]], wanted: int) -> str:
    return next(iter(_texts(found, wanted)), "")
