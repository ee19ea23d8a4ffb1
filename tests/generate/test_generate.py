"""Generated captures: read back with dpkt, and held against their labels and the protocols."""

from __future__ import annotations

import csv
import errno
import os
import struct
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import dpkt
import numpy as np
import pytest
from tests.flows.effort import examples

from idskit.errors import DataError, IdskitError
from idskit.generate import LABEL_COLUMNS, MIXES, GeneratedCapture, generate
from idskit.generate import endpoints as ends
from idskit.generate.library import write_library
from idskit.generate.schedule import Traffic
from idskit.kernels.compile import is_compiling

PACKETS = {"home": 6000, "benign": 4000, "mixed": 20_000, "flood": 5000}
Key = tuple[bytes, int, bytes, int, int]


@pytest.fixture(scope="module", params=PACKETS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    mix: str = request.param
    path = tmp_path_factory.mktemp("made") / f"{mix}.pcap"
    return generate(path, packets=PACKETS[mix], mix=mix, seed=1)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> GeneratedCapture:
    return generate(tmp_path_factory.mktemp("home") / "home.pcap", packets=20_000, seed=2)


def packets_of(path: Path) -> list[tuple[int, bytes, Any]]:
    """(microseconds, frame, IP packet) of each frame, by dpkt."""
    with path.open("rb") as file:
        return [
            (round(seconds * 1e6), frame, dpkt.ethernet.Ethernet(frame).data)
            for seconds, frame in dpkt.pcap.Reader(file)
        ]


def key_of(ip: Any) -> Key:
    has_ports = ip.p in (6, 17)
    ports = (ip.data.sport, ip.data.dport) if has_ports else (0, 0)
    return ip.src, ports[0], ip.dst, ports[1], ip.p


def flows_of(path: Path) -> dict[Key, list[tuple[int, Any, bool]]]:
    """(microseconds, IP packet, from the side that began) by five-tuple of the first packet."""
    flows: dict[Key, list[tuple[int, Any, bool]]] = {}
    for time_us, _, ip in packets_of(path):
        src, sport, dst, dport, protocol = key = key_of(ip)
        reverse = (dst, dport, src, sport, protocol)
        if reverse in flows:
            flows[reverse].append((time_us, ip, False))
        else:
            flows.setdefault(key, []).append((time_us, ip, True))
    return flows


def labels_of(made: GeneratedCapture) -> list[dict[str, str]]:
    with made.labels.open() as file:
        return list(csv.DictReader(file))


def label_key(row: dict[str, str]) -> Key:
    src, dst = ip_address(row["src_ip"]).packed, ip_address(row["dst_ip"]).packed
    return src, int(row["src_port"]), dst, int(row["dst_port"]), int(row["protocol"])


def test_labels_agree_with_the_packets(made: GeneratedCapture) -> None:
    flows = flows_of(made.path)
    rows = labels_of(made)
    found = {label_key(row): (int(row["packets"]), int(row["start_us"])) for row in rows}
    assert len(found) == len(rows) == made.flows  # no flow twice
    assert found == {key: (len(packets), packets[0][0]) for key, packets in flows.items()}
    assert tuple(rows[0]) == LABEL_COLUMNS


def test_result_tells_what_was_written(made: GeneratedCapture) -> None:
    packets = packets_of(made.path)
    assert made.packets == len(packets) == PACKETS[made.path.stem]
    assert made.bytes == made.path.stat().st_size
    assert made.duration_s == pytest.approx((packets[-1][0] - packets[0][0]) / 1e6)


def test_times_never_run_backwards(made: GeneratedCapture) -> None:
    times = [time_us for time_us, _, _ in packets_of(made.path)]
    assert times == sorted(times)


def internet_sum(data: bytes) -> int:
    total = sum(struct.unpack(f">{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def test_lengths_and_checksums_are_right(made: GeneratedCapture) -> None:
    for _, frame, ip in packets_of(made.path):
        if ip.v == 4:
            assert internet_sum(frame[14:34]) == 0xFFFF
            segment = frame[34 : 14 + ip.len]
            pseudo = ip.src + ip.dst + struct.pack(">HH", ip.p, len(segment))
        else:
            segment = frame[54 : 54 + ip.plen]
            pseudo = ip.src + ip.dst + struct.pack(">IHH", len(segment), 0, ip.p)
        assert internet_sum((b"" if ip.p == 1 else pseudo) + segment) == 0xFFFF
        assert len(frame) == max(60, segment.__len__() + (34 if ip.v == 4 else 54)) <= 1514


OURS = [
    ip_network(net)
    for net in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),  # RFC 1918
        *("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"),  # RFC 5737
        *("198.18.0.0/15", "2001:db8::/32"),  # RFC 2544, RFC 3849
        *("224.0.0.0/4", "ff02::/16", "0.0.0.0/32", "255.255.255.255/32"),  # groups, DHCP
    )
]


def test_addresses_belong_to_nobody(made: GeneratedCapture) -> None:
    rows = labels_of(made)
    addresses = {ip_address(row[side]) for row in rows for side in ("src_ip", "dst_ip")}
    strangers = {
        a for a in addresses if not any(a in net for net in OURS if net.version == a.version)
    }
    assert not strangers


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    captures = [generate(tmp_path / f"{n}.pcap", packets=3000, seed=n // 2) for n in range(3)]
    first, second, other = (capture.path.read_bytes() for capture in captures)
    assert first == second != other
    assert captures[0].labels.read_bytes() == captures[1].labels.read_bytes()


def test_same_bytes_without_compilation(tmp_path: Path) -> None:
    code = "import sys; from idskit.generate import generate as g; g(sys.argv[1], packets=700)"
    subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(tmp_path / "plain.pcap")],
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        check=True,
    )
    generate(tmp_path / "compiled.pcap", packets=700)
    assert (tmp_path / "plain.pcap").read_bytes() == (tmp_path / "compiled.pcap").read_bytes()


def test_connections_number_and_acknowledge_every_byte(home: GeneratedCapture) -> None:
    """What a TCP receiver checks: each segment begins where the last one ended."""
    connections = 0
    for key, packets in flows_of(home.path).items():
        if key[4] != 6:
            continue
        connections += 1
        following: dict[bool, int] = {}
        for _, ip, forward in packets:
            t = ip.data
            syn, fin = bool(t.flags & 2), bool(t.flags & 1)
            if forward in following and not syn:
                assert t.seq == following[forward]
            if t.flags & 16:
                assert t.ack == following[not forward]
            following[forward] = (t.seq + len(t.data) + syn + fin) % 2**32
    assert connections > 500


def test_connections_open_with_a_handshake(home: GeneratedCapture) -> None:
    for key, packets in flows_of(home.path).items():
        if key[4] == 6:
            flags = [ip.data.flags for _, ip, _ in packets]
            assert flags[0] == 2
            carrying = [bool(ip.data.data) for _, ip, _ in packets]
            if any(carrying):
                assert flags[:3] == [2, 18, 16]


def test_options_say_what_their_length_says(home: GeneratedCapture) -> None:
    kinds = Counter(
        tuple(kind for kind, _ in dpkt.tcp.parse_opts(ip.data.opts))
        for _, _, ip in packets_of(home.path)
        if ip.p == 6
    )
    assert set(kinds) == {
        (),
        (2,),  # maximum segment size
        (1, 1, 8),  # timestamps
        (2, 4, 8, 1, 3),  # and selective acknowledgements, window scale
        (2, 1, 3, 1, 1, 4),
        (2, 1, 3, 1, 1, 8, 4, 0, 0),
    }


def payloads(made: GeneratedCapture, category: str, port: int) -> list[bytes]:
    named = {label_key(row) for row in labels_of(made) if row["category"] == category}
    flows = flows_of(made.path)
    return [
        ip.data.data
        for key in sorted(named)
        for _, ip, _ in flows[key]
        if port in (ip.data.sport, ip.data.dport) and ip.data.data
    ]


def _is_dns(payload: bytes) -> bool:
    message = dpkt.dns.DNS(payload)
    return bool(message.qd or message.an) and bytes(message.pack()[:2]) == payload[:2]


def _is_ntp(payload: bytes) -> bool:
    return len(payload) == 48 and dpkt.ntp.NTP(payload).mode in (3, 4)


def _is_dhcp(payload: bytes) -> bool:
    return dict(dpkt.dhcp.DHCP(payload).opts)[53] in (b"\1", b"\3", b"\5")


def _is_ssdp(payload: bytes) -> bool:
    return payload.startswith(b"M-SEARCH * HTTP/1.1\r\n") and payload.endswith(b"\r\n\r\n")


def _is_mqtt(payload: bytes) -> bool:
    """One whole control packet: kind, remaining length in groups of seven bits, the rest."""
    size, at = payload[1] & 127, 2
    if payload[1] & 128:
        size, at = size + (payload[2] << 7), 3
    return payload[0] >> 4 in (1, 2, 3, 8, 9, 12, 13, 14) and len(payload) == at + size


@pytest.mark.parametrize(
    ("category", "port", "parses"),
    [
        ("dns", 53, _is_dns),
        ("mdns", 5353, _is_dns),
        ("ntp", 123, _is_ntp),
        ("dhcp", 67, _is_dhcp),
        ("ssdp", 1900, _is_ssdp),
        ("mqtt", 1883, _is_mqtt),
    ],
)
def test_messages_parse(
    home: GeneratedCapture, category: str, port: int, parses: Callable[[bytes], bool]
) -> None:
    messages = payloads(home, category, port)
    assert len(messages) > 20
    assert all(map(parses, messages))


def test_web_requests_parse(home: GeneratedCapture) -> None:
    requests = [p for p in payloads(home, "http", 80) if p.startswith(b"GET ")]
    assert len(requests) > 20
    assert all(dpkt.http.Request(request).headers["host"] for request in requests)


def test_tls_begins_with_a_hello(home: GeneratedCapture) -> None:
    named = {label_key(row) for row in labels_of(home) if row["category"] == "https"}
    flows = flows_of(home.path)
    hellos = 0
    for key in named:
        sent = [ip.data.data for _, ip, forward in flows[key] if forward and ip.data.data]
        if sent:
            record = dpkt.ssl.TLSRecord(sent[0])
            assert (record.type, record.data[0]) == (22, 1)
            hellos += 1
    assert hellos > 30


def test_pings_are_answered_with_their_own_numbers(home: GeneratedCapture) -> None:
    answered = 0
    for key, packets in flows_of(home.path).items():
        if key[4] in (1, 58):
            asked = {bytes(ip.data)[4:8] for _, ip, forward in packets if forward}
            replies = [bytes(ip.data)[4:8] for _, ip, forward in packets if not forward]
            assert set(replies) <= asked
            answered += len(replies)
    assert answered > 50


def test_a_home_sees_every_attack_and_every_kind_of_daily_life(home: GeneratedCapture) -> None:
    categories = defaultdict(set)
    for row in labels_of(home):
        categories[row["label"]].add(row["category"])
    daily = {"dns", "ntp", "mqtt", "https", "http", "ssh", "ssdp", "dhcp", "mdns", "ping"}
    assert categories["benign"] == daily
    assert categories["attack"] == {
        *("port-scan", "address-scan", "ssh-guessing", "telnet-guessing"),
        *("mirai-scan", "syn-flood", "udp-flood"),
    }


def test_the_sample_fits_into_a_megabyte(tmp_path: Path) -> None:
    sample = generate(tmp_path / "sample.pcap", packets=3600)
    assert sample.bytes <= 1_000_000
    attacks = {row["category"] for row in labels_of(sample) if row["label"] == "attack"}
    assert len(attacks) == 7


def test_mirai_numbers_its_probes_by_the_address(home: GeneratedCapture) -> None:
    flows = flows_of(home.path)
    probes = 0
    for row in labels_of(home):
        _, ip, _ = flows[label_key(row)][0]
        if row["category"] == "mirai-scan" and not ip.data.opts:
            assert ip.data.seq == int.from_bytes(ip.dst, "big")
            assert ip.data.dport in (23, 2323)
            probes += 1
    assert probes > 100


def test_a_benign_capture_holds_no_attack(tmp_path: Path) -> None:
    rows = labels_of(generate(tmp_path / "calm.pcap", packets=2000, mix="benign"))
    assert {row["label"] for row in rows} == {"benign"}


def test_a_flood_is_one_packet_a_flow(tmp_path: Path) -> None:
    flood = generate(tmp_path / "flood.pcap", packets=examples(50_000), mix="flood")
    assert flood.flows == flood.packets


@pytest.mark.skipif(not is_compiling(), reason="takes minutes; smaller ones are compared")
def test_the_mix_for_benchmarks_has_the_sizes_it_was_made_for(tmp_path: Path) -> None:
    """About 436 bytes a packet and 149,000 five-tuples in two million packets."""
    mixed = generate(tmp_path / "mixed.pcap", packets=150_000, mix="mixed")
    assert 400 < mixed.bytes / mixed.packets < 500
    assert 8 < mixed.packets / mixed.flows < 16


@pytest.mark.parametrize(
    "endpoint",
    [
        ends.servers(443),
        ends.servers(443, ipv6=True),
        ends.gateway(53),
        ends.group(0xEFFFFFFA, 1900),
        ends.forged(1, 80),
        ends.bombard(1),
        ends.stream(1, 9),
        ends.scan(1),
        ends.sweep((22, 23, 80)),
        ends.guess((1, 2), 22),
        ends.search(1),
        ends.call_strangers(1, 23),
    ],
)
def test_no_two_flows_share_their_ends(endpoint: ends.Endpoints) -> None:
    """Far beyond the number of ports, in several goes."""
    rng = np.random.default_rng(0)
    network = ends.Network(lan=0xC0A80100, hosts=3, rng=rng)
    goes = []
    for first in range(0, 300_000, 100_000):
        rows = np.zeros(100_000, ends.FLOW)
        clients = rng.integers(0, 3, len(rows))
        endpoint(ends.NewFlows(network=network, rows=rows, clients=clients, first=first))
        goes.append(rows)
    names = ["client_high", "client_low", "server_high", "server_low", "client_port", "server_port"]
    ends_ = np.concatenate(goes)[names].tolist()
    assert len(set(ends_)) == len(ends_)


@pytest.mark.parametrize("mix", ["mixed", "flood"])
def test_flows_are_let_go_when_they_end(mix: str) -> None:
    packets = 1_000_000
    traffic = Traffic(MIXES[mix], write_library(MIXES[mix].activities, packets, 0), packets, 0)
    ended, alive = 0, []
    for _ in range(20):
        ended += len(traffic.settle(traffic.advance()))
        alive.append(len(traffic.flows))
    assert ended > 5 * max(alive)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"packets": 10, "mix": "office"}, "choose one of home, benign, mixed, flood"),
        ({"packets": 0}, "at least 1 packet"),
        ({"packets": 1, "seed": -1}, "a seed of at least 0"),
    ],
)
def test_bad_wishes_are_refused(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        generate(tmp_path / "x.pcap", **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["x", "x.pcapg", "x.pcap.gz", "x.csv", "-"])
def test_a_format_that_it_does_not_write_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"ends in none of \.pcap, \.pcapng"):
        generate(tmp_path / name, packets=10)
    assert not list(tmp_path.iterdir())


def test_pcapng_holds_the_packets_of_the_pcap(tmp_path: Path) -> None:
    pcap, pcapng = (generate(tmp_path / name, packets=700) for name in ("a.pcap", "a.pcapng"))
    with pcap.path.open("rb") as plain, pcapng.path.open("rb") as blocks:
        expected = list(dpkt.pcap.Reader(plain))
        assert [(round(t * 1e6), f) for t, f in dpkt.pcapng.Reader(blocks)] == [
            (round(t * 1e6), f) for t, f in expected
        ]
    assert len(expected) == 700
    assert pcapng.bytes == pcapng.path.stat().st_size


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(IdskitError, match="cannot be written: No such file or directory"):
        generate(tmp_path / "missing" / "x.pcap", packets=10)


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.pcap"
    path.write_bytes(b"older")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("idskit.generate.generate_capture.CaptureWriter._write_labels", fail)
    with pytest.raises(IdskitError, match="No space left on device"):
        generate(path, packets=10)
    assert path.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [path]
