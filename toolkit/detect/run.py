"""Detect: a capture, an interface or a table in, EVE lines out, a summary for people."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from idskit.detect.alert import Alert
from idskit.detect.detector import Detector
from idskit.detect.flow_table import read_flow_table
from idskit.detect.summary import DetectionSummary, Tallies
from idskit.errors import IdskitError
from idskit.flows.live import finish_on_signals
from idskit.flows.reader import FlowReader, FlowStatistics, open_flows

BATCH = 1024
MAX_WAIT_MS = 50.0  # how long a flow of an interface waits for others to be judged with

Batches = Generator[list[Alert], None, None]


@dataclass(kw_only=True)
class _Reading:
    """What has been read so far; whoever reads keeps it up to date."""

    flows: int = 0
    statistics: FlowStatistics | None = None  # None for a table


_Read = Callable[[Detector, Path, _Reading], Batches]


def detect(
    model: str | Path | None = None,
    *,
    capture: str | Path | None = None,
    interface: str | None = None,
    flows_table: str | Path | None = None,
    output: TextIO | None = None,
    device: str = "cpu",
    threads: int | None = None,
    threshold: float | None = None,
) -> DetectionSummary:
    """Write an EVE line for every flow that the model takes for an attack.

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

    Raises:
        ModelError, DeviceError: the model cannot be used as asked.
        CaptureError, SchemaError: the input cannot be used, or the interface disappeared.
        IdskitError: not exactly one of ``capture``, ``interface`` and ``flows_table`` was given.
    """
    read, source = _input(capture, interface, flows_table)
    start = time.perf_counter()
    detector = Detector.load(model, device=device, threads=threads, threshold=threshold)
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
        output_closed=closed,
        seconds=time.perf_counter() - start,
    )


def _input(
    capture: str | Path | None, interface: str | None, flows_table: str | Path | None
) -> tuple[_Read, Path]:
    """How to read what was named, and its name."""
    inputs: list[tuple[_Read, str | Path | None]] = [
        (_capture_alerts, capture),
        (_interface_alerts, interface),
        (_table_alerts, flows_table),
    ]
    given = [(read, Path(source)) for read, source in inputs if source is not None]
    if len(given) != 1:
        raise IdskitError(
            "detect reads either a capture (-r), an interface (-i) or a table of flows (--flows): "
            "name one of them"
        )
    return given[0]


def _capture_alerts(detector: Detector, path: Path, reading: _Reading) -> Batches:
    with open_flows(path, detector.schema) as flows:
        yield from _flow_alerts(detector, flows, reading)


def _interface_alerts(detector: Detector, name: Path, reading: _Reading) -> Batches:
    with open_flows(name, detector.schema, live=True) as flows, finish_on_signals(flows.stop):
        yield from _flow_alerts(detector, flows, reading)


def _flow_alerts(detector: Detector, flows: FlowReader, reading: _Reading) -> Batches:
    try:
        for batch in flows.batches(BATCH, MAX_WAIT_MS):
            probabilities = detector.probabilities(batch.features)
            alerts = detector.judge(probabilities, batch.flows, first_row=reading.flows)
            reading.flows += len(batch)
            yield alerts
    finally:
        reading.statistics = flows.statistics


def _table_alerts(detector: Detector, path: Path, reading: _Reading) -> Batches:
    for rows in read_flow_table(path, detector.schema):
        probabilities = detector.probabilities(rows.features)
        alerts = detector.judge(probabilities, rows.flows, first_row=reading.flows)
        reading.flows += len(rows.features)
        yield alerts


def _write(batches: Iterator[list[Alert]], tallies: Tallies, output: TextIO) -> bool:
    """Write and count alerts; True when the reader of ``output`` went away."""
    try:
        for alerts in batches:
            for alert in alerts:
                output.write(alert.to_eve() + "\n")
                tallies.add(alert)
            output.flush()
    except BrokenPipeError:
        _abandon(output)
        return True
    return False


def _abandon(output: TextIO) -> None:
    """Send what is still buffered nowhere, or the interpreter complains of it at its exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, output.fileno())
    os.close(nowhere)


def _name(model: str | Path | None) -> str:
    return "shipped" if model is None else Path(model).name
