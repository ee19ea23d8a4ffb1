"""Learnable MFCC: window, DFT, mel filter bank and DCT, each trainable or fixed.

    FrontEnd ── Spectrogram ── MelSpectrogram ── LearnableMFCC
                (window, DFT)  (filter bank)     (DCT)

The front ends that stop earlier or leave this path are in ``idskit.models.spectral``. A signal of
several channels, time series of equal length one after the other, is framed channel by channel; all
channels go through the same stages, and their images are stacked, the first on top. After
X. Liu, M. Sahidullah, T. Kinnunen, "Learnable MFCCs for speaker verification" (2021,
arXiv 2102.10322): all four stages are linear maps initialised at their classical values; the window
is kept smooth and symmetric by penalties and the filter bank non-negative.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from idskit.models.lowering import Size

# The paper's sampling rate (arXiv 2507.10622): up to 682 Hz the mel scale is close to linear, so
# every filter of a small bank covers at least one bin.
SAMPLE_RATE_HZ = 1365.0
# Floor under the logarithm. A silent frame (all columns at their mean) sits at log(floor).
POWER_FLOOR = 1e-3
WINDOW_PENALTY = 1e-3  # weight of what keeps a trained window smooth and symmetric


@dataclass(frozen=True, kw_only=True)
class MFCCSettings:
    """Shape of the front end and which of its stages are trained."""

    frames: int = 10  # the hop follows: ceil(signal length / frames)
    window_hops: int = 3  # window length in hops
    n_fft: int = 64
    n_mels: int = 20
    n_mfcc: int = 13
    pca: int = 0  # principal components kept of the coefficients; 0: the coefficients themselves
    learned: bool = True  # every stage is trained; else all keep their classical values


class FrontEnd(nn.Module):
    """Signal (n, length) to image (n, height, width), the width being time."""

    size: Size  # height and width of the image

    def penalty(self) -> Tensor:
        """Return what keeps trained stages in shape, added to the loss: a scalar."""
        return torch.zeros(())


class Spectrogram(FrontEnd):
    """Window and DFT: the power spectrum of overlapping frames."""

    window: Tensor  # (window_length,)
    cosine: Tensor  # (window_length, bins)
    sine: Tensor  # (window_length, bins)

    def __init__(self, length: int, settings: MFCCSettings, channels: int = 1) -> None:
        super().__init__()
        self.length, self.settings, self.channels = length, settings, channels
        length //= channels
        self.hop = -(-length // settings.frames)
        self.window_length = settings.window_hops * self.hop
        self.n_fft = max(settings.n_fft, self.window_length)
        self.frames = -(-length // self.hop)  # of one channel
        overlap = self.window_length - self.hop
        self.padding = (overlap // 2, self.frames * self.hop - length + overlap - overlap // 2)
        cosine, sine = dft_maps(self.window_length, self.n_fft)
        self._stage("window", torch.hamming_window(self.window_length))
        self._stage("cosine", cosine)
        self._stage("sine", sine)

    def _stage(self, name: str, initial: Tensor) -> None:
        if self.settings.learned:
            self.register_parameter(name, nn.Parameter(initial))
        else:
            self.register_buffer(name, initial)

    def _standardised(self, height: int) -> None:
        """End the stages: ``height`` rows of each channel, standardised per position."""
        self.size = (self.channels * height, self.frames)
        self.standardise = nn.BatchNorm1d(self.size[0] * self.size[1], affine=False)

    def _image(self, values: Tensor) -> Tensor:
        """Return values (n, channels * frames, height) as a standardised image (n, *size)."""
        # Here and in ``framed`` channels are not reshaped: torch.onnx would lose the size, and it
        # exports no batch norm without it.
        of_channels = torch.split(values, self.frames, dim=1)
        image = torch.cat([part.transpose(1, 2) for part in of_channels], dim=1)
        return self.standardise(image.flatten(1)).unflatten(1, self.size)

    def power(self, signal: Tensor) -> Tensor:
        """Power spectra (n, channels * frames, bins) of signals (n, length)."""
        # (n, channels * frames, 2 * bins), real parts then imaginary parts
        squares = (self.framed(signal) @ self.windowed_dft()).square()
        bins = self.n_fft // 2 + 1
        return squares[:, :, :bins] + squares[:, :, bins:]

    def framed(self, signal: Tensor) -> Tensor:
        """Overlapping frames (n, channels * frames, window_length) of signals (n, length).

        There are zeros around each channel.
        """
        places = self.hop * torch.arange(self.frames)[:, None] + torch.arange(self.window_length)
        series = torch.split(signal, self.length // self.channels, dim=1)
        return torch.cat([nn.functional.pad(s, self.padding)[:, places] for s in series], dim=1)

    def windowed_dft(self) -> Tensor:
        """Window and DFT as one map (window_length, 2 * bins)."""
        return self.window[:, None] * torch.cat([self.cosine, self.sine], dim=1)

    def penalty(self) -> Tensor:
        """Squared second differences and asymmetry of the window, weighted."""
        window = self.window
        roughness = window.diff(n=2).square().sum()
        asymmetry = (window - window.flip(0)).square().sum()
        return WINDOW_PENALTY * (roughness + asymmetry)


class MelSpectrogram(Spectrogram):
    """Power spectra summed by a bank of filters that start as mel triangles."""

    mel: Tensor  # (bins, n_mels)

    def __init__(self, length: int, settings: MFCCSettings, channels: int = 1) -> None:
        super().__init__(length, settings, channels)
        self._stage("mel", mel_filter_bank(settings.n_mels, self.n_fft))

    def filter_bank(self) -> Tensor:
        """Mel filter bank (bins, n_mels), non-negative whatever training did to it."""
        return self.mel.clamp(min=0)

    def mel_power(self, signal: Tensor) -> Tensor:
        """Mel powers (n, channels * frames, n_mels) of signals (n, length)."""
        return self.power(signal) @ self.filter_bank()


class LearnableMFCC(MelSpectrogram):
    """Signal (n, length) to MFCC image (n, channels * n_mfcc, frames), standardised per position.

    With ``settings.pca``, each frame's coefficients are replaced by so many of their principal
    components.
    """

    dct: Tensor  # (n_mels, n_mfcc)
    components: Tensor  # (n_mfcc, pca), with ``settings.pca``: see ``fit_pca``

    def __init__(self, length: int, settings: MFCCSettings, channels: int = 1) -> None:
        super().__init__(length, settings, channels)
        self._stage("dct", dct_matrix(settings.n_mels, settings.n_mfcc))
        if settings.pca:
            self.register_buffer("components", torch.eye(settings.n_mfcc, settings.pca))
        self._standardised(settings.pca or settings.n_mfcc)

    def forward(self, signal: Tensor) -> Tensor:
        """Compute the MFCC image (n, *size) of signals (n, length)."""
        return self._image(self.log_mel(signal) @ self.cepstrum_map())

    def log_mel(self, signal: Tensor) -> Tensor:
        """Return log mel powers (n, channels * frames, n_mels)."""
        return (self.mel_power(signal) + POWER_FLOOR).log()

    def cepstrum_map(self) -> Tensor:
        """DCT and principal components as one map (n_mels, n_mfcc or pca)."""
        return self.dct @ self.components if self.settings.pca else self.dct


@torch.no_grad()
def fit_pca(frontend: LearnableMFCC, signals: Tensor) -> None:
    """Fit the principal components to the coefficients of all frames of signals (n, length).

    Their mean is left in: the standardisation after them takes it out.
    """
    cepstra = (frontend.log_mel(signals) @ frontend.dct).flatten(0, 1).double()
    _, vectors = torch.linalg.eigh(cepstra.T.cov())  # the smallest variance first
    components = vectors.flip(1)[:, : frontend.settings.pca]
    frontend.components.copy_(components)


def dft_maps(window_length: int, n_fft: int) -> tuple[Tensor, Tensor]:
    """Real and imaginary DFT maps, each (window_length, n_fft // 2 + 1)."""
    time = torch.arange(window_length, dtype=torch.float64)[:, None]
    bins = torch.arange(n_fft // 2 + 1, dtype=torch.float64)
    angle = 2 * math.pi * time * bins / n_fft
    return angle.cos().float(), angle.sin().neg().float()


def mel_filter_bank(n_mels: int, n_fft: int) -> Tensor:
    """Triangular filters (n_fft // 2 + 1, n_mels), equally spaced on the HTK mel scale."""
    top = 2595 * math.log10(1 + SAMPLE_RATE_HZ / 2 / 700)
    mels = torch.linspace(0, top, n_mels + 2, dtype=torch.float64)
    edges = 700 * (10 ** (mels / 2595) - 1)
    bins = torch.linspace(0, SAMPLE_RATE_HZ / 2, n_fft // 2 + 1, dtype=torch.float64)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return torch.minimum(rising, falling).clamp(min=0).float()


def dct_matrix(n_mels: int, n_mfcc: int) -> Tensor:
    """Orthonormal DCT-II (n_mels, n_mfcc), applied as ``log_mel @ matrix``."""
    time = torch.arange(n_mels, dtype=torch.float64)[:, None] + 0.5
    order = torch.arange(n_mfcc, dtype=torch.float64)
    matrix = (math.pi / n_mels * time * order).cos() * math.sqrt(2 / n_mels)
    matrix[:, 0] /= math.sqrt(2)
    return matrix.float()
