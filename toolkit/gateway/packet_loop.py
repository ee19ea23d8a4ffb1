"""The loop that moves packets: frames to flows, to probabilities, to incidents.

Where packets come faster than it can go, it sheds work in this order, and counts it: learning and
the watch for drift; explanations by the model; the devices of the page; judging a flow again that
was judged before; judging flows that nobody answered, which the tests over hosts still count. What
the kernel then drops is counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idskit.detect.detector import Detector
from idskit.errors import SchemaError
from idskit.explain.explain_incident import explained
from idskit.flow import VERDICT
from idskit.flow_input import VERDICT_AT_S, FlowInput
from idskit.gateway.gateway_view import GatewayView, Totals
from idskit.gateway.keeper import Keeper
from idskit.gateway.learned.service_site import ServiceSite
from idskit.gateway.service_options import CaptureOptions
from idskit.gateway.steady_source import Interface, SteadySource
from idskit.incidents.family_facts import BLIND, FAMILY_FACTS
from idskit.incidents.incident import Evidence, Explanation, Incident, incident_id
from idskit.incidents.tracker import SHIPPED_LEVELS, IncidentTracker, Levels
from idskit.process.notify import Notifier
from idskit.profiles.flow_reader import FlowBatch, FlowReader
from idskit.profiles.flow_settings import settings_for
from idskit.profiles.reading_statistics import FlowStatistics
from idskit.profiles.registry import profile_named
from idskit.profiles.slot_memory import give_back_memory

BATCH = 1024
MAX_WAIT_MS = 250.0  # that a flow waits for others: each batch costs some milliseconds
BLIND_AFTER_S = 5.0  # an interface that is set up anew is away for a moment
SECOND_S = 1.0
LEARN_S = 10.0  # for which flows that are to be learned may wait for others
_RING_US = 100_000  # a packet may lie that long in a ring before it is read
# How late packets are when work of a kind is shed, in microseconds, in the order of the shedding.
_SHED_LEARNING, _SHED_EXPLANATIONS, _SHED_DEVICES = 250_000, 500_000, 1_000_000
_SHED_REPEATED, _SHED_UNANSWERED = 2_000_000, 4_000_000


@dataclass(frozen=True, kw_only=True)
class Judges:
    """What judges flows: exchanged as one, between two batches."""

    detector: Detector
    tracker: IncidentTracker

    @classmethod
    def of(cls, detector: Detector, site: Levels = SHIPPED_LEVELS) -> Judges:
        """Make the tracker of a detector, without incidents, by the levels of a site."""
        return cls(detector=detector, tracker=detector.tracker(detector.flow_schema, site))

    def succeeded_by(self, detector: Detector) -> Judges:
        """Return other judges that go on with the open incidents of these."""
        judges = Judges.of(detector, self.tracker.site)
        judges.tracker.restore(self.tracker.to_state())
        return judges


class PacketLoop:
    """The loop, until it is stopped.

    Attributes:
        source: the interfaces.
        view: what it counts for the page.
        judges: of the next batch.
        successor: another detector that another thread loaded: it takes over within a second.
        on_tick: called about once a second.
    """

    def __init__(
        self,
        capture: CaptureOptions,
        names: tuple[str, ...],
        judges: Judges,
        keeper: Keeper,
        site: ServiceSite,
    ) -> None:
        """Open the interfaces.

        Raises:
            CaptureError: one that is there cannot be read.
            IdskitError: a setting that the model's flows do not have.
        """
        self.judges, self._keeper, self._site = judges, keeper, site
        self.successor: Detector | None = None
        self.on_tick: Callable[[], object] = lambda: None
        self.notifier = Notifier()
        self.source = SteadySource(names, self._tick, filter=capture.filter)
        self._reader = _reader(self.source, capture, judges.detector)
        self._reader.on_claims = self._observe_claims
        self.view = GatewayView(self._reader.capacity)
        self._judged = np.full(self._reader.capacity, -1, np.int64)  # by slot: serial of the flow
        self._blind: dict[str, Incident] = {}
        self._why: dict[str, Explanation] = {}  # of open incidents
        self._unlearned: list[tuple[FlowBatch, NDArray[np.float32]]] = []
        self._next_s = self._learn_s = 0.0
        self._is_ready = False

    def run(self) -> None:
        """Read packets until ``stop``, and judge the flows that are open then.

        Raises:
            CaptureError: the ring of an interface is damaged.
            ModelError: the model fails.
        """
        for batch in self._reader.batches(BATCH, MAX_WAIT_MS):
            self._judge(batch)
        self.notifier.stopping()
        self._learn_now()
        self._end_blindness(self._blind)
        self._keeper.put_state(self.judges.tracker.to_state(), is_last=True)

    def stop(self) -> None:
        """End the loop; signal handlers may call this."""
        self.source.stop()

    def close(self) -> None:
        """Close the interfaces."""
        self._reader.close()
        self.notifier.close()

    @property
    def is_overloaded(self) -> bool:
        """Return whether packets wait or are dropped."""
        return self.source.lag_us >= _SHED_DEVICES or self.view.dropped_lately > 0

    @property
    def statistics(self) -> FlowStatistics:
        """Return what became of the frames read so far."""
        return self._reader.statistics

    def skipped(self) -> dict[str, int]:
        """Return the frames that were not decoded, by reason, and other losses of the engine."""
        found = self._reader.statistics
        lost = {"flow_table_evicted": found.evicted, "flows_late": found.late}
        return lost | {f"frames_skipped_{reason}": n for reason, n in found.skipped.items()}

    def _observe_claims(self, claims: NDArray[np.void]) -> None:
        self.judges.tracker.observe_claims(claims)

    def _judge(self, batch: FlowBatch) -> None:
        judges, lag_us = self.judges, self.source.lag_us
        probabilities = self._probabilities(judges.detector, batch, lag_us)
        self._hand_on(judges.tracker.observe(batch, probabilities))
        if self._site.wants_flows:
            self._learn(batch, probabilities, lag_us)
        if lag_us < _SHED_DEVICES:
            self.view.add_flows(batch, self.source.now_us())
        else:
            self.view.add_shed("page rows", len(batch))

    def _learn(self, batch: FlowBatch, probabilities: NDArray[np.float32], lag_us: int) -> None:
        """Take a batch to be learned later: not one by one, as each has a fixed cost."""
        if lag_us >= _SHED_LEARNING:
            self.view.add_shed("flows to learn", len(batch))
            return
        own = batch.with_columns_of(self.judges.detector.schema)
        self._unlearned.append((own, probabilities))
        if sum(len(one) for one, _ in self._unlearned) >= BATCH:
            self._learn_now()

    def _learn_now(self) -> None:
        """Learn the batches that wait for it."""
        self._learn_s = time.monotonic() + LEARN_S
        if self._unlearned:
            batches, probabilities = zip(*self._unlearned, strict=True)
            self._unlearned.clear()
            self._keeper.put(self._site.observe(joined(batches), np.concatenate(probabilities)))

    def _probabilities(
        self, detector: Detector, batch: FlowBatch, lag_us: int
    ) -> NDArray[np.float32]:
        """Return (n, classes); NaN for flows that there was no time for."""
        is_shed = self._shed(batch.flows, lag_us)
        if not is_shed.any():
            return detector.flow_probabilities(batch)
        found = np.full((len(batch), len(detector.card.classes)), np.nan, np.float32)
        rest = replace(batch, flows=batch.flows[~is_shed], features=batch.features[~is_shed])
        found[~is_shed] = detector.flow_probabilities(rest)
        return found

    def _shed(self, flows: NDArray[np.void], lag_us: int) -> NDArray[np.bool_]:
        """Return which flows there is no time to judge, and take down those that are judged."""
        slots, serials = flows["slot"], flows["serial"]
        is_repeated = self._judged[slots] == serials
        is_shed = np.zeros(len(flows), np.bool_)
        if lag_us >= _SHED_REPEATED:
            is_shed |= is_repeated
            self.view.add_shed("flows judged before", int(is_repeated.sum()))
        if lag_us >= _SHED_UNANSWERED:
            is_unanswered = (flows["bwd_packets"] == 0) & ~is_shed
            is_shed |= is_unanswered
            self.view.add_shed("flows without answer", int(is_unanswered.sum()))
        judged = ~is_shed & (flows["end"] == VERDICT)
        self._judged[slots[judged]] = serials[judged]
        return is_shed

    def _hand_on(self, incidents: Iterable[Incident]) -> None:
        found = list(incidents)
        self._keeper.put([self._explained(one) for one in found])
        is_new = any(one.type == "new" for one in found)
        if self._keeper.wants_state(is_urgent=is_new):
            self._keeper.put_state(self.judges.tracker.to_state())

    def _explained(self, incident: Incident) -> Incident:
        """Return an incident with why there is one; at its end with why there was one."""
        judges, key = self.judges, incident.incident_id
        row = judges.tracker.row_of(key)
        if row is not None and self.source.lag_us >= _SHED_EXPLANATIONS:
            self.view.add_shed("explanations", 1)
            row = None
        try:
            usual, schema = self._site.usual(row), judges.tracker.schema
            found = explained(judges.detector, incident, row, schema, usual=usual)
        except SchemaError:  # nothing is known of what is usual for this model's columns
            found = explained(judges.detector, incident, None)
        if row is None and key in self._why and found.explanation is not None:
            why = replace(self._why[key], sentence=found.explanation.sentence)
            found = replace(found, explanation=why)
        if incident.type == "end":
            self._why.pop(key, None)
        elif found.explanation is not None:
            self._why[key] = found.explanation
        return found

    def _tick(self) -> None:
        """Do what is due by the clock; the source calls this in every round."""
        self.notifier.alive()
        now_s = time.monotonic()
        if now_s < self._next_s:
            return
        self._next_s = now_s + SECOND_S
        if not self._is_ready:
            self._is_ready = True
            give_back_memory()
            self.notifier.ready(f"Reading {self.source.name}")
        if now_s >= self._learn_s or self.successor is not None:
            self._learn_now()
        if self.successor is not None:
            self.judges, self.successor = self.judges.succeeded_by(self.successor), None
            self._site.judged_by(self.judges.detector)
        self.judges.tracker.site = self._site.levels
        self._hand_on(self.judges.tracker.advance(self.source.now_us() - _RING_US))
        self._watch_interfaces(now_s)
        self._reader.memory.look()
        statistics = self._reader.statistics
        self.view.note(
            Totals(
                packets=self.source.seen,
                bytes=self.source.bytes,
                flows=statistics.flows,
                dropped=statistics.dropped,
            )
        )
        self.on_tick()

    def _watch_interfaces(self, now_s: float) -> None:
        """Open an incident for an interface that is not seen, and end it when it is again."""
        for one in self.source.states:
            is_blind = bool(one.why_blind) and now_s - one.blind_since_s >= BLIND_AFTER_S
            if is_blind and one.name not in self._blind:
                self._blind[one.name] = blind_incident(one, self.source.now_us(), now_s)
                self._keeper.put([self._blind[one.name]])
        seen = [name for name in self._blind if not self._why_blind(name)]
        self._end_blindness(seen)

    def _why_blind(self, name: str) -> str:
        return next(one.why_blind for one in self.source.states if one.name == name)

    def _end_blindness(self, names: Iterable[str]) -> None:
        now_us = self.source.now_us()
        for name in list(names):
            incident = self._blind.pop(name)
            self._keeper.put([incident.as_type("end", updated_us=now_us, ended_us=now_us)])


def blind_incident(interface: Interface, now_us: int, now_s: float) -> Incident:
    """Return the incident of an interface that nothing is seen of."""
    away_s = now_s - interface.blind_since_s
    started_us = now_us - int(away_s * 1e6)
    facts = FAMILY_FACTS[BLIND]
    sentence = f"interface {interface.name} {interface.why_blind}: what passes it is not seen"
    return Incident(
        incident_id=incident_id(BLIND, None, interface.name, started_us),
        type="new",
        family=BLIND,
        technique=facts.technique,
        severity=facts.severity,
        confidence=1.0,
        started_us=started_us,
        updated_us=now_us,
        flows=0,
        evidence=(Evidence(name="interface not seen", value=round(away_s, 1), unit="s"),),
        explanation=Explanation(sentence=sentence),
    )


def joined(batches: Sequence[FlowBatch]) -> FlowBatch:
    """Return batches that follow each other as one."""
    flows = np.concatenate([one.flows for one in batches])
    return replace(batches[0], flows=flows, features=np.vstack([one.features for one in batches]))


def _reader(source: SteadySource, capture: CaptureOptions, detector: Detector) -> FlowReader:
    """Return what makes flows of the frames of a source, as the model and the tests read them."""
    profile = profile_named(detector.schema.name)
    given: Any = FlowInput(interface=source.interfaces, memory_mb=capture.memory_mb)
    settings = settings_for(profile, given, VERDICT_AT_S)
    return FlowReader(source, profile, settings, detector.flow_schema)
