"""The record: what it writes is read again, its lines are EVE, and its ends are counted rightly."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tests.incidents.judged_flows import Judged, incidents_of

from idskit.incidents.attack_ends import AttackEnds
from idskit.incidents.incident import Explanation, FeatureShare, GroupShare, Incident
from idskit.incidents.incident_lines import incident_lines


@pytest.fixture(scope="module")
def incident() -> Incident:
    flows = [Judged(at=i, label="guessing", columns={"login_refusals": 1.0}) for i in range(30)]
    return incidents_of(flows)[0]


def test_a_record_is_read_as_it_was_written(incident: Incident) -> None:
    share = FeatureShare(name="a", value=1.0, unit="s", usual_p50=None, usual_p99=2.0, share=0.5)
    why = Explanation(sentence="why", groups=(GroupShare(name="g", share=1.5),), features=(share,))
    for whole in (incident, incident.as_type("end", ended_us=incident.updated_us, explanation=why)):
        again = Incident.from_json(json.loads(json.dumps(whole.to_json())))
        assert again == whole.as_type(whole.type, confidence=round(whole.confidence, 4))


def test_a_new_incident_is_an_alert_of_its_severity_too(incident: Incident) -> None:
    lines = [json.loads(line) for line in incident_lines(incident)]
    assert [line["event_type"] for line in lines] == ["incident", "alert"]
    assert lines[1]["alert"]["severity"] == 1
    assert lines[1]["alert"]["source"] == {"ip": "192.0.2.9"}
    update = incident_lines(incident.as_type("update"))
    assert [json.loads(line)["event_type"] for line in update] == ["incident"]


def test_suricatas_schema_accepts_the_alert(incident: Incident, shared: Path) -> None:
    schema: Any = json.loads((shared / "data" / "eve" / "schema.json").read_text())
    jsonschema.validators.validator_for(schema)(schema).validate(
        json.loads(incident_lines(incident)[1])
    )


def test_the_busiest_end_is_found_among_any_number_of_forged_ones() -> None:
    numbers = random.Random(0)
    ends = AttackEnds[int]()
    for i in range(50_000):
        ends.add(7 if i % 20 == 0 else numbers.getrandbits(100))
    assert ends.busiest == 7
    assert 0.8 * 47_500 < ends.number < 1.2 * 47_500
    assert len(ends._flows) <= 64


@pytest.mark.parametrize("count", [1, 2, 64, 65, 255])
def test_few_ends_are_counted_exactly(count: int) -> None:
    ends = AttackEnds[int]()
    for i in range(10 * count):
        ends.add(i % count)
    assert ends.number == count
