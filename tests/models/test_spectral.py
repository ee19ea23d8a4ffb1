"""The front ends beside the MFCC, against scipy and a loop over the frames."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
import torch

from idskit.models.frontend import POWER_FLOOR, FrontEnd, MFCCSettings, Spectrogram
from idskit.models.spectral import (
    BIAS,
    ENERGY_FLOOR,
    EXPONENT,
    GAIN,
    PCEN,
    SMOOTHING,
    LogPower,
    Row,
)

LENGTH = 78


def make_signals(count: int = 5) -> torch.Tensor:
    return torch.randn(count, LENGTH, generator=torch.Generator().manual_seed(0))


def naive_pcen(energy: np.ndarray) -> np.ndarray:
    """The formula frame by frame, energies (n, frames, n_mels)."""
    past, normalised = energy[:, 0], np.empty_like(energy)
    for frame in range(energy.shape[1]):
        past = (1 - SMOOTHING) * past + SMOOTHING * energy[:, frame]
        gained = energy[:, frame] / (ENERGY_FLOOR + past) ** GAIN
        normalised[:, frame] = (gained + BIAS) ** EXPONENT - BIAS**EXPONENT
    return normalised


def test_untrained_log_power_is_scipys_spectrogram():
    frontend = LogPower(LENGTH, MFCCSettings()).eval()
    signals = make_signals()
    _, _, spectrum = scipy.signal.stft(
        torch.nn.functional.pad(signals, frontend.padding).numpy(),
        window=scipy.signal.get_window("hamming", frontend.window_length),
        nperseg=frontend.window_length,
        noverlap=frontend.window_length - frontend.hop,
        nfft=frontend.n_fft,
        boundary=None,
        padded=False,
    )
    gain = scipy.signal.get_window("hamming", frontend.window_length).sum()  # scipy divides by it
    expected = np.log(np.abs(spectrum * gain) ** 2 + POWER_FLOOR)  # (n, bins, frames)
    assert np.allclose(frontend(signals).detach().numpy(), expected, rtol=1e-3, atol=1e-3)


def test_untrained_pcen_is_the_formula_frame_by_frame():
    frontend = PCEN(LENGTH, MFCCSettings())
    energy = frontend.mel_power(make_signals()).detach()
    found = frontend.normalise(energy).detach().numpy()
    assert np.allclose(found, naive_pcen(energy.numpy().astype(np.float64)), atol=1e-4)


def test_smoothing_of_a_constant_is_that_constant():
    maps = PCEN(LENGTH, MFCCSettings()).smoothing_maps()
    assert torch.allclose(maps.sum(dim=2), torch.ones(maps.shape[:2]), atol=1e-6)


@pytest.mark.parametrize("name", ["smoothing", "gain", "bias", "exponent"])
def test_every_number_of_pcen_is_trained(name: str):
    frontend = PCEN(LENGTH, MFCCSettings())
    weights = torch.randn(5, *frontend.size, generator=torch.Generator().manual_seed(1))
    (frontend(make_signals()) * weights).sum().backward()
    assert frontend.get_parameter(name).grad.abs().sum() > 0


def test_a_row_without_a_front_end_is_itself():
    signals = make_signals()
    assert Row(LENGTH)(signals)[:, 0].equal(signals)


@pytest.mark.parametrize("kind", [LogPower, PCEN])
def test_image_is_standardised_and_has_the_size_announced(kind: type[Spectrogram]):
    frontend = kind(LENGTH, MFCCSettings())
    image = frontend(make_signals(400))
    assert image.shape[1:] == frontend.size
    assert image.mean(dim=0).abs().max() < 1e-4


@pytest.mark.parametrize("kind", [LogPower, PCEN])
def test_a_rough_window_costs(kind: type[Spectrogram]):
    smooth, rough = (kind(LENGTH, MFCCSettings()) for _ in range(2))
    with torch.no_grad():
        rough.window[3] += 0.5
    assert rough.penalty() > smooth.penalty()


def test_nothing_trained_costs_nothing():
    frontend: FrontEnd = Row(LENGTH)
    assert frontend.penalty() == 0
