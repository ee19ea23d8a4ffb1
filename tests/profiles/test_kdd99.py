"""The ``kdd99`` profiles: by hand, and against plain Python."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.flows.capture_files import decoded, in_memory, pcap, read
from tests.flows.engine import Result, run
from tests.flows.packets import packet, to_array
from tests.flows.traffic import random_packets
from tests.profiles import naive_kdd99

from idskit.data.published import nsl_kdd
from idskit.extract.extract import extract
from idskit.flow import ENDS
from idskit.flow_input import FlowInput
from idskit.profiles import open_flows, schema_named
from idskit.profiles.kdd99 import kdd_fragments
from idskit.profiles.kdd99.kdd_services import UNLISTED, tcp_services
from idskit.schemas.kdd99_columns import FLAGS, PROTOCOL_TYPES, SERVICES

PROFILES = [
    ("kdd99", 255, True),
    ("kdd99-100", 100, True),
    ("kdd99-exclusive", 100, False),
    ("kdd99-exclusive-255", 255, False),
]
F, S, R, P, A, U = 1, 2, 4, 8, 16, 32  # TCP flags


# Against plain Python.


def coded(rows: list[list[Any]]) -> NDArray[np.float64]:
    """Return rows of the reference with their nominal columns as codes."""
    for row in rows:
        row[1], row[3] = PROTOCOL_TYPES.index(row[1]), FLAGS.index(row[3])
        row[2] = SERVICES.index(row[2]) if row[2] in SERVICES else -1
    return np.array(rows, np.float64).reshape(-1, 28)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(("name", "window", "inclusive"), PROFILES)
def test_random_traffic(name: str, window: int, inclusive: bool, seed: int) -> None:
    packets = random_packets(seed, 1500, hosts=4, ports=4)
    fields = [each for each in map(naive_kdd99.from_fields, packets) if each]
    expected = coded(naive_kdd99.rows(fields, window, inclusive=inclusive))
    wanted = [p for p in packets if naive_kdd99.from_fields(p)]
    got = run(name, to_array(wanted))
    assert len(expected) > 400
    np.testing.assert_allclose(got.features, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("capture", ["ftp-bruteforce", "http_espn"])  # test_exactness.py: all
def test_captures_read_by_dpkt(shared: Path, capture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [*SERVICES, *UNLISTED]
    services = {port: names[code] for port, code in enumerate(tcp_services().tolist())}
    monkeypatch.setattr(naive_kdd99, "SERVICES", services)
    path = shared / "data/pcap/flow-reference" / capture / "capture.pcap"
    frames, records, _ = read(path)
    times, sizes = (records["time_ns"] // 1000).tolist(), records["wire"].tolist()
    seen = map(naive_kdd99.from_frame, times, frames, sizes)
    whole = naive_kdd99.reassembled(each for each in seen if each)
    expected = coded(naive_kdd99.rows(whole, 255, inclusive=True))
    with open_flows(path, "kdd99") as flows:
        got = np.concatenate([batch.features for batch in flows.batches(100)])
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)


# By hand: states.

CLIENT, SERVER = "10.0.0.1", "10.0.0.2"


def talk(script: str, *, start_s: float = 100.0, port: int = 1000) -> list[dict[str, Any]]:
    """Packets of a connection to port 80, 10 ms apart: "o" or "r" and the letters of its flags."""
    flags = {"F": F, "S": S, "R": R, "P": P, "A": A, "U": U}
    made = []
    for number, (who, *letters) in enumerate(script.split()):
        ends = (CLIENT, SERVER, port, 80) if who == "o" else (SERVER, CLIENT, 80, port)
        value = sum(flags[letter] for letter in letters)
        made.append(tcp(start_s + number / 100, *ends, value))
    return made


def tcp(
    time_s: float, src: str, dst: str, src_port: int, dst_port: int, flags: int, **fields: Any
) -> dict[str, Any]:
    return packet(time_s, src, dst, src_port=src_port, dst_port=dst_port, flags=flags, **fields)


def udp(time_s: float, src: str, dst: str, src_port: int, dst_port: int) -> dict[str, Any]:
    return packet(time_s, src, dst, src_port=src_port, dst_port=dst_port, protocol=17)


def icmp(time_s: float, src: str, dst: str, kind: int, code: int = 0) -> dict[str, Any]:
    return packet(time_s, src, dst, protocol=1, icmp_type=kind, icmp_code=code)


def flags_of(result: Result) -> list[str]:
    return [FLAGS[int(code)] for code in result.column("kdd99", "flag")]


def ends_of(result: Result) -> list[str]:
    return [ENDS[end] for end in result.flows["end"]]


OPEN = "oS rSA oA "


@pytest.mark.parametrize(
    ("script", "flag", "end"),
    [
        ("oS", "S0", "capture_end"),
        ("oS oA", "S0", "capture_end"),  # nothing of the responder: no connection
        ("oS oS", "S0", "capture_end"),
        ("oS oR", "RSTOS0", "capture_end"),
        ("oS oF", "SH", "close"),
        ("oS rRA", "REJ", "capture_end"),
        ("oS rA", "S0", "capture_end"),
        ("oS rSA", "S1", "capture_end"),
        ("oS rSA oR", "RSTO", "capture_end"),
        ("oS rSA rR", "RSTR", "capture_end"),
        (OPEN, "S1", "capture_end"),
        (OPEN + "oPA rA", "S1", "capture_end"),
        (OPEN + "oRA", "RSTO", "capture_end"),
        (OPEN + "rR", "RSTR", "capture_end"),
        (OPEN + "oFA", "S2", "capture_end"),
        (OPEN + "oFA oR", "RSTO", "capture_end"),
        (OPEN + "oFA rR", "RSTR", "capture_end"),
        (OPEN + "oFA rA rFA", "S2", "capture_end"),
        (OPEN + "oFA rFA oA", "SF", "close"),
        (OPEN + "oFA rFA rA", "S2", "capture_end"),
        (OPEN + "oFA rFA oRA", "RSTO", "capture_end"),
        (OPEN + "oFA rFA rR", "RSTR", "capture_end"),
        (OPEN + "rFA", "S3", "capture_end"),
        (OPEN + "rFA oR", "RSTO", "capture_end"),
        (OPEN + "rFA rR", "RSTR", "capture_end"),
        (OPEN + "rFA oA oFA", "S3", "capture_end"),
        (OPEN + "rFA oFA rA", "SF", "close"),
        (OPEN + "rFA oFA oA", "S3", "capture_end"),
        (OPEN + "rFA oFA oR", "RSTO", "capture_end"),
        (OPEN + "rFA oFA rR", "RSTR", "capture_end"),
        ("oS rRA oS rSA", "REJ", "capture_end"),  # a state of RST lasts until its time-out
        ("oSA", "OTH", "close"),
        ("oA", "OTH", "close"),
        ("oR", "OTH", "close"),
        ("oFS", "S0", "capture_end"),
    ],
)
def test_tcp_states(script: str, flag: str, end: str) -> None:
    result = run("kdd99", to_array(talk(script)))
    assert (flags_of(result), ends_of(result)) == ([flag], [end])


def test_a_connection_after_its_end_is_another() -> None:
    result = run("kdd99", to_array(talk(OPEN + "oFA rFA oA rA oS")))
    assert flags_of(result) == ["SF", "OTH", "S0"]
    assert result.column("kdd99", "src_bytes") == [4 * 54, 54, 54]


@pytest.mark.parametrize("made", [udp(100, CLIENT, SERVER, 1, 2), icmp(100, CLIENT, SERVER, 8)])
def test_other_protocols_are_always_sf(made: dict[str, Any]) -> None:
    assert flags_of(run("kdd99", to_array([made]))) == ["SF"]


# Time-outs.


def lasting(first: list[dict[str, Any]], silence_s: float) -> Result:
    """What has ended when a packet of another connection comes after a silence."""
    last_s = first[-1]["time_us"] / 1e6
    later = udp(last_s + silence_s, "10.9.9.9", "10.9.9.8", 1, 2)
    return run("kdd99", to_array([*first, later]), close=False)


@pytest.mark.parametrize(
    ("first", "timeout_s"),
    [
        (talk("oS"), 120),
        (talk("oS rSA"), 120),
        (talk(OPEN), 432_000),
        (talk("oS rRA"), 10),
        (talk("oS oR"), 10),
        (talk(OPEN + "oR"), 10),
        (talk(OPEN + "rR"), 10),
        (talk(OPEN + "oFA"), 120),
        (talk(OPEN + "rFA"), 120),
        (talk(OPEN + "oFA rFA"), 30),
        (talk(OPEN + "rFA oFA"), 30),
        ([udp(100, CLIENT, SERVER, 1, 2)], 180),
        ([icmp(100, CLIENT, SERVER, 8)], 30),
    ],
)
def test_time_outs(first: list[dict[str, Any]], timeout_s: int) -> None:
    assert ends_of(lasting(first, timeout_s - 0.001)) == []
    assert ends_of(lasting(first, timeout_s)) == ["idle"]


def test_time_outs_are_looked_for_once_a_second() -> None:
    """ICMP is due at 30 s; the look at 29.5 s finds nothing, and the next is a second later."""
    packets = [icmp(0, CLIENT, SERVER, 8), udp(29.5, CLIENT, SERVER, 1, 2)]
    packets += [udp(30.4, CLIENT, SERVER, 3, 4)]
    assert ends_of(run("kdd99", to_array(packets), close=False)) == []
    packets += [udp(30.5, CLIENT, SERVER, 5, 6)]
    assert ends_of(run("kdd99", to_array(packets), close=False)) == ["idle"]


def test_those_that_time_out_together_come_by_their_last_packets() -> None:
    packets = [
        udp(0, CLIENT, SERVER, 1, 2),
        udp(5, CLIENT, SERVER, 3, 4),
        icmp(6, CLIENT, SERVER, 8),
        *talk("oS", start_s=7),
        udp(8, CLIENT, SERVER, 1, 2),
        udp(1000, CLIENT, SERVER, 5, 6),
    ]
    result = run("kdd99", to_array(packets), close=False)
    assert result.flows["end_us"].tolist() == [5_000_000, 6_000_000, 7_000_000, 8_000_000]


def test_at_the_end_of_the_capture_too() -> None:
    packets = [*talk(OPEN, start_s=0), udp(1, CLIENT, SERVER, 1, 2), icmp(2, CLIENT, SERVER, 8)]
    packets += [tcp(3, CLIENT, SERVER, 1000, 80, A)]
    result = run("kdd99", to_array(packets), rows=2)  # little room at a time
    assert result.flows["end_us"].tolist() == [1_000_000, 2_000_000, 3_000_000]


# Basic features.


def test_bytes_and_duration_by_direction() -> None:
    packets = [
        tcp(10, CLIENT, SERVER, 1000, 80, S),
        tcp(10.5, SERVER, CLIENT, 80, 1000, S | A, payload=100),
        tcp(13.4999, CLIENT, SERVER, 1000, 80, A | U, payload=7),
    ]
    result = run("kdd99", to_array(packets))
    assert result.column("kdd99", "duration") == [3]
    assert result.column("kdd99", "src_bytes") == [54 + 54 + 7]
    assert result.column("kdd99", "dst_bytes") == [154]
    assert result.column("kdd99", "urgent") == [1]
    assert result.column("kdd99", "wrong_fragment") == [0]


def test_duration_is_not_negative_when_time_runs_backwards() -> None:
    packets = [udp(10, CLIENT, SERVER, 1, 2), udp(5, CLIENT, SERVER, 1, 2)]
    assert run("kdd99", to_array(packets)).column("kdd99", "duration") == [0]


@pytest.mark.parametrize(("src", "src_port", "land"), [(SERVER, 80, 1), (SERVER, 81, 0)])
def test_land(src: str, src_port: int, land: int) -> None:
    result = run("kdd99", to_array([tcp(1, src, SERVER, src_port, 80, S)]))
    assert result.column("kdd99", "land") == [land]


def test_icmp_is_one_way() -> None:
    packets = [icmp(1, CLIENT, SERVER, 8), icmp(1.1, SERVER, CLIENT, 0), icmp(2, CLIENT, SERVER, 8)]
    result = run("kdd99", to_array(packets))
    assert result.column("kdd99", "src_bytes") == [42, 84]
    assert result.column("kdd99", "dst_bytes") == [0, 0]
    assert result.flows["protocol"].tolist() == [1, 1]
    services = [SERVICES[int(code)] for code in result.column("kdd99", "service")]
    assert services == ["ecr_i", "eco_i"]


@pytest.mark.parametrize(
    ("made", "service"),
    [
        *[
            (tcp(1, CLIENT, SERVER, 5000, port, S), service)
            for port, service in [
                (80, "http"),
                (8008, "http"),
                (8080, "http"),
                (443, "http_443"),
                (25, "smtp"),
                (21, "ftp"),
                (20, "ftp_data"),
                (22, "ssh"),
                (23, "telnet"),
                (53, "domain"),
                (110, "pop_3"),
                (143, "imap4"),
                (993, "imap4"),
                (113, "auth"),
                (79, "finger"),
                (6000, "X11"),
                (6063, "X11"),
                (6064, "other"),
                (194, "IRC"),
                (6667, "IRC"),
                (6697, "IRC"),
                (179, "bgp"),
                (389, "ldap"),
                (636, "ldap"),
                (119, "nntp"),
                (563, "nntp"),
                (514, "shell"),
                (513, "login"),
                (512, "exec"),
                (139, "netbios_ssn"),
                (49151, "other"),
                (49152, "private"),
                (123, "other"),
            ]
        ],
        (tcp(1, CLIENT, SERVER, 20, 40_000, S), "ftp_data"),
        (tcp(1, CLIENT, SERVER, 80, 40_000, S), "other"),
        (udp(1, CLIENT, SERVER, 5000, 53), "domain_u"),
        (udp(1, CLIENT, SERVER, 5000, 69), "tftp_u"),
        (udp(1, CLIENT, SERVER, 5000, 123), "ntp_u"),
        (udp(1, CLIENT, SERVER, 5000, 80), "other"),
        (udp(1, CLIENT, SERVER, 20, 65535), "private"),
        (icmp(1, CLIENT, SERVER, 0), "ecr_i"),
        (icmp(1, CLIENT, SERVER, 3, 0), "urp_i"),
        (icmp(1, CLIENT, SERVER, 3, 1), "urh_i"),
        (icmp(1, CLIENT, SERVER, 5), "red_i"),
        (icmp(1, CLIENT, SERVER, 8), "eco_i"),
        (icmp(1, CLIENT, SERVER, 11), "tim_i"),
    ],
)
def test_services(made: dict[str, Any], service: str) -> None:
    (code,) = run("kdd99", to_array([made])).column("kdd99", "service")
    assert SERVICES[int(code)] == service


@pytest.mark.parametrize(
    "made",
    [
        icmp(1, CLIENT, SERVER, 3, 3),
        icmp(1, CLIENT, SERVER, 13),
        tcp(1, CLIENT, SERVER, 1, 5813, S),
    ],
    ids=["port unreachable", "timestamp", "ICMPD"],
)
def test_services_that_nsl_kdd_does_not_list(made: dict[str, Any]) -> None:
    assert run("kdd99", to_array([made])).column("kdd99", "service") == [-1]


# Windows. Conversations of one packet that end at once, so that their order is plain.


def ended_at_once(time_s: float, dst: str, src_port: int, dst_port: int) -> list[dict[str, Any]]:
    """A connection that ends as OTH at once."""
    return [tcp(time_s, CLIENT, dst, src_port, dst_port, A)]


def rejected(time_s: float, dst: str, src_port: int, dst_port: int) -> list[dict[str, Any]]:
    made = tcp(time_s, CLIENT, dst, src_port, dst_port, S)
    return [made, tcp(time_s, dst, CLIENT, dst_port, src_port, R | A)]


A_HOST, B_HOST = "10.0.1.1", "10.0.1.2"


def ended() -> list[dict[str, Any]]:
    """Five conversations that end in this order: http to A and B, ssh, and then http to A again."""
    return [
        *ended_at_once(1.0, A_HOST, 1, 80),
        *ended_at_once(1.1, B_HOST, 2, 80),
        *ended_at_once(1.2, A_HOST, 1, 22),
        *ended_at_once(1.3, B_HOST, 1, 80),
        *ended_at_once(1.4, A_HOST, 2, 80),
    ]


@pytest.mark.parametrize(
    ("name", "column", "expected"),
    [
        ("kdd99", "count", [1, 1, 2, 2, 3]),
        ("kdd99", "srv_count", [1, 2, 1, 3, 4]),
        ("kdd99", "same_srv_rate", [1, 1, 0.5, 1, 0.67]),
        ("kdd99", "diff_srv_rate", [0, 0, 0.5, 0, 0.33]),
        ("kdd99", "srv_diff_host_rate", [0, 0.5, 0, 0.33, 0.5]),
        ("kdd99", "dst_host_count", [1, 1, 2, 2, 3]),
        ("kdd99", "dst_host_srv_count", [1, 2, 1, 3, 4]),
        ("kdd99", "dst_host_same_srv_rate", [1, 1, 0.5, 1, 0.67]),
        ("kdd99", "dst_host_diff_srv_rate", [0, 0, 0.5, 0, 0.33]),
        ("kdd99", "dst_host_same_src_port_rate", [1, 0.5, 1, 0.67, 0.5]),
        ("kdd99", "dst_host_srv_diff_host_rate", [0, 0.5, 0, 0.33, 0.5]),
        ("kdd99-exclusive", "count", [0, 0, 1, 1, 2]),
        ("kdd99-exclusive", "srv_count", [0, 1, 0, 2, 3]),
        ("kdd99-exclusive", "same_srv_rate", [0, 0, 0, 1, 0.5]),
        ("kdd99-exclusive", "diff_srv_rate", [0, 0, 1, 0, 0.5]),
        ("kdd99-exclusive", "srv_diff_host_rate", [0, 1, 0, 0.5, 0.67]),
        ("kdd99-exclusive", "dst_host_same_src_port_rate", [0, 0, 0, 0.33, 0.25]),
    ],
)
def test_counts_and_rates(name: str, column: str, expected: list[float]) -> None:
    assert run(name, to_array(ended())).column(name, column) == expected


def failing() -> list[dict[str, Any]]:
    """By end: a rejected one, one without an answer, one that fits no state."""
    packets = [
        *rejected(1.0, A_HOST, 1, 80),
        tcp(1.1, CLIENT, A_HOST, 2, 22, S),
        *ended_at_once(1.2, A_HOST, 3, 80),
    ]
    return sorted(packets, key=lambda each: int(each["time_us"]))


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        # OTH ends first, then at the end of the capture REJ and S0.
        ("flag", [FLAGS.index("OTH"), FLAGS.index("REJ"), FLAGS.index("S0")]),
        ("serror_rate", [0, 0, 0.33]),
        ("srv_serror_rate", [0, 0, 1]),
        ("rerror_rate", [0, 0.5, 0.33]),
        ("srv_rerror_rate", [0, 0.5, 0]),
        ("dst_host_serror_rate", [0, 0, 0.33]),
        ("dst_host_srv_serror_rate", [0, 0, 1]),
        ("dst_host_rerror_rate", [0, 0.5, 0.33]),
        ("dst_host_srv_rerror_rate", [0, 0.5, 0]),
    ],
)
def test_error_rates(column: str, expected: list[float]) -> None:
    assert run("kdd99", to_array(failing())).column("kdd99", column) == expected


@pytest.mark.parametrize(
    ("name", "expected"), [("kdd99", [1, 2, 1]), ("kdd99-exclusive", [0, 1, 2])]
)
def test_two_seconds(name: str, expected: list[int]) -> None:
    """The extractor evicts old ones only after it has looked."""
    packets = [
        *ended_at_once(1, A_HOST, 1, 80),
        *ended_at_once(2.9, A_HOST, 2, 80),
        *ended_at_once(5, A_HOST, 3, 80),
    ]
    assert run(name, to_array(packets)).column(name, "count") == expected


@pytest.mark.parametrize(
    ("name", "most"), [("kdd99", 255), ("kdd99-100", 100), ("kdd99-exclusive", 100)]
)
def test_the_last_conversations(name: str, most: int) -> None:
    packets = [p for i in range(300) for p in ended_at_once(1 + 10 * i, A_HOST, i, 80)]
    counts = run(name, to_array(packets)).column(name, "dst_host_count")
    assert max(counts) == most
    assert counts[-1] == most


def test_count_ends_at_the_largest_of_nsl_kdd() -> None:
    packets = [p for i in range(600) for p in ended_at_once(1 + i / 10_000, A_HOST, i, 80)]
    counts = run("kdd99", to_array(packets)).column("kdd99", "count")
    assert counts == [min(i + 1, 511) for i in range(600)]


# Fragments.


def ipv4(body: bytes, *, ident: int, offset: int, more: bool, protocol: int = 17) -> bytes:
    field = offset // 8 | (0x2000 if more else 0)
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), ident, field, 64, protocol, 0)
    return bytes(12) + b"\x08\x00" + head + bytes([10, 0, 0, 1, 10, 0, 0, 2]) + body


def fragments(ident: int, sizes: list[int]) -> list[bytes]:
    """A UDP datagram to port 53, cut into pieces of these sizes."""
    body = struct.pack(">HHHH", 1000, 53, sum(sizes), 0) + bytes(sum(sizes) - 8)
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return [
        ipv4(body[at : at + size], ident=ident, offset=at, more=at + size < len(body))
        for at, size in zip(starts, sizes, strict=True)
    ]


def of_frames(frames: list[bytes], times_s: list[float], **settings: Any) -> Result:
    """The profile on frames, without a capture."""
    made = in_memory(frames)
    made.records["time_ns"] = np.round(np.array(times_s) * 1e9).astype(np.int64)
    return run("kdd99", kdd_fragments.reread(made, decoded(made)[0]), **settings)


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1], [1, 2, 0], [0, 1, 1, 2], [2, 1, 2, 0]])
def test_fragments_are_one_packet(order: list[int]) -> None:
    parts = fragments(7, [800, 800, 80])
    frames = [parts[i] for i in order]
    result = of_frames(frames, [1 + 2 * i for i in range(len(order))])
    assert result.column("kdd99", "src_bytes") == [sum(map(len, frames))]
    assert SERVICES[int(result.column("kdd99", "service")[0])] == "domain_u"
    assert result.flows["fwd_packets"].tolist() == [1]
    assert result.column("kdd99", "duration") == [2 * (len(order) - 1)]


def test_overlapping_fragments_are_one_packet() -> None:
    whole = fragments(7, [1600])[0][34:]
    frames = [
        ipv4(whole[:1000], ident=7, offset=0, more=True),
        ipv4(whole[800:1600], ident=7, offset=800, more=False),
    ]
    assert len(of_frames(frames, [1, 1.1]).flows) == 1


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_datagram_with_a_missing_fragment_is_none(missing: int) -> None:
    parts = fragments(7, [800, 800, 80])
    del parts[missing]
    assert len(of_frames(parts, [1, 1.1]).flows) == 0


def test_fragments_of_other_datagrams_do_not_mix() -> None:
    one, other = fragments(7, [800, 80]), fragments(8, [800, 80])
    assert len(of_frames([one[0], other[1]], [1, 1.1]).flows) == 0
    both = of_frames([one[0], other[0], other[1], one[1]], [1, 1.1, 1.2, 1.3])
    assert both.flows["fwd_packets"].tolist() == [2]  # of one conversation


@pytest.mark.parametrize(("gap_s", "flows"), [(29.9, 1), (31, 0)])
def test_fragments_wait_for_thirty_seconds(gap_s: float, flows: int) -> None:
    assert len(of_frames(fragments(7, [800, 80]), [1, 1 + gap_s]).flows) == flows


def test_the_datagram_silent_for_longest_makes_room() -> None:
    first = [fragments(i, [800, 80])[0] for i in range(kdd_fragments.PENDING + 1)]
    last = [fragments(i, [800, 80])[1] for i in (0, kdd_fragments.PENDING)]
    times = [1 + i / 1000 for i in range(len(first) + 2)]
    result = of_frames([*first, *last], times)
    assert result.flows["fwd_packets"].tolist() == [1]


# What is not read, and bounds.


def test_only_ipv4_tcp_udp_and_icmp(tmp_path: Path) -> None:
    frames = [
        ipv4(bytes(20), ident=1, offset=0, more=False, protocol=47),
        bytes(12) + b"\x86\xdd" + b"\x60" + bytes(5) + b"\x3a" + bytes(37),
        ipv4(struct.pack(">HHHH", 1, 2, 8, 0), ident=1, offset=0, more=False),
    ]
    path = tmp_path / "made.pcap"
    path.write_bytes(pcap([(1, i, frame) for i, frame in enumerate(frames)]))
    with open_flows(path, "kdd99") as flows:
        (batch,) = flows.batches()
    assert batch.flows["protocol"].tolist() == [17]
    assert batch.sources() == ["10.0.0.1"]


def test_every_packet_is_in_one_conversation_when_time_jumps() -> None:
    packets = [
        p
        for p in random_packets(5, 3000, jitter=True)
        if p["ip_version"] == 4 and p["protocol"] in (1, 6, 17)
    ]
    packets[1000]["time_us"] += 10**15
    packets[2000]["time_us"] = 0
    flows = run("kdd99", to_array(packets)).flows
    assert flows["fwd_packets"].sum() + flows["bwd_packets"].sum() == len(packets)


def test_a_full_table_ends_half_open_conversations_first() -> None:
    kept = talk(OPEN, port=60_000)
    flood = [tcp(101 + i / 1e5, CLIENT, B_HOST, i, 80, S) for i in range(2_000)]
    result = run("kdd99", to_array([*kept, *flood]), memory_bytes=1 << 17)
    assert int(result.state.table.state["evicted"][0]) == ends_of(result).count("evicted") > 0
    assert len(result.flows) == 2_001
    where = result.flows["src_port"].tolist().index(60_000)
    assert ends_of(result)[where] == "capture_end"


def test_the_oldest_half_open_conversation_ends_first() -> None:
    flood = [tcp(101 + i / 1e5, CLIENT, B_HOST, i, 80, S) for i in range(2_000)]
    result = run("kdd99", to_array(flood), memory_bytes=1 << 17)
    assert result.flows["src_port"].tolist() == list(range(2_000))


def test_rows_do_not_depend_on_the_room_for_them() -> None:
    packets = to_array(random_packets(9, 1500))
    packets = packets[np.isin(packets["protocol"], (1, 6, 17)) & (packets["ip_version"] == 4)]
    one, other = run("kdd99", packets, rows=2), run("kdd99", packets, rows=5000)
    np.testing.assert_array_equal(one.features, other.features)


# The schema is that of NSL-KDD.


@pytest.mark.parametrize("name", [name for name, _, _ in PROFILES])
def test_columns_are_those_of_nsl_kdd(name: str) -> None:
    columns = nsl_kdd.SCHEMA.features
    assert schema_named(name).features == (*columns[:9], *columns[22:])


def test_tables_name_categories_as_nsl_kdd_does(tmp_path: Path) -> None:
    path = tmp_path / "made.pcap"
    unreachable = ipv4(b"\x03\x03" + bytes(6), ident=1, offset=0, more=False, protocol=1)
    path.write_bytes(pcap([(1, 0, unreachable)]))
    extract(FlowInput(capture=path), tmp_path / "rows.csv", schema="kdd99")
    header, row = (line.split(",") for line in (tmp_path / "rows.csv").read_text().splitlines())
    values = dict(zip(header, row, strict=True))
    nominal = values["protocol_type"], values["service"], values["flag"]
    assert nominal == ("icmp", "unlisted", "SF")


def test_values_lie_where_those_of_nsl_kdd_do(shared: Path) -> None:
    """A model trained on the 28 columns of its tables gets nothing out of their range."""
    path = shared / "data/pcap/flow-reference/test7-malicious/capture.pcap"
    with open_flows(path, "kdd99") as flows:
        features = np.concatenate([batch.features for batch in flows.batches()])
    table = nsl_kdd.read(shared / "data/nsl-kdd/KDDTest+.txt.gz").rows
    for index, feature in enumerate(schema_named("kdd99").features):
        rows = table[:, nsl_kdd.SCHEMA.names.index(feature.name)]
        if feature.unit in ("share", "category") or feature.name.endswith("count"):
            assert features[:, index].max() <= max(rows.max(), len(feature.categories) - 1)
