"""Detect: a capture, an interface or a table in, EVE lines out, a summary for people."""

from __future__ import annotations

import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from idskit.detect.alert import Alert
from idskit.detect.detector import Detector
from idskit.detect.flow_table import read_flow_table
from idskit.detect.summary import DetectionSummary, Tallies
from idskit.errors import IdskitError
from idskit.flows.drops import DropNotices
from idskit.flows.reader import FlowReader, FlowStatistics, open_flows
from idskit.flows.table import ENDS, VERDICT
from idskit.output import abandon, reason
from idskit.signals import OutputBlocked, finish_on_signals, writing

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


_Read = Callable[[Detector, _Reading], Batches]


def detect(  # noqa: PLR0913 - one argument a flag
    model: str | Path | None = None,
    *,
    capture: str | Path | Sequence[str | Path] | None = None,
    interface: str | Sequence[str] | None = None,
    flows_table: str | Path | None = None,
    output: TextIO | None = None,
    device: str = "cpu",
    threads: int | None = None,
    threshold: float | None = None,
    verdict_after: int = 0,
    filter: str | None = None,
    memory_mb: int = 256,
    idle_timeout_s: float | None = None,
    public_key: str | Path | None = None,
    notice: Callable[[str], object] | None = None,
) -> DetectionSummary:
    """Write an EVE line for every flow that the model takes for an attack, one a flow.

    Args:
        model: the ONNX file; None for the model that idskit ships.
        capture: a pcap or pcapng file, a folder or a pattern of such, ``-`` for standard input, or
            several of these, see ``open_flows``; this, ``interface`` or ``flows_table``.
        interface: name of a network interface, or several, read until SIGINT, SIGTERM or SIGHUP;
            the open flows are then judged too. The same ends a capture that comes by a pipe.
        flows_table: a CSV or Parquet file with the model's features, columns found by name.
        output: where the lines go; standard output when None. When its reader goes away, reading
            ends without an error; when it takes nothing for some seconds after a signal to end, the
            rest is judged and not written. The summary says so (``lost``).
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

    Raises:
        ModelError, DeviceError: the model cannot be used as asked.
        CaptureError, SchemaError: the input cannot be used, or the interface disappeared.
        IdskitError: not exactly one of ``capture``, ``interface`` and ``flows_table`` was given,
            or ``verdict_after`` with a table, or ``filter`` without an interface, or ``output``
            cannot be written.
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
        model, device=device, threads=threads, threshold=threshold, public_key=public_key
    )
    reading = _Reading()
    tallies = Tallies()
    with closing(read(detector, reading)) as batches:
        lost = _write(batches, tallies, output or sys.stdout)
    statistics = reading.statistics
    return DetectionSummary(
        source=str(flows_table) if statistics is None else statistics.source,
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
        alerts = detector.judge(probabilities, rows.flows, first_row=reading.rows)
        reading.rows += len(rows.features)
        yield reading.raised.only_first(alerts)


def _write(batches: Iterator[list[Alert]], tallies: Tallies, output: TextIO) -> str:
    """Write and count alerts: why they were not all written, or nothing."""
    try:
        for alerts in batches:
            for alert in alerts:
                tallies.add(alert)
            with writing():
                output.writelines(alert.to_eve() + "\n" for alert in alerts)
                output.flush()
    except BrokenPipeError:
        abandon(output)
        return "the reader of the alerts went away: alerts were lost, and the rest was not read"
    except OutputBlocked as error:
        abandon(output)
        return f"{_count(alerts, batches, tallies):,} alerts were not written: {error}"
    except OSError as error:
        abandon(output)
        raise IdskitError(f"alerts cannot be written: {reason(error)}") from error
    return ""


def _count(alerts: list[Alert], batches: Iterator[list[Alert]], tallies: Tallies) -> int:
    """Count the alerts that nobody takes: these and those that follow."""
    lost = len(alerts)
    for more in batches:
        for alert in more:
            tallies.add(alert)
        lost += len(more)
    return lost


def _name(model: str | Path | None) -> str:
    return "shipped" if model is None else Path(model).name
