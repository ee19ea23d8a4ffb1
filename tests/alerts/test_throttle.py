"""The bound on lines, against a naive count over the same times."""

from __future__ import annotations

import random

import pytest

from idskit.alerts.throttle import BURST, PER_SECOND, Throttle

SECOND = 1_000_000


def written(times_us: list[int], label: str = "flood") -> int:
    throttle = Throttle()
    return sum(throttle.admits(label, now_us=time) is not None for time in times_us)


def test_a_flood_at_one_moment_writes_a_burst() -> None:
    assert written([0] * 200_000) == BURST == 1000


@pytest.mark.parametrize("rate", [2, 100])
def test_a_long_flood_writes_a_burst_and_then_one_line_a_second(rate: int) -> None:
    seconds = 3000
    times = [i * SECOND // rate for i in range(rate * seconds)]
    assert BURST + seconds - 2 <= written(times) <= BURST + seconds


def test_what_comes_no_faster_than_a_line_a_second_is_never_withheld() -> None:
    times = [i * SECOND for i in range(5000)]
    assert PER_SECOND == 1
    assert written(times) == len(times)


def test_a_quiet_while_gives_no_more_than_a_burst_again() -> None:
    assert written([0] * 5000 + [10**6 * SECOND] * 5000) == 2 * BURST


def test_times_that_jump_about_give_no_lines_twice() -> None:
    draw = random.Random(5)
    times = [draw.randrange(600 * SECOND) for _ in range(50_000)]
    assert written(times) <= BURST + 600
    back_and_forth = [0, 3600 * SECOND] * 5000
    assert written(back_and_forth) <= 2 * BURST


@pytest.mark.parametrize("end", [-(2**63), 2**63 - 1])
def test_times_at_the_ends_of_64_bits(end: int) -> None:
    assert written([end] * 2000 + [0] * 2000 + [end] * 2000) <= 2 * BURST


def test_one_label_does_not_use_up_the_lines_of_another() -> None:
    throttle = Throttle()
    for _ in range(2 * BURST):
        throttle.admits("flood", now_us=0)
    assert throttle.admits("scan", now_us=0) == 0
    assert throttle.withheld == {"flood": BURST}


def test_the_next_line_says_how_many_were_withheld_before_it() -> None:
    throttle = Throttle()
    for _ in range(BURST + 7):
        throttle.admits("flood", now_us=0)
    assert throttle.admits("flood", now_us=SECOND) == 7
    assert throttle.admits("flood", now_us=SECOND) is None
    assert throttle.admits("flood", now_us=2 * SECOND) == 1
    assert throttle.withheld["flood"] == 8
