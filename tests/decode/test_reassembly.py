"""Fragments put together, against plain Python, against the packets that they were cut from."""

from __future__ import annotations

import itertools
import os
import random
import struct
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.flows.capture_files import decoded, in_memory, pcap, read
from tests.flows.effort import examples
from tests.flows.fragmentation import Naive, cut, cut_frame, held_by, named, piece4, piece6, run
from tests.flows.headers import AH, extension, tcp

from idskit.decode.datagrams import SLOTS, make_datagrams
from idskit.decode.layers import SKIP_REASONS
from idskit.decode.reassembly import reassemble
from idskit.packet import PACKET
from idskit.profiles import open_flows
from idskit.profiles.flow_reader import FlowBatch, FlowStatistics
from idskit.schemas.gateway_columns import FRAGMENTS
from idskit.schemas.payload_columns import PAYLOAD

ROOT = Path(__file__).resolve().parents[2]
SECOND = 1_000_000


def udp(size: int = 32, port: int = 53) -> bytes:
    return struct.pack(">HHHH", 5000, port, size, 0) + bytes(at % 256 for at in range(8, size))


def rows_of(packets: list[bytes], times_us: list[int] | None = None) -> list[dict[str, Any]]:
    found = run(packets, times_us or [0] * len(packets))
    return [named(row, data) for row, data in zip(found.rows, found.payloads, strict=True)]


def only(packets: list[bytes], times_us: list[int] | None = None) -> dict[str, Any]:
    (row,) = rows_of(packets, times_us)
    return row


def counted(row: dict[str, int]) -> tuple[int, ...]:
    return tuple(row[f"{kind}fragments"] for kind in ("", "tiny_", "overlapping_"))


# Against plain Python.

_PAYLOADS = {
    6: tcp(bytes(30)),
    17: udp(40),
    1: b"\x03\x01" + bytes(22),
    132: bytes(range(24)),
    47: bytes(24),
}


@st.composite
def _pieces(draw: st.DrawFn) -> bytes:
    """A fragment, mostly one of a few datagrams of few keys, sometimes one that lies."""
    protocol = draw(st.sampled_from(sorted(_PAYLOADS)))
    make, ident = draw(st.sampled_from([piece4, piece6])), draw(st.integers(1, 2))
    data, size = _PAYLOADS[protocol], draw(st.sampled_from([8, 16, 24]))
    fields = {"ident": ident, "protocol": protocol}
    if draw(st.integers(0, 5)):
        return draw(st.sampled_from(cut(data, size, make, **fields)))
    offset = draw(st.sampled_from([0, 8, 16, 40, 240, 65_528]))
    more = draw(st.booleans()) or not offset
    return make(draw(st.binary(max_size=30)), offset, more=more, **fields)


_STEPS = st.sampled_from([0, 0, 0, 1, 1000, 10 * SECOND, 31 * SECOND, -40 * SECOND])


@settings(max_examples=examples(300), deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(_pieces(), _STEPS), max_size=40))
def test_every_row_equals_that_of_plain_python(events: list[tuple[bytes, int]]) -> None:
    times = list(itertools.accumulate(step for _, step in events))
    naive = Naive()
    for (packet, _), now_us in zip(events, times, strict=True):
        naive.feed(packet, now_us)
    naive.close()
    assert rows_of([packet for packet, _ in events], times or None) == naive.rows


@pytest.mark.parametrize("make", [piece4, piece6])
@pytest.mark.parametrize("size", [8, 16, 24, 40])
def test_fragments_in_any_order_and_number_are_the_packet(make: Any, size: int) -> None:
    """All fragments, some of them more than once before the last one comes, in random order."""
    rng = random.Random(size)
    for protocol, data in _PAYLOADS.items():
        whole = cut(data, 2000, make, protocol=protocol)
        (expected,) = decoded(in_memory(whole, 101))[0]
        for _ in range(examples(20)):
            pieces = cut(data, size, make, protocol=protocol)
            last = pieces.pop(rng.randrange(len(pieces)))
            some = pieces + rng.choices(pieces, k=3) if pieces else []
            rng.shuffle(some)
            row = only([*some, last])
            for name in ("src_port", "dst_port", "flags", "sequence", "window", "icmp_type"):
                assert row[name] == expected[name]
            assert row["payload_bytes"] == expected["payload_bytes"]
            header = 48 if make is piece6 and not some else 20 if make is piece4 else 40
            assert row["ip_bytes"] == header + len(data)


def _print_rows() -> str:
    rng = random.Random(3)
    pool = [
        piece
        for protocol, data in _PAYLOADS.items()
        for make in (piece4, piece6)
        for piece in cut(data, 8, make, protocol=protocol)
    ]
    packets = [bytearray(rng.choice(pool)) for _ in range(400)]
    for packet in packets[::4]:
        packet[rng.randrange(len(packet))] = rng.randrange(256)
    found = run([bytes(packet) for packet in packets], [i * SECOND for i in range(400)])
    return f"{found.rows.tolist()} {found.skipped} {found.counts}"


_PRINT = "from tests.decode.test_reassembly import _print_rows; print(_print_rows())"


def test_the_same_without_compilation() -> None:
    command, environment = [sys.executable, "-W", "error", "-c", _PRINT], {"NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(
        command, env=os.environ | environment, cwd=ROOT, capture_output=True, check=True, text=True
    )
    assert done.stdout.strip() == _print_rows()


# One behaviour each.


@pytest.mark.parametrize("make", [piece4, piece6])
def test_the_first_bytes_of_a_payload_are_kept_and_those_of_an_incomplete_one_are_not(
    make: Any,
) -> None:
    data = udp(2000)
    for size, kept in ((8, 1536), (64, 1536), (800, 1536), (4000, 2000)):  # the last is no fragment
        assert only(cut(data, size, make))["payload"] == data[8:kept]
    assert only(cut(data, 64, make)[:-1])["payload"] == b""


def test_more_datagrams_than_are_kept_at_once_have_their_own_bytes() -> None:
    sent = [udp(40)[:8] + bytes([number]) * 32 for number in range(200)]
    pieces = [piece for ident, data in enumerate(sent) for piece in cut(data, 24, ident=ident)]
    frames, skipped = in_memory(pieces, 101), np.zeros(len(SKIP_REASONS), np.int64)
    table, out = make_datagrams(1 << 24, b"key"), np.zeros(1000, PACKET)
    first, found = 0, []
    while first < len(pieces):
        first, count = reassemble(frames, first, out, skipped, table)
        found += [held_by(row, frames.data, table.kept) for row in out[:count]]
    assert found == [data[8:] for data in sent]


def test_the_header_is_read_however_tiny_the_first_fragment_is() -> None:
    row = only(cut(tcp(b"abc", flags=0x12), 8, protocol=6))
    assert (row["src_port"], row["dst_port"], row["flags"]) == (4000, 443, 0x12)
    assert (row["payload_bytes"], row["ip_bytes"], row["wire_bytes"]) == (3, 43, 83)
    assert counted(row) == (3, 2, 0)


def test_the_packet_stands_where_its_last_fragment_came() -> None:
    assert only(cut(udp(), 16), [5, 9])["time_us"] == 9


def test_the_first_bytes_win_and_overlaps_are_counted() -> None:
    data = udp(24, port=53)
    forged = piece4(udp(16, port=99), 0, more=True)
    row = only([piece4(data[:8], 0, more=True), forged, piece4(data[8:], 8)])
    assert (row["dst_port"], row["incomplete"], counted(row)) == (53, 0, (3, 2, 2))
    row = only([forged, piece4(data[:8], 0, more=True), piece4(data[16:], 16)])
    assert (row["dst_port"], row["incomplete"], counted(row)) == (99, 0, (3, 2, 1))


def test_an_ipv6_datagram_with_an_overlap_reached_nobody() -> None:
    """RFC 5722: discarded with all its fragments, but not unseen."""
    data = tcp(bytes(4))
    pieces = [piece6(data[:16], more=True, protocol=6), piece6(data[8:], 8, protocol=6)]
    row = only(pieces)
    assert (row["incomplete"], row["dst_port"], row["flags"], counted(row)[2]) == (1, 443, 0, 1)


@pytest.mark.parametrize("second", [24, 40])
def test_two_ends_contradict_each_other(second: int) -> None:
    data = udp(32)
    row = only([piece4(data[24:], 24), piece4(bytes(8), second), piece4(data[:24], more=True)])
    assert (row["ip_bytes"], row["incomplete"]) == (52, 0)
    assert row["overlapping_fragments"] == 1


def test_what_lies_past_the_end_does_not_make_a_datagram_whole() -> None:
    past = piece4(bytes(8), 80, more=True)
    row = only([past, piece4(udp()[24:], 24), piece4(udp()[:24], more=True)])
    assert (row["ip_bytes"], row["incomplete"], row["overlapping_fragments"]) == (52, 0, 1)
    row = only([past, piece4(udp()[24:], 24), piece4(udp()[:16], more=True)])
    assert row["incomplete"] == 1


@pytest.mark.parametrize("make", [piece4, piece6])
def test_a_ping_of_death_is_incomplete(make: Any) -> None:
    data, protocol = bytes(65_528), 1 if make is piece4 else 58
    pieces = cut(data, 8192, make, protocol=protocol)[:-1]
    pieces += [make(data[57_344:65_528], 57_344, more=True, protocol=protocol)]
    row = only([*pieces, make(bytes(1000), 65_528, protocol=protocol)])
    assert (row["incomplete"], row["overlapping_fragments"]) == (1, 0 + (row["incomplete"]))
    assert row["protocol"] == protocol


def test_an_empty_fragment_brings_nothing() -> None:
    row = only([piece4(b"", 0, more=True), *cut(udp(), 16)])
    assert (row["dst_port"], counted(row)) == (53, (3, 2, 0))


@pytest.mark.parametrize("protocol", [6, 17, 132, 1])
def test_later_fragments_alone_never_have_port_0(protocol: int) -> None:
    row = only(cut(bytes(64), 16, protocol=protocol)[1:])
    assert (row["protocol"], row["incomplete"], row["ip_bytes"]) == (44, 1, 68)


def test_a_first_fragment_alone_has_its_ports_but_no_flags() -> None:
    """It reached nobody: a forged RST in it must not end a flow."""
    row = only(cut(tcp(bytes(60), flags=4), 40, protocol=6)[:1])
    assert (row["protocol"], row["dst_port"], row["flags"], row["incomplete"]) == (6, 443, 0, 1)
    assert (row["header_bytes"], row["payload_bytes"]) == (20, 20)


def test_a_protocol_without_ports_keeps_its_number() -> None:
    assert only(cut(bytes(64), 16, protocol=47)[1:])["protocol"] == 47


@pytest.mark.parametrize("later", [30 * SECOND + 1, -30 * SECOND - 1])
def test_time_is_over_after_30_s_whichever_way_it_went(later: int) -> None:
    first, second = cut(udp(), 16)
    other = piece4(udp())
    rows = rows_of([first, other, second], [0, later, later])
    assert [row["incomplete"] for row in rows] == [1, 0, 1]
    assert [row["protocol"] for row in rows] == [17, 17, 44]
    assert rows[0]["time_us"] == later
    assert len(rows_of([first, second], [0, 30 * SECOND])) == 1


def test_an_identification_may_be_used_again() -> None:
    pieces = [piece for port in (1, 2, 3) for piece in cut(udp(32, port), 8)]
    assert [row["dst_port"] for row in rows_of(pieces)] == [1, 2, 3]


def test_late_repetitions_of_a_whole_datagram_are_no_packet() -> None:
    first, second = cut(udp(), 16)
    assert len(rows_of([first, first, second, second])) == 1
    assert len(rows_of([first, second, first])) == 1


@pytest.mark.parametrize("copies", [1, 2, 3, 4])
def test_every_second_copy_of_a_datagram_is_a_repetition(copies: int) -> None:
    """A network may repeat every fragment, in any order; a flood of copies stays visible."""
    assert len(rows_of(cut(udp(), 8) * copies)) == (copies + 1) // 2


def test_every_fragment_twice_in_any_order_is_one_packet() -> None:
    for order in itertools.islice(itertools.permutations(cut(udp(), 8) * 2), 0, None, 997):
        row = only(list(order))
        assert (row["dst_port"], row["payload_bytes"]) == (53, 24)


def test_other_fragments_with_the_key_of_a_whole_datagram_are_one() -> None:
    first, second = cut(udp(), 16)
    other = cut(udp(port=99), 16)[0]
    assert [row["dst_port"] for row in rows_of([first, second, other])] == [53, 99]
    assert [row["incomplete"] for row in rows_of([first, second, *[second] * 3])] == [0, 1]


def test_a_flood_of_one_fragment_stays_visible() -> None:
    first, _ = cut(udp(), 16)
    rows = rows_of([first] * 1000)
    assert len(rows) > 10
    assert sum(row["fragments"] for row in rows) == 1000
    assert {row["dst_port"] for row in rows} == {53}


@pytest.mark.parametrize("make", [piece4, piece6])
def test_a_broken_transport_header_is_skipped_as_in_a_whole_packet(make: Any) -> None:
    pieces = [*cut(tcp(), 8, make, protocol=6)[:2], make(b"", 16, protocol=6)]
    found = run(pieces, [0] * 3)
    assert found.skipped == {"bad_transport_header": 1, "reassembled": 2}
    assert not len(found.rows)


def test_units_are_told_by_ip_lengths_not_by_captured_bytes() -> None:
    pieces = cut(udp(400), 200)
    frames = in_memory([piece[:40] for piece in pieces], 101)
    assert (frames.records["captured"] == 40).all()
    row = only([piece[:40] for piece in pieces])
    assert (row["payload_bytes"], row["dst_port"], row["incomplete"]) == (392, 53, 0)


# IPv6: extension headers, whole packets with a fragment header, fragments in fragments.


def test_extension_headers_on_both_sides_of_the_fragment_header() -> None:
    inner = extension(51) + bytes([6, 4]) + bytes(22) + tcp(b"abc")
    whole = extension(44)
    pieces = [
        piece[:6] + b"\0" + piece[7:40] + whole + piece[40:] for piece in cut(inner, 8, piece6)
    ]
    pieces = [
        piece[:4] + struct.pack(">H", len(piece) - 40) + piece[6:48] + b"\x3c" + piece[49:]
        for piece in pieces
    ]
    row = only(pieces)
    assert (row["protocol"], row["src_port"], row["payload_bytes"]) == (6, 4000, 3)
    assert row["ip_bytes"] == 48 + len(inner)


def test_a_whole_packet_with_a_fragment_header_is_a_packet() -> None:
    """RFC 6946: also where its identification is that of fragments that wait."""
    rows = rows_of([piece6(udp()[:16], more=True), piece6(udp(port=99)), piece6(udp()[16:], 16)])
    assert [(row["dst_port"], row["fragments"]) for row in rows] == [(99, 0), (53, 2)]


def test_a_fragment_header_inside_a_first_fragment_does_not_hide_it() -> None:
    """A second header that says "whole" behind the first one that says "more"."""
    inner = struct.pack(">BBHI", 17, 0, 0, 1) + udp(24)
    pieces = cut(inner, 8, piece6, protocol=44)
    assert only(pieces)["dst_port"] == 53
    assert only(cut(inner, 16, piece6, protocol=44)[:1])["incomplete"] == 1


def test_fragments_of_a_fragment_have_no_ports() -> None:
    inner = struct.pack(">BBHI", 17, 0, 8, 1) + udp(24)
    row = only(cut(inner, 8, piece6, protocol=44))
    assert (row["protocol"], row["dst_port"]) == (44, 0)


def test_extension_headers_longer_than_what_is_kept_hide_no_packet() -> None:
    chain = b"".join(extension(60) for _ in range(200)) + extension(6) + tcp()
    row = only(cut(chain, 64, piece6, protocol=60))
    assert (row["protocol"], row["incomplete"]) == (44, 1)


def test_authentication_headers_are_walked() -> None:
    row = only(cut(AH + udp(), 8, piece6, protocol=51))
    assert (row["protocol"], row["dst_port"]) == (17, 53)


# Keys.


def _ethernet(packet: bytes, vlan: int = 0) -> bytes:
    tag = struct.pack(">HH", 0x8100, vlan) if vlan else b""
    return bytes(12) + tag + (b"\x86\xdd" if packet[0] >> 4 == 6 else b"\x08\0") + packet


def flows_of(
    frames: list[bytes], path: Path, times_s: list[int] | None = None, **settings_: Any
) -> tuple[list[FlowBatch], FlowStatistics]:
    times = times_s or [0] * len(frames)
    path.write_bytes(pcap([(at, 0, each) for at, each in zip(times, frames, strict=True)]))
    with open_flows(path, "gateway", **settings_) as flows:
        batches = list(flows.batches(size=100_000))
        found = flows.statistics
    assert found.frames == found.packets + sum(found.skipped.values()) == len(frames)
    return batches, found


def evidence_of(batch: FlowBatch) -> list[list[float]]:
    names = [feature.name for feature in FRAGMENTS]
    columns = [batch.schema.names.index(name) for name in names]
    return batch.features[:, columns].tolist()  # type: ignore[no-any-return]


def test_vlans_keep_their_fragments_apart(tmp_path: Path) -> None:
    first, second = cut(udp(), 16)
    _, found = flows_of([_ethernet(first, 5), _ethernet(second, 6)], tmp_path / "a.pcap")
    assert found.fragments == {"fragments": 2, "incomplete": 2, "tiny": 1}
    _, found = flows_of([_ethernet(first, 5), _ethernet(second, 5)], tmp_path / "b.pcap")
    assert found.fragments == {"fragments": 2, "datagrams": 1, "tiny": 1}


@pytest.mark.parametrize(
    "field", [{"ident": 8}, {"protocol": 132}, {"src": "192.0.2.9"}, {"dst": "192.0.2.9"}]
)
def test_other_keys_are_other_datagrams(field: dict[str, Any]) -> None:
    first, second = cut(udp(), 16)[0], cut(udp(), 16, **field)[1]
    assert [row["incomplete"] for row in rows_of([first, second])] == [1, 1]


# Memory.


def test_the_oldest_of_a_source_leaves_first_and_is_counted() -> None:
    pieces = [cut(udp(port=i), 16, ident=i)[0] for i in range(SLOTS + 10)]
    found = run(pieces, [0] * len(pieces))
    assert found.rows["dst_port"].tolist() == list(range(SLOTS + 10))
    assert found.counts["evicted"] == 10


def test_one_source_does_not_push_out_what_others_sent() -> None:
    others = [f"10.0.{i}.1" for i in range(50)]
    table = make_datagrams(8 << 20, b"key")
    waiting = [cut(udp(), 16, src=src) for src in others]
    flood = [cut(udp(), 16, ident=i, src="10.9.9.9")[0] for i in range(1000)]
    packets = [first for first, _ in waiting] + flood + [second for _, second in waiting]
    found = run(packets, [0] * len(packets), table)
    whole = found.rows[found.rows["incomplete"] == 0]
    assert len(whole) >= 48  # the one or two that share the set with the flood are chance
    assert found.counts["evicted"] >= 1000 - SLOTS


# Whole captures.


def _fragmented(shared_sample: Path, size: int, sources: set[int] | None) -> list[Any]:
    frames, records, _ = read(shared_sample)
    made = []
    for ident, (frame, record) in enumerate(zip(frames, records, strict=True)):
        source = int.from_bytes(frame[26:30], "big")
        wanted = sources is None or source in sources
        pieces = cut_frame(frame, size, ident) if wanted else [frame]
        at = divmod(int(record["time_ns"]) // 1000, SECOND)
        made += [(*at, piece) for piece in pieces]
    return made


@pytest.fixture(scope="module")
def sample() -> tuple[Path, FlowBatch]:
    path = ROOT / "toolkit" / "shipped" / "sample.pcap"
    with open_flows(path) as flows:
        return path, next(flows.batches(size=100_000))


_ATTACKERS = ("192.168.1.17", "192.0.2.66", "192.0.2.77", "192.0.2.99")
_OF_FRAMES = ["fwd_bytes", "bwd_bytes"]  # link headers included: more frames have more


@pytest.mark.parametrize("size", [8, 16, 24])
@pytest.mark.parametrize("side", ["both", "attackers"])
def test_a_capture_in_fragments_gives_the_same_rows(
    size: int, side: str, sample: tuple[Path, FlowBatch], tmp_path: Path
) -> None:
    source, expected = sample
    sources = None if side == "both" else {int(ip_address(each)) for each in _ATTACKERS}
    path = tmp_path / "cut.pcap"
    path.write_bytes(pcap(_fragmented(source, size, sources)))
    with open_flows(path) as flows:
        found = next(flows.batches(size=100_000))
        statistics = flows.statistics
    kept = [name for name in expected.flows.dtype.names if name not in _OF_FRAMES]
    np.testing.assert_array_equal(found.flows[kept], expected.flows[kept])
    ours = [expected.schema.names.index(each.name) for each in FRAGMENTS]
    payload = [expected.schema.names.index(each.name) for each in PAYLOAD]
    np.testing.assert_array_equal(
        np.delete(found.features, ours + payload, 1),
        np.delete(expected.features, ours + payload, 1),
    )
    assert expected.features[:, payload].any()
    np.testing.assert_array_equal(found.features[:, payload], expected.features[:, payload])
    assert found.features[:, ours[0]].sum() == statistics.fragments["fragments"]
    assert "incomplete" not in statistics.fragments


def test_a_flow_knows_its_fragments(tmp_path: Path) -> None:
    data = tcp(bytes(60), flags=0x18)
    whole = cut(data, 8, protocol=6)
    part = cut(data, 40, protocol=6, ident=8)[:1]
    frames = [_ethernet(each) for each in [*whole, *part]]
    (batch,), found = flows_of(frames, tmp_path / "flow.pcap")
    assert evidence_of(batch) == [[11, 10, 0, 1]]
    assert batch.flows["fwd_packets"].tolist() == [2]
    assert (found.frames, found.packets, found.skipped) == (11, 2, {"reassembled": 9})
    text = " ".join(found.lines())
    assert "11 IP fragments: 1 datagrams put together, 1 incomplete" in text


def test_an_icmp_error_refuses_a_flow_only_if_it_came_whole(tmp_path: Path) -> None:
    client, server = "192.0.2.1", "198.51.100.2"
    probe = _ethernet(piece4(struct.pack(">HHHH", 1, 161, 8, 0), src=client, dst=server))
    error = b"\x03\x03" + bytes(6) + bytes(28)
    pieces = cut(error, 16, protocol=1, src=server, dst=client)
    later = _ethernet(piece4(struct.pack(">HHHH", 2, 161, 8, 0), src=client, dst=server))
    for count, refused in ((len(pieces), 1.0), (len(pieces) - 1, 0.0)):
        frames = [probe, *map(_ethernet, pieces[:count]), later]
        (batch,), _ = flows_of(frames, tmp_path / "icmp.pcap", [0] * (count + 1) + [40])
        at = batch.schema.names.index("src_64_refused")
        assert batch.features[batch.flows["src_port"] == 2, at].tolist() == [refused]


def test_the_attackers_fragments_hide_nothing(shared: Path, sample: tuple[Path, FlowBatch]) -> None:
    """The shipped sample's packets, those of the attackers in fragments of eight bytes."""
    with open_flows(shared / "cases" / "evasion" / "frag_attacker_only.pcap") as flows:
        found = next(flows.batches(size=100_000))
    kept = ["src_low", "dst_low", "src_port", "dst_port", "protocol", "fwd_packets", "bwd_packets"]
    np.testing.assert_array_equal(found.flows[kept], sample[1].flows[kept])
