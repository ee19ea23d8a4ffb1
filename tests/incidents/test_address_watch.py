"""Who claims which address: poisoning is found, what networks do every day is not."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from idskit import Detector, open_flows
from idskit.decode.address_claims import CLAIM
from idskit.incidents.address_watch import MOST, MOST_SAVED, AddressWatch
from idskit.incidents.incident import Incident

ROUTER, VICTIM, THIEF = 0x02_00_00_00_00_01, 0x02_00_00_00_00_02, 0x02_00_00_00_00_66
GATEWAY, PHONE, LAPTOP = 0xC0A80101, 0xC0A80102, 0xC0A80166


def asks(at: float, mac: int, address: int, asked: int, vlan: int = 0) -> tuple[object, ...]:
    return int(at * 1e6), mac, address, asked, vlan, 0, 0


def answers(at: float, mac: int, address: int, to: int, vlan: int = 0) -> tuple[object, ...]:
    return int(at * 1e6), mac, address, to, vlan, 1, 1


def watched(claims: Iterable[tuple[object, ...]]) -> list[Incident]:
    watch = AddressWatch()
    found: list[Incident] = []
    for claim in claims:
        watch.observe(np.array([claim], CLAIM))
        found += watch.take()
    return found + watch.finish()


EVERYDAY = [
    asks(0, VICTIM, PHONE, GATEWAY),
    answers(0.1, ROUTER, GATEWAY, PHONE),
    asks(1, THIEF, LAPTOP, GATEWAY),
    answers(1.1, ROUTER, GATEWAY, LAPTOP),
]


def poisoned(times: int, start: float = 20) -> list[tuple[object, ...]]:
    return [answers(start + 2 * i, THIEF, GATEWAY, PHONE) for i in range(times)]


def test_questions_and_answers_are_nothing():
    assert watched(EVERYDAY * 50) == []


@pytest.mark.parametrize(
    ("times", "kinds"), [(2, []), (3, ["new", "end"]), (40, ["new", "update", "end"])]
)
def test_three_claims_of_an_address_that_another_device_holds(times: int, kinds: list[str]):
    found = watched(EVERYDAY + poisoned(times))
    assert [incident.type for incident in found] == kinds
    for incident in found:
        assert (incident.attacker, incident.target) == ("192.168.1.102", "192.168.1.1")
        assert (incident.family, incident.technique) == ("spoofing", "T1557.002")
        assert incident.evidence[0].name == "claims by 02:00:00:00:00:66"
        assert incident.explanation is not None
        assert "claimed the address of 192.168.1.1 by ARP" in incident.explanation.sentence
    assert len({incident.incident_id for incident in found}) <= 1


def test_both_ends_are_deceived_in_one_incident():
    both = [
        claim
        for i in range(6)
        for claim in (
            answers(20 + i, THIEF, GATEWAY, PHONE),
            answers(20 + i, THIEF, PHONE, GATEWAY),
        )
    ]
    found = watched(EVERYDAY + both)
    assert [(one.type, one.targets) for one in found] == [("new", 2), ("update", 2), ("end", 2)]


def test_the_holder_who_answers_is_not_the_thief():
    fought = [
        claim
        for i in range(9)
        for claim in (
            answers(20 + i, THIEF, GATEWAY, PHONE),
            asks(20.1 + i, VICTIM, PHONE, GATEWAY),
            answers(20.2 + i, ROUTER, GATEWAY, PHONE),
        )
    ]
    assert {one.attacker for one in watched(EVERYDAY + fought)} == {"192.168.1.102"}


def test_answers_that_nobody_asked_for():
    unseen = [answers(2.0 * i, THIEF, GATEWAY, PHONE) for i in range(6)]
    assert watched(unseen[:5]) == []
    (new, _) = watched(unseen)
    assert (new.type, new.attacker, new.target) == ("new", None, "192.168.1.1")


def test_a_lease_that_changes_hands_is_nothing():
    later = [asks(2000 + i, THIEF, PHONE, GATEWAY) for i in range(50)]
    assert watched(EVERYDAY + later) == []
    roamed = [asks(20 + 400 * i, THIEF if i % 2 else VICTIM, PHONE, GATEWAY) for i in range(6)]
    assert watched(EVERYDAY + roamed) == []


def test_the_same_address_on_two_vlans_is_nothing():
    tagged = [answers(20 + i, THIEF, GATEWAY, PHONE, vlan=7) for i in range(9)]
    asked = [asks(20 + i, VICTIM, PHONE, GATEWAY, vlan=7) for i in range(9)]
    mixed = sorted([*tagged, *asked], key=lambda claim: (claim[0], claim[5]))  # type: ignore[arg-type, return-value]
    assert watched(EVERYDAY + mixed) == []


def test_silence_ends_it_and_another_begins_anew():
    found = watched(EVERYDAY + poisoned(4) + [asks(3000, VICTIM, PHONE, GATEWAY)])
    assert [one.type for one in found] == ["new", "end"]
    assert found[1].ended_us == 26_000_000


def test_memory_is_bounded_whatever_is_claimed():
    watch = AddressWatch()
    rng = np.random.default_rng(0)
    claims = np.zeros(10 * MOST, CLAIM)
    for name in ("mac", "address", "asked"):
        claims[name] = rng.integers(1, 1 << 32, len(claims))
    claims["time_us"] = np.arange(len(claims))
    claims["is_reply"] = claims["is_for_one"] = rng.integers(0, 2, len(claims))
    watch.observe(claims)
    kept = (watch._holders, watch._asked, watch._own, watch._suspects)
    assert max(map(len, kept)) == MOST
    assert watch.take() == []


def restarted(watch: AddressWatch) -> AddressWatch:
    """Return the watch of the next start, which gets what was written."""
    return AddressWatch.from_state(json.loads(json.dumps(watch.to_state())))


def test_an_incident_goes_on_after_a_restart():
    watch = AddressWatch()
    watch.observe(np.array(EVERYDAY + poisoned(5), CLAIM))
    (new,) = watch.take()
    watch = restarted(watch)
    assert [one.incident_id for one in watch.open_incidents] == [new.incident_id]
    watch.observe(np.array(poisoned(20, start=40), CLAIM))
    found = [*watch.take(), *watch.finish()]
    assert [one.type for one in found] == ["update", "end"]
    assert {one.incident_id for one in found} == {new.incident_id}
    assert found[-1].evidence[0].value == 25
    assert found[-1].attacker == "192.168.1.102"


def test_a_thief_who_goes_on_after_a_restart_is_not_taken_for_the_holder():
    watch = AddressWatch()
    watch.observe(np.array(EVERYDAY, CLAIM))
    watch = restarted(watch)
    watch.observe(np.array(poisoned(3), CLAIM))
    assert [one.attacker for one in watch.take()] == ["192.168.1.102"]


def test_a_flood_of_claims_does_not_fill_the_state():
    watch = AddressWatch()
    flood = [asks(n / 1e3, n + 1, n + 1, GATEWAY) for n in range(3 * MOST_SAVED)]
    watch.observe(np.array(flood, CLAIM))
    assert len(json.dumps(watch.to_state())) < 40_000


@pytest.mark.parametrize("damage", ["now_us", "holders", "own", "suspects"])
def test_a_damaged_state_is_an_error_that_the_service_expects(damage: str):
    watch = AddressWatch()
    watch.observe(np.array(EVERYDAY + poisoned(5), CLAIM))
    for value in (None, [[]], "x", [{"mac": 1}]):
        with pytest.raises((KeyError, TypeError, ValueError)):
            AddressWatch.from_state(watch.to_state() | {damage: value})


@pytest.mark.parametrize(
    ("name", "macs"),
    [
        ("attack/samples_arpv2.pcap", {"00:0c:29:f1:1a:95"}),
        ("attack/samples_Wireshark-community-sample-ARP-spoofing.pcap", {"60:67:20:77:15:22"}),
        ("benign/malcolm_Syslog.pcap", set()),
        ("benign/samples_802.11-802.3wlan.pcapng", set()),
    ],
)
def test_captures_of_poisoning(shared: Path, name: str, macs: set[str]):
    detector = Detector.load()
    with open_flows(shared / "data" / "pcap" / "wild" / name, detector.flow_schema) as flows:
        found = [one for one in detector.incidents(flows) if one.family == "spoofing"]
    assert {one.evidence[0].name.removeprefix("claims by ") for one in found} == macs
