"""Fitting the autoencoder: it knows benign rows, and its offset calibrates."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

from idskit.data.dataset import Dataset
from idskit.errors import RunError
from idskit.metrics import area_under, attack_score, roc_curve
from idskit.models.members.autoencoder import Autoencoder
from idskit.models.saved_run import LabelledRows, Run, load_run, save_run
from idskit.training.fit import fit
from idskit.training.members.novelty_member import (
    SWAPPED,
    fit_autoencoder,
    fit_most,
    fit_offset,
    with_swapped,
)
from idskit.training.settings import TrainingSettings


def benign_signals(count: int, seed: int) -> torch.Tensor:
    """Ten places that two numbers decide."""
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(count, 2, generator=generator)
    return hidden @ torch.linspace(-1, 1, 20).reshape(2, 10).roll(3, dims=1)


@pytest.fixture(scope="module")
def fitted() -> Autoencoder:
    torch.manual_seed(0)
    autoencoder = Autoencoder(10)
    fit_autoencoder(autoencoder, benign_signals(2000, 1), torch.ones(2000), seed=0)
    return autoencoder


@torch.no_grad()
def test_rows_whose_places_do_not_belong_together_stand_out(fitted: Autoencoder):
    known = benign_signals(500, 2)
    strange = known[:, torch.randperm(10, generator=torch.Generator().manual_seed(1))]
    score = torch.cat([fitted.log_odds(known), fitted.log_odds(strange)]).double().numpy()
    assert area_under(roc_curve(np.arange(1000) >= 500, score)) > 0.9


def test_rows_without_weight_are_not_learned():
    rows, strange = benign_signals(1000, 1), torch.randn(1000, 10).roll(1, dims=1) * 3
    weights = torch.cat([torch.ones(1000), torch.zeros(1000)])
    torch.manual_seed(0)
    autoencoder = Autoencoder(10)
    fit_autoencoder(autoencoder, torch.cat([rows, strange]), weights, seed=0)
    with torch.no_grad():
        assert autoencoder.log_odds(strange).mean() > autoencoder.log_odds(rows).mean() + 2


def test_a_share_of_the_places_comes_from_other_rows():
    rows = torch.arange(1000.0)[:, None].repeat(1, 20)
    changed = (with_swapped(rows, SWAPPED) != rows).float().mean()
    assert float(changed) == pytest.approx(SWAPPED, abs=0.01)


def test_the_offset_has_the_least_negative_log_likelihood():
    rng = np.random.default_rng(0)
    attack = rng.random(400) < 0.4
    score, novelty = rng.normal(2.0 * attack, 1), rng.normal(3 + attack, 1)
    weights = rng.random(400)

    def loss(offset: float) -> float:
        total = score + novelty + offset
        return float((weights * np.logaddexp(0, np.where(attack, -total, total))).sum())

    found = fit_offset(*(torch.from_numpy(a) for a in (score, novelty, attack, weights)))
    assert found == pytest.approx(minimize_scalar(loss, bounds=(-20, 20)).x, abs=1e-3)


@torch.no_grad()
def test_beyond_the_most_that_counts_errors_are_alike(fitted: Autoencoder):
    autoencoder = copy.deepcopy(fitted)
    rows = torch.cat([benign_signals(500, 2), 100 * torch.ones(2, 10), 1e4 * torch.ones(2, 10)])
    free = autoencoder.log_odds(rows)
    autoencoder.most.fill_(float(free.exp().median()))
    held = autoencoder.log_odds(rows)
    assert len(held[-4:].unique()) == 1
    torch.testing.assert_close(held, free.clamp(max=float(free.median())))


def test_one_benign_row_in_a_hundred_exceeds_what_counts():
    errors = torch.arange(1.0, 1001.0)
    assert fit_most(errors, torch.ones(1000)) == 990.0
    only_half = (errors <= 500).float()
    assert fit_most(errors, only_half) == 495.0


def test_the_threshold_is_that_of_both_members(toy: Dataset, tiny: TrainingSettings):
    settings = replace(tiny, novelty="autoencoder", false_positive_rate=0.1)
    found = fit(toy, settings)
    score = attack_score(found.network.probabilities(toy.validation.rows))
    assert (score[toy.validation.labels == 0] >= found.threshold).mean() == pytest.approx(
        0.1, abs=0.02
    )


def test_a_run_with_novelty_survives_the_disk(toy: Dataset, tiny: TrainingSettings, tmp_path):
    found = fit(toy, replace(tiny, epochs=1, novelty="autoencoder"))
    rows = LabelledRows(flows=toy.test.rows, labels=toy.test.labels)
    others = LabelledRows(flows=toy.train.rows, labels=toy.train.labels)
    run = Run(
        network=found.network,
        schema=toy.schema,
        classes=toy.classes,
        threshold=found.threshold,
        facts={},
        calibration=others,
        held=rows,
    )
    save_run(run, tmp_path)
    again = load_run(tmp_path).network.probabilities(toy.test.rows)
    assert (again == found.network.probabilities(toy.test.rows)).all()


def test_an_unknown_novelty_is_refused(toy: Dataset, tiny: TrainingSettings):
    with pytest.raises(RunError, match="novelty 'oracle' was asked for"):
        fit(toy, replace(tiny, novelty="oracle"))  # type: ignore[arg-type]
