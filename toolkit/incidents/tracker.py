"""Track attacks: signs of flows become cases, cases with enough evidence become incidents.

    signs ──> the case of their owner, or of the end that many owners share ──> new, update, end

The owner is the attacker and the shared end its target; where a device was taken over, it is the
device and its controller. So a hundred devices that ask one server for a missing name each are not
one that asks for a hundred. One attack is one incident, however its flows are labelled and however
many sources it has. Memory is bounded whatever arrives: suspected cases are evicted oldest first
and counted; incidents beyond MOST_OPENED an hour of one family are one more incident of all their
ends.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from idskit.flow import VERDICT
from idskit.incidents.address_watch import AddressWatch
from idskit.incidents.case import SILENCE_US, Case
from idskit.incidents.evidence import LEAST_SIGN, EvidenceReader, Sign
from idskit.incidents.family_facts import FAMILY_FACTS, owner_and_shared
from idskit.incidents.incident import Incident, State
from idskit.incidents.regular_contacts import RegularContacts
from idskit.incidents.sequential.nats import OPENS
from idskit.schema import Schema

if TYPE_CHECKING:
    from idskit.profiles.flow_reader import FlowBatch

MOST_SUSPECTED = 4096
MOST_OPENED = 32  # incidents of one family in an hour; further ones are one incident
CROWD = 8  # sources from which on an attack on one target is of many
_HOUR_US = 3_600_000_000
# Families of incidents that a flow may be of which a test counts: a flood on many ports is a scan.
_ALIKE = dict.fromkeys(("scan", "flood"), ("scan", "flood"))

Key = tuple[str, int]  # family and address
_NOTHING = (-1, 0, 0.0)
_ANYBODY = 0


class Levels:
    """The levels that the tracker asks: these are of every network, a site has its own."""

    def weighed(self, sign: Sign, flow: np.void) -> Sign:  # noqa: ARG002 - a site asks the flow
        """Return a sign with the weight that it has here."""
        return sign

    def opens(self, case: Case) -> bool:
        """Return whether the evidence of a case is enough for an incident."""
        return case.weight >= OPENS

    @property
    def knows_contacts(self) -> bool:
        """Whether a contact can be new here; if not, nobody counts which are regular."""
        return False

    def is_new_contact(self, flow: np.void) -> bool:  # noqa: ARG002 - a site asks the flow
        """Return whether no device here is known to have such a contact."""
        return False

    def with_usual(self, incident: Incident) -> Incident:
        """Return an incident whose evidence says what is usual here, where that is known."""
        return incident


SHIPPED_LEVELS = Levels()


class IncidentTracker:
    """Incidents of a stream of judged flows.

    Args:
        schema: of the flows' features.
        classes: of the model, the first is the benign one.
        threshold: score at which a flow alone raises an alert.
        site: what this site changes.

    Attributes:
        schema: of the flows' features.
        site: the levels that it asks; others may take their place between batches.
        evicted: suspected cases that were dropped because there were too many.
        strongest: most nats that a case had so far.
    """

    def __init__(
        self,
        schema: Schema,
        classes: Sequence[str],
        threshold: float,
        site: Levels = SHIPPED_LEVELS,
    ) -> None:
        self.evicted = 0
        self.strongest = 0.0
        self.schema = schema
        self.site = site
        self._evidence = EvidenceReader(schema, classes, threshold)
        self._addresses = AddressWatch()
        self._regular = RegularContacts()
        self._now_us = 0
        self._suspected: OrderedDict[int, Case] = OrderedDict()  # by number, the oldest first
        self._open: dict[str, Case] = {}  # by incident_id
        self._by_owner: dict[Key, Case] = {}
        self._by_shared: dict[Key, Case] = {}  # by the end that many owners may have in common
        self._keys: dict[int, list[tuple[dict[Key, Case], Key]]] = {}  # of a case, by its number
        # By slot of an open flow: its serial, the number of the case, the nats that it gave.
        self._given: dict[int, tuple[int, int, float]] = {}
        self._opened: dict[str, deque[int]] = {}  # times of new incidents by family
        self._found: list[Incident] = []  # what the batch changed

    def observe(self, batch: FlowBatch, probabilities: NDArray[np.float32]) -> list[Incident]:
        """Count a batch of flows, and return the incidents that are new, updated or ended.

        Args:
            batch: n flows.
            probabilities: (n, classes); NaN for flows that could not be judged.
        """
        return self.observe_flows(batch.flows, batch.features, probabilities)

    def observe_flows(
        self,
        flows: NDArray[np.void],
        features: NDArray[np.float64],
        probabilities: NDArray[np.float32],
    ) -> list[Incident]:
        """Count (n,) FLOW records with (n, d) features, as ``observe`` does."""
        for sign in self._signs(flows, features, probabilities):
            self._add(sign, flows[sign.row], features[sign.row])
        found, self._found = self._found, []
        latest = int(flows["end_us"].max()) if len(flows) else 0
        return [*found, *self.advance(latest)]

    def observe_claims(self, claims: NDArray[np.void]) -> None:
        """Note (n,) CLAIM of addresses; their incidents come with those of the next flows."""
        self._addresses.observe(claims)

    def advance(self, now_us: int) -> list[Incident]:
        """Move the clock; return the incidents that ended by silence, and those of claims."""
        self._now_us = max(self._now_us, now_us)
        silent = [
            case for case in self._open.values() if self._now_us - case.updated_us > SILENCE_US
        ]
        return [*(self._end(case) for case in silent), *self._addresses.take()]

    def finish(self) -> list[Incident]:
        """End every incident, because nothing more will be read."""
        ended = [self._end(case) for case in list(self._open.values())]
        return [*ended, *self._addresses.finish()]

    def judge_by(self, classes: Sequence[str], threshold: float) -> None:
        """Go on with the probabilities of another model, of the same flows."""
        self._evidence = EvidenceReader(self.schema, classes, threshold)

    def drop_silent(self) -> None:
        """Drop the suspected cases that were silent for as long as ends an incident.

        For levels at which nothing opens: what comes then would have been another incident.
        """
        for case in list(self._suspected.values()):
            if self._now_us - case.updated_us > SILENCE_US:
                self._drop(case)

    def row_of(self, incident_id: str) -> NDArray[np.float32] | None:
        """Return the features (d,) of the strongest flow of an open incident, to explain it."""
        case = self._open.get(incident_id)
        return None if case is None else case.row

    @property
    def callers_evicted(self) -> int:
        """Return how many pairs that called several times were dropped for lack of room."""
        return self._regular.evicted

    @property
    def open_incidents(self) -> list[Incident]:
        """The incidents that have not ended."""
        found = [self._shown(case, "update") for case in self._open.values()]
        return found + self._addresses.open_incidents

    def to_state(self) -> dict[str, Any]:
        """Return the open incidents as plain types: after a restart they go on."""
        return {
            "now_us": self._now_us,
            "open": [case.to_state() for case in self._open.values()],
            "addresses": self._addresses.to_state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on with the open incidents of ``to_state``.

        Raises:
            KeyError, TypeError, ValueError: the state is damaged; nothing is restored.
        """
        cases = [Case.from_state(found) for found in state["open"]]
        if "addresses" in state:  # written by versions that kept them
            self._addresses = AddressWatch.from_state(state["addresses"])
        for case in cases:
            self._open[case.opened] = case
            for owner in case.owners.ranked(1):
                self._enter(case, self._by_owner, (case.family, owner))
            self._enter_shared(case, case.shared.busiest)

    # A sign finds its case.

    def _signs(
        self,
        flows: NDArray[np.void],
        features: NDArray[np.float64],
        probabilities: NDArray[np.float32],
    ) -> list[Sign]:
        """Return the signs of flows, and of new contacts at regular intervals, by row."""
        signs = self._evidence.signs(flows, features, probabilities)
        if not self.site.knows_contacts:
            return signs
        regular = {
            row: caller
            for row, caller in self._regular.observe(flows).items()
            if self.site.is_new_contact(flows[row])
        }
        if not regular:
            return signs
        others = [sign for sign in signs if sign.row not in regular]
        return sorted(
            [*others, *self._evidence.calls(flows, features, regular)], key=lambda sign: sign.row
        )

    def _add(self, sign: Sign, flow: np.void, features: NDArray[np.float64]) -> None:
        if sign.weight <= LEAST_SIGN and not self._belongs(sign):
            return
        sign = self.site.weighed(sign, flow)
        case = self._find(sign)
        if case is not None and case.opened and sign.end_us - case.updated_us > SILENCE_US:
            self._found.append(self._end(case))  # whatever else is in the batch
            case = self._find(sign)
        case = case or self._suspect(sign)
        before = self._before(sign, case)
        case.add(sign, features, max(0.0, sign.weight - (before or 0.0)))
        self.strongest = max(self.strongest, case.weight)
        if before is None:
            case.count_flow(sign, flow)
        if case.opened and case.is_due():
            self._found.append(self._shown(case, "update"))
        elif not case.opened and self.site.opens(case):
            self._open_case(case)

    def _belongs(self, sign: Sign) -> bool:
        """Return whether a flow that is no alert is of an incident, once it has ended."""
        owner, shared = owner_and_shared(sign.family, sign.attacker, sign.target)
        case = self._by_owner.get((sign.family, owner))
        is_same = case is not None and case.opened and shared in case.shared
        return bool(is_same and sign.end != VERDICT)

    def _before(self, sign: Sign, case: Case) -> float | None:
        """Return the nats that earlier rows of a flow gave a case; None if it had none."""
        serial, number, given = self._given.get(sign.slot, _NOTHING)
        before = given if (serial, number) == (sign.serial, case.number) else None
        if sign.end == VERDICT:
            self._given[sign.slot] = sign.serial, case.number, max(before or 0.0, sign.weight)
        else:
            self._given.pop(sign.slot, None)
        return before

    def _find(self, sign: Sign) -> Case | None:
        owner, shared = owner_and_shared(sign.family, sign.attacker, sign.target)
        case = self._by_owner.get((sign.family, owner))
        if case is None and not sign.once:
            many = self._by_shared.get((sign.family, shared))
            case = many if many is not None and many.shared.number == 1 else None
        if case is not None and case.opened:
            return case
        return self._variant(sign) or case

    def _variant(self, sign: Sign) -> Case | None:
        """Return the incident whose attack this flow is of, although it has another label.

        The model may take answers of the target for an attack of its own, so either end may be the
        attacker. A test counts what it names, so its flows are no variants, except that a flood on
        many ports is a scan as well.
        """
        for family in _ALIKE.get(sign.family, ()) if sign.test else FAMILY_FACTS:
            for owner, shared in ((sign.attacker, sign.target), (sign.target, sign.attacker)):
                case = self._by_owner.get((family, owner))
                if case is not None and case.opened and shared in case.shared:
                    return case
            crowd = self._by_shared.get((family, sign.target))
            if crowd is not None and crowd.opened and crowd.owners.number >= CROWD:
                return crowd
        return None

    def _suspect(self, sign: Sign) -> Case:
        case = Case(family=sign.family, started_us=sign.start_us, updated_us=sign.end_us)
        self._suspected[case.number] = case
        owner, shared = owner_and_shared(sign.family, sign.attacker, sign.target)
        self._enter(case, self._by_owner, (sign.family, owner))
        if (sign.family, shared) not in self._by_shared:
            self._enter_shared(case, shared)
        if len(self._suspected) > MOST_SUSPECTED:
            self._drop(next(iter(self._suspected.values())))
            self.evicted += 1
        return case

    # A case opens and ends.

    def _open_case(self, case: Case) -> None:
        whole = self._joined(case) or self._storm(case)
        del self._suspected[case.number]
        if whole is not None:
            self._leave(case)
            whole.absorb(case)
            if len(self._keys[whole.number]) < MOST_SUSPECTED:
                self._enter(whole, self._by_owner, (case.family, case.owners.busiest))
            return
        case.open()
        self._open[case.opened] = case
        self._enter_shared(case, case.shared.busiest)
        self._found.append(self._shown(case, "new"))

    def _joined(self, case: Case) -> Case | None:
        """Return the incident of the same family with the same, only, shared end, if any."""
        many = self._by_shared.get((case.family, case.shared.busiest))
        is_same = many is not None and many.opened and many.shared.number == 1
        return many if is_same and case.shared.number == 1 else None

    def _storm(self, case: Case) -> Case | None:
        """Return the incident that takes further ones of its family this hour, if there is one."""
        times = self._opened.setdefault(case.family, deque(maxlen=MOST_OPENED))
        is_full = len(times) == MOST_OPENED and case.updated_us - times[0] < _HOUR_US
        known = self._by_owner.get((case.family, _ANYBODY))
        if is_full and known is not None and known.opened:
            return known
        times.append(case.updated_us)
        if is_full:
            self._enter(case, self._by_owner, (case.family, _ANYBODY))
        return None

    def _end(self, case: Case) -> Incident:
        del self._open[case.opened]
        self._leave(case)
        latest = max(self._now_us, case.updated_us)
        return self._shown(case, "end", ended_us=min(latest, case.updated_us + SILENCE_US))

    def _shown(self, case: Case, kind: State, ended_us: int | None = None) -> Incident:
        return self.site.with_usual(case.to_incident(kind, ended_us))

    # The indexes.

    def _enter(self, case: Case, index: dict[Key, Case], key: Key) -> None:
        index[key] = case
        self._keys.setdefault(case.number, []).append((index, key))

    def _enter_shared(self, case: Case, shared: int) -> None:
        """Let other owners join: in suspicion on one target, or in calls of a known controller."""
        facts = FAMILY_FACTS[case.family]
        is_controller = case.opened and facts.from_inside and not case.asks_names
        if (facts.from_many or is_controller) and case.shared.number <= 1:
            self._enter(case, self._by_shared, (case.family, shared))

    def _drop(self, case: Case) -> None:
        del self._suspected[case.number]
        self._leave(case)

    def _leave(self, case: Case) -> None:
        for index, key in self._keys.pop(case.number, []):
            if index.get(key) is case:
                del index[key]
