"""One attack is one incident: whatever its labels, sources, batches and interruptions."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.incidents.judged_flows import (
    NOON,
    SECOND,
    Judged,
    arrays,
    incidents_of,
    observed,
    tracker,
)

from idskit.flow import CLOSE, VERDICT
from idskit.incidents import tracker as tracker_module
from idskit.incidents.incident import Incident


def ended(found: list[Incident]) -> list[Incident]:
    return [incident for incident in found if incident.type == "end"]


def flood(
    count: int, *, label: str = "flood", sources: int = 1, rate: float = 5000
) -> list[Judged]:
    return [
        Judged(
            src=f"198.18.{i % sources >> 8}.{i % sources & 255}",
            at=i / rate,
            label="flood",
            sport=i % 60_000,
            dport=80,
            answered=False,
        )
        for i in range(count)
    ]


@pytest.mark.parametrize("sources", [1, 7, 5000])
def test_a_flood_is_one_incident_of_few_lines(sources: int) -> None:
    found = incidents_of(flood(20_000, sources=sources))
    (whole,) = ended(found)
    assert (whole.family, whole.flows, whole.target) == ("flood", 20_000, "192.168.1.5")
    assert len(found) + 1 <= 7  # the first is an alert as well
    assert sources * 0.85 <= whole.attackers <= sources * 1.15  # a sketch beyond 256


def test_updates_come_at_powers_of_ten_and_a_second_apart() -> None:
    slow = incidents_of(flood(1200, rate=0.9))
    assert [i.flows for i in slow if i.type == "update"] == [10, 100, 1000]
    fast = [i for i in incidents_of(flood(20_000)) if i.type != "end"]
    times = [i.updated_us for i in fast]
    assert all(np.diff(times) >= SECOND)


def test_variants_of_the_label_are_one_incident() -> None:
    flows = flood(500)
    for flow in flows[100::7]:
        flow.label = "scan"
    (whole,) = ended(incidents_of(flows))
    assert (whole.family, whole.flows) == ("flood", 500)


def test_attacks_of_different_families_of_one_attacker_are_two_incidents() -> None:
    scan = [Judged(dst=f"192.168.1.{i}", at=i / 10, label="scan") for i in range(1, 40)]
    guesses = [
        Judged(dst="192.168.2.9", at=60 + i, label="guessing", columns={"login_refusals": 1})
        for i in range(20)
    ]
    assert Counter(i.family for i in ended(incidents_of(scan + guesses))) == {
        "scan": 1,
        "guessing": 1,
    }


def test_weak_flows_do_not_open_an_incident_unless_they_go_on() -> None:
    one = Judged(label="web", score=0.55, dport=80)
    assert incidents_of([one]) == []
    hour_apart = [Judged(label="web", score=0.55, at=3600.0 * i) for i in range(50)]
    assert incidents_of(hour_apart) == []
    many = [Judged(label="web", score=0.7, at=float(i)) for i in range(50)]
    assert len(ended(incidents_of(many))) == 1


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["scan", "flood", "web", "malware"]),
            st.integers(0, 5),
            st.integers(0, 5),
            st.floats(0, 2000),
        ),
        min_size=1,
        max_size=80,
    ),
    st.integers(1, 80),
)
def test_every_strong_flow_is_in_one_incident_however_it_is_batched(
    drawn: list[tuple[str, int, int, float]], batch: int
) -> None:
    flows = [
        Judged(label=label, src=f"192.0.2.{src}", dst=f"192.168.1.{dst}", at=at)
        for label, src, dst, at in sorted(drawn, key=lambda item: item[3])
    ]
    whole, parts = incidents_of(flows), incidents_of(flows, batch)
    assert sum(incident.flows for incident in ended(whole)) == len(flows)
    assert sum(incident.flows for incident in ended(parts)) == len(flows)
    started = {i.incident_id for i in whole if i.type == "new"}
    assert started == {i.incident_id for i in parts if i.type == "new"}
    assert Counter(i.incident_id for i in ended(whole)) == dict.fromkeys(started, 1)


@pytest.mark.parametrize(("score", "counted"), [(0.03, True), (0.01, False)])
def test_flows_just_below_the_threshold_count_in_an_incident_and_open_none(
    score: float, counted: bool
) -> None:
    near = [Judged(at=i / 10, score=score) for i in range(30)]
    assert incidents_of(near) == []
    ended = incidents_of([Judged(), *near])[-1]
    assert (ended.type, ended.flows) == ("end", 31 if counted else 1)


def test_silence_ends_an_incident_and_what_follows_is_another() -> None:
    made = tracker()
    found = observed(made, flood(100))
    assert [i.type for i in found] == ["new"]
    assert [i.type for i in made.advance(NOON + 901 * SECOND)] == ["end"]
    again = flood(100)
    for flow in again:
        flow.at += 1000
    assert [i.type for i in observed(made, again)] == ["new"]


def test_a_clock_that_is_set_back_ends_nothing() -> None:
    made = tracker()
    observed(made, flood(100))
    assert made.advance(NOON - 10**9 * SECOND) == []
    later = flood(100)
    for flow in later:
        flow.at -= 86_400
    assert [i.type for i in observed(made, later)] == []


def test_a_flow_that_is_judged_at_several_ages_is_one_flow() -> None:
    rows = [
        Judged(at=0, label="flood", end=end, slot=3, serial=17) for end in (VERDICT, VERDICT, CLOSE)
    ]
    (whole,) = ended(incidents_of(rows))
    assert whole.flows == 1
    replaced = [
        Judged(label="flood", end=end, slot=3, serial=n) for n in (1, 2) for end in (0, CLOSE)
    ]
    assert ended(incidents_of(replaced))[0].flows == 2


def test_a_restart_in_the_middle_goes_on_with_the_same_incident() -> None:
    first = tracker()
    (new,) = observed(first, flood(100, sources=3))
    second = tracker()
    second.restore(json.loads(json.dumps(first.to_state())))
    observed(second, flood(100, sources=3))
    (whole,) = second.finish()
    assert (whole.incident_id, whole.flows, whole.attackers) == (new.incident_id, 200, 3)
    assert whole.started_us == new.started_us


@pytest.mark.parametrize("damage", [{"open": [{}]}, {"open": 3}, {}, {"open": [{"family": "?"}]}])
def test_a_damaged_state_restores_nothing(damage: dict[str, object]) -> None:
    made = tracker()
    with pytest.raises((KeyError, TypeError, ValueError)):
        made.restore(damage)
    assert made.open_incidents == []


def test_spoofed_sources_and_targets_take_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracker_module, "MOST_SUSPECTED", 50)
    made = tracker()
    weak = [
        Judged(
            src=f"10.{i >> 8}.{i & 255}.1", dst=f"172.16.{i >> 8}.{i & 255}", score=0.55, at=i / 99
        )
        for i in range(3000)
    ]
    assert observed(made, weak) == []
    assert made.evicted == 2950
    sizes = [len(index) for index in (made._by_owner, made._by_shared, made._keys)]
    assert max(sizes) <= 51


def test_many_incidents_of_one_family_become_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracker_module, "MOST_OPENED", 5)
    flows = [
        Judged(src=f"198.51.{i >> 8}.{i & 255}", dst=f"192.168.{i >> 8}.{i & 255}", at=i / 10)
        for i in range(400)
    ]
    found = ended(incidents_of(flows))
    assert len(found) == 6
    assert sum(incident.flows for incident in found) == 400


def test_flows_that_cannot_be_judged_are_no_sign() -> None:
    records, features, probabilities = arrays([Judged()])
    probabilities[:] = np.nan
    assert tracker().observe_flows(records, features, probabilities) == []
