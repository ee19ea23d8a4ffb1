"""Statistics against naive ones, and the order of measurements."""

import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from idskit.bench import measure as module
from idskit.bench.measure import (
    Meter,
    Plan,
    Spread,
    Timing,
    doubts,
    latency_ms,
    measure,
    quantiles_ms,
)
from idskit.machine.sensors import Reading

PLAN = Plan(rounds=3, round_s=0.0, warmup_s=0.0)  # one call a round


def timing(*rounds: list[int]) -> Timing:
    return Timing(rounds=tuple(np.array(r, np.int64) for r in rounds))


def nearest_rank(values: list[int], percent: float) -> float:
    """The definition, spelled out: the smallest value that ``percent`` of all do not exceed."""
    return sorted(values)[math.ceil(round(percent / 100 * len(values), 9)) - 1]


def test_subjects_take_turns_after_a_warm_up() -> None:
    order = []
    measure({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, PLAN)
    assert "".join(order) == "ab" + "ab" * 3


@pytest.fixture
def clock(monkeypatch) -> Callable[[float], None]:
    """A clock that only calls move, by so many seconds."""
    now_ns = 10**9

    def passes(seconds: float) -> None:
        nonlocal now_ns
        now_ns += round(seconds * 1e9)

    monkeypatch.setattr(time, "perf_counter_ns", lambda: now_ns)
    return passes


def test_every_call_of_a_round_is_timed(clock) -> None:
    calls = []
    plan = Plan(rounds=4, round_s=0.001, warmup_s=0.0)
    taken = measure({"a": lambda: (calls.append(0), clock(0.0003))}, plan)["a"]
    assert len(taken.rounds) == 4
    assert len(taken.calls) == len(calls) - 1


def test_a_slow_subject_gets_fewer_rounds_but_not_fewer_than_three(clock) -> None:
    plan = Plan(rounds=9, round_s=0.0001, warmup_s=0.0)
    taken = measure({"slow": lambda: clock(0.002), "fast": lambda: clock(0.00005)}, plan)
    assert (len(taken["slow"].rounds), len(taken["fast"].rounds)) == (3, 9)


def test_percentiles_are_nearest_ranks() -> None:
    durations = np.random.default_rng(0).integers(1, 10**9, 4321).tolist()
    found = latency_ms(np.array(durations))
    for name, percent in (("p50", 50), ("p90", 90), ("p95", 95), ("p99", 99), ("p99_9", 99.9)):
        assert found[name] == pytest.approx(nearest_rank(durations, percent) / 1e6), name


def test_moments_are_those_of_the_standard_library() -> None:
    durations = [3_000_000, 1_000_000, 8_000_000]
    found = latency_ms(np.array(durations))
    assert found["mean"] == pytest.approx(statistics.fmean(durations) / 1e6)
    assert found["stdev"] == pytest.approx(statistics.stdev(durations) / 1e6)
    assert (found["count"], found["min"], found["max"]) == (3, 1, 8)


@pytest.mark.parametrize(
    ("count", "known"),
    [(99, {"p50", "p90", "p95"}), (100, {"p50", "p90", "p95", "p99"}), (1, set())],
)
def test_a_percentile_of_too_few_calls_is_not_given(count, known) -> None:
    found = latency_ms(np.full(count, 10**6))
    assert {name for name in found if name.startswith("p") and found[name] is not None} == known


def test_a_thousand_calls_give_every_percentile() -> None:
    assert latency_ms(np.arange(1, 1001))["p99_9"] is not None


def test_throughput_is_items_over_time_round_by_round() -> None:
    found = timing([500_000_000, 500_000_000], [250_000_000]).per_second(8)
    assert found.values == (16, 32)
    assert (found.median, found.min, found.max) == (24, 16, 32)


def test_one_round_has_no_spread() -> None:
    assert Spread.of([5.0]).relative == 0


def test_steady_rounds_raise_no_doubt() -> None:
    assert doubts(timing([100] * 50, [101] * 50), tail=True) == []


def test_rounds_that_differ_are_called_unstable() -> None:
    (reason,) = doubts(timing([100], [100], [200]))
    assert "unstable: rounds differ by" in reason


def test_few_calls_are_called_unstable_where_the_tail_matters() -> None:
    steady = timing([100], [100])
    assert doubts(steady) == []
    assert "only 2 calls were timed" in doubts(steady, tail=True)[0]


def test_quantiles_are_nearest_ranks_and_end_where_calls_are_too_few() -> None:
    durations = np.random.default_rng(1).integers(1, 10**9, 1000)
    found = quantiles_ms(durations)
    for percent, ms in found[1:]:
        assert ms == pytest.approx(nearest_rank(durations.tolist(), percent) / 1e6)
    assert found[0] == (0, durations.min() / 1e6)
    assert found[-1][0] == pytest.approx(99.9)


def test_percentiles_round_by_round() -> None:
    found = timing([10**6] * 100, [3 * 10**6] * 100)
    assert found.percentile_ms("p99").values == (1, 3)
    assert found.percentile_ms("p99_9") is None


def test_speed_that_only_falls_has_no_steady_state() -> None:
    reasons = doubts(timing(*([100 + 2 * i] for i in range(8))))
    assert reasons == [
        reason for reason in reasons if "no steady state: speed fell by 7%" in reason
    ]
    assert len(reasons) == 1


def test_speed_that_goes_up_and_down_is_steady() -> None:
    assert doubts(timing(*([100 + 4 * (i % 2)] for i in range(8)))) == []


def test_power_is_energy_over_time_where_a_counter_runs(monkeypatch) -> None:
    moments = iter([0.0, 2.0, 10.0, 14.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(moments))
    readings = iter(Reading(energy_j=joules, power_w=99.0) for joules in (5, 11, 50, 62))
    meter = Meter(lambda: next(readings), lambda: None)
    for _ in range(2):
        with meter:
            pass
    assert meter.power_w == pytest.approx((6 + 12) / (2 + 4))


def test_power_is_the_mean_of_a_gauge_without_a_counter() -> None:
    readings = iter(Reading(power_w=watts) for watts in (1, 3, 1, 5))
    meter = Meter(lambda: next(readings))
    for _ in range(2):
        with meter:
            pass
    assert meter.power_w == 4


def test_power_without_a_sensor_is_unknown() -> None:
    meter = Meter(Reading)
    with meter:
        pass
    assert meter.power_w is None


def test_waiting_for_a_processor_is_a_share_of_the_time(monkeypatch) -> None:
    moments = iter([0.0, 2.0, 10.0, 14.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(moments))
    queued = iter([0, 10**9, 5 * 10**9, 7 * 10**9])
    meter = Meter(Reading, lambda: next(queued))
    for _ in range(2):
        with meter:
            pass
    assert meter.waited == pytest.approx((1 + 2) / (2 + 4))


def test_waiting_is_unknown_where_the_kernel_does_not_count_it(monkeypatch) -> None:
    monkeypatch.setattr(module, "_SCHEDSTAT", Path("/nowhere"))
    meter = Meter(Reading)
    with meter:
        pass
    assert meter.waited is None
    assert meter.timing([np.array([1])]).waited is None


def test_a_processor_that_others_use_too_is_said() -> None:
    steady = timing([100] * 50, [100] * 50)
    assert doubts(replace(steady, waited=0.04)) == []
    (reason,) = doubts(replace(steady, waited=0.72))
    assert "for 72% of the time other programs had the processor" in reason


def test_waiting_for_a_busy_processor_is_seen() -> None:
    """Two processes on one processor: each waits for about half of the time.

    Measured until it is seen: a whole machine may stand still, and then nobody waits.
    """
    processor = {min(os.sched_getaffinity(0))}
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, processor)
    words = [sys.executable, "-c", "print(flush=True)\nwhile True: pass"]
    rival = subprocess.Popen(words, stdout=subprocess.PIPE)
    try:
        assert rival.stdout.readline() == b"\n"
        waited, end = 0.0, time.monotonic() + 60
        while waited is not None and waited <= 0.2 and time.monotonic() < end:
            waited = waited_for_0_3_s()
    finally:
        rival.stdout.close()
        rival.kill()
        rival.wait()
        os.sched_setaffinity(0, before)
    if waited is None:
        pytest.skip("this kernel does not count how long threads wait")
    assert waited > 0.2


def waited_for_0_3_s() -> float | None:
    with Meter() as meter:
        end = time.perf_counter() + 0.3
        while time.perf_counter() < end:
            pass
    return meter.waited
