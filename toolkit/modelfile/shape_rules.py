"""Infer the shapes that each operator makes of the shapes of its inputs.

Shapes are inferred for an actual number of rows, so that the memory and time that a graph needs are
known before anything of it runs; a shape that depends on the flows is refused. Runtimes differ in
how well they check shapes, so shapes that do not fit are refused here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idskit.modelfile.onnx_file import BOOL, DTYPES, FLOAT, FLOAT16, INT32, INT64, Node, Tensor
from idskit.modelfile.tree_nodes import check_trees

SPLIT_COST = 64  # multiply-adds that take the time of one split of a tree
MAX_DIVIDEND = 1 << 30
MAX_KNOWN = 1 << 16  # most values of a shape or of indices that are tracked

Shape = tuple[int, ...]
Known = NDArray[Any] | None


@dataclass(frozen=True)
class Value:
    """A value of a graph: type, shape, and its numbers where shapes may be made of them."""

    type: int
    shape: Shape
    known: Known = None
    constant: bool = False  # it is the same for all flows

    @property
    def elements(self) -> int:
        """Return how many numbers it has."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Return how much memory it takes."""
        return self.elements * DTYPES[self.type].itemsize


@dataclass(frozen=True)
class Result:
    """Outputs of a node, and its cost."""

    values: tuple[Value, ...]
    multiply_adds: int = 0
    weights: int = 0  # of a matrix product or a convolution
    scratch: int = 0  # elements of a buffer


Inputs = Sequence[Any]  # a Value each; None for an optional one that is absent
Rule = Callable[[Node, Inputs], Result]
Function = Callable[..., NDArray[Any]]


def constant_value(tensor: Tensor) -> Value:
    """Return the value of a constant of the file."""
    follows = tensor.type in (INT32, INT64, BOOL) and math.prod(tensor.shape) <= MAX_KNOWN
    return Value(tensor.type, tensor.shape, tensor.array if follows else None, constant=True)


def _one(value: Value, shape: Shape, known: Known = None, kind: int = 0, **cost: int) -> Result:
    known = known if known is not None and known.size <= MAX_KNOWN else None
    return Result((Value(kind or value.type, shape, known),), **cost)


def _need(condition: bool, words: str) -> None:
    if not condition:
        raise ValueError(words)


def _numbers(value: Any, what: str) -> tuple[int, ...]:
    """Return integers that the file fixes."""
    _need(value is not None and value.known is not None and value.known.ndim <= 1, f"{what} vary")
    return tuple(int(number) for number in np.atleast_1d(value.known))


def _axis(axis: int, rank: int) -> int:
    _need(-rank <= axis < rank, f"there is no axis {axis} among {rank}")
    return axis % rank


def _broadcast(*values: Value) -> Shape:
    made: Shape = np.broadcast_shapes(*(value.shape for value in values))
    return made


def same_rule(_: Node, inputs: Inputs) -> Result:
    """Keep the shape of the first input."""
    return _one(inputs[0], inputs[0].shape)


def identity(_: Node, inputs: Inputs) -> Result:
    """Keep the shape, and the numbers where they are known."""
    return _one(inputs[0], inputs[0].shape, inputs[0].known)


def clip(_: Node, inputs: Inputs) -> Result:
    """Keep the shape of the values that are limited by two numbers."""
    _need(all(limit.shape == () for limit in inputs[1:]), "a limit is no single number")
    return _one(inputs[0], inputs[0].shape)


def cast(node: Node, inputs: Inputs) -> Result:
    """Keep the shape, change the type."""
    kind = node.attributes["to"]
    _need(kind in DTYPES, f"type {kind} is not known")
    known = inputs[0].known
    whole = kind in (INT32, INT64, BOOL)
    known = known.astype(DTYPES[kind]) if known is not None and whole else None
    return _one(inputs[0], inputs[0].shape, known, kind)


def divide(left: NDArray[Any], right: NDArray[Any]) -> NDArray[Any]:
    """Divide integers as ONNX does, towards zero."""
    _check_division(left, right)
    quotient: NDArray[Any] = np.sign(left) * np.sign(right) * (abs(left) // abs(right))
    return quotient


def _check_division(left: NDArray[Any], right: NDArray[Any]) -> None:
    """Refuse divisions that make a processor raise a signal: by zero, and minimum by -1."""
    small = bool((np.abs(left.astype(np.float64)) < MAX_DIVIDEND).all())
    _need(bool((right != 0).all()) and small, "a number is divided by zero, or is too large")


def modulo(left: NDArray[Any], right: NDArray[Any]) -> NDArray[Any]:
    """Return the remainder of a division of integers, with the sign of the divisor."""
    _check_division(left, right)
    rest: NDArray[Any] = np.mod(left, right)
    return rest


def elementwise(function: Function | None, kind: int = 0) -> Rule:
    """Return the rule of an operator that takes values of one broadcast shape."""

    def rule(node: Node, inputs: Inputs) -> Result:
        shape, known = _broadcast(*inputs), None
        parts = [value.known for value in inputs]
        if function and all(part is not None for part in parts) and math.prod(shape) <= MAX_KNOWN:
            known = np.asarray(function(*parts))
        whole = inputs[0].type not in (FLOAT, FLOAT16)
        _need(known is not None or not (whole and node.kind in ("Div", "Mod")), "divisors vary")
        return _one(inputs[-1], shape, known, kind)

    return rule


def shape_rule(_: Node, inputs: Inputs) -> Result:
    """Turn a shape into numbers."""
    shape = inputs[0].shape
    return _one(inputs[0], (len(shape),), np.array(shape, np.int64), INT64)


def constant_rule(node: Node, _: Inputs) -> Result:
    """Return the constant that the node holds."""
    return Result((constant_value(node.attributes["value"]),))


def constant_of_shape(node: Node, inputs: Inputs) -> Result:
    """Fill a shape that the file fixes with one number."""
    shape, value = _numbers(inputs[0], "sides"), node.attributes["value"]
    _need(value.array.size == 1 and all(side > 0 for side in shape), "sides must be positive")
    follows = math.prod(shape) <= MAX_KNOWN and value.type in (INT32, INT64, BOOL)
    known = np.full(shape, value.array.ravel()[0]) if follows else None
    return _one(inputs[0], shape, known, value.type)


def gather(node: Node, inputs: Inputs) -> Result:
    """Pick along an axis by indices that the file fixes."""
    data, index = inputs
    axis = _axis(node.attributes.get("axis", 0), len(data.shape))
    side = data.shape[axis]
    _need(index.known is not None, "indices vary")
    _need(bool(((index.known >= -side) & (index.known < side)).all()), "an index is too large")
    shape = data.shape[:axis] + index.shape + data.shape[axis + 1 :]
    follows = data.known is not None and math.prod(shape) <= MAX_KNOWN
    return _one(data, shape, np.take(data.known, index.known, axis) if follows else None)


def concat(node: Node, inputs: Inputs) -> Result:
    """Concatenate parts along an axis."""
    shapes = [list(value.shape) for value in inputs]
    axis = _axis(node.attributes["axis"], len(shapes[0]))
    width = sum(shape.pop(axis) for shape in shapes)
    _need(all(shape == shapes[0] for shape in shapes), "the parts differ in another side")
    parts = [value.known for value in inputs]
    known = None if any(part is None for part in parts) else np.concatenate(parts, axis)
    return _one(inputs[0], (*shapes[0][:axis], width, *shapes[0][axis:]), known)


def slice_rule(_: Node, inputs: Inputs) -> Result:
    """Cut out a part, between ends that the file fixes."""
    data = inputs[0]
    starts, ends = _numbers(inputs[1], "starts"), _numbers(inputs[2], "ends")
    axes = _numbers(inputs[3], "axes") if len(inputs) > 3 else tuple(range(len(starts)))
    steps = _numbers(inputs[4], "steps") if len(inputs) > 4 else (1,) * len(starts)
    _need(len(starts) == len(ends) == len(axes) == len(steps), "the ends do not match")
    _need(all(steps), "a step is zero")
    cuts = [slice(None)] * len(data.shape)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        cuts[_axis(axis, len(cuts))] = slice(start, end, step)
    sides = zip(cuts, data.shape, strict=True)
    shape = tuple(len(range(*cut.indices(side))) for cut, side in sides)
    return _one(data, shape, None if data.known is None else data.known[tuple(cuts)])


def reshape(node: Node, inputs: Inputs) -> Result:
    """Give the same numbers another shape."""
    data, target = inputs[0], list(_numbers(inputs[1], "sides"))
    if not node.attributes.get("allowzero", 0):
        _need(all(side or at < len(data.shape) for at, side in enumerate(target)), "no such side")
        target = [side or data.shape[at] for at, side in enumerate(target)]
    free = [at for at, side in enumerate(target) if side == -1]
    rest = math.prod(side for side in target if side != -1)
    _need(len(free) <= 1 and rest > 0, "sides must be positive")
    for at in free:
        target[at] = data.elements // rest
    _need(math.prod(target) == data.elements, f"{data.shape} is not {tuple(target)}")
    known = None if data.known is None else data.known.reshape(target)
    return _one(data, tuple(target), known)


def squeeze(_: Node, inputs: Inputs) -> Result:
    """Drop axes of length one."""
    data = inputs[0]
    gone = {_axis(axis, len(data.shape)) for axis in _numbers(inputs[1], "axes")}
    _need(all(data.shape[axis] == 1 for axis in gone), "a side to be dropped is not 1")
    shape = tuple(side for at, side in enumerate(data.shape) if at not in gone)
    return _one(data, shape, None if data.known is None else data.known.reshape(shape))


def unsqueeze(_: Node, inputs: Inputs) -> Result:
    """Add axes of length one."""
    data, axes = inputs[0], _numbers(inputs[1], "axes")
    rank = len(data.shape) + len(axes)
    new = {_axis(axis, rank) for axis in axes}
    _need(len(new) == len(axes), "an axis is given twice")
    rest = iter(data.shape)
    shape = tuple(1 if at in new else next(rest) for at in range(rank))
    return _one(data, shape, None if data.known is None else data.known.reshape(shape))


def flatten(node: Node, inputs: Inputs) -> Result:
    """Join the axes before one axis, and those from it on."""
    shape = inputs[0].shape
    axis = node.attributes.get("axis", 1)
    _need(0 <= axis <= len(shape), f"there is no axis {axis}")
    return _one(inputs[0], (math.prod(shape[:axis]), math.prod(shape[axis:])))


def transpose(node: Node, inputs: Inputs) -> Result:
    """Reorder the axes."""
    data, order = inputs[0], node.ints("perm")
    _need(sorted(order) == list(range(len(data.shape))), "perm is no order of the axes")
    known = None if data.known is None else data.known.transpose(order)
    return _one(data, tuple(data.shape[axis] for axis in order), known)


def pad(node: Node, inputs: Inputs) -> Result:
    """Add elements around the values."""
    data, pads = inputs[0], _numbers(inputs[1], "pads")
    rank = len(data.shape)
    mode = bytes(node.attributes.get("mode", b"constant"))
    _need(mode == b"constant" and len(pads) == 2 * rank and min(pads) >= 0, "pads do not fit")
    return _one(data, tuple(s + pads[i] + pads[rank + i] for i, s in enumerate(data.shape)))


def split(node: Node, inputs: Inputs) -> Result:
    """Divide an axis into parts."""
    data, sizes = inputs[0], _numbers(inputs[1], "sizes")
    axis = _axis(node.attributes.get("axis", 0), len(data.shape))
    fits = sum(sizes) == data.shape[axis] and min(sizes) > 0 and len(sizes) == len(node.outputs)
    _need(fits, "the parts do not make up the whole")
    shapes = [(*data.shape[:axis], size, *data.shape[axis + 1 :]) for size in sizes]
    return Result(tuple(Value(data.type, shape) for shape in shapes))


def reduce(node: Node, inputs: Inputs) -> Result:
    """Reduce axes to length one, or drop them."""
    shape = inputs[0].shape
    gone = {_axis(axis, len(shape)) for axis in node.ints("axes")}
    _need(bool(gone), "no axes are given")
    kept = node.attributes.get("keepdims", 1)
    sides = [1 if at in gone else side for at, side in enumerate(shape) if kept or at not in gone]
    return _one(inputs[0], tuple(sides))


def softmax(node: Node, inputs: Inputs) -> Result:
    """Keep the shape; the axis must be there."""
    _axis(node.attributes.get("axis", -1), len(inputs[0].shape))
    return same_rule(node, inputs)


def layer_norm(node: Node, inputs: Inputs) -> Result:
    """Keep the shape; scale and shift must be those of the last axes."""
    shape = inputs[0].shape
    axis = _axis(node.attributes.get("axis", -1), len(shape))
    _need(all(value.shape == shape[axis:] for value in inputs[1:]), "scale or shift do not fit")
    return same_rule(node, inputs)


def matmul(_: Node, inputs: Inputs) -> Result:
    """Multiply matrices, or stacks of matrices."""
    left, right = (value.shape for value in inputs)
    _need(inputs[0].type in (FLOAT, FLOAT16), "the factors are no fractions")
    _need(min(len(left), len(right)) >= 2 and left[-1] == right[-2], f"{left} by {right}")
    shape = (*np.broadcast_shapes(left[:-2], right[:-2]), left[-2], right[-1])
    weights = math.prod(right)
    return _one(inputs[0], shape, multiply_adds=math.prod(shape) * left[-1], weights=weights)


def _product(left: Shape, right: Shape, bias: Any) -> Shape:
    """Return the shape of ``left @ right + bias``."""
    _need(len(left) == len(right) == 2 and left[1] == right[0], f"{left} by {right}")
    made = left[0], right[1]
    fits = bias is None or np.broadcast_shapes(bias.shape, made) == made
    _need(fits, "the bias does not fit")
    return made


def gemm(node: Node, inputs: Inputs) -> Result:
    """Multiply two matrices, each maybe transposed, and add a bias."""
    left, right = inputs[0].shape, inputs[1].shape
    left = left[::-1] if node.attributes.get("transA", 0) else left
    right = right[::-1] if node.attributes.get("transB", 0) else right
    shape = _product(left, right, inputs[2] if len(inputs) > 2 else None)
    macs, weights = math.prod(shape) * left[1], math.prod(right)
    return _one(inputs[0], shape, multiply_adds=macs, weights=weights)


def _window(node: Node, sides: Shape, kernel: Shape) -> Shape:
    """Return height and width after a kernel has moved over an image."""
    count = len(sides)
    strides = node.ints("strides", (1,) * count)
    dilations = node.ints("dilations", (1,) * count)
    pads = node.ints("pads", (0,) * 2 * count)
    _need(len(kernel) == len(strides) == len(dilations) == len(pads) // 2 == count, "axes differ")
    _need(min(*kernel, *strides, *dilations) > 0 <= min(pads), "a step or side is not positive")
    made = []
    for at, side in enumerate(sides):
        reach = dilations[at] * (kernel[at] - 1) + 1
        room = side + pads[at] + pads[count + at] - reach
        _need(room >= 0 and max(pads) < MAX_KNOWN, "the kernel is larger than the image")
        steps = -(-room // strides[at]) if node.attributes.get("ceil_mode", 0) else None
        made.append((room // strides[at] if steps is None else steps) + 1)
    return tuple(made)


def _convolution(node: Node, image: Shape, weights: Shape, bias: Any) -> tuple[Shape, int, int]:
    """Return channels and sides of the output, multiply-adds and scratch of an image."""
    group = node.attributes.get("group", 1)
    kernel, (outs, ins) = node.ints("kernel_shape"), weights[:2]
    _need(kernel == weights[2:] and group > 0 == outs % group, "kernel_shape is not the weights'")
    _need(ins * group == image[0], "the channels are not the weights'")
    _need(bias is None or bias.shape == (outs,), "the bias does not fit")
    sides = _window(node, image[1:], kernel)
    each = math.prod(sides)
    return (outs, *sides), each * math.prod(weights), each * math.prod(weights[1:]) * group


def conv(node: Node, inputs: Inputs) -> Result:
    """Move a kernel over images, channels first."""
    image, weights = inputs[0].shape, inputs[1].shape
    _need(len(image) == len(weights) == 4, "an image has four axes")
    bias = inputs[2] if len(inputs) > 2 else None
    made, macs, scratch = _convolution(node, image[1:], weights, bias)
    cost = {"multiply_adds": image[0] * macs, "weights": math.prod(weights), "scratch": scratch}
    return _one(inputs[0], (image[0], *made), **cost)


def pool(node: Node, inputs: Inputs) -> Result:
    """Move a window over images, channels first."""
    shape, kernel = inputs[0].shape, node.ints("kernel_shape")
    _need(len(shape) == 4 and _padded_less(node, kernel), "an image has four axes")
    sides = _window(node, shape[2:], kernel)
    return _one(inputs[0], (*shape[:2], *sides), scratch=math.prod(kernel))


def nhwc_pool(node: Node, inputs: Inputs) -> Result:
    """Move a window over images of bytes, channels last."""
    shape, kernel = inputs[0].shape, node.ints("kernel_shape")
    _need(len(shape) == 4 and _padded_less(node, kernel), "an image has four axes")
    sides = _window(node, shape[1:3], kernel)
    return _one(inputs[0], (shape[0], *sides, shape[3]), scratch=math.prod(kernel))


def _padded_less(node: Node, kernel: Shape) -> bool:
    """Return whether no position of a pool lies in padding alone."""
    return all(pad < side for pad, side in zip(node.ints("pads"), 2 * kernel, strict=False))


def _single(*values: Value) -> None:
    """Refuse scales and zero points that are not of a whole value."""
    _need(all(value.shape in ((), (1,)) for value in values), "a scale is no single number")


def _per_column(columns: int, *values: Value) -> None:
    """Refuse scales and zero points that are neither per column nor of all columns."""
    allowed = ((), (1,), (columns,))
    _need(all(value.shape in allowed for value in values), "scales are not those of the columns")


def quantize(_: Node, inputs: Inputs) -> Result:
    """Keep the shape; the bytes have the type of their zero point."""
    _single(*inputs[1:])
    return _one(inputs[0], inputs[0].shape, kind=inputs[2].type)


def dequantize(node: Node, inputs: Inputs) -> Result:
    """Keep the shape; there is one scale, or one per position of an axis."""
    shape = inputs[0].shape
    side = shape[_axis(node.attributes["axis"], len(shape))] if "axis" in node.attributes else 1
    _per_column(side, *inputs[1:])
    return _one(inputs[0], shape, kind=FLOAT)


def qlinear_unary(_: Node, inputs: Inputs) -> Result:
    """Keep the shape of bytes."""
    _single(*inputs[1:])
    return _one(inputs[0], inputs[0].shape)


def qlinear_binary(_: Node, inputs: Inputs) -> Result:
    """Broadcast two values of bytes."""
    left, right = inputs[0], inputs[3]
    _single(*inputs[1:3], *inputs[4:])
    return _one(left, _broadcast(left, right))


def qgemm(_: Node, inputs: Inputs) -> Result:
    """Multiply two matrices of bytes."""
    left, scale, zero, right, *of_columns, bias = inputs
    shape = _product(left.shape, right.shape, None)
    _single(scale, zero)
    _per_column(shape[1], *of_columns)
    _need(bias.shape == shape[1:], "the bias does not fit")
    macs = math.prod(shape) * left.shape[1]
    return _one(left, shape, kind=FLOAT, multiply_adds=macs, weights=math.prod(right.shape))


def qlinear_conv(node: Node, inputs: Inputs) -> Result:
    """Move a kernel over images of bytes, channels last."""
    image, scale, zero, weights, *of_columns, scale_out, zero_out, bias = inputs
    _need(node.attributes["channels_last"] == 1, "channels must be last")
    _need(len(image.shape) == len(weights.shape) == 4, "an image has four axes")
    _single(scale, zero, scale_out, zero_out)
    _per_column(weights.shape[0], *of_columns)
    rows, height, width, channels = image.shape
    turned = (channels, height, width)
    (outs, *sides), macs, scratch = _convolution(node, turned, weights.shape, bias)
    cost = {"multiply_adds": rows * macs, "weights": weights.elements, "scratch": scratch}
    return _one(image, (rows, *sides, outs), kind=zero_out.type, **cost)


def recurrent(gates: int, states: int) -> Rule:
    """Return the rule of GRU or LSTM in one direction, without lengths of sequences."""

    def rule(node: Node, inputs: Inputs) -> Result:
        series, taken, kept, bias, lengths, *first = inputs
        hidden = node.attributes["hidden_size"]
        _need(len(series.shape) == 3 and hidden > 0, "a series has three axes")
        steps, rows, width = series.shape
        wanted = (1, gates * hidden, width), (1, gates * hidden, hidden), (1, 2 * gates * hidden)
        _need((taken.shape, kept.shape, bias.shape) == wanted, "the weights do not fit")
        fits = all(value is None or value.shape == (1, rows, hidden) for value in first)
        _need(lengths is None and fits, "the first state does not fit")
        last = Value(series.type, (1, rows, hidden))
        values = (Value(series.type, (steps, 1, rows, hidden)), *[last] * states)
        return Result(values, steps * rows * gates * hidden * (width + hidden))

    return rule


def trees(node: Node, inputs: Inputs) -> Result:
    """Return one number per row and class."""
    rows, columns = inputs[0].shape
    work = rows * check_trees(node, columns) * SPLIT_COST
    return _one(inputs[0], (rows, node.attributes["n_targets"]), multiply_adds=work)
