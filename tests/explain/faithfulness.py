"""How faithful explanations of the shipped model are: prints a table.

    python -m tests.explain.faithfulness [--data ../shared/data/pcap] [--lab FOLDER] [--save FILE]

- **sum**: the largest difference between a score and what base and shares add up to.
- **deletion**: of alerts, the share that is none once the leading five features are as usual, each
  with all columns that measure the same; next to it their five named columns alone, and five
  features drawn at random among all that are not as usual.
- **whole incidents**: of captures of attacks, at most 500 flows of each: the share of incidents
  that does not open once the leading five features are as usual in all its flows; next to it five
  random unusual ones. It is by what gave most of its evidence: a sequential test, or the model.
- **planted cause, incidents**: see ``generated_incidents``.
- **planted cause, flows**: benign flows in which the columns of one group are those of an attack,
  so that they alert: the share of which that group is named first, and the share of which it is
  among the groups that alone undo the alert. Other groups may have brought the flow most of the way
  to an alert, and then several are a cause: how many alone undo it is printed too.
- **time**: of one explanation, one thread; on a Raspberry Pi 5 by an estimate, see ``PI_TIMES``.

Alerts are of toolkit/shipped/sample.pcap, and of captures in the folders ``wild`` and ``tools``, at
most three of each. The folder of a lab is what ``idskit lab`` wrote.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tests.explain.generated_incidents import FIELDS, Judged, Rows, named_first

from idskit.attack_families import BENIGN
from idskit.bench.views.measured_table import Measure, MeasuredTable, Number, checked_out
from idskit.data.capture_labels import find_captures
from idskit.data.labelled_captures import read_capture
from idskit.detect.detector import Detector
from idskit.explain.explain_flow import LEADING, explain_flow
from idskit.explain.explain_incident import explained
from idskit.explain.usual import protocol_of, shipped_usual
from idskit.flow_input import VERDICT_AT_S, FlowInput
from idskit.incidents.evidence import log_odds
from idskit.incidents.incident import SUSPECTED, Explanation, FeatureShare, Incident
from idskit.metrics import exact_interval
from idskit.profiles.flow_reader import open_input
from idskit.schema import Schema
from idskit.schemas.feature_groups import FeatureGroup, feature_groups
from idskit.schemas.quantities import quantities

SAMPLE = Path(__file__).resolve().parents[2] / "toolkit" / "shipped" / "sample.pcap"
ALERTS_OF_ONE, FLOWS_OF_ONE = 3, 20  # drawn of each capture
LOW = 0.5  # score of a benign flow into which a cause is planted
PLANTED, TRIES = 40, 20_000  # flows of each group, at most; pairs of flows that are tried
ROUNDS = 5  # of random features, for each alert
BATCH, FLOWS_OF_INCIDENTS = 64, 500  # flows of a batch; of a capture
PI_TIMES = 3.0  # of a server's core, on one of a Raspberry Pi 5: assumed, nothing was measured
COMMAND = "python -m tests.explain.faithfulness{} --save bench/results/explanations.json"


class Planted(NamedTuple):
    """What became of one group that was planted."""

    group: str
    count: int
    named: int  # it is first
    most: int  # the plant raised the score more than all that was in the flow before
    named_most: int  # it is first, of these
    undoes: int  # it is among the groups that alone undo the alert
    undoing: int  # such groups, added up over the flows


class Flows(NamedTuple):
    """Flows of captures: benign ones and those of attacks of each, and captures of attacks."""

    benign: list[Judged]
    attacks: list[Judged]
    captures: list[Judged]


def main() -> None:
    """Measure, print, and save."""
    asked = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    asked.add_argument("--data", type=Path, default=Path("../shared/data/pcap"))
    asked.add_argument("--lab", type=Path, help="a folder that idskit lab wrote")
    asked.add_argument("--model", type=Path)
    asked.add_argument("--alerts", type=int, default=400, help="at most, of captures")
    asked.add_argument("--save", type=Path, metavar="FILE", help="write the measures as JSON")
    given = asked.parse_args()
    detector = Detector.load(given.model, threads=1)
    folders = [given.data / name for name in ("wild", "tools", "labelled")]
    flows = read_flows(folders, detector)
    lab = read_flows([given.lab], detector) if given.lab else None
    rows = []
    for row in measures(detector, flows, lab, given.alerts):
        print(": ".join(row.cells()[:2]), flush=True)
        rows.append(row)
    if given.save:
        table(rows, " --lab LAB" if lab else "").save(given.save)


def measures(detector: Detector, flows: Flows, lab: Flows | None, most: int) -> Iterator[Measure]:
    """Yield each measure."""
    rng = np.random.default_rng(0)
    width = len(detector.schema)
    attacks = [alerting(detector, one.rows[:, :width]) for one in flows.attacks]
    drawn = [_drawn(rows, ALERTS_OF_ONE, rng) for rows in attacks]
    alerts = rng.permutation(np.concatenate(drawn))[:most]
    for name, rows in (("sample.pcap", sample_alerts(detector)), ("captures", alerts)):
        yield from _alert_measures(detector, rows, name, rng)
    undone = incidents_undone(detector, flows.captures, rng)
    for kind, both in ((lab and incidents_undone(detector, lab.captures, rng)) or {}).items():
        undone[f"{kind}, lab"] = both
    for kind, both in undone.items():
        for which, name in enumerate((f"{LEADING} leading features", f"{LEADING} random ones")):
            hits = sum(pair[which] for pair in both)
            yield share(f"incidents led by {kind}: undone by {name}", hits, len(both))
    named = named_first(detector, pooled(flows.benign, rng), pooled(flows.attacks, rng), rng)
    first, anywhere, count = (sum(column) for column in zip(*named.values(), strict=True))
    yield share("generated incidents of tests: planted test leads the explanation", first, count)
    yield share("generated incidents of tests: planted test is named", anywhere, count)
    for name, low in (
        (f"score below {LOW:g} before", LOW),
        ("no alert before", detector.threshold),
    ):
        yield from _planted_measures(list(planted(detector, flows, low, rng)), name)


def _alert_measures(
    detector: Detector, alerts: Rows, name: str, rng: np.random.Generator
) -> Iterator[Measure]:
    found = deletion(detector, alerts)
    at_random = sum(random_deletion(detector, alerts, rng) for _ in range(ROUNDS))
    count = len(alerts)
    error, took = found.error, found.milliseconds
    yield Measure(
        measure=f"alerts of {name}: error of the sum", unit="", idskit=Number(value=error)
    )
    for said, hits in (
        (f"{LEADING} leading features", found.undone),
        (f"the {LEADING} columns that name them alone", found.undone_by_names),
    ):
        yield share(f"alerts of {name}: undone by {said}", hits, count)
    yield share(f"alerts of {name}: undone by {LEADING} random features", at_random, ROUNDS * count)
    for said, times in (("one thread here", 1.0), ("a core of a Pi 5, estimated", PI_TIMES)):
        yield Measure(
            measure=f"alerts of {name}: time of an explanation, median, {said}",
            unit="ms",
            idskit=Number(value=round(times * took, 1)),
        )


def _planted_measures(found: list[Planted], name: str) -> Iterator[Measure]:
    total = {field: sum(getattr(one, field) for one in found) for field in Planted._fields[1:]}
    text = f"planted in benign flows, {name}"
    yield share(f"{text}: its group is first", total["named"], total["count"])
    yield share(
        f"{text}, and the plant raised the score more than all else: its group is first",
        total["named_most"],
        total["most"],
    )
    yield share(f"{text}: its group alone undoes the alert", total["undoes"], total["count"])
    yield Measure(
        measure=f"{text}: groups that alone undo it, mean",
        unit="",
        idskit=Number(value=round(total["undoing"] / max(1, total["count"]), 2)),
    )


def share(measure: str, hits: int, of: int) -> Measure:
    """Return a share with its exact interval."""
    if not of:
        return Measure(measure=measure, unit="", idskit=Number(value=0, of=0, hits=0))
    low, high = (round(bound, 5) for bound in exact_interval(hits, of))
    value = round(hits / of, 5)
    number = Number(value=value, low=low, high=high, hits=hits, of=of)
    return Measure(measure=measure, unit="%", idskit=number)


def table(rows: Sequence[Measure], lab: str) -> MeasuredTable:
    """Return the measures as a table of results; ``lab`` is the option of a lab that was read."""
    return MeasuredTable(
        title="What explanations name",
        about=(
            "The shipped file. Deletion: what is named becomes usual; does the alert, or the "
            "incident, still come? Planted causes: benign flows with some columns of an attack."
        ),
        commands=(COMMAND.format(lab),),
        revision=checked_out(),
        machine="x86-64 server, one thread",
        rows=tuple(rows),
        notes=(
            "A feature is a quantity with all columns that measure it, such as a count over "
            "several windows. Features are chosen by what lowers the score, which is what deletion "
            "measures; the model was trained on many of these captures. Benign flows that alert by "
            "a plant were near the threshold by themselves, so several groups are a cause of most. "
            "Nothing was measured on a Pi 5: a core of it is taken as a third of one here.",
        ),
    )


def read_flows(folders: Sequence[Path], detector: Detector) -> Flows:
    """Read the benign and the attack flows of labelled captures."""
    flows = Flows([], [], [])
    for capture in find_captures(list(folders)):
        read = read_capture(capture, detector.flow_schema)
        benign, attack = read.families == BENIGN, read.attack_flows()
        whole = Judged(flows=read.records, rows=read.rows)
        if read.is_attack:
            flows.captures.append(whole.only(slice(FLOWS_OF_INCIDENTS)))
        flows.benign.append(whole.only(benign))
        flows.attacks.append(whole.only(attack))
    return flows


def pooled(captures: Sequence[Judged], rng: np.random.Generator) -> Judged:
    """Return some flows of each capture."""
    drawn = [one.only(rng.permutation(len(one.rows))[: 10 * FLOWS_OF_ONE]) for one in captures]
    return Judged(
        flows=np.concatenate([one.flows for one in drawn]),
        rows=np.concatenate([one.rows for one in drawn]),
    )


def sample_alerts(detector: Detector) -> Rows:
    """Return the rows of the flows of the shipped sample that alert."""
    given = FlowInput(capture=(SAMPLE,))
    with open_input(given, detector.schema, verdict_at_s=VERDICT_AT_S) as reader:
        rows = np.concatenate([batch.features for batch in reader.batches(4096)])
    return alerting(detector, rows.astype(np.float32))


class Deletion(NamedTuple):
    """What explanations of alerts do.

    Attributes:
        error: the largest of a sum.
        undone: alerts that are none once the leading features are as usual.
        undone_by_names: the same, of the columns that name them alone.
        milliseconds: of an explanation, median.
    """

    error: float
    undone: int
    undone_by_names: int
    milliseconds: float


def deletion(detector: Detector, alerts: Rows) -> Deletion:
    """Explain alerts, and undo what the explanations name."""
    errors, undone, took = [], [], []
    for row in alerts:
        begin = time.process_time()
        found = explain_flow(detector, row)
        took.append(time.process_time() - begin)
        errors.append(abs(found.base + sum(group.share for group in found.groups) - found.score))
        names = detector.schema.names
        undone.append(
            (
                _is_undone(detector, row, _columns(found.features, names)),
                _is_undone(detector, row, [names.index(one.name) for one in found.features]),
            )
        )
    by_features, by_names = np.sum(undone, axis=0).tolist()
    return Deletion(max(errors), by_features, by_names, 1e3 * float(np.median(took)))


def _columns(features: Sequence[FeatureShare], names: tuple[str, ...]) -> list[int]:
    return [names.index(name) for one in features for name in (one.name, *one.also)]


def random_deletion(detector: Detector, alerts: Rows, rng: np.random.Generator) -> int:
    """Return the number of alerts that random features undo, as many as an explanation names."""
    drawn = (_random_columns(detector, row, detector.schema, rng) for row in alerts)
    return sum(
        _is_undone(detector, row, columns) for row, columns in zip(alerts, drawn, strict=True)
    )


def _random_columns(
    detector: Detector, row: Rows, schema: Schema, rng: np.random.Generator
) -> list[int]:
    """Return the columns of features that are not as usual, drawn at random."""
    unusual = row != shipped_usual(schema, row).p50
    known = [one for one in quantities(schema) if unusual[list(one)].any()]
    return [column for at in rng.permutation(len(known))[:LEADING] for column in known[at]]


def incidents_undone(
    detector: Detector, captures: Iterable[Judged], rng: np.random.Generator
) -> dict[str, list[tuple[bool, bool]]]:
    """Return whether the leading features undo incidents, and whether random ones do.

    It is by what gave most of the evidence: ``the model``, or ``a test``.
    """
    found: dict[str, list[tuple[bool, bool]]] = {"the model": [], "a test": []}
    schema = detector.flow_schema
    for given in captures:
        opened = incidents_of(detector, given)
        others = {_key(one) for one, _ in opened}
        for incident, row in opened:
            why = explained(detector, incident, row, schema).explanation
            assert why is not None
            named = _columns(why.features, schema.names)
            at_random = _random_columns(detector, row, schema, rng)
            kind = "the model" if incident.evidence[0].name == SUSPECTED else "a test"
            leading, unusual = (
                not _opens_again(detector, given, columns, incident, others)
                for columns in (named, at_random)
            )
            found[kind].append((leading, unusual))
    return found


def incidents_of(detector: Detector, given: Judged) -> list[tuple[Incident, Rows]]:
    """Return the incidents of a capture as they ended, each with its strongest flow."""
    tracker = detector.tracker(detector.flow_schema)
    rows: dict[str, Rows] = {}
    for first in range(0, len(given.flows), BATCH):
        part = given.only(slice(first, first + BATCH))
        probabilities = detector.probabilities(part.rows[:, : len(detector.schema)])
        tracker.observe_flows(part.flows, part.rows.astype(np.float64), probabilities)
        for one in tracker.open_incidents:
            row = tracker.row_of(one.incident_id)
            if row is not None:
                rows[one.incident_id] = row
    return [(one, rows[one.incident_id]) for one in tracker.finish() if one.incident_id in rows]


def _key(incident: Incident) -> tuple[str, str | None, str | None]:
    return incident.family, incident.attacker, incident.target


def _opens_again(
    detector: Detector,
    given: Judged,
    columns: Sequence[int],
    before: Incident,
    others: Collection[tuple[str, str | None, str | None]],
) -> bool:
    """Return whether an incident with an end of one before opens with columns as usual.

    Fields of the flows that say the same as columns change with them. Other incidents that the
    capture had anyway are not the one that opens again.
    """
    schema = detector.flow_schema
    rows, flows, places = given.rows.copy(), given.flows.copy(), list(columns)
    for row in rows:
        row[places] = shipped_usual(schema, row).p50[places]
    for name in FIELDS:
        if schema.names.index(name) in places:
            flows[name] = rows[:, schema.names.index(name)]
    ends = {before.attacker, before.target}
    again = (one for one, _ in incidents_of(detector, Judged(flows=flows, rows=rows)))
    return any(
        {one.attacker, one.target} & ends and (_key(one) == _key(before) or _key(one) not in others)
        for one in again
    )


def _is_undone(detector: Detector, row: Rows, columns: Sequence[int]) -> bool:
    changed = row.copy()
    changed[list(columns)] = shipped_usual(detector.schema, row).p50[list(columns)]
    return not len(alerting(detector, changed[None]))


def planted(
    detector: Detector, flows: Flows, low: float, rng: np.random.Generator
) -> Iterator[Planted]:
    """Yield what became of each group that was planted."""
    width = len(detector.schema)
    benign, attacks = (
        np.concatenate([_drawn(one.rows[:, :width], FLOWS_OF_ONE, rng) for one in captures])
        for captures in (flows.benign, flows.attacks)
    )
    scores = 1 - detector.probabilities(benign)[:, 0]
    hosts, donors = benign[scores < low], alerting(detector, attacks)
    for group in feature_groups(detector.schema):
        rows, before = plant(detector, hosts, donors, group, rng)
        own = log_odds(detector.probabilities(before), 1e-12).tolist()
        yield _became(detector, group.name, [explain_flow(detector, row) for row in rows], own)


def _became(
    detector: Detector, group: str, found: Sequence[Explanation], own: Sequence[float]
) -> Planted:
    alert = float(np.log(detector.threshold) - np.log1p(-detector.threshold))
    named = [one.groups[0].name == group for one in found]
    most = [one.score - score >= score - one.base for one, score in zip(found, own, strict=True)]
    undoing = [
        [part.name for part in one.groups if part.without is not None and part.without < alert]
        for one in found
    ]
    return Planted(
        group=group,
        count=len(found),
        named=sum(named),
        most=sum(most),
        named_most=sum(a and b for a, b in zip(named, most, strict=True)),
        undoes=sum(group in names for names in undoing),
        undoing=sum(map(len, undoing)),
    )


def plant(
    detector: Detector, hosts: Rows, donors: Rows, group: FeatureGroup, rng: np.random.Generator
) -> tuple[Rows, Rows]:
    """Return benign flows that alert with the group's columns of an attack of their protocol.

    The second rows are those flows without these columns.
    """
    protocol: Callable[[Rows], str] = lambda row: protocol_of(detector.schema, row)  # noqa: E731
    of_hosts, of_donors = np.array([*map(protocol, hosts)]), np.array([*map(protocol, donors)])
    made, before = [], []
    for kind in np.unique(of_donors):
        guests, places = donors[of_donors == kind], hosts[of_hosts == kind]
        if len(places):
            count = TRIES * len(guests) // len(donors)
            own = places[rng.integers(len(places), size=count)]
            rows, columns = own.copy(), list(group.columns)
            rows[:, columns] = guests[rng.integers(len(guests), size=count)][:, columns]
            alerting = 1 - detector.probabilities(rows)[:, 0] >= detector.threshold
            made.append(rows[alerting])
            before.append(own[alerting])
    order = rng.permutation(sum(map(len, made)))[:PLANTED]
    return np.concatenate(made)[order], np.concatenate(before)[order]


def alerting(detector: Detector, rows: Rows) -> Rows:
    """Return the rows that alert."""
    return rows[1 - detector.probabilities(rows)[:, 0] >= detector.threshold]


def _drawn(rows: Rows, most: int, rng: np.random.Generator) -> Rows:
    return rows[rng.permutation(len(rows))[:most]]


if __name__ == "__main__":
    main()
