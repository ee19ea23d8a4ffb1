"""Explain the score of one flow, exactly, by onnxruntime alone.

    row, usual ──> every coalition of groups, one batch ──> shares of groups
               └─> columns of the leading groups, replaced one after the other ──> leading features

Scores are log-odds of an attack of any class: probabilities saturate, log-odds add up. Columns that
measure the same (flows within 2 s, 10 s, 1 min) are one feature: replaced one at a time, they cover
for each other, and none of them seems to matter. A feature is chosen for what replacing it by its
usual values takes from the score, given those chosen before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from idskit.explain.shapley import coalitions, shapley_values
from idskit.explain.usual import Usual, shipped_usual
from idskit.incidents.evidence import log_odds
from idskit.incidents.incident import Explanation, FeatureShare, GroupShare
from idskit.schema import Schema
from idskit.schemas.feature_groups import FeatureGroup, feature_groups
from idskit.schemas.quantities import quantities

LEADING = 5  # features that an explanation names
_CANDIDATES = 16  # quantities that may follow the first: those that mattered most on their own
_MOST = 0.8  # of what groups raise: the features are chosen among the columns of these
_LEAST = 1e-12  # a probability below it counts as this much: log-odds stay within 27.6 of 0

_Row = NDArray[np.float32]
_Columns = tuple[int, ...]  # of one quantity


class Judge(Protocol):
    """What is explained: a ``Detector``, or whatever answers as it does."""

    @property
    def schema(self) -> Schema:
        """What the columns of a row are."""

    def probabilities(self, features: NDArray[Any], /) -> NDArray[np.float32]:
        """Return probabilities (n, classes) of raw features (n, features), benign first."""


def explain_flow(
    detector: Judge,
    row: NDArray[Any],
    usual: Usual | None = None,
    *,
    sentence: str = "",
) -> Explanation:
    """Explain why a flow has its score.

    Args:
        detector: the model.
        row: (features,) raw features of the flow, in the order of the model's schema.
        usual: what is usual at this site; what idskit ships, measured elsewhere, when None.
        sentence: what happened, in words; see ``idskit.incidents.sentence``.

    Raises:
        SchemaError: wrong width, NaN or infinity; or nothing is known of what is usual.
    """
    (flow,) = detector.schema.check(np.asarray(row)[None])
    usual = shipped_usual(detector.schema, flow) if usual is None else usual
    (instead,) = detector.schema.check(usual.p50[None])
    groups = _unusual(detector.schema, flow, instead)
    worths = _log_odds(detector, _mixed(flow, instead, groups))
    shares = shapley_values(worths).tolist()
    ranked = sorted(zip(groups, shares, strict=True), key=lambda pair: -pair[1])
    without = dict(zip([group.name for group in groups], _without_each(worths), strict=True))
    leading = _leading(detector, flow, instead, _raising(ranked))
    names = _strongest(detector, flow, instead, [columns for columns, _ in leading])
    return Explanation(
        sentence=sentence,
        method=(
            f"Exact Shapley values of {len(groups)} groups of features that are not as usual, in "
            f"log-odds of an attack. Usual is the median of {usual.about}."
        ),
        base=float(worths[0]),
        score=float(worths[-1]),
        groups=tuple(
            GroupShare(name=group.name, share=share, without=without[group.name])
            for group, share in ranked
        ),
        features=tuple(
            _feature(detector.schema, flow, usual, (first, columns), share)
            for first, (columns, share) in zip(names, leading, strict=True)
        ),
    )


def _log_odds(detector: Judge, rows: _Row) -> NDArray[np.float64]:
    return log_odds(detector.probabilities(rows), _LEAST)


def _unusual(schema: Schema, flow: _Row, instead: _Row) -> list[FeatureGroup]:
    """Return the groups that are not as usual; the share of any other is 0."""
    groups = feature_groups(schema)
    differ = flow != instead
    return [group for group in groups if differ[list(group.columns)].any()]


def _mixed(flow: _Row, instead: _Row, groups: Sequence[FeatureGroup]) -> _Row:
    """Return a row for every coalition of groups: theirs of the flow, the others as usual."""
    within = coalitions(len(groups))
    rows = np.tile(instead, (len(within), 1))
    for player, group in enumerate(groups):
        columns = list(group.columns)
        rows[np.ix_(np.flatnonzero(within[:, player]), np.array(columns))] = flow[columns]
    return rows


def _without_each(worths: NDArray[np.float64]) -> list[float]:
    """Return the worth of all groups but one, for each of them."""
    everything = len(worths) - 1
    players = everything.bit_length()
    return [float(worths[everything ^ 1 << player]) for player in range(players)]


def _raising(ranked: Sequence[tuple[FeatureGroup, float]]) -> list[int]:
    """Return the columns of the groups that raise the score, up to most of what they raise."""
    columns: list[int] = []
    whole = sum(max(share, 0.0) for _, share in ranked)
    reached = 0.0
    for group, share in ranked:
        if share <= 0 or reached >= _MOST * whole:
            break
        columns += group.columns
        reached += share
    return columns


def _leading(
    detector: Judge, flow: _Row, instead: _Row, columns: Sequence[int]
) -> list[tuple[_Columns, float]]:
    """Choose quantities one after the other, with what replacing each takes from the score."""
    differ = frozenset(column for column in columns if flow[column] != instead[column])
    parted = (tuple(filter(differ.__contains__, one)) for one in quantities(detector.schema))
    left = [one for one in parted if one]
    rest, score = flow.copy(), _log_odds(detector, flow[None])[0]
    chosen: list[tuple[_Columns, float]] = []
    while left and len(chosen) < LEADING:
        scores = _log_odds(detector, _replaced(rest, instead, left))
        order = np.argsort(scores, kind="stable").tolist()
        best = left[order[0]]
        chosen.append((best, float(score - scores[order[0]])))
        rest[list(best)], score = instead[list(best)], scores[order[0]]
        left = [left[at] for at in order[1 : _CANDIDATES + 1]]
    return chosen


def _strongest(
    detector: Judge, flow: _Row, instead: _Row, quantities: Sequence[_Columns]
) -> list[int]:
    """Return the column of each quantity that takes most from the score alone."""
    columns = [(column,) for columns in quantities for column in columns]
    scores = iter(_log_odds(detector, _replaced(flow, instead, columns)).tolist())
    ranked = (sorted((next(scores), column) for column in one) for one in quantities)
    return [pairs[0][1] for pairs in ranked]


def _replaced(flow: _Row, instead: _Row, quantities: Sequence[_Columns]) -> _Row:
    """Return a row for each quantity, in which it is as usual."""
    rows = np.tile(flow, (len(quantities), 1))
    for row, columns in zip(rows, quantities, strict=True):
        row[list(columns)] = instead[list(columns)]
    return rows


def _feature(
    schema: Schema, flow: _Row, usual: Usual, named: tuple[int, _Columns], share: float
) -> FeatureShare:
    column, columns = named
    feature = schema.features[column]
    return FeatureShare(
        name=feature.name,
        value=float(flow[column]),
        unit=feature.unit,
        usual_p50=float(usual.p50[column]),
        usual_p99=float(usual.p99[column]),
        share=share,
        also=tuple(schema.names[other] for other in columns if other != column),
    )
