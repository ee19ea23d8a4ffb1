"""Incidents with their explanations: of a fake model, and of the shipped one on its sample."""

from __future__ import annotations

import numpy as np
import pytest
from tests.explain.faithfulness import SAMPLE
from tests.explain.fake_judge import FakeJudge, row_of, usual_of
from tests.incidents.test_sentence import incident

from idskit import Detector, SchemaError, open_flows
from idskit.explain.card import MOST_BYTES, card_page
from idskit.explain.explain_incident import explained
from idskit.explain.terminal import to_text
from idskit.incidents.incident import Incident
from idskit.incidents.sentence import sentence
from idskit.incidents.tracker import IncidentTracker
from idskit.schema import Schema
from idskit.schemas.gateway_columns import GATEWAY

SCAN = incident("scan")
FEW = Schema(name="gateway", features=GATEWAY.features[3:6])  # of a model that chose columns


def test_a_model_of_fewer_columns_finds_its_own() -> None:
    judge = FakeJudge(lambda rows: rows[:, 1], FEW)
    usual = usual_of(np.zeros(3, np.float32))
    found = explained(judge, SCAN, row_of(fwd_packets=2), schema=GATEWAY, usual=usual).explanation
    assert found is not None
    assert found.sentence == sentence(SCAN)
    assert [(one.name, one.value) for one in found.features] == [("fwd_packets", 2)]


@pytest.mark.parametrize("row", [None, row_of(fwd_packets=np.nan)])
def test_without_a_flow_that_can_be_judged_there_is_the_sentence(row: np.ndarray | None) -> None:
    found = explained(FakeJudge(lambda rows: rows[:, 0]), SCAN, row).explanation
    assert found is not None
    assert (found.sentence, found.method, found.groups) == (sentence(SCAN), "", ())


def test_a_flow_of_another_schema_is_refused() -> None:
    other = Schema(name="toy", features=FEW.features)
    with pytest.raises(SchemaError, match="toy"):
        explained(FakeJudge(lambda rows: rows[:, 0]), SCAN, np.zeros(3), schema=other)


@pytest.mark.usefixtures("compiled")
def test_every_incident_of_the_sample_has_a_card() -> None:
    detector = Detector.load(threads=1)
    found: dict[str, Incident] = {}
    with open_flows(SAMPLE, detector.schema) as flows:
        tracker = IncidentTracker(flows.schema, detector.card.classes, detector.threshold)
        for batch in flows.batches(size=256):
            for new in tracker.observe(batch, detector.flow_probabilities(batch)):
                row = tracker.row_of(new.incident_id)
                found[new.incident_id] = explained(detector, new, row, schema=flows.schema)
    assert len(found) >= 3
    for one in found.values():
        assert one.explanation is not None
        assert one.explanation.features
        assert Incident.from_json(one.to_json()).explanation == one.explanation
        page = card_page(one.explanation, incident=one, threshold=detector.threshold)
        assert len(page.encode()) < MOST_BYTES
        assert one.explanation.sentence in to_text(one.explanation, one, width=300)
