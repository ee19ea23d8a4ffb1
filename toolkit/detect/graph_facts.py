"""What the graph of a model file is made of: nodes by kind, and the work of each matrix product."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from idskit.detect.protobuf import Value, fields

# Field numbers of onnx.proto3 (github.com/onnx/onnx).
_MODEL_GRAPH, _OPSET_IMPORT = 7, 8
_OPSET_DOMAIN, _OPSET_VERSION = 1, 2
_GRAPH_NODE, _GRAPH_TENSOR = 1, 5
_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _NODE_KIND = 1, 2, 3, 4
_TENSOR_SHAPE, _TENSOR_TYPE, _TENSOR_NAME = 1, 2, 8
_FLOAT16 = 10
_PRODUCTS = ("Gemm", "MatMul")
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
class _Node:
    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Tensor:
    name: str
    type: int
    shape: tuple[int, ...]


def graph_facts(content: bytes) -> GraphFacts:
    """Read the facts of a model's bytes that ``read_model`` has checked, without onnx."""
    opset: int | None = None
    nodes: list[_Node] = []
    tensors: dict[str, _Tensor] = {}
    for field, value in fields(memoryview(content)):
        if field == _OPSET_IMPORT and isinstance(value, memoryview):
            opset = _default_opset(value) or opset
        if field == _MODEL_GRAPH and isinstance(value, memoryview):
            nodes += _nodes(value)
            tensors |= {tensor.name: tensor for tensor in _tensors(value)}
    return GraphFacts(
        opset=opset,
        operators=Counter(node.kind for node in nodes),
        products=tuple(_products(nodes, tensors)),
        has_halves=any(tensor.type == _FLOAT16 for tensor in tensors.values()),
    )


def _products(nodes: list[_Node], tensors: dict[str, _Tensor]) -> Iterator[Product]:
    """Products with a constant second factor.

    A reshape may have folded part of a flow into the rows (the mel bank runs once a frame), so the
    values a flow has are followed through the graph where that is known.
    """
    sizes: dict[str, int] = {}
    constants = dict(tensors)
    for node in nodes:
        factor = constants.get(node.inputs[1]) if len(node.inputs) > 1 else None
        if node.kind in _PRODUCTS and factor is not None and len(factor.shape) == 2:
            height, width = factor.shape
            rows = max(sizes.get(node.inputs[0], height) // max(height, 1), 1)
            sizes[node.outputs[0]] = rows * width
            yield Product(
                name=node.name or node.outputs[0],
                weights=height * width,
                multiply_adds=rows * height * width,
            )
        elif node.kind == "DequantizeLinear" and node.inputs[0] in constants:
            constants[node.outputs[0]] = constants[node.inputs[0]]
        elif node.kind in _SAME_SIZE and any(name in sizes for name in node.inputs):
            sizes[node.outputs[0]] = max(sizes.get(name, 0) for name in node.inputs)


def _default_opset(message: memoryview) -> int | None:
    imported = dict(fields(message))
    version = imported.get(_OPSET_VERSION)
    return version if isinstance(version, int) and not imported.get(_OPSET_DOMAIN) else None


def _nodes(graph: memoryview) -> Iterator[_Node]:
    for field, value in fields(graph):
        if field == _GRAPH_NODE and isinstance(value, memoryview):
            found = list(fields(value))
            yield _Node(
                name=_text(found, _NODE_NAME),
                kind=_text(found, _NODE_KIND),
                inputs=_texts(found, _NODE_INPUT),
                outputs=_texts(found, _NODE_OUTPUT),
            )


def _tensors(graph: memoryview) -> Iterator[_Tensor]:
    for field, value in fields(graph):
        if field == _GRAPH_TENSOR and isinstance(value, memoryview):
            found = list(fields(value))
            kind = dict(found).get(_TENSOR_TYPE)
            yield _Tensor(
                name=_text(found, _TENSOR_NAME),
                type=kind if isinstance(kind, int) else 0,
                shape=tuple(v for f, v in found if f == _TENSOR_SHAPE and isinstance(v, int)),
            )


def _texts(found: list[tuple[int, Value]], wanted: int) -> tuple[str, ...]:
    return tuple(
        bytes(value).decode(errors="replace")
        for field, value in found
        if field == wanted and isinstance(value, memoryview)
    )


def _text(found: list[tuple[int, Value]], wanted: int) -> str:
    return next(iter(_texts(found, wanted)), "")
