"""What a site changes of incidents: the evidence that opens one, what weighs less, what is usual.

The tracker asks these levels. Where nothing was learned they change nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

from idskit.flow import address_number
from idskit.incidents.case import Case
from idskit.incidents.evidence import Sign
from idskit.incidents.incident import Explanation, Incident
from idskit.incidents.regular_contacts import TEST as REGULAR
from idskit.incidents.sentence import sentence
from idskit.incidents.sequential.nats import OPENS
from idskit.incidents.sequential.sequential_tests import TESTS
from idskit.incidents.tracker import Levels
from idskit.local_network import is_local

KNOWN_SHARE = 0.5  # of the nats of a flow to a contact that its device is known to have
STRONG_SIGN = OPENS / 4  # a flow to which the model gives that much is an attack, to whomever
TEST_NAMES = frozenset((*(test.name for test in TESTS), REGULAR))
_LOW_IPV4, _LOW_IPV6 = 8, 80  # bits of an address within its /24 or /48
_is_local = lru_cache(maxsize=1 << 14)(is_local)

Service = tuple[int, int]  # protocol and port


@dataclass(frozen=True, slots=True, order=True)
class Contact:
    """Whom a device speaks with: a service, and the /24 or /48 of the peer."""

    inbound: bool  # whether the peer opens the flow
    service: Service
    network: int  # first address, as a number of 128 bits


@dataclass(frozen=True, kw_only=True)
class SiteLevels(Levels):
    """The levels of one site; the defaults are those of idskit.

    Attributes:
        nats: that open an incident, by family; OPENS where a family has none.
        device_nats: the same by device and family, for devices that were learned.
        contacts: known contacts by device.
        house: every contact that any device was seen to have.
        steady: devices of which contacts that are not in ``house`` are news.
        usual: values of evidence by its name, of a device of this site that was not learned.
        device_usual: the same by device.
        said: what persons said, as a factor of the nats by family, device and service.
        factor: of all nats, while more incidents open than a budget allows.
    """

    nats: Mapping[str, float] = field(default_factory=dict)
    device_nats: Mapping[tuple[int, str], float] = field(default_factory=dict)
    contacts: Mapping[int, frozenset[Contact]] = field(default_factory=dict)
    house: frozenset[Contact] = frozenset()
    steady: frozenset[int] = frozenset()
    usual: Mapping[str, float] = field(default_factory=dict)
    device_usual: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    said: Mapping[tuple[str, int, Service], float] = field(default_factory=dict)
    factor: float = 1.0

    def weighed(self, sign: Sign, flow: np.void) -> Sign:
        """Return a sign that weighs less if its flow goes to a known contact of a device.

        What a sequential test counts and what looks strongly like an attack weighs the same
        everywhere: an attacker may speak with known contacts too (Mell and Harang, CNS 2013).
        """
        if not self.contacts or sign.test or sign.weight >= STRONG_SIGN:
            return sign
        known = any(
            contact in self.contacts.get(device, ()) for device, contact in contacts_of(flow)
        )
        return sign._replace(weight=sign.weight * KNOWN_SHARE) if known else sign

    def opens(self, case: Case) -> bool:
        """Return whether the evidence of a case is enough here."""
        return case.weight >= self.needed(case)

    def needed(self, case: Case) -> float:
        """Return the nats that make a case an incident."""
        if not (self.nats or self.device_nats or self.said):
            return OPENS * self.factor
        device = device_of(case)
        nats = self.device_nats.get((device, case.family), self.nats.get(case.family, OPENS))
        said = self.said.get((case.family, device, case.services.busiest), 1.0)
        return nats * self.factor * said

    @property
    def knows_contacts(self) -> bool:
        """Whether there is a device of which all contacts are known."""
        return bool(self.steady)

    def is_new_contact(self, flow: np.void) -> bool:
        """Return whether a steady device has a contact that no device here had."""
        return any(
            device in self.steady and not contact.inbound and contact not in self.house
            for device, contact in contacts_of(flow)
        )

    def with_usual(self, incident: Incident) -> Incident:
        """Return an incident whose evidence says what is usual here."""
        if not self.usual:
            return incident
        device = None if incident.device is None else address_number(incident.device)
        usual = self.usual if device is None else self.device_usual.get(device, self.usual)
        evidence = tuple(
            replace(item, usual=usual.get(item.name, 0.0 if item.name in TEST_NAMES else None))
            for item in incident.evidence
        )
        found = replace(incident, evidence=evidence)
        return replace(found, explanation=Explanation(sentence=sentence(found)))


def device_of(case: Case) -> int:
    """Return the device whose habits a case is judged by: a local attacker, else the target."""
    attacker = case.attackers.busiest
    return attacker if _is_local(attacker) else case.targets.busiest


def contacts_of(flow: np.void) -> list[tuple[int, Contact]]:
    """Return the local devices of a FLOW record, each with its contact."""
    src = int(flow["src_high"]) << 64 | int(flow["src_low"])
    dst = int(flow["dst_high"]) << 64 | int(flow["dst_low"])
    service = int(flow["protocol"]), int(flow["dst_port"])
    found = []
    if _is_local(src):
        found.append((src, Contact(inbound=False, service=service, network=network_of(dst))))
    if _is_local(dst):
        found.append((dst, Contact(inbound=True, service=service, network=network_of(src))))
    return found


def network_of(address: int) -> int:
    """Return the first address of the /24 (IPv4) or /48 (IPv6) that an address is in."""
    bits = _LOW_IPV4 if address >> 32 == 0xFFFF else _LOW_IPV6
    return address >> bits << bits
