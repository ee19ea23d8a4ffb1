"""Static int8: quantise and dequantise around the matrix products that carry the work.

onnxruntime fuses `Q, DQ, Gemm` into integer products. Activations get one range each, seen on
calibration rows that were drawn per class; weights get one scale a column, and what their rounding
adds to the mean output is taken from the bias (M. Nagel et al., "Data-Free Quantization Through
Weight Equalization and Bias Correction", ICCV 2019), which costs nothing when it runs. Only lowered
convolutions are quantised, and of them only those with enough multiply-adds: for the front end,
attention's small products and the classifier, converting costs more than it saves.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper

from idskit.detect.model_file import INPUT
from idskit.export.graph import Graph
from idskit.export.target import Target

# Multiply-adds a row below which a product stays float.
MIN_PRODUCT = 2048
CALIBRATION_BATCH = 256
# Share of calibration values let go at each end of a range: a few extremes must not cost all the
# others their resolution.
TAIL = 1e-5


@dataclass(frozen=True, kw_only=True)
class Range:
    """Values an activation takes on the calibration rows."""

    low: float
    high: float
    mean: NDArray[np.float64]  # (columns,)


def products(graph: Graph, left_float: Collection[str] = frozenset()) -> tuple[onnx.NodeProto, ...]:
    """The lowered convolutions worth quantising, in order, without those named in ``left_float``.

    One whose Relu feeds a float product stays float as well: onnxruntime would fuse it with that
    Relu into a float product of dequantised weights.
    """
    chosen: list[onnx.NodeProto] = []
    for node in reversed(graph.nodes):
        if node.name not in graph.convolutions or node.name in left_float:
            continue
        relus = {n.output[0] for n in graph.readers(node.output[0]) if n.op_type == "Relu"}
        stays_integer = not relus or relus & {n.input[0] for n in chosen}
        if stays_integer and graph.constants[node.input[1]].size >= MIN_PRODUCT:
            chosen.append(node)
    return tuple(reversed(chosen))


def calibrate(graph: Graph, flows: NDArray[np.float32]) -> dict[str, Range]:
    """Range of each product's input over raw calibration rows (n, features).

    Two passes in batches, so memory does not grow with the rows: limits first, then a histogram
    between them, from which ``TAIL`` of the values is let go at each end.
    """
    names = tuple(dict.fromkeys(node.input[0] for node in products(graph)))
    inner = tuple(name for name in names if name != INPUT)
    session = onnxruntime.InferenceSession(
        graph.model(watch=inner).SerializeToString(), providers=["CPUExecutionProvider"]
    )

    def batches() -> Iterator[dict[str, NDArray[np.float32]]]:
        for start in range(0, len(flows), CALIBRATION_BATCH):
            rows = flows[start : start + CALIBRATION_BATCH]
            values = session.run(list(inner), {INPUT: rows})
            yield dict(zip(inner, values, strict=True)) | {INPUT: rows}

    low = dict.fromkeys(names, np.inf)
    high = dict.fromkeys(names, -np.inf)
    total: dict[str, NDArray[np.float64]] = {}
    for values in batches():
        for name in names:
            low[name] = min(low[name], float(values[name].min()))
            high[name] = max(high[name], float(values[name].max()))
            total[name] = total.get(name, 0.0) + values[name].sum(axis=0, dtype=np.float64)
    counts = {name: np.zeros(4096, np.int64) for name in names}
    for values in batches():
        for name in names:
            span = (low[name], max(high[name], low[name] + 1e-6))
            counts[name] += np.histogram(values[name], bins=4096, range=span)[0]
    return {
        name: _trimmed(counts[name], low[name], high[name], total[name] / len(flows))
        for name in names
    }


def quantize(
    graph: Graph, ranges: dict[str, Range], target: Target, chosen: Collection[str] | None = None
) -> Graph:
    """The same graph with the products named in ``chosen``, all if None, in int8 for ``target``."""
    quantized = Graph(graph.columns, graph.classes)
    quantized.constants = dict(graph.constants)
    if chosen is None:
        chosen = {node.name for node in products(graph)}
    scales: dict[str, float] = {}
    for node in graph.nodes:
        if node.name not in chosen:
            quantized.nodes.append(node)
            continue
        source, weight = node.input[0], node.input[1]
        if source not in scales:
            scales[source] = _quantize_activation(quantized, source, ranges[source], target)
        column_scale, rounding = _quantize_weight(quantized, weight, target)
        inputs = [f"{source}.dequantized", f"{weight}.dequantized"]
        if len(node.input) > 2:
            bias = quantized.constants[node.input[2]] - ranges[source].mean @ rounding
            quantized.constants[node.input[2]] = bias
            _quantize_bias(quantized, node.input[2], scales[source] * column_scale)
            inputs.append(f"{node.input[2]}.dequantized")
        quantized.nodes.append(helper.make_node("Gemm", inputs, [node.output[0]], name=node.name))
    return quantized


def _trimmed(
    counts: NDArray[np.int64], low: float, high: float, mean: NDArray[np.float64]
) -> Range:
    """The range between the two tails of a histogram over [low, high]."""
    cumulative = np.cumsum(counts) / max(int(counts.sum()), 1)
    edges = np.linspace(low, high, len(counts) + 1)
    first = int(np.searchsorted(cumulative, TAIL, side="right"))
    last = int(np.searchsorted(cumulative, 1 - TAIL, side="left"))
    end = float(edges[min(last + 1, len(counts))])
    return Range(low=float(edges[first]), high=end, mean=mean)


def _quantize_activation(graph: Graph, name: str, found: Range, target: Target) -> float:
    """Quantise and dequantise ``name``; returns its scale. Zero is always exact."""
    low, high = min(found.low, 0.0), max(found.high, 0.0)
    scale = (high - low) / 255 or 1.0
    kind = np.int8 if target.signed_activations else np.uint8
    first = np.iinfo(kind).min  # a Relu's zero lands here, so onnxruntime can leave the Relu out
    zero = np.array(first + np.clip(round(-low / scale), 0, 255), kind)
    pair = [
        graph.constant(f"{name}.scale", np.array(scale, np.float32)),
        graph.constant(f"{name}.zero", zero),
    ]
    integers = graph.node("QuantizeLinear", [name, *pair], f"{name}.quantized")
    graph.node("DequantizeLinear", [integers, *pair], f"{name}.dequantized")
    return float(np.float32(scale))


def _quantize_weight(
    graph: Graph, name: str, target: Target
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Replace a constant (rows, columns) by int8 and one scale a column.

    Returns:
        The scales (columns,), and what rounding added to the constant (rows, columns).
    """
    weight = graph.constants.pop(name).astype(np.float64)
    limit = 63 if target.reduce_range else 127
    scale = np.abs(weight).max(axis=0) / limit
    scale = np.where(scale > 0, scale, 1.0).astype(np.float32).astype(np.float64)
    integers = np.clip(np.rint(weight / scale), -limit, limit).astype(np.int8)
    _dequantize(graph, name, integers, scale, axis=1)
    return scale, integers * scale - weight


def _quantize_bias(graph: Graph, name: str, scale: NDArray[np.float64]) -> None:
    """Replace a constant by int32 in the scale of the product that it is added to."""
    limits = np.iinfo(np.int32)
    integers = np.clip(np.rint(graph.constants.pop(name) / scale), limits.min, limits.max)
    _dequantize(graph, name, integers.astype(np.int32), scale, axis=0)


def _dequantize(
    graph: Graph, name: str, integers: NDArray[np.generic], scale: NDArray[np.float64], axis: int
) -> None:
    inputs = [
        graph.constant(f"{name}.integers", integers),
        graph.constant(f"{name}.scale", scale),
        graph.constant(f"{name}.zero", np.zeros(len(scale), integers.dtype)),
    ]
    graph.node("DequantizeLinear", inputs, f"{name}.dequantized", axis=axis)
