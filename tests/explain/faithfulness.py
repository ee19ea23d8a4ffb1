"""How faithful explanations of the shipped model are: prints a table.

    python -m tests.explain.faithfulness --data ../shared/data/pcap

- **sum**: the largest difference between a score and what base and shares add up to.
- **deletion**: of alerts, the share that is none once the leading five columns are as usual; next
  to it five columns drawn at random among all that are not as usual.
- **planted cause**: benign flows of a low score in which the columns of one group are those of an
  attack, so that they alert: the share of which that group is named first. Without the condition
  that the score is low, other groups may have brought the flow most of the way to an alert.

- **whole incidents**: of captures of attacks, at most 500 flows of each: the share of incidents
  that does not open once the leading five columns of its strongest flow are as usual in all its
  flows; next to it five random unusual columns. Those that a sequential test found are apart.

Alerts are of toolkit/shipped/sample.pcap, and of captures in the folders ``wild`` and ``tools``, at
most three of each.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from idskit.attack_families import BENIGN
from idskit.data.capture_labels import find_captures
from idskit.data.labelled_captures import read_capture
from idskit.detect.detector import Detector
from idskit.explain.explain_flow import LEADING, explain_flow
from idskit.explain.usual import protocol_of, shipped_usual
from idskit.flow import FLOW
from idskit.flow_input import VERDICT_AT_S, FlowInput
from idskit.incidents.evidence import log_odds
from idskit.incidents.incident import Incident
from idskit.profiles.flow_reader import open_input
from idskit.schemas.feature_groups import FeatureGroup, feature_groups
from idskit.site.site_levels import TEST_NAMES

SAMPLE = Path(__file__).resolve().parents[2] / "toolkit" / "shipped" / "sample.pcap"
ALERTS_OF_ONE, FLOWS_OF_ONE = 3, 20  # drawn of each capture
LOW = 0.5  # score of a benign flow into which a cause is planted
PLANTED, TRIES = 40, 20_000  # flows of each group, at most; pairs of flows that are tried
ROUNDS = 5  # of random columns, for each alert
BATCH, FLOWS_OF_INCIDENTS = 64, 500  # flows of a batch; of a capture

Rows = NDArray[np.float32]


class Judged(NamedTuple):
    """Flows of a capture, with their rows."""

    flows: NDArray[np.void]
    rows: Rows


class Planted(NamedTuple):
    """How often a group was named first, of how many; and where it raised the score most."""

    group: str
    named: int
    count: int
    named_most: int
    most: int


class Flows(NamedTuple):
    """Rows of flows, a list entry for each capture."""

    benign: list[Rows]
    attacks: list[Rows]
    captures: list[Judged]  # of attacks


def main() -> None:
    """Measure and print."""
    asked = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    asked.add_argument("--data", type=Path, default=Path("../shared/data/pcap"))
    asked.add_argument("--model", type=Path)
    asked.add_argument("--alerts", type=int, default=400, help="at most, of captures")
    given = asked.parse_args()
    detector = Detector.load(given.model, threads=1)
    flows = read_flows([given.data / "wild", given.data / "tools"], detector)
    report(detector, sample_alerts(detector), flows, given.alerts)


def report(detector: Detector, sample: Rows, flows: Flows, most: int) -> None:
    """Print the table."""
    rng = np.random.default_rng(0)
    drawn = [_drawn(_alerting(detector, rows), ALERTS_OF_ONE, rng) for rows in flows.attacks]
    alerts = rng.permutation(np.concatenate(drawn))[:most]
    for name, rows in (("sample.pcap", sample), ("wild and tools", alerts)):
        error, deleted, took = deletion(detector, rows)
        at_random = np.mean([random_deletion(detector, rows, rng) for _ in range(ROUNDS)])
        print(f"{name}: {len(rows)} alerts", flush=True)
        print(f"  largest error of the sum                   {error:.1e}")
        print(f"  undone by the leading {LEADING} columns            {100 * deleted:.1f} %")
        print(f"  undone by {LEADING} random unusual columns         {100 * at_random:.1f} %")
        print(f"  milliseconds of an explanation, 1 thread   {took:.1f} (median)", flush=True)
    for name, both in incidents_undone(detector, flows.captures, rng).items():
        undone = 100 * np.mean(both, axis=0) if both else (0.0, 0.0)
        print(f"{len(both)} incidents of attack captures found by a {name}:")
        print(f"  undone by the leading {LEADING} columns            {undone[0]:.1f} %")
        print(f"  undone by {LEADING} random unusual columns         {undone[1]:.1f} %", flush=True)
    for name, low in ((f"score below {LOW:g}", LOW), ("no alert", detector.threshold)):
        print(f"planted in benign flows, {name}: group, named first of planted; of those in which")
        print("the plant raised the score more than all that was in the flow before")
        found = list(planted(detector, flows, low, rng))
        whole = Planted("all", *(sum(column) for column in list(zip(*found, strict=True))[1:]))
        for one in (*found, whole):
            print(
                f"  {one.group:42} {one.named} of {one.count}; {one.named_most} of {one.most}",
                flush=True,
            )


def read_flows(folders: Sequence[Path], detector: Detector) -> Flows:
    """Read the benign and the attack flows of labelled captures."""
    flows = Flows([], [], [])
    for capture in find_captures(list(folders)):
        read = read_capture(capture, detector.schema)
        if read.is_attack:
            flows.captures.append(judged(capture.path, detector))
        flows.benign.append(read.rows[read.families == BENIGN])
        flows.attacks.append(read.rows[read.attack_flows()])
    return flows


def judged(path: Path, detector: Detector) -> Judged:
    """Return the first flows of a capture."""
    given = FlowInput(capture=(path,))
    with open_input(given, detector.schema, verdict_at_s=VERDICT_AT_S) as reader:
        for batch in reader.batches(FLOWS_OF_INCIDENTS):
            return Judged(batch.flows.copy(), batch.features.astype(np.float32))
    return Judged(np.zeros(0, FLOW), np.zeros((0, len(detector.schema)), np.float32))


def sample_alerts(detector: Detector) -> Rows:
    """Return the rows of the flows of the shipped sample that alert."""
    given = FlowInput(capture=(SAMPLE,))
    with open_input(given, detector.schema, verdict_at_s=VERDICT_AT_S) as reader:
        rows = np.concatenate([batch.features for batch in reader.batches(4096)])
    return _alerting(detector, rows.astype(np.float32))


def deletion(detector: Detector, alerts: Rows) -> tuple[float, float, float]:
    """Return the largest error of a sum, the share of alerts undone, and milliseconds of one."""
    errors, undone, took = [], [], []
    for row in alerts:
        begin = time.process_time()
        found = explain_flow(detector, row)
        took.append(time.process_time() - begin)
        errors.append(abs(found.base + sum(group.share for group in found.groups) - found.score))
        columns = [detector.schema.names.index(feature.name) for feature in found.features]
        undone.append(_is_undone(detector, row, columns))
    return max(errors), float(np.mean(undone)), 1e3 * float(np.median(took))


def random_deletion(detector: Detector, alerts: Rows, rng: np.random.Generator) -> float:
    """Return the share of alerts that random columns undo, as many as an explanation names."""
    undone = []
    for row in alerts:
        unusual = np.flatnonzero(row != shipped_usual(detector.schema, row).p50)
        undone.append(_is_undone(detector, row, rng.permutation(unusual)[:LEADING].tolist()))
    return float(np.mean(undone))


def incidents_undone(
    detector: Detector, captures: Iterable[Judged], rng: np.random.Generator
) -> dict[str, list[tuple[bool, bool]]]:
    """Return whether the leading columns undo incidents, and whether random ones do.

    It is by what found them: ``model``, or ``test`` where a sequential test counted flows of it.
    """
    found: dict[str, list[tuple[bool, bool]]] = {"model": [], "test": []}
    for given in captures:
        for incident, row in opened(detector, given):
            usual = shipped_usual(detector.schema, row).p50
            unusual = rng.permutation(np.flatnonzero(row != usual))[:LEADING].tolist()
            named = explain_flow(detector, row).features
            leading = [detector.schema.names.index(feature.name) for feature in named]
            is_tested = any(one.name in TEST_NAMES for one in incident.evidence)
            undone = [
                not _opens_again(detector, given, columns, incident)
                for columns in (leading, unusual)
            ]
            found["test" if is_tested else "model"].append((undone[0], undone[1]))
    return found


def opened(detector: Detector, given: Judged) -> list[tuple[Incident, Rows]]:
    """Return the incidents of a capture as they ended, each with its strongest flow."""
    tracker = detector.tracker(detector.schema)
    rows: dict[str, Rows] = {}
    ended = []
    for first in range(0, len(given.flows), BATCH):
        part = slice(first, first + BATCH)
        probabilities = detector.probabilities(given.rows[part])
        ended += tracker.observe_flows(
            given.flows[part], given.rows[part].astype(np.float64), probabilities
        )
        for one in tracker.open_incidents:
            row = tracker.row_of(one.incident_id)
            if row is not None:
                rows[one.incident_id] = row
    ended += tracker.finish()
    return [(one, rows[one.incident_id]) for one in ended if one.incident_id in rows]


def _opens_again(
    detector: Detector, given: Judged, columns: Sequence[int], before: Incident
) -> bool:
    """Return whether an incident with an end of one before opens with columns as usual."""
    changed = given.rows.copy()
    for row in changed:
        row[list(columns)] = shipped_usual(detector.schema, row).p50[list(columns)]
    ends = {before.attacker, before.target}
    again = opened(detector, Judged(given.flows, changed))
    return any({one.attacker, one.target} & ends for one, _ in again if one.type == "end")


def _is_undone(detector: Detector, row: Rows, columns: Sequence[int]) -> bool:
    changed = row.copy()
    changed[list(columns)] = shipped_usual(detector.schema, row).p50[list(columns)]
    return not len(_alerting(detector, changed[None]))


def planted(
    detector: Detector, flows: Flows, low: float, rng: np.random.Generator
) -> Iterator[Planted]:
    """Yield what became of each group that was planted."""
    benign = np.concatenate([_drawn(rows, FLOWS_OF_ONE, rng) for rows in flows.benign])
    attacks = np.concatenate([_drawn(rows, FLOWS_OF_ONE, rng) for rows in flows.attacks])
    scores = 1 - detector.probabilities(benign)[:, 0]
    hosts, donors = benign[scores < low], _alerting(detector, attacks)
    for group in feature_groups(detector.schema):
        rows, before = plant(detector, hosts, donors, group, rng)
        found = [explain_flow(detector, row) for row in rows]
        named = np.array([one.groups[0].name == group.name for one in found], bool)
        own = log_odds(detector.probabilities(before), 1e-12).tolist()
        pairs = zip(found, own, strict=True)
        most = np.array([one.score - score >= score - one.base for one, score in pairs], bool)
        yield Planted(
            group.name, int(named.sum()), len(rows), int(named[most].sum()), int(most.sum())
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


def _alerting(detector: Detector, rows: Rows) -> Rows:
    """Return the rows that alert."""
    return rows[1 - detector.probabilities(rows)[:, 0] >= detector.threshold]


def _drawn(rows: Rows, most: int, rng: np.random.Generator) -> Rows:
    return rows[rng.permutation(len(rows))[:most]]


if __name__ == "__main__":
    main()
