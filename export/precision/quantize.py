"""Static int8: the operations of a lowered network on bytes, in onnxruntime's integer operators.

Every layer between the image and the logits reads bytes and writes bytes, so nothing is converted
on the way: products (QGemm, and QLinearConv over rows), pools, maxima, sigmoids, the products and
sums of attention and residuals. A value gets one range, seen on calibration rows that were drawn
per class; weights get one scale a column, and what their rounding adds to the mean output is taken
from the bias (M. Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias
Correction", ICCV 2019), which costs nothing when it runs.

``Pairs`` is the same in ONNX's own operators, for other runtimes: products alone are in int8, each
between QuantizeLinear and DequantizeLinear (QDQ).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from idskit.export.lower.arithmetic import (
    POOL,
    Affine,
    Floats,
    Limit,
    Maps,
    Matrix,
    Rows,
    Shape,
    pooled_size,
)
from idskit.export.lower.graph_parts import CONTRIB, Graph
from idskit.export.lower.lower_model import lower
from idskit.export.target import Target
from idskit.modelfile.model_file import INPUT
from idskit.models.lowering import Size
from idskit.models.network import Network

CALIBRATION_BATCH = 256
# Share of calibration values let go at each end of a range: a few extremes must not cost all the
# others their resolution.
TAIL = 1e-5
_BINS = 4096


@dataclass(frozen=True, kw_only=True)
class Range:
    """Values that one value of the graph takes on the calibration rows."""

    low: float
    high: float
    mean: NDArray[np.float64]  # (values,) of a row


@dataclass(frozen=True, kw_only=True)
class Bytes:
    """A value in bytes: the tensor, and the names of its scale and zero point."""

    tensor: str
    scale: str
    zero: str

    @property
    def inputs(self) -> list[str]:
        """As integer operators take it."""
        return [self.tensor, self.scale, self.zero]


def quantize(
    network: Network,
    ranges: Mapping[str, Range],
    target: Target,
    layers: Collection[str] | None = None,
    *,
    qdq: bool = False,
) -> Graph:
    """Return the graph of a network with these layers in int8; all when None.

    ``qdq`` chooses pairs of QuantizeLinear and DequantizeLinear instead of onnxruntime's operators.
    """
    arithmetic = Pairs if qdq else Integers
    return lower(network, lambda graph: arithmetic(graph, ranges, target, layers))


def calibrate(graph: Graph, flows: NDArray[np.float32]) -> dict[str, Range]:
    """Range of each value that int8 may hold, over raw calibration rows (n, features).

    Two passes in batches, so memory does not grow with the rows: limits first, then a histogram
    between them, from which ``TAIL`` of the values is let go at each end.
    """
    names = tuple(graph.ranged)
    session = onnxruntime.InferenceSession(
        graph.model(watch=names).SerializeToString(), providers=["CPUExecutionProvider"]
    )

    def batches() -> Iterator[dict[str, NDArray[np.float32]]]:
        for start in range(0, len(flows), CALIBRATION_BATCH):
            rows = flows[start : start + CALIBRATION_BATCH]
            values = session.run(list(names), {INPUT: rows})
            flat = (value.reshape(len(rows), -1) for value in values)
            yield dict(zip(names, flat, strict=True))

    low = dict.fromkeys(names, np.inf)
    high = dict.fromkeys(names, -np.inf)
    total: dict[str, NDArray[np.float64]] = {}
    for values in batches():
        for name in names:
            low[name] = min(low[name], float(values[name].min()))
            high[name] = max(high[name], float(values[name].max()))
            total[name] = total.get(name, 0.0) + values[name].sum(axis=0, dtype=np.float64)
    counts = {name: np.zeros(_BINS, np.int64) for name in names}
    for values in batches():
        for name in names:
            span = (low[name], max(high[name], low[name] + 1e-6))
            counts[name] += np.histogram(values[name], bins=_BINS, range=span)[0]
    return {
        name: _trimmed(counts[name], low[name], high[name], total[name] / max(len(flows), 1))
        for name in names
    }


def _trimmed(
    counts: NDArray[np.int64], low: float, high: float, mean: NDArray[np.float64]
) -> Range:
    """Return the range between the two tails of a histogram over [low, high]."""
    cumulative = np.cumsum(counts) / max(int(counts.sum()), 1)
    edges = np.linspace(low, high, len(counts) + 1)
    first = int(np.searchsorted(cumulative, TAIL, side="right"))
    last = int(np.searchsorted(cumulative, 1 - TAIL, side="left"))
    end = float(edges[min(last + 1, len(counts))])
    return Range(low=float(edges[first]), high=end, mean=mean)


class Quantized(Floats):
    """What both forms of int8 share: ranges, the layers chosen, integers of weights."""

    def __init__(
        self,
        graph: Graph,
        ranges: Mapping[str, Range],
        target: Target,
        layers: Collection[str] | None,
    ) -> None:
        super().__init__(graph)
        self._ranges, self._target, self._chosen = ranges, target, layers
        self._same: dict[str, str] = {}  # values that have another's range
        self._bytes: dict[str, Bytes] = {}
        self._floats: dict[str, str] = {}  # float tensors of values in bytes

    def bytes(self, name: str) -> Bytes:
        """Return the value as bytes, converted once."""
        if name not in self._bytes:
            out = self._ranged(name)
            self.graph.node("QuantizeLinear", [name, out.scale, out.zero], out.tensor)
            self._kept(name, out.tensor, out, self._shapes[name])
        return self._bytes[name]

    def _dequantized(self, name: str) -> str:
        """Return the value, which is in bytes, as float32, converted once."""
        if name not in self._floats:
            values = self._bytes[name]
            made = self.graph.node("DequantizeLinear", values.inputs, f"{name}.dequantized")
            self._floats[name] = made
            self._shapes[made] = self._shapes[values.tensor]
        return self._floats[name]

    def _kept(self, name: str, tensor: str, like: Bytes, shape: Shape) -> str:
        self._bytes[name] = Bytes(tensor=tensor, scale=like.scale, zero=like.zero)
        self._shapes[tensor] = shape
        return self._made(name, shape)

    def _weights(
        self, source: str, matrix: Matrix, bias: Matrix, name: str, rows: Rows | None = None
    ) -> list[str]:
        """Return integers, scale and zero of a matrix's columns, and the bias in their scale."""
        limit = 63 if self._target.reduce_range else 127
        scale = np.abs(matrix).max(axis=0) / limit
        scale = np.where(scale > 0, scale, 1.0).astype(np.float32).astype(np.float64)
        integers = np.clip(np.rint(matrix / scale), -limit, limit).astype(np.int8)
        added = _mean_added(self._ranges[source].mean, integers * scale - matrix, rows)
        corrected = bias.reshape(-1, matrix.shape[1])[0] - added  # the same in every row of a map
        product_scale = float(self.graph.constants[self.bytes(source).scale]) * scale
        limits = np.iinfo(np.int32)
        rounded = np.clip(np.rint(corrected / product_scale), limits.min, limits.max)
        return [
            self.graph.constant(f"{name}.weight.integers", integers),
            self.graph.constant(f"{name}.weight.scale", scale),
            self.graph.constant(f"{name}.weight.zero", np.zeros(len(scale), np.int8)),
            self.graph.constant(f"{name}.bias.integers", rounded.astype(np.int32)),
        ]

    def _ranged(self, name: str) -> Bytes:
        """Tensor, scale and zero point of a value by its range. Zero is always exact."""
        found = self._ranges[self._same.get(name, name)]
        unit = name.endswith(".unit")  # its limits are those of the hard sigmoid, not those seen
        low, high = (0.0, 1.0) if unit else (min(found.low, 0.0), max(found.high, 0.0))
        scale = (high - low) / 255 or 1.0
        kind = np.int8 if self._target.signed_activations else np.uint8
        first = np.iinfo(kind).min  # a Relu's zero: what is below is cut off
        zero = np.array(first + np.clip(round(-low / scale), 0, 255), kind)
        return Bytes(
            tensor=self._tensor(name),
            scale=self.graph.constant(f"{name}.scale", np.array(scale, np.float32)),
            zero=self.graph.constant(f"{name}.zero", zero),
        )

    def _takes(self, name: str) -> bool:
        return self._chosen is None or name in self._chosen

    def _tensor(self, name: str) -> str:
        return f"{name}.quantized"


class Pairs(Quantized):
    """Products of dequantised bytes; everything else in float."""

    def _multiply(self, source: str, matrix: Matrix, bias: Matrix, name: str) -> str:
        if not self._takes(name):
            return super()._multiply(source, matrix, bias, name)
        self.graph.layers.append(name)
        graph, values = self.graph, self.bytes(source)
        made = self._dequantized(source)
        *weights, rounded = self._weights(source, matrix, bias, name)
        weight = graph.node("DequantizeLinear", weights, f"{name}.weight", axis=1)
        of_source, of_weights = (graph.constants[part] for part in (values.scale, weights[1]))
        scale = graph.constant(f"{name}.bias.scale", of_source * of_weights)
        shift = graph.node("DequantizeLinear", [rounded, scale], f"{name}.bias", axis=0)
        return graph.node("Gemm", [self._row(made, matrix), weight, shift], name)


class Integers(Quantized):
    """Operations on bytes for the layers chosen, on floats for the others.

    A value is made once, in bytes or in float, and converted where a reader wants the other.
    """

    def product(
        self, source: str, affine: Affine, name: str, *, limit: Limit = "none", last: bool = False
    ) -> str:
        """``source`` through QLinearConv; the limit is that of the range."""
        if not self._takes(name):
            return super().product(source, affine, name, limit=limit, last=last)
        self.graph.layers.append(name)
        if last:
            values = self._reshaped(self.bytes(source), (-1, len(affine.matrix)))
            weights = self._weights(source, affine.matrix, affine.bias, name)
            return self._contrib("QGemm", [*values.inputs, *weights], name)
        rows = affine.rows or Rows(kernel=affine.matrix[None], height=1, stride=1, padding=0)
        made = name if limit == "none" else f"{name}.{limit}"
        return self._by_rows(source, affine, rows, (name, made))

    def pooled_product(self, source: str, affine: Affine, size: Size, name: str) -> str:
        """Return a product with Relu, and its 3x3 max-pool with stride 2, channels last."""
        if not self._takes(name):
            return super().pooled_product(source, affine, size, name)
        made, last = f"{name}.relu", f"{name}.last"
        channels = affine.matrix.shape[1] // (size[0] * size[1])
        self._same[made] = last  # the largest pixel of a map is in some pool
        self.product(source, affine, name, limit="relu")
        maps = self._reshaped(self._bytes[made], (-1, *size, channels))
        shape = (-1, *pooled_size(size), channels)
        return self._move("NhwcMaxPool", [maps.tensor], last, maps, shape, CONTRIB, **POOL)

    def peak(self, maps: str, shape: Maps, axis: Literal[1, 2], name: str) -> str:
        """Maximum of bytes: the order of numbers is that of their bytes."""
        if maps not in self._bytes:
            return super().peak(maps, shape, axis, name)
        pixels, channels = shape
        values = self._bytes[maps]
        source = [self._reshaped(values, (1, -1, *shape)).tensor]
        if axis == 1:
            whole, made = {"kernel_shape": [1, pixels]}, (1, -1, 1, channels)
            return self._move("NhwcMaxPool", source, name, values, made, CONTRIB, **whole)
        made = (1, -1, pixels, 1)
        return self._move("ReduceMax", source, name, values, made, axes=[3], keepdims=1)

    def join(self, maps: str, peak: str, name: str) -> str:
        """Return the bytes of one scale side by side."""
        if maps not in self._bytes:
            return super().join(maps, peak, name)
        parts = [self._flat(self._bytes[value].tensor) for value in (maps, peak)]
        width = sum(self._values(part) for part in parts)
        return self._move("Concat", parts, name, self._bytes[maps], (1, -1, 1, width), axis=3)

    def gate(self, logits: str, name: str) -> str:
        """Sigmoid, looked up."""
        if not self._takes(name):
            return super().gate(logits, name)
        self.graph.layers.append(name)
        values, out = self.bytes(logits), self._ranged(name)
        inputs = [*values.inputs, out.scale, out.zero]
        return self._emit("QLinearSigmoid", inputs, name, out, self._shapes[values.tensor])

    def scale(self, maps: str, weights: str, shape: Maps, axis: Literal[1, 2], name: str) -> str:
        """Product of bytes."""
        if not self._takes(name):
            return super().scale(maps, weights, shape, axis, name)
        self.graph.layers.append(name)
        spread = (1, shape[1]) if axis == 1 else (shape[0], 1)
        left = self._reshaped(self.bytes(maps), (1, -1, *shape))
        right = self._reshaped(self.bytes(weights), (1, -1, *spread))
        out = self._ranged(name)
        inputs = [*left.inputs, *right.inputs, out.scale, out.zero]
        return self._emit("QLinearMul", inputs, name, out, (1, -1, *shape))

    def sum(self, left: str, right: str, name: str) -> str:
        """Sum of bytes; the Relu is the range's lower end."""
        if not self._takes(name):
            return super().sum(left, right, name)
        self.graph.layers.append(name)
        parts = [self.bytes(left), self.bytes(right)]
        shape, made = self._shapes[parts[0].tensor], f"{name}.relu"
        inputs = [i for part in parts for i in self._reshaped(part, shape).inputs]
        out = self._ranged(made)
        return self._emit("QLinearAdd", [*inputs, out.scale, out.zero], made, out, shape)

    def head(self, source: str, count: int, name: str) -> str:
        """Return the first bytes."""
        if source not in self._bytes:
            return super().head(source, count, name)
        values = self._bytes[source]
        flat = self.view(values.tensor, (-1, self._values(values.tensor)))
        made = self.graph.cut(flat, count, axis=1, output=self._tensor(name))
        return self._kept(name, made, values, (-1, count))

    def floats(self, name: str) -> str:
        """Return the value as float32."""
        return self._dequantized(name) if name in self._bytes else name

    def _by_rows(self, source: str, affine: Affine, rows: Rows, names: tuple[str, str]) -> str:
        """Return all rows of all maps of a batch as one image, whose height is the batch."""
        name, made = names
        taps, ins, outs = rows.kernel.shape
        height = (rows.height + 2 * rows.padding - taps) // rows.stride + 1
        kernel = rows.kernel.reshape(-1, outs)
        integers, scale, zero, bias = self._weights(source, kernel, affine.bias, name, rows)
        constants = self.graph.constants
        shaped = constants[integers].reshape(taps, ins, outs).transpose(2, 1, 0)
        constants[integers] = np.ascontiguousarray(shaped[:, :, None])  # (out, in, 1, taps)
        image = self._reshaped(self.bytes(source), (1, -1, rows.height, ins))
        out = self._ranged(made)
        inputs = [*image.inputs, integers, scale, zero, out.scale, out.zero, bias]
        attributes = {
            "channels_last": 1,
            "kernel_shape": [1, taps],
            "strides": [1, rows.stride],
            "pads": [0, rows.padding, 0, rows.padding],
        }
        return self._emit("QLinearConv", inputs, made, out, (1, -1, height, outs), **attributes)

    def _flat(self, tensor: str) -> str:
        """As products take and give it, so that nothing lies between two of them."""
        return self.view(tensor, (1, -1, 1, self._values(tensor)))

    def _reshaped(self, values: Bytes, shape: Shape) -> Bytes:
        return Bytes(tensor=self.view(values.tensor, shape), scale=values.scale, zero=values.zero)

    def _contrib(self, operator: str, inputs: list[str], made: str, **attributes: object) -> str:
        return self.graph.node(operator, inputs, made, domain=CONTRIB, **attributes)

    def _emit(
        self,
        operator: str,
        inputs: list[str],
        name: str,
        out: Bytes,
        shape: Shape,
        **attributes: object,
    ) -> str:
        self._contrib(operator, inputs, out.tensor, **attributes)
        return self._kept(name, out.tensor, out, shape)

    def _move(
        self,
        operator: str,
        inputs: list[str],
        name: str,
        values: Bytes,
        shape: Shape,
        domain: str = "",
        **attributes: object,
    ) -> str:
        """Return an operation whose bytes mean what those of ``values`` mean."""
        made = self.graph.node(operator, inputs, self._tensor(name), domain=domain, **attributes)
        return self._kept(name, made, values, shape)


def _mean_added(mean: Matrix, rounding: Matrix, rows: Rows | None) -> Matrix:
    """Return what rounded weights add to the mean output: (columns,), over all rows of a map."""
    if rows is None:
        added: Matrix = mean @ rounding
        return added
    taps, ins, _ = rows.kernel.shape
    padded = np.pad(mean.reshape(rows.height, ins), ((rows.padding, rows.padding), (0, 0)))
    starts = range(0, len(padded) - taps + 1, rows.stride)
    windows = np.stack([padded[start : start + taps].ravel() for start in starts])
    seen: Matrix = windows.mean(axis=0) @ rounding
    return seen
