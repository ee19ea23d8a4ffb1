"""Explanations of flows, by models whose reasons are known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.explain.fake_judge import FakeJudge, column, row_of, shapley_by_orders, usual_of

from idskit import Detector, SchemaError
from idskit.explain.explain_flow import LEADING, explain_flow
from idskit.explain.usual import shipped_usual
from idskit.incidents.incident import Explanation
from idskit.schema import Feature, Schema
from idskit.schemas.feature_groups import (
    AMOUNT,
    CONNECTION,
    DESTINATION,
    PAIR,
    PAYLOADS,
    SOURCE,
    TIMING,
    feature_groups,
)  # fmt: skip
from idskit.schemas.gateway_columns import GATEWAY

ZERO = usual_of(row_of())


def shares(explanation: Explanation) -> dict[str, float]:
    return {group.name: group.share for group in explanation.groups}


def error_of_sum(explanation: Explanation) -> float:
    return abs(explanation.base + sum(shares(explanation).values()) - explanation.score)


def tangled(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log-odds in which five groups depend on each other."""
    flows, failed = rows[:, column("dst_10m_flows")], rows[:, column("src_1m_failed")]
    words, gap = rows[:, column("fwd_sql_words")], rows[:, column("flow_iat_min")]
    syn = rows[:, column("syn_count")]
    return -1 + flows * failed + np.maximum(words, syn) - 0.3 * gap * flows + np.sqrt(syn)


def test_shares_are_those_of_all_orders_of_groups() -> None:
    flow = row_of(
        dst_10m_flows=1.3, src_1m_failed=2, fwd_sql_words=1, flow_iat_min=0.7, syn_count=2
    )
    judge = FakeJudge(tangled)
    found = explain_flow(judge, flow, ZERO)
    expected = shapley_by_orders(judge, flow, ZERO.p50)
    assert set(expected) == {DESTINATION, SOURCE, PAYLOADS, TIMING, CONNECTION}
    assert shares(found) == pytest.approx(expected, abs=1e-6)
    assert error_of_sum(found) < 1e-6
    assert [group.share for group in found.groups] == sorted(shares(found).values(), reverse=True)


def test_a_group_without_effect_gets_nothing_and_equal_ones_get_the_same() -> None:
    def both(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        return -2 + 3 * rows[:, column("dst_10m_flows")] * rows[:, column("src_1m_failed")]

    found = explain_flow(
        FakeJudge(both), row_of(dst_10m_flows=1, src_1m_failed=1, pair_1m_flows=9), ZERO
    )
    assert shares(found)[PAIR] == pytest.approx(0, abs=1e-6)
    assert shares(found)[SOURCE] == pytest.approx(1.5, abs=1e-5)
    assert shares(found)[DESTINATION] == pytest.approx(1.5, abs=1e-5)


def test_columns_that_measure_the_same_are_one_feature() -> None:
    same = ("dst_2s_flows", "dst_10s_flows", "dst_10m_flows")

    def any_of(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        return -2 + 5 * np.maximum.reduce([rows[:, column(name)] for name in same])

    row = row_of(dst_2s_flows=1, dst_10s_flows=1, dst_10m_flows=0.9, fwd_packets=1)
    (feature,) = explain_flow(FakeJudge(any_of), row, ZERO).features[:1]
    assert {feature.name, *feature.also} == set(same)
    assert feature.share == pytest.approx(5, abs=1e-4)


def test_a_feature_is_named_by_the_column_that_matters_most() -> None:
    def one(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        return -2 + rows[:, column("src_2s_peers")] + 3 * rows[:, column("src_64_peers")]

    found = explain_flow(FakeJudge(one), row_of(src_2s_peers=1, src_64_peers=2), ZERO)
    assert [(f.name, f.value, f.also) for f in found.features] == [
        ("src_64_peers", 2, ("src_2s_peers",))
    ]
    assert found.features[0].share == pytest.approx(7, abs=1e-4)


def test_features_that_cover_for_each_other_are_all_named() -> None:
    same = ("dst_2s_flows", "src_2s_flows", "pair_1m_flows")

    def any_of(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        return -2 + 5 * np.maximum.reduce([rows[:, column(name)] for name in same])

    found = explain_flow(FakeJudge(any_of), row_of(**dict.fromkeys(same, 1.0), fwd_packets=1), ZERO)
    assert {feature.name for feature in found.features[:3]} == set(same)
    assert sum(feature.share for feature in found.features) == pytest.approx(5, abs=1e-4)


def test_leading_features_come_with_what_is_usual() -> None:
    def formula(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        return -3 + rows[:, column("fwd_packets")]

    usual = usual_of(row_of(fwd_packets=2))
    found = explain_flow(FakeJudge(formula), row_of(fwd_packets=6), usual, sentence="So it was.")
    (feature,) = found.features
    assert (feature.name, feature.value, feature.unit) == ("fwd_packets", 6, "packets")
    assert (feature.usual_p50, feature.usual_p99) == (2, 3)
    assert feature.share == pytest.approx(4, abs=1e-5)
    assert found.sentence == "So it was."
    assert "a test" in found.method


def test_a_usual_flow_has_no_shares() -> None:
    judge = FakeJudge(tangled)
    found = explain_flow(judge, ZERO.p50, ZERO)
    assert (found.groups, found.features) == ((), ())
    assert found.base == found.score == pytest.approx(-1, abs=1e-6)
    assert judge.rows <= 2


@pytest.mark.parametrize("size", [40.0, 400.0, -400.0])
def test_saturated_scores_stay_finite_and_add_up(size: float) -> None:
    def steep(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        with np.errstate(over="ignore"):
            return np.clip(size * (rows[:, column("fwd_packets")] - 0.5), -700, 700)

    found = explain_flow(FakeJudge(steep), row_of(fwd_packets=1, src_1m_failed=1), ZERO)
    assert np.isfinite([found.base, found.score, *shares(found).values()]).all()
    assert error_of_sum(found) < 1e-6
    assert abs(shares(found)[AMOUNT]) == max(map(abs, shares(found).values()))
    assert shares(found)[AMOUNT] * size > 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_refused(value: float) -> None:
    judge = FakeJudge(tangled)
    with pytest.raises(SchemaError, match="fwd_packets"):
        explain_flow(judge, row_of(fwd_packets=value), ZERO)
    with pytest.raises(SchemaError, match="fwd_packets"):
        explain_flow(judge, row_of(), usual_of(row_of(fwd_packets=value)))


def test_a_row_of_another_width_is_refused() -> None:
    with pytest.raises(SchemaError, match=str(len(GATEWAY))):
        explain_flow(FakeJudge(tangled), np.zeros(12, np.float32), ZERO)


def test_a_model_of_other_columns_needs_what_is_usual() -> None:
    toy = Schema(name="toy", features=(Feature(name="duration", unit="us"),))
    judge = FakeJudge(lambda rows: rows[:, 0], toy)
    row = np.ones(1, np.float32)
    with pytest.raises(SchemaError, match="pass what is usual"):
        explain_flow(judge, row)
    found = explain_flow(judge, row, usual_of(np.zeros(1, np.float32)))
    assert shares(found) == pytest.approx({"other columns": 1.0}, abs=1e-6)


def test_the_shipped_model_is_explained_exactly() -> None:
    detector = Detector.load(threads=1)
    row = shipped_usual(detector.schema, row_of(is_tcp=1)).p99
    found = explain_flow(detector, row)
    assert error_of_sum(found) < 1e-6
    (probabilities,) = detector.probabilities(row[None])
    score = float(probabilities[1:].sum(dtype=np.float64))
    assert found.score == pytest.approx(np.log(score / probabilities[0]), abs=1e-4)
    assert len(found.features) == LEADING
    assert "TCP flows" in found.method
    assert Explanation.from_json(found.to_json()) == found
    assert {group.name for group in found.groups} <= {g.name for g in feature_groups(GATEWAY)}
