"""What disguises hide: ``python -m tests.flows.evasion [MODEL] [--spoofed N] [--save FILE]``.

    sample, labels ──> disguise ──> capture ──> open_flows, detector ──> found, named, false alarms

An attack connection of the shipped sample counts as found if an alert is raised for a flow between
its two endpoints while it lasts, or if an incident counts such a flow, by the model or by a test,
and names who began it; its source is named rightly if an alert or the incident does. The goal holds
for every family of attacks by itself, so that many easy ones hide no loss. A kind of attack is
found as an incident if an incident names its attacker.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
from tests.flows.disguises import (
    FAKE_ACK,
    FAKE_JUNK,
    FAKE_RST,
    FAKE_SESSION,
    FAKE_SYN_ACK,
    STRAY_SYN_ACK,
    VICTIM_SYN,
    Connection,
    Connections,
    Disguise,
    attacks,
    covered,
    each,
    everything,
    forged,
    guesses,
    in_fragments,
    only_first,
    only_initiator,
    read_connections,
    slowed,
    spoofed,
    stretched,
    tcp_attacks,
    write_records,
)
from tests.flows.packets import words

from idskit.alerts.alert import Flow
from idskit.bench.views.measured_table import PERCENT, Measure, MeasuredTable, Number, checked_out
from idskit.detect.detector import Detector
from idskit.flow import address_text
from idskit.incidents.evidence import EvidenceReader
from idskit.incidents.incident import Incident
from idskit.machine.machine_facts import machine_facts
from idskit.profiles.flow_reader import FlowBatch, open_flows

SHIPPED = Path(__file__).resolve().parents[2] / "toolkit" / "shipped"
GOAL = 0.95
SPOOFED = 1_000_000
PLAIN = "as it is"
FLOOD = "{:,} spoofed flows between"

DISGUISES: dict[str, Disguise] = {
    **{f"all in fragments of {n} bytes": each(in_fragments(n), everything) for n in (8, 16, 24)},
    "attacker in fragments of 8 bytes": each(in_fragments(8, both_sides=False), attacks),
    "only the first packet of each connection": each(only_first, everything),
    "only the attacker's side": each(only_initiator, attacks),
    "forged SYN+ACK before": each(forged(FAKE_SYN_ACK), tcp_attacks),
    "forged RST before": each(forged(FAKE_RST), tcp_attacks),
    "forged ACK before": each(forged(FAKE_ACK), tcp_attacks),
    "forged junk payload before": each(forged(FAKE_JUNK), tcp_attacks),
    "forged whole session before": each(forged(*FAKE_SESSION), tcp_attacks),
    "SYN+ACK of other sequence numbers before": each(forged(STRAY_SYN_ACK), tcp_attacks),
    "forged SYN of the victim before": each(forged(VICTIM_SYN), tcp_attacks),
    **{f"attacks slowed {n} times": slowed(n) for n in (3, 10, 30)},
    **{f"all gaps times {n}": stretched(n) for n in (3, 10, 30)},
    "1 answered HTTPS flow per guess": each(covered(1), guesses),
    "3 answered HTTPS flows per guess": each(covered(3), guesses),
}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a detector made of a capture.

    Attributes:
        found: numbers of the attack connections that raised an alert, or are part of an incident.
        named: those whose source an alert named.
        false_alarms: alerts of flows between hosts that did nothing but benign things.
        attacks: kinds of attacks whose attacker an incident names.
        false_incidents: incidents between hosts of which neither took part in an attack.
    """

    found: frozenset[int]
    named: frozenset[int]
    false_alarms: int
    attacks: frozenset[str] = frozenset()
    false_incidents: int = 0


class _Known:
    """The labelled connections, looked up by the flows of a capture."""

    def __init__(self, connections: Connections) -> None:
        self.connections = connections
        self._by_key = {_key(one): number for number, one in enumerate(connections)}
        pairs: dict[bool, set[frozenset[str]]] = {True: set(), False: set()}
        for one in connections:
            pairs[one.is_attack].add(frozenset((one.ends.src, one.ends.dst)))
        self._benign = pairs[False] - pairs[True]
        self._attackers = {host for pair in pairs[True] for host in pair}
        hosts = {address for one in connections for address in (one.ends.src, one.ends.dst)}
        self._hosts = np.array(sorted(words(host)[1] for host in hosts), np.uint64)

    def only(self, batch: FlowBatch) -> FlowBatch:
        """Leave the flows between hosts that no label names: nothing is asked about them."""
        ours = np.isin(batch.flows["src_low"], self._hosts)
        ours &= np.isin(batch.flows["dst_low"], self._hosts)
        return replace(batch, flows=batch.flows[ours], features=batch.features[ours])

    def attack_of(self, flow: Flow) -> int | None:
        """Number of the attack connection that a flow is part of."""
        number = self._by_key.get(_flow_key(flow))
        if number is None or not self.connections[number].is_attack:
            return None
        one = self.connections[number]
        return number if flow.start_us <= one.last and flow.end_us >= one.first else None

    def kinds_of(self, incident: Incident) -> set[str]:
        """Kinds of attacks of the attacker that an incident names; one guesser has two kinds."""
        return {
            one.category
            for one in self.connections
            if one.is_attack and one.ends.src == incident.attacker
        }

    def is_false(self, incident: Incident) -> bool:
        return not {incident.attacker, incident.target} & self._attackers

    def is_benign(self, flow: Flow) -> bool:
        number = self._by_key.get(_flow_key(flow))
        if number is not None:
            return not self.connections[number].is_attack
        return frozenset((str(flow.src), str(flow.dst))) in self._benign


def _key(connection: Connection) -> object:
    ends = connection.ends
    return connection.protocol, frozenset((ends[:2], ends[2:]))


def _flow_key(flow: Flow) -> object:
    ends = ((str(flow.src), flow.src_port), (str(flow.dst), flow.dst_port))
    return flow.protocol, frozenset(ends)


def judge(detector: Detector, capture: Path, connections: Connections) -> Outcome:
    """Detect in a capture, and compare with what is known about it."""
    known, false_alarms = _Known(connections), 0
    found: set[int] = set()
    named: set[int] = set()
    tracker = detector.tracker(detector.flow_schema)
    evidence = EvidenceReader(detector.flow_schema, detector.card.classes, detector.threshold)
    incidents: list[Incident] = []
    suspected: list[tuple[int, str, int]] = []  # connection, attacker, start
    with open_flows(capture, detector.flow_schema) as flows:
        for batch in flows.batches(size=4096):
            probabilities = detector.flow_probabilities(batch)
            changed = tracker.observe(batch, probabilities)
            for sign in evidence.signs(batch.flows, batch.features, probabilities):
                number = known.attack_of(Flow.from_record(batch.flows[sign.row]))
                if number is not None:
                    suspected.append((number, address_text(sign.attacker), sign.start_us))
            incidents += [incident for incident in changed if incident.type == "end"]
            for alert in detector.alerts(known.only(batch)):
                assert alert.flow is not None
                number = known.attack_of(alert.flow)
                if number is not None:
                    found.add(number)
                    if str(alert.flow.src) == connections[number].ends.src:
                        named.add(number)
                false_alarms += known.is_benign(alert.flow)
    incidents += tracker.finish()
    counted = {
        number
        for number, attacker, start_us in suspected
        if attacker == connections[number].ends.src
        and any(
            one.attacker == attacker and one.started_us <= start_us <= one.updated_us
            for one in incidents
        )
    }
    hosts = {end for one in connections for end in (one.ends.src, one.ends.dst)}
    ours = [one for one in incidents if {one.attacker, one.target} & hosts]
    return Outcome(
        found=frozenset(found | counted),
        named=frozenset(named | counted),
        false_alarms=false_alarms,
        attacks=frozenset(kind for one in incidents for kind in known.kinds_of(one)),
        false_incidents=sum(known.is_false(one) for one in ours),
    )


def outcomes(
    detector: Detector, connections: Connections, disguises: dict[str, Disguise], count: int
) -> Iterator[tuple[str, Outcome]]:
    """Yield what the detector makes of the plain sample, and of each disguise.

    The last disguise is ``count`` spoofed flows, none if that is 0.
    """
    with tempfile.TemporaryDirectory() as folder:
        capture = Path(folder) / "disguised.pcap"
        for name, disguise in {PLAIN: list, **disguises}.items():
            changed = disguise(connections)
            write_records(capture, changed)
            yield name, judge(detector, capture, changed)
        if count:
            write_records(capture, connections, spoofed(connections, count))
            yield FLOOD.format(count), judge(detector, capture, connections)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A disguise next to the plain sample.

    Attributes:
        found: attack connections of each family.
        kept: share of those found without the disguise that are found with it.
        worst: the same of the family that loses most.
        named: share of those found whose source is named rightly.
        false_alarms: alerts of benign flows.
        attacks: number of kinds of attacks whose attacker an incident names.
        false_incidents: incidents of benign hosts.
        reaches: whether the goal is met: ``worst``, all sources, no more false alarms.
    """

    found: Counter[str]
    kept: float
    worst: float
    named: float
    false_alarms: int
    attacks: int
    false_incidents: int
    reaches: bool


def compare(connections: Connections, plain: Outcome, now: Outcome) -> Row:
    """Compare what is found with what was found without a disguise."""
    families = Counter(connections[number].category for number in plain.found)
    still = Counter(connections[number].category for number in plain.found & now.found)
    worst = min((still[family] / count for family, count in families.items()), default=1.0)
    named = len(now.named) / len(now.found) if now.found else 1.0
    return Row(
        found=Counter(connections[number].category for number in now.found),
        kept=still.total() / families.total() if families else 1.0,
        worst=worst,
        named=named,
        false_alarms=now.false_alarms,
        attacks=len(now.attacks),
        false_incidents=now.false_incidents,
        reaches=worst >= GOAL and named == 1 and now.false_alarms <= plain.false_alarms,
    )


def table(connections: Connections, found: Iterator[tuple[str, Outcome]]) -> Iterator[str]:
    """Yield the lines of a Markdown table, each as soon as it is known."""
    totals = Counter(one.category for one in connections if one.is_attack)
    families = sorted(totals)
    titles = [f"{family} ({totals[family]})" for family in families]
    heads = ["disguise", *titles, f"all ({totals.total()})", "of those found as it is"]
    heads += ["worst family", "source named rightly", "false alarms", f"goal of {GOAL:.0%}"]
    heads += [f"attacks as incidents ({len(families)})", "false incidents"]
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    first = next(found)
    for name, now in chain([first], found):
        row = compare(connections, first[1], now)
        cells = [name, *(str(row.found[family]) for family in families), str(row.found.total())]
        cells += [f"{row.kept:.1%}", f"{row.worst:.1%}", f"{row.named:.1%}"]
        cells += [str(row.false_alarms), "reached" if row.reaches else "missed"]
        cells += [str(row.attacks), str(row.false_incidents)]
        yield f"| {' | '.join(cells)} |"


def measured(connections: Connections, found: Sequence[tuple[str, Outcome]]) -> MeasuredTable:
    """Return the outcomes as a table for ``bench/results``."""
    plain = found[0][1]
    rows = {name: compare(connections, plain, now) for name, now in found[1:]}
    total = len(plain.found)
    kept = [
        _share(f"{name}: attack flows still found", len(plain.found & now.found), total)
        for name, now in found[1:]
    ]
    kinds = len(plain.attacks)
    false = {"alerts": "false_alarms", "incidents": "false_incidents"}
    return MeasuredTable(
        title="What disguises hide",
        about=(
            f"{len(list(filter(lambda one: one.is_attack, connections)))} attack flows of "
            f"{kinds} kinds in the sample capture; {total} of them raise an alert or are counted "
            f"in an incident without a disguise, {plain.false_alarms} alerts are false."
        ),
        commands=("python -m tests.flows.evasion --save bench/results/disguises.json",),
        revision=checked_out(),
        machine=str(machine_facts()["cpu"]),
        rows=(
            *kept,
            *(
                _share(f"{name}: kinds of attacks that stay incidents", row.attacks, kinds)
                for name, row in rows.items()
                if row.attacks < kinds
            ),
            *(
                Measure(
                    measure=f"{name}: false {what}",
                    unit="",
                    idskit=Number(value=getattr(row, field)),
                )
                for what, field in false.items()
                for name, row in rows.items()
                if getattr(row, field)
            ),
        ),
        notes=(
            "Disguises without a row of their own lose no kind of attack, and raise nothing "
            f"false. Sources are named rightly in {min(row.named for row in rows.values()):.1%} "
            "of what is found, at least.",
        ),
    )


def _noting(
    found: Iterator[tuple[str, Outcome]], kept: list[tuple[str, Outcome]]
) -> Iterator[tuple[str, Outcome]]:
    for one in found:
        kept.append(one)
        yield one


def _share(measure: str, hits: int, of: int) -> Measure:
    return Measure(measure=measure, unit=PERCENT, idskit=Number(value=hits / of, hits=hits, of=of))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.flows.evasion", description=__doc__)
    parser.add_argument("model", nargs="?", type=Path, help="the shipped one if omitted")
    parser.add_argument("--spoofed", type=int, default=SPOOFED, metavar="N")
    parser.add_argument("--only", default="", metavar="WORDS", help="disguises whose name has them")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the measures as JSON")
    given = parser.parse_args()
    connections = read_connections(SHIPPED / "sample.pcap", SHIPPED / "sample.labels.csv")
    chosen = {name: disguise for name, disguise in DISGUISES.items() if given.only in name}
    count = given.spoofed if given.only in FLOOD else 0
    kept: list[tuple[str, Outcome]] = []
    found = outcomes(Detector.load(given.model), connections, chosen, count)
    for line in table(connections, _noting(found, kept)):
        print(line, flush=True)
    if given.save is not None:
        measured(connections, kept).save(given.save)


if __name__ == "__main__":
    main()
