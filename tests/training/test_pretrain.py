"""Pre-training: what it learns without labels, and that training goes on as without it."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from idskit.data.dataset import Dataset
from idskit.data.published import nsl_kdd
from idskit.models.network import Network
from idskit.models.saved_run import load_run
from idskit.report.progress import ProgressBar
from idskit.training.fit import build_network, fit
from idskit.training.members.network_member import NetworkMember
from idskit.training.pretrain import PRETRAIN_EPOCHS, pretrain
from idskit.training.settings import ResolvedSettings, TrainingSettings
from idskit.training.train import train

SETTINGS = TrainingSettings(width=8, epochs=3, batch=64, threads=1, novelty="none", trees="none")


@pytest.fixture(scope="module")
def toy(toy: Dataset) -> Dataset:
    """Fewer rows: what is asked here does not depend on their number."""
    part = toy.train
    fewer = replace(
        part,
        rows=part.rows[:160],
        labels=part.labels[:160],
        weights=part.weights[:160],
        groups=part.groups[:160],
    )
    return replace(toy, train=fewer)


def related(rows: int, length: int) -> torch.Tensor:
    """Signals whose places each are one of three numbers drawn for the row."""
    return torch.randn(rows, 3)[:, torch.arange(length) % 3]


def last_loss(
    network: Network, signals: torch.Tensor, settings: ResolvedSettings, patch: pytest.MonkeyPatch
) -> float:
    losses: list[float] = []
    patch.setattr(
        ProgressBar, "show", lambda _, done, note: losses.append(float(note.removeprefix("loss ")))
    )
    pretrain(network, signals, settings)
    assert len(losses) == PRETRAIN_EPOCHS
    return losses[-1]


@pytest.fixture
def settings() -> ResolvedSettings:
    return replace(SETTINGS, batch=64, model="mlp", frontend="none").resolved()


def test_what_hangs_together_is_rebuilt_and_noise_is_not(
    toy: Dataset, settings: ResolvedSettings, monkeypatch: pytest.MonkeyPatch
):
    torch.manual_seed(0)
    network = build_network(toy, settings)
    length = network.preparation.length
    noise = last_loss(network, torch.randn(2048, length), settings, monkeypatch)
    assert last_loss(network, related(2048, length), settings, monkeypatch) < 0.7 * noise


def test_the_last_layer_is_as_it_was(toy: Dataset, settings: ResolvedSettings):
    network = build_network(toy, settings)
    last = network.body.classifier
    weight, first = last.weight.clone(), network.body.layers[0].weight.clone()
    pretrain(network, torch.randn(128, network.preparation.length), settings)
    assert network.body.classifier is last
    assert torch.equal(last.weight, weight)
    assert not torch.equal(network.body.layers[0].weight, first)


def test_no_label_is_looked_at(toy: Dataset):
    """Rows of which all labels are swapped start training from the same weights."""
    swapped = replace(toy, train=replace(toy.train, labels=1 - toy.train.labels))
    whole = SETTINGS.resolved()
    states = []
    for dataset in (toy, swapped):
        torch.manual_seed(3)
        network = build_network(dataset, whole)
        pretrain(network, network.preparation(torch.from_numpy(dataset.train.rows)).detach(), whole)
        states.append(network.state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_draws_of_training_do_not_depend_on_it(toy: Dataset, settings: ResolvedSettings):
    network = build_network(toy, settings)
    signals = torch.randn(128, network.preparation.length)
    torch.manual_seed(5)
    pretrain(network, signals, settings)
    after = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(3))


@pytest.mark.parametrize("model", ["resnet18", "gru", "swin", "kernel"])
def test_every_network_can_be_pre_trained(toy: Dataset, model: str):
    whole = replace(SETTINGS, model=model, epochs=1).resolved()
    network = build_network(toy, whole)
    pretrain(network, network.preparation(torch.from_numpy(toy.train.rows)).detach(), whole)
    assert np.isfinite(network.eval().probabilities(toy.test.rows)).all()


def test_a_stopped_run_goes_on_to_the_same_result(
    toy: Dataset, table_without_labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """With a teacher, which draws synthetic negatives after pre-training."""
    unlabelled = [table_without_labels]
    settings = replace(SETTINGS, teacher=["lightgbm"], contrast=0.5, unlabelled=unlabelled)
    whole = fit(toy, settings)
    with monkeypatch.context() as patch:
        patch.setattr(NetworkMember, "epochs", lambda loop: range(1))
        fit(toy, settings, folder=tmp_path)
    resumed = fit(toy, settings, folder=tmp_path, resume=True)
    assert [e.train_loss for e in whole.history] == [e.train_loss for e in resumed.history]
    expected = whole.network.probabilities(toy.test.rows)
    assert (resumed.network.probabilities(toy.test.rows) == expected).all()


def test_rows_without_labels_are_rebuilt_too(toy: Dataset, table_without_labels: Path):
    more = replace(toy, unlabelled=toy.test.rows)
    settings = replace(SETTINGS, epochs=1, unlabelled=[table_without_labels])
    alone, both = (fit(data, settings).network for data in (toy, more))
    name = "body.conv1.weight"
    assert not torch.equal(alone.state_dict()[name], both.state_dict()[name])


def test_a_run_names_its_tables_by_their_content(
    nsl_folder: Path, table_without_labels: Path, tmp_path: Path
):
    settings = replace(SETTINGS, epochs=1, unlabelled=[table_without_labels])
    document = train(settings, data=nsl_folder, output=tmp_path)
    recorded = load_run(tmp_path).facts["settings"]["unlabelled"]
    assert recorded == [hashlib.sha256(table_without_labels.read_bytes()).hexdigest()]
    assert "pre-trained on 2 rows without labels as well" in document["notes"]


@pytest.fixture
def table_without_labels(tmp_path: Path) -> Path:
    file = tmp_path / "more.csv"
    row = ["tcp" if n == "protocol_type" else "0" for n in nsl_kdd.HEADER]
    file.write_text("\n".join([",".join(nsl_kdd.HEADER), *[",".join(row)] * 2]) + "\n")
    return file
