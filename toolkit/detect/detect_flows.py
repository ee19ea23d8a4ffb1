"""Detect: a capture, an interface or a table in; incidents as EVE lines out."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from idskit.alerts.alert import Alert
from idskit.alerts.alert_writer import AlertWriter
from idskit.alerts.eve import UNKNOWN_ORIGIN, Origin
from idskit.alerts.eve_file import ROTATE_MB, open_sink
from idskit.alerts.throttle import Throttle
from idskit.capture.drops import DropNotices
from idskit.detect.detection_summary import DetectionSummary
from idskit.detect.detector import Detector
from idskit.detect.detector_options import DetectorOptions
from idskit.detect.feature_table import read_flow_table
from idskit.detect.raised import RaisedFlows, RaisedRows
from idskit.errors import CaptureError, IdskitError
from idskit.flow_input import VERDICT_AT_S, FlowInput
from idskit.incidents.incident import Incident
from idskit.incidents.incident_lines import incident_lines
from idskit.incidents.tracker import SHIPPED_LEVELS, IncidentTracker, Levels
from idskit.process.signals import OutputBlocked, finish_on_signals
from idskit.process.streams import standard_output
from idskit.profiles.flow_reader import FlowBatch, FlowReader, open_input
from idskit.profiles.reading_statistics import FlowStatistics
from idskit.schema import Schema

BATCH = 1024
MAX_WAIT_MS = 50.0  # how long a flow of an interface waits for others to be judged with

MOST_KEPT = 1000  # incidents that the summary lists


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a batch of flows raised."""

    incidents: list[Incident] = field(default_factory=list)  # new, updated or ended
    alerts: list[Alert] = field(default_factory=list)  # flow by flow


Batches = Generator[Found, None, None]
# (detector, incident, features of its strongest flow, their schema) -> the incident explained
Explain = Callable[[Detector, Incident, NDArray[np.float32] | None, Schema], Incident]


@dataclass(kw_only=True)
class _Reading:
    """What has been read so far; whoever reads keeps it up to date."""

    alerts: bool  # whether alerts of single flows are wanted
    explain: Explain | None
    site: Levels
    rows: int = 0
    unjudged: int = 0
    incidents: list[Incident] = field(default_factory=list)  # that ended, for the summary
    origin: Origin = UNKNOWN_ORIGIN
    raised: RaisedFlows | RaisedRows = field(default_factory=RaisedRows)
    throttle: Throttle | None = None  # None for a table: its rows bound its lines
    statistics: FlowStatistics | None = None  # None for a table

    @property
    def flows(self) -> int:
        """Without the rows of flows that then went on, where that is known."""
        return self.rows if self.statistics is None else self.statistics.flows


def detect(  # noqa: PLR0913 - what is read, how it is judged, and where it is written
    model: str | Path | None,
    given: FlowInput,
    options: DetectorOptions = DetectorOptions(),  # noqa: B008 - it is frozen
    *,
    alerts: bool = False,
    explain: Explain | None = None,
    output: TextIO | str | Path | None = None,
    rotate_mb: int = ROTATE_MB,
    notice: Callable[[str], object] | None = None,
    site: Levels = SHIPPED_LEVELS,
) -> DetectionSummary:
    """Write the incidents of flows as EVE lines, and on request an alert for every flow.

    Rows of a table without addresses belong to nobody, so they make no incidents: each that looks
    like an attack is an alert.

    Args:
        model: the ONNX file; None for the model that idskit ships.
        given: where flows come from. An interface is read until SIGINT, SIGTERM or SIGHUP; the open
            flows are then judged, too. The same ends a capture that comes through a pipe. Flows
            are judged at VERDICT_AT_S, or at the ages that ``verdict_at_s`` states, and at their
            end. A flow raises one alert, the earliest; what its end would add is omitted and
            counted.
        options: how the model is loaded and judged.
        alerts: write an alert for every flow that looks like an attack, too.
        explain: adds shares of features to a new incident, as ``explain.explained`` does; without
            it an incident is explained by a sentence.
        output: a stream, or the name of a file that lines are appended to (see ``EveFile``);
            standard output if None. When its reader goes away, reading ends without an error; when
            it accepts nothing for some seconds after a signal to end, the rest is judged and not
            written. The summary says so (``lost``). What cannot be written for another reason (a
            full disk) is counted, and detection goes on.
        rotate_mb: size limit of a file given by name; 0 sets none.
        notice: called with a sentence while frames of an interface are being dropped.
        site: what this site changes of incidents, see ``idskit.site``.

    Raises:
        ModelError, DeviceError: the model cannot be used as asked.
        CaptureError, SchemaError: the input cannot be used, or the interface disappeared.
        IdskitError: the model's schema lacks an option of the input, or a file cannot be opened for
            the lines.
    """
    start = time.perf_counter()
    detector = Detector.open(model, options)
    read = _read_packets if given.flows is None else _read_table
    reading = _Reading(alerts=alerts, explain=explain, site=site)
    sink = open_sink(_output(output), rotate_mb=rotate_mb)
    writer = AlertWriter(sink)
    with closing(sink), closing(read(detector, reading, given, notice)) as batches:
        lost = _write(batches, reading, writer)
    statistics = reading.statistics
    return DetectionSummary(
        source=str(given.flows) if statistics is None else statistics.source,
        model=f"{_name(model)} {detector.sha256[:12]}",
        threshold=detector.threshold,
        flows=reading.flows,
        packets=None if statistics is None else statistics.packets,
        incidents=tuple(reading.incidents),
        attacks=writer.tallies.attacks(),
        output=sink.name,
        lines_written=sink.written,
        lines_withheld={} if reading.throttle is None else reading.throttle.withheld,
        lines_lost=sink.lost,
        skipped={} if statistics is None else statistics.skipped,
        truncated="" if statistics is None else statistics.truncated,
        dropped=0 if statistics is None else statistics.dropped,
        repeated=reading.raised.repeated,
        unjudged=reading.unjudged,
        not_read="" if statistics is None else statistics.not_read,
        lost=lost,
        seconds=time.perf_counter() - start,
    )


def _read_packets(
    detector: Detector,
    reading: _Reading,
    given: FlowInput,
    notice: Callable[[str], object] | None,
) -> Batches:
    """Yield what captures or interfaces raise."""
    with open_input(given, detector.flow_schema, verdict_at_s=VERDICT_AT_S) as flows:
        if notice is not None:
            flows.on_drops = DropNotices(notice)
        with finish_on_signals(flows.stop) if flows.is_live else nullcontext():
            yield from _judge_flows(detector, flows, reading)


def _judge_flows(detector: Detector, flows: FlowReader, reading: _Reading) -> Batches:
    reading.origin, reading.throttle = _origin(flows), Throttle()
    raised = reading.raised = RaisedFlows(flows.capacity)
    tracker = detector.tracker(flows.schema, reading.site)
    flows.on_claims = tracker.observe_claims
    failure: CaptureError | None = None
    try:
        try:
            for batch in flows.batches(BATCH, MAX_WAIT_MS):
                yield _judged(detector, tracker, batch, reading, raised)
        except CaptureError as error:  # the interface disappeared: what was open ends with it
            failure = error
        yield Found(incidents=tracker.finish())
        if failure is not None:
            raise failure
    finally:
        reading.statistics = flows.statistics


def _judged(
    detector: Detector,
    tracker: IncidentTracker,
    batch: FlowBatch,
    reading: _Reading,
    raised: RaisedFlows,
) -> Found:
    """Judge a batch, and count it."""
    probabilities = detector.flow_probabilities(batch)
    reading.rows += len(batch)
    reading.unjudged += int(np.isnan(probabilities[:, 0]).sum())
    incidents = _explained(tracker.observe(batch, probabilities), tracker, detector, reading)
    alerts: list[Alert] = []
    if reading.alerts:
        alerts = detector.judge(probabilities, batch.flows, first_row=batch.first_row)
        alerts = raised.only_first(alerts, batch.flows, batch.first_row)
    return Found(incidents=incidents, alerts=alerts)


def _read_table(
    detector: Detector,
    reading: _Reading,
    given: FlowInput,
    _notice: Callable[[str], object] | None,
) -> Batches:
    """Yield what a table of flows raises."""
    raised = reading.raised = RaisedRows()
    tracker = detector.tracker(detector.schema, reading.site)
    for rows in read_flow_table(Path(str(given.flows)), detector.schema):
        probabilities = detector.probabilities(rows.features)
        incidents: list[Incident] = []
        is_known = rows.flows is not None and bool(rows.flows["ip_version"].any())
        if rows.flows is not None and is_known:
            incidents = tracker.observe_flows(rows.flows, rows.features, probabilities)
            incidents = _explained(incidents, tracker, detector, reading)
        alerts: list[Alert] = []
        if reading.alerts or not is_known:
            alerts = detector.judge(
                probabilities, rows.flows, ends_us=rows.ends_us, first_row=reading.rows
            )
        reading.rows += len(rows.features)
        yield Found(incidents=incidents, alerts=raised.only_first(alerts))
    yield Found(incidents=tracker.finish())


def _explained(
    incidents: list[Incident], tracker: IncidentTracker, detector: Detector, reading: _Reading
) -> list[Incident]:
    """Explain the incidents that are new."""
    explain = reading.explain
    if explain is None:
        return incidents
    return [
        explain(detector, incident, tracker.row_of(incident.incident_id), tracker.schema)
        if incident.type == "new"
        else incident
        for incident in incidents
    ]


def _origin(flows: FlowReader) -> Origin:
    names = flows.interfaces
    return Origin(interfaces=names, capture=None if names else flows.statistics.source)


def _output(output: TextIO | str | Path | None) -> TextIO | Path:
    if output is None or str(output) == "-":
        return standard_output()
    return Path(output) if isinstance(output, str) else output


def _write(batches: Iterator[Found], reading: _Reading, writer: AlertWriter) -> str:
    """Write and count what was found: why it was not all written, or nothing."""
    try:
        for found in batches:
            _write_found(found, reading, writer)
        writer.finish(reading.throttle)
    except BrokenPipeError:
        return "the reader of the alerts went away: alerts were lost, and the rest was not read"
    except OutputBlocked as error:
        for found in batches:  # what is left is judged and counted
            _write_found(found, reading, writer)
        return f"{writer.lost:,} lines were not written: {error}"
    except IdskitError:
        writer.finish(reading.throttle)  # the interface disappeared
        raise
    return ""


def _write_found(found: Found, reading: _Reading, writer: AlertWriter) -> None:
    ended = [incident for incident in found.incidents if incident.type == "end"]
    reading.incidents += ended[: MOST_KEPT - len(reading.incidents)]
    for incident in found.incidents:
        writer.write_lines(incident_lines(incident, reading.origin))
    writer.write(found.alerts, reading.origin, reading.throttle)


def _name(model: str | Path | None) -> str:
    return "shipped" if model is None else Path(model).name
