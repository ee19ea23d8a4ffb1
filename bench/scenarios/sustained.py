"""The sustained scenario: throughput, temperature and clock over minutes of full load.

A board without a fan is fast until it is hot. There is no warm-up: the curve begins where the
machine is, and its drift is part of the answer.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from idskit.bench.measure import MAX_TREND, Meter, Spread, Timing, crowded, run_round, unstable
from idskit.bench.result import Result, Sample, Sustained
from idskit.bench.scenarios.inference import Settings, build_result, cycle_rows, require_memory
from idskit.bench.subject import Subject
from idskit.machine.sensors import read_sensors

SAMPLES = 120
MIN_SAMPLES = 8  # two a quarter


def sustained(subjects: Sequence[Subject], settings: Settings, minutes: float) -> list[Result]:
    """Load the machine for ``minutes``; subjects take turns within every sample.

    Raises:
        IdskitError: a batch does not fit memory.
    """
    for subject in subjects:
        require_memory(subject, settings.server_batch, settings.seed)
    calls = [cycle_rows(subject, settings.server_batch, settings.seed) for subject in subjects]
    slice_s = 60 * minutes / SAMPLES / len(subjects)
    rounds: list[list[NDArray[np.int64]]] = [[] for _ in subjects]
    samples: list[list[Sample]] = [[] for _ in subjects]
    meters = [Meter(read_sensors) for _ in subjects]
    start = time.perf_counter()
    while time.perf_counter() - start < 60 * minutes:
        for call, durations, curve, meter in zip(calls, rounds, samples, meters, strict=True):
            with meter, Meter(read_sensors) as slice_meter:
                durations.append(run_round(call, slice_s))
            rate = settings.server_batch * len(durations[-1]) / (float(durations[-1].sum()) / 1e9)
            curve.append(_sample(time.perf_counter() - start, rate, slice_meter.power_w))
    return [
        _result(subject, meter.timing(durations), tuple(curve), settings, minutes)
        for subject, meter, durations, curve in zip(subjects, meters, rounds, samples, strict=True)
    ]


def drift(flows_per_s: Sequence[float]) -> float:
    """Return the median of the last quarter over that of the first, minus 1."""
    quarters = _quarters(flows_per_s)
    return quarters[-1] / quarters[0] - 1


def unsteady(flows_per_s: Sequence[float], minutes: float) -> list[str]:
    """Return why the end of the curve does not show how the machine goes on, if it does not."""
    if len(flows_per_s) < MIN_SAMPLES:
        return [
            f"no steady state: only {len(flows_per_s)} samples within {minutes:g} minutes, "
            f"{MIN_SAMPLES} are needed; give it more --minutes"
        ]
    quarters = _quarters(flows_per_s)
    change = quarters[3] / quarters[2] - 1
    if abs(change) <= MAX_TREND:
        return []
    return [
        f"no steady state within {minutes:g} minutes: speed still {_moved(change)} by "
        f"{abs(change):.0%} from the third quarter to the last; give it more --minutes"
    ]


def _moved(change: float) -> str:
    return "rose" if change > 0 else "fell"


def _quarters(values: Sequence[float]) -> list[float]:
    return [statistics.median(part) for part in np.array_split(values, 4) if len(part)]


def _sample(at_s: float, flows_per_s: float, power_w: float | None) -> Sample:
    reading = read_sensors()
    return Sample(
        at_s=at_s,
        flows_per_s=flows_per_s,
        temperature_c=reading.temperature_c,
        frequency_mhz=None if reading.clock_hz is None else reading.clock_hz / 1e6,
        throttled=reading.throttled,
        power_w=power_w,
    )


def _result(
    subject: Subject,
    timing: Timing,
    samples: tuple[Sample, ...],
    settings: Settings,
    minutes: float,
) -> Result:
    rates = [sample.flows_per_s for sample in samples]
    second_half = Spread.of(rates[len(rates) // 2 :])
    return build_result(
        subject,
        timing,
        settings,
        scenario="sustained",
        batch=settings.server_batch,
        flows_per_s=Spread.of(rates),
        duration_s=60 * minutes,
        warnings=(
            *unsteady(rates, minutes),
            *crowded(timing),
            *unstable(second_half, "samples of the second half"),
        ),
        sustained=Sustained(samples=samples, drift=drift(rates)),
    )
