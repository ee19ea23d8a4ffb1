"""Detect: a capture, an interface or a table in, EVE lines out, a summary for people."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from idskit.alerts.alert import Alert
from idskit.alerts.alert_writer import AlertWriter
from idskit.alerts.eve import UNKNOWN_ORIGIN, Origin
from idskit.alerts.eve_file import ROTATE_MB, open_sink
from idskit.alerts.summary import DetectionSummary
from idskit.alerts.throttle import Throttle
from idskit.capture.drops import DropNotices
from idskit.detect.detector import Detector
from idskit.detect.feature_table import read_flow_table
from idskit.errors import IdskitError
from idskit.flows.flow_table import ENDS, VERDICT
from idskit.process.signals import OutputBlocked, finish_on_signals
from idskit.process.streams import standard_output
from idskit.profiles.flow_reader import FlowReader, FlowStatistics, open_flows

BATCH = 1024
MAX_WAIT_MS = 50.0  # how long a flow of an interface waits for others to be judged with
MAX_RAISED = 1 << 16  # flows remembered that had an alert before their end

Batches = Generator[list[Alert], None, None]


class _Raised:
    """Flows that had an alert before their end: it is not raised again then."""

    def __init__(self) -> None:
        self._flows: OrderedDict[int | None, None] = OrderedDict()  # flow IDs, oldest first
        self.repeated = 0

    def only_first(self, alerts: list[Alert]) -> list[Alert]:
        """The alerts without those of flows that had one; the oldest flows are forgotten."""
        return [alert for alert in alerts if self._is_first(alert)]

    def _is_first(self, alert: Alert) -> bool:
        is_early = alert.flow is not None and alert.flow.end == ENDS[VERDICT]
        if alert.flow is None or not (is_early or self._flows):
            return True
        flow_id = alert.flow.flow_id
        if flow_id is None:
            return True
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
    origin: Origin = UNKNOWN_ORIGIN
    throttle: Throttle | None = None  # None for a table: its rows bound its lines
    raised: _Raised = field(default_factory=_Raised)
    statistics: FlowStatistics | None = None  # None for a table

    @property
    def flows(self) -> int:
        """Without the rows of flows that then went on, where that is known."""
        return self.rows if self.statistics is None else self.statistics.flows


_Read = Callable[[Detector, _Reading], Batches]


def detect(  # noqa: PLR0913 - one argument a flag
    model: str | Path | None = None,
    *,
    capture: str | Path | Sequence[str | Path] | None = None,
    interface: str | Sequence[str] | None = None,
    flows_table: str | Path | None = None,
    output: TextIO | str | Path | None = None,
    rotate_mb: int = ROTATE_MB,
    device: str = "cpu",
    threads: int | None = None,
    threshold: float | None = None,
    verdict_after: int = 0,
    filter: str | None = None,
    memory_mb: int = 256,
    idle_timeout_s: float | None = None,
    public_key: str | Path | None = None,
    notice: Callable[[str], object] | None = None,
    min_version: int | None = None,
) -> DetectionSummary:
    """Write an EVE line for every flow that the model takes for an attack, one a flow.

    Args:
        model: the ONNX file; None for the model that idskit ships.
        capture: a pcap or pcapng file, a folder or a pattern of such, ``-`` for standard input, or
            several of these, see ``open_flows``; this, ``interface`` or ``flows_table``.
        interface: name of a network interface, or several, read until SIGINT, SIGTERM or SIGHUP;
            the open flows are then judged too. The same ends a capture that comes by a pipe.
        flows_table: a CSV or Parquet file with the model's features, columns found by name.
        output: where the lines go: a stream, or the name of a file that they are appended to (see
            ``EveFile``); standard output when None. When its reader goes away, reading ends without
            an error; when it takes nothing for some seconds after a signal to end, the rest is
            judged and not written. The summary says so (``lost``). What cannot be written for
            another reason (a full disk) is counted, and detection goes on.
        rotate_mb: size limit of a file given by name; 0 sets none.
        device: ``cpu`` or ``cuda``; what is asked for is what runs.
        threads: of one inference; all usable processors when None.
        threshold: alert when 1 - P(benign) reaches it; the model's own when None.
        verdict_after: judge each flow after this many packets too, so that its alert comes early;
            0 does not. What its end would add is left out and counted (of the last MAX_RAISED
            flows with an alert).
        filter: of ``interface``, which frames to read, as tcpdump takes it; see ``open_flows``.
        memory_mb: budget of the flow table.
        idle_timeout_s: a flow silent for longer ends, where the model's schema has that.
        public_key: PEM file of the ed25519 key that must have signed the model; nobody must when
            None.
        notice: called with a sentence while frames of an interface are being dropped.
        min_version: lowest version that the signature may name.

    Raises:
        ModelError, DeviceError: the model cannot be used as asked.
        CaptureError, SchemaError: the input cannot be used, or the interface disappeared.
        IdskitError: not exactly one of ``capture``, ``interface`` and ``flows_table`` was given,
            or ``verdict_after`` with a table, or ``filter`` without an interface, or a file cannot
            be opened for the lines.
    """
    settings = {
        "memory_mb": memory_mb,
        "idle_timeout_s": idle_timeout_s,
        "verdict_after": verdict_after,
        "filter": filter,
    }
    read = _input(capture, interface, flows_table, settings, notice)
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
    sink = open_sink(_output(output), rotate_mb=rotate_mb)
    writer = AlertWriter(sink)
    with closing(sink), closing(read(detector, reading)) as batches:
        lost = _write(batches, reading, writer)
    statistics = reading.statistics
    return DetectionSummary(
        source=str(flows_table) if statistics is None else statistics.source,
        model=f"{_name(model)} {detector.sha256[:12]}",
        threshold=detector.threshold,
        flows=reading.flows,
        packets=None if statistics is None else statistics.packets,
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


def _input(
    capture: str | Path | Sequence[str | Path] | None,
    interface: str | Sequence[str] | None,
    flows_table: str | Path | None,
    settings: dict[str, Any],
    notice: Callable[[str], object] | None,
) -> _Read:
    """How to read what was named."""
    named = [source for source in (capture, interface, flows_table) if source]
    if len(named) != 1:
        raise IdskitError(
            "detect reads either captures (-r), interfaces (-i) or a table of flows (--flows): "
            "name one of them"
        )
    if settings["filter"] is not None and not interface:
        raise IdskitError(
            f"filter is {settings['filter']!r}, but only an interface (-i) has one: leave it away"
        )
    if flows_table is None:
        live = bool(interface)
        return partial(_packet_alerts, source=named[0], live=live, settings=settings, notice=notice)
    if settings["verdict_after"]:
        raise IdskitError(
            f"verdict_after is {settings['verdict_after']}, but a table has no packets to count: "
            "leave it away"
        )
    return partial(_table_alerts, path=Path(flows_table))


def _packet_alerts(
    detector: Detector,
    reading: _Reading,
    *,
    source: str | Path | Sequence[str | Path],
    live: bool,
    settings: dict[str, Any],
    notice: Callable[[str], object] | None,
) -> Batches:
    with open_flows(source, detector.schema, live=live, **settings) as flows:
        if notice is not None:
            flows.on_drops = DropNotices(notice)
        with finish_on_signals(flows.stop) if flows.is_live else nullcontext():
            yield from _flow_alerts(detector, flows, reading)


def _flow_alerts(detector: Detector, flows: FlowReader, reading: _Reading) -> Batches:
    reading.origin, reading.throttle = _origin(flows), Throttle()
    try:
        for batch in flows.batches(BATCH, MAX_WAIT_MS):
            probabilities = detector.flow_probabilities(batch)
            alerts = detector.judge(probabilities, batch.flows, first_row=batch.first_row)
            reading.rows += len(batch)
            reading.unjudged += int(np.isnan(probabilities[:, 0]).sum())
            yield reading.raised.only_first(alerts)
    finally:
        reading.statistics = flows.statistics


def _table_alerts(detector: Detector, reading: _Reading, *, path: Path) -> Batches:
    for rows in read_flow_table(path, detector.schema):
        probabilities = detector.probabilities(rows.features)
        alerts = detector.judge(
            probabilities, rows.flows, ends_us=rows.ends_us, first_row=reading.rows
        )
        reading.rows += len(rows.features)
        yield reading.raised.only_first(alerts)


def _origin(flows: FlowReader) -> Origin:
    names = flows.interfaces
    return Origin(interfaces=names, capture=None if names else flows.statistics.source)


def _output(output: TextIO | str | Path | None) -> TextIO | Path:
    if output is None or str(output) == "-":
        return standard_output()
    return Path(output) if isinstance(output, str) else output


def _write(batches: Iterator[list[Alert]], reading: _Reading, writer: AlertWriter) -> str:
    """Write and count alerts: why they were not all written, or nothing."""
    try:
        for alerts in batches:
            writer.write(alerts, reading.origin, reading.throttle)
        writer.finish(reading.throttle)
    except BrokenPipeError:
        return "the reader of the alerts went away: alerts were lost, and the rest was not read"
    except OutputBlocked as error:
        for alerts in batches:  # they are judged and counted
            writer.write(alerts, reading.origin, reading.throttle)
        return f"{writer.lost:,} alerts were not written: {error}"
    except IdskitError:
        writer.finish(reading.throttle)  # the interface disappeared
        raise
    return ""


def _name(model: str | Path | None) -> str:
    return "shipped" if model is None else Path(model).name
