"""What one device does, hour by hour: counts, contacts, and what is usual of it.

An hour is counted when it is over, and not at all when the device was accused of anything in it.
What one hour adds is capped, so nobody teaches a habit by sending much in a short time.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idskit.alerts.protocol_names import protocol_name
from idskit.flow import address_number, address_text
from idskit.incidents.evidence import FACTS, SUMS
from idskit.site.site_levels import Contact

MOST_FLOWS = 2_000  # of a device in an hour; further ones are not counted
MOST_CONTACTS = 64  # kept of a device; twice as many while it is learned
MOST_KEPT_HOURS = 64  # of a device whose measures are kept
PULSES = ("score", "flows", "new contacts")  # measures of an hour, for drift
KNOWN_HOURS, KNOWN_FLOWS = 3, 5  # from which on a contact is known
STEADY_HOURS, STEADY_NEW = 24, 0.5  # of a steady device: hours learned, new contacts an hour
_COUNTED = ("flows", "most_flows", "failed", "most_failed", "new", "most_new")
_IS_SUM = np.arange(len(FACTS)) < SUMS


@dataclass(kw_only=True, eq=False)
class DeviceHour:
    """One hour of one device."""

    flows: int = 0
    failed: int = 0  # TCP connections that nobody answered
    sent: bool = False  # whether it sent a packet: nobody knows who else has such an address
    score: float = 0.0  # sum of log-odds
    contacts: Counter[Contact] = field(default_factory=Counter)
    banned: set[Contact] = field(default_factory=set)  # a flow with them looked like an attack
    facts: NDArray[np.float64] = field(default_factory=lambda: np.zeros(len(FACTS)))

    @property
    def is_full(self) -> bool:
        """Whether no further flow counts."""
        return self.flows >= MOST_FLOWS

    def add(self, contact: Contact, *, failed: bool, sent: bool, score: float) -> None:
        """Count a flow."""
        self.flows += 1
        self.failed += failed
        self.sent |= sent
        self.score += score
        if contact in self.contacts or len(self.contacts) < MOST_CONTACTS:
            self.contacts[contact] += 1

    def ban(self, contact: Contact) -> None:
        """Learn nothing of a contact in this hour."""
        if len(self.banned) < MOST_CONTACTS:
            self.banned.add(contact)

    @property
    def learnable(self) -> dict[Contact, int]:
        """Flows of the contacts that may be learned; none of them once too many looked bad."""
        if len(self.banned) == MOST_CONTACTS:
            return {}
        return {one: flows for one, flows in self.contacts.items() if one not in self.banned}

    def add_facts(self, facts: NDArray[np.float64]) -> None:
        """Count the facts (8,) of a flow that this device opened."""
        self.facts = np.where(_IS_SUM, self.facts + facts, np.maximum(self.facts, facts))


@dataclass(kw_only=True, eq=False)
class DeviceNormal:
    """What is known of a device.

    Attributes:
        first, last: hours since the epoch.
        hours: that were counted.
        most_flows, most_failed, most_new: in one hour.
        by_hour: hours counted at each hour of the day (UTC).
        contacts: number of hours and flows of each, the least recently seen first.
        facts: values of FACTS, one row an hour.
        pulses: values of PULSES, one row an hour.
    """

    first: int
    last: int
    hours: int = 0
    flows: int = 0
    most_flows: int = 0
    failed: int = 0
    most_failed: int = 0
    new: int = 0
    most_new: int = 0
    by_hour: list[int] = field(default_factory=lambda: [0] * 24)
    contacts: OrderedDict[Contact, list[int]] = field(default_factory=OrderedDict)
    facts: list[list[float]] = field(default_factory=list)
    pulses: list[list[float]] = field(default_factory=list)

    def count(self, hour: int, found: DeviceHour) -> None:
        """Count an hour that is over."""
        contacts = found.learnable
        new = sum(contact not in self.contacts for contact in contacts)
        pulse = pulse_of(found, new)
        self.first, self.last = min(self.first, hour), max(self.last, hour)
        self.hours += 1
        self.by_hour[hour % 24] += 1
        self.flows, self.most_flows = self.flows + found.flows, max(self.most_flows, found.flows)
        self.failed += found.failed
        self.most_failed = max(self.most_failed, found.failed)
        self.new, self.most_new = self.new + new, max(self.most_new, new)
        for contact, flows in contacts.items():
            seen = self.contacts.setdefault(contact, [0, 0])
            self.contacts[contact] = [seen[0] + 1, seen[1] + flows]
        self._evict(2 * MOST_CONTACTS)
        _keep(self.facts, found.facts.tolist(), self.hours)
        _keep(self.pulses, pulse, self.hours)

    def copied(self) -> DeviceNormal:
        """Return a copy that stays as it is when further hours are counted."""
        return replace(
            self,
            by_hour=list(self.by_hour),
            contacts=self.contacts.copy(),
            facts=list(self.facts),
            pulses=list(self.pulses),
        )

    def known_contacts(self) -> frozenset[Contact]:
        """Return the contacts of several hours."""
        return frozenset(
            contact
            for contact, (hours, flows) in self.contacts.items()
            if hours >= KNOWN_HOURS and flows >= KNOWN_FLOWS
        )

    @property
    def is_steady(self) -> bool:
        """Whether a contact that it never had is news: not of laptops, which have some each hour.

        Contacts that were evicted would be news each time, so there must be room for all.
        """
        is_known = self.hours >= STEADY_HOURS and len(self.contacts) < MOST_CONTACTS
        return is_known and self.new <= STEADY_NEW * self.hours

    def usual(self) -> dict[str, float]:
        """Return the usual value of evidence by its name: the median of this device's hours."""
        return usual_of(self.facts)

    def to_json(self, address: int) -> dict[str, Any]:
        """Return the same as plain types."""
        self._evict(MOST_CONTACTS)
        return {
            "address": address_text(address),
            "first": self.first,
            "last": self.last,
            "hours": self.hours,
            **{name: getattr(self, name) for name in _COUNTED},
            "by_hour": self.by_hour,
            "contacts": [[contact_text(one), *seen] for one, seen in self.contacts.items()],
            "facts": _rounded(self.facts),
            "pulses": _rounded(self.pulses),
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> tuple[int, DeviceNormal]:
        """Read what ``to_json`` wrote, and the address.

        Raises:
            KeyError, TypeError, ValueError: it is damaged.
        """
        contacts = OrderedDict(
            (contact_of(text), [int(hours), int(flows)])
            for text, hours, flows in found["contacts"][:MOST_CONTACTS]
        )
        by_hour = [int(count) for count in found["by_hour"]]
        if len(by_hour) != 24:
            raise ValueError(f"a day has 24 hours, and not {len(by_hour)}")
        device = cls(
            first=int(found["first"]),
            last=int(found["last"]),
            hours=int(found["hours"]),
            **{name: int(found[name]) for name in _COUNTED},
            by_hour=by_hour,
            contacts=contacts,
            facts=rows_of(found["facts"], len(FACTS)),
            pulses=rows_of(found["pulses"], len(PULSES)),
        )
        return address_number(found["address"]), device

    def _evict(self, most: int) -> None:
        if len(self.contacts) <= most:
            return
        ranked = sorted(self.contacts.items(), key=lambda item: item[1], reverse=True)
        self.contacts = OrderedDict(ranked[:most])


def pulse_of(found: DeviceHour, new: int) -> list[float]:
    """Return the measures of an hour: mean log-odds of its flows, and logarithms of counts."""
    return [found.score / max(1, found.flows), math.log1p(found.flows), math.log1p(new)]


def usual_of(facts: list[list[float]]) -> dict[str, float]:
    """Return the median of each of FACTS over hours, by the name that evidence has."""
    if not facts:
        return {}
    medians = np.median(np.array(facts), axis=0)
    return {name: float(value) for (_, name, _), value in zip(FACTS, medians, strict=True)}


def contact_text(contact: Contact) -> str:
    """Return a contact as text: whether it calls or is called, the service, its network.

    Example:
        >>> contact_text(contact_of("to 443/tcp 93.184.216.0"))
        'to 443/tcp 93.184.216.0'
    """
    protocol, port = contact.service
    way = "from" if contact.inbound else "to"
    return f"{way} {service_text(protocol, port)} {address_text(contact.network)}"


def service_text(protocol: int, port: int) -> str:
    """Return a service as text: ``443/tcp``."""
    return f"{port}/{protocol_name(protocol).lower()}"


_PROTOCOLS = {protocol_name(number).lower(): number for number in range(255, -1, -1)}


def contact_of(text: str) -> Contact:
    """Read what ``contact_text`` wrote.

    Raises:
        KeyError, ValueError: it is damaged.
    """
    way, service, network = text.split(" ")
    ip_address(network)
    return Contact(
        inbound={"from": True, "to": False}[way],
        service=service_of(service),
        network=address_number(network),
    )


def service_of(text: str) -> tuple[int, int]:
    """Read what ``service_text`` wrote.

    Raises:
        KeyError, ValueError: it is damaged.
    """
    port, _, protocol = text.partition("/")
    if not 0 <= int(port) < 1 << 16:
        raise ValueError(f"there is no port {port}")
    return _PROTOCOLS[protocol], int(port)


def rows_of(found: Any, width: int) -> list[list[float]]:
    """Return rows of numbers.

    Raises:
        TypeError, ValueError: they are no finite numbers, or not ``width`` in each row.
    """
    rows = np.array(found, np.float64).reshape(-1, width) if found else np.zeros((0, width))
    if len(rows) != len(found) or not np.isfinite(rows).all():
        raise ValueError(f"rows of {width} finite numbers were expected")
    return [[float(value) for value in row] for row in rows]


def _keep(rows: list[list[float]], row: list[float], number: int) -> None:
    """Keep the row ``number`` of a stream, or some earlier one, so that all are as likely.

    The first stays. Which is replaced follows from the number alone: the same traffic gives the
    same file.
    """
    if len(rows) < MOST_KEPT_HOURS:
        rows.append(row)
        return
    drawn = 1 + int(np.random.default_rng(number).integers(number - 1))
    if drawn < MOST_KEPT_HOURS:
        rows[drawn] = row


def _rounded(rows: list[list[float]]) -> list[list[float]]:
    return [[float(f"{value:.5g}") for value in row] for row in rows]
