"""Reading capture files: formats, damage, and what is said about what cannot be read."""

from __future__ import annotations

import csv
import gzip
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.flows.capture_files import (
    block,
    enhanced,
    interface,
    old_packet,
    pcap,
    read,
    section,
    simple,
)
from tests.flows.effort import examples

from idskit.capture.capture_file import open_capture
from idskit.capture.pcapng import NO_LINK_TYPE
from idskit.errors import CaptureError

FRAMES = [bytes([n]) * (60 + n) for n in range(5)]
RECORDS = [(1_700_000_000 + n, 999_999 - n, frame) for n, frame in enumerate(FRAMES)]
MAGIC_NS = {0xA1B2C3D4: 1000, 0xA1B23C4D: 1, 0xA1B2CD34: 1000}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "capture"


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("magic", MAGIC_NS)
def test_pcap_of_each_magic_and_byte_order(path: Path, magic: int, big: bool) -> None:
    path.write_bytes(pcap(RECORDS, big=big, magic=magic))
    frames, records, truncated = read(path)
    assert frames == FRAMES
    assert not truncated
    assert records["wire"].tolist() == [len(frame) + 7 for frame in FRAMES]
    assert set(records["link_type"].tolist()) == {1}
    assert records["time_ns"].tolist() == [s * 10**9 + f * MAGIC_NS[magic] for s, f, _ in RECORDS]


def test_bits_about_check_sequences_are_no_part_of_the_link_type(path: Path) -> None:
    path.write_bytes(pcap(RECORDS, link_type=0x30000001))
    assert set(read(path)[1]["link_type"].tolist()) == {1}


@pytest.mark.parametrize("big", [False, True])
def test_pcapng_packet_blocks_of_each_kind(path: Path, big: bool) -> None:
    body = section(big=big) + interface(big=big, link_type=113)
    body += enhanced(FRAMES[0], 5_000_001, big=big) + block(0xBAD, b"unknown", big=big)
    body += old_packet(FRAMES[1], 6_000_002, big=big) + simple(FRAMES[2], big=big)
    path.write_bytes(body)
    frames, records, truncated = read(path)
    assert frames == FRAMES[:3]
    assert not truncated
    assert records["time_ns"].tolist() == [5_000_001_000, 6_000_002_000, 0]
    assert set(records["link_type"].tolist()) == {113}
    assert records["wire"].tolist() == [len(FRAMES[0]) + 7, len(FRAMES[1]) + 7, len(FRAMES[2])]


def test_pcapng_interfaces_of_several_sections_and_byte_orders(path: Path) -> None:
    body = section() + interface() + interface(link_type=101) + enhanced(FRAMES[0], number=1)
    body += section(big=True) + interface(big=True, link_type=113) + enhanced(FRAMES[1], big=True)
    body += enhanced(FRAMES[2], number=1, big=True)  # the interface 1 of the other section
    path.write_bytes(body)
    assert read(path)[1]["link_type"].tolist() == [101, 113, NO_LINK_TYPE]


def test_pcapng_simple_packets_are_cut_at_the_snapshot_length(path: Path) -> None:
    path.write_bytes(section() + interface(snap=40) + simple(FRAMES[0][:40], wire=60))
    frames, records, _ = read(path)
    assert frames == [FRAMES[0][:40]]
    assert records["wire"].tolist() == [60]


@settings(max_examples=examples(300), deadline=None)
@given(
    ticks=st.integers(0, 2**64 - 1) | st.integers(0, 2**52),
    resolution=st.integers(0, 18) | st.integers(128, 191),
    offset_s=st.sampled_from([0, 1, -1, 10**9, -(2**63), 2**63 - 1])
    | st.integers(-(10**10), 10**10),
)
def test_pcapng_time_of_any_resolution(
    tmp_path_factory: pytest.TempPathFactory, ticks: int, resolution: int, offset_s: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "time.pcapng"
    path.write_bytes(
        section() + interface(resolution=resolution, offset_s=offset_s) + enhanced(b"", ticks)
    )
    per_s = 2 ** (resolution & 127) if resolution & 128 else 10**resolution
    limit = (2**63 - 1) // 10**9 - 1
    offset_ns = max(min(offset_s, limit), -limit) * 10**9
    ns = min(ticks * 10**9 // per_s, 2**63 - 1)
    if ns // 10**9 > limit and resolution & 128:
        ns = 2**63 - 1  # the last second before the end of time
    assert int(read(path)[1]["time_ns"][0]) == min(ns + offset_ns, 2**63 - 1)


def test_frames_that_span_many_buffers(path: Path) -> None:
    rng = np.random.default_rng(1)
    sizes = np.concatenate([rng.integers(0, 3000, 2000), [262_144], rng.integers(0, 3000, 20)])
    frames = [rng.bytes(size) for size in sizes]
    path.write_bytes(pcap([(0, 0, frame) for frame in frames]))
    assert read(path)[0] == frames


def test_many_tiny_frames(path: Path) -> None:
    path.write_bytes(pcap([(n, 0, b"") for n in range(70_000)]))
    records = read(path)[1]
    assert (records["time_ns"] == np.arange(70_000) * 10**9).all()


def test_pcapng_skips_a_block_larger_than_the_buffer(path: Path) -> None:
    large = block(0xBAD, bytes(3 << 20))
    path.write_bytes(section() + interface() + large + enhanced(FRAMES[0]))
    assert read(path)[0] == FRAMES[:1]


def test_gzip_gives_the_same_frames(path: Path) -> None:
    plain = pcap(RECORDS) + pcap(RECORDS * 30_000)[24:]
    path.write_bytes(gzip.compress(plain, 1))
    frames, _, truncated = read(path)
    assert frames == FRAMES * 30_001
    assert not truncated


def test_cut_gzip_gives_the_frames_before_the_cut(path: Path) -> None:
    rng = np.random.default_rng(1)
    noise = [rng.bytes(1000) for _ in range(100)]
    whole = gzip.compress(pcap([(0, 0, frame) for frame in noise]))
    path.write_bytes(whole[: len(whole) // 2])
    frames, _, truncated = read(path)
    assert 40 < len(frames) < 60
    assert frames == noise[: len(frames)]
    assert "compressed data is damaged" in truncated


def test_a_pipe_is_read_as_it_fills(path: Path) -> None:
    os.mkfifo(path)
    whole = pcap(RECORDS)
    writer = threading.Thread(target=path.write_bytes, args=(whole,))
    writer.start()
    frames, _, _ = read(path)
    writer.join()
    assert frames == FRAMES


def test_capture_without_packets_is_valid(path: Path) -> None:
    path.write_bytes(pcap([]))
    assert read(path)[0] == []


def _every_cut(whole: bytes, path: Path) -> None:
    path.write_bytes(whole)
    complete, _, _ = read(path)
    counts = []
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        try:
            frames, _, truncated = read(path)
        except CaptureError:
            assert not counts  # only while the file header is incomplete
            continue
        assert frames == complete[: len(frames)]
        assert len(frames) < len(complete) or not truncated
        counts.append(len(frames))
    assert counts == sorted(counts)


def test_a_pcap_cut_at_every_byte(path: Path) -> None:
    _every_cut(pcap(RECORDS, magic=0xA1B2CD34), path)


def test_pcapng_cut_at_every_byte(path: Path) -> None:
    body = section() + interface() + enhanced(FRAMES[0], 1) + block(0xBAD, bytes(20))
    body += section(big=True) + interface(big=True) + simple(FRAMES[1], big=True)
    _every_cut(body, path)


def test_cut_capture_says_so(path: Path) -> None:
    path.write_bytes(pcap(RECORDS)[:-1])
    frames, _, truncated = read(path)
    assert frames == FRAMES[:-1]
    assert truncated == "the file ends inside a packet record, after 79 bytes"


def test_absurd_record_ends_the_capture_and_is_named(path: Path) -> None:
    damaged = bytearray(pcap(RECORDS))
    second = 24 + 16 + len(FRAMES[0])
    damaged[second + 8 : second + 12] = (2**32 - 1).to_bytes(4, "little")
    path.write_bytes(damaged)
    frames, _, truncated = read(path)
    assert frames == FRAMES[:1]
    assert "claims 4294967295 captured bytes" in truncated


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (block(6, bytes(16)), "impossible length"),
        (enhanced(b"")[:4] + b"\x21\0\0\0" + bytes(40), "impossible length"),
        (enhanced(b"")[:4] + b"\xf0\xff\xff\xff" + bytes(40), "impossible length"),
        (b"\x0a\x0d\x0d\x0a" + bytes(24), "byte-order magic"),
        (block(6, bytes(12) + b"\xff\0\0\0" + bytes(12)), "more captured bytes than it holds"),
        (interface(resolution=127), "finer clock"),
        (interface() * 5000, "more than 4096 interfaces"),
        (b"\xad\x0b\0\0" + (2**32 - 4).to_bytes(4, "little"), "ends inside a block"),
    ],
)
def test_damaged_pcapng_ends_with_a_named_reason(path: Path, bad: bytes, reason: str) -> None:
    path.write_bytes(section() + interface() + enhanced(FRAMES[0]) + bad + enhanced(FRAMES[1]))
    frames, _, truncated = read(path)
    assert frames == FRAMES[:1]
    assert reason in truncated


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\xd4", "not a capture (it begins d4)"),
        (b"time,src,dst\n1,2,3\n", "not a capture (it begins 74 69 6d 65)"),
        (b"snoop\0\0\0" + bytes(40), "Solaris snoop"),
        (pcap([])[:23], "ends inside its 24-byte pcap file header"),
        (section()[:20], "not a valid pcapng file"),
        (b"\x1f\x8b\x08\0 this is not gzip", "begins as a gzip file"),
        (gzip.compress(b"text", mtime=0), "not a capture"),
    ],
)
def test_what_is_no_capture_is_refused_in_one_sentence(
    path: Path, content: bytes, words: str
) -> None:
    path.write_bytes(content)
    with pytest.raises(CaptureError) as refused:
        open_capture(path)
    assert words in str(refused.value)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_missing_file(path: Path) -> None:
    with pytest.raises(CaptureError, match="no such file"):
        open_capture(path)


def test_directory(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="is a directory"):
        open_capture(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file(path: Path) -> None:
    path.write_bytes(pcap(RECORDS))
    path.chmod(0)
    with pytest.raises(CaptureError, match="Permission denied"):
        open_capture(path)


def test_edge_captures_hold_as_many_frames_as_dpkt_reads(shared: Path) -> None:
    """dpkt reads records of any length, so captures that end with a named reason may hold less."""
    with (shared / "data/pcap/edge/index.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if not row["dpkt_read_error"]]
    assert len(rows) > 2000
    ended = 0
    for row in rows:
        frames, _, truncated = read(shared / "data/pcap" / row["file"])
        expected = int(row["packets_read_by_dpkt"])
        ended += bool(truncated)
        assert len(frames) == expected or (truncated and len(frames) < expected), row["file"]
    assert ended < 20


@settings(max_examples=examples(300), deadline=None)
@given(data=st.data())
def test_damage_anywhere_is_survived(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged"
    body = section() + interface(resolution=9) + enhanced(FRAMES[0], 2**40) + simple(FRAMES[1])
    body += (
        old_packet(FRAMES[2]) + section(big=True) + interface(big=True) + enhanced(b"", big=True)
    )
    damaged = bytearray(data.draw(st.sampled_from([body, pcap(RECORDS), pcap(RECORDS, big=True)])))
    for at, value in data.draw(
        st.lists(st.tuples(st.integers(0, len(damaged) - 1), st.integers(0, 255)), max_size=8)
    ):
        damaged[at] = value
    path.write_bytes(damaged)
    try:
        frames, _, _ = read(path)
    except CaptureError:
        return
    assert sum(map(len, frames)) <= len(damaged)
