"""Ethernet frames for whole captures, made without the package under test."""

from __future__ import annotations

import ipaddress
import struct
from pathlib import Path

from tests.flows.capture_files import pcap

Record = tuple[int, int, bytes]  # seconds, microseconds, frame


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
