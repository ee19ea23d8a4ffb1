"""Alerts and their EVE lines."""

import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from idskit.alerts.alert import Alert, Flow
from idskit.alerts.eve import Origin, eve_time
from idskit.alerts.protocol_names import NAMES
from idskit.flow import FLOW


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


def eve(alert: Alert, *args: Any, **given: Any) -> dict[str, Any]:
    return json.loads(alert.to_eve(*args, **given))


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
        "ip_v": 4,
        "community_id": "1:d/FP5EW3wiY1vCndhwleRRKHowQ=",
        "host": socket.gethostname(),
        "alert": {
            "action": "allowed",
            "gid": 7411,
            "signature_id": make_alert().signature_id,
            "rev": 1,
            "signature": "idskit udp flood",
            "category": "Attempted Denial of Service",
            "severity": 3,
            "metadata": {"signature_severity": ["Major"]},
            "source": {"ip": "192.168.1.52", "port": 54585},
            "target": {"ip": "8.8.8.8", "port": 53},
            "context": {
                "idskit": {
                    "label": "udp flood",
                    "score": 0.91,
                    "threshold": 0.5,
                    "model": "0123456789ab",
                    "row": 0,
                },
            },
        },
        "flow": {
            "pkts_toserver": 3,
            "pkts_toclient": 2,
            "bytes_toserver": 300,
            "bytes_toclient": 900,
            "start": "2017-04-07T21:24:40.000001+0000",
            "end": "2017-04-07T21:24:42.251547+0000",
            "age": 2,
            "state": "established",
        },
    }


def test_an_alert_says_when_its_flow_was_judged() -> None:
    alert = eve(make_alert(flow=make_flow(end="verdict")))["alert"]
    assert alert["context"]["idskit"]["end"] == "verdict"


@pytest.mark.parametrize(
    ("end", "answers", "state", "reason"),
    [
        ("verdict", 2, "established", None),  # it goes on
        ("verdict", 0, "new", None),
        ("idle", 0, "new", "timeout"),
        ("age", 1, "established", "timeout"),
        ("close", 1, "closed", "timeout"),
        ("replaced", 1, "closed", "tcp_reuse"),
        ("evicted", 0, "new", "forced"),
        ("capture_end", 3, "established", "shutdown"),
        (None, 3, "established", None),
    ],
)
def test_state_and_reason_are_suricatas_words(
    end: str | None, answers: int, state: str, reason: str | None
) -> None:
    flow = eve(make_alert(flow=make_flow(end=end, bwd_packets=answers)))["flow"]
    assert (flow["state"], flow.get("reason")) == (state, reason)


def test_a_flow_whose_clock_was_set_back_has_no_negative_age() -> None:
    assert eve(make_alert(flow=make_flow(end_us=5)))["flow"]["age"] == 0


def test_a_line_says_where_its_packets_came_from() -> None:
    live = Origin(interfaces=("eth0", "wlan0"))
    assert eve(make_alert(flow=make_flow(interface=1)), live)["in_iface"] == "wlan0"
    file = eve(make_alert(), Origin(capture="home.pcap"))
    assert (file["pcap_filename"], "in_iface" in file) == ("home.pcap", False)


def test_a_file_name_that_is_no_text_stays_valid_json() -> None:
    line = make_alert().to_eve(Origin(capture="a\udcff\n.pcap"))
    assert json.loads(line)["pcap_filename"] == "a\\xff\n.pcap"
    assert "\n" not in line


def test_a_vlan_is_in_an_array_as_suricata_nests_them() -> None:
    assert eve(make_alert(flow=make_flow(vlan=1)))["vlan"] == [0]  # a priority tag
    assert eve(make_alert(flow=make_flow(vlan=4095)))["vlan"] == [4094]
    assert "vlan" not in eve(make_alert())


def test_a_record_gives_its_vlan_and_its_interface() -> None:
    more = {"vlan": "<u2", "interface": "u1"}
    fields = [(name, FLOW[name]) for name in FLOW.names or () if name not in more]
    record = np.zeros(1, [*fields, *more.items()])
    record["vlan"], record["interface"], record["ip_version"] = 4095, 3, 4
    flow = Flow.from_record(record[0])
    assert (flow.vlan, flow.interface) == (4095, 3)


def test_ipv6_is_said() -> None:
    ends = {"src": ip_address("fd00::1"), "dst": ip_address("fd00::2")}
    assert eve(make_alert(flow=make_flow(**ends)))["ip_v"] == 6


def test_the_lines_withheld_since_the_last_are_counted_in_the_next() -> None:
    assert eve(make_alert(), withheld=7)["alert"]["context"]["idskit"]["withheld"] == 7


def test_an_eve_line_is_one_line() -> None:
    assert "\n" not in make_alert(label="two\nlines").to_eve()


def test_its_time_is_read_by_the_standard_library() -> None:
    written = datetime.strptime(eve(make_alert())["timestamp"], "%Y-%m-%dT%H:%M:%S.%f%z")
    assert round(written.timestamp() * 1e6) == make_flow().end_us


def test_times_before_the_epoch_keep_their_microseconds() -> None:
    assert eve_time(-1) == "1969-12-31T23:59:59.999999+0000"


@pytest.mark.parametrize(
    ("protocol", "name"),
    [
        (1, "ICMP"),
        (2, "IGMP"),
        (6, "TCP"),
        (17, "UDP"),
        (47, "GRE"),
        (50, "ESP"),
        (58, "IPv6-ICMP"),
        (132, "SCTP"),
        (253, "253"),
    ],
)
def test_protocols_have_suricatas_names(protocol: int, name: str) -> None:
    event = eve(make_alert(flow=make_flow(protocol=protocol, src_port=0, dst_port=0)))
    assert event["proto"] == name
    assert ("src_port" in event) == (name in ("TCP", "UDP", "SCTP"))


def test_protocol_names_have_the_numbers_of_the_systems_list() -> None:
    path = Path("/etc/protocols")
    if not path.exists():
        pytest.skip("needs /etc/protocols, of the package netbase")
    lines = [line.partition("#")[0].split() for line in path.read_text().splitlines()]
    listed = {name.lower(): int(number) for number, names in _listed(lines) for name in names}
    found = {number: listed.get(name.lower()) for number, name in NAMES.items()}
    assert {number: there for number, there in found.items() if there not in (None, number)} == {}
    assert sum(there is not None for there in found.values()) > 40


def _listed(lines: list[list[str]]) -> Iterator[tuple[str, list[str]]]:
    for name, number, *aliases in (line for line in lines if len(line) > 1):
        yield number, [name, *aliases]


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


def test_a_row_of_unknown_flow_invents_none_and_says_that_it_was_timed_when_judged() -> None:
    before = datetime.now(UTC)
    event = eve(make_alert(flow=None))
    assert set(event) == {"timestamp", "event_type", "host", "alert"}
    assert not {"source", "target"} & set(event["alert"])
    assert event["alert"]["context"]["idskit"]["timestamp"] == "judged"
    assert before <= datetime.fromisoformat(event["timestamp"]) <= datetime.now(UTC)


def test_a_row_of_unknown_flow_may_know_its_time() -> None:
    event = eve(make_alert(flow=None, end_us=1_491_600_282_251_547))
    assert event["timestamp"] == "2017-04-07T21:24:42.251547+0000"
    assert "timestamp" not in event["alert"]["context"]["idskit"]


def test_a_flow_without_addresses_says_the_rest() -> None:
    event = eve(make_alert(flow=make_flow(src=None, dst=None)))
    assert (event["proto"], event["src_port"], event["dest_port"]) == ("UDP", 54585, 53)
    assert event["timestamp"] == event["flow"]["end"] == "2017-04-07T21:24:42.251547+0000"
    unknown = {"src_ip", "dest_ip", "ip_v", "flow_id", "community_id"}
    assert not (unknown & set(event)) | ({"source", "target"} & set(event["alert"]))


def test_flow_id_survives_readers_that_know_only_doubles() -> None:
    number = make_flow().flow_id
    assert 0 <= number < 2**51
    assert int(float(number)) == number


def test_flow_id_tells_two_flows_of_one_connection_apart() -> None:
    assert make_flow().flow_id != make_flow(start_us=5).flow_id


def test_flow_id_depends_neither_on_the_end_nor_on_the_direction_nor_on_the_process() -> None:
    early = make_flow(end="verdict", fwd_packets=1, end_us=1_491_600_280_000_002)
    turned = make_flow(
        src=ip_address("8.8.8.8"), src_port=53, dst=ip_address("192.168.1.52"), dst_port=54585
    )
    assert early.flow_id == turned.flow_id == make_flow().flow_id == 1420689857136353


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
    alert = make_alert(label=label)
    assert alert.severity == severity
    # CrowdSec's scenario bans a source for one alert of severity 1
    assert eve(alert)["alert"]["severity"] == 3


_TROJAN, _SCAN = "A Network Trojan was detected", "Detection of a Network Scan"
_WEB, _DENIAL = "Web Application Attack", "Attempted Denial of Service"
_GUESSING, _C2 = "Attempted User Privilege Gain", "Malware Command and Control Activity Detected"


# Labels of published data sets, and what their papers say that they are.
@pytest.mark.parametrize(
    ("label", "category"),
    [
        ("Mirai-udpflood", _TROJAN),
        ("MIRAI-GREETH_FLOOD", _TROJAN),
        ("mirai-scan", _TROJAN),
        ("BACKDOOR_MALWARE", _TROJAN),
        ("Bot", _TROJAN),
        ("malware", _TROJAN),
        ("malware-c2", _C2),
        ("Mirai C&C", _C2),
        ("command and control", _C2),
        ("COMMANDINJECTION", _WEB),
        ("Web Attack - XSS (reflected)", _WEB),
        ("sqlattack", _WEB),
        ("web", _WEB),
        ("VULNERABILITYSCAN", _SCAN),
        ("ipsweep", _SCAN),
        ("DICTIONARYBRUTEFORCE", _GUESSING),
        ("SSH-Patator", _GUESSING),
        ("guess_passwd", _GUESSING),
        ("DDOS-SLOWLORIS", _DENIAL),
        ("dns-amplification", _DENIAL),
        ("http-flood-web", _DENIAL),
        ("guessing", _GUESSING),
        ("tunnel", "Large Scale Information Leak"),
        ("lateral", "Attempted Administrator Privilege Gain"),
        ("rootkit", "Attempted Administrator Privilege Gain"),
        ("exfiltration-dns", "Large Scale Information Leak"),
        ("robotics", "Misc Attack"),
        ("ec2", "Misc Attack"),
    ],
)
def test_category_follows_what_the_name_says_most_closely(label: str, category: str) -> None:
    assert make_alert(label=label).category == category


@pytest.mark.parametrize(
    ("label", "attacker"),
    [
        ("scan", "source"),
        ("mirai-scan", "source"),
        ("brute-force", "source"),
        ("malware-c2", "destination"),  # the infected device calls home
        ("beacon", "destination"),
        ("exfiltration-dns", "destination"),
        ("malware", "destination"),
    ],
)
def test_source_and_target_are_attacker_and_attacked(label: str, attacker: str) -> None:
    alert = eve(make_alert(label=label))["alert"]
    ends = [{"ip": "192.168.1.52", "port": 54585}, {"ip": "8.8.8.8", "port": 53}]
    expected = ends if attacker == "source" else ends[::-1]
    assert [alert["source"], alert["target"]] == expected
