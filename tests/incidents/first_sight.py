"""Print what incidents make of labelled captures: found, named rightly, one per attack, how soon.

    python -m tests.incidents.first_sight FOLDER [FOLDER ...] [--model MODEL]

The folders are those of ``idskit train captures``: of ``idskit lab``, or with labels.csv. Flows are
fed to the tracker one by one, in the order and at the time at which the engine emits them: an open
flow at 1, 5 or 30 s of age, a closed one 5 s after its close, a silent one 120 s after its last
packet. So the time to an incident is that of the packets, without the milliseconds of inference.
A benign capture should have no incident.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from idskit import Detector
from idskit.data.capture_labels import find_captures
from idskit.data.labelled_captures import LabelledFlows, read_capture
from idskit.flow import CLOSE, IDLE, VERDICT, addresses
from idskit.flow_input import VERDICT_AT_S
from idskit.incidents.incident import Incident
from idskit.metrics import exact_interval

INSIDE = ("malware", "tunnel")  # families in which the host that is called attacks


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What was seen of one capture."""

    family: str
    incidents: list[Incident]
    after_s: float  # from the first packet of an incident until it is new
    is_named: bool  # whether an incident has an attacker and a target of the attack


def emitted_us(flows: NDArray[np.void]) -> NDArray[np.int64]:
    """Return when the engine emits flows."""
    age = flows["end_us"] - flows["start_us"]
    ages = np.array([int(1e6 * age_s) for age_s in VERDICT_AT_S])
    at_age = flows["start_us"] + ages[np.minimum(np.searchsorted(ages, age, "right"), 2)]
    late = np.select([flows["end"] == CLOSE, flows["end"] == IDLE], [5_000_000, 120_000_000], 0)
    return np.asarray(np.where(flows["end"] == VERDICT, at_age, flows["end_us"] + late))


def seen(detector: Detector, read: LabelledFlows) -> Seen:
    """Return what the tracker says of a capture's flows."""
    tracker = detector.tracker(detector.flow_schema)
    probabilities = detector.probabilities(read.rows[:, : len(detector.schema)])
    attack = read.attack_flows()
    times, after_us = emitted_us(read.records), np.inf
    for row in range(len(read.rows)):
        part = slice(row, row + 1)
        found = tracker.observe_flows(
            read.records[part], read.rows[part].astype(np.float64), probabilities[part]
        )
        for incident in found:
            if incident.type == "new":
                after_us = min(after_us, times[row] - incident.started_us)
    incidents = tracker.finish()
    families, counts = np.unique(read.families[attack], return_counts=True)
    family = str(families[counts.argmax()]) if len(families) else "benign"
    return Seen(
        family=family,
        incidents=incidents,
        after_s=float(after_us) / 1e6,
        is_named=any(_is_named(incident, read.records[attack], family) for incident in incidents),
    )


def _is_named(incident: Incident, flows: NDArray[np.void], family: str) -> bool:
    ends = [set(addresses(flows[f"{e}_high"], flows[f"{e}_low"])) for e in ("src", "dst")]
    attackers, targets = reversed(ends) if family in INSIDE else ends
    # A device that was taken over and attacks others is the attacker, whatever its family.
    named = incident.attacker in attackers and incident.target in targets
    return named or (incident.attacker in targets and incident.family not in INSIDE)


def rows_of(found: dict[str, list[Seen]]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each family."""
    for family in sorted(found):
        items = found[family]
        hits = [item for item in items if item.incidents]
        low, high = exact_interval(len(hits), len(items))
        after = np.array([item.after_s for item in hits])
        is_attack = family != "benign" and len(hits) > 0
        is_right = [any(one.family == family for one in item.incidents) for item in hits]
        yield (
            family,
            f"{len(hits)} of {len(items)}",
            f"{low:.1%} to {high:.1%}",
            f"{sum(len(item.incidents) == 1 for item in hits)}",
            f"{sum(item.is_named for item in hits)}" if is_attack else "",
            f"{sum(is_right)}" if is_attack else "",
            f"{np.median(after):.1f} s" if is_attack else "",
            f"{(after <= 5).sum()}" if is_attack else "",
        )


def main() -> None:
    """Read the folders, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--model", type=Path)
    given = parser.parse_args()
    detector = Detector.load(given.model, threads=1)
    found: dict[str, list[Seen]] = defaultdict(list)
    for capture in find_captures(given.folders):
        read = read_capture(capture, detector.flow_schema)
        if (
            len(read.rows)
            and not read.is_probe
            and (read.attack_flows().any() or not read.is_attack)
        ):
            item = seen(detector, read)
            found[item.family].append(item)
    table = Table("family", "with an incident", "95 % interval", "with one", "ends right",
                  "family right", "median time", "within 5 s")  # fmt: skip
    for row in rows_of(found):
        table.add_row(*row)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
