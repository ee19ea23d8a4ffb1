"""Watch who claims which address by ARP: whoever claims those of others reads what they are sent.

    claims ──> does another device hold the address? did anybody ask? ──> incidents of spoofing

A device that holds an address has claimed it within ten minutes. One that claims it nevertheless is
suspected, and so is one that answers a question that nobody asked, which is how ARP caches are
poisoned: one wrong claim may be a lease that has changed hands, three of them or six answers are
an incident. Proxies and virtual addresses that two machines share look the same; where they are
meant to be, a person says so once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from idskit.flow import MAPPED, address_text
from idskit.incidents.attack_ends import AttackEnds
from idskit.incidents.case import HALF_LIFE_US, SILENCE_US, UPDATES
from idskit.incidents.family_facts import FAMILY_FACTS, SPOOFING
from idskit.incidents.incident import Evidence, Explanation, Incident, State, incident_id
from idskit.incidents.sentence import sentence
from idskit.local_network import is_local

MOST = 4096  # addresses, questions and devices of each kind; the oldest are dropped
MOST_SAVED = 256  # of each kind that a state has, the newest: a flood of claims must not fill it
HELD_US = 600_000_000  # after its latest claim, for which an address is a device's own
ASKED_US = 10_000_000  # after a question, for which its answer is one
_OPENS, _CONTESTED, _UNASKED = 1.0, 1 / 2.5, 1 / 5.5

_NUMBERS = ("mac", "started_us", "updated_us", "own", "claims", "next_update")  # of a suspect

Key = TypeVar("Key")
Value = TypeVar("Value")
_Place = tuple[int, int]  # VLAN and address


@dataclass(kw_only=True)
class _Suspect:
    """A device that claims what is not its own."""

    mac: int
    started_us: int
    updated_us: int
    own: int = 0  # its own address: the one it asks others from, 0 if it has asked nobody
    weight: float = 0.0
    claims: int = 0
    targets: AttackEnds[int] = field(default_factory=AttackEnds)
    opened: str = ""
    next_update: int = 1

    def to_incident(self, kind: State, ended_us: int | None = None) -> Incident:
        """Return what is known of it now."""
        attacker = address_text(self.own | MAPPED) if self.own else None
        target = address_text(self.targets.busiest | MAPPED)
        facts = FAMILY_FACTS[SPOOFING]
        found = Incident(
            incident_id=incident_id(SPOOFING, _text(self.mac), None, self.started_us),
            type=kind,
            family=SPOOFING,
            technique=facts.technique,
            severity=facts.severity,
            confidence=1 - 2.0**-self.claims,
            started_us=self.started_us,
            updated_us=self.updated_us,
            ended_us=ended_us,
            attacker=attacker,
            target=target,
            targets=self.targets.number,
            device=target if is_local(self.targets.busiest | MAPPED) else None,
            flows=0,
            evidence=(
                Evidence(name=f"claims by {_text(self.mac)}", value=self.claims, unit="messages"),
            ),
        )
        return replace(found, explanation=Explanation(sentence=sentence(found)))

    def to_state(self) -> dict[str, Any]:
        """Return the suspect as plain types, for ``from_state``."""
        return {name: getattr(self, name) for name in _NUMBERS} | {
            "weight": self.weight,
            "targets": self.targets.to_state(),
            "opened": self.opened,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> _Suspect:
        """Make the suspect again.

        Raises:
            KeyError, TypeError, ValueError: the state is damaged.
        """
        targets = AttackEnds[int].from_state(state["targets"])
        if not targets.number:
            raise ValueError("somebody is suspected who claimed nothing")
        return cls(
            **{name: int(state[name]) for name in _NUMBERS},
            weight=float(state["weight"]),
            targets=targets,
            opened=str(state["opened"]),
        )


class AddressWatch:
    """The holders of addresses on the networks that are read, and who claims them as well."""

    def __init__(self) -> None:
        self._holders: OrderedDict[_Place, tuple[int, int]] = OrderedDict()  # MAC, time
        self._asked: OrderedDict[tuple[_Place, int], int] = OrderedDict()  # time
        self._own: OrderedDict[int, int] = OrderedDict()  # address by MAC
        self._suspects: OrderedDict[int, _Suspect] = OrderedDict()  # by MAC
        self._now_us = 0
        self._found: list[Incident] = []

    def observe(self, claims: NDArray[np.void]) -> None:
        """Note (n,) CLAIM; what they change is for ``take`` to return."""
        for time_us, mac, address, asked, vlan, is_reply, is_for_one in claims.tolist():
            self._now_us = max(self._now_us, time_us)
            place = vlan, address
            if is_reply:
                at_us = self._asked.get(((vlan, asked), address))
                is_unasked = is_for_one and not _is_recent(at_us, time_us, ASKED_US)
            else:
                is_unasked = False
                _keep(self._asked, (place, asked), time_us)
            holder, held_us = self._holders.get(place, (mac, None))
            if holder != mac and _is_recent(held_us, time_us, HELD_US):
                self._suspect(mac, address, time_us, _CONTESTED)
                continue
            if is_unasked:  # no sign that the address is its own
                self._suspect(mac, address, time_us, _UNASKED)
                continue
            _keep(self._holders, place, (mac, time_us))
            if not is_reply and mac not in self._own:
                _keep(self._own, mac, address)

    def take(self) -> list[Incident]:
        """Return the incidents that are new, updated or ended since the last call."""
        for suspect in list(self._suspects.values()):
            if suspect.opened and self._now_us - suspect.updated_us > SILENCE_US:
                self._found.append(self._end(suspect))
        found, self._found = self._found, []
        return found

    def finish(self) -> list[Incident]:
        """End every incident, because nothing more will be read."""
        found = self.take()
        return found + [self._end(one) for one in list(self._suspects.values()) if one.opened]

    @property
    def open_incidents(self) -> list[Incident]:
        """The incidents that have not ended."""
        return [one.to_incident("update") for one in self._suspects.values() if one.opened]

    def to_state(self) -> dict[str, Any]:
        """Return open incidents and who holds which address, as plain types.

        Without the holders, a thief who goes on would be the first to claim an address.
        """
        opened = {mac: one for mac, one in self._suspects.items() if one.opened}
        return {
            "now_us": self._now_us,
            "holders": [[*place, *held] for place, held in _newest(self._holders)],
            "own": [list(pair) for pair in _newest(self._own)],
            "suspects": [one.to_state() for _, one in _newest(opened)],
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> AddressWatch:
        """Make the same again, without what was only suspected.

        Raises:
            KeyError, TypeError, ValueError: the state is damaged.
        """
        watch = cls()
        watch._now_us = int(state["now_us"])
        for numbers in state["holders"][:MOST]:
            vlan, address, mac, held_us = map(int, numbers)
            watch._holders[vlan, address] = mac, held_us
        watch._own.update((int(mac), int(address)) for mac, address in state["own"][:MOST])
        suspects = [_Suspect.from_state(one) for one in state["suspects"][:MOST]]
        watch._suspects.update((one.mac, one) for one in suspects)
        return watch

    def _suspect(self, mac: int, address: int, time_us: int, weight: float) -> None:
        suspect = self._suspects.get(mac) or _Suspect(
            mac=mac, started_us=time_us, updated_us=time_us
        )
        passed = max(0, time_us - suspect.updated_us)
        suspect.weight = suspect.weight * 2.0 ** (-passed / HALF_LIFE_US) + weight
        suspect.updated_us = max(suspect.updated_us, time_us)
        suspect.claims += 1
        suspect.targets.add(address)
        own = self._own.get(mac, 0)
        suspect.own = 0 if own in suspect.targets else own
        dropped = _keep(self._suspects, mac, suspect)
        if dropped is not None and dropped.opened:
            self._found.append(dropped.to_incident("end", dropped.updated_us))
        if suspect.weight >= _OPENS or suspect.opened:
            self._say(suspect)

    def _say(self, suspect: _Suspect) -> None:
        """Tell of a new incident, and again at ten times as many claims."""
        if suspect.claims < suspect.next_update:
            return
        found = suspect.to_incident("update" if suspect.opened else "new")
        suspect.opened = found.incident_id
        while suspect.next_update <= suspect.claims:
            suspect.next_update *= UPDATES
        self._found.append(found)

    def _end(self, suspect: _Suspect) -> Incident:
        del self._suspects[suspect.mac]
        return suspect.to_incident("end", suspect.updated_us)


def _newest(kept: Mapping[Key, Value]) -> list[tuple[Key, Value]]:
    """Return the newest that a state has room for, the oldest of them first."""
    return list(islice(kept.items(), max(len(kept) - MOST_SAVED, 0), None))


def _is_recent(then_us: int | None, now_us: int, within_us: int) -> bool:
    return then_us is not None and abs(now_us - then_us) <= within_us


def _keep(kept: OrderedDict[Key, Value], key: Key, value: Value) -> Value | None:
    """Keep a value as the newest; return the oldest if it had to be dropped."""
    kept[key] = value
    kept.move_to_end(key)
    return kept.popitem(last=False)[1] if len(kept) > MOST else None


def _text(mac: int) -> str:
    """Return a MAC address as text."""
    return ":".join(f"{byte:02x}" for byte in mac.to_bytes(6, "big"))
