"""Every network through fitting, saving and loading."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from idskit import metrics
from idskit.data.dataset import Dataset
from idskit.errors import RunError
from idskit.models import frontend as frontend_module
from idskit.models.network import MODELS, Model
from idskit.models.saved_run import LabelledRows, Run, load_run, save_run
from idskit.training.fit import build_network, fit
from idskit.training.settings import TrainingSettings
from idskit.training.train import train

TINY = TrainingSettings(width=8, epochs=6, batch=64, threads=1)


@pytest.mark.parametrize("model", MODELS)
def test_every_network_learns_what_can_be_learned(toy: Dataset, model: Model):
    epochs = 6 if model == "swin" else 15  # it takes ten times as long
    fitted = fit(toy, replace(TINY, model=model, epochs=epochs))
    score = metrics.attack_score(fitted.network.probabilities(toy.test.rows))
    assert metrics.area_under(metrics.roc_curve(toy.test.labels > 0, score)) > 0.75


@pytest.mark.parametrize("model", MODELS)
def test_every_network_is_the_same_after_saving(toy: Dataset, tmp_path: Path, model: Model):
    torch.manual_seed(0)
    network = build_network(toy, replace(TINY, model=model).resolved()).eval()
    calibration, held = (
        LabelledRows(flows=part.rows, labels=part.labels) for part in (toy.train, toy.validation)
    )
    run = Run(
        network=network,
        schema=toy.schema,
        classes=toy.classes,
        threshold=0.5,
        facts={},
        calibration=calibration,
        held=held,
    )
    save_run(run, tmp_path)
    loaded = load_run(tmp_path)
    assert loaded.network.settings == network.settings
    found, expected = (n.probabilities(toy.test.rows) for n in (loaded.network, network))
    assert np.array_equal(found, expected)


def test_a_run_of_before_there_were_other_networks_is_a_resnet18_on_mfcc(
    nsl_folder: Path, tmp_path: Path
):
    train(replace(TINY, epochs=1), data=nsl_folder, output=tmp_path)
    document = json.loads((tmp_path / "run.json").read_text())
    for name in ("model", "frontend"):
        del document["network"][name]
    (tmp_path / "run.json").write_text(json.dumps(document))
    settings = load_run(tmp_path).network.settings
    assert (settings.model, settings.frontend) == ("resnet18", "mfcc")


def test_a_network_brings_the_front_end_of_its_source():
    assert TrainingSettings(model="gru").resolved().frontend == "stft"
    assert TrainingSettings(model="gru", frontend="none").resolved().frontend == "none"


def test_shuffling_columns_changes_their_order_and_nothing_else(toy: Dataset):
    plain, shuffled = (
        build_network(toy, replace(TINY, shuffle_columns=on).resolved()).preparation
        for on in (False, True)
    )
    rows = torch.from_numpy(toy.test.rows)
    assert not plain(rows).equal(shuffled(rows))
    assert plain(rows).sort(dim=1).values.equal(shuffled(rows).sort(dim=1).values)


def test_window_penalty_keeps_the_window_nearer_to_smooth_and_symmetric(
    toy: Dataset, monkeypatch: pytest.MonkeyPatch
):
    windows = []
    for weight in (0.0, 10.0):
        monkeypatch.setattr(frontend_module, "WINDOW_PENALTY", weight)
        windows.append(fit(toy, replace(TINY, epochs=2)).network.frontend.window)
    free, held = windows
    assert penalised(held) < penalised(free)


def penalised(window: torch.Tensor) -> float:
    """Squared second differences and squared asymmetry, what the penalty weighs."""
    values = window.detach().double().numpy()
    return float((np.diff(values, 2) ** 2).sum() + ((values - values[::-1]) ** 2).sum())


def test_a_run_without_a_filter_bank_draws_none(nsl_folder: Path, tmp_path: Path):
    train(replace(TINY, model="gru", epochs=1), data=nsl_folder, output=tmp_path)
    assert (tmp_path / "loss.svg").exists()
    assert not (tmp_path / "filter-bank.svg").exists()


@pytest.mark.parametrize(("name", "value"), [("model", "vgg"), ("frontend", "leaf")])
def test_unknown_names_are_refused_with_the_choices(toy: Dataset, name: str, value: str):
    with pytest.raises(RunError, match=f"{name} '{value}' was asked for, but the choices are"):
        fit(toy, replace(TINY, **{name: value}))
