"""Features do not depend on how a capture was made: snap length, offloading, tags, checksums."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.flows.capture_files import decoded, in_memory
from tests.flows.engine import run
from tests.flows.packets import packet, to_array
from tests.flows.tcp_frames import (
    ACK,
    CLIENT,
    MSS,
    PSH,
    SERVER,
    SYN,
    Connection,
    Row,
    Segment,
    download,
    merged,
    rows_of,
    write,
)

from idskit.packet import NOT_MERGED
from idskit.profiles.gateway.segments import MOST_SEGMENTS
from idskit.schemas.payload_columns import PAYLOAD

SCHEMA = "gateway-packets"


CONDITIONS = {
    "merged": merged,
    "merged, IP length 0": lambda segments: merged(segments, length=False),
    "tagged": lambda segments: [replace(s, vlan=10) for s in segments],
    "tagged one way": lambda segments: [
        replace(s, vlan=10 if s.src != CLIENT else None) for s in segments
    ],
    "tagged the other way": lambda segments: [
        replace(s, vlan=10 if s.src == CLIENT else None) for s in segments
    ],
    "priority tagged": lambda segments: [
        replace(s, vlan=10 if i else None) for i, s in enumerate(segments)
    ],
    "partial checksums": lambda segments: [replace(s, checksum="partial") for s in segments],
    "wrong checksums": lambda segments: [
        replace(s, checksum="wrong" if s.src == CLIENT else "right") for s in segments
    ],
    "as it is": lambda segments: segments,
}
ENDS = {4: {}, 6: {"client": "2001:db8::99", "server": "2001:db8::14"}}


@pytest.mark.parametrize("version", ENDS)
@pytest.mark.parametrize("snap", [96, 1 << 18])
@pytest.mark.parametrize("condition", CONDITIONS)
def test_the_same_traffic_gives_the_same_rows(
    condition: str, snap: int, version: int, tmp_path: Path
) -> None:
    segments = download(**ENDS[version]).segments
    (expected,) = rows_of(write(tmp_path / "whole.pcap", segments), SCHEMA)
    captured = CONDITIONS[condition](segments)  # type: ignore[no-untyped-call]
    (row,) = rows_of(write(tmp_path / "captured.pcap", captured, snap=snap), SCHEMA)
    cut_off = {feature.name for feature in PAYLOAD} if snap == 96 else set()
    kept = [name for name in expected.features if name not in cut_off]
    assert [row.features[name] for name in kept] == [expected.features[name] for name in kept]
    assert row.features["bwd_payload"] == 12 * MSS + 76
    assert row.vlan in (0, 11)


@pytest.mark.parametrize("mss", [536, 1380, 8960])
def test_a_segment_is_as_long_as_both_ends_announce(mss: int, tmp_path: Path) -> None:
    segments = download(mss).segments
    whole = merged(segments) if mss < 5000 else segments  # 8960 by ten do not fit into a packet
    (expected,) = rows_of(write(tmp_path / "whole.pcap", segments))
    (row,) = rows_of(write(tmp_path / "merged.pcap", whole))
    assert row == expected
    assert row.features["payload_max"] == mss


def test_without_a_syn_a_packet_longer_than_ethernet_carries_was_merged(tmp_path: Path) -> None:
    segments = download().segments[3:]
    (expected,) = rows_of(write(tmp_path / "whole.pcap", segments))
    (row,) = rows_of(write(tmp_path / "merged.pcap", merged(segments)))
    assert row.features == expected.features


def test_an_absurd_segment_size_does_not_multiply_what_is_counted(tmp_path: Path) -> None:
    made = Connection(mss=1).open()
    made.send(PSH | ACK, bytes(1400), back=True)
    (row,) = rows_of(write(tmp_path / "capture.pcap", made.segments))
    assert row.features["bwd_packets"] == 1 + 3  # of 536 bytes, RFC 9293, 3.7.1


UDP = 17


def bursts(protocol: int, size: int, payload: int, gso_size: int) -> list[dict[str, Any]]:
    """A packet, then a burst of segments of ``size``: merged where ``gso_size`` is stated.

    No SYN announces a size, and the segments are larger than Ethernet carries if ``size`` is.
    """
    ends = {"src_port": 4000, "dst_port": 443, "protocol": protocol, "flags": ACK}
    made = [packet(0, CLIENT, SERVER, payload=10, **ends)]
    starts = [0] if gso_size else range(0, payload, size)
    for start in starts:
        left = payload if gso_size else min(size, payload - start)
        fields = ends | {"sequence": 10 + start, "gso_size": gso_size, "payload": left}
        made.append(packet(0.001, CLIENT, SERVER, **fields))
    return made


@pytest.mark.parametrize("protocol", [6, UDP])
@pytest.mark.parametrize("size", [36, 1000, 1448])
def test_a_super_packet_is_cut_by_the_size_that_is_stated(protocol: int, size: int) -> None:
    payload = 20 * size + 7
    cut, merged = (
        run(SCHEMA, to_array(bursts(protocol, size, payload, stated))) for stated in (0, size)
    )
    np.testing.assert_array_equal(merged.features, cut.features)
    np.testing.assert_array_equal(merged.flows, cut.flows)
    assert merged.column(SCHEMA, "payload_max") == [size]
    assert merged.flows["fwd_packets"].tolist() == [22]


@pytest.mark.parametrize("protocol", [6, UDP])
@pytest.mark.parametrize("size", [1, 63])
def test_a_hostile_size_makes_a_bounded_number_of_segments(protocol: int, size: int) -> None:
    result = run(SCHEMA, to_array(bursts(protocol, size, 65_000, size)))
    assert 1 < result.flows["fwd_packets"].item() <= 1 + MOST_SEGMENTS
    assert result.column(SCHEMA, "fwd_payload") == [65_010]


@pytest.mark.parametrize("protocol", [6, UDP])
def test_a_packet_that_is_known_to_be_one_segment_is_not_cut(protocol: int) -> None:
    result = run(SCHEMA, to_array(bursts(protocol, 8948, 8948, NOT_MERGED)))
    assert result.column(SCHEMA, "payload_max") == [8948]


def test_what_is_merged_inside_of_a_tunnel_leaves_the_outer_packet_whole() -> None:
    frame = Segment(time_us=0, payload=bytes(3000)).frame()
    frames = in_memory([frame, frame, frame])
    frames.records["gso_size"], frames.records["gso_protocol"] = 1000, [6, 17, 0]
    rows, _ = decoded(frames)
    assert rows["gso_size"].tolist() == [1000, 0, 1000]


@pytest.mark.parametrize("tags", [(10, 20), (1, 4095)])
def test_two_vlans_are_two_flows(tags: tuple[int, int], tmp_path: Path) -> None:
    segments = download().segments
    both = [replace(s, vlan=tag) for s in segments for tag in tags]
    first, second = rows_of(write(tmp_path / "capture.pcap", both))
    (expected,) = rows_of(write(tmp_path / "whole.pcap", segments))
    assert [first.vlan, second.vlan] == [tag + 1 for tag in tags]
    for name in ("fwd_packets", "bwd_packets", "bwd_payload", "flow_iat_max", "fin_count"):
        assert first.features[name] == second.features[name] == expected.features[name]


def test_tags_at_will_do_not_make_flows_without_end(tmp_path: Path) -> None:
    syns = [Segment(time_us=i, flags=SYN, vlan=1 + i % 4000) for i in range(8000)]
    assert len(rows_of(write(tmp_path / "capture.pcap", syns))) == 9


def test_the_merged_vlans_of_the_cases_come_apart(shared: Path) -> None:
    rows = rows_of(shared / "cases" / "vlan-merged" / "input.pcap")
    counts = [(row.vlan, row.features["fwd_packets"], row.features["bwd_packets"]) for row in rows]
    assert counts == [(11, 6, 4), (21, 6, 4)]


@pytest.mark.parametrize("schema", ["gateway", "packets", "gateway-packets"])
def test_a_snap_length_does_not_change_the_features(schema: str, shared: Path) -> None:
    folder = shared / "cases" / "snaplen"
    full, cut = (rows_of(folder / f"{name}.pcap", schema) for name in ("full", "first-96-bytes"))
    assert [without_payload(row) for row in full] == [without_payload(row) for row in cut]
    assert full


def without_payload(row: Row) -> Row:
    """Drop what payloads mean: of what a capture cut off, nobody can tell."""
    dropped = {each.name for each in PAYLOAD}
    kept = {name: value for name, value in row.features.items() if name not in dropped}
    return replace(row, features=kept)


ICMP, ICMPV6 = 1, 58
ONE, OTHER = "2001:db8::1", "2001:db8::2"


def messages(protocol: int, *sent: tuple[bool, int, int]) -> list[list[int]]:
    """Packets each way of the flows of some messages (from the other side, type, code)."""
    ends = (ONE, OTHER) if protocol == ICMPV6 else (CLIENT, SERVER)
    made = [
        packet(i, *ends[:: -1 if back else 1], protocol=protocol, icmp_type=kind, icmp_code=code)
        for i, (back, kind, code) in enumerate(sent)
    ]
    flows = run("gateway", to_array(made)).flows
    assert not flows["src_port"].any()
    assert not flows["dst_port"].any()
    return [[int(flow["fwd_packets"]), int(flow["bwd_packets"])] for flow in flows]


@pytest.mark.parametrize(
    ("protocol", "sent", "counts"),
    [
        (ICMPV6, [(False, 135, 0), (True, 135, 0)], [[1, 0], [1, 0]]),
        (ICMPV6, [(False, 135, 0), (True, 136, 0)], [[1, 1]]),
        (ICMPV6, [(False, 128, 0), (True, 129, 0), (False, 128, 0)], [[2, 1]]),
        (ICMPV6, [(False, 1, 4), (True, 1, 4)], [[1, 0], [1, 0]]),
        (ICMP, [(False, 8, 0), (True, 0, 0)], [[1, 1]]),
        (ICMP, [(False, 8, 0), (True, 8, 0)], [[1, 0], [1, 0]]),
        (ICMP, [(False, 8, 0), (True, 8, 0), (True, 0, 0), (False, 0, 0)], [[1, 1], [1, 1]]),
        (ICMP, [(False, 3, 3), (True, 3, 3)], [[1, 0], [1, 0]]),
        (ICMP, [(False, 3, 1), (False, 3, 3)], [[1, 0], [1, 0]]),
        (ICMP, [(False, 8, 0), (True, 3, 1), (True, 0, 0)], [[1, 1], [1, 0]]),
    ],
)
def test_a_request_and_its_reply_are_one_flow(
    protocol: int, sent: list[tuple[bool, int, int]], counts: list[list[int]]
) -> None:
    assert sorted(messages(protocol, *sent)) == sorted(counts)
