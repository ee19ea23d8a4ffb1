"""Packets and the headers before them, byte by byte, one for every link layer."""

from __future__ import annotations

import struct
from ipaddress import ip_address

UDP_PAYLOAD = b"payload"
UDP_SEGMENT = struct.pack(">HHHH", 1111, 2222, 8 + len(UDP_PAYLOAD), 0) + UDP_PAYLOAD
CLIENT4, SERVER4 = "192.0.2.1", "198.51.100.2"
CLIENT6, SERVER6 = "2001:db8::1", "2001:db8:ffff::2"


def ipv4(
    payload: bytes = UDP_SEGMENT,
    *,
    protocol: int = 17,
    total: int | None = None,
    fragment: int = 0,
    options: bytes = b"",
    first: int = 0x40,
) -> bytes:
    words = 5 + len(options) // 4
    total = words * 4 + len(payload) if total is None else total
    head = struct.pack(">BBHHHBBH", first | words, 0, total, 7, fragment, 61, protocol, 0)
    return head + ip_address(CLIENT4).packed + ip_address(SERVER4).packed + options + payload


def ipv6(payload: bytes = UDP_SEGMENT, *, protocol: int = 17, size: int | None = None) -> bytes:
    size = len(payload) if size is None else size
    head = struct.pack(">IHBB", 0x60000000, size, protocol, 61)
    return head + ip_address(CLIENT6).packed + ip_address(SERVER6).packed + payload


MACS = bytes(12)
VLAN5, VLAN9 = b"\x81\x00\x20\x05", b"\x88\xa8\x00\x09"
SNAP = b"\xaa\xaa\x03\0\0\0"
WIFI = b"\x08\x01" + bytes(22)

# link type and what stands before the EtherType, which is not always at the end
ETHERTYPED = {
    "ethernet": (1, MACS),
    "vlan": (1, MACS + VLAN5),
    "qinq": (1, MACS + VLAN9 + VLAN5),
    "old-qinq": (1, MACS + b"\x91\0\0\x09" + VLAN5),
    "snap": (1, MACS + b"\0\x40" + SNAP),
    "cooked": (113, bytes(14)),
    "hdlc": (104, b"\x0f\0"),
    "wifi": (105, WIFI + SNAP),
    "wifi-qos": (105, b"\x88" + WIFI[1:] + bytes(2) + SNAP),
    "wifi-qos-ht": (105, b"\x88\x81" + WIFI[2:] + bytes(6) + SNAP),
    "wifi-bridge": (105, b"\x08\x03" + WIFI[2:] + bytes(6) + SNAP),
    "radiotap": (127, b"\0\0\x0a\0" + bytes(6) + WIFI + SNAP),
}
ETHERTYPES = {4: b"\x08\0", 6: b"\x86\xdd"}
PREFIXES = {
    (name, version): (link_type, before + ethertype)
    for name, (link_type, before) in ETHERTYPED.items()
    for version, ethertype in ETHERTYPES.items()
} | {
    ("cooked2", 4): (276, b"\x08\0" + bytes(18)),
    ("cooked2", 6): (276, b"\x86\xdd" + bytes(18)),
    ("cooked-vlan", 4): (113, bytes(14) + VLAN5 + b"\x08\0"),
    ("loopback", 4): (0, b"\x02\0\0\0"),
    ("loopback-big", 4): (0, b"\0\0\0\x02"),
    ("loopback", 6): (0, b"\x1e\0\0\0"),
    ("openbsd", 6): (108, b"\0\0\0\x18"),
    ("pppoe", 4): (1, MACS + b"\x88\x64\x11\0\0\x01\0\x40\0\x21"),
    ("pppoe", 6): (1, MACS + b"\x88\x64\x11\0\0\x01\0\x40\0\x57"),
    ("ppp", 4): (9, b"\xff\x03\0\x21"),
    ("ppp-short", 4): (9, b"\x21"),
    ("ppp-serial", 6): (50, b"\xff\x03\0\x57"),
    ("mpls", 4): (1, MACS + b"\x88\x47\0\0\x10\x40\0\0\x21\x40"),
    ("mpls", 6): (1, MACS + VLAN5 + b"\x88\x48\0\0\x11\x40"),
    ("raw", 4): (101, b""),
    ("raw", 6): (101, b""),
    ("bsd-raw", 4): (12, b""),
    ("openbsd-raw", 6): (14, b""),
    ("ipv4", 4): (228, b""),
    ("ipv6", 6): (229, b""),
}


def tcp(payload: bytes = b"", *, words: int = 5, flags: int = 0xD2) -> bytes:
    numbers = (4000, 443, 0xFEDCBA98, 0x89ABCDEF, words << 4, flags, 0xF00D, 0, 0)
    return struct.pack(">HHIIBBHHH", *numbers) + bytes(words * 4 - 20) + payload


def extension(following: int, size: int = 8) -> bytes:
    return bytes([following, size // 8 - 1]) + bytes(size - 2)


def fragment6(following: int, offset: int, more: int) -> bytes:
    return struct.pack(">BBHI", following, 0, offset << 3 | more, 1)


AH = bytes([17, 4]) + bytes(22)  # six words of four bytes, counted without two

# Frames to begin damage from: one behind every link layer, and a chain of extension headers.
SEEDS = [
    (link_type, prefix + ipv4(tcp(b"abc"), protocol=6)) for link_type, prefix in PREFIXES.values()
]
SEEDS += [(101, ipv6(extension(44) + fragment6(51, 0, 1) + AH + UDP_SEGMENT, protocol=0))]
SEEDS += [(101, ipv4(UDP_SEGMENT[:8], fragment=0x2000)), (101, ipv4(UDP_SEGMENT[8:], fragment=1))]
SEEDS += [(101, ipv6(fragment6(17, 1, 0) + UDP_SEGMENT[8:], protocol=44))]
