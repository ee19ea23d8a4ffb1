"""Alerts and their EVE lines."""

import json
from datetime import datetime
from ipaddress import ip_address
from typing import Any

import pytest

from idskit.detect.alert import Alert, Flow, eve_time


def make_flow(**changed: Any) -> Flow:
    fields = {
        "src": ip_address("192.168.1.52"),
        "dst": ip_address("8.8.8.8"),
        "src_port": 54585,
        "dst_port": 53,
        "protocol": 17,
        "icmp_type": None,
        "icmp_code": None,
        "start_us": 1_491_600_280_000_001,
        "end_us": 1_491_600_282_251_547,
        "fwd_packets": 3,
        "bwd_packets": 2,
        "fwd_bytes": 300,
        "bwd_bytes": 900,
    }
    return Flow(**(fields | changed))


def make_alert(**changed: Any) -> Alert:
    fields = {
        "flow": make_flow(),
        "row": 0,
        "label": "udp flood",
        "score": 0.91,
        "threshold": 0.5,
        "model": "0123456789ab",
    }
    return Alert(**(fields | changed))


def eve(alert: Alert) -> dict[str, Any]:
    return json.loads(alert.to_eve())


def test_an_eve_line_holds_the_conventional_fields() -> None:
    assert eve(make_alert()) == {
        "timestamp": "2017-04-07T21:24:42.251547+0000",
        "flow_id": make_flow().flow_id,
        "event_type": "alert",
        "src_ip": "192.168.1.52",
        "src_port": 54585,
        "dest_ip": "8.8.8.8",
        "dest_port": 53,
        "proto": "UDP",
        "community_id": "1:d/FP5EW3wiY1vCndhwleRRKHowQ=",
        "alert": {
            "action": "allowed",
            "gid": 7411,
            "signature_id": make_alert().signature_id,
            "rev": 1,
            "signature": "idskit udp flood",
            "category": "Attempted Denial of Service",
            "severity": 2,
        },
        "flow": {
            "pkts_toserver": 3,
            "pkts_toclient": 2,
            "bytes_toserver": 300,
            "bytes_toclient": 900,
            "start": "2017-04-07T21:24:40.000001+0000",
            "age": 2,
        },
        "idskit": {
            "label": "udp flood",
            "score": 0.91,
            "threshold": 0.5,
            "model": "0123456789ab",
            "row": 0,
        },
    }


def test_an_alert_says_when_its_flow_was_judged() -> None:
    assert eve(make_alert(flow=make_flow(end="verdict")))["idskit"]["end"] == "verdict"


def test_an_eve_line_is_one_line() -> None:
    assert "\n" not in make_alert(label="two\nlines").to_eve()


def test_its_time_is_read_by_the_standard_library() -> None:
    written = datetime.strptime(eve(make_alert())["timestamp"], "%Y-%m-%dT%H:%M:%S.%f%z")
    assert round(written.timestamp() * 1e6) == make_flow().end_us


def test_times_before_the_epoch_keep_their_microseconds() -> None:
    assert eve_time(-1) == "1969-12-31T23:59:59.999999+0000"


@pytest.mark.parametrize(
    ("protocol", "name"),
    [(1, "ICMP"), (6, "TCP"), (17, "UDP"), (58, "IPv6-ICMP"), (132, "SCTP"), (47, "47")],
)
def test_protocols_have_suricatas_names(protocol: int, name: str) -> None:
    assert eve(make_alert(flow=make_flow(protocol=protocol)))["proto"] == name


def test_icmp_has_type_and_code_in_place_of_ports() -> None:
    ping = make_flow(
        src=ip_address("192.168.0.89"),
        dst=ip_address("192.168.0.1"),
        protocol=1,
        src_port=0,
        dst_port=0,
        icmp_type=8,
        icmp_code=0,
    )
    event = eve(make_alert(flow=ping))
    assert (event["icmp_type"], event["icmp_code"]) == (8, 0)
    assert event["community_id"] == "1:X0snYXpgwiv9TZtqg64sgzUn6Dk="
    assert not {"src_port", "dest_port"} & set(event)


def test_icmp_of_unknown_type_has_no_community_id() -> None:
    event = eve(make_alert(flow=make_flow(protocol=1, src_port=0, dst_port=0)))
    assert event["proto"] == "ICMP"
    assert not {"community_id", "icmp_type"} & set(event)


def test_a_row_without_addresses_invents_none() -> None:
    assert set(eve(make_alert(flow=None))) == {"event_type", "alert", "idskit"}


def test_flow_id_survives_readers_that_know_only_doubles() -> None:
    number = make_flow().flow_id
    assert 0 <= number < 2**51
    assert int(float(number)) == number


def test_flow_id_tells_two_flows_of_one_connection_apart() -> None:
    assert make_flow().flow_id != make_flow(start_us=5).flow_id


def test_signature_id_is_stable_and_local() -> None:
    numbers = {make_alert(label=name).signature_id for name in ("syn flood", "port scan", "c2")}
    assert len(numbers) == 3
    assert all(1_000_000 <= number < 2_000_000 for number in numbers)


@pytest.mark.parametrize(
    ("label", "severity"),
    [
        ("ddos-syn-flood", 2),
        ("port-scan", 3),
        ("brute-force-ssh", 1),
        ("malware-c2", 1),
        ("web-sql-injection", 1),
        ("exfiltration-dns", 2),
        ("attack", 2),
    ],
)
def test_severity_follows_the_kind_of_attack(label: str, severity: int) -> None:
    assert make_alert(label=label).severity == severity
