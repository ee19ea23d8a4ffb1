"""A detector of a formula, for tests: nothing is loaded, and what it does is known."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idskit.explain.usual import Usual
from idskit.schema import Schema
from idskit.schemas.feature_groups import feature_groups
from idskit.schemas.gateway_columns import GATEWAY


class FakeJudge:
    """Probabilities of two classes whose log-odds a formula of the rows gives."""

    def __init__(
        self,
        formula: Callable[[NDArray[np.float64]], NDArray[np.float64]],
        schema: Schema = GATEWAY,
    ) -> None:
        self.schema = schema
        self.rows = 0  # that it was asked for
        self._formula = formula

    def probabilities(self, features: NDArray[Any]) -> NDArray[np.float32]:
        rows = self.schema.check(features).astype(np.float64)
        self.rows += len(rows)
        attack = 1 / (1 + np.exp(-self._formula(rows)))
        return np.stack([1 - attack, attack], axis=1).astype(np.float32)


def column(name: str) -> int:
    return GATEWAY.names.index(name)


def row_of(**values: float) -> NDArray[np.float32]:
    """Return a row of zeros but for the columns that are named."""
    row = np.zeros(len(GATEWAY), np.float32)
    for name, value in values.items():
        row[column(name)] = value
    return row


def usual_of(row: NDArray[np.float32]) -> Usual:
    return Usual(p50=row, p99=row + 1, about="a test")


def shapley_by_orders(
    judge: FakeJudge, flow: NDArray[np.float32], instead: NDArray[np.float32]
) -> dict[str, float]:
    """Return the mean gain of every group over all orders in which they may come: the oracle."""
    groups = [g for g in feature_groups(judge.schema) if (flow != instead)[list(g.columns)].any()]
    orders = list(permutations(groups))
    gains = dict.fromkeys((group.name for group in groups), 0.0)
    for order in orders:
        row = instead.copy()
        before = _score(judge, row)
        for group in order:
            row[list(group.columns)] = flow[list(group.columns)]
            after = _score(judge, row)
            gains[group.name] += (after - before) / len(orders)
            before = after
    return gains


def _score(judge: FakeJudge, row: NDArray[np.float32]) -> float:
    benign, attack = judge.probabilities(row[None])[0].astype(np.float64)
    return float(np.log(attack) - np.log(benign))
