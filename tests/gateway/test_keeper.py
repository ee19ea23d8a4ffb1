"""Between detection and sinks: durable first, bounded, and right about the time."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gateway.live import HANG_S

from idskit.gateway.journal import Journal, read_journal
from idskit.gateway.keeper import HOLD_S, HostClock, IncidentQueue, Keeper
from idskit.gateway.state_folder import CheckedFile
from idskit.incidents.incident import Incident

KEEP = 4 << 20
NOW_US = 1_800_000_000_000_000  # 2027


def incident(number: int = 0, kind: Any = "new", **more: Any) -> Incident:
    given = {"severity": 2, "started_us": NOW_US, "updated_us": NOW_US + 5} | more
    return Incident(
        incident_id=f"i{number}",
        type=kind,
        family="scan",
        technique="T1046",
        confidence=0.9,
        **given,
    )


def until(is_so: Callable[[], Any]) -> Any:
    """Wait until something is so, and return what it is."""
    deadline = time.monotonic() + HANG_S
    while not (found := is_so()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


class Told:
    """A receiver that takes down what it gets, and what is on disk by then."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.got: list[tuple[str, str]] = []
        self.unkept: list[str] = []
        self.synced_before: list[int] = []

    def __call__(self, one: Incident) -> None:
        if one.incident_id not in read_journal(self.folder).incidents:
            self.unkept.append(one.incident_id)
        self.got.append((one.incident_id, one.type))

    def until(self, count: int) -> None:
        until(lambda: len(self.got) >= count)


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path)


@pytest.fixture
def start(tmp_path: Path, told: Told) -> Any:
    opened: list[Keeper] = []

    def make(clock: HostClock | None = None) -> Keeper:
        made = Keeper(Journal(tmp_path, KEEP), CheckedFile(tmp_path, "tracker"), told, clock)
        opened.append(made)
        return made

    yield make
    for one in opened:
        if one._thread.is_alive():
            one.close(HANG_S)


Start = Callable[..., Keeper]


def test_what_a_sink_gets_is_kept_and_synced_before(
    start: Start, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    sync = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda fd: (order.append("sync"), sync(fd)))
    keeper = start()
    keeper.put([incident(1)])
    told.until(1)
    assert order == ["sync"]
    keeper.put([incident(1, "update"), incident(1, "end")])
    told.until(3)
    assert (order, told.unkept) == (["sync"], [])  # one fsync: only what is new is urgent


def test_incidents_that_no_sink_got_before_a_kill_are_told_again(
    tmp_path: Path, start: Start, told: Told
) -> None:
    journal = Journal(tmp_path, KEEP)  # of a service that was killed right after it wrote
    journal.append([{"incident": incident(number).to_json()} for number in range(3)])
    os.close(journal._fd)
    keeper = start()
    told.until(3)
    keeper.close(HANG_S)
    told.got.clear()
    start().put([incident(9)])
    told.until(1)
    assert told.got == [("i9", "new")]  # after a clean end nothing is told twice


def test_an_incident_that_was_open_at_a_kill_and_is_not_known_now_has_ended(
    start: Start, told: Told
) -> None:
    keeper = start()
    keeper.put([incident(1), incident(2), incident(3), incident(3, "end")])
    told.until(4)
    keeper.close(HANG_S)
    ends = start().interrupted({"i2"})
    assert [(one.incident_id, one.type, one.ended_us) for one in ends] == [
        ("i1", "end", NOW_US + 5)
    ]


def test_a_full_disk_stops_no_incident_and_is_said(
    start: Start, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = start()

    def write(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", write)
        keeper.put([incident(1)])
        told.until(1)
        assert keeper.problem == "the state cannot be written: No space left on device"
        assert keeper.counters()["incidents_not_kept"] == 1
    keeper.put([incident(2)])
    told.until(2)
    assert keeper.problem == ""


def test_an_error_that_nobody_foresaw_does_not_end_the_thread(
    start: Start, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = start()
    with monkeypatch.context() as patched:
        patched.setattr(Incident, "to_json", lambda self: 1 / 0)
        keeper.put([incident(1)])
        until(lambda: keeper.problem)
    assert "ZeroDivisionError" in keeper.problem
    keeper.put([incident(2)])
    told.until(1)
    until(lambda: keeper.open_incidents == 1)
    assert told.got == [("i2", "new")]


def test_the_loop_never_waits_for_a_slow_receiver(tmp_path: Path) -> None:
    gate = threading.Event()
    keeper = Keeper(
        Journal(tmp_path, KEEP), CheckedFile(tmp_path, "tracker"), lambda _: gate.wait()
    )
    for number in range(3_000):  # would not come to an end if one of them waited
        keeper.put([incident(number, "update")])
    gate.set()
    keeper.close(HANG_S)
    assert keeper.counters()["incidents_shed_update"] >= 1_500


@given(st.lists(st.sampled_from(["new", "update", "end"]), max_size=60))
def test_the_queue_sheds_updates_then_ends_then_new_ones_and_counts_each(kinds: list[str]) -> None:
    queue, room = IncidentQueue(8), 8
    for number, kind in enumerate(kinds):
        queue.put(incident(number, kind))
        assert len(queue) <= room
    left = [one.type for one in queue.take(99)]
    assert len(left) + sum(queue.shed.values()) == len(kinds)
    last = kinds[-1:] if kinds else []
    if "new" in queue.shed:
        assert set(left[:-1]) <= {"new"}  # nothing less important is kept instead
    if queue.shed and "update" in left[:-1]:
        assert queue.shed.keys() <= {"update"}
    assert left[-1:] == last


class FakeClock:
    """A clock that a test sets."""

    def __init__(self, now_us: int) -> None:
        self.now_us, self.elapsed_us = now_us, 0

    def host(self) -> HostClock:
        return HostClock(lambda: self.now_us * 1000, lambda: self.elapsed_us * 1000)

    def passes(self, us: int, jump: int = 0) -> None:
        self.elapsed_us += us
        self.now_us += us + jump


def test_incidents_wait_for_the_date_and_get_the_right_times(start: Start, told: Told) -> None:
    time_us = FakeClock(40_000_000)  # 1970, 40 s after the start of the machine
    keeper = start(time_us.host())
    assert "1970-01-01" in keeper.clock.problem()
    keeper.put([incident(1, started_us=41_000_000, updated_us=42_000_000)])
    time.sleep(0.2)
    assert told.got == []
    time_us.passes(10_000_000, jump=NOW_US)
    keeper.put([incident(2, started_us=NOW_US + 50_000_000, updated_us=NOW_US + 50_000_000)])
    told.until(2)
    times = {one["incident_id"]: one["started"] for one in keeper.incidents(9)}
    assert times["i1"] == "2027-01-15T08:00:41.000000+0000"  # 41 s after 2027-01-15 08:00
    assert times["i2"] == "2027-01-15T08:00:50.000000+0000"
    assert keeper.clock.problem() == ""
    keeper.put([incident(1, "end", started_us=41_000_000, updated_us=NOW_US + 60_000_000)])
    told.until(3)
    (ended,) = [one for one in keeper.incidents(9) if one["type"] == "end"]
    assert ended["started"] == times["i1"]


def test_without_a_date_incidents_go_out_marked_after_a_while(start: Start, told: Told) -> None:
    time_us = FakeClock(40_000_000)
    keeper = start(time_us.host())
    keeper.put([incident(1, started_us=41_000_000, updated_us=42_000_000)])
    time_us.passes(int(HOLD_S * 1e6) + 1)
    told.until(1)
    (one,) = keeper.incidents(9)
    assert "clock was not set" in one["evidence"][-1]["name"]


def test_a_clock_that_is_set_moves_nothing() -> None:
    time_us = FakeClock(NOW_US)
    clock = time_us.host()
    time_us.passes(1_000_000, jump=3_600_000_000)  # summer time, a correction
    one = incident(1)
    assert clock.corrected(one) is one
    old = incident(1, started_us=1_500_000_000_000_000)  # of a capture that is replayed
    assert clock.corrected(old) is old


def test_the_state_of_the_tracker_is_written_once_in_a_while(start: Start, tmp_path: Path) -> None:
    keeper = start()
    assert not keeper.wants_state(is_urgent=False)
    assert keeper.wants_state(is_urgent=True)  # an incident began
    keeper.put_state({"open": [1]})
    assert not keeper.wants_state(is_urgent=True)  # the next one waits
    assert until(CheckedFile(tmp_path, "tracker").read) == {"open": [1]}
    keeper.put_state({"open": [2]}, is_last=True)
    keeper.close(HANG_S)
    assert keeper.earlier_state() == ({"open": [2]}, "")
