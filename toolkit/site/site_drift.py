"""Drift: a device, or those that joined, is no longer as it was when the site was learned.

    an hour of a device ─> p-values against its learned hours ─> martingales ─> an alarm a week

A p-value is the conformal one (Vovk et al., 2005): the rank of an hour among the learned hours of
the device, which stay fixed, and those of this week. Under exchangeability these are uniform and
independent, so a betting martingale on them reaches H with a probability of 1 / H at most (Ville,
1939). It begins again every week: at most ERROR false alarms a week are expected of a whole site.
Hours are left out by the same rules as in learning, because what looks like an attack is evidence
of incidents. Devices that were not learned are one stream: the first hour of each, among the first
hours of the learned devices. Those that join together are alike: they count as one, by their mean.

How many devices join in a day is counted apart. The rate at which they joined in the later half of
learning has a gamma distribution, so their number has a negative binomial one; both are as wide as
the learned hours vary. A number that has a probability of ERROR / WEEK_HOURS at most is an alarm.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter, OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idskit.attack_families import UNKNOWN
from idskit.flow import address_text
from idskit.incidents.family_facts import FAMILY_FACTS
from idskit.incidents.incident import Evidence, Explanation, Incident, incident_id
from idskit.site.case_peaks import HOUR_US
from idskit.site.device_normal import (
    PULSES,
    DeviceHour,
    contact_text,
    pulse_of,
    rows_of,
    usual_of,
)
from idskit.site.site_learner import QuietHours
from idskit.site.site_levels import Contact
from idskit.site.site_normal import MOST_DEVICES, SiteNormal

ERROR = 0.05  # expected false alarms of a site in a week
LEAST_HOURS = 24  # learned hours of a device below which nothing is said of it
LEAST_DEVICES = 20  # hours in which learned devices began; with fewer nothing is said of others
DAY_HOURS, WEEK_HOURS = 24, 24 * 7
NEWCOMERS = 0  # the stream of devices that were not learned
_POWERS = np.linspace(0.05, 1, 20)  # bets of a martingale: power martingales, and their mean
_LOG_POWERS = np.log(_POWERS)
_SIDES = (1.0, -1.0)  # higher than it was, lower
_MOST_NEW = 3  # contacts that an alarm names
_JOINS = "devices that joined in a day"
_MEASURES = (
    "likeness of its flows to attacks (log-odds)",
    "flows in an hour (logarithm)",
    "new contacts in an hour (logarithm)",
)


@dataclass(frozen=True, kw_only=True)
class DriftAlarm:
    """Something is no longer as it was learned.

    Attributes:
        device: its address; None for devices that were not learned.
        hour: of the alarm, in hours since the epoch.
        measure: that changed most, in words.
        value, usual: its median since the week began, and when it was learned.
        contacts: new ones, most flows first.
        facts: what else changed: name, median value now, usual value.
        evidence: value of the martingale: odds against chance.
    """

    device: str | None
    hour: int
    measure: str
    value: float
    usual: float
    contacts: tuple[str, ...]
    facts: tuple[tuple[str, float, float], ...]
    evidence: float

    def __str__(self) -> str:
        if self.measure == _JOINS:
            return f"{self.value:,.0f} devices joined in a day, learned {self.usual:.2g} a day"
        who = "devices that joined are" if self.device is None else f"{self.device} is"
        parts = [f"{self.measure} {self.value:.3g}, learned {self.usual:.3g}"]
        parts += [f"{name} {value:.3g}, learned {usual:.3g}" for name, value, usual in self.facts]
        if self.contacts:
            parts.append(f"new: {', '.join(self.contacts)}")
        return f"{who} not as learned: {'; '.join(parts)}"

    def incidents(self) -> tuple[Incident, Incident]:
        """Return the alarm as an incident that has ended: it says all that will be known of it."""
        start_us, end_us = self.hour * HOUR_US, (self.hour + 1) * HOUR_US
        facts = FAMILY_FACTS[UNKNOWN]
        new = Incident(
            incident_id=incident_id(UNKNOWN, None, self.device, start_us),
            type="new",
            family=UNKNOWN,
            technique=facts.technique,
            severity=facts.severity,
            confidence=1 - 1 / max(self.evidence, 1.0),
            started_us=start_us,
            updated_us=end_us,
            target=self.device,
            device=self.device,
            flows=0,
            evidence=(Evidence(name=self.measure, value=self.value, unit="", usual=self.usual),),
            explanation=Explanation(sentence=str(self)),
        )
        return new, new.as_type("end", ended_us=end_us)


@dataclass(kw_only=True, eq=False)
class _Stream:
    """The hours of one device in this week, and the bets on them."""

    week: int
    reference: list[list[float]]
    pulses: list[list[float]] = field(default_factory=list)
    facts: list[list[float]] = field(default_factory=list)
    contacts: OrderedDict[Contact, int] = field(default_factory=OrderedDict)
    alarmed: bool = False
    logs: NDArray[np.float64] = field(
        default_factory=lambda: np.zeros((len(PULSES), len(_SIDES), len(_POWERS)))
    )

    def bet(self, pulse: list[float], seed: tuple[int, int]) -> None:
        """Add an hour."""
        earlier = np.array(self.reference + self.pulses)
        for measure, value in enumerate(pulse):
            for side, sign in enumerate(_SIDES):
                p = _p_value(sign * value, sign * earlier[:, measure], (*seed, measure, side))
                self.logs[measure, side] += _LOG_POWERS + (_POWERS - 1) * math.log(p)
        self.pulses.append(pulse)

    def count(self, learned: Collection[Contact], found: DeviceHour) -> int:
        """Count the contacts of an hour that were not learned; return how many are new."""
        new = [contact for contact in found.contacts if contact not in learned]
        fresh = sum(contact not in self.contacts for contact in new) if learned else len(new)
        for contact in new:
            if contact in self.contacts or len(self.contacts) < MOST_DEVICES:
                self.contacts[contact] = self.contacts.get(contact, 0) + found.contacts[contact]
        return fresh

    @property
    def wealth(self) -> NDArray[np.float64]:
        """Values of the martingales by measure."""
        values: NDArray[np.float64] = np.exp(np.minimum(self.logs, 700)).mean(axis=(1, 2))
        return values


class _Joins:
    """Number of devices that join in a day, against how many did while the site was learned.

    Attributes:
        hourly: devices that joined, by hour, of the last day.
        alarmed: the week of the latest alarm.
    """

    def __init__(self, normal: SiteNormal) -> None:
        first = min((one.first for one in normal.devices.values()), default=0)
        last = max((one.last for one in normal.devices.values()), default=0)
        self._hours = (last - first + 1) // 2  # of the later half: at first all devices are new
        began = Counter(one.first for one in normal.devices.values())
        counts = np.array([began[last - ago] for ago in range(self._hours)], np.float64)
        self._learned = float(counts.sum())
        self._spread = float(max(1.0, counts.var() / counts.mean())) if self._learned else 1.0
        self.hourly: dict[int, int] = {}
        self.alarmed = -1

    def add(self, hour: int, number: int) -> DriftAlarm | None:
        """Count devices that joined in an hour; return an alarm where too many did in a day."""
        recent = {one: count for one, count in self.hourly.items() if hour - one < DAY_HOURS}
        self.hourly = recent | {hour: number}
        if self._hours < LEAST_HOURS // 2 or self.alarmed == hour // WEEK_HOURS:
            return None
        joined = sum(self.hourly.values())
        chance = self._chance(joined)
        if chance > ERROR / WEEK_HOURS:
            return None
        self.alarmed = hour // WEEK_HOURS
        return DriftAlarm(
            device=None,
            hour=hour,
            measure=_JOINS,
            value=joined,
            usual=self._learned * DAY_HOURS / self._hours,
            contacts=(),
            facts=(),
            evidence=1 / max(chance, 1e-300),
        )

    def _chance(self, joined: int) -> float:
        """Return the probability that so many join in a day, or more."""
        shape = self._learned / self._spread + 0.5
        stays = self._hours / (self._hours + DAY_HOURS)
        fewer = np.arange(math.ceil(joined / self._spread))
        logs = np.array([math.lgamma(n + shape) - math.lgamma(n + 1) for n in fewer])
        logs += shape * math.log(stays) - math.lgamma(shape) + fewer * math.log1p(-stays)
        return max(0.0, 1 - float(np.exp(logs).sum()))


class DriftWatch:
    """Watches a site for drift.

    Args:
        normal: what was learned.
        classes: of the model that judges.
    """

    def __init__(self, normal: SiteNormal, classes: Sequence[str]) -> None:
        self._normal = normal
        self._quiet = QuietHours(normal.schema, classes, normal.threshold)
        self._streams: dict[int, _Stream] = {}
        self._joined: OrderedDict[int, None] = OrderedDict()  # devices not learned, seen before
        self._joins = _Joins(normal)
        firsts = _firsts(normal)
        self._references = {
            one: device.pulses
            for one, device in normal.devices.items()
            if len(device.pulses) >= LEAST_HOURS
        }
        if len(firsts) >= LEAST_DEVICES:
            self._references[NEWCOMERS] = firsts
        self.opens = max(1, len(self._references)) / ERROR

    def observe(
        self,
        flows: NDArray[np.void],
        features: NDArray[np.float64],
        probabilities: NDArray[np.float32],
    ) -> list[DriftAlarm]:
        """Count (n,) FLOW records with their features and probabilities."""
        hours = list(self._quiet.observe(flows, features, probabilities))
        return [alarm for hour, found in hours for alarm in self._close(hour, found)]

    def finish(self) -> list[DriftAlarm]:
        """Count the hour that is not over, because nothing more will be read."""
        return list(self._close(*self._quiet.finish()))

    def to_state(self) -> dict[str, Any]:
        """Return this week's hours as plain types; bets follow from them."""
        streams = {
            str(one): {
                "week": stream.week,
                "pulses": stream.pulses,
                "alarmed": stream.alarmed,
                "logs": stream.logs.ravel().tolist(),
            }
            for one, stream in self._streams.items()
        }
        return {
            "streams": streams,
            "joined": [str(device) for device in self._joined],
            "joins": [[hour, count] for hour, count in self._joins.hourly.items()],
            "joins_alarmed": self._joins.alarmed,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on with the week of ``to_state``, with the same learned site.

        Raises:
            KeyError, TypeError, ValueError: the state is damaged; nothing is restored.
        """
        streams = {}
        for key, found in list(state["streams"].items())[: MOST_DEVICES + 1]:
            if int(key) not in self._references:
                continue  # it was learned anew meanwhile
            logs = np.array(found["logs"], np.float64)
            if logs.size != len(PULSES) * len(_SIDES) * len(_POWERS) or np.isnan(logs).any():
                raise ValueError("bets of another kind were expected")
            streams[int(key)] = _Stream(
                week=int(found["week"]),
                reference=self._references[int(key)],
                pulses=rows_of(found["pulses"], len(PULSES)),
                alarmed=bool(found["alarmed"]),
                logs=logs.reshape(len(PULSES), len(_SIDES), len(_POWERS)),
            )
        joined = [int(device) for device in state["joined"][:MOST_DEVICES]]
        hourly = {int(hour): int(count) for hour, count in state.get("joins", [])[:DAY_HOURS]}
        alarmed = int(state.get("joins_alarmed", -1))
        self._streams, self._joined = streams, OrderedDict.fromkeys(joined)
        self._joins.hourly, self._joins.alarmed = hourly, alarmed

    def _close(self, hour: int, hours: Mapping[int, DeviceHour]) -> Iterator[DriftAlarm]:
        joining = []
        for device, found in hours.items():
            if device in self._references:
                yield from self._add(device, hour, [found])
            elif device not in self._normal.devices and device not in self._joined:
                self._join(device)
                joining.append(found)
        more = self._joins.add(hour, len(joining)) if joining else None
        if more is not None:
            yield more
        if joining and NEWCOMERS in self._references:
            yield from self._add(NEWCOMERS, hour, joining)

    def _add(self, device: int, hour: int, found: Sequence[DeviceHour]) -> Iterator[DriftAlarm]:
        stream = self._stream(device, hour)
        learned = self._normal.devices.get(device)
        pulses = [
            pulse_of(one, stream.count({} if learned is None else learned.contacts, one))
            for one in found
        ]
        stream.bet(np.mean(pulses, axis=0).tolist(), (device, hour))
        stream.facts.append(np.mean([one.facts for one in found], axis=0).tolist())
        wealth = float(stream.wealth.mean())
        if wealth >= self.opens and not stream.alarmed:
            stream.alarmed = True
            yield self._alarm(device, stream, hour, wealth)

    def _stream(self, device: int, hour: int) -> _Stream:
        week = hour // WEEK_HOURS
        stream = self._streams.get(device)
        if stream is None or stream.week != week:
            stream = _Stream(week=week, reference=self._references[device])
            self._streams[device] = stream
        return stream

    def _join(self, device: int) -> None:
        self._joined[device] = None
        if len(self._joined) > MOST_DEVICES:
            self._joined.popitem(last=False)

    def _alarm(self, device: int, stream: _Stream, hour: int, wealth: float) -> DriftAlarm:
        measure = int(stream.wealth.argmax())
        now, before = np.array(stream.pulses)[:, measure], np.array(stream.reference)[:, measure]
        ranked = sorted(stream.contacts.items(), key=lambda item: -item[1])
        return DriftAlarm(
            device=address_text(device) if device else None,
            hour=hour,
            measure=_MEASURES[measure],
            value=float(np.median(now)),
            usual=float(np.median(before)),
            contacts=tuple(contact_text(contact) for contact, _ in ranked[:_MOST_NEW]),
            facts=tuple(self._changed(device, stream)),
            evidence=wealth,
        )

    def _changed(self, device: int, stream: _Stream) -> Iterator[tuple[str, float, float]]:
        """Yield the facts whose medians are twice, or half, what they were."""
        learned = self._normal.devices.get(device)
        rows = [row for one in self._normal.devices.values() for row in one.facts]
        usual = usual_of(rows if learned is None else learned.facts)
        for name, value in usual_of(stream.facts).items():
            before = usual.get(name, 0.0)
            if abs(math.log((value + 1) / (before + 1))) > math.log(2):
                yield name, value, before


def _p_value(value: float, earlier: NDArray[np.float64], seed: tuple[int, ...]) -> float:
    """Return the share of values that are as high, ties broken by a number drawn by the seed."""
    higher, equal = int((earlier > value).sum()), int((earlier == value).sum())
    drawn = _drawn(*seed)
    return max(1e-9, (higher + max(drawn, 1e-9) * (equal + 1)) / (len(earlier) + 1))


def _drawn(*seed: int) -> float:
    """Return a number in [0, 1) that follows from a seed: the same hours give the same alarms."""
    text = ",".join(map(str, seed)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=6).digest(), "big") / (1 << 48)


def _firsts(normal: SiteNormal) -> list[list[float]]:
    """Return the means of the first hours of devices that began in the same hour."""
    began: dict[int, list[list[float]]] = {}
    for device in normal.devices.values():
        if device.pulses:
            began.setdefault(device.first, []).append(device.pulses[0])
    return [np.mean(pulses, axis=0).tolist() for pulses in began.values()]
