"""The tests that need no model, next to plain counting of what they count."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from tests.incidents.judged_flows import Judged, incidents_of

BENIGN = {"score": 0.01, "label": "scan"}  # the model suspects nothing


def failures(count: int, **changed: object) -> list[Judged]:
    settings = {"answered": False, "dport": 22, **BENIGN, **changed}
    return [
        Judged(dst=f"192.168.1.{i + 1}", at=i / 5, **settings)  # type: ignore[arg-type]
        for i in range(count)
    ]


@pytest.mark.parametrize(("count", "found"), [(8, 0), (9, 1), (200, 1)])
def test_nine_failed_first_contacts_are_a_scan(count: int, found: int) -> None:
    new = [i for i in incidents_of(failures(count)) if i.type == "new"]
    assert [i.family for i in new] == ["scan"] * found


def test_one_target_that_never_answers_is_no_scan() -> None:
    flows = failures(100)
    for flow in flows:
        flow.dst = "192.168.1.7"
    assert incidents_of(flows) == []


def test_programs_that_retry_closed_ports_scan_nothing_and_scanners_that_send_twice_do() -> None:
    retried = [
        Judged(dst=f"192.168.1.{i % 8 + 1}", at=5.0 * i, answered=False, dport=1883, **BENIGN)
        for i in range(200)
    ]
    assert incidents_of(retried) == []
    twice = [flow for flow in failures(30) for _ in range(3)]
    assert incidents_of(twice)[0].family == "scan"


def test_slow_scans_are_found() -> None:
    flows = failures(40)
    for number, flow in enumerate(flows):
        flow.at = 60.0 * number
    assert incidents_of(flows)[0].type == "new"


def test_cover_traffic_that_is_answered_delays_by_three_failures_at_most() -> None:
    flows = failures(20, columns={"src_10m_new": 1000.0, "src_10m_new_failed": 1.0})
    (new,) = [i for i in incidents_of(flows) if i.type == "new"]
    assert new.flows == 12


def test_a_device_without_internet_scans_nothing() -> None:
    phone = [
        Judged(src="192.168.1.8", dst=f"203.0.113.{i}", at=i, dport=443, answered=False, **BENIGN)
        for i in range(1, 100)
    ]
    assert incidents_of(phone) == []
    for flow in phone:
        flow.dport = 23
    assert incidents_of(phone)[0].family == "scan"


@pytest.mark.parametrize(("wrong", "found"), [(3, 0), (7, 0), (8, 1)])
def test_people_mistype_and_guessers_go_on(wrong: int, found: int) -> None:
    tries = [
        Judged(at=i * 2.0, dport=21, columns={"login_refusals": 1.0}, **BENIGN)
        for i in range(wrong)
    ]
    new = [i for i in incidents_of(tries) if i.type == "new"]
    assert [(i.family, i.severity, i.technique) for i in new] == [("guessing", 1, "T1110")] * found


def test_refusals_of_one_connection_are_counted_once_as_it_grows_older() -> None:
    rows = [
        Judged(end=0, slot=1, serial=5, columns={"login_refusals": 3.0}, **BENIGN) for _ in range(9)
    ]
    assert incidents_of(rows) == []


SSH = {"ssh_banners": 2.0, "ssh_key_exchanges": 2.0, "fin_count": 2.0}


def test_ssh_logins_that_fail_are_guesses_and_sessions_are_not() -> None:
    failed = {**SSH, "fwd_payload": 3021.0, "bwd_payload": 2841.0}
    session = {**SSH, "fwd_payload": 3741.0, "bwd_payload": 3701.0}
    assert incidents_of([Judged(at=float(i), columns=session, **BENIGN) for i in range(99)]) == []
    found = incidents_of([Judged(at=float(i), columns=failed, **BENIGN) for i in range(6)])
    assert found[0].family == "guessing"


def test_names_that_carry_data_are_a_tunnel_and_names_of_services_are_not() -> None:
    names = {"dns_queries": 1.0, "dns_name_length": 120.0, "dns_text_types": 1.0}
    asked = [
        Judged(src="192.168.1.8", dst="192.168.1.1", dport=53, protocol=17, at=i, columns=names)
        for i in range(40)
    ]
    for flow in asked:
        flow.score = 0.01
    found = [i for i in incidents_of(asked) if i.type == "new"]
    assert [(i.family, i.flows) for i in found] == [("tunnel", 25)]
    for flow in asked:
        flow.dst, flow.dport = "224.0.0.251", 5353
    assert incidents_of(asked) == []


DESKTOP = {"rdp_requests": 1.0, "fin_count": 2.0}
MADE_UP = {"dns_no_such_name": 1.0}
ALONE = {"answered": False, "packets": 1}
OPENINGS = {
    **{"syn_count": 1.0, "dst_64_services": 1.0, "dst_64_peers": 1.0, "dst_64_unanswered": 1.0},
    **{"dst_64_span": 1.5e6, "dst_64_flows": 64.0},
}
ANSWERS = {"ack_count": 1.0, "dst_64_services": 60.0, "dst_64_peers": 60.0}
LEFT_OPEN = {"fwd_payload": 300.0, "pair_1m_flows": 60.0, "flow_duration": 9e6}
EMPTY = {"dst_64_unanswered": 0.0, "dst_64_span": 9e5}
DATAGRAMS = {"syn_count": 0.0, "dst_64_peers": 64.0, "dst_64_span": 1e5}


@pytest.mark.parametrize(
    ("columns", "changed", "flows", "family"),
    [
        ({"tls_heartbeats": 1.0}, {}, 1, "lateral"),
        ({"rpc_admin_binds": 1.0}, {}, 1, "lateral"),
        ({"smb_reserved_calls": 1.0}, {}, 1, "lateral"),
        ({"http_injections": 1.0}, {}, 1, "web"),
        ({"overlapping_fragments": 1.0}, {}, 1, "unknown"),
        ({"icmp_code": 9.0}, {"protocol": 1, "icmp_type": 8}, 2, "scan"),
        ({}, {"protocol": 1, "icmp_type": 13}, 2, "scan"),
        ({"industrial_exceptions": 1.0, "declined": 8.0}, {}, 5, "lateral"),
        ({"http_errors": 1.0, "failed": 64.0}, {}, 5, "web"),
        ({"http_not_found": 12.5, "missing": 4095.0}, {}, 2, "web"),
        ({"http_not_found": 64.0, "missing": 1.0}, {"dport": 80}, 25, "web"),
        ({"wsman_requests": 1.0}, {}, 1, "lateral"),
        ({"rpc_intruder_calls": 1.0}, {}, 1, "lateral"),
        ({"rpc_refused_calls": 2.0}, {}, 4, "lateral"),
        ({"industrial_stops": 1.0}, {}, 1, "lateral"),
        ({"shell_lines": 1.0}, {}, 2, "malware"),
        ({"dns_odd_types": 1.0}, {}, 2, "tunnel"),
        ({"telnet_refusals": 1.0}, {"dport": 23}, 8, "guessing"),
        ({"smb_logon_failures": 2.0}, {}, 4, "guessing"),
        ({"imap_refusals": 2.0}, {"dport": 143}, 4, "guessing"),
        ({"form_passwords": 1.0}, {"dport": 80}, 30, "guessing"),
        ({"service_refusals": 1.0}, {"dport": 3306}, 8, "guessing"),
        ({"login_refusals": 2.0, "challenges": 1.0}, {"dport": 80}, 8, "guessing"),
        ({**DESKTOP, "bwd_payload": 1900.0}, {"dport": 3389}, 8, "guessing"),
        ({"ftp_bounces": 1.0}, {"dport": 21}, 3, "scan"),
        ({**MADE_UP, "dns_name_length": 16.0}, {"protocol": 17, "dport": 53}, 303, "malware"),
        (OPENINGS, ALONE, 8, "flood"),
        ({**OPENINGS, **EMPTY}, {}, 8, "flood"),
        (LEFT_OPEN, {"dport": 80}, 20, "flood"),
        ({**LEFT_OPEN, "bwd_payload": 900.0, "fwd_init_window": 1152.0}, {}, 20, "flood"),
        ({**OPENINGS, **ANSWERS}, ALONE, 8, "flood"),
        ({**OPENINGS, **DATAGRAMS}, {**ALONE, "protocol": 17}, 8, "flood"),
        ({"rpc_account_lists": 1.0}, {}, 1, "lateral"),
        ({"smb_admin_shares": 1.0}, {}, 1, "lateral"),
        ({"redis_misuses": 1.0}, {}, 1, "lateral"),
        ({"fragments": 2.0}, {"protocol": 58, "icmp_type": 134}, 1, "lateral"),
        ({"intruder_names": 1.0}, {}, 1, "malware"),
        ({"scanner_requests": 1.0}, {"dport": 80}, 3, "scan"),
        ({"incomplete_datagrams": 10.3}, {}, 20, "flood"),
        ({"pair_1m_flows": 300.0}, {"dport": 80}, 30, "flood"),
        ({"pair_1m_flows": 1200.0}, {"dport": 53}, 30, "flood"),
        ({"fwd_packet_rate": 20.0}, {"protocol": 17, "dport": 67, "packets": 60}, 1, "flood"),
    ],
)
def test_what_is_refused_opens_an_incident_when_it_goes_on(
    columns: dict[str, float], changed: dict[str, int], flows: int, family: str
) -> None:
    for count, found in ((flows - 1, []), (flows, [family])):
        rows = [Judged(at=i / 10, columns=columns, **BENIGN, **changed) for i in range(count)]
        assert [i.family for i in incidents_of(rows) if i.type == "new"] == found


@pytest.mark.parametrize(
    ("columns", "changed"),
    [
        ({"fragments": 2.0}, {"protocol": 58, "icmp_type": 128}),  # of an echo
        ({"pair_1m_flows": 240.0}, {"dport": 80}),
        ({"pair_1m_flows": 900.0}, {"dport": 53}),
        ({"fwd_packet_rate": 20.0}, {"protocol": 17, "dport": 67, "packets": 50}),
        ({"login_refusals": 1.0, "challenges": 1.0}, {"dport": 80}),
        ({**DESKTOP, "bwd_payload": 90_000.0}, {"dport": 3389}),
        ({**MADE_UP, "dns_name_length": 30.0, "dns_name_digits": 0.4}, {"dport": 53}),
        ({**OPENINGS, **EMPTY, "dst_64_payload_mean": 90.0}, {}),  # somebody says something
        ({**LEFT_OPEN, "pair_1m_flows": 12.0}, {}),
        ({**LEFT_OPEN, "bwd_payload": 200.0, "fwd_init_window": 64_240.0}, {}),
        ({**OPENINGS, **EMPTY, "dst_64_services": 9.0}, {}),
        ({**OPENINGS, "dst_64_flows": 30.0}, {"answered": False, "packets": 1}),
        ({**OPENINGS, "dst_64_span": 9e6}, {"answered": False, "packets": 1}),
        ({**OPENINGS, **ANSWERS, "dst_64_peers": 9.0}, {"answered": False, "packets": 1}),
        ({**OPENINGS, **DATAGRAMS, "dst_64_peers": 9.0}, {**ALONE, "protocol": 17}),
        ({**OPENINGS, **DATAGRAMS, "dst_64_span": 9e5}, {**ALONE, "protocol": 17}),
    ],
)
def test_what_happens_every_day_opens_nothing(
    columns: dict[str, float], changed: dict[str, int]
) -> None:
    rows = [Judged(at=float(i), columns=columns, **BENIGN, **changed) for i in range(100)]
    assert incidents_of(rows) == []


@pytest.mark.parametrize(("count", "found"), [(14, 0), (15, 1)])
def test_ports_that_no_datagram_reaches_are_a_scan(count: int, found: int) -> None:
    asked = {"protocol": 17, "columns": {"src_10s_services": 12.0, "src_10s_peers": 1.0}}
    asked |= ALONE | BENIGN
    rows = [Judged(dport=100 + i, at=i / 10, **asked) for i in range(count)]
    assert [i.family for i in incidents_of(rows) if i.type == "new"] == ["scan"] * found
    traced = [Judged(dport=33_434 + i, at=i / 10, **asked) for i in range(count)]
    assert incidents_of(traced) == []


def test_protocols_that_nobody_uses_are_a_scan_and_those_of_routers_are_not() -> None:
    def asked(numbers: Iterable[int]) -> list[Judged]:
        bare = {"sport": 0, "dport": 0, **ALONE, **BENIGN}
        return [Judged(protocol=number, at=number / 10, **bare) for number in numbers]

    assert incidents_of(asked(range(150, 155))) == []
    assert incidents_of(asked(range(150, 156)))[0].family == "scan"
    assert incidents_of(asked([2, 47, 50, 51, 88, 89, 103, 112, 115, 132, 2, 47])) == []


def test_the_same_again_is_counted_once_and_others_each_time() -> None:
    same, others = (
        [
            Judged(
                at=30.0 * i,
                slot=i,
                serial=i,
                dport=21,
                columns={"login_refusals": 1.0, "credentials": 1.0 + i * step},
                **BENIGN,
            )
            for i in range(60)
        ]
        for step in (0, 1)
    )
    assert incidents_of(same) == []
    assert incidents_of(others)[0].family == "guessing"


@pytest.mark.parametrize(("count", "found"), [(11, 0), (12, 1)])
def test_services_of_twelve_hosts_that_no_datagram_reaches_are_a_sweep(
    count: int, found: int
) -> None:
    asked = {"protocol": 17, "dport": 161, "answered": False, **BENIGN}
    rows = [Judged(dst=f"192.168.1.{i + 1}", at=float(i), **asked) for i in range(count)]
    assert [i.family for i in incidents_of(rows) if i.type == "new"] == ["scan"] * found
    polled = [Judged(dst="192.168.1.9", at=5.0 * i, **asked) for i in range(100)]
    assert incidents_of(polled) == []


def test_a_device_that_sends_mail_to_many_servers_is_reported_and_a_mail_program_is_not() -> None:
    mail = {"src": "192.168.1.8", "dport": 25, **BENIGN}
    rows = [
        Judged(dst=f"198.51.100.{i}", at=i / 5, columns={"src_10s_peers": float(i)}, **mail)
        for i in range(40)
    ]
    assert incidents_of(rows)[0].attacker == "192.168.1.8"
    slow = [
        Judged(dst=f"198.51.100.{i}", at=9.0 * i, columns={"src_10s_peers": 2.0}, **mail)
        for i in range(40)
    ]
    assert incidents_of(slow) == []


def test_a_ping_is_no_tunnel_and_no_sweep() -> None:
    ping = {"protocol": 1, "icmp_type": 8, "dport": 0, "sport": 0, **BENIGN}
    one_size = {"fwd_payload_max": 1400.0, "bwd_payload_max": 1400.0}
    monitored = [
        Judged(dst=f"192.168.1.{i}", at=60.0 * i, columns=one_size, **ping) for i in range(60)
    ]
    assert incidents_of(monitored) == []
    sizes = {"fwd_payload_std": 395.0, "bwd_payload_std": 395.0, "fwd_payload_max": 1008.0}
    sizes["bwd_payload_max"] = 1008.0
    tried = Judged(columns=sizes, packets=12, **ping)
    assert incidents_of([tried]) == []
    tried.columns["bwd_payload_mean"] = 50.0  # the answers say something else
    tried.columns["bwd_payload_max"] = 90.0
    assert incidents_of([tried])[0].family == "tunnel"
    swept = [
        Judged(dst=f"192.168.1.{i}", at=i / 9, columns={"src_10s_peers": float(i)}, **ping)
        for i in range(40)
    ]
    assert incidents_of(swept)[0].family == "scan"
