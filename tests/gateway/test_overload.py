"""What is shed when Packets come too fast, in which order, and that it is counted."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from idskit.flow import FLOW, IDLE, VERDICT
from idskit.gateway import packet_loop
from idskit.gateway.packet_loop import Judges, PacketLoop
from idskit.gateway.service_options import CaptureOptions
from idskit.incidents.incident import Incident
from idskit.profiles.flow_reader import FlowBatch
from idskit.schemas.catalog import schema_named

SCHEMA = schema_named("gateway")
SECOND = 1_000_000


class Source:
    """Interfaces whose lag a test sets."""

    interfaces = ("x0",)
    states = ()
    name = "x0"
    seen = dropped = bytes = lag_us = 0

    def __init__(self, names: tuple[str, ...], tick: Any, *, filter: str | None = None) -> None:
        self.tick = tick

    def now_us(self) -> int:
        return 1_800_000_000 * SECOND

    def close(self) -> None:
        pass


class Tracker:
    """Takes down what it is asked to observe."""

    schema = SCHEMA

    def __init__(self) -> None:
        self.observed: list[Any] = []

    def observe(self, batch: FlowBatch, probabilities: Any) -> list[Incident]:
        self.observed.append(np.isnan(probabilities[:, 0]).tolist())
        return []

    def row_of(self, identifier: str) -> None:
        return None


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.setattr(packet_loop, "SteadySource", Source)
    card = SimpleNamespace(classes=("benign", "scan"))
    detector: Any = SimpleNamespace(
        schema=SCHEMA,
        flow_schema=SCHEMA,
        card=card,
        flow_probabilities=lambda batch: np.zeros((len(batch), 2), np.float32),
    )
    keeper: Any = SimpleNamespace(put=lambda found: None, wants_state=lambda is_urgent: False)
    tracker: Any = Tracker()
    judges = Judges(detector=detector, tracker=tracker)
    site: Any = SimpleNamespace(wants_flows=False, usual=lambda row: None)
    made = PacketLoop(CaptureOptions(memory_mb=8), ("x0",), judges, keeper, site)
    yield made
    made.notifier.close()


def batch(*rows: tuple[int, int, int, int]) -> FlowBatch:
    """Flows of (slot, serial, packets back, end)."""
    flows = np.zeros(len(rows), FLOW)
    for flow, (slot, serial, back, end) in zip(flows, rows, strict=True):
        flow["slot"], flow["serial"], flow["bwd_packets"], flow["end"] = slot, serial, back, end
    return FlowBatch(schema=SCHEMA, flows=flows, features=np.zeros((len(rows), len(SCHEMA))))


def test_the_order_of_the_shedding(loop: PacketLoop) -> None:
    early = batch((0, 7, 1, VERDICT), (1, 8, 0, VERDICT))
    later = batch((0, 7, 1, IDLE), (1, 9, 0, IDLE), (2, 4, 3, IDLE))
    tracker: Any = loop.judges.tracker
    source: Any = loop.source
    for lag_s, shed in (
        (0, [False, False, False]),
        (1.5, [False, False, False]),  # only the page does without
        (2.5, [True, False, False]),  # what was judged before
        (4.5, [True, True, False]),  # and what nobody answered
    ):
        source.lag_us = 0
        loop._judge(early)
        source.lag_us = int(lag_s * SECOND)
        loop._judge(later)
        assert tracker.observed[-1] == shed, lag_s
    assert loop.view.shed() == {
        "page rows": 9,
        "flows judged before": 2,
        "flows without answer": 1,
    }


@pytest.fixture
def learned(loop: PacketLoop) -> list[list[int]]:
    """Serials of the flows of each call to learn."""
    found: list[list[int]] = []
    site: Any = loop._site
    site.wants_flows = True
    site.observe = lambda batch, _: found.append(batch.flows["serial"].tolist()) or []
    return found


def test_learning_goes_first(loop: PacketLoop, learned: list[list[int]]) -> None:
    source: Any = loop.source
    for source.lag_us in (0, 300_000):
        loop._judge(batch((0, 7, 1, IDLE), (1, 8, 1, IDLE)))
    loop._learn_now()
    assert (learned, loop.view.shed()) == ([[7, 8]], {"flows to learn": 2})


def test_batches_are_learned_together_and_a_full_one_at_once(
    loop: PacketLoop, learned: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    loop._judge(batch((0, 7, 1, IDLE)))
    loop._judge(batch((1, 8, 1, IDLE), (2, 9, 1, IDLE)))
    assert learned == []
    loop._learn_now()
    loop._learn_now()
    assert learned == [[7, 8, 9]]
    monkeypatch.setattr(packet_loop, "BATCH", 2)
    loop._judge(batch((1, 8, 1, IDLE), (2, 9, 1, IDLE)))
    assert learned[1:] == [[8, 9]]


def test_an_explanation_by_the_model_goes_next(
    loop: PacketLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[Any] = []
    monkeypatch.setattr(
        packet_loop,
        "explained",
        lambda _, one, row, schema, usual: rows.append(row) or one,
    )
    tracker: Any = loop.judges.tracker
    source: Any = loop.source
    tracker.row_of = lambda identifier: "row"
    incident = Incident(
        incident_id="i", type="new", family="scan", technique="T1046", severity=2,
        confidence=1, started_us=0, updated_us=0,
    )  # fmt: skip
    for source.lag_us in (0, 600_000):
        loop._explained(incident)
    assert rows == ["row", None]
    assert loop.view.shed() == {"explanations": 1}
