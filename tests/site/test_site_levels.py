"""What the tracker does with the levels of a site."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.site.made_traffic import CLASSES, THRESHOLD, Traffic, traffic

from idskit.flow import address_number
from idskit.incidents.evidence import STRONG
from idskit.incidents.sequential.nats import OPENS
from idskit.incidents.tracker import SHIPPED_LEVELS, IncidentTracker
from idskit.schemas.gateway_columns import GATEWAY
from idskit.site.device_normal import STEADY_HOURS
from idskit.site.incident_budget import DEFAULT_BUDGET
from idskit.site.site_learner import SiteLearner
from idskit.site.site_levels import SiteLevels, contacts_of

DEVICE = address_number("192.168.1.20")


def weighing(nats: float, **ends: str) -> Traffic:
    """Return eight flows that weigh so many nats together."""
    odds = math.log(THRESHOLD / (1 - THRESHOLD)) + nats / 8 * STRONG / OPENS
    return traffic(0, 8, score=1 / (1 + math.exp(-odds)), **ends)  # type: ignore[arg-type]


def incidents(found, levels=SHIPPED_LEVELS):
    tracker = IncidentTracker(GATEWAY, CLASSES, THRESHOLD, levels)
    tracker.observe_flows(*found.parts)
    return tracker.finish()


def known(found) -> SiteLevels:
    return SiteLevels(contacts={DEVICE: frozenset([contacts_of(found.flows[0])[0][1]])})


@pytest.mark.parametrize("nats", [OPENS - 2, OPENS + 2])
def test_the_nats_of_a_family_decide(nats) -> None:
    found = weighing(nats)
    assert len(incidents(found)) == (nats > OPENS)
    assert len(incidents(found, SiteLevels(nats={"malware": OPENS + 4}))) == 0
    assert len(incidents(found, SiteLevels(nats={"malware": OPENS / 2}))) == 1
    assert len(incidents(found, SiteLevels(nats={"web": OPENS / 2}))) == (nats > OPENS)


def test_while_a_budget_burns_more_evidence_is_needed() -> None:
    found = weighing(20)
    assert len(incidents(found, SiteLevels(factor=1.5))) == 1
    assert incidents(found, SiteLevels(factor=2.0)) == []


def test_a_level_of_a_device_is_for_that_device() -> None:
    levels = SiteLevels(device_nats={(DEVICE, "malware"): 30.0})
    assert incidents(weighing(20), levels) == []
    assert len(incidents(weighing(20, src="192.168.1.21"), levels)) == 1


def test_a_flow_to_a_known_contact_weighs_half() -> None:
    found = weighing(20)
    assert len(incidents(found)) == 1
    assert incidents(found, known(found)) == []
    elsewhere = weighing(20, dst="93.184.217.34")
    assert len(incidents(elsewhere, known(found))) == 1


def test_a_flow_that_is_much_like_an_attack_weighs_all() -> None:
    found = weighing(2 * OPENS + 1)
    assert len(incidents(found, known(found))) == 1


def test_what_a_test_counts_weighs_all() -> None:
    found = traffic(0, 9, port=22, dst="192.168.1.5", login_refusals=1.0)
    assert len(incidents(found, known(found))) == len(incidents(found)) == 1


def test_what_was_said_changes_what_is_alike() -> None:
    found, service = weighing(20), (6, 443)
    for factor, number in ((0.5, 1), (2.0, 0), (math.inf, 0)):
        levels = SiteLevels(said={("malware", DEVICE, service): factor})
        assert len(incidents(found, levels)) == number
        other = SiteLevels(said={("malware", DEVICE, (6, 80)): factor})
        assert len(incidents(found, other)) == 1


def test_evidence_says_what_is_usual_here() -> None:
    found = traffic(0, 9, port=22, dst="192.168.1.5", login_refusals=1.0, src_10s_flows=40.0)
    usual = {"flows of the source": 3.0}
    levels = SiteLevels(usual={"flows of the source": 9.0}, device_usual={DEVICE: usual})
    (incident,) = incidents(found, levels)
    said = {item.name: item.usual for item in incident.evidence}
    assert said["refused logins"] == 0.0  # the test that counts them; nothing it found was learned
    assert said["flows of the source"] == 9.0  # of the target, which has no level of its own
    (plain,) = incidents(found)
    assert {item.usual for item in plain.evidence} == {None}


def test_contacts_are_of_local_devices_only() -> None:
    both = contacts_of(traffic(0, 1, dst="192.168.1.5").flows[0])
    assert [(device == DEVICE, contact.inbound) for device, contact in both] == [
        (True, False),
        (False, True),
    ]
    assert contacts_of(traffic(0, 1, src="8.8.8.8").flows[0]) == []


def test_networks_are_of_24_and_48_bits() -> None:
    near = [contacts_of(traffic(0, 1, dst=f"93.184.216.{n}").flows[0]) for n in (1, 200)]
    assert near[0] == near[1]
    six = [
        contacts_of(traffic(0, 1, src="fd00::1", dst=f"2001:db8:1:{n}::1").flows[0]) for n in (1, 2)
    ]
    assert six[0] == six[1]
    far = contacts_of(traffic(0, 1, src="fd00::1", dst="2001:db8:2:1::1").flows[0])
    assert far != six[0]


def beacon(hour: float, **changes) -> Traffic:
    """Return twenty calls, each a minute, of the device to a host that nobody called before."""
    found = traffic(hour, 20, **({"dst": "203.0.113.9", "port": 8443} | changes))
    found.flows["start_us"] += np.arange(20) * 59_000_000
    found.flows["end_us"] = found.flows["start_us"] + 500_000
    return found


def learned(*extra: Traffic, hours: int = STEADY_HOURS) -> SiteLevels:
    """Return the levels of a site at which the device called one service each hour."""
    learner = SiteLearner(GATEWAY, CLASSES, THRESHOLD)
    for hour in range(hours):
        learner.observe(*traffic(hour).parts)
    for found in extra:
        learner.observe(*found.parts)
    return learner.finish().levels(DEFAULT_BUDGET)


def test_a_timer_to_a_new_contact_of_a_steady_device_is_an_incident() -> None:
    (one,) = incidents(beacon(100), learned())
    assert (one.family, one.attacker, one.device) == ("malware", "203.0.113.9", "192.168.1.20")
    assert one.flows == 20
    assert one.explanation.sentence == (
        "192.168.1.20 called 203.0.113.9 20 times over 8443/tcp in 19 min, as malware calls its "
        "controller; usual here: 0."
    )
    assert incidents(beacon(100)) == []


def test_no_timer_to_a_contact_of_the_house_is_an_incident() -> None:
    other = beacon(STEADY_HOURS, src="192.168.1.30")  # another device had it, once
    assert incidents(beacon(100), learned(other)) == []
    near = beacon(STEADY_HOURS, dst="203.0.113.77")  # the same network
    assert incidents(beacon(100), learned(near)) == []
    elsewhere = beacon(STEADY_HOURS, port=9443)
    assert len(incidents(beacon(100), learned(elsewhere))) == 1


def test_nothing_is_new_of_a_device_that_always_has_something_new() -> None:
    laptop = [traffic(hour, 1, dst=f"93.184.{hour}.9") for hour in range(STEADY_HOURS, 60)]
    assert incidents(beacon(100), learned(*laptop)) == []
    assert incidents(beacon(100), learned(hours=STEADY_HOURS - 1)) == []
    assert incidents(beacon(100, src="192.168.1.99"), learned()) == []
