"""Count what a graph consists of: nodes by kind, and the work of each matrix product."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from idskit.modelfile.graph_check import Step, trace
from idskit.modelfile.onnx_file import FLOAT16, OnnxFile

# Kinds of products, and the index of the input that holds the weights.
_PRODUCTS = {"Gemm": 1, "MatMul": 1, "Conv": 1, "QGemm": 3, "QLinearConv": 3}


@dataclass(frozen=True, kw_only=True)
class Product:
    """A matrix product with constant weights."""

    name: str
    weights: int
    multiply_adds: int  # per flow


@dataclass(frozen=True, kw_only=True)
class GraphFacts:
    """What the graph of a model file consists of."""

    opset: int  # of the default operator domain
    operators: Counter[str]  # how many nodes of each kind
    products: tuple[Product, ...]  # in the order of the graph
    has_halves: bool  # whether a constant is in half precision

    @property
    def precision(self) -> str:
        """Return ``int8`` if values are quantised, ``fp16`` if constants are, else ``fp32``."""
        quantised = any(re.search("quantize|qlinear|integer", n, re.I) for n in self.operators)
        return "int8" if quantised else "fp16" if self.has_halves else "fp32"

    @property
    def multiply_adds(self) -> int:
        """Return the multiply-adds of all products per flow."""
        return sum(product.multiply_adds for product in self.products)


def graph_facts(graph: OnnxFile) -> GraphFacts:
    """Count what a graph consists of.

    Raises:
        ValueError: an operator that export does not write, or shapes that do not fit.
    """
    return GraphFacts(
        opset=graph.opsets[""],
        operators=Counter(node.kind for node in graph.nodes),
        products=tuple(_products(trace(graph, 1))),
        has_halves=any(tensor.type == FLOAT16 for tensor in graph.tensors.values()),
    )


def _products(steps: list[Step]) -> Iterator[Product]:
    for step in steps:
        weights = step.inputs[_PRODUCTS[step.node.kind]] if step.node.kind in _PRODUCTS else None
        if weights is not None and weights.constant:
            yield Product(
                name=step.node.name or step.node.outputs[0],
                weights=step.result.weights,
                multiply_adds=step.result.multiply_adds,
            )
