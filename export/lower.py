"""The trained network as an ONNX graph: everything linear merged, every convolution one matrix.

    flows ─ sign·log1p, clip ─ Gemm ─ square ─ Gemm ─ Log ─ Gemm ─ pool ─ blocks ─ Gemm ─ Softmax

    first Gemm   scaling and category codes, window, DFT
    second       mel filter bank
    third        DCT, principal components, standardisation, stem convolution, batch norm
    last         mean over pixels, classifier, temperature

A convolution on maps of a few pixels is one dense matrix without the padding's work
(idskit.models.lowering), so a batch of flows becomes one large product. Matrices are composed in
float64 and stored as float32. Maps are flattened channels first, as torch flattens them.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from idskit.detect.model_file import INPUT, OUTPUT
from idskit.errors import RunError
from idskit.export.graph import Graph
from idskit.export.trees import average
from idskit.models.frontend import POWER_FLOOR, LearnableMFCC
from idskit.models.lowering import Size, dense_matrix
from idskit.models.network import Network
from idskit.models.novelty import ERROR_FLOOR, Autoencoder
from idskit.models.preparation import Preparation
from idskit.models.resnet import (
    BasicBlock,
    ChannelAttention,
    ResNet18,
    SmallConv2d,
    SpatialAttention,
)

Matrix = NDArray[np.float64]
FAR = 1000.0  # spreads between zero and the centre of a column
MANY = 3  # times as many prepared values as places in the signal


@torch.no_grad()
def lower(network: Network) -> Graph:
    """Build the fp32 graph of a trained network: raw flows in, calibrated probabilities out.

    Raises:
        RunError: the network or its front end is one that this module does not know.
    """
    _require_known(network)
    body = network.body
    graph = Graph(network.preparation.columns, body.classifier.out_features)
    values, matrix, bias = _preparation(graph, network.preparation)
    log_mel = _log_mel(graph, network.frontend, values, matrix, bias)
    maps = _stem(graph, network.frontend, body, log_mel)
    for index, block in enumerate(body.basic_blocks):
        maps = _block(graph, f"block{index}", block, maps)
    logits = _classifier(graph, body, network.temperature, maps)
    if network.trees is not None:
        logits = average(graph, network.trees, logits)
    if network.novelty is not None:
        logits = _novelty(graph, network.novelty, (values, matrix, bias), logits)
    graph.node("Softmax", [logits], OUTPUT, axis=1)
    return graph


def _require_known(network: Network) -> None:
    known = isinstance(network.body, ResNet18) and isinstance(network.frontend, LearnableMFCC)
    if not known:
        asked = network.settings
        raise RunError(
            f"the run's network is {asked.model} on {network.frontend.__class__.__name__}, but "
            "only resnet18 on mfcc is exported: train with --model resnet18 --frontend mfcc"
        )


def _numpy(tensor: Tensor) -> Matrix:
    return tensor.detach().double().numpy()


def _preparation(graph: Graph, preparation: Preparation) -> tuple[str, Matrix, Matrix]:
    """Elementwise half of the preparation, and the (values, length) matrix and bias that remain.

    Centring and scaling go into the matrix, limits being moved to the unscaled values instead,
    where that cancels nothing; a matrix of many more rows than columns (quantiles) stays apart.
    """
    columns = preparation.number_column.numpy()
    source = INPUT
    if not np.array_equal(columns, np.arange(preparation.columns)):
        index = graph.constant("numbers.columns", columns)
        source = graph.node("Gather", [INPUT, index], "numbers", axis=1)
    if preparation.logarithm:
        one = graph.constant("one", np.ones(1))
        size = graph.node("Abs", [source], "size")
        logarithm = graph.node("Log", [graph.node("Add", [size, one], "size_plus_1")], "log1p")
        sign = graph.node("Sign", [source], "sign")
        source = graph.node("Mul", [sign, logarithm], "signed_log1p")
    source, scale, shift = _scaling(graph, preparation, source)
    low = graph.constant("low", (_numpy(preparation.low) - shift) / scale)
    high = graph.constant("high", (_numpy(preparation.high) - shift) / scale)
    values = graph.node("Min", [graph.node("Max", [source, low], "above"), high], "clipped")
    placement = _numpy(preparation.placement)
    bias = shift @ placement[: len(shift)]
    if preparation.time_index:
        bias = bias + _numpy(preparation.times())
    placement[: len(scale)] *= scale[:, None]
    if len(preparation.indicator_column):
        index = graph.constant("codes.columns", preparation.indicator_column.numpy())
        codes = graph.constant("codes.values", _numpy(preparation.indicator_code))
        found = graph.node("Gather", [INPUT, index], "codes", axis=1)
        equal = graph.node("Equal", [found, codes], "code_found")
        indicators = graph.node("Cast", [equal], "indicators", to=1)
        values = graph.node("Concat", [values, indicators], "prepared", axis=1)
    if len(placement) < MANY * placement.shape[1]:
        return values, placement, bias
    signals = graph.gemm(values, placement, bias, "signals")
    return signals, np.eye(placement.shape[1]), np.zeros(placement.shape[1])


def _scaling(graph: Graph, preparation: Preparation, source: str) -> tuple[str, Matrix, Matrix]:
    """The numbers, and the scale and shift that they still lack.

    Far from zero, in units of what is left after centring, float32 would lose it in the product: so
    it is centred and scaled here, by the same two operations as in torch.
    """
    center, scale = preparation.center, preparation.scale
    shift = -_numpy(center) * _numpy(scale)
    if np.abs(shift).max(initial=0) < FAR:
        return source, _numpy(scale), shift
    centred = graph.node("Sub", [source, graph.constant("center", center.numpy())], "centred")
    scaled = graph.node("Mul", [centred, graph.constant("scale", scale.numpy())], "scaled")
    return scaled, np.ones(len(scale)), np.zeros(len(scale))


def _log_mel(
    graph: Graph, frontend: LearnableMFCC, values: str, placement: Matrix, bias: Matrix
) -> str:
    """Window and DFT as one matrix with the preparation's, power, mel bank, logarithm."""
    framing = frontend.framed(torch.eye(frontend.length)).double()
    dft = frontend.windowed_dft().double()
    spectrum_map = _numpy((framing @ dft).flatten(1))  # (length, frames * 2 * bins)
    spectrum = graph.gemm(values, placement @ spectrum_map, bias @ spectrum_map, "spectrum")
    squares = graph.node("Mul", [spectrum, spectrum], "squares")
    frames = graph.reshape(squares, (dft.shape[1],), "frames")  # (rows * frames, 2 * bins)
    bank = _numpy(frontend.filter_bank())
    floor = np.full(bank.shape[1], POWER_FLOOR)
    mel = graph.gemm(frames, np.concatenate([bank, bank]), floor, "mel")
    log_mel = graph.node("Log", [mel], "log_mel")
    frames_each = frontend.channels * frontend.frames
    return graph.reshape(log_mel, (frames_each * bank.shape[1],), "log_mel_flat")


def _stem(graph: Graph, frontend: LearnableMFCC, body: ResNet18, log_mel: str) -> str:
    """DCT, standardisation, stem convolution and batch norm as one matrix; max-pool and Relu."""
    dct = _numpy(frontend.cepstrum_map())  # (mels, coefficients)
    frames = np.eye(frontend.frames)
    cepstrum = np.einsum("mc,ts->tmcs", dct, frames).reshape(len(dct) * frontend.frames, -1)
    cepstrum = np.kron(np.eye(frontend.channels), cepstrum)  # each channel's frames and image
    scale, shift = _affine(frontend.standardise)
    matrix, bias = _convolution(body.conv1, body.bn1)
    bias = bias + shift @ matrix
    stem = _product(graph, log_mel, ((cepstrum * scale) @ matrix, bias), "stem")
    channels, (height, width) = body.conv1.out_channels, body.conv1.out_size
    image = graph.reshape(stem, (channels, height, width), "stem_maps")
    pool = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
    # Relu after the pool: the same values, on a third of them, and the product stays free to fuse.
    pooled = graph.node("Relu", [graph.node("MaxPool", [image], "pooled", **pool)], "pooled_relu")
    first = body.basic_blocks[0]
    return graph.reshape(pooled, (channels * _pixels(first.conv1.size),), "pooled_flat")


def _block(graph: Graph, name: str, block: BasicBlock, maps: str) -> str:
    inner = _product(graph, maps, _convolution(block.conv1, block.bn1), f"{name}.conv1")
    inner = _relu(graph, inner)
    out = _product(graph, inner, _convolution(block.conv2, block.bn2), f"{name}.conv2")
    channels, pixels = block.conv2.out_channels, _pixels(block.out_size)
    if block.channel is not None:
        out = _channel_attention(graph, f"{name}.channel", block.channel, out, pixels)
    if block.spatial is not None:
        out = _spatial_attention(graph, f"{name}.spatial", block.spatial, out, channels)
    if block.shortcut is not None:
        shortcut = _convolution(block.shortcut.conv, block.shortcut.bn)
        maps = _product(graph, maps, shortcut, f"{name}.shortcut")
    return graph.node("Relu", [graph.node("Add", [out, maps], f"{name}.sum")], f"{name}.out")


def _channel_attention(
    graph: Graph, name: str, attention: ChannelAttention, maps: str, pixels: int
) -> str:
    """Scale by weights from each channel's mean and maximum; on one pixel both are the map.

    The mean is linear, so it is part of the squeeze's matrix; the excitation gives every pixel its
    channel's weight, because a product of equal shapes is far faster than a broadcast one.
    """
    squeeze, excite = _numpy(attention.squeeze.weight).T, _numpy(attention.excite.weight).T
    if pixels == 1:
        hidden = _relu(graph, graph.gemm(maps, 2 * squeeze, None, f"{name}.squeeze"))
    else:
        channels = len(squeeze)
        mean = np.repeat(squeeze, pixels, axis=0) / pixels
        folded = graph.reshape(maps, (channels, pixels), f"{name}.maps")
        peak = graph.node("ReduceMax", [folded], f"{name}.max", axes=[2], keepdims=0)
        branches = [
            _relu(graph, graph.gemm(maps, mean, None, f"{name}.squeeze_mean")),
            _relu(graph, graph.gemm(peak, squeeze, None, f"{name}.squeeze_max")),
        ]
        hidden = graph.node("Add", branches, f"{name}.hidden")
    spread = np.repeat(excite, pixels, axis=1)
    logits = graph.gemm(hidden, spread, None, f"{name}.excite")
    return _scale(graph, name, maps, logits)


def _spatial_attention(
    graph: Graph, name: str, attention: SpatialAttention, maps: str, channels: int
) -> str:
    """Scale by weights from each pixel's mean and maximum over the channels."""
    pixels = _pixels(attention.convolution.size)
    kernel = _numpy(_dense(attention.convolution))  # (2 * pixels, pixels): means, then maxima
    of_mean, of_max = kernel[:pixels], kernel[pixels:]
    if pixels == 1:
        mean = graph.node("ReduceMean", [maps], f"{name}.mean", axes=[1], keepdims=1)
        peak = graph.node("ReduceMax", [maps], f"{name}.max", axes=[1], keepdims=1)
        summary = graph.node("Concat", [mean, peak], f"{name}.summary", axis=1)
        logits = graph.gemm(summary, np.repeat(kernel, channels, axis=1), None, f"{name}.logits")
        return _scale(graph, name, maps, logits)
    folded = graph.reshape(maps, (channels, pixels), f"{name}.maps")
    peak = graph.node("ReduceMax", [folded], f"{name}.max", axes=[1], keepdims=0)
    mean = graph.gemm(maps, np.tile(of_mean, (channels, 1)) / channels, None, f"{name}.of_mean")
    tap = graph.constant(f"{name}.of_max", of_max)
    logits = graph.node("Gemm", [peak, tap, mean], f"{name}.pixels")
    spread = np.tile(np.eye(pixels), (1, channels))  # every channel gets its pixel's weight
    return _scale(graph, name, maps, graph.gemm(logits, spread, None, f"{name}.logits"))


def _relu(graph: Graph, source: str) -> str:
    return graph.node("Relu", [source], f"{source}.relu")


def _scale(graph: Graph, name: str, maps: str, logits: str) -> str:
    """Multiply maps by sigmoid(logits), both (rows, channels * pixels)."""
    weights = graph.node("Sigmoid", [logits], f"{name}.weights")
    return graph.node("Mul", [maps, weights], f"{name}.scaled")


def _classifier(graph: Graph, body: ResNet18, temperature: Tensor, maps: str) -> str:
    """Mean over pixels, classifier and temperature as one matrix."""
    last = body.basic_blocks[-1]
    pixels = _pixels(last.out_size)
    weight = _numpy(body.classifier.weight).T / float(temperature)  # (channels, classes)
    matrix = np.repeat(weight, pixels, axis=0) / pixels
    return graph.gemm(maps, matrix, _numpy(body.classifier.bias) / float(temperature), "logits")


def _novelty(
    graph: Graph, novelty: Autoencoder, prepared: tuple[str, Matrix, Matrix], logits: str
) -> str:
    """Add the logarithm of the autoencoder's error to the logit of every attack."""
    values, matrix, bias = prepared
    scale, center = _numpy(novelty.scale), _numpy(novelty.center)
    standard = graph.gemm(values, matrix * scale, (bias - center) * scale, "novelty.standard")
    rebuilt = standard
    for layer in ("encoder", "code", "decoder", "output"):
        linear: nn.Linear = getattr(novelty, layer)
        weight, shift = _numpy(linear.weight).T, _numpy(linear.bias)
        rebuilt = graph.gemm(rebuilt, weight, shift, f"novelty.{layer}")
        rebuilt = rebuilt if layer == "output" else _relu(graph, rebuilt)
    difference = graph.node("Sub", [rebuilt, standard], "novelty.difference")
    squares = graph.node("Mul", [difference, difference], "novelty.squares")
    mean = np.full((len(scale), 1), 1 / len(scale))
    error = graph.gemm(squares, mean, np.full(1, ERROR_FLOOR), "novelty.error")
    attack = np.arange(graph.classes) > 0
    spread, offset = attack[None].astype(np.float64), attack * float(novelty.offset)
    log_odds = graph.gemm(graph.node("Log", [error], "novelty.log"), spread, offset, "novelty.odds")
    return graph.node("Add", [logits, log_odds], "logits_with_novelty")


def _product(graph: Graph, source: str, affine: tuple[Matrix, Matrix], name: str) -> str:
    """A lowered convolution: the products that quantisation considers."""
    graph.convolutions.add(name)
    return graph.gemm(source, *affine, name)


def _convolution(convolution: SmallConv2d, norm: nn.BatchNorm2d) -> tuple[Matrix, Matrix]:
    """Dense matrix and bias of a convolution followed by its batch norm."""
    scale, shift = _affine(norm)
    pixels = _pixels(convolution.out_size)
    return _numpy(_dense(convolution)) * np.repeat(scale, pixels), np.repeat(shift, pixels)


def _dense(convolution: SmallConv2d) -> Tensor:
    stride, padding = int(convolution.stride[0]), int(convolution.padding[0])
    return dense_matrix(convolution.weight.double(), convolution.size, stride, padding)


def _affine(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> tuple[Matrix, Matrix]:
    """Scale and shift of a batch norm in evaluation."""
    mean, variance = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
    scale = 1 / np.sqrt(_numpy(variance) + norm.eps)
    if norm.affine:
        scale = scale * _numpy(norm.weight)
    shift = -_numpy(mean) * scale
    return scale, shift + (_numpy(norm.bias) if norm.affine else 0)


def _pixels(size: Size) -> int:
    return size[0] * size[1]
