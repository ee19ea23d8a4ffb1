"""The trained network as an ONNX graph: everything linear merged, every convolution one matrix.

    flows ─ sign·log1p, clip ─ Gemm ─ square ─ Gemm ─ Log ─ Gemm ─ body ─ Gemm ─ Softmax

    first Gemm   scaling and category codes, window, DFT
    second       mel filter bank
    third        DCT, standardisation
    body         ``idskit.export.body``
    last         mean over pixels, classifier, temperature

A convolution on maps of a few pixels is one dense matrix without the padding's work
(idskit.models.lowering), so a batch of flows becomes one large product. Matrices are composed in
float64 and stored as float32.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from idskit.detect.model_file import INPUT, OUTPUT
from idskit.errors import RunError
from idskit.export.arithmetic import Affine, Floats
from idskit.export.body import lower_resnet, padded_columns
from idskit.export.graph import Graph
from idskit.export.weights import numpy_of as _numpy
from idskit.export.weights import scale_and_shift as _affine
from idskit.models.frontend import POWER_FLOOR, LearnableMFCC
from idskit.models.lowering import Size
from idskit.models.network import Network
from idskit.models.novelty import ERROR_FLOOR, Autoencoder
from idskit.models.preparation import Preparation
from idskit.models.resnet import ResNet18

Matrix = NDArray[np.float64]


@torch.no_grad()
def lower(network: Network, arithmetic: Callable[[Graph], Floats] = Floats) -> Graph:
    """Build the graph of a trained network: raw flows in, calibrated probabilities out.

    ``arithmetic`` chooses what the body is computed in; everything else is float32.

    Raises:
        RunError: the network or its front end is one that this module does not know.
    """
    _require_known(network)
    body = network.body
    graph = Graph(network.preparation.columns, body.classifier.out_features)
    ops = arithmetic(graph)
    values, matrix, bias = _preparation(graph, network.preparation)
    log_mel = _log_mel(ops, network.frontend, values, matrix, bias)
    image = _image(ops, network.frontend, log_mel)
    logits = lower_resnet(ops, body, network.temperature, image)
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


def _preparation(graph: Graph, preparation: Preparation) -> tuple[str, Matrix, Matrix]:
    """Elementwise half of the preparation, and the (values, length) matrix and bias that remain.

    Centring and scaling go into the matrix: limits are moved to the unscaled values instead.
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
    center, scale = _numpy(preparation.center), _numpy(preparation.scale)
    low = graph.constant("low", center + _numpy(preparation.low) / scale)
    high = graph.constant("high", center + _numpy(preparation.high) / scale)
    values = graph.node("Min", [graph.node("Max", [source, low], "above"), high], "clipped")
    placement = _numpy(preparation.placement)
    bias = -(center * scale) @ placement[: len(center)]
    placement[: len(center)] *= scale[:, None]
    if len(preparation.indicator_column):
        index = graph.constant("codes.columns", preparation.indicator_column.numpy())
        codes = graph.constant("codes.values", _numpy(preparation.indicator_code))
        found = graph.node("Gather", [INPUT, index], "codes", axis=1)
        equal = graph.node("Equal", [found, codes], "code_found")
        indicators = graph.node("Cast", [equal], "indicators", to=1)
        values = graph.node("Concat", [values, indicators], "prepared", axis=1)
    return values, placement, bias


def _log_mel(
    ops: Floats, frontend: LearnableMFCC, values: str, placement: Matrix, bias: Matrix
) -> str:
    """Window and DFT as one matrix with the preparation's, power, mel bank, logarithm."""
    graph = ops.graph
    framing = frontend.framed(torch.eye(frontend.length)).double()
    dft = frontend.windowed_dft().double()
    spectrum_map = _numpy((framing @ dft).flatten(1))  # (length, frames * 2 * bins)
    affine = Affine(matrix=placement @ spectrum_map, bias=bias @ spectrum_map)
    spectrum = ops.product(ops.enter(values, len(placement)), affine, "spectrum", last=True)
    squares = graph.node("Mul", [spectrum, spectrum], "squares")
    frames = graph.reshape(squares, (dft.shape[1],), "frames")  # (rows * frames, 2 * bins)
    bank = _numpy(frontend.filter_bank())
    floor = np.full(bank.shape[1], POWER_FLOOR)
    mel = graph.gemm(frames, np.concatenate([bank, bank]), floor, "mel")
    log_mel = graph.node("Log", [mel], "log_mel")
    width = frontend.frames * bank.shape[1]
    return ops.enter(graph.reshape(log_mel, (width,), "log_mel_flat"), width)


def _image(ops: Floats, frontend: LearnableMFCC, log_mel: str) -> str:
    """DCT and standardisation as one matrix: the image, row by row."""
    dct = _numpy(frontend.dct)  # (mels, coefficients)
    frames = np.eye(frontend.frames)
    cepstrum = np.einsum("mc,ts->tmcs", dct, frames).reshape(len(dct) * frontend.frames, -1)
    scale, shift = _affine(frontend.standardise)
    return _padded_image(ops, log_mel, (cepstrum * scale, shift), frontend.size)


def _padded_image(ops: Floats, source: str, affine: tuple[Matrix, Matrix], size: Size) -> str:
    """An affine map to an image (rows, height * width), its width filled up with zeros."""
    more = padded_columns(size[1]) - size[1]
    matrix, bias = (
        np.pad(part.reshape(*part.shape[:-1], *size), [(0, 0)] * part.ndim + [(0, more)])
        for part in affine
    )
    padded = Affine(matrix=matrix.reshape(len(matrix), -1), bias=bias.ravel())
    return ops.product(source, padded, "image")


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
        rebuilt = rebuilt if layer == "output" else graph.node("Relu", [rebuilt], f"{rebuilt}.relu")
    difference = graph.node("Sub", [rebuilt, standard], "novelty.difference")
    squares = graph.node("Mul", [difference, difference], "novelty.squares")
    mean = np.full((len(scale), 1), 1 / len(scale))
    error = graph.gemm(squares, mean, np.full(1, ERROR_FLOOR), "novelty.error")
    attack = np.arange(graph.classes) > 0
    spread, offset = attack[None].astype(np.float64), attack * float(novelty.offset)
    log_odds = graph.gemm(graph.node("Log", [error], "novelty.log"), spread, offset, "novelty.odds")
    return graph.node("Add", [logits, log_odds], "logits_with_novelty")
