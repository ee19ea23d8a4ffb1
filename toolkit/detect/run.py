"""Detect: a capture, an interface or a table in, EVE lines out, a summary for people."""

from __future__ import annotations

import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TextIO

import numpy as np

from idskit.detect.alert import Alert
from idskit.detect.detector import Detector
from idskit.detect.flow_table import read_flow_table
from idskit.detect.summary import DetectionSummary, Tallies
from idskit.errors import IdskitError
from idskit.flows.live import finish_on_signals
from idskit.flows.reader import FlowReader, FlowStatistics, open_flows
from idskit.flows.table import ENDS, VERDICT
from idskit.output import abandon, reason

BATCH = 1024
MAX_WAIT_MS = 50.0  # how long a flow of an interface waits for others to be judged with
MAX_RAISED = 1 << 16  # flows remembered that had an alert before their end

Batches = Generator[list[Alert], None, None]


class _Raised:
    """Flows that had an alert before their end: it is not raised again then."""

    def __init__(self) -> None:
        self._flows: OrderedDict[int, None] = OrderedDict()  # flow IDs, oldest first
        self.repeated = 0

    def only_first(self, alerts: list[Alert]) -> list[Alert]:
        """The alerts without those of flows that had one; the oldest flows are forgotten."""
        return [alert for alert in alerts if self._is_first(alert)]

    def _is_first(self, alert: Alert) -> bool:
        is_early = alert.flow is not None and alert.flow.end == ENDS[VERDICT]
        if alert.flow is None or not (is_early or self._flows):
            return True
        flow_id = alert.flow.flow_id
        if is_early:
            self._flows[flow_id] = None
            if len(self._flows) > MAX_RAISED:
                self._flows.popitem(last=False)
            return True
        is_first = self._flows.pop(flow_id, self) is self
        self.repeated += not is_first
        return is_first


@dataclass(kw_only=True)
class _Reading:
    """What has been read so far; whoever reads keeps it up to date."""

    rows: int = 0
    unjudged: int = 0
    raised: _Raised = field(default_factory=_Raised)
    statistics: FlowStatistics | None = None  # None for a table

    @property
    def flows(self) -> int:
        """Without the rows of flows that then went on, where that is known."""
        return self.rows if self.statistics is None else self.statistics.flows


_Read = Callable[[Detector, Path, _Reading], Batches]


def detect(  # noqa: PLR0913 - one argument a flag
    model: str | Path | None = None,
    *,
    capture: str | Path | None = None,
    interface: str | None = None,
    flows_table: str | Path | None = None,
    output: TextIO | None = None,
    device: str = "cpu",
    threads: int | None = None,
    threshold: float | None = None,
    verdict_after: int = 0,
    filter: str | None = None,
    public_key: str | Path | None = None,
    min_version: int | None = None,
) -> DetectionSummary:
    """Write an EVE line for every flow that the model takes for an attack, one a flow.

    Args:
        model: the ONNX file; None for the model that idskit ships.
        capture: a pcap or pcapng file; this, ``interface`` or ``flows_table``.
        interface: name of a network interface, read until SIGINT or SIGTERM; the open flows are
            then judged too.
        flows_table: a CSV or Parquet file with the model's features, columns found by name.
        output: where the lines go; standard output when None. When its reader goes away, reading
            ends without an error and the summary says so.
        device: ``cpu`` or ``cuda``; what is asked for is what runs.
        threads: of one inference; all usable processors when None.
        threshold: alert when 1 - P(benign) reaches it; the model's own when None.
        verdict_after: judge each flow after this many packets too, so that its alert comes early;
            0 does not. What its end would add is left out and counted (of the last MAX_RAISED
            flows with an alert).
        filter: of ``interface``, which frames to read, as tcpdump takes it; see ``open_flows``.
        public_key: PEM file of the ed25519 key that must have signed the model; nobody must when
            None.
        min_version: lowest version that the signature may name.

    Raises:
        ModelError, DeviceError: the model cannot be used as asked.
        CaptureError, SchemaError: the input cannot be used, or the interface disappeared.
        IdskitError: not exactly one of ``capture``, ``interface`` and ``flows_table`` was given,
            or ``verdict_after`` with a table, or ``filter`` without an interface, or ``output``
            cannot be written.
    """
    read, source = _input(capture, interface, flows_table, verdict_after, filter)
    start = time.perf_counter()
    detector = Detector.load(
        model,
        device=device,
        threads=threads,
        threshold=threshold,
        public_key=public_key,
        min_version=min_version,
    )
    reading = _Reading()
    tallies = Tallies()
    with closing(read(detector, source, reading)) as batches:
        closed = _write(batches, tallies, output or sys.stdout)
    statistics = reading.statistics
    return DetectionSummary(
        source=str(source),
        model=f"{_name(model)} {detector.sha256[:12]}",
        threshold=detector.threshold,
        flows=reading.flows,
        packets=None if statistics is None else statistics.packets,
        attacks=tallies.attacks(),
        skipped={} if statistics is None else statistics.skipped,
        truncated="" if statistics is None else statistics.truncated,
        dropped=0 if statistics is None else statistics.dropped,
        repeated=reading.raised.repeated,
        unjudged=reading.unjudged,
        output_closed=closed,
        seconds=time.perf_counter() - start,
    )


def _input(
    capture: str | Path | None,
    interface: str | None,
    flows_table: str | Path | None,
    verdict_after: int,
    filter: str | None,
) -> tuple[_Read, Path]:
    """How to read what was named, and its name."""
    inputs: list[tuple[_Read, str | Path | None]] = [
        (partial(_capture_alerts, verdict_after=verdict_after), capture),
        (partial(_interface_alerts, verdict_after=verdict_after, filter=filter), interface),
        (_table_alerts, flows_table),
    ]
    given = [(read, Path(source)) for read, source in inputs if source is not None]
    if len(given) != 1:
        raise IdskitError(
            "detect reads either a capture (-r), an interface (-i) or a table of flows (--flows): "
            "name one of them"
        )
    if verdict_after and flows_table is not None:
        raise IdskitError(
            f"verdict_after is {verdict_after}, but a table has no packets to count: leave it away"
        )
    if filter is not None and interface is None:
        raise IdskitError(
            f"filter is {filter!r}, but only an interface (-i) has one: leave it away"
        )
    return given[0]


def _capture_alerts(
    detector: Detector, path: Path, reading: _Reading, *, verdict_after: int
) -> Batches:
    with open_flows(path, detector.schema, verdict_after=verdict_after) as flows:
        yield from _flow_alerts(detector, flows, reading)


def _interface_alerts(
    detector: Detector, name: Path, reading: _Reading, *, verdict_after: int, filter: str | None
) -> Batches:
    with (
        open_flows(
            name, detector.schema, verdict_after=verdict_after, live=True, filter=filter
        ) as flows,
        finish_on_signals(flows.stop),
    ):
        yield from _flow_alerts(detector, flows, reading)


def _flow_alerts(detector: Detector, flows: FlowReader, reading: _Reading) -> Batches:
    try:
        for batch in flows.batches(BATCH, MAX_WAIT_MS):
            probabilities = detector.flow_probabilities(batch)
            alerts = detector.judge(probabilities, batch.flows, first_row=batch.first_row)
            reading.rows += len(batch)
            reading.unjudged += int(np.isnan(probabilities[:, 0]).sum())
            yield reading.raised.only_first(alerts)
    finally:
        reading.statistics = flows.statistics


def _table_alerts(detector: Detector, path: Path, reading: _Reading) -> Batches:
    for rows in read_flow_table(path, detector.schema):
        probabilities = detector.probabilities(rows.features)
        alerts = detector.judge(probabilities, rows.flows, first_row=reading.rows)
        reading.rows += len(rows.features)
        yield reading.raised.only_first(alerts)


def _write(batches: Iterator[list[Alert]], tallies: Tallies, output: TextIO) -> bool:
    """Write and count alerts; True when the reader of ``output`` went away."""
    try:
        for alerts in batches:
            for alert in alerts:
                output.write(alert.to_eve() + "\n")
                tallies.add(alert)
            output.flush()
    except BrokenPipeError:
        abandon(output)
        return True
    except OSError as error:
        abandon(output)
        raise IdskitError(f"alerts cannot be written: {reason(error)}") from error
    return False


def _name(model: str | Path | None) -> str:
    return "shipped" if model is None else Path(model).name
