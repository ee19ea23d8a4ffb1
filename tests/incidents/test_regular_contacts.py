"""Contacts at regular intervals: what a timer makes of them, and when an incident opens."""

from __future__ import annotations

import random
from collections import deque

import numpy as np
import pytest
from tests.incidents.judged_flows import Judged, arrays, tracker

from idskit.incidents import regular_contacts
from idskit.incidents.regular_contacts import (
    LEAST,
    MERGED_US,
    MOST_PAIRS,
    TEST,
    Caller,
    RegularContacts,
    timer_nats,
)
from idskit.incidents.sequential.nats import OPENS
from idskit.incidents.tracker import SHIPPED_LEVELS, Levels

DEVICE, CONTROLLER = "192.168.1.20", "203.0.113.9"


class AllNew(Levels):
    """Levels of a site at which every contact is new."""

    knows_contacts = True

    def is_new_contact(self, flow: np.void) -> bool:
        return True


def contacts(times, **changes) -> list[Judged]:
    kept = {"src": DEVICE, "dst": CONTROLLER, "dport": 443, "score": 0.01, "packets": 5}
    return [
        Judged(at=at, sport=40_000 + n, slot=n, **(kept | changes)) for n, at in enumerate(times)
    ]


def beacon(number, period=60.0, jitter=0.3, seed=0) -> list[float]:
    chance = random.Random(seed)
    steps = [period * chance.uniform(1 - jitter, 1 + jitter) for _ in range(number)]
    return np.cumsum(steps).tolist()


def found(flows, levels=SHIPPED_LEVELS) -> list:
    at = tracker(levels)
    return [one for flow in flows for one in at.observe_flows(*arrays([flow]))]


@pytest.mark.parametrize("period", [5.0, 60.0, 3600.0])
def test_a_beacon_of_30_percent_jitter_is_found_within_20_contacts(period) -> None:
    for seed in range(10):
        opened = found(contacts(beacon(20, period, seed=seed)), AllNew())
        assert [one.type for one in opened][:1] == ["new"], seed


def test_calls_at_random_times_are_seldom_taken_for_a_timer() -> None:
    taken = 0
    for pair in range(300):
        caller, now = Caller(), 0
        chance = random.Random(pair)
        for _ in range(100):
            now += int(60e6 * chance.expovariate(1)) + MERGED_US
            caller.add(now)
            taken += caller.is_regular
    assert taken == 0


def test_a_call_that_failed_and_a_night_are_forgiven() -> None:
    times = beacon(24)
    del times[7]
    times = times[:15] + [at + 30_000 for at in times[15:]]
    assert timer_nats(deque(int(1e6 * at) for at in times)) >= OPENS


def test_nothing_is_regular_where_no_contact_is_new() -> None:
    assert found(contacts(beacon(100))) == []


def test_the_incident_counts_all_contacts_and_names_both_ends() -> None:
    opened = found(contacts(beacon(40)), AllNew())
    first = opened[0]
    assert (first.family, first.attacker, first.target) == ("malware", CONTROLLER, DEVICE)
    assert first.services == ("443/tcp",)
    assert LEAST <= first.flows <= 20
    assert first.evidence[0].name == TEST
    assert first.evidence[0].value == first.flows
    assert f"{DEVICE} called {CONTROLLER} {first.flows} times over HTTPS" in (
        first.explanation.sentence
    )
    assert opened[-1].incident_id == first.incident_id


def test_further_rows_of_a_flow_are_the_same_contact() -> None:
    flows = contacts(beacon(9))
    at = tracker(AllNew())
    assert not any(at.observe_flows(*arrays([flow] * 3)) for flow in flows)


@pytest.mark.parametrize(
    "changes",
    [
        {"dst": "192.168.1.5"},  # a lamp that its hub polls
        {"src": "198.51.100.7", "dst": DEVICE},
        {"packets": 1},  # refused
        {"answered": False},
        {"protocol": 1},
        {"protocol": 17, "dport": 123},
    ],
)
def test_who_cannot_be_a_controller_is_none(changes) -> None:
    assert found(contacts(beacon(40), **changes), AllNew()) == []


def test_a_burst_of_connections_is_one_contact() -> None:
    visits = [at + step for at in beacon(9) for step in (0, 0.05, 0.1, 0.15)]
    assert found(contacts(visits), AllNew()) == []


def test_memory_is_bounded_and_forged_pairs_evict_no_caller(monkeypatch) -> None:
    monkeypatch.setattr(regular_contacts, "MOST_PAIRS", 8)
    regular = RegularContacts()
    first, second, *times = beacon(40)
    got = []
    regular.observe(arrays(contacts([first, second]))[0])
    for n, at in enumerate(times):
        forged = [
            Judged(src=f"10.0.{n}.{one}", dst=CONTROLLER, at=at, packets=5) for one in range(20)
        ]
        rows = regular.observe(arrays([*forged, *contacts([at])])[0])
        got += [row for row in rows if row == len(forged)]
    assert len(got) >= 20
    assert len(regular._once) == 8 < MOST_PAIRS
    assert regular.evicted == 0
    for n in range(40):  # callers of several contacts are counted when they are dropped
        regular.observe(arrays(contacts([0.0, 60.0], dst=f"203.0.113.{100 + n}"))[0])
    assert len(regular._callers) == 8
    assert regular.evicted == 33


def test_a_caller_is_judged_again_when_it_goes_on() -> None:
    caller = Caller()
    for at in beacon(30):
        caller.add(int(1e6 * at))
    assert caller.is_regular
    chance, now = random.Random(1), int(1e6 * beacon(30)[-1])
    for _ in range(60):
        now += int(1e6 * chance.expovariate(1 / 60)) + 1
        caller.add(now)
    assert not caller.is_regular
