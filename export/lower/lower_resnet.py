"""The body of a network on an image, as operations of ``idskit.export.lower.arithmetic``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from idskit.export.lower.arithmetic import Affine, Floats
from idskit.export.lower.weights import convolution_of, dense_of, numpy_of, pixels_of
from idskit.models.resnet import (
    BasicBlock,
    ChannelAttention,
    ResNet18,
    Shortcut,
    SpatialAttention,
    SqueezeAttention,
)

Matrix = NDArray[np.float64]
# onnxruntime's convolution of bytes is a quarter faster where a row has a multiple of these.
IMAGE_COLUMNS = 4


def padded_columns(width: int) -> int:
    """Return how many columns the image of a body has: a multiple of ``IMAGE_COLUMNS``."""
    return -(-width // IMAGE_COLUMNS) * IMAGE_COLUMNS


def lower_resnet(ops: Floats, body: ResNet18, temperature: Tensor, image: str) -> str:
    """Return logits of an image (rows, height * width), divided by the temperature."""
    maps = _stages(ops, body, image)
    return _classifier(ops, body, temperature, maps)


def _stages(ops: Floats, body: ResNet18, image: str) -> str:
    """Stem, pool and blocks: the maps of the last block."""
    stem = convolution_of(body.conv1, body.bn1, columns=padded_columns(body.conv1.size[1]))
    maps = ops.pooled_product(image, stem, body.conv1.out_size, "stem")
    for index, block in enumerate(body.basic_blocks):
        maps = _block(ops, f"block{index}", block, maps)
    return maps


def _block(ops: Floats, name: str, block: BasicBlock, maps: str) -> str:
    inner = ops.product(maps, convolution_of(block.conv1, block.bn1), f"{name}.conv1", limit="relu")
    out = ops.product(inner, convolution_of(block.conv2, block.bn2), f"{name}.conv2")
    shape = pixels_of(block.out_size), block.conv2.out_channels
    if block.channel is not None:
        out = _channel_attention(ops, f"{name}.channel", block.channel, out, shape)
    if block.spatial is not None:
        out = _spatial_attention(ops, f"{name}.spatial", block.spatial, out, shape)
    if block.squeeze is not None:
        out = _squeeze_attention(ops, f"{name}.squeeze", block.squeeze, out, shape)
    if block.shortcut is not None:
        maps = _shortcut(ops, f"{name}.shortcut", block.shortcut, maps)
    return ops.sum(out, maps, f"{name}.sum")


def _shortcut(ops: Floats, name: str, shortcut: Shortcut, maps: str) -> str:
    """Return a 1x1 convolution with stride; if one pixel is left, it reads only the first."""
    affine = convolution_of(shortcut.conv, shortcut.bn)
    channels = shortcut.conv.in_channels
    if shortcut.conv.out_size == (1, 1) and shortcut.conv.size != (1, 1):
        maps = ops.head(maps, channels, f"{name}.pixel")
        affine = Affine(matrix=affine.matrix[:channels], bias=affine.bias)
    return ops.product(maps, affine, name)


def _channel_attention(
    ops: Floats, name: str, attention: ChannelAttention, maps: str, shape: tuple[int, int]
) -> str:
    """Scale by weights from each channel's mean and maximum; on one pixel both are the map.

    The mean is linear, so it is part of the squeeze's matrix, which takes maps and maxima side by
    side and gives both hidden layers.
    """
    pixels = shape[0]
    squeeze, excite = numpy_of(attention.squeeze.weight).T, numpy_of(attention.excite.weight).T
    summary, matrix = maps, 2 * squeeze
    if pixels > 1:
        peak = ops.peak(maps, shape, 1, f"{name}.max")
        summary = ops.join(maps, peak, f"{name}.summary")
        matrix = block_diagonal(np.tile(squeeze, (pixels, 1)) / pixels, squeeze)
        excite = np.concatenate([excite, excite])
    hidden = ops.product(summary, _linear(matrix), f"{name}.squeeze", limit="relu")
    logits = ops.product(hidden, _linear(excite), f"{name}.excite")
    weights = ops.gate(logits, f"{name}.weights")
    return ops.scale(maps, weights, shape, 1, f"{name}.scaled")


def _spatial_attention(
    ops: Floats, name: str, attention: SpatialAttention, maps: str, shape: tuple[int, int]
) -> str:
    """Scale by weights from each pixel's mean and maximum over the channels: one matrix."""
    pixels, channels = shape
    kernel = numpy_of(dense_of(attention.convolution))  # (2 * pixels, pixels): means, then maxima
    mean = np.repeat(kernel[:pixels], channels, axis=0) / channels
    peak = ops.peak(maps, shape, 2, f"{name}.max")
    summary = ops.join(maps, peak, f"{name}.summary")
    matrix = np.concatenate([mean, kernel[pixels:]])
    logits = ops.product(summary, _linear(matrix), f"{name}.logits")
    weights = ops.gate(logits, f"{name}.weights")
    return ops.scale(maps, weights, shape, 2, f"{name}.scaled")


def _squeeze_attention(
    ops: Floats, name: str, attention: SqueezeAttention, maps: str, shape: tuple[int, int]
) -> str:
    """Scale by weights from each channel's mean: the hard sigmoid is a product with two limits."""
    pixels = shape[0]
    mean = np.tile(numpy_of(attention.squeeze.weight).T, (pixels, 1)) / pixels
    squeeze = Affine(matrix=mean, bias=numpy_of(attention.squeeze.bias))
    hidden = ops.product(maps, squeeze, f"{name}.hidden", limit="relu")
    slope, offset = 1 / 6, 1 / 2  # of torch's hard sigmoid
    bias = numpy_of(attention.excite.bias) * slope + offset
    excite = Affine(matrix=numpy_of(attention.excite.weight).T * slope, bias=bias)
    weights = ops.product(hidden, excite, f"{name}.excite", limit="unit")
    return ops.scale(maps, weights, shape, 1, f"{name}.scaled")


def block_diagonal(first: Matrix, second: Matrix) -> Matrix:
    """Two matrices as one that takes the inputs of both and gives the outputs of both."""
    return np.block(
        [
            [first, np.zeros((len(first), second.shape[1]))],
            [np.zeros((len(second), first.shape[1])), second],
        ]
    )


def _linear(matrix: Matrix) -> Affine:
    return Affine(matrix=matrix, bias=np.zeros(matrix.shape[1]))


def _classifier(ops: Floats, body: ResNet18, temperature: Tensor, maps: str) -> str:
    """Mean over pixels, classifier and temperature as one matrix."""
    pixels = pixels_of(body.basic_blocks[-1].out_size)
    weight = numpy_of(body.classifier.weight).T / float(temperature)  # (channels, classes)
    matrix = np.tile(weight, (pixels, 1)) / pixels
    bias = numpy_of(body.classifier.bias) / float(temperature)
    return ops.product(maps, Affine(matrix=matrix, bias=bias), "logits", last=True)
