"""Incidents made of benign flows into which what one sequential test counts was planted.

The columns that a test reads, and the fields of the record that go with them, are of a flow of an
attack; all else is of a benign flow. Such flows follow one another by the second until an incident
opens. The planted cause is named if the evidence and the features of the explanation begin with
that test. Benign flows alone open nothing: those that do are not used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idskit.detect.detector import Detector
from idskit.explain.explain_incident import explained
from idskit.incidents.incident import Incident
from idskit.incidents.sequential.nats import OPENS
from idskit.incidents.sequential.sequential_tests import TESTS, Test

MOST = 25  # incidents of each test
MOST_FLOWS = 80  # of an incident
# Fields of FLOW that say the same as columns, or that tests read next to them.
FIELDS = ("fwd_packets", "bwd_packets", "icmp_type", "icmp_code")
_WITH_TEST = (*FIELDS, "src_port", "dst_port")

Rows = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Flows of a capture, with their rows of ``Detector.flow_schema``."""

    flows: NDArray[np.void]
    rows: Rows

    def only(self, places: slice | NDArray[Any]) -> Judged:
        """Return some of the flows."""
        return Judged(flows=self.flows[places], rows=self.rows[places])


def named_first(
    detector: Detector, benign: Judged, attacks: Judged, rng: np.random.Generator
) -> dict[str, tuple[int, int, int]]:
    """Return by test: incidents whose explanation begins with it, that name it, and all."""
    found = {}
    for test in TESTS:
        opened = [
            one
            for one in (_planted(detector, test, benign, attacks, rng) for _ in range(2 * MOST))
            if one is not None
        ][:MOST]
        if opened:
            first = sum(_leads(test, one) for one in opened)
            named = sum(any(item.name == test.name for item in one.evidence) for one in opened)
            found[test.name] = first, named, len(opened)
    return found


def _leads(test: Test, incident: Incident) -> bool:
    why = incident.explanation
    assert why is not None
    features = [feature.counted_by for feature in why.features[:1]]
    return incident.evidence[0].name == test.name and features == [test.name]


def _planted(
    detector: Detector, test: Test, benign: Judged, attacks: Judged, rng: np.random.Generator
) -> Incident | None:
    """Return the incident of one benign flow with the columns of one of an attack; or None."""
    schema = detector.flow_schema
    columns = [schema.names.index(name) for name in test.columns]
    weights = _weights(test, attacks, columns)
    donors = np.flatnonzero(weights > 0)
    if not len(donors):
        return None
    donor = rng.choice(donors)
    alike = np.flatnonzero(benign.flows["protocol"] == attacks.flows["protocol"][donor])
    if not len(alike):
        return None
    host = rng.choice(alike)
    count = min(MOST_FLOWS, int(np.ceil(OPENS / weights[donor])) + 4)
    before = _repeated(benign.flows[host], count)
    plain = np.tile(benign.rows[host], (count, 1))
    if _opened(detector, before, plain) is not None:
        return None
    flows, rows = before.copy(), plain.copy()
    wanted = [schema.names.index(name) for name in {*test.columns, *test.deciding}]
    rows[:, wanted] = attacks.rows[donor][wanted]
    for name in _WITH_TEST:
        flows[name] = attacks.flows[name][donor]
    if test.once:
        flows["dst_low"] += np.arange(count, dtype=np.uint64)
    return _opened(detector, flows, rows)


def _weights(test: Test, given: Judged, columns: Sequence[int]) -> NDArray[np.float64]:
    return test.weigh(given.flows, given.rows[:, list(columns)].astype(np.float64))


def _repeated(flow: np.void, count: int) -> NDArray[np.void]:
    """Return a flow again and again, one a second, each as a connection of its own."""
    flows = np.repeat(np.array([flow]), count)
    moved = np.arange(count) * 1_000_000
    flows["start_us"] += moved
    flows["end_us"] += moved
    flows["serial"] = np.arange(count) + (1 << 40)
    return flows


def _opened(detector: Detector, flows: NDArray[np.void], rows: Rows) -> Incident | None:
    """Return the first incident as it opened, explained; None if there is none."""
    tracker = detector.tracker(detector.flow_schema)
    probabilities = detector.probabilities(rows[:, : len(detector.schema)])
    for at in range(len(flows)):
        one = slice(at, at + 1)
        for found in tracker.observe_flows(
            flows[one], rows[one].astype(np.float64), probabilities[one]
        ):
            row = tracker.row_of(found.incident_id)
            return explained(detector, found, row, detector.flow_schema)
    return None
