"""Fitting: learns, repeats, resumes, stops early, refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from idskit.data.dataset import Dataset, Part, join
from idskit.errors import DeviceError, RunError
from idskit.metrics import area_under, attack_score, roc_curve
from idskit.training.checkpoint import CHECKPOINT_FILE
from idskit.training.fit import Fitted, build_network, fit
from idskit.training.members import network_member
from idskit.training.members.calibration import fit_temperature, negative_log_likelihood
from idskit.training.settings import TrainingSettings

Same = Callable[[object, object], bool]


def roc_auc(fitted: Fitted, part: Part) -> float:
    score = attack_score(fitted.network.probabilities(part.rows))
    return area_under(roc_curve(part.labels > 0, score))


def with_permuted_labels(part: Part) -> Part:
    return replace(part, labels=np.random.default_rng(0).permutation(part.labels))


class Killed(Exception):
    """Stands for the process being stopped."""


def killed_after(epochs: int) -> Callable[..., None]:
    """A ``save_checkpoint`` after which the process dies."""
    save, done = network_member.save_checkpoint, []

    def save_and_die(*arguments: object) -> None:
        save(*arguments)  # type: ignore[arg-type]
        done.append(1)
        if len(done) == epochs:
            raise Killed

    return save_and_die


def test_learns_what_can_be_learned(toy: Dataset, tiny: TrainingSettings):
    assert roc_auc(fit(toy, replace(tiny, epochs=4, batch=32)), toy.test) > 0.9


def test_permuted_labels_give_chance(toy: Dataset, tiny: TrainingSettings):
    permuted = replace(
        toy,
        train=with_permuted_labels(toy.train),
        validation=with_permuted_labels(toy.validation),
    )
    assert roc_auc(fit(permuted, tiny), with_permuted_labels(toy.test)) == pytest.approx(
        0.5, abs=0.1
    )


def test_the_same_seed_gives_the_same_network(
    toy: Dataset, tiny: TrainingSettings, same_state: Same
):
    first, second = fit(toy, tiny), fit(toy, tiny)
    assert same_state(first.network, second.network)
    assert first.threshold == second.threshold


def test_another_seed_gives_another_network(toy: Dataset, tiny: TrainingSettings, same_state: Same):
    assert not same_state(fit(toy, tiny).network, fit(toy, replace(tiny, seed=1)).network)


def test_fitting_leaves_the_callers_random_numbers_and_threads_alone(
    toy: Dataset, tiny: TrainingSettings
):
    threads = torch.get_num_threads()
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    fit(toy, replace(tiny, epochs=1))
    assert torch.rand(4).equal(expected)
    assert torch.get_num_threads() == threads


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(
    toy: Dataset,
    tiny: TrainingSettings,
    same_state: Same,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    settings = replace(tiny, epochs=3)
    whole = fit(toy, settings)
    with monkeypatch.context() as patch:
        patch.setattr(network_member, "save_checkpoint", killed_after(1))
        with pytest.raises(Killed):
            fit(toy, settings, folder=tmp_path)
    resumed = fit(toy, settings, folder=tmp_path, resume=True)
    assert same_state(whole.network, resumed.network)
    assert whole.threshold == resumed.threshold
    assert [e.train_loss for e in whole.history] == [e.train_loss for e in resumed.history]


def test_resuming_with_other_settings_names_those_that_differ(
    toy: Dataset, tiny: TrainingSettings, tmp_path: Path
):
    fit(toy, tiny, folder=tmp_path)
    changed = replace(tiny, width=16, learning_rate=0.01)
    with pytest.raises(RunError, match=r"learning_rate is 0.01 and was .*; width is 16 and was 8;"):
        fit(toy, changed, folder=tmp_path, resume=True)


def test_resuming_on_other_data_is_refused(toy: Dataset, tiny: TrainingSettings, tmp_path: Path):
    fit(toy, tiny, folder=tmp_path)
    with pytest.raises(RunError, match=r"data is \{'toy': '1'\} and was \{'toy': '0'\}"):
        fit(replace(toy, sha256={"toy": "1"}), tiny, folder=tmp_path, resume=True)


def test_resuming_from_nothing_is_refused(toy: Dataset, tiny: TrainingSettings, tmp_path: Path):
    with pytest.raises(RunError, match=r"has no checkpoint\.safetensors: train without resuming"):
        fit(toy, tiny, folder=tmp_path, resume=True)


def test_resuming_from_a_damaged_checkpoint_is_refused(
    toy: Dataset, tiny: TrainingSettings, tmp_path: Path
):
    (tmp_path / CHECKPOINT_FILE).write_bytes(b"not tensors")
    with pytest.raises(RunError, match="is damaged"):
        fit(toy, tiny, folder=tmp_path, resume=True)


def test_stops_early_and_keeps_the_best_epoch(toy: Dataset, tiny: TrainingSettings):
    permuted = replace(toy, train=with_permuted_labels(toy.train))
    fitted = fit(permuted, replace(tiny, epochs=30, patience=2))
    losses = [epoch.validation_loss for epoch in fitted.history]
    assert len(losses) == fitted.best_epoch + 3 < 30
    assert losses[fitted.best_epoch] == min(losses)


def test_kept_weights_give_the_best_epochs_validation_loss(toy: Dataset, tiny: TrainingSettings):
    fitted = fit(toy, tiny)
    network = fitted.network
    with torch.inference_mode():
        signals = network.preparation(torch.from_numpy(toy.validation.rows))
        logits = network.logits(signals) / network.temperature
        loss = functional.cross_entropy(logits, torch.from_numpy(toy.validation.labels))
    best = fitted.history[fitted.best_epoch].validation_loss
    assert float(loss) == pytest.approx(best, rel=1e-4)


def test_threshold_keeps_the_false_positive_rate_on_validation_rows(
    toy: Dataset, tiny: TrainingSettings
):
    fitted = fit(toy, replace(tiny, false_positive_rate=0.1))
    benign = toy.validation.rows[toy.validation.labels == 0]
    alerts = attack_score(fitted.network.probabilities(benign)) >= fitted.threshold
    assert 0.05 < alerts.mean() <= 0.1


def test_fixed_stages_do_not_move(toy: Dataset, tiny: TrainingSettings):
    fixed = replace(tiny, epochs=1, frontend="mfcc-fixed")
    before = build_network(toy, fixed.resolved()).frontend
    after = fit(toy, fixed).network.frontend
    for stage in ("window", "cosine", "sine", "mel", "dct"):
        assert getattr(before, stage).equal(getattr(after, stage))
    moved = fit(toy, replace(fixed, frontend="mfcc")).network.frontend
    assert not before.mel.equal(moved.mel)


def test_weightless_rows_do_not_count_in_the_loss(toy: Dataset, tiny: TrainingSettings):
    """Rows of weight zero with wrong labels leave the validation loss as it is."""
    wrong = replace(
        toy.validation,
        labels=1 - toy.validation.labels,
        weights=np.zeros_like(toy.validation.weights),
    )
    mixed = replace(toy, validation=join([toy.validation, wrong]))
    plain, weighted = fit(toy, tiny), fit(mixed, tiny)
    assert [e.validation_loss for e in weighted.history] == pytest.approx(
        [e.validation_loss for e in plain.history], rel=1e-4
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_cuda_without_a_device_is_an_error(toy: Dataset, tiny: TrainingSettings):
    with pytest.raises(DeviceError, match="cuda was asked for, but torch finds no CUDA device"):
        fit(toy, replace(tiny, device="cuda"))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"width": 12}, "width 12 was asked for, but the choices are 64, 32, 16, 8"),
        ({"scaling": "log"}, "scaling 'log' was asked for, but the choices are log-standard"),
        ({"epochs": 0}, "epochs is 0: choose 1 to 10,000"),
        ({"learning_rate": float("nan")}, "learning_rate is nan: choose 1e-08 to 1.0"),
    ],
)
def test_settings_out_of_range_are_named(
    toy: Dataset, tiny: TrainingSettings, change: dict[str, object], sentence: str
):
    with pytest.raises(RunError, match=sentence):
        fit(toy, replace(tiny, **change))  # type: ignore[arg-type]


def test_paper_protocol_brings_its_own_scaling():
    resolved = TrainingSettings(protocol="paper").resolved()
    assert (resolved.scaling, resolved.encoding) == ("minmax", "ordinal")


def test_scaling_asked_for_wins_over_the_protocols():
    assert TrainingSettings(protocol="paper", scaling="standard").resolved().scaling == "standard"


def test_temperature_minimises_the_likelihood_of_validation_rows():
    generator = torch.Generator().manual_seed(0)
    logits = 5 * torch.randn(400, 3, generator=generator)
    labels = torch.distributions.Categorical(logits=logits / 3).sample()
    weights = torch.rand(400, generator=generator)
    best = fit_temperature(logits, labels, weights)
    at_best = negative_log_likelihood(logits / best, labels, weights)
    for other in (0.97 * best, 1.03 * best):
        assert at_best < negative_log_likelihood(logits / other, labels, weights)
    assert best == pytest.approx(3, rel=0.2)


def named_like_ciciot2023(toy: Dataset) -> Dataset:
    """The toy's columns under names of which a product and a quotient are known."""
    names = {"n2": "Rate", "n3": "IAT", "n7": "Std", "n0": "AVG"}
    features = tuple(
        replace(feature, name=names.get(feature.name, feature.name))
        for feature in toy.schema.features
    )
    return replace(toy, schema=replace(toy.schema, features=features))


def test_a_committee_with_pairs_is_fitted_beside_the_network(toy: Dataset, tiny: TrainingSettings):
    settings = replace(tiny, trees="committee")
    fitted = fit(named_like_ciciot2023(toy), settings)
    trees = fitted.network.trees
    assert trees is not None
    assert trees.derived.products.T.tolist() == [[2, 3], [2, 0]]
    assert trees.derived.quotients.T.tolist() == [[7, 0]]
    assert roc_auc(fitted, toy.test) > 0.95
    plain = fit(toy, replace(tiny, trees="lightgbm")).network.trees
    assert plain is not None
    assert len(trees.root) > len(plain.root)


def test_a_committee_without_known_pairs_is_trees_of_the_columns(
    toy: Dataset, tiny: TrainingSettings
):
    trees = fit(toy, replace(tiny, epochs=1, trees="committee")).network.trees
    assert trees is not None
    assert not trees.derived.products.numel() + trees.derived.quotients.numel()
