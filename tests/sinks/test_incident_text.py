"""Incidents as text: bounded, and harmless whatever a device calls itself."""

from __future__ import annotations

import json

import pytest
from tests.sinks.parts import HOSTILE, incident

from idskit.incidents.incident import Evidence, Explanation, Incident
from idskit.sinks.incident_text import (
    MOST_STATE,
    decoded,
    encoded,
    event_key,
    message,
    summary,
)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_bounded_and_visible(text: str) -> None:
    found = incident(
        device_name=text,
        services=(text,) * 1000,
        attacker=text,
        explanation=Explanation(sentence=text),
        evidence=(Evidence(name=text, value=1, unit=text),) * 1000,
    )
    line = encoded(found)
    assert len(line) < 300_000
    assert line.isascii()
    assert line.decode().isprintable()
    again = decoded(line)
    assert str(again.device_name).isprintable()
    for most in (1_000, 2_048, 16_384):
        written = message(found, most)
        assert len(written) <= most
        assert json.loads(written)["incident_id"] == found.incident_id
        assert json.loads(written)["type"] == "new"
    assert len(summary(found)) <= MOST_STATE
    assert summary(found).isprintable()


def test_what_has_room_is_kept() -> None:
    found = incident()
    written = json.loads(message(found, 16_384, event_type="new"))
    assert written == found.to_json() | {"summary": summary(found), "event_type": "new"}


def test_the_summary_is_the_sentence_of_the_explanation() -> None:
    found = incident(explanation=Explanation(sentence="192.168.1.9 tried 41 passwords"))
    assert summary(found) == "192.168.1.9 tried 41 passwords"
    assert summary(incident()).startswith("192.0.2.1 scanned 192.168.1.2 (kitchen)")
    assert summary(incident(attacker=None, target=None, services=()))


def test_a_key_is_of_one_event() -> None:
    def key(found: Incident) -> str:
        return event_key(found)

    assert key(incident()) == key(decoded(encoded(incident())))
    events = [incident(), incident(type="update"), incident(type="update", flows=100), incident(2)]
    assert len({key(found) for found in events}) == 4
