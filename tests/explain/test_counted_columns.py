"""What sequential tests counted leads an explanation, where they gave most of the evidence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from tests.explain.fake_judge import FakeJudge, row_of
from tests.incidents.judged_flows import Judged, incidents_of
from tests.incidents.test_sentence import incident

from idskit.explain.explain_incident import explained
from idskit.incidents.incident import SUSPECTED, Evidence, FeatureShare, Incident
from idskit.schemas.gateway_columns import GATEWAY

JUDGE = FakeJudge(lambda rows: rows[:, GATEWAY.names.index("src_1m_failed")] - 3.0)
ROW = row_of(is_tcp=1, src_1m_failed=9)


def refused(nats: float, *columns: tuple[str, float]) -> Evidence:
    return Evidence(name="refused logins", value=9, unit="flows", nats=nats, columns=columns)


def suspected(nats: float) -> Evidence:
    return Evidence(name=SUSPECTED, value=9, unit="flows", nats=nats)


def leading(*evidence: Evidence) -> tuple[FeatureShare, ...]:
    whole: Incident = replace(incident("guessing"), evidence=evidence)
    found = explained(JUDGE, whole, ROW, schema=GATEWAY).explanation
    assert found is not None
    return found.features


def test_what_a_test_counted_leads_where_the_model_suspected_nothing() -> None:
    (feature,) = leading(refused(12.8, ("login_refusals", 8.0)))
    assert (feature.name, feature.value, feature.counted_by) == (
        "login_refusals", 8, "refused logins",
    )  # fmt: skip
    assert (feature.share, feature.usual_p50) == (12.8, 0)


def test_more_evidence_comes_first() -> None:
    counted, scored = ("login_refusals", 8.0), "src_1m_failed"
    assert [one.name for one in leading(refused(30, counted), suspected(20))][:1] == [counted[0]]
    names = [one.name for one in leading(suspected(30), refused(20, counted))]
    assert names[0] == scored
    assert names[-1] == counted[0]


def test_a_test_that_opens_nothing_alone_leaves_its_place_to_the_score() -> None:
    names = [one.name for one in leading(suspected(30), refused(2, ("login_refusals", 1.0)))]
    assert "login_refusals" not in names


def test_a_column_that_is_as_usual_is_not_named() -> None:
    (feature,) = leading(refused(12, ("bwd_packets", 0.0), ("rst_count", 0.0)))
    assert (feature.name, feature.also) == ("bwd_packets", ())


def test_evidence_tells_what_each_source_gives_alone() -> None:
    flows = [Judged(at=i, label="guessing", columns={"login_refusals": 1.0}) for i in range(30)]
    found = incidents_of(flows)[-1].evidence
    nats = {one.name: one.nats for one in found if one.nats}
    assert set(nats) == {SUSPECTED, "refused logins"}
    assert np.isclose(nats["refused logins"], 30 * 12 / 7.5, atol=0.05)
    assert dict(next(one.columns for one in found if one.name == "refused logins")) == {
        "login_refusals": 1.0
    }
