"""The trained network as an ONNX graph: everything linear merged, every convolution one matrix.

    flows ─ sign·log1p, clip ─ Gemm ─ Conv ─ square ─ Conv ─ Log ─ Gemm ─ body ─ Gemm ─ Softmax

    first Gemm    scaling and category codes: the signal; two elementwise nodes where that is all
    first Conv    framing, window, DFT
    second        mel filter bank
    second Gemm   DCT, principal components, standardisation
    body          ``idskit.export.lower.lower_resnet``
    last          mean over pixels, classifier, temperature

A convolution on maps of a few pixels is one dense matrix without the padding's work
(idskit.models.lowering), so a batch of flows becomes one large product. Matrices are composed in
float64 and stored as float32.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from idskit.errors import RunError
from idskit.export.lower.arithmetic import Floats
from idskit.export.lower.graph_parts import Graph
from idskit.export.lower.lower_novelty import join_novelty
from idskit.export.lower.lower_resnet import lower_resnet, padded_columns
from idskit.export.lower.lower_trees import join_trees
from idskit.export.lower.torch_export import torch_body
from idskit.export.lower.weights import numpy_of as _numpy
from idskit.export.lower.weights import scale_and_shift as _affine
from idskit.modelfile.model_file import INPUT, OUTPUT
from idskit.models.frontend import POWER_FLOOR, LearnableMFCC, Spectrogram
from idskit.models.lowering import Size
from idskit.models.members.autoencoder import Autoencoder
from idskit.models.members.trees import Trees
from idskit.models.network import Network
from idskit.models.preparation import Preparation
from idskit.models.resnet import ResNet18
from idskit.models.spectral import ENERGY_FLOOR, PCEN, LogPower, Row

Matrix = NDArray[np.float64]
FAR = 1000.0  # spreads between zero and the centre of a column


@torch.no_grad()
def lower(network: Network, arithmetic: Callable[[Graph], Floats] = Floats) -> Graph:
    """Build the graph of a trained network: raw flows in, calibrated probabilities out.

    ``arithmetic`` chooses what is computed in float32 and what in bytes. A body other than
    ResNet-18 is taken over operator by operator, as torch exports it.

    Raises:
        RunError: the front end is one that this module does not know.
    """
    body = network.body
    graph = Graph(network.preparation.columns, body.classifier.out_features)
    ops = arithmetic(graph)
    signals = _preparation(graph, network.preparation)
    image = _image(graph, network, signals)
    height, width = network.frontend.size
    ops.enter(image, height * padded_columns(width))
    if isinstance(body, ResNet18):
        logits = lower_resnet(ops, body, network.temperature, image)
    else:
        logits = torch_body(ops, body, network.temperature, image, network.frontend.size)
    for member in network.others():
        logits = _joined(graph, member, logits, signals)
    graph.node("Softmax", [logits], OUTPUT, axis=1)
    return graph


def _joined(graph: Graph, member: Trees | Autoencoder, logits: str, signals: str) -> str:
    """Return log-odds of the members before and of this one."""
    if isinstance(member, Trees):
        return join_trees(graph, member, logits)
    return join_novelty(graph, member, logits, signals)


def _preparation(graph: Graph, preparation: Preparation) -> str:
    """Return signals (rows, length) of raw flows.

    Centring and scaling go into the matrix that puts values in their places, limits being moved to
    the unscaled values instead, where that cancels nothing.
    """
    source, places, width = _numbers(graph, preparation)
    source, scale, shift = _scaling(graph, preparation, source, places, width)
    limits = np.zeros((2, width))
    limits[:, places] = _numpy(preparation.low), _numpy(preparation.high)
    low, high = (limits - shift) / scale
    above = graph.node("Max", [source, graph.constant("low", low)], "above")
    values = graph.node("Min", [above, graph.constant("high", high)], "clipped")
    placement = _numpy(preparation.placement)
    spread = np.zeros((width, placement.shape[1]))
    spread[places] = placement[: len(places)]
    bias = shift @ spread
    if preparation.time_index:
        bias = bias + _numpy(preparation.times())
    indicators = placement[len(places) :]
    if len(indicators):
        values = graph.node("Concat", [values, _indicators(graph, preparation)], "prepared", axis=1)
    return _placed(graph, values, np.concatenate([spread * scale[:, None], indicators]), bias)


def _placed(graph: Graph, values: str, matrix: Matrix, bias: Matrix) -> str:
    """``values @ matrix + bias``; elementwise where every value has its own place already."""
    diagonal = np.diag(matrix)
    if matrix.shape[0] != matrix.shape[1] or (matrix != np.diag(diagonal)).any():
        return graph.gemm(values, matrix, bias, "signals")
    scaled = graph.node("Mul", [values, graph.constant("scales", diagonal)], "scaled_values")
    return graph.node("Add", [scaled, graph.constant("shifts", bias)], "signals")


def _numbers(graph: Graph, preparation: Preparation) -> tuple[str, NDArray[np.int64], int]:
    """Return the values that numbers are made of, where each number lies among them, and how many.

    All columns go through it, and those that are no numbers are clipped to 0: gathering columns
    takes longer than all of this. Only several numbers of one column (quantiles) are gathered.
    """
    columns = preparation.number_column.numpy()
    source = INPUT
    if len(np.unique(columns)) < len(columns):
        index = graph.constant("numbers.columns", columns)
        source = graph.node("Gather", [INPUT, index], "numbers", axis=1)
        columns = np.arange(len(columns))
    width = len(columns) if source != INPUT else preparation.columns
    if preparation.logarithm:
        one = graph.constant("one", np.ones(1))
        size = graph.node("Abs", [source], "size")
        logarithm = graph.node("Log", [graph.node("Add", [size, one], "size_plus_1")], "log1p")
        sign = graph.node("Sign", [source], "sign")
        source = graph.node("Mul", [sign, logarithm], "signed_log1p")
    return source, columns, width


def _scaling(
    graph: Graph, preparation: Preparation, source: str, places: NDArray[np.int64], width: int
) -> tuple[str, Matrix, Matrix]:
    """Return the values, and the scale and shift (width,) that they still lack.

    Far from zero, in units of what is left after centring, float32 would lose it in the product: so
    it is centred and scaled here, by the same two operations as in torch.
    """
    center, scale = np.zeros(width, np.float32), np.ones(width, np.float32)
    center[places], scale[places] = preparation.center.numpy(), preparation.scale.numpy()
    shift = -center.astype(np.float64) * scale
    if np.abs(shift).max(initial=0) < FAR:
        return source, scale.astype(np.float64), shift
    centred = graph.node("Sub", [source, graph.constant("center", center)], "centred")
    scaled = graph.node("Mul", [centred, graph.constant("scale", scale)], "scaled")
    return scaled, np.ones(width), np.zeros(width)


def _indicators(graph: Graph, preparation: Preparation) -> str:
    """Return which codes a row has; a matrix of zeros and ones brings its columns before them."""
    columns, codes = preparation.indicator_column.numpy(), _numpy(preparation.indicator_code)
    choice = np.zeros((preparation.columns, len(columns)))
    choice[columns, np.arange(len(columns))] = 1
    found = graph.gemm(INPUT, choice, None, "codes")
    equal = graph.node("Equal", [found, graph.constant("codes.values", codes)], "code_found")
    return graph.node("Cast", [equal], "indicators", to=1)


def _image(graph: Graph, network: Network, signals: str) -> str:
    """Return the front end's image (rows, height * width), row by row, in float32.

    On bytes it is no front end: small powers end in one step of the spectrum's range.
    """
    frontend = network.frontend
    match frontend:
        case LearnableMFCC():
            log_mel = _log(graph, frontend, signals, _numpy(frontend.filter_bank()))
            return _standardised(graph, frontend, log_mel, _numpy(frontend.cepstrum_map()))
        case LogPower():
            bins = np.eye(frontend.size[0] // frontend.channels)
            log_power = _log(graph, frontend, signals, bins)
            return _standardised(graph, frontend, log_power, bins)
        case PCEN():
            bank = _numpy(frontend.filter_bank())
            energies = _energies(graph, frontend, signals, bank, floor=0.0)
            normalised = _normalised(graph, frontend, energies)
            return _standardised(graph, frontend, normalised, np.eye(bank.shape[1]))
        case Row():
            return _filled(graph, signals, frontend.size)
    raise RunError(
        f"the run's front end is {type(frontend).__name__}, which is not exported: train with "
        "--set frontend=mfcc, stft, pcen or none"
    )


def _log(graph: Graph, frontend: Spectrogram, signals: str, bank: Matrix) -> str:
    energies = _energies(graph, frontend, signals, bank, floor=POWER_FLOOR)
    return graph.node("Log", [energies], "log_mel")


def _energies(
    graph: Graph, frontend: Spectrogram, signals: str, bank: Matrix, *, floor: float
) -> str:
    """Framing, window and DFT as one convolution along the signal, power, filter bank.

    Energies (rows, filters * channels * frames). A frame reads its own places only: of a signal of
    135 places, a third of the multiply-adds of a matrix that takes the whole of it.
    """
    banks = np.concatenate([bank, bank])  # of real parts, then of imaginary parts
    dft = _numpy(frontend.windowed_dft())
    used = banks.any(axis=1) & dft.any(axis=0)  # the sine of bin 0 is nothing
    kernels = dft[:, used].T[:, None, None]  # (used, 1, 1, window_length)
    channels = frontend.channels
    series = graph.reshape(signals, (1, channels, frontend.length // channels), "series")
    left, right = frontend.padding
    spectrum = graph.node(
        "Conv",
        [series, graph.constant("spectrum.weight", kernels)],
        "spectrum",
        kernel_shape=[1, kernels.shape[-1]],
        strides=[1, frontend.hop],
        pads=[0, left, 0, right],
    )
    squares = graph.node("Mul", [spectrum, spectrum], "squares")
    filters = graph.constant("mel.weight", banks[used].T[:, :, None, None])
    floors = graph.constant("mel.bias", np.full(bank.shape[1], floor))
    mel = graph.node("Conv", [squares, filters, floors], "mel", kernel_shape=[1, 1])
    return graph.reshape(mel, (bank.shape[1] * channels * frontend.frames,), "energies")


def _normalised(graph: Graph, frontend: PCEN, energies: str) -> str:
    """Per-channel energy normalisation; the smoothed past is linear, so one matrix."""
    channels, frames = frontend.channels, frontend.frames
    maps = _numpy(frontend.smoothing_maps())  # (filters, frames of the mean, frames)
    same = np.eye(len(maps))[:, None, None, :, None, None]
    same = same * np.eye(channels)[:, None, None, :, None]
    past = same * maps.transpose(0, 2, 1)[:, None, :, None, None, :]
    smoothing = past.reshape(len(maps) * channels * frames, -1)
    smoothed = graph.gemm(energies, smoothing, np.full(len(smoothing), ENERGY_FLOOR), "past")

    def repeated(name: str, value: Tensor) -> str:
        return graph.constant(f"pcen.{name}", np.repeat(_numpy(value), channels * frames))

    gain = graph.node("Pow", [smoothed, repeated("gain", -frontend.gain.exp())], "gain")
    gained = graph.node("Mul", [energies, gain], "gained")
    lifted = graph.node("Add", [gained, repeated("bias", frontend.bias.exp())], "lifted")
    exponent = frontend.exponent.exp()
    powers = graph.node("Pow", [lifted, repeated("exponent", exponent)], "compressed")
    offset = repeated("offset", frontend.bias.exp().pow(exponent))
    return graph.node("Sub", [powers, offset], "normalised")


def _standardised(graph: Graph, frontend: Spectrogram, values: str, transform: Matrix) -> str:
    """Return a transform of every frame (the DCT) and standardisation as one matrix."""
    channels, frames = np.eye(frontend.channels), np.eye(frontend.frames)
    spread = np.einsum("mk,cd,ts->mctdks", transform, channels, frames)
    scale, shift = _affine(frontend.standardise)
    matrix = spread.reshape(len(transform) * len(channels) * len(frames), -1) * scale
    return _framed(graph, values, (matrix, shift), frontend.size)


def _framed(graph: Graph, source: str, affine: tuple[Matrix, Matrix], size: Size) -> str:
    """Return an affine map to an image (rows, height * width), its width filled up with zeros."""
    more = padded_columns(size[1]) - size[1]

    def wider(part: Matrix) -> Matrix:
        image = part.reshape(*part.shape[:-1], *size)
        return np.pad(image, [(0, 0)] * part.ndim + [(0, more)]).reshape(*part.shape[:-1], -1)

    matrix, bias = map(wider, affine)
    return graph.gemm(source, matrix, bias, "image")


def _filled(graph: Graph, signals: str, size: Size) -> str:
    """Return signals (rows, height * width) as an image, its width filled up with zeros."""
    height, width = size
    more = padded_columns(width) - width
    if not more:
        return signals
    pads = graph.constant("image.pads", np.array([0, 0, 0, 0, 0, more], np.int64))
    wide = graph.node("Pad", [graph.reshape(signals, size, "image.lines"), pads], "image.wide")
    return graph.reshape(wide, (height * (width + more),), "image")
