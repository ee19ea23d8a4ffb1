"""Incidents as text for receivers: of bounded size, and with nothing that a terminal would obey.

Names of devices come from the network. They are cut, and what cannot be seen in them is escaped,
before an incident reaches the first sink.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import partial
from typing import Any

from idskit.incidents.incident import Incident
from idskit.incidents.sentence import sentence
from idskit.report.text import cut

MOST_TEXT = 300  # characters of any text of an incident
MOST_ITEMS = 50  # of any list of an incident
MOST_STATE = 255  # characters: Home Assistant keeps no longer state
_ENCODE = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
# What a message with little room omits, in this order.
_OMITTED = ("explanation", "flow_ids", "evidence", "services", "verdict", "device")


def encoded(incident: Incident) -> bytes:
    """Return an incident as one line of JSON, in ASCII, with every text and list bounded."""
    return _ENCODE(_bounded(incident.to_json())).encode()


def decoded(line: bytes) -> Incident:
    """Read what ``encoded`` wrote.

    Raises:
        ValueError: it is damaged.
    """
    try:
        return Incident.from_json(json.loads(line))
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"no incident: {error!r}") from error


def event_key(incident: Incident) -> str:
    """Return what names one event in the life of an incident: the same whenever it is sent again.

    Receivers that get an event twice know it by this.
    """
    digest = hashlib.blake2b(encoded(incident), digest_size=6).hexdigest()
    return f"{incident.incident_id}-{incident.type}-{digest}"


def summary(incident: Incident) -> str:
    """Return what happened in a sentence of at most MOST_STATE characters."""
    explained = incident.explanation
    known = explained.sentence if explained is not None else ""
    return cut(known or sentence(incident), MOST_STATE)


def message(incident: Incident, most: int, **more: str) -> str:
    """Return a JSON object of an incident, with its summary, in at most ``most`` ASCII characters.

    Where there is little room, fields are omitted and then texts cut; identifier and type stay.
    """
    found = more | {"summary": summary(incident)} | _bounded(incident.to_json())
    for name in _OMITTED:
        if len(text := _ENCODE(found)) <= most:
            return text
        found.pop(name, None)
    kept = {"incident_id": incident.incident_id, "type": incident.type}
    for longest in (200, 60, 20):
        if len(text := _ENCODE(found)) <= most:
            return text
        found = _deep(found, partial(_first, longest)) | kept
    return _ENCODE(found)


def _bounded(found: dict[str, Any]) -> dict[str, Any]:
    bounded: dict[str, Any] = _deep(found, lambda text: cut(text, MOST_TEXT))
    return bounded


def _deep(value: Any, change: Callable[[str], str]) -> Any:
    """Return a JSON value with every text changed, and with short lists."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {name: _deep(item, change) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_deep(item, change) for item in value[:MOST_ITEMS]]
    return value


def _first(most: int, text: str) -> str:
    return text[:most]
