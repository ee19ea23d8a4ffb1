"""Capture files written byte by byte, for tests that must not trust the code they test."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from idskit.capture.capture_file import open_capture
from idskit.decode.layers import SKIP_REASONS, decode
from idskit.packet import FRAME, PACKET, Frames


def order(big: bool) -> str:
    return ">" if big else "<"


def pcap(
    records: list[tuple[int, int, bytes]],
    *,
    big: bool = False,
    magic: int = 0xA1B2C3D4,
    link_type: int = 1,
) -> bytes:
    """Classic pcap of (seconds, fraction, frame) records."""
    o = order(big)
    head = struct.pack(f"{o}IHHiIII", magic, 2, 4, 0, 0, 65535, link_type)
    extra = bytes(8) if magic == 0xA1B2CD34 else b""
    parts = (
        struct.pack(f"{o}IIII", s, f, len(data), len(data) + 7) + extra + data
        for s, f, data in records
    )
    return head + b"".join(parts)


def block(kind: int, body: bytes, *, big: bool = False) -> bytes:
    """A pcapng block around ``body``, padded."""
    body += bytes(-len(body) % 4)
    size = struct.pack(f"{order(big)}I", len(body) + 12)
    return struct.pack(f"{order(big)}I", kind) + size + body + size


def section(*, big: bool = False) -> bytes:
    return block(0x0A0D0D0A, struct.pack(f"{order(big)}IHHq", 0x1A2B3C4D, 1, 0, -1), big=big)


def option(code: int, value: bytes, *, big: bool = False) -> bytes:
    return struct.pack(f"{order(big)}HH", code, len(value)) + value + bytes(-len(value) % 4)


def interface(
    *,
    link_type: int = 1,
    big: bool = False,
    resolution: int | None = None,
    offset_s: int | None = None,
    snap: int = 0,
) -> bytes:
    body = struct.pack(f"{order(big)}HHI", link_type, 0, snap)
    if resolution is not None:
        body += option(9, bytes([resolution]), big=big)
    if offset_s is not None:
        body += option(14, struct.pack(f"{order(big)}q", offset_s), big=big)
    return block(1, body + option(0, b"", big=big), big=big)


def enhanced(data: bytes, ticks: int = 0, *, number: int = 0, big: bool = False) -> bytes:
    head = struct.pack(
        f"{order(big)}IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(data), len(data) + 7
    )
    padded = data + bytes(-len(data) % 4)
    return block(6, head + padded + option(1, b"a comment", big=big), big=big)


def simple(data: bytes, wire: int | None = None, *, big: bool = False) -> bytes:
    wire = len(data) if wire is None else wire
    return block(3, struct.pack(f"{order(big)}I", wire) + data, big=big)


def old_packet(data: bytes, ticks: int = 0, *, number: int = 0, big: bool = False) -> bytes:
    halves = (ticks >> 32, ticks & 0xFFFFFFFF)
    head = struct.pack(f"{order(big)}HHIIII", number, 3, *halves, len(data), len(data) + 7)
    return block(2, head + data, big=big)


def read(path: Path) -> tuple[list[bytes], NDArray[np.void], str]:
    """All frames of a file: their bytes, their records, and why reading ended early, if it did."""
    frames: list[bytes] = []
    records = [np.zeros(0, FRAME)]
    with open_capture(path) as capture:
        for chunk in capture.frames():
            records.append(chunk.records.copy())
            for at, size in zip(chunk.records["offset"], chunk.records["captured"], strict=True):
                assert 0 <= at <= at + size <= len(chunk.data)
                frames.append(chunk.data[at : at + size].tobytes())
        assert capture.seen == len(frames)
    return frames, np.concatenate(records), capture.truncated


def in_memory(frames: list[bytes], link_type: int = 1) -> Frames:
    """Frames one after the other in a buffer that ends with the last."""
    records = np.zeros(len(frames), FRAME)
    sizes = np.array([len(frame) for frame in frames], np.int64)
    records["offset"] = np.cumsum(sizes) - sizes
    records["captured"] = records["wire"] = sizes
    records["link_type"] = link_type
    return Frames(data=np.frombuffer(bytearray(b"".join(frames)), np.uint8), records=records)


def decoded(frames: Frames) -> tuple[NDArray[np.void], dict[str, int]]:
    """Rows of PACKET, and how many frames were skipped for which reason."""
    rows = np.zeros(len(frames.records), PACKET)
    skipped = np.zeros(len(SKIP_REASONS), np.int64)
    count = decode(frames, rows, skipped)
    assert count + skipped.sum() == len(frames.records)
    counts = zip(SKIP_REASONS, skipped.tolist(), strict=True)
    return rows[:count], {reason: n for reason, n in counts if n}
