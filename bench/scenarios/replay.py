"""The pipeline at a chosen packet rate: how long after a packet its flow has its verdict.

    capture ──> packets that fall due ──> the loop of a live interface ──> detector ──> alert lines

What is not due is not there yet, as on an interface; what falls due meanwhile waits, and comes
together with the others that wait. Flows are judged at the age of VERDICT_AT_US too, and these
verdicts are what is timed, from when the packet was due that moved the clock there.
The kernel's ring, which keeps packets for up to RETIRE_MS, is not part of it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from idskit.capture.af_packet import LiveCapture
from idskit.capture.capture_file import WAIT_MS, open_capture
from idskit.detect.detect_flows import BATCH, MAX_WAIT_MS
from idskit.detect.detector import Detector
from idskit.flow import VERDICT
from idskit.flows.flow_records import Settings
from idskit.packet import Frames
from idskit.profiles.flow_reader import FlowBatch, FlowReader
from idskit.profiles.registry import profile_named

VERDICT_AT_US = 100_000  # by the capture, so that short captures have verdicts too
MEMORY_MB = 256


@dataclass(frozen=True, kw_only=True)
class Replay:
    """One pass of a capture at a rate.

    Attributes:
        waits_ns: (verdicts,) from the moment the packet was due at which a flow was VERDICT_AT_US
            old until its alert, if any, was written.
        packets: handed on.
        flows: rows judged, those of flows that ended included.
        spent_ns: from the first packet's due time until the last one was read.
        extract_ns: working time from packets to features; waiting for packets is not in it.
        infer_ns: to probabilities.
        post_ns: to alert lines.
    """

    waits_ns: NDArray[np.int64]
    packets: int
    flows: int
    spent_ns: int
    extract_ns: int
    infer_ns: int
    post_ns: int


class PacedCapture(LiveCapture):
    """A capture file read like an interface on which its packets arrive at a constant rate.

    Attributes:
        times_us: (packets,) int64, when each was captured.
        slept_ns: how long ``frames`` waited for packets to fall due.
        begin_ns: when the first packet was due, on ``time.perf_counter_ns``.
        over_ns: when more were asked for after the last one; 0 before.
    """

    def __init__(self, path: Path, rate_per_s: float, packets: int | None = None) -> None:
        """Read the times of the first ``packets`` of a capture, of all when None.

        Raises:
            CaptureError: it cannot be read.
        """
        with open_capture(path) as capture:
            times = [frames.records["time_ns"] // 1000 for frames in capture.frames()]
        self.times_us = np.concatenate(times or [np.zeros(0, np.int64)])[:packets]
        self.path, self._rate_per_s = path, rate_per_s
        self.interfaces = (str(path),)
        self.seen = self.dropped = self.slept_ns = self.begin_ns = self.over_ns = 0
        self.truncated, self.wait_ms = "", WAIT_MS

    def close(self) -> None:
        """Nothing is held between ``frames``."""

    def now_us(self) -> int:
        """Capture time of the last packet handed on: waiting ages no flow."""
        return int(self.times_us[max(self.seen - 1, 0)])

    def frames(self) -> Iterator[Frames]:
        """Yield what has fallen due, and none at all where nothing has."""
        self.begin_ns = time.perf_counter_ns()
        with open_capture(self.path) as capture:
            for chunk in capture.frames():
                yield from self._due(chunk)
        self.over_ns = time.perf_counter_ns()

    def due_ns(self, packets: NDArray[np.int64]) -> NDArray[np.int64]:
        """Due times of packets by their places in the capture, on ``time.perf_counter_ns``."""
        return self.begin_ns + (packets * (1e9 / self._rate_per_s)).astype(np.int64)

    def _due(self, chunk: Frames) -> Iterator[Frames]:
        first, count = 0, min(len(chunk.records), len(self.times_us) - self.seen)
        while first < count:
            elapsed_s = (time.perf_counter_ns() - self.begin_ns) / 1e9
            ready = min(int(elapsed_s * self._rate_per_s) + 1 - self.seen, count - first)
            self.seen += ready
            yield Frames(data=chunk.data, records=chunk.records[first : first + ready])
            first += ready
            if not ready:
                self._sleep(self.seen / self._rate_per_s - elapsed_s)

    def _sleep(self, seconds: float) -> None:
        before = time.perf_counter_ns()
        time.sleep(max(min(seconds, self.wait_ms / 1e3), 0))
        self.slept_ns += time.perf_counter_ns() - before


def replay(detector: Detector, capture: PacedCapture, sink: TextIO) -> Replay:
    """Judge the flows of a capture as its packets fall due, until no more verdicts wait."""
    profile = profile_named(detector.schema.name)
    settings = Settings(
        memory_bytes=MEMORY_MB << 20, idle_us=profile.IDLE_US, verdict_at_us=(VERDICT_AT_US,)
    )
    pace, clock = _Places(capture), time.perf_counter_ns
    waits, flows, spent = [], 0, np.zeros(3, np.int64)
    with FlowReader(capture, profile, settings) as reader:
        begin = clock()
        for batch in reader.batches(BATCH, MAX_WAIT_MS):
            if capture.over_ns and not _has_verdicts(batch):
                break
            moments = np.array([begin, clock(), 0, 0])
            probabilities = detector.flow_probabilities(batch)
            moments[2] = clock()
            for alert in detector.judge(probabilities, batch.flows):
                sink.write(alert.to_eve() + "\n")
            moments[3] = begin = clock()
            spent += np.diff(moments)
            waits.append(moments[3] - pace.due_ns(batch))
            flows += len(batch)
    extract_ns, infer_ns, post_ns = spent.tolist()
    return Replay(
        waits_ns=np.concatenate(waits or [np.zeros(0, np.int64)]),
        packets=capture.seen,
        flows=flows,
        spent_ns=capture.over_ns - capture.begin_ns,
        extract_ns=extract_ns - capture.slept_ns,
        infer_ns=infer_ns,
        post_ns=post_ns,
    )


def _has_verdicts(batch: FlowBatch) -> bool:
    return bool(np.any(batch.flows["end"] == VERDICT))


class _Places:
    """Where in a capture the packets of a time are; its times may go back."""

    def __init__(self, capture: PacedCapture) -> None:
        self._capture = capture
        self._order = np.argsort(capture.times_us, kind="stable")
        self._sorted = capture.times_us[self._order]

    def due_ns(self, batch: FlowBatch) -> NDArray[np.int64]:
        """Return when the packets that called for a verdict were due; the first of several."""
        called = batch.flows["start_us"][batch.flows["end"] == VERDICT] + VERDICT_AT_US
        places = np.searchsorted(self._sorted, called)
        return self._capture.due_ns(self._order[np.minimum(places, len(self._order) - 1)])
