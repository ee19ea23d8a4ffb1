"""Convolutions on tiny maps as dense matrices: exact, and what both training and export run on.

Most taps of a 3x3 kernel on a 2x2 map fall on padding, and every row is its own tiny product. The
same linear map written as one matrix turns a batch into one large product without the padding work.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

Size = tuple[int, int]  # height, width


def output_size(size: Size, kernel: int, stride: int, padding: int) -> Size:
    """Height and width after a convolution or pooling window."""
    height, width = ((side + 2 * padding - kernel) // stride + 1 for side in size)
    return height, width


def dense_matrix(weight: Tensor, size: Size, stride: int, padding: int) -> Tensor:
    """Return the matrix of a convolution on maps of known size, differentiable in ``weight``.

    Args:
        weight: kernel (out, in, k, k).
        size: height and width of the input map.
        stride: of the convolution, the same both ways.
        padding: zeros around the map.

    Returns:
        (in * height * width, out * height' * width'): flattened maps times this matrix are the
        flattened output maps, channels first.
    """
    outs, ins, kernel, _ = weight.shape
    taps = _taps(size, kernel, stride, padding).to(weight)
    dense = weight.reshape(outs * ins, kernel * kernel) @ taps
    pixels_in = size[0] * size[1]
    return dense.reshape(outs, ins, -1, pixels_in).permute(1, 3, 0, 2).reshape(ins * pixels_in, -1)


@lru_cache(maxsize=64)
@torch.inference_mode(mode=False)  # kept for later calls, which may train
def _taps(size: Size, kernel: int, stride: int, padding: int) -> Tensor:
    """Return which tap joins which pixels: (k * k, pixels out * pixels in), zeros and ones."""
    high, wide = output_size(size, kernel, stride, padding)
    taps = torch.zeros(kernel, kernel, high, wide, *size)
    for row in range(high):
        for column in range(wide):
            for y in range(kernel):
                for x in range(kernel):
                    source = row * stride + y - padding, column * stride + x - padding
                    if 0 <= source[0] < size[0] and 0 <= source[1] < size[1]:
                        taps[y, x, row, column, source[0], source[1]] = 1
    return taps.reshape(kernel * kernel, -1)
