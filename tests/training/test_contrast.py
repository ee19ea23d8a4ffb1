"""Synthetic negatives: where their columns come from, and what they cost."""

from __future__ import annotations

import pytest
import torch

from idskit.training.synthetic_negatives import FEWEST, MOST, Contrast, attack_loss

ROWS, COLUMNS = 60, torch.tensor([0, 1, 1, 2, 5])  # one column of two places


def make_contrast(**weights: torch.Tensor) -> Contrast:
    """Row r holds r everywhere, so a place tells which row it came from; odd rows are attacks."""
    signals = torch.arange(ROWS, dtype=torch.float32)[:, None].repeat(1, len(COLUMNS))
    labels = torch.arange(ROWS) % 2
    return Contrast(signals, labels, weights.get("weights", torch.ones(ROWS)), COLUMNS)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_places_of_one_column_come_from_one_row():
    drawn = make_contrast().draw(500)
    assert (drawn[:, 1] == drawn[:, 2]).all()


def test_every_value_stays_in_its_place():
    signals = torch.arange(20.0).reshape(4, 5)
    contrast = Contrast(signals, torch.zeros(4, dtype=torch.int64), torch.ones(4), COLUMNS)
    drawn = contrast.draw(200)
    assert (drawn % 5 == signals[0] % 5).all()


def test_most_columns_of_a_row_come_from_one_benign_row_or_from_others():
    drawn = make_contrast().draw(4000)[:, [0, 1, 3, 4]]
    own = drawn.mode(dim=1).values
    swapped = (drawn != own[:, None]).float().mean()
    expected = (FEWEST + MOST) / 2
    assert 0.5 * expected < swapped < expected


def test_rows_without_weight_are_never_drawn():
    weights = (torch.arange(ROWS) < 10).float()
    assert make_contrast(weights=weights).draw(1000).max() < 10


def test_donors_are_drawn_in_proportion_to_their_weight():
    weights = torch.ones(ROWS)
    weights[7] = ROWS - 1
    drawn = make_contrast(weights=weights).draw(4000)
    from_seven = (drawn[:, 0] == 7).float().mean()  # half of the donors, half of the columns
    assert from_seven == pytest.approx(0.25, abs=0.05)


def test_attack_loss_is_the_cross_entropy_against_any_attack():
    logits = torch.randn(50, 4)
    expected = -(1 - logits.softmax(dim=1)[:, 0]).log().mean()
    assert torch.allclose(attack_loss(logits), expected, atol=1e-6)


def test_attack_loss_of_two_classes_is_plain_cross_entropy():
    logits = torch.randn(50, 2)
    labels = torch.ones(50, dtype=torch.int64)
    assert torch.allclose(
        attack_loss(logits), torch.nn.functional.cross_entropy(logits, labels), atol=1e-6
    )
