"""A gateway in Home Assistant: one device with its entities, made by one retained message.

Source: home-assistant.io, "MQTT", device discovery payload (since 2024.11).
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import idskit
from idskit.report.text import visible

ONLINE = "online"  # what the availability topic holds; other texts say why there is nobody
STATUS_TOPIC = "homeassistant/status"  # where Home Assistant says that it started
_MACHINE_ID = Path("/etc/machine-id")
_MOST_OLD = 50  # entities of an older message that are removed
_COMPONENT = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PLATFORM = re.compile(r"[a-z_]{1,32}")


@dataclass(frozen=True, kw_only=True)
class Sensor:
    """This gateway, as receivers know it."""

    id: str  # letters, digits, - and _; the same after a restart
    name: str  # for people
    version: str  # of idskit
    page_url: str | None = None  # http or https

    @property
    def topic(self) -> str:
        """Return what its topics begin with."""
        return f"idskit/{self.id}"

    @property
    def discovery_topic(self) -> str:
        """Return where Home Assistant looks for the device."""
        return f"homeassistant/device/idskit_{self.id}/config"


def this_sensor(page_url: str | None = None) -> Sensor:
    """Return this machine as a sensor.

    Machines are often named alike, so four digits of a hash of the machine's identifier follow.
    """
    host = socket.gethostname()
    seed = host.encode()
    with suppress(OSError):
        seed = _MACHINE_ID.read_bytes()[:256]
    digits = hashlib.blake2b(seed, digest_size=2, person=b"idskit sensor").hexdigest()
    name = re.sub(r"[^A-Za-z0-9_-]", "-", host.partition(".")[0])[:40] or "gateway"
    return Sensor(
        id=f"{name}-{digits}",
        name=f"idskit {visible(host)[:60]}",
        version=str(idskit.__version__),
        page_url=page_url,
    )


def discovery(sensor: Sensor) -> dict[str, Any]:
    """Return the message that makes the device and its entities."""
    device = {
        "ids": [f"idskit_{sensor.id}"],
        "name": sensor.name,
        "mf": "idskit",
        "mdl": "Network intrusion detection",
        "sw": sensor.version,
    }
    if sensor.page_url is not None:
        device["cu"] = sensor.page_url
    return {
        "dev": device,
        "o": {"name": "idskit", "sw": sensor.version},
        # "stopped" must count as away too, so a template decides instead of two texts.
        "avty": [{"t": f"{sensor.topic}/available", "val_tpl": _either("value == 'online'")}],
        "cmps": {
            name: {**what, "unique_id": f"idskit_{sensor.id}_{name}"}
            for name, what in _components(sensor.topic).items()
        },
    }


def without(older: bytes, found: dict[str, Any]) -> dict[str, Any] | None:
    """Return a message that removes the entities of an older one that ``found`` no longer has.

    Anybody at the broker may have written the older message.

    Returns:
        None where nothing is gone.
    """
    try:
        parts = json.loads(older)["cmps"]
        gone = {
            name: {"p": what["p"]}
            for name, what in parts.items()
            if name not in found["cmps"]
            and _COMPONENT.fullmatch(name)
            and _PLATFORM.fullmatch(str(what["p"]))
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    if not gone:
        return None
    few = dict(list(gone.items())[:_MOST_OLD])
    return {**found, "cmps": {**found["cmps"], **few}}


def _either(condition: str) -> str:
    return "{{ 'online' if " + condition + " else 'offline' }}"


def _components(topic: str) -> dict[str, dict[str, Any]]:
    """Return every entity by its name."""
    return _attacks(topic) | {
        "open": _number(f"{topic}/open", "Open incidents", "{{ value | int(0) }}"),
        "today": _number(f"{topic}/stats", "Incidents today", "{{ value_json.today }}"),
        "flows": _diagnostic(topic, "Flows", "flows_per_s", unit_of_measurement="flows/s"),
        "packets": _diagnostic(topic, "Packets", "packets_per_s", unit_of_measurement="packets/s"),
        "dropped": _diagnostic(topic, "Dropped frames", "dropped", state_class="total_increasing"),
        "health": {
            **_text(f"{topic}/stats", "Health", "{{ value_json.health }}"),
            "device_class": "enum",
            "options": ["fine", "learning", "blind", "overloaded"],
            "entity_category": "diagnostic",
        },
        "model": {
            **_text(f"{topic}/model", "Model", "{{ value_json.name[:255] }}"),
            "json_attributes_topic": f"{topic}/model",
            "entity_category": "diagnostic",
        },
    }


def _attacks(topic: str) -> dict[str, dict[str, Any]]:
    return {
        "attack": {
            **_text(f"{topic}/open", "Attack", "{{ 'ON' if value | int(0) > 0 else 'OFF' }}"),
            "p": "binary_sensor",
            "device_class": "problem",
        },
        "incident": {
            "p": "event",
            "name": "Incident",
            "event_types": ["new", "update", "end"],
            "state_topic": f"{topic}/incident",
        },
        "last_incident": {
            **_text(f"{topic}/last", "Last incident", "{{ value_json.summary[:255] }}"),
            "icon": "mdi:shield-alert",
            "json_attributes_topic": f"{topic}/last",
        },
    }


def _text(topic: str, name: str, template: str) -> dict[str, Any]:
    return {"p": "sensor", "name": name, "state_topic": topic, "value_template": template}


def _number(topic: str, name: str, template: str) -> dict[str, Any]:
    return _text(topic, name, template) | {"state_class": "measurement"}


def _diagnostic(topic: str, name: str, field: str, **more: str) -> dict[str, Any]:
    made = _number(f"{topic}/stats", name, "{{ value_json." + field + " }}")
    return made | {"entity_category": "diagnostic"} | more
