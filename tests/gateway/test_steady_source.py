"""Interfaces that come and go, without a packet: when they are tried again, and what is said."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from idskit.errors import CaptureError
from idskit.gateway import steady_source
from idskit.gateway.steady_source import LONGEST_PAUSE_S, Interface, SteadySource, is_up


class System:
    """An interface whose state a test sets, and a clock that it moves."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.up: bool | None = True
        self.works = True
        self.opened: list[float] = []

    def open(self, name: str, *, filter: str | None = None) -> Any:
        self.opened.append(self.now_s)
        if not (self.up and self.works):
            raise CaptureError("no")
        return SimpleNamespace(seen=5, dropped=1, close=lambda: None)


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> System:
    made = System()
    monkeypatch.setattr(steady_source, "open_interface", made.open)
    monkeypatch.setattr(steady_source, "is_up", lambda name: made.up)
    monkeypatch.setattr(steady_source.time, "monotonic", lambda: made.now_s)
    return made


def passes(system: System, one: Interface, seconds: int) -> None:
    for _ in range(seconds):
        system.now_s += 1
        one.look()
        one.opened(None)


def test_one_that_is_away_is_tried_ever_less_often_and_at_once_when_it_is_up(
    system: System,
) -> None:
    one = Interface(name="x0")
    assert one.opened(None) is not None
    system.up = None
    one.lose()
    assert one.why_blind == "disappeared"
    system.opened.clear()
    passes(system, one, 400)
    gaps = [after - before for before, after in zip(system.opened, system.opened[1:], strict=False)]
    assert gaps[:4] == [2, 4, 8, 16]
    assert max(gaps) == LONGEST_PAUSE_S
    assert one.why_blind == "is not there"
    system.up = True
    passes(system, one, 1)
    assert (one.why_blind, one.seen, one.dropped) == ("", 10, 2)  # of both rings


def test_one_that_is_switched_off_and_on_keeps_its_ring(system: System) -> None:
    one = Interface(name="x0")
    ring = one.opened(None)
    system.up = False
    passes(system, one, 3)
    assert one.why_blind == "is down"
    assert one.blind_since_s == 101.0
    system.up = True
    passes(system, one, 1)
    assert (one.why_blind, one.opened(None)) == ("", ring)


def test_one_that_is_up_and_cannot_be_read_ends_the_start_and_not_the_service(
    system: System,
) -> None:
    system.works = False
    with pytest.raises(CaptureError):
        Interface(name="x0").opened(None)
    system.works = True
    one = Interface(name="x0")
    one.opened(None)
    one.lose()
    system.works = False
    passes(system, one, 3)
    assert one.why_blind == "cannot be read"


@pytest.mark.parametrize("names", [(), ("lo", "lo"), tuple(f"x{n}" for n in range(17))])
def test_wrong_lists_of_interfaces_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(CaptureError, match="each once"):
        SteadySource(names, lambda: None)


def test_the_system_is_asked_which_interfaces_are_up() -> None:
    assert is_up("lo") in (True, False)
    assert is_up("no-such-if") is None
