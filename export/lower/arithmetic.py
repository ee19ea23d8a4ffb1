"""What a lowered network is made of, in float; ``quantize.Integers`` does the same in int8.

A value is a row of numbers; maps lie channels last (height, width, channels), so that a mean or
maximum over channels or pixels reads memory in order and both weights of attention are broadcast
over whole channels. A shape is given where an operator needs one, and no reshape is made twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from idskit.export.lower.graph_parts import Graph
from idskit.models.lowering import Size

Matrix = NDArray[np.float64]
Shape = tuple[int, ...]
Maps = tuple[int, int]  # pixels, channels
Limit = Literal["none", "relu", "unit"]  # what follows a product: nothing, Relu, or 0 to 1


@dataclass(frozen=True, kw_only=True)
class Rows:
    """A convolution as one over the rows of its map: a row's pixels and channels are its channels.

    ``kernel`` is (kernel height, values of a row in, values of a row out); the input has ``height``
    rows and ``padding`` rows of zeros above and below.
    """

    kernel: Matrix
    height: int
    stride: int
    padding: int


@dataclass(frozen=True, kw_only=True)
class Affine:
    """Values times ``matrix`` (in, out) plus ``bias`` (out,); by rows where that is less work."""

    matrix: Matrix
    bias: Matrix
    rows: Rows | None = None


class Floats:
    """Operations in float32, put into ``graph``; each gives the name of what it makes.

    ``graph.layers`` gets the names of those that a smaller precision may be chosen for, and
    ``graph.ranged`` the values whose range that needs.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._shapes: dict[str, Shape] = {}
        self._views: dict[tuple[str, Shape], str] = {}

    def product(
        self, source: str, affine: Affine, name: str, *, limit: Limit = "none", last: bool = False
    ) -> str:
        """``source`` through an affine map and a limit; the ``last`` one is wanted in float."""
        made = self._limited(self._multiply(source, affine.matrix, affine.bias, name), limit)
        return made if last else self._made(made, (-1, affine.matrix.shape[1]))

    def pooled_product(self, source: str, affine: Affine, size: Size, name: str) -> str:
        """Affine map to maps of ``size``, Relu, and 3x3 max-pool with stride 2."""
        channels = affine.matrix.shape[1] // (size[0] * size[1])
        order = np.arange(affine.matrix.shape[1]).reshape(-1, channels).T.ravel()
        maps = self._multiply(source, affine.matrix[:, order], affine.bias[order], name)
        image = self.graph.reshape(maps, (channels, *size), f"{name}.maps")
        # Relu after the pool: the same values, and a third of them.
        pooled = self.graph.node("MaxPool", [image], f"{name}.pooled", **POOL)
        pooled = self.graph.node("Relu", [pooled], f"{name}.pooled_relu")
        last = self.graph.node("Transpose", [pooled], f"{name}.last", perm=[0, 2, 3, 1])
        return self._made(last, (-1, *pooled_size(size), channels))

    def peak(self, maps: str, shape: Maps, axis: Literal[1, 2], name: str) -> str:
        """Maximum over the pixels (1) or channels (2) of maps of ``shape`` (pixels, channels)."""
        values = self.view(self.floats(maps), (-1, *shape))
        self.graph.node("ReduceMax", [values], name, axes=[axis], keepdims=0)
        return self._made(name, (-1, shape[2 - axis]), ranged=False)

    def join(self, maps: str, peak: str, name: str) -> str:
        """Return maps and a maximum of them side by side."""
        tensors = [self.floats(maps), self.floats(peak)]
        parts = [self.view(tensor, (-1, self._values(tensor))) for tensor in tensors]
        self.graph.node("Concat", parts, name, axis=1)
        width = sum(self._values(part) for part in parts)
        return self._made(name, (-1, width))

    def gate(self, logits: str, name: str) -> str:
        """Return weights between 0 and 1: sigmoid."""
        self.graph.layers.append(name)
        self.graph.node("Sigmoid", [self.floats(logits)], name)
        return self._made(name, self._shapes[logits])

    def scale(self, maps: str, weights: str, shape: Maps, axis: Literal[1, 2], name: str) -> str:
        """Return maps of ``shape`` (pixels, channels) times weights, equal along ``axis``."""
        self.graph.layers.append(name)
        shaped = scaled(maps, weights, shape, axis)
        inputs = [self.view(self.floats(value), seen) for value, seen in shaped]
        self.graph.node("Mul", inputs, name)
        return self._made(name, (-1, *shape))

    def sum(self, left: str, right: str, name: str) -> str:
        """Residual sum and Relu."""
        self.graph.layers.append(name)
        shape = self._shapes[left]
        inputs = [self.view(self.floats(value), shape) for value in (left, right)]
        self.graph.node("Add", inputs, name)
        return self._made(self.graph.node("Relu", [name], f"{name}.relu"), shape)

    def head(self, source: str, count: int, name: str) -> str:
        """Return the first ``count`` values: with channels last, those of the first pixels."""
        values = self.floats(source)
        flat = self.view(values, (-1, self._values(values)))
        made = self.graph.cut(flat, count, axis=1, output=name)
        return self._made(made, (-1, count), ranged=False)

    def enter(self, name: str, width: int) -> str:
        """Take up a value (rows, width) that the front end made."""
        return self._made(name, (-1, width))

    def floats(self, name: str) -> str:
        """Return the value as float32."""
        return name

    def view(self, tensor: str, shape: Shape) -> str:
        """Return a tensor in another shape."""
        if self._shapes[tensor] == shape:
            return tensor
        if (tensor, shape) not in self._views:
            made = f"{tensor}.as_{'x'.join(str(side) for side in shape if side > 0)}"
            target = self.graph.constant(f"{made}.shape", np.array(shape, np.int64))
            self._views[tensor, shape] = self.graph.node("Reshape", [tensor, target], made)
            self._shapes[made] = shape
        return self._views[tensor, shape]

    def _multiply(self, source: str, matrix: Matrix, bias: Matrix, name: str) -> str:
        """``source @ matrix + bias``, a layer."""
        self.graph.ranged[source] = None
        self.graph.layers.append(name)
        return self.graph.gemm(self._row(self.floats(source), matrix), matrix, bias, name)

    def _row(self, tensor: str, matrix: Matrix) -> str:
        """Return a tensor as ``matrix`` takes it."""
        return self.view(tensor, (-1, len(matrix)))

    def _limited(self, name: str, limit: Limit) -> str:
        if limit == "none":
            return name
        if limit == "relu":
            return self.graph.node("Relu", [name], f"{name}.relu")
        ends = [self.graph.constant(end, np.array(float(end), np.float32)) for end in ("0", "1")]
        return self.graph.node("Clip", [name, *ends], f"{name}.unit")

    def _values(self, tensor: str) -> int:
        return int(np.prod([side for side in self._shapes[tensor] if side > 0]))

    def _made(self, name: str, shape: Shape, *, ranged: bool = True) -> str:
        self._shapes[name] = shape
        if ranged:
            self.graph.ranged[name] = None
        return name


POOL: dict[str, Any] = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}


def pooled_size(size: Size) -> Size:
    """Height and width after ``POOL``."""
    return (size[0] + 1) // 2, (size[1] + 1) // 2


def scaled(
    maps: str, weights: str, shape: Maps, axis: Literal[1, 2]
) -> tuple[tuple[str, Shape], tuple[str, Shape]]:
    """Return the shapes in which weights are broadcast along ``axis``."""
    pixels, channels = shape
    spread = (-1, 1, channels) if axis == 1 else (-1, pixels, 1)
    return (maps, (-1, *shape)), (weights, spread)
