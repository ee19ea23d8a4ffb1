"""IP packets cut into fragments, and put together again in plain Python, byte by byte.

Slow and obvious; the oracle of ``idskit.decode.reassembly``. A datagram that came whole is turned
back into the packet that it was cut from, which ``decode`` (tested on its own) then reads.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.flows.capture_files import decoded, in_memory

from idskit.decode.datagrams import Datagrams, make_datagrams
from idskit.decode.layers import SKIP_REASONS
from idskit.decode.reassembly import fragment_counts, give_up, reassemble
from idskit.packet import PACKET, UNKNOWN

TIMEOUT_US, KEPT, TINY = 30_000_000, 256, 48
PORTED, LARGEST = {6: 20, 17: 8, 132: 12}, 65_535


def piece4(
    data: bytes,
    offset: int = 0,
    *,
    more: bool = False,
    ident: int = 7,
    protocol: int = 17,
    src: str = "192.0.2.1",
    dst: str = "198.51.100.2",
) -> bytes:
    """An IPv4 packet with ``data`` at ``offset`` bytes of its datagram."""
    field_ = offset // 8 | more << 13
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(data), ident, field_, 61, protocol, 0)
    return head + ip_address(src).packed + ip_address(dst).packed + data


def piece6(
    data: bytes,
    offset: int = 0,
    *,
    more: bool = False,
    ident: int = 7,
    protocol: int = 17,
    src: str = "2001:db8::1",
    dst: str = "2001:db8::2",
) -> bytes:
    """The same over IPv6, behind a fragment header."""
    fragment = struct.pack(">BBHI", protocol, 0, offset | more, ident)
    head = struct.pack(">IHBB", 6 << 28, 8 + len(data), 44, 61)
    return head + ip_address(src).packed + ip_address(dst).packed + fragment + data


def cut(data: bytes, size: int, make: Any = piece4, **fields: Any) -> list[bytes]:
    """Cut what IP carries into fragments of ``size`` bytes."""
    starts = range(0, len(data), size)
    last = starts[-1]
    return [make(data[at : at + size], at, more=at != last, **fields) for at in starts]


def cut_frame(frame: bytes, size: int, ident: int) -> list[bytes]:
    """Cut the IPv4 packet of an untagged Ethernet frame; others stay as they are."""
    if frame[12:14] != b"\x08\0":
        return [frame]
    header = 14 + (frame[14] & 15) * 4
    end = 14 + int.from_bytes(frame[16:18], "big")
    data, made = frame[header:end], []
    for at in range(0, len(data), size):
        piece, more = data[at : at + size], at + size < len(data)
        head = bytearray(frame[:header])
        words = header - 14 + len(piece), ident & 0xFFFF, at // 8 | more << 13
        head[16:22] = struct.pack(">HHH", *words)
        made.append(bytes(head) + piece)
    return made or [frame]


def run(packets: list[bytes], times_us: list[int], table: Datagrams | None = None) -> Outcome:
    """Put raw IP packets together, three rows at a time, and give up what is left."""
    table = make_datagrams(0, b"key") if table is None else table
    frames, skipped = in_memory(packets, 101), np.zeros(len(SKIP_REASONS), np.int64)
    frames.records["time_ns"] = np.array(times_us, np.int64) * 1000
    out, first, rows = np.zeros(3, PACKET), 0, [np.zeros(0, PACKET)]
    payloads: list[bytes] = []
    while first < len(packets):
        first, count = reassemble(frames, first, out, skipped, table)
        rows.append(out[:count].copy())
        payloads += (held_by(row, frames.data, table.kept) for row in out[:count])
    count = len(out)
    while count == len(out):
        count = give_up(table, out, skipped)
        rows.append(out[:count].copy())
        assert not out["payload_held"][:count].any()
        payloads += [b""] * count
    reasons = dict(zip(SKIP_REASONS, skipped.tolist(), strict=True))
    found = np.concatenate(rows)
    assert len(found) + sum(reasons.values()) == len(packets)
    named = {name: n for name, n in reasons.items() if n}
    return Outcome(found, named, fragment_counts(table), payloads)


def held_by(row: np.void, data: NDArray[np.uint8], kept: NDArray[np.uint8]) -> bytes:
    """The payload of a row, in the buffer that it names."""
    buffer, at = kept if row["payload_kept"] else data, int(row["payload_at"])
    assert 0 <= at <= at + int(row["payload_held"]) <= len(buffer)
    return buffer[at : at + int(row["payload_held"])].tobytes()


def named(row: np.void, payload: bytes) -> dict[str, Any]:
    """A row with its payload in place of where that lies."""
    values = {name: row[name].item() for name in PACKET.names or ()}
    for name in ("payload_at", "payload_held", "payload_kept"):
        del values[name]
    return values | {"payload": payload}


@dataclass
class Outcome:
    rows: NDArray[np.void]  # (n,) PACKET
    skipped: dict[str, int]
    counts: dict[str, int]
    payloads: list[bytes]  # of the rows


@dataclass
class Waiting:
    """A datagram of which fragments are missing, or the late repetitions of one that was whole."""

    first_us: int = 0
    protocol: int = 0
    bytes_: dict[int, int] = field(default_factory=dict)  # first come
    units: set[int] = field(default_factory=set)
    end: int | None = None
    fragments: int = 0
    repeats: int = 0
    tiny: int = 0
    overlapping: int = 0
    wire: int = 0
    before: int = 0
    opening: bytes = b""

    def known(self) -> bytes:
        size = 0
        while size in self.bytes_ and size < KEPT:
            size += 1
        return bytes(self.bytes_[at] for at in range(size))

    def inside(self) -> set[int]:
        """Units before the end."""
        limit = 8192 if self.end is None else min(-(-self.end // 8), 8192)
        return {unit for unit in self.units if unit < limit}

    def is_whole(self) -> bool:
        if not self.end or self.end > LARGEST - 20:  # IPv6 may have 20 more, which no test reaches
            return False
        return len(self.inside()) == -(-self.end // 8)

    def is_repetition(self) -> bool:
        opening = self.known()[:8]
        same = len(opening) < 8 or opening == self.opening
        return self.fragments <= self.before and same


class Naive:
    """Feed packets in order, then ``close``; ``rows`` holds what they became."""

    def __init__(self) -> None:
        self.waiting: dict[Any, Waiting] = {}  # oldest first
        self.rows: list[dict[str, Any]] = []
        self.now_us = 0

    def feed(self, packet: bytes, now_us: int) -> None:
        self.now_us = now_us
        while self.waiting:
            key = next(iter(self.waiting))
            if abs(now_us - self.waiting[key].first_us) <= TIMEOUT_US:
                break
            self.leave(key)
        self.take(packet)

    def close(self) -> None:
        for key in list(self.waiting):
            self.leave(key)

    def leave(self, key: Any) -> None:
        found = self.waiting.pop(key)
        if not found.is_repetition():
            self.put_incomplete(key, found)

    def take(self, packet: bytes) -> None:
        version = packet[0] >> 4
        if version == 4:
            ident, word = struct.unpack(">HH", packet[4:8])
            protocol, data = packet[9], packet[20:]
            key = (4, packet[12:20], ident, protocol)
            offset, more = (word & 0x1FFF) * 8, bool(word & 0x2000)
            data = data[: len(data) // 8 * 8] if more else data
        else:
            protocol, _, word, ident = struct.unpack(">BBHI", packet[40:48])
            key, data = (6, packet[8:40], ident), packet[48:]
            offset, more = word & 0xFFF8, bool(word & 1)
            data = b"" if more and len(data) % 8 else data
        if not offset and not more:
            self.put_whole(packet)
            return
        found = self.waiting.setdefault(key, Waiting())
        if not found.fragments or (not offset and 0 not in found.bytes_):
            found.protocol = protocol
        if not found.fragments:
            found.first_us = self.now_us
            self.waiting[key] = self.waiting.pop(key)
        self.add(found, data, offset, more, len(packet))
        if found.is_whole() and found.is_repetition():
            self.waiting[key] = Waiting(found.first_us)
        elif found.is_whole():
            self.put(key, found)
            again = Waiting(first_us=found.first_us, before=found.fragments)
            again.opening = found.known()[:8]
            self.waiting[key] = again
        elif found.repeats > len(found.inside()) + 64:
            self.put_incomplete(key, found)
            self.waiting[key] = Waiting(found.first_us, before=found.before, opening=found.opening)

    def add(self, found: Waiting, data: bytes, offset: int, more: bool, size: int) -> None:
        odd, end = False, offset + len(data)
        if not more and found.end is None:
            found.end = end
            odd = found.inside() != found.units
        elif not more:
            odd = found.end != end
        units = {(offset + at) // 8 for at in range(len(data))}
        limit = 8192 if found.end is None else min(-(-found.end // 8), 8192)
        odd |= any(unit >= limit for unit in units) or -(-end // 8) > limit
        wanted = {unit for unit in units if unit < limit}
        fresh = wanted - found.units
        odd |= bool(fresh) and fresh != wanted
        found.repeats += not fresh
        found.units |= wanted
        for at, value in enumerate(data, offset):
            odd |= at < KEPT and found.bytes_.get(at, value) != value
            found.bytes_.setdefault(at, value)
        found.fragments += 1
        found.wire += size
        found.tiny += more and len(data) < TINY
        found.overlapping += odd

    def put_whole(self, packet: bytes) -> None:
        frames = in_memory([packet], 101)
        for row in decoded(frames)[0]:
            values = named(row, held_by(row, frames.data, frames.data))
            self.rows.append(values | {"time_us": self.now_us})

    def put(self, key: Any, found: Waiting) -> None:
        if key[0] == 6 and found.overlapping:
            self.put_incomplete(key, found)
            return
        assert found.end is not None
        data = bytes(found.bytes_.get(at, 0) for at in range(found.end))
        header = self.header(key, len(data), found.protocol)
        frames = in_memory([header + data], 101)
        rows, _ = decoded(frames)
        if len(rows):
            at, kept = int(rows[0]["payload_at"]), frames.data[: len(header) + KEPT]
            payload = kept[at:].tobytes() if rows[0]["payload_held"] else b""
            self.append(found, named(rows[0], payload))

    def put_incomplete(self, key: Any, found: Waiting) -> None:
        came = len(found.inside()) * 8
        size = came if found.end is None else min(came, found.end)
        known, protocol = found.known()[:size], found.protocol
        rows, _ = decoded(in_memory([self.header(key, size, 254) + bytes(size)], 101))
        row = named(rows[0], b"")
        looked_into = protocol in (1, 58) or protocol in PORTED
        row["protocol"] = 44 if looked_into and len(known) < 4 else protocol
        if row["protocol"] in PORTED:
            row["src_port"], row["dst_port"] = struct.unpack(">HH", known[:4])
            row["header_bytes"] = PORTED[protocol]
            row["payload_bytes"] = max(size - PORTED[protocol], 0)
        elif row["protocol"] in (1, 58):
            row["icmp_type"], row["icmp_code"] = known[:2]
        self.append(found, row | {"incomplete": 1})

    def header(self, key: Any, size: int, protocol: int) -> bytes:
        if key[0] == 4:
            return struct.pack(">BBHHHBBH", 0x45, 0, 20 + size, 0, 0, 61, protocol, 0) + key[1]
        return struct.pack(">IHBB", 6 << 28, size, protocol, 61) + key[1]

    def append(self, found: Waiting, row: dict[str, Any]) -> None:
        counts = {"fragments": found.fragments, "tiny_fragments": found.tiny}
        counts |= {"overlapping_fragments": found.overlapping}
        sizes = {"wire_bytes": found.wire, "captured_bytes": found.wire, "cut_bytes": 0}
        checksum = {"checksum": UNKNOWN}  # of a datagram nobody sums the parts
        self.rows.append(row | counts | sizes | checksum | {"time_us": self.now_us})
