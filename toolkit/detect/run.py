"""Detect: a capture or a table in, EVE lines out, a summary for people."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from idskit.detect.alert import Alert
from idskit.detect.detector import Detector
from idskit.detect.flow_table import read_flow_table
from idskit.detect.summary import DetectionSummary, Tallies
from idskit.errors import IdskitError
from idskit.flows.reader import FlowStatistics, open_flows

BATCH = 1024

Batches = Generator[list[Alert], None, None]


@dataclass(kw_only=True)
class _Reading:
    """What has been read so far; whoever reads keeps it up to date."""

    flows: int = 0
    statistics: FlowStatistics | None = None  # None for a table


def detect(
    model: str | Path | None = None,
    *,
    capture: str | Path | None = None,
    flows_table: str | Path | None = None,
    output: TextIO | None = None,
    device: str = "cpu",
    threads: int | None = None,
    threshold: float | None = None,
) -> DetectionSummary:
    """Write an EVE line for every flow that the model takes for an attack.

    Args:
        model: the ONNX file; None for the model that idskit ships.
        capture: a pcap or pcapng file; this or ``flows_table``.
        flows_table: a CSV or Parquet file with the model's features, columns found by name.
        output: where the lines go; standard output when None. When its reader goes away, reading
            ends without an error and the summary says so.
        device: ``cpu`` or ``cuda``; what is asked for is what runs.
        threads: of one inference; all usable processors when None.
        threshold: alert when 1 - P(benign) reaches it; the model's own when None.

    Raises:
        ModelError, DeviceError: the model cannot be used as asked.
        CaptureError, SchemaError: the input cannot be used.
        IdskitError: neither or both of ``capture`` and ``flows_table`` were given.
    """
    if (capture is None) == (flows_table is None):
        raise IdskitError(
            "detect reads either a capture (-r) or a table of flows (--flows): name one of them"
        )
    start = time.perf_counter()
    detector = Detector.load(model, device=device, threads=threads, threshold=threshold)
    reading = _Reading()
    source = Path(str(capture if flows_table is None else flows_table))
    read = _capture_alerts if flows_table is None else _table_alerts
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
        output_closed=closed,
        seconds=time.perf_counter() - start,
    )


def _capture_alerts(detector: Detector, path: Path, reading: _Reading) -> Batches:
    with open_flows(path, detector.schema) as flows:
        try:
            for batch in flows.batches(BATCH):
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
