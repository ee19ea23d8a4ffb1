"""The last 24 hours of a host: how many flows it had in each, and in which an incident was.

flows ──> HostDays: hours of each local host ──> HostDay of the incident's device ──> host_day
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idskit.flow import address_number
from idskit.incidents.incident import Incident
from idskit.local_network import are_local
from idskit.report.svg import NOTHING, WIDTH, Chart, rule, stroke_of, text_at

HOURS = 24
MOST_HOSTS = 4_096  # 1 MB; the host that was silent for longest is dropped
_HOUR_US = 3_600_000_000
_HEIGHT, _FOOT = 120, 22
_LEFT, _RIGHT = 70, 24
_OTHER, _INCIDENT = 0, 1  # colours


@dataclass(frozen=True, kw_only=True)
class HostDay:
    """Flows of a host by hour, the latest last.

    Attributes:
        flows: of each hour, at most HOURS of them: fewer where less is known.
        last: the latest hour, since the epoch.
        incident: the hours in which an incident was.
    """

    flows: tuple[int, ...]
    last: int
    incident: range

    def to_json(self) -> dict[str, list[int] | int]:
        """Return plain types."""
        hours = [self.incident.start, self.incident.stop]
        return {"flows": list(self.flows), "last": self.last, "incident": hours}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> HostDay:
        """Read what ``to_json`` returned.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        start, stop = map(int, found["incident"])
        flows = tuple(map(int, found["flows"]))
        return cls(flows=flows, last=int(found["last"]), incident=range(start, stop))


class HostDays:
    """Flows an hour of the local hosts of a stream, over a day.

    Attributes:
        evicted: hosts that were dropped because there were too many.
    """

    def __init__(self) -> None:
        self.evicted = 0
        self._first = self._last = -1  # hours in which flows were seen
        self._hosts: OrderedDict[int, dict[int, int]] = OrderedDict()  # flows by hour

    def observe(self, flows: NDArray[np.void]) -> None:
        """Count (n,) FLOW records, each of another flow."""
        if not len(flows):
            return
        hours = flows["end_us"] // _HOUR_US
        self._first = int(hours.min()) if self._first < 0 else min(self._first, int(hours.min()))
        self._last = max(self._last, int(hours.max()))
        local = are_local(flows)
        for side, end in enumerate(("src", "dst")):
            here = local[:, side]
            words = flows[f"{end}_high"][here], flows[f"{end}_low"][here], hours[here]
            for high, low, hour in zip(*(word.tolist() for word in words), strict=True):
                self._count(high << 64 | low, hour)

    def of(self, incident: Incident) -> HostDay | None:
        """Return the day of the device of an incident until now; None if nothing is known."""
        if incident.device is None:
            return None
        counts = self._hosts.get(address_number(incident.device))
        if counts is None:
            return None
        first = max(self._first, self._last - HOURS + 1)
        hours = range(first, self._last + 1)
        until = incident.ended_us or incident.updated_us
        return HostDay(
            flows=tuple(counts.get(hour, 0) for hour in hours),
            last=self._last,
            incident=range(incident.started_us // _HOUR_US, until // _HOUR_US + 1),
        )

    def _count(self, address: int, hour: int) -> None:
        counts = self._hosts.get(address)
        if counts is None:
            counts = self._hosts[address] = {}
            if len(self._hosts) > MOST_HOSTS:
                self._hosts.popitem(last=False)
                self.evicted += 1
        counts[hour] = counts.get(hour, 0) + 1
        self._hosts.move_to_end(address)
        if len(counts) > HOURS:
            del counts[min(counts)]


def host_day(day: HostDay) -> Chart:
    """Draw a bar for each hour, by the root of its flows; nothing for a host without flows.

    By the root, an hour of ten flows is still seen next to one of ten thousand.
    """
    most = max(day.flows, default=0)
    if not most:
        return NOTHING
    step = (WIDTH - _LEFT - _RIGHT) / HOURS
    parts = [rule(f"M{_LEFT} {_HEIGHT}H{WIDTH - _RIGHT}")]
    for ago, flows in enumerate(reversed(day.flows)):
        at = WIDTH - _RIGHT - (ago + 1) * step
        kind = _INCIDENT if day.last - ago in day.incident else _OTHER
        parts.append(_bar(at, step, (flows / most) ** 0.5, stroke_of(kind)))
    parts += [
        text_at(WIDTH - _RIGHT - (ago + 0.5) * step, _HEIGHT + 16, _clock(day.last - ago))
        for ago in range(0, HOURS, 4)
    ]
    unseen = HOURS - len(day.flows)
    if unseen > 3:
        parts.append(text_at(_LEFT + unseen * step / 2, _HEIGHT / 2, f"{unseen} h not seen"))
    parts.append(text_at(_LEFT - 8, 16, f"{most:,}", anchor="end"))
    return Chart(
        body="".join(parts),
        height=_HEIGHT + _FOOT,
        label="Flows of the host in the last 24 hours",
    )


def _bar(at: float, step: float, share: float, color: str) -> str:
    if not share:
        return ""
    height = max(share * (_HEIGHT - 10), 1.5)
    return (
        f'<rect x="{at + 2:.1f}" y="{_HEIGHT - height:.1f}" width="{step - 4:.1f}" '
        f'height="{height:.1f}" fill="{color}"/>'
    )


def _clock(hour: int) -> str:
    return f"{hour % 24:02}:00"
