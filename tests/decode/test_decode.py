"""Decoding frames: against dpkt on real captures, against hand-made headers for the rest."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import dpkt
import numpy as np
import pytest
from tests.flows.capture_files import decoded, in_memory
from tests.flows.effort import examples, some
from tests.flows.headers import (
    AH,
    CLIENT4,
    CLIENT6,
    MACS,
    PREFIXES,
    SEEDS,
    SERVER4,
    SERVER6,
    SNAP,
    UDP_PAYLOAD,
    UDP_SEGMENT,
    VLAN5,
    WIFI,
    extension,
    fragment6,
    ipv4,
    ipv6,
    tcp,
)
from tests.flows.tcp_frames import Segment

from idskit.capture.capture_file import open_capture
from idskit.decode.layers import SKIP_REASONS, decode
from idskit.packet import FRAME, OFFLOADED, PACKET, RIGHT, UNKNOWN, WRONG, Frames

# Against dpkt

RAW_IP = (12, 14, 101, 228, 229)
DPKT_LINKS = {
    0: dpkt.loopback.Loopback,
    1: dpkt.ethernet.Ethernet,
    108: dpkt.loopback.Loopback,
    113: dpkt.sll.SLL,
    276: dpkt.sll2.SLL2,
}


def dpkt_ip(frame: bytes, link_type: int) -> Any:
    """The outermost IP packet, or None."""
    try:
        if link_type in RAW_IP:
            return {4: dpkt.ip.IP, 6: dpkt.ip6.IP6}[frame[0] >> 4](frame)
        layer = DPKT_LINKS[link_type](frame)
    except (dpkt.Error, KeyError, IndexError):
        return None
    while isinstance(layer, dpkt.Packet) and not isinstance(layer, dpkt.ip.IP | dpkt.ip6.IP6):
        layer = layer.data
    return layer if isinstance(layer, dpkt.Packet) else None


def fragment_of(ip: Any) -> int:
    offset, more = 0, False
    if isinstance(ip, dpkt.ip.IP):
        offset, more = ip.offset, ip.mf
    elif 44 in ip.extension_hdrs:
        offset, more = ip.extension_hdrs[44].frag_off, ip.extension_hdrs[44].m_flag
    return 2 if offset else int(more)


def transport_fields(ip: Any) -> dict[str, int]:
    names = ("src_port", "dst_port", "sequence", "acknowledgement", "flags", "window")
    fields = dict.fromkeys((*names, "header_bytes", "payload_bytes", "icmp_type", "icmp_code"), 0)
    t = ip.data
    if isinstance(t, dpkt.tcp.TCP):
        values = (t.sport, t.dport, t.seq, t.ack, t.flags & 255, t.win, t.off * 4, len(t.data))
        fields |= zip((*names, "header_bytes", "payload_bytes"), values, strict=True)
    elif isinstance(t, dpkt.udp.UDP):
        fields |= {"src_port": t.sport, "dst_port": t.dport, "header_bytes": 8}
        fields["payload_bytes"] = len(t.data)
    elif isinstance(t, dpkt.sctp.SCTP):
        fields |= {"src_port": t.sport, "dst_port": t.dport, "header_bytes": 12}
        fields.pop("payload_bytes")  # dpkt cuts it into chunks
    elif isinstance(t, dpkt.icmp.ICMP | dpkt.icmp6.ICMP6):
        fields |= {"icmp_type": t.type, "icmp_code": t.code}
    return fields


def dpkt_fields(ip: Any) -> dict[str, Any]:
    version = 4 if isinstance(ip, dpkt.ip.IP) else 6
    header, size = (ip.ttl, ip.len) if version == 4 else (ip.hlim, ip.plen and ip.plen + 40)
    fields = {"ip_version": version, "ttl": header, "fragment": fragment_of(ip)}
    if size:  # 0: offloaded or a jumbogram; then idskit gives the length of the frame
        fields["ip_bytes"] = size
    if hasattr(ip, "p"):  # dpkt takes ESP for an extension header, and forgets the protocol
        fields["protocol"] = ip.p
    return fields | transport_fields(ip) | {"src": ip.src, "dst": ip.dst}


def address(row: np.void, side: str) -> bytes:
    words = int(row[f"{side}_high"]) << 64 | int(row[f"{side}_low"])
    return words.to_bytes(16, "big")[12 if row["ip_version"] == 4 else 0 :]


def row_fields(row: np.void, names: dict[str, Any]) -> dict[str, Any]:
    numbers = {name: int(row[name]) for name in names if name not in ("src", "dst")}
    return numbers | {"src": address(row, "src"), "dst": address(row, "dst")}


def each_frame(path: Path) -> Iterator[tuple[bytes, int, np.void | None, str]]:
    """(frame, link type, row or None, reason) of a capture, decoded frame by frame."""
    rows = np.zeros(1, PACKET)
    with open_capture(path) as capture:
        for chunk in capture.frames():
            for i, record in enumerate(chunk.records):
                skipped = np.zeros(len(SKIP_REASONS), np.int64)
                one = Frames(data=chunk.data, records=chunk.records[i : i + 1])
                found = decode(one, rows, skipped)
                end = record["offset"] + record["captured"]
                frame = chunk.data[record["offset"] : end].tobytes()
                reason = "" if found else SKIP_REASONS[int(skipped.argmax())]
                yield frame, int(record["link_type"]), rows[0] if found else None, reason


def captures(folder: Path) -> list[Path]:
    suffixes = (".pcap", ".pcapng", ".cap", ".dmp")
    return sorted(path for path in folder.rglob("*") if path.suffix in suffixes)


def test_labelled_captures_decode_as_with_dpkt(shared: Path) -> None:
    compared, arp, reasons = 0, 0, Counter[str]()
    for path in some(captures(shared / "data/pcap/labelled")):
        for frame, link_type, row, reason in each_frame(path):
            ip = dpkt_ip(frame, link_type)
            if row is None:
                assert ip is None, (path.name, reason)
                reasons[reason] += 1
                layer = DPKT_LINKS[link_type](frame) if len(frame) > 14 else None
                arp += layer is not None and isinstance(layer.data, dpkt.arp.ARP)
                continue
            expected = dpkt_fields(ip)
            assert row_fields(row, expected) == expected, path.name
            assert row["captured_bytes"] == len(frame)
            compared += 1
    assert compared > examples(150_000) // 2
    assert reasons["arp"] == arp > examples(1000) // 2
    assert set(reasons) <= {"arp", "not_ip", "truncated_link"}


# dpkt is more forgiving: it hands out a broken header's fields, or the bytes instead.
FORGIVEN = {"bad_ip_header", "truncated_ip", "bad_transport_header", "truncated_transport"}


def test_edge_captures_decode_as_with_dpkt_or_are_skipped_as_broken(shared: Path) -> None:
    compared, skipped = 0, Counter[str]()
    for path in some(captures(shared / "data/pcap/edge")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for frame, link_type, row, reason in each_frame(path):
                if link_type not in DPKT_LINKS and link_type not in RAW_IP:
                    continue
                ip = dpkt_ip(frame, link_type)
                if row is None:
                    skipped.update([] if ip is None else [reason])
                    continue
                assert ip is not None, path
                expected = dpkt_fields(ip)
                assert row_fields(row, expected) == expected, path
                compared += 1
    assert compared > examples(45_000) // 2
    # dpkt looks for Ethernet behind an MPLS label, once, where idskit looks for IP.
    assert skipped.pop("not_ip", 0) <= 1
    assert set(skipped) <= FORGIVEN
    assert sum(skipped.values()) < 60


def only(frames: Frames) -> np.void:
    rows, skipped = decoded(frames)
    assert not skipped
    assert len(rows) == 1
    return rows[0]


@pytest.mark.parametrize(("name", "version"), PREFIXES)
def test_link_layers(name: str, version: int) -> None:
    link_type, prefix = PREFIXES[name, version]
    packet = ipv4() if version == 4 else ipv6()
    row = only(in_memory([prefix + packet], link_type))
    client, server = (CLIENT4, SERVER4) if version == 4 else (CLIENT6, SERVER6)
    assert address(row, "src") == ip_address(client).packed
    assert address(row, "dst") == ip_address(server).packed
    assert (row["ip_version"], row["protocol"], row["ttl"]) == (version, 17, 61)
    assert (row["src_port"], row["dst_port"], row["header_bytes"]) == (1111, 2222, 8)
    assert (row["payload_bytes"], row["ip_bytes"]) == (len(UDP_PAYLOAD), len(packet))
    assert (row["cut_bytes"], row["captured_bytes"]) == (0, len(prefix) + len(packet))


@pytest.mark.parametrize(("name", "version"), PREFIXES)
def test_a_payload_is_found_behind_every_link_layer(name: str, version: int) -> None:
    link_type, prefix = PREFIXES[name, version]
    frame = prefix + (ipv4() if version == 4 else ipv6())
    frames = in_memory([frame, frame + bytes(9), frame[:-3]], link_type)  # padded, cut off
    assert payloads_of(frames) == [UDP_PAYLOAD, UDP_PAYLOAD, UDP_PAYLOAD[:-3]]


@pytest.mark.parametrize(
    ("packet", "payload"),
    [
        (ipv4(tcp(b"abc", words=8), protocol=6), b"abc"),
        (ipv4(tcp(b"abc"), protocol=6, options=bytes(8)), b"abc"),
        (ipv4(tcp(b""), protocol=6), b""),
        (ipv4(tcp(bytes(12), words=8)[:21], protocol=6, total=52 + 12), b""),  # cut in its header
        (ipv4(b"\x08\0" + bytes(6) + b"ping", protocol=1), b"ping"),
        (ipv4(b"\x03\x0d\0\0", protocol=1), b""),
        (ipv6(extension(17) + UDP_SEGMENT, protocol=0), UDP_PAYLOAD),
        (ipv4(struct.pack(">HHII", 5, 6, 0, 0) + b"chunk", protocol=132), b"chunk"),
        (ipv4(bytes(30), protocol=47), b""),
        (ipv4(UDP_SEGMENT, total=0), UDP_PAYLOAD),
        (ipv4(UDP_SEGMENT, fragment=1), b""),
    ],
)
def test_where_a_payload_lies(packet: bytes, payload: bytes) -> None:
    before = ipv4(tcp(b"of another packet"), protocol=6)
    frames = in_memory([before, packet, before], 101)
    assert payloads_of(frames) == [b"of another packet", payload, b"of another packet"]


def payloads_of(frames: Frames) -> list[bytes]:
    rows, skipped = decoded(frames)
    assert not skipped
    assert not rows["payload_kept"].any()
    spans = zip(rows["payload_at"].tolist(), rows["payload_held"].tolist(), strict=True)
    return [frames.data[at : at + size].tobytes() for at, size in spans]


@pytest.mark.parametrize(
    ("name", "vlan"), [("ethernet", 0), ("vlan", 6), ("qinq", 10), ("cooked-vlan", 6)]
)
def test_outermost_vlan_is_kept_plus_one(name: str, vlan: int) -> None:
    link_type, prefix = PREFIXES[name, 4]
    assert only(in_memory([prefix + ipv4()], link_type))["vlan"] == vlan


def test_ipv4_is_mapped() -> None:
    row = only(in_memory([ipv4()], 101))
    assert (row["src_high"], row["src_low"]) == (0, 0xFFFF_C000_0201)


def test_tcp_fields() -> None:
    row = only(in_memory([ipv4(tcp(b"abc", words=8), protocol=6)], 101))
    assert (row["sequence"], row["acknowledgement"]) == (0xFEDCBA98, 0x89ABCDEF)
    assert (row["flags"], row["window"]) == (0xD2, 0xF00D)
    assert (row["header_bytes"], row["payload_bytes"]) == (32, 3)


@pytest.mark.parametrize("protocol", [1, 58])
def test_icmp_fields(protocol: int) -> None:
    row = only(in_memory([ipv4(bytes([3, 13]) + bytes(6), protocol=protocol)], 101))
    assert (row["icmp_type"], row["icmp_code"]) == (3, 13)
    assert (row["src_port"], row["header_bytes"], row["payload_bytes"]) == (0, 0, 0)


def test_sctp_has_ports_and_a_header_of_twelve_bytes() -> None:
    row = only(in_memory([ipv4(struct.pack(">HHII", 5, 6, 0, 0) + bytes(20), protocol=132)], 101))
    assert (row["src_port"], row["dst_port"]) == (5, 6)
    assert (row["header_bytes"], row["payload_bytes"]) == (12, 20)


@pytest.mark.parametrize("protocol", [0, 2, 47, 50, 89, 255])
def test_other_protocols_keep_their_number(protocol: int) -> None:
    row = only(in_memory([ipv4(bytes(30), protocol=protocol)], 101))
    assert (row["protocol"], row["src_port"], row["payload_bytes"]) == (protocol, 0, 0)


def test_ipv4_options_are_passed_over() -> None:
    row = only(in_memory([ipv4(options=bytes(40))], 101))
    assert (row["src_port"], row["payload_bytes"]) == (1111, len(UDP_PAYLOAD))


def test_padding_is_no_payload() -> None:
    row = only(in_memory([MACS + b"\x08\0" + ipv4() + bytes(6)], 1))
    assert (row["cut_bytes"], row["payload_bytes"]) == (0, len(UDP_PAYLOAD))


@pytest.mark.parametrize("packet", [ipv4(total=0), ipv6(size=0)])
def test_length_zero_means_the_whole_frame(packet: bytes) -> None:
    row = only(in_memory([packet], 101))
    assert (row["ip_bytes"], row["payload_bytes"]) == (len(packet), len(UDP_PAYLOAD))


def test_payload_counts_captured_bytes_only() -> None:
    row = only(in_memory([ipv4(tcp(bytes(1000)), protocol=6)[:140]], 101))
    assert (row["ip_bytes"], row["captured_bytes"], row["payload_bytes"]) == (1040, 140, 100)
    assert row["cut_bytes"] == 900


@pytest.mark.parametrize(
    ("options", "mss"),
    [
        (b"\2\4\5\xb4", 1460),
        (b"\1\1\2\4\5\xb4\0\0", 1460),
        (b"\4\2\2\4\5\xb4\1\1", 1460),
        (b"\0\0\0\0\2\4\5\xb4", 0),
        (b"\4\0\2\4\5\xb4\1\1", 1460),
        (b"\1\1\1\2", 0),
        (b"", 0),
    ],
)
def test_a_syn_announces_its_segment_size(options: bytes, mss: int) -> None:
    whole = tcp(words=5 + len(options) // 4, flags=2)[:20] + options
    assert only(in_memory([ipv4(whole, protocol=6)], 101))["mss"] == mss
    assert only(in_memory([ipv4(whole[:20], protocol=6, total=20 + len(whole))], 101))["mss"] == 0


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("payload", [b"", b"odd"])
@pytest.mark.parametrize("flags", [1, 2, 4, 16])
def test_checksums_of_segments_that_decide_are_judged(
    flags: int, payload: bytes, version: int
) -> None:
    ends = {"src": "2001:db8::1", "dst": "2001:db8::2"} if version == 6 else {}
    found = [
        int(only(in_memory([frame], 1))["checksum"])
        for frame in (
            Segment(time_us=0, flags=flags, payload=payload, checksum=checksum, **ends).frame()
            for checksum in ("right", "wrong", "partial", "zero")
        )
    ]
    assert found == ([UNKNOWN] * 4 if flags == 16 else [RIGHT, WRONG, OFFLOADED, OFFLOADED])


def test_the_checksum_of_what_was_not_captured_is_unknown() -> None:
    whole = Segment(time_us=0, flags=1, payload=b"payload").frame()
    assert only(in_memory([whole[:-1]], 1))["checksum"] == UNKNOWN


def test_a_wrong_checksum_of_the_ip_header_is_wrong() -> None:
    frame = bytearray(Segment(time_us=0, flags=2).frame())
    frame[14 + 8] = 1  # the time to live, as a router would have counted it
    assert only(in_memory([bytes(frame)], 1))["checksum"] == WRONG


def test_options_cut_by_the_snapshot_length_do_not_matter() -> None:
    row = only(in_memory([ipv4(tcp(words=15), protocol=6)[:40]], 101))
    assert (row["flags"], row["header_bytes"], row["payload_bytes"]) == (0xD2, 60, 0)


@pytest.mark.parametrize(
    ("fragment", "kind", "port"), [(0x4000, 0, 1111), (0x2000, 1, 1111), (0x2005, 2, 0), (5, 2, 0)]
)
def test_ipv4_fragments(fragment: int, kind: int, port: int) -> None:
    row = only(in_memory([ipv4(fragment=fragment)], 101))
    assert (row["fragment"], row["src_port"]) == (kind, port)
    assert bool(row["payload_bytes"]) == (kind != 2)


@pytest.mark.parametrize(
    ("first", "headers"),
    [
        (0, extension(17)),
        (43, extension(17, 24)),
        (60, extension(17, 16)),
        (51, AH),
        (0, extension(43) + extension(60, 40) + extension(51) + AH),
    ],
)
def test_ipv6_extension_headers_are_passed_over(first: int, headers: bytes) -> None:
    row = only(in_memory([ipv6(headers + UDP_SEGMENT, protocol=first)], 101))
    assert (row["protocol"], row["src_port"], row["payload_bytes"]) == (17, 1111, len(UDP_PAYLOAD))


@pytest.mark.parametrize(("offset", "more", "kind"), [(0, 0, 0), (0, 1, 1), (3, 1, 2), (3, 0, 2)])
def test_ipv6_fragments(offset: int, more: int, kind: int) -> None:
    packet = ipv6(fragment6(17, offset, more) + UDP_SEGMENT, protocol=44)
    row = only(in_memory([packet], 101))
    assert (row["fragment"], row["protocol"]) == (kind, 17)
    assert row["src_port"] == (0 if kind == 2 else 1111)


def test_a_row_keeps_nothing_of_the_packet_before() -> None:
    frames = [ipv4(tcp(b"x"), protocol=6), ipv4(b"\x08\0" + bytes(6), protocol=1), ipv6()]
    buffer = in_memory(frames, 101)
    together = decoded(buffer)[0]
    apart = np.concatenate([decoded(in_memory([frame], 101))[0] for frame in frames])
    apart["payload_at"] += np.where(apart["payload_at"], buffer.records["offset"], 0)
    assert together.tolist() == apart.tolist()


REASONS = [
    ("link_type", 147, ipv4()),
    ("link_type", 0xFFFFFFFF, ipv4()),
    ("truncated_link", 1, MACS + b"\x08"),
    ("truncated_link", 1, MACS + VLAN5[:3]),
    ("truncated_link", 1, MACS + b"\x88\x47\0\0\x10\x40\0"),
    ("truncated_link", 1, MACS + b"\x88\x64\x11\0\0\x01"),
    ("truncated_link", 113, bytes(15)),
    ("truncated_link", 276, bytes(19)),
    ("truncated_link", 0, b"\x02\0\0"),
    ("truncated_link", 9, b"\xff\x03\0"),
    ("truncated_link", 105, WIFI[:23]),
    ("truncated_link", 127, b"\0\0\x08"),
    ("truncated_link", 127, b"\0\0\xff\xff" + WIFI),
    ("arp", 1, MACS + b"\x08\x06" + bytes(28)),
    ("arp", 113, bytes(14) + b"\x08\x06" + bytes(28)),
    ("not_ip", 1, MACS + b"\x88\xcc" + bytes(40)),
    ("not_ip", 1, MACS + b"\0\x26\x42\x42\x03" + bytes(35)),
    ("not_ip", 1, MACS + b"\x88\x63" + bytes(40)),
    ("not_ip", 1, MACS + b"\x88\x47\0\0\x11\x40" + bytes(40)),
    ("not_ip", 0, b"\x07\0\0\0" + ipv4()),
    ("not_ip", 105, b"\x08\x41" + WIFI[2:] + SNAP + b"\x08\0" + ipv4()),
    ("not_ip", 105, b"\x80\0" + bytes(40)),
    ("truncated_ip", 101, b""),
    ("truncated_ip", 101, ipv4()[:19]),
    ("truncated_ip", 101, ipv4(options=bytes(8))[:27]),
    ("truncated_ip", 101, ipv6()[:39]),
    ("truncated_ip", 101, ipv6(extension(17, 16) + UDP_SEGMENT, protocol=0)[:55]),
    ("truncated_ip", 101, ipv6(extension(17) + UDP_SEGMENT, protocol=0)[:47]),
    ("bad_ip_header", 101, ipv4(first=0x50)),
    ("bad_ip_header", 228, ipv6()),
    ("bad_ip_header", 229, ipv4() + bytes(20)),
    ("bad_ip_header", 101, b"\x44" + ipv4()[1:]),
    ("bad_ip_header", 101, ipv4(total=19)),
    ("bad_ip_header", 101, ipv6(extension(17, 16), protocol=60, size=12)),
    ("bad_ip_header", 101, ipv6(extension(17), protocol=60, size=4)),
    ("truncated_transport", 101, ipv4()[:27]),
    ("truncated_transport", 101, ipv4(tcp(), protocol=6)[:39]),
    ("truncated_transport", 101, ipv6()[:47]),
    ("bad_transport_header", 101, ipv4(total=27)),
    ("bad_transport_header", 101, ipv4(tcp(words=5), protocol=6, total=39)),
    ("bad_transport_header", 101, ipv4(tcp(words=5)[:12] + b"\x40" + tcp()[13:], protocol=6)),
    ("bad_transport_header", 101, ipv4(tcp(words=15), protocol=6, total=79)),
    ("bad_transport_header", 101, ipv4(b"\x08", protocol=1)),
    ("bad_transport_header", 101, ipv4(UDP_SEGMENT[:6], fragment=0x2000)),
]


@pytest.mark.parametrize(("reason", "link_type", "frame"), REASONS)
def test_what_cannot_be_decoded_is_counted_under_its_name(
    reason: str, link_type: int, frame: bytes
) -> None:
    rows, skipped = decoded(in_memory([frame], link_type))
    assert len(rows) == 0
    assert skipped == {reason: 1}


def test_each_reason_has_an_example() -> None:
    assert {reason for reason, _, _ in REASONS} == set(SKIP_REASONS) - {"reassembled"}


def test_good_frames_between_bad_ones_fill_the_first_rows() -> None:
    rows, skipped = decoded(in_memory([b"", ipv4(), b"\0", ipv6(), b""], 101))
    assert rows["ip_version"].tolist() == [4, 6]
    assert skipped == {"truncated_ip": 2, "bad_ip_header": 1}


@pytest.mark.parametrize("time_ns", [-(2**63), -1, 0, 1999, 2**63 - 1])
def test_any_time_is_truncated_to_microseconds(time_ns: int) -> None:
    frames = in_memory([ipv4()], 101)
    frames.records["time_ns"] = time_ns
    assert only(frames)["time_us"] == time_ns // 1000


def test_records_that_point_outside_the_buffer_read_nothing_there() -> None:
    records = np.zeros(4, FRAME)
    records["offset"] = [-5, 2**62, 10, 0]
    records["captured"] = [2**32 - 1, 100, 2**32 - 1, 2**32 - 1]
    records["link_type"] = 101
    frames = Frames(data=np.frombuffer(bytearray(ipv4()), np.uint8), records=records)
    rows, skipped = decoded(frames)
    assert len(rows) + sum(skipped.values()) == 4


@pytest.mark.parametrize(("rows", "counters"), [(1, 9), (2, 8)])
def test_too_little_room_is_refused(rows: int, counters: int) -> None:
    frames = in_memory([ipv4(), ipv4()], 101)
    with pytest.raises(ValueError, match="2 frames need"):
        decode(frames, np.zeros(rows, PACKET), np.zeros(counters, np.int64))


def damaged_frames() -> str:
    """What a fixed set of broken frames of all kinds decodes to."""
    rng = np.random.default_rng(5)
    rows, skipped = [], np.zeros(len(SKIP_REASONS), np.int64)
    for link_type, seed in SEEDS:
        frames = [seed[:size] for size in range(len(seed))]
        for _ in range(30):
            frame = bytearray(seed)
            for at in rng.integers(0, len(seed), 3):
                frame[at] = rng.integers(256)
            frames.append(bytes(frame))
        out = np.zeros(len(frames), PACKET)
        rows.append(out[: decode(in_memory(frames, link_type), out, skipped)])
    return f"{np.concatenate(rows).tolist()} {skipped.tolist()}"


_PRINT = "from tests.decode.test_decode import damaged_frames; print(damaged_frames())"


def test_the_same_without_compilation() -> None:
    """Python raises where a compiled kernel would read past the end; so do checked bounds, in
    which ``make test-boundscheck`` compares the same.
    """
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", _PRINT],
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=True,
        text=True,
    )
    assert run.stdout.strip() == damaged_frames()
