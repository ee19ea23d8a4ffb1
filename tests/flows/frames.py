"""Ethernet frames for whole captures, made without the package under test."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Sequence
from pathlib import Path

from tests.flows.capture_files import pcap

Record = tuple[int, int, bytes]  # seconds, microseconds, frame
End = tuple[str, int]  # address and port
SYN, ACK, DATA, FIN = 2, 16, 24, 17


def frame(src: str, dst: str, protocol: int, transport: bytes, *, ethertype: int = 0) -> bytes:
    """An Ethernet frame around an IPv4 or IPv6 packet."""
    source, target = ipaddress.ip_address(src), ipaddress.ip_address(dst)
    if source.version == 4:
        size = 20 + len(transport)
        head = struct.pack(">BBHHHBBH", 0x45, 0, size, 1, 0, 64, protocol, 0)
    else:
        head = struct.pack(">IHBB", 6 << 28, len(transport), protocol, 64)
    kind = ethertype or (0x0800 if source.version == 4 else 0x86DD)
    link = bytes(6) + bytes([2, 0, 0, 0, 0, 1]) + struct.pack(">H", kind)
    return link + head + source.packed + target.packed + transport


def udp(src: str, dst: str, src_port: int, dst_port: int, payload: bytes = b"") -> bytes:
    header = struct.pack(">HHHH", src_port, dst_port, 8 + len(payload), 0)
    return frame(src, dst, 17, header + payload)


def conversation(
    client: End, server: End, said: Sequence[tuple[bool, bytes]], start_us: int
) -> list[Record]:
    """A TCP connection, a frame a millisecond; ``said`` is whether the client says it, and what."""
    ends, numbers = {True: client, False: server}, {True: 1000, False: 5000}
    sent = [(True, SYN, b""), (False, SYN | ACK, b""), (True, ACK, b"")]
    sent += [(forward, DATA, payload) for forward, payload in said]
    sent += [(True, FIN, b""), (False, FIN, b""), (True, ACK, b"")]
    records = []
    for place, (forward, flags, payload) in enumerate(sent):
        (src, src_port), (dst, dst_port) = ends[forward], ends[not forward]
        acked = numbers[not forward] if flags & ACK else 0
        head = struct.pack(
            ">HHIIBBHHH", src_port, dst_port, numbers[forward], acked, 0x50, flags, 64_240, 0, 0
        )
        at = divmod(start_us + 1000 * place, 1_000_000)
        records.append((*at, frame(src, dst, 6, head + payload)))
        numbers[forward] += len(payload) + (flags & 3 > 0)
    return records


def write(path: Path, records: list[Record]) -> Path:
    path.write_bytes(pcap(records))
    return path


def questions(count: int) -> list[Record]:
    """One question of each client and its answer, a second apart."""
    records: list[Record] = []
    for i in range(count):
        client = f"10.0.{i // 250}.{i % 250 + 1}"
        records.append((i, 250_000, udp(client, "192.0.2.53", 5000, 53, b"question")))
        records.append((i, 500_000, udp("192.0.2.53", client, 53, 5000, b"a longer answer")))
    return records
