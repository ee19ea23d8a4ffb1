"""What persons say of incidents, and what becomes of it."""

from __future__ import annotations

import json
import math

import pytest
from tests.site.made_traffic import CLASSES, THRESHOLD, traffic

from idskit.errors import IdskitError
from idskit.flow import address_number
from idskit.incidents.incident import Incident
from idskit.incidents.tracker import IncidentTracker
from idskit.schemas.gateway_columns import GATEWAY
from idskit.site.person_verdicts import MOST_VERDICTS, PersonVerdicts
from idskit.site.site_levels import SiteLevels

KEY = ("malware", address_number("192.168.1.20"), (6, 443))


def incidents(levels: SiteLevels, **more: object) -> list[Incident]:
    tracker = IncidentTracker(GATEWAY, CLASSES, THRESHOLD, levels)
    tracker.observe_flows(*traffic(0, 9, score=0.99, **more).parts)  # type: ignore[arg-type]
    return tracker.finish()


def said(*verdicts: str) -> PersonVerdicts:
    kept = PersonVerdicts()
    (incident,) = incidents(SiteLevels())
    for number, verdict in enumerate(verdicts):
        like = incident.as_type("end", incident_id=f"incident-{number}")
        kept.say(like, verdict, now_us=number)
    return kept


def test_what_is_expected_opens_no_further_incident() -> None:
    levels = SiteLevels(said=said("expected").factors())
    assert incidents(levels) == []
    assert len(incidents(levels, port=80)) == 1  # another service
    assert len(incidents(levels, src="192.168.1.21")) == 1  # another device
    assert len(incidents(levels, family="web")) == 1  # another family


@pytest.mark.parametrize(
    ("verdicts", "factor"),
    [
        (("attack",), 0.5),
        (("wrong",), 2.0),
        (("wrong",) * 9, 8.0),
        (("attack",) * 9, 0.5),
        (("wrong", "attack"), 1.0),
        (("attack", "expected"), math.inf),
    ],
)
def test_verdicts_multiply_within_bounds(verdicts, factor) -> None:
    assert said(*verdicts).factors() == {KEY: factor}


def test_a_verdict_is_listed_and_can_be_taken_back() -> None:
    kept = said("expected", "wrong")
    assert [str(one).partition(":")[0] for one in kept.listed()] == [
        "incident-1 was said to be wrong",
        "incident-0 was said to be expected",
    ]
    assert kept.revoke("incident-0")
    assert not kept.revoke("incident-0")
    assert kept.factors() == {KEY: 2.0}


def test_a_later_verdict_on_an_incident_replaces_the_earlier() -> None:
    (incident,), kept = incidents(SiteLevels()), PersonVerdicts()
    kept.say(incident, "expected", 1)
    kept.say(incident, "attack", 2)
    assert kept.factors() == {KEY: 0.5}


def test_their_state_is_plain_and_comes_back() -> None:
    kept = said("expected", "wrong")
    again = PersonVerdicts.from_state(json.loads(json.dumps(kept.to_state())))
    assert again.listed() == kept.listed()


@pytest.mark.parametrize(
    "changed",
    [
        {"verdict": "fine"},
        {"family": "\x1b[2J"},
        {"device": "<script>"},
        {"device": "192.168.1.020"},
        {"service": "80"},
        {"service": "70000/tcp"},
        {"said_us": "yesterday"},
        {"more": 1},
    ],
)
def test_a_damaged_state_is_refused(changed) -> None:
    state = said("wrong").to_state()
    state["verdicts"][0] |= changed
    with pytest.raises((KeyError, TypeError, ValueError)):
        PersonVerdicts.from_state(state)


def test_they_are_bounded() -> None:
    kept, (incident,) = PersonVerdicts(), incidents(SiteLevels())
    for number in range(MOST_VERDICTS + 5):
        kept.say(incident.as_type("end", incident_id=str(number)), "wrong", number)
    assert len(kept.listed()) == MOST_VERDICTS
    assert kept.listed()[-1].incident_id == "5"


def test_no_other_verdict_is_taken() -> None:
    (incident,) = incidents(SiteLevels())
    with pytest.raises(IdskitError, match="choose one of attack, expected, wrong"):
        PersonVerdicts().say(incident, "fine", 0)
    nobody = incident.as_type("end", attacker=None, target=None)
    with pytest.raises(IdskitError, match="names no device"):
        PersonVerdicts().say(nobody, "wrong", 0)
