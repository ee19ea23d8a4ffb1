"""IP packets by their bytes: headers, checksums, fragments; without the package under test."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator
from typing import NamedTuple

Frame = bytes  # Ethernet, untagged

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
LINK = 14
IPV4, IPV6, FRAGMENT = 0x0800, 0x86DD, 44


class Endpoints(NamedTuple):
    """Who sends to whom."""

    src: str
    src_port: int
    dst: str
    dst_port: int

    def back(self) -> Endpoints:
        """The other direction."""
        return Endpoints(self.dst, self.dst_port, self.src, self.src_port)


class Packet(NamedTuple):
    """An IP packet taken apart: its frame is ``link + head + body``."""

    link: bytes
    head: bytes  # IP header, without IPv6 extension headers
    body: bytes  # without the padding of a short frame
    protocol: int

    @property
    def is_ipv4(self) -> bool:
        return self.head[0] >> 4 == 4

    @property
    def ends(self) -> Endpoints:
        """Addresses and ports; the ports of what has none are 0."""
        addresses = self.head[12:20] if self.is_ipv4 else self.head[8:40]
        half = len(addresses) // 2
        src, dst = (
            str(ipaddress.ip_address(each)) for each in (addresses[:half], addresses[half:])
        )
        ports = struct.unpack_from(">HH", self.body) if self.protocol in (6, 17) else (0, 0)
        return Endpoints(src, ports[0], dst, ports[1])


def take_apart(frame: Frame) -> Packet:
    """Read an untagged Ethernet frame of IPv4, or of IPv6 without extension headers."""
    if frame[LINK] >> 4 == 4:
        start, end = LINK + 4 * (frame[LINK] & 15), LINK + struct.unpack_from(">H", frame, 16)[0]
        protocol = frame[23]
    else:
        start, protocol = LINK + 40, frame[20]
        end = start + struct.unpack_from(">H", frame, 18)[0]
    return Packet(frame[:LINK], frame[LINK:start], frame[start:end], protocol)


def checksum(content: bytes) -> int:
    """Compute the Internet checksum (RFC 1071)."""
    words = struct.unpack(f">{(len(content) + 1) // 2}H", content + bytes(len(content) & 1))
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def fragments(frame: Frame, size: int, identification: int) -> Iterator[Frame]:
    """Cut a frame into IP fragments of ``size`` bytes, a multiple of 8; small ones stay whole."""
    packet = take_apart(frame)
    if len(packet.body) <= size:
        yield frame
        return
    cut = _cut_ipv4 if packet.is_ipv4 else _cut_ipv6
    for at in range(0, len(packet.body), size):
        more = at + size < len(packet.body)
        piece = packet.body[at : at + size]
        yield packet.link + cut(packet, piece, at, more, identification) + piece


def _cut_ipv4(packet: Packet, piece: bytes, at: int, more: bool, identification: int) -> bytes:
    head, size = packet.head, len(packet.head) + len(piece)
    numbers = struct.pack(">HHH", size, identification & 0xFFFF, more << 13 | at >> 3)
    bare = head[:2] + numbers + head[8:10] + bytes(2) + head[12:]
    return bare[:10] + struct.pack(">H", checksum(bare)) + bare[12:]


def _cut_ipv6(packet: Packet, piece: bytes, at: int, more: bool, identification: int) -> bytes:
    head = packet.head
    extension = struct.pack(">BBHI", packet.protocol, 0, at | more, identification)
    return head[:4] + struct.pack(">HB", 8 + len(piece), FRAGMENT) + head[7:] + extension


def tcp(
    ends: Endpoints,
    flags: int,
    payload: bytes = b"",
    *,
    sequence: int = 0,
    acknowledged: int = 0,
    ttl: int = 64,
    is_damaged: bool = False,
) -> Frame:
    """Make a TCP frame with correct checksums; ``is_damaged`` makes that of TCP wrong."""
    source, target = (ipaddress.ip_address(each).packed for each in (ends.src, ends.dst))
    head = struct.pack(
        ">HHIIBBHHH", ends.src_port, ends.dst_port, sequence, acknowledged, 0x50, flags, 64240, 0, 0
    )
    size = len(head) + len(payload)
    total = checksum(source + target + struct.pack(">IHBB", size, 0, 0, 6) + head + payload)
    body = head[:16] + struct.pack(">H", total ^ is_damaged) + head[18:] + payload
    if len(source) == 16:
        network = struct.pack(">IHBB", 6 << 28, size, 6, ttl) + source + target
        return bytes(12) + struct.pack(">H", IPV6) + network + body
    network = struct.pack(">BBHHHBBH", 0x45, 0, 20 + size, 0, 0x4000, ttl, 6, 0) + source + target
    network = network[:10] + struct.pack(">H", checksum(network)) + network[12:]
    return bytes(12) + struct.pack(">H", IPV4) + network + body
