"""Every encapsulation by its name: decoded as the packet on this link, or counted."""

from __future__ import annotations

import struct

import pytest
from tests.flows.capture_files import decoded, in_memory
from tests.flows.headers import (
    AH,
    MACS,
    SNAP,
    UDP_SEGMENT,
    VLAN5,
    VLAN9,
    WIFI,
    extension,
    fragment6,
    ipv4,
    ipv6,
    tcp,
)

ETHERNET4 = MACS + b"\x08\0"
LABEL, LAST_LABEL = b"\0\x01\x00\x40", b"\0\x01\x01\x40"


def udp(port: int, payload: bytes) -> bytes:
    return struct.pack(">HHHH", 40_000, port, 8 + len(payload), 0) + payload


def ethernet(packet: bytes) -> bytes:
    return ETHERNET4 + packet


INNER = ethernet(ipv4(tcp(), protocol=6))

# (link type, frame): IP protocol and destination port of the row. Tunnels are not opened: the row
# is the outer packet, what was on this link.
DECODED = {
    "first fragment": (1, ethernet(ipv4(fragment=0x2000)), 17, 2222),
    "later fragment": (1, ethernet(ipv4(fragment=100)), 17, 0),
    "IPv6 fragment": (101, ipv6(fragment6(17, 0, 1) + UDP_SEGMENT, protocol=44), 17, 2222),
    "IPv6 extension headers": (101, ipv6(extension(17) + UDP_SEGMENT, protocol=0), 17, 2222),
    "IPv6 authentication header": (101, ipv6(AH + UDP_SEGMENT, protocol=51), 17, 2222),
    "VLAN": (1, MACS + VLAN5 + b"\x08\0" + ipv4(), 17, 2222),
    "QinQ": (1, MACS + VLAN9 + VLAN5 + b"\x08\0" + ipv4(), 17, 2222),
    "five VLAN tags": (1, MACS + VLAN5 * 5 + b"\x08\0" + ipv4(), 17, 2222),
    "LLC and SNAP": (1, MACS + b"\0\x40" + SNAP + b"\x08\0" + ipv4(), 17, 2222),
    "PPPoE session": (1, MACS + b"\x88\x64\x11\0\0\x01\0\x40\0\x21" + ipv4(), 17, 2222),
    "VLAN and PPPoE": (1, MACS + VLAN5 + b"\x88\x64\x11\0\0\x01\0\x40\0\x57" + ipv6(), 17, 2222),
    "MPLS": (1, MACS + b"\x88\x47" + LABEL * 3 + LAST_LABEL + ipv4(), 17, 2222),
    "MPLS multicast": (1, MACS + b"\x88\x48" + LAST_LABEL + ipv6(), 17, 2222),
    "Linux cooked": (113, bytes(14) + b"\x08\0" + ipv4(), 17, 2222),
    "Linux cooked v2": (276, b"\x86\xdd" + bytes(18) + ipv6(), 17, 2222),
    "BSD loopback": (0, b"\x02\0\0\0" + ipv4(), 17, 2222),
    "OpenBSD loopback": (108, b"\0\0\0\x18" + ipv6(), 17, 2222),
    "802.11": (105, WIFI + SNAP + b"\x08\0" + ipv4(), 17, 2222),
    "802.11 radiotap": (127, b"\0\0\x0a\0" + bytes(6) + WIFI + SNAP + b"\x08\0" + ipv4(), 17, 2222),
    "raw IP": (101, ipv6(), 17, 2222),
    "PPP": (9, b"\xff\x03\0\x21" + ipv4(), 17, 2222),
    "PPP in HDLC framing": (50, b"\xff\x03\0\x21" + ipv4(), 17, 2222),
    "Cisco HDLC": (104, b"\x0f\0\x08\0" + ipv4(), 17, 2222),
    "GRE": (1, ethernet(ipv4(b"\0\0\x08\0" + ipv4(), protocol=47)), 47, 0),
    "ERSPAN": (1, ethernet(ipv4(b"\x10\0\x88\xbe" + bytes(12) + INNER, protocol=47)), 47, 0),
    "PPTP": (1, ethernet(ipv4(b"\x30\x01\x88\x0b" + bytes(20), protocol=47)), 47, 0),
    "IP in IP": (1, ethernet(ipv4(ipv4(), protocol=4)), 4, 0),
    "IPv6 in IPv4": (1, ethernet(ipv4(ipv6(), protocol=41)), 41, 0),
    "IPv4 in IPv6": (1, MACS + b"\x86\xdd" + ipv6(ipv4(), protocol=4), 4, 0),
    "ESP": (1, ethernet(ipv4(bytes(40), protocol=50)), 50, 0),
    "AH in IPv4": (1, ethernet(ipv4(AH + UDP_SEGMENT, protocol=51)), 51, 0),
    "L2TPv3": (1, ethernet(ipv4(bytes(4) + INNER, protocol=115)), 115, 0),
    "EtherIP": (1, ethernet(ipv4(b"\x30\0" + INNER, protocol=97)), 97, 0),
    "VXLAN": (1, ethernet(ipv4(udp(4789, b"\x08" + bytes(7) + INNER))), 17, 4789),
    "GENEVE": (1, ethernet(ipv4(udp(6081, b"\0\0\x65\x58" + bytes(4) + INNER))), 17, 6081),
    "L2TP": (1, ethernet(ipv4(udp(1701, b"\x00\x02" + bytes(4) + b"\0\x21" + ipv4()))), 17, 1701),
    "GTP-U": (1, ethernet(ipv4(udp(2152, b"\x30\xff\0\x40" + bytes(4) + ipv4()))), 17, 2152),
    "Teredo": (1, ethernet(ipv4(udp(3544, ipv6()))), 17, 3544),
    "WireGuard": (1, ethernet(ipv4(udp(51820, b"\x04" + bytes(31)))), 17, 51820),
    "SCTP": (1, ethernet(ipv4(struct.pack(">HHII", 5, 6, 0, 0), protocol=132)), 132, 6),
}

COUNTED = {
    "ARP": (1, MACS + b"\x08\x06" + bytes(28), "arp"),
    "ARP behind a VLAN tag": (1, MACS + VLAN5 + b"\x08\x06" + bytes(28), "arp"),
    "LLDP": (1, MACS + b"\x88\xcc" + bytes(40), "not_ip"),
    "spanning tree": (1, MACS + b"\0\x26\x42\x42\x03" + bytes(35), "not_ip"),
    "Cisco discovery": (1, MACS + b"\0\x40\xaa\xaa\x03\0\0\x0c\x20\0" + bytes(40), "not_ip"),
    "PPPoE discovery": (1, MACS + b"\x88\x63\x11\x09" + bytes(20), "not_ip"),
    "PPP control": (9, b"\xff\x03\xc0\x21" + bytes(20), "not_ip"),
    "802.1X": (1, MACS + b"\x88\x8e" + bytes(40), "not_ip"),
    "MACsec": (1, MACS + b"\x88\xe5" + bytes(60), "not_ip"),
    "precision time": (1, MACS + b"\x88\xf7" + bytes(44), "not_ip"),
    "Ethernet in MPLS": (1, MACS + b"\x88\x47" + LAST_LABEL + bytes(4) + INNER, "not_ip"),
    "VN-Tag": (1, MACS + b"\x89\x26" + bytes(4) + b"\x08\0" + ipv4(), "not_ip"),
    "E-Tag": (1, MACS + b"\x89\x3f" + bytes(6) + b"\x08\0" + ipv4(), "not_ip"),
    "network service header": (1, MACS + b"\x89\x4f" + bytes(8) + ipv4(), "not_ip"),
    "802.11 encrypted": (105, b"\x08\x41" + WIFI[2:] + SNAP + b"\x08\0" + ipv4(), "not_ip"),
    "802.11 beacon": (105, b"\x80\0" + bytes(40), "not_ip"),
    "frame relay": (107, b"\x18\x41\x03\xcc" + ipv4(), "link_type"),
    "IEEE 802.15.4": (195, b"\x41\x88" + bytes(30), "link_type"),
    "IEEE 802.15.4 without checksum": (230, b"\x41\x88" + bytes(30), "link_type"),
    "USB": (189, bytes(48), "link_type"),
    "USB with padding": (220, bytes(64), "link_type"),
    "Bluetooth": (201, bytes(12), "link_type"),
    "PPI": (192, b"\0\0\x08\0\x01\0\0\0" + INNER, "link_type"),
    "netfilter log": (239, bytes(20) + ipv4(), "link_type"),
    "netlink": (253, bytes(16), "link_type"),
    "Solaris IP observability": (226, bytes(24) + ipv4(), "link_type"),
    "CAN bus": (227, bytes(16), "link_type"),
    "D-Bus": (231, bytes(20), "link_type"),
    "ATM": (123, bytes(4) + ipv4(), "link_type"),
    "an interface that the file does not describe": (2**32 - 1, ipv4(), "link_type"),
}


@pytest.mark.parametrize("name", DECODED)
def test_decoded(name: str) -> None:
    link_type, frame, protocol, port = DECODED[name]
    rows, skipped = decoded(in_memory([frame], link_type))
    assert skipped == {}
    assert (rows["protocol"].tolist(), rows["dst_port"].tolist()) == ([protocol], [port])


@pytest.mark.parametrize("name", COUNTED)
def test_counted(name: str) -> None:
    link_type, frame, reason = COUNTED[name]
    rows, skipped = decoded(in_memory([frame], link_type))
    assert len(rows) == 0
    assert skipped == {reason: 1}
