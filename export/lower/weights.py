"""Trained weights as matrices of float64: batch norms, and convolutions on maps channels last."""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from idskit.export.lower.arithmetic import Affine, Rows
from idskit.models.lowering import Size, dense_matrix
from idskit.models.resnet import SmallConv2d

Matrix = NDArray[np.float64]
# A convolution runs by rows where its kernel is at most this high for the map's rows: otherwise the
# dense matrix, which has no padding, is not larger. Measured at 16 to 64 channels (README.md).
MOST_ROWS = 0.8


def numpy_of(tensor: Tensor) -> Matrix:
    """Return a tensor in float64."""
    return tensor.detach().double().numpy()


def scale_and_shift(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> tuple[Matrix, Matrix]:
    """Scale and shift of a batch norm in evaluation."""
    mean, variance = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
    scale = 1 / np.sqrt(numpy_of(variance) + norm.eps)
    if norm.affine:
        scale = scale * numpy_of(norm.weight)
    shift = -numpy_of(mean) * scale
    return scale, shift + (numpy_of(norm.bias) if norm.affine else 0)


def convolution_of(
    convolution: SmallConv2d, norm: nn.BatchNorm2d, *, columns: int | None = None
) -> Affine:
    """Return a convolution and its batch norm, by rows where that leaves out enough padding.

    ``columns`` is the width of the map where unused ones were added at its right.
    """
    more = (columns or convolution.size[1]) - convolution.size[1]
    scale, shift = scale_and_shift(norm)
    pixels = pixels_of(convolution.out_size)
    height, kernel = convolution.size[0], int(convolution.kernel_size[0])
    stride, padding = int(convolution.stride[0]), int(convolution.padding[0])
    rows = None
    if kernel <= MOST_ROWS * height:
        weight = numpy_of(convolution.weight) * scale[:, None, None, None]
        folded = _widened(_row_kernel(weight, convolution), convolution, more, axis=1)
        rows = Rows(kernel=folded, height=height, stride=stride, padding=padding)
    matrix = _widened(_channels_last(convolution), convolution, more, axis=0)
    matrix = matrix * np.tile(scale, pixels)
    return Affine(matrix=matrix, bias=np.tile(shift, pixels), rows=rows)


def _widened(matrix: Matrix, convolution: SmallConv2d, more: int, axis: int) -> Matrix:
    """Return zeros for ``more`` columns at the right of every row of the map along ``axis``."""
    row = convolution.size[1] * convolution.in_channels
    split = matrix.reshape(*matrix.shape[:axis], -1, row, *matrix.shape[axis + 1 :])
    pads = [(0, 0)] * split.ndim
    pads[axis + 1] = (0, more * convolution.in_channels)
    return np.pad(split, pads).reshape(*matrix.shape[:axis], -1, *matrix.shape[axis + 1 :])


def _channels_last(convolution: SmallConv2d) -> Matrix:
    """Return the dense matrix of a convolution on maps flattened channels last."""
    ins, outs = convolution.in_channels, convolution.out_channels
    matrix = numpy_of(dense_of(convolution)).reshape(ins, -1, outs, pixels_of(convolution.out_size))
    return matrix.transpose(1, 0, 3, 2).reshape(matrix.shape[0] * matrix.shape[1], -1)


def _row_kernel(weight: Matrix, convolution: SmallConv2d) -> Matrix:
    """Kernel (height, width * in, width' * out) of the convolution as one over rows."""
    outs, ins, kernel, _ = weight.shape
    width, wide = convolution.size[1], convolution.out_size[1]
    stride, padding = int(convolution.stride[1]), int(convolution.padding[1])
    folded = np.zeros((kernel, width, ins, wide, outs))
    for column in range(wide):
        for tap in range(kernel):
            source = column * stride + tap - padding
            if 0 <= source < width:
                folded[:, source, :, column] = weight[:, :, :, tap].transpose(2, 1, 0)
    return folded.reshape(kernel, width * ins, wide * outs)


def dense_of(convolution: SmallConv2d) -> Tensor:
    """Return the dense matrix of a convolution on maps flattened channels first."""
    stride, padding = int(convolution.stride[0]), int(convolution.padding[0])
    return dense_matrix(convolution.weight.double(), convolution.size, stride, padding)


def pixels_of(size: Size) -> int:
    """Return how many pixels a map has."""
    return size[0] * size[1]
