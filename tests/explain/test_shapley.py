"""Shapley values against their axioms, against all orders of the players, and against shap."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from idskit.explain.shapley import coalitions, shapley_values


def by_orders(worths: NDArray[np.float64], players: int) -> NDArray[np.float64]:
    values = np.zeros(players)
    orders = list(permutations(range(players)))
    for order in orders:
        coalition = 0
        for player in order:
            gain = worths[coalition | 1 << player] - worths[coalition]
            values[player] += gain / len(orders)
            coalition |= 1 << player
    return values


@pytest.mark.parametrize("players", [1, 2, 3, 5, 6])
def test_values_are_those_of_all_orders(players: int) -> None:
    worths = np.random.default_rng(players).normal(size=1 << players)
    values = shapley_values(worths)
    np.testing.assert_allclose(values, by_orders(worths, players), atol=1e-12)
    assert values.sum() == pytest.approx(worths[-1] - worths[0], abs=1e-12)


def test_nobody_plays() -> None:
    assert shapley_values(np.array([3.0])).shape == (0,)


def test_who_adds_nothing_gets_nothing_and_equals_get_the_same() -> None:
    within = coalitions(4)
    worths = 3.0 * within[:, 0] * within[:, 1] + np.sqrt(1.0 + within[:, 3])  # 2 is a dummy
    values = shapley_values(worths)
    assert values[2] == pytest.approx(0, abs=1e-12)
    assert values[0] == pytest.approx(values[1], abs=1e-12)
    assert values[0] == pytest.approx(1.5, abs=1e-12)


def test_shap_says_the_same() -> None:
    shap: Any = pytest.importorskip("shap", reason="shap is not installed")
    players = 5
    worths = np.random.default_rng(0).normal(size=1 << players)
    bits = 1 << np.arange(players)

    def worth(rows: NDArray[Any]) -> NDArray[np.float64]:
        return worths[(rows.astype(int) * bits).sum(axis=1)]

    explainer = shap.KernelExplainer(worth, np.zeros((1, players)))
    found = explainer.shap_values(np.ones((1, players)), nsamples=1 << players, silent=True)
    np.testing.assert_allclose(np.ravel(found), shapley_values(worths), atol=1e-6)
