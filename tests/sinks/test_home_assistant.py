"""Home Assistant's rules for device discovery, written down as a JSON schema.

Source: home-assistant.io, "MQTT": device discovery payload, sensor, binary sensor, event.
"""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest

from idskit.sinks.home_assistant import Sensor, discovery, this_sensor, without

SENSOR = Sensor(
    id="attic-1a2b", name="idskit attic", version="1.2.3", page_url="http://10.0.0.2:80"
)
_TOPIC = {"type": "string", "pattern": "^[^#+]+$", "maxLength": 200}
_TEXT = {"type": "string", "minLength": 1, "maxLength": 255}
_TEMPLATE = {"type": "string", "pattern": r"^\{\{.*\}\}$"}
_COMMON = {
    "p": {"enum": ["sensor", "binary_sensor", "event"]},
    "unique_id": {"type": "string", "pattern": "^[A-Za-z0-9_-]+$"},
    "name": _TEXT,
    "icon": {"type": "string", "pattern": "^mdi:[a-z-]+$"},
    "state_topic": _TOPIC,
    "value_template": _TEMPLATE,
    "json_attributes_topic": _TOPIC,
    "entity_category": {"enum": ["diagnostic", "config"]},
}


def component(platform: str, required: list[str], **own: Any) -> dict[str, Any]:
    """Return the rules of one platform: what it needs, and nothing that it does not know."""
    return {
        "if": {"properties": {"p": {"const": platform}}},
        "then": {
            "required": ["unique_id", "name", "state_topic", *required],
            "properties": _COMMON | own,
            "additionalProperties": False,
        },
    }


RULES: dict[str, Any] = {
    "type": "object",
    "required": ["dev", "o", "cmps"],
    "additionalProperties": False,
    "properties": {
        "dev": {
            "type": "object",
            "required": ["ids", "name"],
            "additionalProperties": False,
            "properties": {
                "ids": {"type": "array", "minItems": 1, "items": _TEXT},
                **dict.fromkeys(("name", "mf", "mdl", "sw"), _TEXT),
                "cu": {"type": "string", "pattern": "^(https?|homeassistant)://"},
            },
        },
        "o": {
            "type": "object",
            "required": ["name"],
            "additionalProperties": False,
            "properties": {"name": _TEXT, "sw": _TEXT, "url": {"pattern": "^https?://"}},
        },
        "avty": {
            "type": "array",
            "minItems": 1,
            "items": {
                "required": ["t"],
                "additionalProperties": False,
                "properties": {"t": _TOPIC, "val_tpl": _TEMPLATE},
            },
        },
        "cmps": {
            "type": "object",
            "minProperties": 1,
            "propertyNames": {"pattern": "^[A-Za-z0-9_-]+$"},
            "additionalProperties": {
                "type": "object",
                "required": ["p"],
                "properties": {"p": _COMMON["p"]},
                "allOf": [
                    component("binary_sensor", [], device_class={"enum": ["problem", "safety"]}),
                    component(
                        "event",
                        ["event_types"],
                        event_types={"type": "array", "minItems": 1, "items": _TEXT},
                    ),
                    component(
                        "sensor",
                        [],
                        device_class={"enum": ["enum"]},
                        options={"type": "array", "minItems": 1, "items": _TEXT},
                        state_class={"enum": ["measurement", "total", "total_increasing"]},
                        unit_of_measurement=_TEXT,
                    ),
                ],
            },
        },
    },
}


def test_the_message_follows_the_rules() -> None:
    jsonschema.validate(discovery(SENSOR), RULES)
    jsonschema.validate(discovery(this_sensor()), RULES)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("cmps", "attack", "p"), "banana"),
        (("cmps", "attack", "unique_id"), None),
        (("cmps", "incident", "event_types"), []),
        (("cmps", "open", "flavour"), "sweet"),
        (("dev", "ids"), []),
        (("o",), {}),
    ],
)
def test_the_rules_can_fail(path: tuple[str, ...], value: Any) -> None:
    found = json.loads(json.dumps(discovery(SENSOR)))
    inner = found
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(found, RULES)


def test_identifiers_are_unique_and_an_enum_has_no_state_class() -> None:
    parts = discovery(SENSOR)["cmps"]
    identifiers = [part["unique_id"] for part in parts.values()]
    assert len(set(identifiers)) == len(identifiers)
    for part in parts.values():
        is_enum = part.get("device_class") == "enum"
        assert is_enum == ("options" in part)
        assert not (is_enum and "state_class" in part)
    assert SENSOR.discovery_topic == "homeassistant/device/idskit_attic-1a2b/config"


def test_only_online_is_available() -> None:
    """An unknown text would leave entities as they were, so a template decides."""
    (available,) = discovery(SENSOR)["avty"]
    assert available["t"] == "idskit/attic-1a2b/available"
    assert available["val_tpl"] == "{{ 'online' if value == 'online' else 'offline' }}"


def test_this_machine_is_the_same_sensor_each_time() -> None:
    assert this_sensor() == this_sensor()
    assert re.fullmatch(r"[A-Za-z0-9_-]+-[0-9a-f]{4}", this_sensor().id)


def test_entities_of_an_older_message_are_named_for_removal() -> None:
    found = discovery(SENSOR)
    older = {"cmps": {"gone": {"p": "switch", "x": 1}, "open": {"p": "sensor"}}}
    message = without(json.dumps(older).encode(), found)
    assert message is not None
    assert message["cmps"] == found["cmps"] | {"gone": {"p": "switch"}}
    assert without(json.dumps(found).encode(), found) is None


@pytest.mark.parametrize(
    "older",
    [b"", b"\xff", b"[]", b"null", b'{"cmps":1}', b'{"cmps":{"a":1}}', b"[" * 100_000,
     b'{"cmps":{"a/b":{"p":"sensor"}}}', b'{"cmps":{"a":{"p":"x y"}}}'],
)  # fmt: skip
def test_what_is_no_message_removes_nothing(older: bytes) -> None:
    assert without(older, discovery(SENSOR)) is None


def test_few_entities_are_removed_at_once() -> None:
    older = {"cmps": {f"gone{n}": {"p": "sensor"} for n in range(1000)}}
    found = discovery(SENSOR)
    message = without(json.dumps(older).encode(), found)
    assert message is not None
    assert len(message["cmps"]) == len(found["cmps"]) + 50
