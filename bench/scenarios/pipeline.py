"""The pipeline scenario: packets of a capture in, alert lines out.

Everything that ``idskit detect`` does is timed, and split into what it takes to extract flows, to
infer, and to write alerts. Packets come as fast as they are read, or at a rate that was asked for:
then what is timed is how long verdicts take.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TextIO, TypeVar

import numpy as np

from idskit.bench.measure import Meter, Spread, crowded, doubts, latency_ms, quantiles_ms
from idskit.bench.result import Paced, Result, RunFacts, Split
from idskit.bench.scenarios.inference import Settings, energy_mj
from idskit.bench.scenarios.replay import PacedCapture, Replay, replay
from idskit.bench.subject import Subject
from idskit.detect.detect_flows import BATCH
from idskit.detect.detector import Detector
from idskit.errors import SchemaError
from idskit.generate import generate
from idskit.machine.machine_facts import reset_peak_rss, sensors
from idskit.profiles.flow_reader import open_flows
from idskit.schemas.catalog import NAMES

MIX = "mixed"
PACED_PASSES = 3
T = TypeVar("T")
KEPT_UP = 0.98  # of the rate asked for; below, the queue grew


@dataclass(frozen=True, kw_only=True)
class Passes:
    """How often which capture is read.

    Args:
        count: passes that are timed; one more, before them, compiles and warms up.
        packets: of the generated capture.
        paced_s: how long one pass at a chosen rate lasts at most.
    """

    count: int
    packets: int
    paced_s: float = 10.0


@dataclass(frozen=True, kw_only=True)
class _Pass:
    """One reading of the capture, times in nanoseconds."""

    packets: int
    flows: int
    extract_ns: int
    infer_ns: int
    post_ns: int

    @property
    def ns(self) -> int:
        return self.extract_ns + self.infer_ns + self.post_ns


def obstacle(subject: Subject) -> str | None:
    """Return why a subject cannot take part, or None."""
    if subject.detector is None:
        return f"{subject.name} only infers: a pipeline needs an exported .onnx file"
    if subject.schema.name not in NAMES:
        return (
            f"{subject.name} reads schema {subject.schema.name}, which no capture gives: a "
            f"pipeline needs a model of {', '.join(NAMES)}"
        )
    return None


def pipeline(
    subjects: Sequence[Subject], settings: Settings, capture: Path | None, passes: Passes
) -> list[Result]:
    """Return packets a second of every subject, one pass of each in turn.

    Args:
        subjects: without an ``obstacle``.
        settings: seed and memory at the start.
        capture: what is read; a generated one when None.
        passes: how often, and how large a generated capture is.

    Raises:
        CaptureError: the capture cannot be read.
        SchemaError: the capture holds no flows, or a model is of another version's schema.
    """
    with _capture(capture, passes, settings) as (path, words), Path(os.devnull).open("w") as sink:
        detectors = [subject.detector for subject in subjects if subject.detector]
        reset_peak_rss()
        warmups = [_read(detector, path, sink) for detector in detectors]
        taken, meters = _turns(
            [partial(_read, detector, path, sink) for detector in detectors], passes.count
        )
    return [
        _result(subject, mine, meter, warmup, settings, words)
        for subject, mine, meter, warmup in zip(subjects, taken, meters, warmups, strict=True)
    ]


def paced_pipeline(
    subjects: Sequence[Subject],
    settings: Settings,
    capture: Path | None,
    passes: Passes,
    rate_per_s: float,
) -> list[Result]:
    """Return how long verdicts of every subject take at a packet rate, one pass of each in turn.

    Args:
        subjects: without an ``obstacle``.
        settings: seed and memory at the start.
        capture: what is read; a generated one when None.
        passes: how long, and how large a generated capture is.
        rate_per_s: packets a second.

    Raises:
        CaptureError: the capture cannot be read.
        SchemaError: no flow of the capture comes to a verdict, or a model is of another version's
            schema.
    """
    most = max(int(rate_per_s * passes.paced_s), 1)
    with _capture(capture, passes, settings) as (path, words), Path(os.devnull).open("w") as sink:
        detectors = [subject.detector for subject in subjects if subject.detector]
        reset_peak_rss()
        for detector in detectors:
            _read(detector, path, sink)

        def paced(detector: Detector) -> Replay:
            return replay(detector, PacedCapture(path, rate_per_s, most), sink)

        taken, meters = _turns([partial(paced, detector) for detector in detectors], PACED_PASSES)
    words = f"{words}, arriving at {rate_per_s:,.0f} packets/s"
    return [
        _paced_result(subject, mine, meter, rate_per_s, settings, words)
        for subject, mine, meter in zip(subjects, taken, meters, strict=True)
    ]


def _turns(reads: Sequence[Callable[[], T]], count: int) -> tuple[list[list[T]], list[Meter]]:
    """Make a number of passes, each candidate in turn."""
    taken: list[list[T]] = [[] for _ in reads]
    meters = [Meter() for _ in reads]
    for _ in range(count):
        for read, passes, meter in zip(reads, taken, meters, strict=True):
            with meter:
                passes.append(read())
    return taken, meters


@contextmanager
def _capture(given: Path | None, passes: Passes, settings: Settings) -> Iterator[tuple[Path, str]]:
    """Yield the capture to read, and what it is in words."""
    if given is not None:
        yield given, f"capture {given.name}"
        return
    with TemporaryDirectory(prefix="idskit-bench-") as folder:
        path = Path(folder) / "generated.pcap"
        made = generate(path, packets=passes.packets, mix=MIX, seed=settings.seed)
        yield path, f"generated capture, mix {MIX}, {made.packets} packets"


def _read(detector: Detector, path: Path, sink: TextIO) -> _Pass:
    clock = time.perf_counter_ns
    extract = infer = post = 0
    begin = clock()
    with open_flows(path, detector.schema) as flows:
        batches = flows.batches(BATCH)
        while (batch := next(batches, None)) is not None:
            extracted = clock()
            probabilities = detector.flow_probabilities(batch)
            inferred = clock()
            for alert in detector.judge(probabilities, batch.flows):
                sink.write(alert.to_eve() + "\n")
            end = clock()
            extract += extracted - begin
            infer += inferred - extracted
            post += end - inferred
            begin = end
        found = flows.statistics
    extract += clock() - begin
    if not found.flows:
        raise SchemaError(f"{path} holds no flows, so nothing can be measured: take another one")
    return _Pass(
        packets=found.packets, flows=found.flows, extract_ns=extract, infer_ns=infer, post_ns=post
    )


def _result(
    subject: Subject,
    passes: Sequence[_Pass],
    meter: Meter,
    warmup: _Pass,
    settings: Settings,
    words: str,
) -> Result:
    timing = meter.timing([np.array([one.ns], np.int64) for one in passes])
    flows_per_s = timing.per_second(warmup.flows)
    extract, infer, post = np.median(
        [(one.extract_ns, one.infer_ns, one.post_ns) for one in passes], axis=0
    )
    return Result(
        model=subject.model,
        execution=subject.execution,
        run=RunFacts(
            scenario="pipeline",
            batch=BATCH,
            rounds=len(passes),
            duration_s=float(timing.calls.sum()) / 1e9,
            warmup_s=warmup.ns / 1e9,
            seed=settings.seed,
            input=words,
        ),
        init_ms=subject.init_ms,
        first_ms=subject.first_ms,
        latency_ms=latency_ms(timing.calls),
        split_ms=Split(extract=extract / 1e6, infer=infer / 1e6, post=post / 1e6),
        flows_per_s=flows_per_s,
        packets_per_s=timing.per_second(warmup.packets),
        rss_mib=settings.memory(),
        **sensors(),
        power_w=timing.power_w,
        energy_mj_per_flow=energy_mj(timing.power_w, flows_per_s.median),
        accuracy=subject.accuracy,
        warnings=tuple(doubts(timing)),
    )


def _paced_result(
    subject: Subject,
    passes: Sequence[Replay],
    meter: Meter,
    rate_per_s: float,
    settings: Settings,
    words: str,
) -> Result:
    waits_ns = np.concatenate([one.waits_ns for one in passes])
    if not len(waits_ns):
        raise SchemaError(
            f"no flow came to its verdict, 0.1 s old, in the {passes[0].packets:,} packets "
            f"read at {rate_per_s:g} a second: raise --rate or take another capture"
        )
    extract, infer, post = np.median(
        [(one.extract_ns, one.infer_ns, one.post_ns) for one in passes], axis=0
    )
    flows_per_s = Spread.of([one.flows / one.spent_ns * 1e9 for one in passes])
    reached = Spread.of([one.packets / one.spent_ns * 1e9 for one in passes])
    return Result(
        model=subject.model,
        execution=subject.execution,
        run=RunFacts(
            scenario="pipeline",
            batch=BATCH,
            rounds=len(passes),
            duration_s=sum(one.spent_ns for one in passes) / 1e9,
            warmup_s=0.0,
            seed=settings.seed,
            input=words,
        ),
        init_ms=subject.init_ms,
        first_ms=subject.first_ms,
        latency_ms=latency_ms(waits_ns),
        split_ms=Split(extract=extract / 1e6, infer=infer / 1e6, post=post / 1e6),
        flows_per_s=flows_per_s,
        packets_per_s=reached,
        rss_mib=settings.memory(),
        **sensors(),
        power_w=meter.power_w,
        energy_mj_per_flow=energy_mj(meter.power_w, flows_per_s.median),
        accuracy=subject.accuracy,
        warnings=(*_behind(reached.median, rate_per_s), *crowded(meter.timing([waits_ns]))),
        quantiles_ms=quantiles_ms(waits_ns),
        paced=Paced(rate_per_s=rate_per_s, verdicts=len(waits_ns)),
    )


def _behind(reached_per_s: float, rate_per_s: float) -> list[str]:
    if reached_per_s >= KEPT_UP * rate_per_s:
        return []
    return [
        f"it fell behind: {rate_per_s:,.0f} packets/s were due, {reached_per_s:,.0f} were "
        "judged, so verdicts come later the longer it lasts; an interface would drop packets"
    ]
