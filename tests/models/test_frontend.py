"""The learnable MFCC against torch's STFT and scipy's DCT."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
import torch
from sklearn.decomposition import PCA

from idskit.models import frontend as frontend_module
from idskit.models.frontend import (
    POWER_FLOOR,
    SAMPLE_RATE_HZ,
    LearnableMFCC,
    MFCCSettings,
    Spectrogram,
    dct_matrix,
    fit_pca,
    mel_filter_bank,
)
from idskit.models.spectral import PCEN, LogPower, Row

STAGES = ("window", "dft", "mel", "dct")


def make_signals(length: int) -> torch.Tensor:
    return torch.randn(5, length, generator=torch.Generator().manual_seed(0))


def torch_powers(frontend: LearnableMFCC, signals: torch.Tensor) -> torch.Tensor:
    """Power spectra (n, frames, bins) by torch.stft, which centres a short window in n_fft."""
    spare = frontend.n_fft - frontend.window_length
    padded = torch.nn.functional.pad(signals, frontend.padding)
    padded = torch.nn.functional.pad(padded, (spare // 2, spare - spare // 2))
    spectrum = torch.stft(
        padded,
        frontend.n_fft,
        hop_length=frontend.hop,
        win_length=frontend.window_length,
        window=torch.hamming_window(frontend.window_length),
        center=False,
        return_complex=True,
    )
    return spectrum.abs().square().transpose(1, 2)


@pytest.mark.parametrize("length", [41, 78, 119, 200])
def test_untrained_log_mel_is_that_of_torch_stft(length: int):
    frontend = LearnableMFCC(length, MFCCSettings())
    signals = make_signals(length)
    bank = mel_filter_bank(frontend.settings.n_mels, frontend.n_fft)
    expected = (torch_powers(frontend, signals) @ bank + POWER_FLOOR).log()
    assert torch.allclose(frontend.log_mel(signals), expected, atol=1e-4)


def test_untrained_cepstrum_is_scipys_dct_of_the_log_mel():
    frontend = LearnableMFCC(78, MFCCSettings()).eval()
    signals = make_signals(78)
    log_mel = frontend.log_mel(signals).detach().numpy()
    expected = scipy.fft.dct(log_mel, type=2, norm="ortho", axis=2)[:, :, :13]
    image = frontend(signals).detach().numpy()  # fresh running statistics: mean 0, variance 1
    assert np.allclose(image.transpose(0, 2, 1), expected, rtol=1e-4, atol=1e-4)


def test_dct_matrix_is_scipys_dct_of_the_identity():
    expected = scipy.fft.dct(np.eye(20), type=2, norm="ortho", axis=1)[:, :13]
    assert np.allclose(dct_matrix(20, 13).numpy(), expected, atol=1e-6)


def test_mel_filters_are_triangles_between_equally_spaced_mels():
    top = 2595 * np.log10(1 + SAMPLE_RATE_HZ / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, 22) / 2595) - 1)
    bins = np.linspace(0, SAMPLE_RATE_HZ / 2, 33)
    triangles = [np.interp(bins, edges[i : i + 3], [0, 1, 0]) for i in range(20)]
    assert np.allclose(mel_filter_bank(20, 64).numpy().T, triangles, atol=1e-5)


def test_every_filter_covers_a_bin():
    assert (mel_filter_bank(20, 64).sum(dim=0) > 0).all()


@pytest.mark.parametrize("stage", STAGES)
def test_a_fixed_stage_is_not_a_parameter(stage: str):
    frontend = LearnableMFCC(78, MFCCSettings(learned=False))
    names = {"dft": {"cosine", "sine"}}.get(stage, {stage})
    assert names.isdisjoint(dict(frontend.named_parameters()))
    assert names <= set(dict(frontend.named_buffers()))


@pytest.mark.parametrize("stage", STAGES)
def test_a_trained_stage_receives_a_gradient(stage: str):
    frontend = LearnableMFCC(78, MFCCSettings())
    frontend(make_signals(78)).square().sum().backward()
    name = "cosine" if stage == "dft" else stage
    assert frontend.get_parameter(name).grad.abs().sum() > 0


def test_filter_bank_stays_non_negative():
    frontend = LearnableMFCC(78, MFCCSettings())
    with torch.no_grad():
        frontend.mel.sub_(0.5)
    assert (frontend.filter_bank() >= 0).all()


def test_penalty_grows_when_the_window_becomes_rough_or_lopsided():
    smooth, rough = (LearnableMFCC(78, MFCCSettings()) for _ in range(2))
    with torch.no_grad():
        rough.window[3] += 0.5
    assert rough.penalty() > smooth.penalty()


def test_image_is_standardised_per_position_in_training():
    frontend = LearnableMFCC(78, MFCCSettings())
    signals = torch.randn(400, 78, generator=torch.Generator().manual_seed(1))
    image = frontend(signals)
    assert image.shape == (400, 13, frontend.frames)
    assert image.mean(dim=0).abs().max() < 1e-4
    assert (image.std(dim=0) - 1).abs().max() < 0.01


def test_a_window_with_a_heavy_penalty_stays_smooth_and_symmetric_in_training(
    monkeypatch: pytest.MonkeyPatch,
):
    """Pulled at one end by the loss, only the penalty holds the window together."""
    shapes = {}
    for weight in (0.0, 10.0):
        monkeypatch.setattr(frontend_module, "WINDOW_PENALTY", weight)
        frontend = LearnableMFCC(78, MFCCSettings())
        optimizer = torch.optim.Adam([frontend.window], lr=0.01)
        for _ in range(50):
            optimizer.zero_grad()
            (frontend.penalty() - frontend.window[0] + frontend.window[5]).backward()
            optimizer.step()
        window = frontend.window.detach().numpy()
        shapes[weight] = np.abs(np.diff(window, 2)).max(), np.abs(window - window[::-1]).max()
    assert shapes[10.0][0] < shapes[0.0][0] / 3
    assert shapes[10.0][1] < shapes[0.0][1] / 3


def test_the_bank_in_use_is_non_negative_after_training_pulled_it_down():
    frontend = LearnableMFCC(78, MFCCSettings())
    optimizer = torch.optim.Adam([frontend.mel], lr=0.05)
    for _ in range(30):
        optimizer.zero_grad()
        frontend.log_mel(make_signals(78)).sum().backward()
        optimizer.step()
    assert (frontend.mel < 0).any(), "nothing was pulled below zero"
    assert frontend.filter_bank().min() == 0
    assert torch.isfinite(frontend.log_mel(make_signals(78))).all()


@pytest.mark.parametrize("kind", [LearnableMFCC, LogPower, PCEN])
def test_channels_are_framed_apart_by_the_same_stages_and_stacked(kind: type[Spectrogram]):
    signals = make_signals(3 * 32)
    one, three = kind(32, MFCCSettings()).eval(), kind(3 * 32, MFCCSettings(), channels=3).eval()
    apart = [one(channel) for channel in signals.split(32, dim=1)]
    found = three(signals)
    assert found.shape == (5, *three.size)
    assert three.size == (3 * one.size[0], one.size[1])
    assert torch.allclose(found, torch.cat(apart, dim=1), atol=1e-5)


def test_a_row_of_channels_has_a_line_for_each():
    signals = make_signals(3 * 32)
    image = Row(3 * 32, channels=3)(signals)
    assert torch.stack(signals.split(32, dim=1), dim=1).equal(image)


def test_principal_components_are_scikit_learns():
    signals = torch.randn(60, 78, generator=torch.Generator().manual_seed(2)).cumsum(dim=1)
    frontend = LearnableMFCC(78, MFCCSettings(pca=6)).eval()
    cepstra = (frontend.log_mel(signals) @ frontend.dct).detach().flatten(0, 1).numpy()
    fit_pca(frontend, signals)
    expected = PCA(n_components=6).fit(cepstra.astype(np.float64))
    sign = np.sign((frontend.components.numpy().T * expected.components_).sum(axis=1))
    found = frontend.components.numpy().T * sign[:, None]
    assert np.allclose(found, expected.components_, atol=1e-4)
    assert frontend.size == (6, frontend.frames)
    image = frontend(signals).detach().numpy()  # fresh running statistics: nothing standardised
    centred = image - (cepstra.mean(axis=0) @ frontend.components.numpy())[:, None]
    scores = expected.transform(cepstra.astype(np.float64)) * sign
    assert np.allclose(centred.transpose(0, 2, 1).reshape(-1, 6), scores, rtol=1e-3, atol=1e-3)
