"""What persons said of incidents, and how that changes what is like them.

A verdict counts for incidents of the same family, device and service, and can be taken back:

    attack     half the evidence opens the next one
    wrong      twice the evidence is needed, at most eight times after several verdicts
    expected   none is opened any more: the site explains it
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from idskit.errors import IdskitError
from idskit.flow import address_number, address_text
from idskit.incidents.family_facts import FAMILY_FACTS
from idskit.incidents.incident import VERDICTS, Incident, Verdict
from idskit.local_network import is_local
from idskit.site.device_normal import service_of
from idskit.site.site_levels import Service

MOST_VERDICTS = 1_000
_FACTORS: Mapping[Verdict, float] = {"attack": 0.5, "wrong": 2.0, "expected": math.inf}
_LEAST, _MOST = 0.5, 8.0  # of what several verdicts make together, apart from expected
_TEXTS: Mapping[Verdict, str] = {
    "attack": "opens with half the evidence",
    "wrong": "needs more evidence",
    "expected": "opens no incident",
}


@dataclass(frozen=True, kw_only=True)
class Said:
    """One verdict of a person.

    Attributes:
        said_us: when, since the epoch.
        device: address of the device whose habit it is about.
        service: that was attacked most: ``22/tcp``.
    """

    incident_id: str
    verdict: Verdict
    said_us: int
    family: str
    device: str
    service: str

    def __str__(self) -> str:
        return (
            f"{self.incident_id} was said to be {self.verdict}: {self.family} of {self.device} at "
            f"{self.service} {_TEXTS[self.verdict]}"
        )


class PersonVerdicts:
    """The verdicts of persons, the latest of each incident.

    Example:
        >>> PersonVerdicts().listed()
        []
    """

    def __init__(self) -> None:
        self._said: OrderedDict[str, Said] = OrderedDict()

    def say(self, incident: Incident, verdict: str, now_us: int) -> Said:
        """Keep a verdict on an incident; a later one on the same incident replaces it.

        Raises:
            IdskitError: there is no such verdict, or nobody knows whom the incident is about.
        """
        if verdict not in VERDICTS:
            raise IdskitError(f"verdict {verdict!r} was given: choose one of {', '.join(VERDICTS)}")
        device = _device_of(incident)
        if device is None or not incident.services:
            raise IdskitError(
                f"incident {incident.incident_id} names no device or service, so nothing is like "
                "it: no verdict on it can be kept"
            )
        said = Said(
            incident_id=incident.incident_id,
            verdict=verdict,
            said_us=now_us,
            family=incident.family,
            device=device,
            service=_with_port(incident.services[0]),
        )
        self._put(said)
        return said

    def revoke(self, incident_id: str) -> bool:
        """Take a verdict back; return whether there was one."""
        return self._said.pop(incident_id, None) is not None

    def listed(self) -> list[Said]:
        """Return the verdicts in force, the latest first."""
        return list(reversed(self._said.values()))

    def factors(self) -> dict[tuple[str, int, Service], float]:
        """Return what ``SiteLevels.said`` takes: a factor by family, device and service."""
        factors: dict[tuple[str, int, Service], float] = {}
        for said in self._said.values():
            key = said.family, address_number(said.device), service_of(said.service)
            factors[key] = factors.get(key, 1.0) * _FACTORS[said.verdict]
        return {
            key: factor if math.isinf(factor) else min(_MOST, max(_LEAST, factor))
            for key, factor in factors.items()
        }

    def to_state(self) -> dict[str, Any]:
        """Return the verdicts as plain types."""
        return {"verdicts": [asdict(said) for said in self._said.values()]}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> PersonVerdicts:
        """Make the same again.

        Raises:
            KeyError, TypeError, ValueError: the state is damaged.
        """
        verdicts = cls()
        for found in state["verdicts"][:MOST_VERDICTS]:
            verdicts._put(_checked(Said(**found)))
        return verdicts

    def _put(self, said: Said) -> None:
        self._said.pop(said.incident_id, None)
        self._said[said.incident_id] = said
        if len(self._said) > MOST_VERDICTS:
            self._said.popitem(last=False)


def _checked(said: Said) -> Said:
    if said.verdict not in VERDICTS or said.family not in FAMILY_FACTS:
        raise ValueError(f"no verdict is {said.verdict!r} of {said.family!r}")
    service_of(said.service)
    text = address_text(address_number(said.device))
    if text != said.device or not isinstance(said.said_us, int):
        raise ValueError(f"{said.device!r} is no device")
    return said


def _device_of(incident: Incident) -> str | None:
    """Return the device whose habit an incident is: a local attacker, else the target."""
    if incident.attacker is not None and is_local(address_number(incident.attacker)):
        return incident.attacker
    return incident.target


def _with_port(service: str) -> str:
    """Return a service as ``service_of`` reads it: an incident omits port 0."""
    return service if "/" in service else f"0/{service}"
