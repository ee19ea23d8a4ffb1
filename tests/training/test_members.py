"""The loop over members: each counts only as far as it helps, and what is saved says the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.metrics import log_loss

from idskit.data.dataset import Dataset, Part
from idskit.training import fit as fit_module
from idskit.training.fit import Fitted, fit
from idskit.training.members.member import LabelledSignals, Member
from idskit.training.members.trees_member import TreesMember
from idskit.training.settings import TrainingSettings


@pytest.fixture(scope="module")
def shifted(toy: Dataset) -> Dataset:
    """The toy with wrong labels on a tenth of the validation rows: certainty is punished."""
    wrong = np.random.default_rng(1).random(len(toy.validation)) < 0.1
    labels = np.where(wrong, 1 - toy.validation.labels, toy.validation.labels)
    return replace(toy, validation=replace(toy.validation, labels=labels))


@pytest.fixture(scope="module")
def said(shifted: Dataset) -> tuple[Fitted, list[np.ndarray]]:
    """A run with every member, and the log-odds of validation rows after each of them."""
    settings = TrainingSettings(
        width=8, epochs=2, batch=64, threads=1, novelty="autoencoder", trees="lightgbm"
    )
    after: list[np.ndarray] = []

    def noting(members: list[Member], network: torch.nn.Module, validation: Part) -> None:
        for member in members:
            member.log_odds = noted(member.log_odds)  # type: ignore[method-assign]
        calibrate(members, network, validation)

    def noted(ask):
        def log_odds(held: LabelledSignals) -> torch.Tensor:
            after.append(ask(held).numpy())
            return ask(held)

        return log_odds

    calibrate = fit_module._calibrate
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit_module, "_calibrate", noting)
        return fit(shifted, settings), after


def test_the_saved_model_says_what_the_members_said(shifted: Dataset, said):
    fitted, after = said
    assert len(after) == 3
    found = fitted.network.probabilities(shifted.validation.rows)
    np.testing.assert_allclose(found, softmax(after[-1], axis=1), atol=1e-6)


def test_no_member_makes_validation_labels_less_likely(shifted: Dataset, said):
    _, after = said
    labels = shifted.validation.labels
    losses = [log_loss(labels, softmax(each.astype(np.float64), axis=1)) for each in after]
    assert losses[1] <= losses[0] + 1e-6, "a share of no trees was possible"
    assert max(losses) < log_loss(labels, np.full((len(labels), 2), 0.5))


def test_trees_that_know_nothing_get_no_share(
    toy: Dataset, tiny: TrainingSettings, monkeypatch: pytest.MonkeyPatch
):
    """The trees are fitted to permuted labels, the network to the right ones."""
    rng = np.random.default_rng(0)
    permuted = replace(toy.train, labels=rng.permutation(toy.train.labels))
    prepare = TreesMember.__init__

    def on_permuted(self, network, dataset, settings) -> None:
        prepare(self, network, replace(dataset, train=permuted), settings)

    monkeypatch.setattr(TreesMember, "__init__", on_permuted)
    fitted = fit(toy, replace(tiny, epochs=4, batch=32, trees="lightgbm", novelty="none"))
    assert fitted.network.trees is not None
    assert float(fitted.network.trees.share) < 0.2
