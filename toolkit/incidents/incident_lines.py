"""Write incidents as EVE lines: one for each state, and an alert once for programs that know these.

A line of ``event_type: incident`` has the whole record (``incident``). CrowdSec, Wazuh, EveBox and
others act on alerts only, so what is new is an ``alert`` of severity 1 or 2 as well; lines of
single flows have 3.
"""

from __future__ import annotations

from typing import Any

from idskit.alerts.alert import FIRST_SIGNATURE_ID
from idskit.alerts.attack_kinds import kind_of
from idskit.alerts.eve import (
    GENERATOR_ID,
    REVISION,
    SIGNATURE_SEVERITIES,
    UNKNOWN_ORIGIN,
    Origin,
    encode,
    eve_time,
    host_name,
)
from idskit.incidents.family_facts import FAMILY_FACTS
from idskit.incidents.incident import Incident

_FIRST = FIRST_SIGNATURE_ID + 500  # signature numbers of incidents, by the position of the family


def incident_lines(incident: Incident, origin: Origin = UNKNOWN_ORIGIN) -> list[str]:
    """Return the EVE lines of an incident, without line feeds: one, or two where it is new."""
    head = _head(incident, origin)
    lines = [encode(head | {"event_type": "incident", "incident": incident.to_json()})]
    if incident.type == "new":
        lines.append(encode(head | {"event_type": "alert", "alert": _alert(incident)}))
    return lines


def _head(incident: Incident, origin: Origin) -> dict[str, Any]:
    head: dict[str, Any] = {"timestamp": eve_time(incident.ended_us or incident.updated_us)}
    head |= origin.to_eve(None) | {"event_type": "", "host": host_name()}
    if incident.attacker is not None:
        head |= {"src_ip": incident.attacker, "dest_ip": incident.target}
    return head


def _alert(incident: Incident) -> dict[str, Any]:
    kind = kind_of(incident.family)
    found: dict[str, Any] = {
        "action": "allowed",
        "gid": GENERATOR_ID,
        "signature_id": _FIRST + list(FAMILY_FACTS).index(incident.family),
        "rev": REVISION,
        "signature": f"idskit incident: {incident.family}",
        "category": kind.category,
        "severity": incident.severity,
        "metadata": {
            "signature_severity": [SIGNATURE_SEVERITIES[incident.severity]],
            "mitre_technique_id": [incident.technique],
        },
    }
    if incident.attacker is not None:
        found |= {"source": {"ip": incident.attacker}, "target": {"ip": incident.target}}
    context = {
        "incident_id": incident.incident_id,
        "label": incident.family,
        **({"flows": incident.flows} if incident.flows else {}),  # ARP has none
        "confidence": round(incident.confidence, 4),
    }
    return found | {"context": {"idskit": context}}
