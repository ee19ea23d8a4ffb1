"""Settings of the signal and the loss through training; packets from captures to alerts."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.svm import LinearSVC

from idskit import metrics
from idskit.cli import main
from idskit.data.dataset import Dataset
from idskit.data.resample import Resample
from idskit.errors import DataError, RunError
from idskit.generate import generate
from idskit.models.frontend import LearnableMFCC
from idskit.models.saved_run import load_run
from idskit.profiles import schema_named
from idskit.profiles.flow_reader import open_flows
from idskit.schemas.catalog import learned
from idskit.training.fit import build_network, fit
from idskit.training.settings import TrainingSettings
from idskit.training.train import load_data, train

TINY = TrainingSettings(width=8, epochs=2, batch=64, threads=1, teacher=["none"], contrast=0.0)


def idskit(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(arguments)
    assert done.value.code == 0


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four captures with the label of every flow beside them."""
    folder = tmp_path_factory.mktemp("captures")
    for seed in range(4):
        generate(folder / f"home-{seed}.pcap", packets=3000, seed=seed)
    return folder


@pytest.fixture(scope="module")
def run(captures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network trained on the series of packets of these captures."""
    folder = tmp_path_factory.mktemp("run")
    flags = "--schema packets --epochs 3 --teacher none --threads 1 --set width=8 --set generated=0"
    idskit(["train", "captures", "--data", str(captures), *flags.split(), "-o", str(folder)])
    return folder


def test_series_are_channels_of_one_image(run: Path):
    trained = load_run(run)
    assert trained.schema.name == "packets"
    assert trained.facts["settings"]["signal"] == "packets"
    assert trained.network.preparation.channels == 3
    assert trained.network.frontend.size == (3 * 13, 8)


def test_the_exported_file_is_exact_and_alerts_on_what_torch_would(
    run: Path, captures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    file = tmp_path / "packets.onnx"
    idskit(["export", str(run), "-o", str(file), "--json", str(tmp_path / "export.json")])
    report = json.loads((tmp_path / "export.json").read_text())
    assert report["fp32_against_torch"]["max_difference"] <= 1e-5
    capsys.readouterr()
    capture = captures / "home-0.pcap"
    idskit(["detect", str(file), "-r", str(capture), "--threshold", "0.5", "--alerts"])
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    alerts = [event for event in events if "flow" in event]
    with open_flows(capture, "packets") as flows:
        rows = np.concatenate([batch.features for batch in flows.batches()]).astype(np.float32)
    score = metrics.attack_score(load_run(run).network.probabilities(rows))
    assert 0.2 < (score >= 0.5).mean() < 0.9
    assert len(alerts) == (score >= 0.5).sum()


def test_both_schemas_in_one_record(captures: Path):
    settings = replace(TINY, dataset="captures", schema="gateway-packets", generated=0).resolved()
    dataset = load_data(settings, captures)
    assert dataset.train.rows.shape[1] == len(learned("gateway-packets"))
    assert "credentials" in schema_named("gateway-packets").names
    assert "credentials" not in learned("gateway-packets").names
    assert settings.signal == "features"
    assert build_network(dataset, settings).preparation.channels == 1


def test_other_columns_are_no_series_of_packets(toy: Dataset):
    with pytest.raises(DataError, match="schema toy are no series of packets"):
        fit(toy, replace(TINY, signal="packets"))


def test_captures_have_the_schemas_of_the_projects_own_flows(captures: Path, tmp_path: Path):
    settings = replace(TINY, dataset="captures", schema="kdd99")
    with pytest.raises(DataError, match="captures are read with gateway, packets, gateway-packets"):
        train(settings, data=captures, output=tmp_path)


@pytest.mark.parametrize("how", ["over", "under"])
def test_resampling_is_of_training_rows_and_in_the_notes(captures: Path, how: Resample):
    plain = replace(TINY, dataset="captures", generated=0).resolved()
    resampled = replace(plain, resample=how)
    before, after = (load_data(settings, captures) for settings in (plain, resampled))
    sizes = [Counter(each.train.labels.tolist()).values() for each in (before, after)]
    assert [len(set(each)) for each in sizes] == [2, 1]
    assert len(after.validation) == len(before.validation)
    assert f"{how}-sampled" in after.notes[-1]


def test_pca_is_fitted_to_the_training_rows_before_the_first_step(toy: Dataset):
    settings = replace(TINY, pca=4).resolved()
    network = build_network(toy, settings)
    frontend = network.frontend
    assert isinstance(frontend, LearnableMFCC)
    signals = network.preparation(torch.from_numpy(toy.train.rows))
    cepstra = (frontend.log_mel(signals) @ frontend.cepstrum_map()).detach().flatten(0, 1).numpy()
    covariance = np.cov(cepstra.astype(np.float64).T)
    off = covariance - np.diag(np.diag(covariance))
    assert np.abs(off).max() < 1e-4 * covariance.max()
    assert (np.diff(np.diag(covariance)) < 0).all()  # the greatest variance first
    fitted = fit(toy, settings)
    assert fitted.network.frontend.components.equal(frontend.components)  # kept fixed


def test_hinge_loss_is_that_of_a_support_vector_machine(toy: Dataset):
    """On separable rows the machine and scikit-learn's agree on nearly all of them."""
    settings = replace(TINY, model="svm", epochs=15, frontend="mfcc-fixed")
    network = fit(toy, settings).network
    assert network.settings.model == "svm"
    with torch.no_grad():
        parts = [network.preparation(torch.from_numpy(p.rows)) for p in (toy.train, toy.test)]
        train_map, test_map = (network.body.features(network.frontend(s).flatten(1)) for s in parts)
    oracle = LinearSVC(C=10).fit(train_map.numpy(), toy.train.labels)
    expected = oracle.predict(test_map.numpy())
    found = network.probabilities(toy.test.rows).argmax(axis=1)
    assert (found == toy.test.labels).mean() > 0.85
    assert (found == expected).mean() > 0.85


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"pca": 14}, "pca is 14: choose 0 to 13"),
        ({"pca": 3, "frontend": "stft"}, "pca 3 was asked for, but the front end is stft"),
        ({"model": "svm", "teacher": ["lightgbm"]}, "hinge loss learns labels only"),
        ({"resample": "smote"}, "resample 'smote' was asked for, but the choices are none, over"),
        (
            {"signal": "bytes"},
            "signal 'bytes' was asked for, but the choices are features, packets",
        ),
    ],
)
def test_settings_that_do_not_fit_are_named(toy: Dataset, change: dict[str, object], sentence: str):
    with pytest.raises(RunError, match=sentence):
        fit(toy, replace(TINY, **change))  # type: ignore[arg-type]
