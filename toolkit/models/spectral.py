"""Front ends other than the MFCC: log power, per-channel energy normalisation, and none."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from idskit.models.frontend import (
    POWER_FLOOR,
    FrontEnd,
    MelSpectrogram,
    MFCCSettings,
    Spectrogram,
)

# Initial values of Y. Wang et al., "Trainable frontend for robust and far-field keyword spotting"
# (2017, arXiv 1607.05666), but for the smoothing: theirs, 0.025, spans forty frames, and a record
# has ten.
SMOOTHING, GAIN, BIAS, EXPONENT = 0.2, 0.98, 2.0, 0.5
ENERGY_FLOOR = 1e-6


class LogPower(Spectrogram):
    """Signal (n, length) to the logarithm of its STFT's power (n, *size), standardised.

    The spectrogram that "Detection with Spectrograms and Deep CNNs" (IJMRSET 7(7), 2024) shows its
    network.
    """

    def __init__(self, length: int, settings: MFCCSettings, channels: int = 1) -> None:
        super().__init__(length, settings, channels)
        self._standardised(self.n_fft // 2 + 1)

    def forward(self, signal: Tensor) -> Tensor:
        """Compute the log-power image (n, channels * bins, frames) of signals (n, length)."""
        return self._image((self.power(signal) + POWER_FLOOR).log())


class PCEN(MelSpectrogram):
    """Signal (n, length) to normalised mel energies (n, *size), standardised.

    Each filter's energy E is divided by its smoothed past M, then compressed:
    (E / (floor + M)^gain + bias)^exponent - bias^exponent, where M is an exponential mean over the
    frames. All four numbers are trained, one of each a filter: gain, bias and exponent as
    logarithms, the smoothing as a logit, so that they stay in their ranges.
    """

    def __init__(self, length: int, settings: MFCCSettings, channels: int = 1) -> None:
        super().__init__(length, settings, channels)
        filters = torch.ones(settings.n_mels)
        self.smoothing = nn.Parameter((SMOOTHING * filters).logit())
        self.gain = nn.Parameter((GAIN * filters).log())
        self.bias = nn.Parameter((BIAS * filters).log())
        self.exponent = nn.Parameter((EXPONENT * filters).log())
        self._standardised(settings.n_mels)

    def forward(self, signal: Tensor) -> Tensor:
        """Compute the normalised image (n, channels * n_mels, frames) of signals (n, length)."""
        return self._image(self.normalise(self.mel_power(signal)))

    def normalise(self, energy: Tensor) -> Tensor:
        """Per-channel energy normalisation of (n, channels * frames, n_mels)."""
        series = energy.reshape(len(energy), self.channels, self.frames, -1)
        past = torch.einsum("nckm,mtk->nctm", series, self.smoothing_maps()).flatten(1, 2)
        gained = energy * (ENERGY_FLOOR + past).pow(-self.gain.exp())
        bias, exponent = self.bias.exp(), self.exponent.exp()
        return (gained + bias).pow(exponent) - bias.pow(exponent)

    def smoothing_maps(self) -> Tensor:
        """Return the exponential mean as matrices (n_mels, frames, frames)."""
        rate = self.smoothing.sigmoid()[:, None, None]
        frame = torch.arange(self.frames, device=rate.device)
        lag = (frame[:, None] - frame).clamp(min=0)
        share = torch.where(frame == 0, 1.0, rate)  # of a frame in the mean just after it
        return (share * (1 - rate) ** lag).tril()


class Row(FrontEnd):
    """No front end: the prepared row itself, as an image of one line a channel."""

    def __init__(self, length: int, channels: int = 1) -> None:
        super().__init__()
        self.size = (channels, length // channels)

    def forward(self, signal: Tensor) -> Tensor:
        """Return signals (n, length) as images (n, *size)."""
        return signal.reshape(len(signal), *self.size)
