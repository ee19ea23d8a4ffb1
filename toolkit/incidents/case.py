"""A case: what is known of one possible attack, while it is suspected and while it is an incident.

Its evidence is a sum of nats that halves every quarter of an hour, so a trickle of weak signs never
adds up to an incident, and whoever is slow by minutes still does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import count
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idskit.alerts.alert import Flow
from idskit.alerts.protocol_names import protocol_name
from idskit.flow import address_text
from idskit.incidents.attack_ends import AttackEnds
from idskit.incidents.evidence import FACTS, SUMS, FoundBy, Sign
from idskit.incidents.family_facts import FAMILY_FACTS
from idskit.incidents.incident import (
    FLOWS,
    Evidence,
    Explanation,
    FlowTrain,
    Incident,
    State,
    incident_id,
)
from idskit.incidents.sentence import sentence
from idskit.local_network import is_local

SILENCE_US = 900_000_000  # an incident ends after that long without a flow of its attack
HALF_LIFE_US = 900_000_000
SHOWN_FLOWS = 20
SHOWN_SERVICES = 5
UPDATES = 10  # factor of flows between two updates
PAUSE_US = 1_000_000  # at least so long apart
RETRY_US = 20_000_000  # after which a failure at the same place is a retry
MOST_RETRIED = 64
_DNS = 53  # port
TRAIN_BINS, TRAIN_STEP_US = 64, 100_000  # of the flows of a case by time
MOST_ZEROS = 2  # columns of a test that are shown although nothing was counted in them


@dataclass(kw_only=True)
class Train:
    """When the flows of a case began: counts of TRAIN_BINS equal times, which double to hold all.

    Attributes:
        first_us: when the first time begins, since the epoch.
        step_us: length of each.
        counts: flows that began in each.
    """

    first_us: int = 0
    step_us: int = TRAIN_STEP_US
    counts: list[int] = field(default_factory=lambda: [0] * TRAIN_BINS)

    def add(self, start_us: int, flows: int) -> None:
        """Count flows; those before the first time count in it."""
        self.first_us = self.first_us or start_us
        while (at := max(0, start_us - self.first_us) // self.step_us) >= TRAIN_BINS:
            pairs = zip(self.counts[::2], self.counts[1::2], strict=True)
            self.counts = [*map(sum, pairs), *[0] * (TRAIN_BINS // 2)]
            self.step_us *= 2
        self.counts[at] += flows

    def shown(self) -> FlowTrain:
        """Return the counts without the times after the last flow."""
        used = max((at + 1 for at, flows in enumerate(self.counts) if flows), default=0)
        return FlowTrain(step_us=self.step_us, flows=tuple(self.counts[:used]))

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Train:
        """Make it again.

        Raises:
            KeyError, TypeError, ValueError: the state is damaged.
        """
        counts = [int(flows) for flows in state["counts"]]
        if len(counts) != TRAIN_BINS or int(state["step_us"]) < TRAIN_STEP_US:
            raise ValueError(f"{TRAIN_BINS} counts of flows were expected")
        return cls(first_us=int(state["first_us"]), step_us=int(state["step_us"]), counts=counts)


@dataclass(kw_only=True)
class Source:
    """What one test, or the model, says of the flows of a case.

    Attributes:
        flows: that it suspects.
        nats: that it gives alone, without what decayed.
        most: nats of one flow.
        columns: that decide a test, with their values in that flow.
    """

    flows: int = 0
    nats: float = 0.0
    most: float = 0.0
    columns: tuple[tuple[str, float], ...] = ()

    def give(self, found: FoundBy, share: float) -> None:
        """Add a share of what a flow gives."""
        self.nats += share * found.nats
        if found.nats > self.most:
            self.most, self.columns = found.nats, found.columns

    def absorb(self, other: Source) -> None:
        """Count what another case had as well."""
        self.flows += other.flows
        self.nats += other.nats
        if other.most > self.most:
            self.most, self.columns = other.most, other.columns

    def evidence(self, name: str) -> Evidence:
        """Return it as evidence."""
        told = tuple(pair for pair in self.columns if pair[1] or len(self.columns) <= MOST_ZEROS)
        nats = round(self.nats, 2)
        return Evidence(name=name, value=self.flows, unit=FLOWS, nats=nats, columns=told)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Source:
        """Make it again.

        Raises:
            KeyError, TypeError, ValueError: the state is damaged.
        """
        return cls(
            flows=int(state["flows"]),
            nats=float(state["nats"]),
            most=float(state["most"]),
            columns=tuple((str(name), float(value)) for name, value in state["columns"]),
        )


@dataclass(kw_only=True, eq=False)
class Case:
    """One possible attack.

    Attributes:
        number: another one for each case of this process.
        family: of the first sign; ``shown_family`` is that of most signs.
        weight: nats at ``updated_us``.
        opened: its identifier once it is an incident, else empty.
        tests: flows that each sequential test counted.
        sources: what each test, or the model (``SUSPECTED``), says of its flows.
        row: features of its strongest flow, for an explanation.
    """

    family: str
    started_us: int
    updated_us: int
    number: int = field(default_factory=count(1).__next__)
    weight: float = 0.0
    flows: int = 0
    opened: str = ""
    next_update: int = 0
    said_us: int = 0  # when it was last new or updated
    confidence: float = 0.0
    attackers: AttackEnds[int] = field(default_factory=AttackEnds)
    targets: AttackEnds[int] = field(default_factory=AttackEnds)
    services: AttackEnds[tuple[int, int]] = field(default_factory=AttackEnds)
    families: Counter[str] = field(default_factory=Counter)
    tests: Counter[str] = field(default_factory=Counter)
    sources: dict[str, Source] = field(default_factory=dict)
    train: Train = field(default_factory=Train)
    facts: list[float] = field(default_factory=lambda: [0.0] * len(FACTS))
    flow_ids: list[int] = field(default_factory=list)
    row: NDArray[np.float32] | None = None
    _strongest: float = 0.0
    _contacts: dict[tuple[int, tuple[int, int], int], int] = field(default_factory=dict)

    def add(self, sign: Sign, features: NDArray[np.float64], gained: float) -> None:
        """Count a sign.

        Args:
            sign: of a flow.
            features: (d,) of the flow.
            gained: nats that the flow adds to what its earlier rows said.
        """
        self._weigh(sign, gained)
        self.started_us = min(self.started_us, sign.start_us)
        self.confidence = max(self.confidence, sign.score)
        self.facts[:SUMS] = map(add, self.facts[:SUMS], sign.facts[:SUMS])
        self.facts[SUMS:] = map(max, self.facts[SUMS:], sign.facts[SUMS:])
        if sign.weight > self._strongest:
            self._strongest, self.row = sign.weight, features.astype(np.float32)

    def count_flow(self, sign: Sign, flow: np.void) -> None:
        """Count a flow that the case did not have, and those that it stands for."""
        self.flows += sign.flows
        self.attackers.add(sign.attacker)
        self.targets.add(sign.target)
        self.services.add(sign.service)
        self.train.add(sign.start_us, sign.flows)
        if sign.test:
            self.tests[sign.test] += sign.flows
        for found in sign.found_by:
            self._source(found.name).flows += sign.flows
        if not sign.test or sign.family == self.family:  # a flood on many ports is no scan
            self.families[sign.family] += 1
        if len(self.flow_ids) < SHOWN_FLOWS:
            known = Flow.from_record(flow).flow_id
            self.flow_ids += [] if known is None else [known]

    @property
    def owners(self) -> AttackEnds[int]:
        """The ends whose evidence adds up, see ``owner_and_shared``."""
        return self.targets if FAMILY_FACTS[self.family].from_inside else self.attackers

    @property
    def shared(self) -> AttackEnds[int]:
        """The ends that owners may have in common."""
        return self.attackers if FAMILY_FACTS[self.family].from_inside else self.targets

    @property
    def asks_names(self) -> bool:
        """Whether most flows go to a name server, which everybody asks."""
        return self.services.busiest[1] == _DNS

    def open(self) -> None:
        """Make the case an incident."""
        attacker, target = self._ends()
        self.opened = incident_id(self.family, attacker, target, self.started_us)
        self._contacts.clear()
        self._await_update()

    def absorb(self, other: Case) -> None:
        """Count the flows and the busiest ends of another case as well."""
        self.flows += other.flows
        self.families += other.families
        self.tests += other.tests
        for name, source in other.sources.items():
            self._source(name).absorb(source)
        self.updated_us = max(self.updated_us, other.updated_us)
        self.attackers.add(other.attackers.busiest)
        self.targets.add(other.targets.busiest)
        self.services.add(other.services.busiest)

    def is_due(self) -> bool:
        """Return whether an update is due; it is not again before ten times as many flows."""
        due = self.flows >= self.next_update and self.updated_us >= self.said_us + PAUSE_US
        if due:
            self._await_update()
        return due

    @property
    def shown_family(self) -> str:
        """The family of most signs."""
        return max(self.families, key=self.families.__getitem__, default=self.family)

    def to_incident(self, kind: State, ended_us: int | None = None) -> Incident:
        """Return what is known now."""
        attacker, target = self._ends()
        facts = FAMILY_FACTS[self.shown_family]
        found = Incident(
            incident_id=self.opened,
            type=kind,
            family=self.shown_family,
            technique=facts.technique,
            severity=facts.severity,
            confidence=min(self.confidence, 1.0),
            started_us=self.started_us,
            updated_us=self.updated_us,
            ended_us=ended_us,
            attacker=attacker,
            attackers=self.attackers.number,
            target=target,
            targets=self.targets.number,
            device=self._device(attacker, target),
            services=tuple(_service(*found) for found in self.services.ranked(SHOWN_SERVICES)),
            flows=self.flows,
            flow_ids=tuple(self.flow_ids),
            evidence=self._evidence(),
            train=self.train.shown(),
        )
        return replace(found, explanation=Explanation(sentence=sentence(found)))

    def to_state(self) -> dict[str, Any]:
        """Return an incident as plain types, for ``from_state``."""
        kept = ("family", "started_us", "updated_us", "flows", "opened", "next_update")
        return {
            **{name: getattr(self, name) for name in kept},
            "confidence": self.confidence,
            "ends": [ends.to_state() for ends in (self.attackers, self.targets, self.services)],
            "families": dict(self.families),
            "tests": dict(self.tests),
            "train": asdict(self.train),
            "sources": {name: asdict(source) for name, source in self.sources.items()},
            "facts": self.facts,
            "flow_ids": self.flow_ids,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Case:
        """Make the case again.

        Raises:
            KeyError, TypeError, ValueError: the state is damaged.
        """
        if state["family"] not in FAMILY_FACTS or len(state["facts"]) != len(FACTS):
            raise ValueError(f"no incident has family {state['family']!r} and these facts")
        attackers, targets, services = state["ends"]
        return cls(
            family=state["family"],
            started_us=int(state["started_us"]),
            updated_us=int(state["updated_us"]),
            flows=int(state["flows"]),
            opened=str(state["opened"]),
            next_update=int(state["next_update"]),
            confidence=float(state["confidence"]),
            attackers=AttackEnds.from_state(attackers),
            targets=AttackEnds.from_state(targets),
            services=AttackEnds.from_state(services),
            families=Counter(state["families"]),
            tests=Counter(state["tests"]),
            sources=_sources(state),
            train=Train.from_state(state["train"]) if "train" in state else Train(),
            facts=[float(value) for value in state["facts"]],
            flow_ids=list(state["flow_ids"]),
        )

    def _weigh(self, sign: Sign, gained: float) -> None:
        if (sign.once or sign.place) and not self.opened:
            gained *= self._newness(sign)
        if gained > 0:
            for found in sign.found_by:
                self._source(found.name).give(found, gained / sign.weight)
        passed = max(0, sign.end_us - self.updated_us)
        self.weight = max(0.0, self.weight * 2.0 ** (-passed / HALF_LIFE_US) + gained)
        self.updated_us = max(self.updated_us, sign.end_us)

    def _source(self, name: str) -> Source:
        return self.sources.setdefault(name, Source())

    def _newness(self, sign: Sign) -> float:
        """Return what a failure counts: 1 at a new place, less than nothing where it is retried.

        Scanners send a probe again within seconds. Programs whose server is down, or whose password
        is an old one, come back later to the same few places and things; beyond MOST_RETRIED of
        them nobody is taken for one.
        """
        place = sign.target, sign.service, sign.place
        first_us = self._contacts.get(place)
        if first_us is not None:
            is_retry = sign.start_us - first_us > RETRY_US and len(self._contacts) < MOST_RETRIED
            return -0.5 if is_retry else 0.0
        if len(self._contacts) < MOST_RETRIED:
            self._contacts[place] = sign.start_us
        return 1.0

    def _await_update(self) -> None:
        self.said_us = self.updated_us
        self.next_update = max(self.next_update, UPDATES)
        while self.next_update <= self.flows:
            self.next_update *= UPDATES

    def _ends(self) -> tuple[str | None, str | None]:
        attacker, target = self.attackers.busiest, self.targets.busiest
        return (address_text(attacker), address_text(target)) if attacker else (None, None)

    def _device(self, attacker: str | None, target: str | None) -> str | None:
        if attacker is None or target is None:
            return None
        inside = is_local(self.attackers.busiest), is_local(self.targets.busiest)
        return attacker if inside == (True, False) else target

    def _evidence(self) -> tuple[Evidence, ...]:
        """Return what opened it, what gave most nats first, then the facts.

        Each name is there once, with its larger number.
        """
        ranked = sorted(self.sources.items(), key=lambda item: (-item[1].nats, -item[1].flows))
        found = {name: source.evidence(name) for name, source in ranked}
        for value, (_, name, unit) in zip(self.facts, FACTS, strict=True):
            if value > 0 and (name not in found or value >= found[name].value):
                known = found.get(name) or Evidence(name=name, value=value, unit=unit)
                found[name] = replace(known, value=value, unit=unit)
        return tuple(found.values())


def _sources(state: Mapping[str, Any]) -> dict[str, Source]:
    """Read what suspected the flows of a case; an older version knew the tests alone."""
    if "sources" not in state:
        return {name: Source(flows=int(flows)) for name, flows in state["tests"].items()}
    return {name: Source.from_state(found) for name, found in state["sources"].items()}


def _service(protocol: int, port: int) -> str:
    name = protocol_name(protocol).lower()
    return f"{port}/{name}" if port else name
