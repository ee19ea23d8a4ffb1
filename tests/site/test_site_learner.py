"""What is learned of traffic, and what must not be."""

from __future__ import annotations

import numpy as np
import pytest
from tests.site.made_traffic import CLASSES, FIRST_HOUR, THRESHOLD, Traffic, traffic

from idskit.errors import IdskitError
from idskit.flow import VERDICT, address_number
from idskit.incidents.sequential.nats import OPENS
from idskit.schemas.gateway_columns import GATEWAY
from idskit.site.device_normal import MOST_CONTACTS, MOST_FLOWS, contact_text
from idskit.site.incident_budget import Budget
from idskit.site.site_learner import SiteLearner
from idskit.site.site_normal import SiteNormal

DEVICE = address_number("192.168.1.20")
DAY = Budget.parse("1/day")


def learned(*found: Traffic) -> SiteNormal:
    learner = SiteLearner(GATEWAY, CLASSES, THRESHOLD, model="m")
    for one in found:
        learner.observe(*one.parts)
    return learner.finish()


def scan(hour: float) -> Traffic:
    """Return connections to ten addresses that nobody answers."""
    found = traffic(hour, 10, port=22, answered=False, src_10m_new_failed=1.0)
    found.flows["dst_high"] = 0
    found.flows["dst_low"] = address_number("192.168.1.100") + np.arange(10)
    return found


def contacts(normal: SiteNormal) -> dict[str, list[int]]:
    return {contact_text(one): seen for one, seen in normal.devices[DEVICE].contacts.items()}


def test_hours_flows_and_contacts_are_counted() -> None:
    normal = learned(*(traffic(hour, 5) for hour in (0, 1, 2, 30)))
    device = normal.devices[DEVICE]
    assert (normal.hours, normal.flows, list(normal.devices)) == (4, 20, [DEVICE])
    assert (device.hours, device.flows, device.most_flows) == (4, 20, 5)
    assert (device.first, device.last) == (FIRST_HOUR, FIRST_HOUR + 30)
    assert contacts(normal) == {"to 443/tcp 93.184.216.0": [4, 20]}
    assert [hour for hour, count in enumerate(device.by_hour) if count] == [0, 1, 2, 6]
    assert device.by_hour[0] == 1


def test_a_contact_is_known_after_several_hours() -> None:
    assert learned(traffic(0, 50)).devices[DEVICE].known_contacts() == frozenset()
    several = learned(*(traffic(hour, 5) for hour in range(3)))
    assert len(several.levels(DAY).contacts[DEVICE]) == 1


def test_both_ends_are_devices_if_both_are_local_and_answer() -> None:
    normal = learned(traffic(0, 3, dst="192.168.1.5", port=22))
    assert set(normal.devices) == {DEVICE, address_number("192.168.1.5")}
    silent = learned(traffic(0, 3, dst="192.168.1.255", port=138, protocol=17, answered=False))
    assert set(silent.devices) == {DEVICE}  # nobody sends from a broadcast address


def test_a_flow_counts_once_however_many_rows_it_has() -> None:
    young = traffic(0, 4)
    young.flows["end"] = VERDICT
    old = traffic(0, 4)  # the same slots and serials
    assert learned(young, old).flows == 4
    assert learned(young).flows == 4  # one that got nothing more has no other row


def test_what_looks_like_an_attack_is_not_learned() -> None:
    quiet = [traffic(hour, 5) for hour in range(4)]
    weak = [traffic(hour + 0.1, 5, dst="203.0.113.9", score=0.87) for hour in range(4)]
    normal = learned(*(one + other for one, other in zip(quiet, weak, strict=True)))
    assert list(contacts(normal)) == ["to 443/tcp 93.184.216.0"]
    assert normal.left_out["they looked like an attack"] == 20


def test_other_flows_with_the_contact_of_an_attack_are_not_learned_either() -> None:
    mixed = [traffic(hour, 5) + traffic(hour + 0.1, 1, score=0.87) for hour in range(4)]
    assert contacts(learned(*mixed)) == {}


def test_an_hour_of_an_accused_device_is_not_learned() -> None:
    normal = learned(traffic(0, 5), traffic(1, 5) + scan(1.5), traffic(2, 5))
    assert normal.devices[DEVICE].hours == 2
    assert normal.left_out["hours of a device that was accused"] == 1
    assert normal.hours == 3


def test_what_would_have_been_an_incident_is_kept_as_a_peak() -> None:
    strong = traffic(5, 9, score=0.99, family="web")
    (peak,) = learned(traffic(0), strong).peaks
    assert (peak.family, peak.device, peak.service) == ("web", DEVICE, (6, 443))
    assert peak.nats > OPENS
    assert not peak.tested


def test_a_case_has_a_peak_for_each_time_it_was_active() -> None:
    strong = [traffic(hour, 9, score=0.99, family="web") for hour in (0, 0.1, 2)]
    assert len(learned(*strong, traffic(3)).peaks) == 2


def test_a_scan_in_learning_is_a_tested_peak_and_raises_no_threshold() -> None:
    normal = learned(*(scan(hour) for hour in range(24, 24 * 3)))
    assert len(normal.peaks) == 48
    assert all(peak.tested and peak.nats >= OPENS for peak in normal.peaks)
    assert normal.openings(DAY).nats == {}


def test_what_a_device_adds_in_an_hour_is_capped() -> None:
    flood = traffic(0, MOST_FLOWS + 500)
    normal = learned(flood)
    assert normal.devices[DEVICE].flows == MOST_FLOWS
    assert normal.left_out["more of a device or hour than are counted"] == 500
    many = [traffic(hour, 200) for hour in range(8)]
    for hour, found in enumerate(many):
        found.flows["dst_port"] = 200 * hour + np.arange(200)
    wide = learned(*many).to_json()["devices"][0]
    assert len(wide["contacts"]) <= MOST_CONTACTS


def test_a_clock_that_was_never_set_is_refused() -> None:
    unset = traffic(-FIRST_HOUR, 5)
    assert unset.flows["start_us"].max() < 86_400_000_000  # in 1970
    with pytest.raises(IdskitError, match="dated by a clock that is set"):
        learned(unset)
    normal = learned(unset, traffic(0))
    assert (normal.hours, normal.left_out["the clock was not set"]) == (1, 5)


def test_flows_that_could_not_be_judged_are_counted() -> None:
    unjudged = traffic(0, 3)
    unjudged.probabilities[:] = np.nan
    normal = learned(unjudged, traffic(1))
    assert normal.left_out["the model could not judge them"] == 3


def test_few_flows_state_no_threshold() -> None:
    openings = learned(traffic(0, 1)).openings(DAY)
    assert openings.nats == {}
    assert "23 more are needed" in openings.notes[0]


def test_usual_values_are_medians_of_hours() -> None:
    asked = [2.0, 4.0, 9.0]
    normal = learned(*(traffic(n, 3, dns_queries=value) for n, value in enumerate(asked)))
    assert normal.levels(DAY).device_usual[DEVICE]["name queries"] == 3 * np.median(asked)


def test_columns_have_medians_of_their_protocol() -> None:
    tcp = [traffic(hour, 8, fwd_payload=float(hour)) for hour in range(30)]
    udp = [
        traffic(hour, 8, protocol=17, src="192.168.1.9", is_udp=1.0, fwd_payload=1e6)
        for hour in range(30)
    ]
    columns = learned(*(one + other for one, other in zip(tcp, udp, strict=True))).columns
    at = GATEWAY.names.index("fwd_payload")
    assert columns["udp"]["p50"][at] == 1e6
    assert columns["tcp"]["p50"][at] == pytest.approx(np.median(np.repeat(range(30), 8)))


def test_the_same_traffic_gives_the_same_site() -> None:
    parts = [traffic(hour, 5) for hour in range(70)]
    assert learned(*parts).to_json() == learned(*parts).to_json()


def test_an_anonymous_site_names_nobody() -> None:
    strong = traffic(5, 9, score=0.99, family="web")
    text = str(learned(traffic(0), strong).anonymous().to_json())
    assert "192.168" not in text
    assert "93.184" not in text
