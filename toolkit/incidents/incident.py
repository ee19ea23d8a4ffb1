"""An incident: one attack, whoever and however many flows it has, from its first sign to its end.

Its record follows an attack over its life: ``new`` once, ``update`` at 1, 10, 100, 1,000 ... flows,
``end`` after silence. All three have the same identifier.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Literal

from idskit.alerts.eve import eve_time

State = Literal["new", "update", "end"]
Verdict = Literal["attack", "expected", "wrong"]
VERDICTS: tuple[Verdict, ...] = ("attack", "expected", "wrong")
FLOWS = "flows"  # the unit of what a sequential test counts
SUSPECTED = "flows that look like an attack"  # to the model: what no sequential test counted


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One measured fact that an incident rests on.

    Example:
        >>> str(Evidence(name="failed first contacts", value=41, unit="in 10 min", usual=0))
        'failed first contacts: 41 in 10 min, usual here 0'
    """

    name: str
    value: float
    unit: str
    usual: float | None = None  # at this site; None where nothing was learned
    nats: float | None = None  # that it gives alone, without what decayed; None of a mere fact
    columns: tuple[tuple[str, float], ...] = ()  # that a test counts, in the flow that gave most

    @property
    def counted_in(self) -> str:
        """The unit as people write it behind the value: 1 flow, 2 flows."""
        return self.unit.removesuffix("s") if (self.unit, self.value) == (FLOWS, 1) else self.unit

    def __str__(self) -> str:
        usual = "" if self.usual is None else f", usual here {self.usual:,.4g}"
        return f"{self.name}: {self.value:,.4g} {self.counted_in}{usual}"

    def to_json(self) -> dict[str, Any]:
        """Return the same as plain types, without what is not known."""
        found = {"name": self.name, "value": self.value, "unit": self.unit}
        columns = dict(self.columns) or None
        more = {"usual": self.usual, "nats": self.nats, "columns": columns}
        return found | {name: value for name, value in more.items() if value is not None}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Evidence:
        """Read what ``to_json`` wrote.

        Raises:
            TypeError, ValueError: it is damaged.
        """
        columns = dict(found.get("columns", {}))
        return cls(**{**found, "columns": tuple((str(n), float(v)) for n, v in columns.items())})


@dataclass(frozen=True, kw_only=True)
class GroupShare:
    """What a group of features adds to a score: its exact Shapley value in log-odds."""

    name: str
    share: float
    without: float | None = None  # the score where this group alone is as usual


@dataclass(frozen=True, kw_only=True)
class FeatureShare:
    """A leading feature: its value, what is usual here, and what replacing it takes away.

    That is log-odds of the score of a flow, or the nats of the sequential test that counts it.
    Columns that measure the same, such as a count over several windows, are one feature: it has the
    name and the value of the one that matters most.
    """

    name: str
    value: float
    unit: str
    usual_p50: float | None  # None where nothing was learned here
    usual_p99: float | None
    share: float  # in log-odds
    counted_by: str = ""  # the sequential test that counts it; empty where the model is asked
    also: tuple[str, ...] = ()  # further columns that measure the same, and are not as usual

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> FeatureShare:
        """Read what an ``Explanation`` wrote.

        Raises:
            TypeError: it is damaged.
        """
        return cls(**{**found, "also": tuple(map(str, found.get("also", ())))})


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Why one flow, or one incident, has its score."""

    sentence: str
    method: str = ""  # how shares were computed; empty where there are none
    base: float = 0.0  # log-odds of what is usual; base and all shares add up to ``score``
    score: float = 0.0
    groups: tuple[GroupShare, ...] = ()
    features: tuple[FeatureShare, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the same as plain types."""
        return asdict(self)

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Explanation:
        """Read what ``to_json`` wrote.

        Raises:
            KeyError, TypeError: it is damaged.
        """
        groups = tuple(GroupShare(**item) for item in found["groups"])
        features = tuple(map(FeatureShare.from_json, found["features"]))
        return cls(**{**found, "groups": groups, "features": features})


@dataclass(frozen=True, kw_only=True)
class FlowTrain:
    """When the flows of an incident began: a count for each of equal times, the first at its start.

    The times are as long as 64 of them need to hold the incident.
    """

    step_us: int
    flows: tuple[int, ...]

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> FlowTrain:
        """Read what ``Incident.to_json`` wrote.

        Raises:
            KeyError, TypeError, ValueError: it is damaged.
        """
        return cls(step_us=int(found["step_us"]), flows=tuple(map(int, found["flows"][:64])))


@dataclass(frozen=True, kw_only=True)
class Incident:
    """What is known of one attack at one time.

    Addresses are text. Where many sources attack one target, ``attacker`` is the busiest of them
    and ``attackers`` their number; the same holds for targets. Both are None for flows of a table
    without addresses.
    """

    incident_id: str
    type: State
    family: str  # one of ``families.FAMILIES``
    technique: str  # of MITRE ATT&CK, as T1046
    severity: int  # 1 is high, 2 medium
    confidence: float  # in [0, 1]
    started_us: int  # first packet of its first flow, since the epoch
    updated_us: int  # last packet of its latest flow
    ended_us: int | None = None  # when it was closed; None while it is open
    attacker: str | None = None
    attackers: int = 1
    target: str | None = None
    targets: int = 1
    device: str | None = None  # the one of both that belongs to this network
    device_name: str | None = None
    services: tuple[str, ...] = ()  # attacked ones, the busiest first: "22/tcp"
    flows: int = 1
    flow_ids: tuple[int, ...] = ()  # of the first twenty
    evidence: tuple[Evidence, ...] = ()
    explanation: Explanation | None = None
    verdict: Verdict | None = None  # what a person said of it
    train: FlowTrain | None = None  # None where it was not counted

    @property
    def label(self) -> str:
        """Return the family, as an alert names what it found."""
        return self.family

    def as_type(self, kind: State, **changed: Any) -> Incident:
        """Return the same incident in another state of its life."""
        return replace(self, type=kind, **changed)

    def to_json(self) -> dict[str, Any]:
        """Return the object ``incident`` of an EVE line; what is not known is omitted."""
        found: dict[str, Any] = {
            "incident_id": self.incident_id,
            "type": self.type,
            "label": self.family,
            "technique": self.technique,
            "severity": self.severity,
            "confidence": round(self.confidence, 4),
            "started": eve_time(self.started_us),
            "updated": eve_time(self.updated_us),
            "ended": None if self.ended_us is None else eve_time(self.ended_us),
            "attacker": self.attacker,
            "attackers": self.attackers,
            "target": self.target,
            "targets": self.targets,
            "device": self._device(),
            "services": list(self.services),
            "flows": self.flows,
            "flow_ids": list(self.flow_ids),
            "evidence": [item.to_json() for item in self.evidence],
            "explanation": None if self.explanation is None else self.explanation.to_json(),
            "verdict": self.verdict,
            "train": None if self.train is None else asdict(self.train),
        }
        return {name: value for name, value in found.items() if value is not None}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Incident:
        """Read what ``to_json`` wrote.

        Raises:
            KeyError, TypeError, ValueError: it is damaged.
        """
        device, explanation = found.get("device") or {}, found.get("explanation")
        ended = found.get("ended")
        return cls(
            incident_id=str(found["incident_id"]),
            type=found["type"],
            family=str(found["label"]),
            technique=str(found["technique"]),
            severity=int(found["severity"]),
            confidence=float(found["confidence"]),
            started_us=_microseconds(found["started"]),
            updated_us=_microseconds(found["updated"]),
            ended_us=None if ended is None else _microseconds(ended),
            attacker=found.get("attacker"),
            attackers=int(found["attackers"]),
            target=found.get("target"),
            targets=int(found["targets"]),
            device=device.get("address"),
            device_name=device.get("name"),
            services=tuple(found["services"]),
            flows=int(found["flows"]),
            flow_ids=tuple(found["flow_ids"]),
            evidence=tuple(map(Evidence.from_json, found["evidence"])),
            explanation=None if explanation is None else Explanation.from_json(explanation),
            verdict=found.get("verdict"),
            train=FlowTrain.from_json(found["train"]) if found.get("train") else None,
        )

    def _device(self) -> dict[str, str] | None:
        if self.device is None:
            return None
        named = {} if self.device_name is None else {"name": self.device_name}
        return {"address": self.device} | named


def incident_id(family: str, attacker: str | None, target: str | None, started_us: int) -> str:
    """Return the identifier of an incident: the same whenever its packets are read again.

    Example:
        >>> incident_id("scan", "192.0.2.1", "192.168.1.2", 1_700_000_000_000_000)
        '20231114T221320-ed8d8b5d'
    """
    text = f"{family}|{attacker}|{target}|{started_us}".encode()
    moment = eve_time(started_us)[:19].replace("-", "").replace(":", "")
    return f"{moment}-{hashlib.blake2b(text, digest_size=4).hexdigest()}"


def _microseconds(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return int(moment.timestamp()) * 1_000_000 + moment.microsecond
