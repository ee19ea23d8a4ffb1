"""The last 24 hours of a host: what is counted, and what is drawn."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from tests.explain.test_card import EXPLAINED, incident, series
from tests.site.made_traffic import FIRST_HOUR, traffic

from idskit.explain import host_day as module
from idskit.explain.card import MOST_BYTES, card_page
from idskit.explain.host_day import HOURS, HostDay, HostDays, host_day
from idskit.site.case_peaks import HOUR_US

DEVICE = "192.168.1.20"


def of_device(first: int, last: int):
    """Return an incident of the device from one hour to another."""
    times = {
        "started_us": (FIRST_HOUR + first) * HOUR_US,
        "updated_us": (FIRST_HOUR + last) * HOUR_US,
    }
    return replace(incident(), device=DEVICE, **times)


def watched(*found) -> HostDays:
    days = HostDays()
    for one in found:
        days.observe(one.flows)
    return days


def test_flows_are_counted_by_hour_and_older_ones_are_dropped() -> None:
    days = watched(*(traffic(hour, 1 + hour) for hour in range(30)))
    day = days.of(of_device(28, 29))
    assert day is not None
    assert day.flows == tuple(range(7, 31))
    assert HostDay.from_json(json.loads(json.dumps(day.to_json()))) == day
    assert (day.last, list(day.incident)) == (FIRST_HOUR + 29, [FIRST_HOUR + 28, FIRST_HOUR + 29])


def test_hours_before_the_first_are_not_known() -> None:
    day = watched(traffic(1, 2), traffic(3, 5)).of(of_device(3, 3))
    assert day is not None
    assert day.flows == (2, 0, 5)


def test_nothing_is_known_of_others() -> None:
    days = watched(traffic(1, 2))
    assert days.of(replace(of_device(1, 1), device="192.168.1.99")) is None
    assert days.of(replace(of_device(1, 1), device=None)) is None
    assert days.of(replace(of_device(1, 1), device="93.184.216.34")) is None  # not local


def test_hosts_are_bounded_and_the_silent_ones_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_HOSTS", 4)
    days = HostDays()
    for number in range(10):
        days.observe(traffic(number, 1, src=f"192.168.1.{number}").flows)
        days.observe(traffic(number, 1).flows)
    assert days.evicted == 7
    day = days.of(of_device(0, 0))
    assert day is not None
    assert day.flows == (1,) * 10


def test_a_bar_for_each_hour_with_flows_and_another_colour_in_the_incident() -> None:
    drawn = host_day(HostDay(flows=(4, 0, 100, 1), last=50, incident=range(49, 51))).body
    heights = [float(found) for found in re.findall(r'height="([0-9.]+)"', drawn)]
    assert heights == [11.0, 110.0, 22.0]  # the latest first, by the root
    assert len(set(re.findall(r'fill="(#[0-9a-f]+)"', drawn))) == 2
    assert "20 h not seen" in drawn
    assert not host_day(HostDay(flows=(0, 0), last=50, incident=range(1)))


def test_the_card_with_every_picture_stays_small() -> None:
    day = HostDay(flows=(10**9,) * HOURS, last=500_000, incident=range(499_990, 500_001))
    page = card_page(EXPLAINED, incident=of_device(0, 1), flow=series(), day=day, threshold=0.9)
    assert page.count("<svg") == 3
    assert len(page.encode()) < MOST_BYTES
