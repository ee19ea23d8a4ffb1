"""Exact Shapley values of a few players, from the worth of every coalition of them.

L. S. Shapley, "A value for n-person games", 1953. Here a player is a group of features, and the
worth of a coalition is the score of a flow whose other groups have usual values.
"""

from __future__ import annotations

from math import factorial

import numpy as np
from numpy.typing import NDArray


def coalitions(players: int) -> NDArray[np.bool_]:
    """Return all coalitions (2^players, players): player j is in coalition i if bit j of i is set.

    The first is empty, the last is of all.
    """
    numbers = np.arange(1 << players)[:, None]
    return np.asarray(numbers >> np.arange(players) & 1, np.bool_)


def shapley_values(worths: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Shapley value (players,) of every player.

    They add up to the worth of all minus that of none.

    Args:
        worths: (2^players,) of coalitions, in the order of ``coalitions``.
    """
    players = len(worths).bit_length() - 1
    within = coalitions(players)
    weights = np.array(
        [factorial(size) * factorial(players - size - 1) for size in range(players)], np.float64
    ) / factorial(players)
    values = np.empty(players)
    for player in range(players):
        without = np.flatnonzero(~within[:, player])
        gains = worths[without | (1 << player)] - worths[without]
        values[player] = weights[within[without].sum(axis=1)] @ gains
    return values
