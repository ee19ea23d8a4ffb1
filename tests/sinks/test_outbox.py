"""The queue and the thread of a sink, with a destination that does what the test wants."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from tests.sinks.parts import HANG_S, incident, sink_of, until

from idskit.incidents.incident import Incident
from idskit.sinks import outbox
from idskit.sinks.incident_text import decoded, encoded
from idskit.sinks.outbox import Away, Destination, IncidentSink, Refused, Topic, delay_s
from idskit.sinks.spool import Spool


class Wanted(Destination):
    """A destination that fails as often as a test wants, or waits for the test."""

    name = "wanted"
    takes_lines = takes_states = True

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.got: list[str] = []
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()
        self.reopened = 0

    def _take(self, what: str) -> None:
        self.entered.set()
        self.open.wait()
        if self.failures:
            raise self.failures.pop(0)
        self.got.append(what)

    def deliver(self, found: Incident) -> None:
        self._take(found.incident_id)

    def send_lines(self, lines: list[str]) -> None:
        self._take(",".join(lines))

    def publish(self, topic: Topic, state: str) -> None:
        self._take(f"{topic}={state}")

    def reopen(self) -> None:
        self.reopened += 1


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "FIRST_DELAY_S", 0.001)
    monkeypatch.setattr(outbox, "LAST_DELAY_S", 0.01)


def ids(*numbers: int) -> list[str]:
    return [incident(number).incident_id for number in numbers]


def test_incidents_arrive_in_order_and_once() -> None:
    there = Wanted()
    with sink_of(there) as sink:
        for number in range(20):
            sink.offer(encoded(incident(number)))
    assert there.got == ids(*range(20))
    assert (sink.health().written, sink.health().waiting) == (20, 0)


def test_nobody_waits_for_a_receiver_that_hangs() -> None:
    there = Wanted()
    there.open.clear()
    with sink_of(there) as sink:
        sink.offer(encoded(incident()))
        assert there.entered.wait(HANG_S)
        for number in range(2, 500):  # would not come to an end if one of them waited
            sink.offer(encoded(incident(number)))
            sink.offer_line("x")
            sink.offer_state("open", str(number))
        assert sink.health().waiting == 499 + 498
        there.open.set()
    assert there.got[:499] == ids(*range(1, 500))


def test_an_outage_loses_nothing_and_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    there = Wanted(*[ConnectionRefusedError(111, "no")] * 20)
    with sink_of(there) as sink:
        sink.offer(encoded(incident(1)))
        sink.offer(encoded(incident(2)))
        until(lambda: sink.health().written == 2)
        until(lambda: sink.health().away is None)
    assert there.got == ids(1, 2)
    said = capsys.readouterr().err
    assert said.count("nothing can be sent: Connection refused") == 1
    assert said.count("what waited was sent") == 1


def test_an_incident_that_is_refused_three_times_is_lost_and_counted() -> None:
    there = Wanted(*[Refused("no")] * 3)
    with sink_of(there) as sink:
        sink.offer(encoded(incident(1)))
        sink.offer(encoded(incident(2)))
        until(lambda: there.got)
    assert there.got == ids(2)
    assert (sink.health().failed, sink.health().written) == (1, 1)


def test_a_fault_of_a_sink_ends_neither_it_nor_others(capsys: pytest.CaptureFixture[str]) -> None:
    there = Wanted(*[RuntimeError("a bug\x1b[2J")] * 3)
    with sink_of(there) as sink:
        sink.offer(encoded(incident(1)))
        sink.offer(encoded(incident(2)))
        until(lambda: there.got)
    assert there.got == ids(2)
    assert "RuntimeError: a bug\\x1b[2J" in capsys.readouterr().err


def test_what_could_not_be_sent_is_sent_after_a_restart(tmp_path: Path) -> None:
    with sink_of(Wanted(*[Away("away")] * 10_000), tmp_path / "s") as sink:
        for number in range(3):
            sink.offer(encoded(incident(number)))
    there = Wanted()
    with sink_of(there, tmp_path / "s"):
        until(lambda: len(there.got) == 3)
    assert there.got == ids(0, 1, 2)


def test_a_line_of_the_spool_that_is_no_incident_is_counted() -> None:
    there = Wanted()
    with sink_of(there) as sink:
        for text in (b"[]", b'{"incident_id":1}', b"[" * 100_000, b"nonsense", b'"text"'):
            sink.offer(text)
        sink.offer(encoded(incident(1)))
    assert (there.got, sink.health().damaged) == (ids(1), 5)


def test_lines_are_bounded_and_the_oldest_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "MOST_LINES", 5)
    there = Wanted()
    there.open.clear()
    with sink_of(there) as sink:
        sink.offer_line("first")
        assert there.entered.wait(HANG_S)
        for number in range(8):
            sink.offer_line(str(number))
        there.failures.append(Away("away"))  # so that the first one comes back to a full queue
        there.open.set()
        until(lambda: there.got)
    assert there.got == ["3,4,5,6,7"]
    assert (sink.health().dropped, sink.health().written) == (4, 5)


def test_only_the_latest_state_is_sent() -> None:
    there = Wanted()
    there.open.clear()
    with sink_of(there) as sink:
        sink.offer_state("open", "1")
        assert there.entered.wait(HANG_S)
        for number in range(2, 9):
            sink.offer_state("open", str(number))
        there.open.set()
    assert there.got == ["open=1", "open=8"]


def test_opening_anew_tries_a_receiver_that_is_away_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outbox, "FIRST_DELAY_S", 1000)
    monkeypatch.setattr(outbox, "LAST_DELAY_S", 1000)
    there = Wanted(Away("away"))
    with sink_of(there) as sink:
        sink.offer(encoded(incident(1)))
        until(lambda: sink.health().away)
        sink.reopen()
        until(lambda: there.got == ids(1))
    assert there.reopened == 1


def test_many_threads_offer_and_nothing_is_lost() -> None:
    there = Wanted()
    with sink_of(there) as sink:
        texts = [[encoded(incident(100 * n + m)) for m in range(100)] for n in range(8)]

        def offer(mine: list[bytes]) -> None:
            for text in mine:
                sink.offer(text)

        threads = [threading.Thread(target=offer, args=(mine,)) for mine in texts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(there.got) == sorted(ids(*range(800)))


def test_delays_double_up_to_a_bound_and_follow_the_receiver(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outbox, "FIRST_DELAY_S", 0.5)
    monkeypatch.setattr(outbox, "LAST_DELAY_S", 8.0)
    for failures, longest in ((0, 0.5), (1, 1.0), (3, 4.0), (4, 8.0), (10_000, 8.0)):
        delays = [delay_s(failures, OSError()) for _ in range(200)]
        assert longest / 2 <= min(delays) <= max(delays) <= longest
        assert len(set(delays)) > 100  # not all gateways at one moment
    assert delay_s(0, Away("later", retry_after_s=120)) == 120
    assert delay_s(0, Away("much later", retry_after_s=1e9)) == outbox.MOST_DELAY_S


def test_an_incident_is_the_same_after_encoding() -> None:
    found = incident(1, ended_us=None, explanation=None)
    assert decoded(encoded(found)) == found


def test_closing_does_not_wait_for_a_receiver_that_hangs() -> None:
    there = Wanted()
    there.open.clear()
    sink = IncidentSink(there, Spool(None))
    sink.offer(encoded(incident()))
    assert there.entered.wait(HANG_S)
    sink.close(0.05)  # comes back
    assert there.got == []
    there.open.set()
    sink.close(HANG_S)
    assert there.got == ids(1)
