"""Name look-ups of every kind, and what hosts announce on their own network."""

from __future__ import annotations

import os
import socket
import struct

from idskit.lab.play.script import RANDOM, ask, connect, datagrams, rest, script

A, PTR, TXT, AAAA, SRV, HTTPS = 1, 12, 16, 28, 33, 65
_EDNS = b"\0\0\x29\x10\0\0\0\x80\0\0\0"  # OPT, 4096 bytes, DNSSEC OK (RFC 6891)
_SITES = ("news", "shop", "mail", "static", "api", "img", "fonts", "ads", "video", "wiki", "maps")
_BOOTP = struct.Struct(">BBBBIHHIIII16s64s128s")  # RFC 951, without options


def query(name: str, kind: int, *, edns: bool = False, number: int | None = None) -> bytes:
    """Return a DNS query (RFC 1035)."""
    number = RANDOM.getrandbits(16) if number is None else number & 0xFFFF
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    head = struct.pack(">HHHHHH", number, 0x0100, 1, 0, 0, int(edns))
    return head + labels + b"\0" + struct.pack(">HH", kind, 1) + (_EDNS if edns else b"")


def look_up(server: str, name: str, *kinds: int, edns: bool = False) -> None:
    """Ask for records of a name from a port of its own each, as resolvers do."""
    for kind in kinds:
        with datagrams(0.5) as out:
            ask(out, query(name, kind, edns=edns), server, 53)


@script
def names_of_pages(server: str, count: int, pause: float) -> None:
    """Look up the names of pages in bursts: addresses of both kinds, and HTTPS."""
    for _ in range(max(count // 4, 3)):
        for _ in range(RANDOM.randint(3, 15)):
            name = f"{RANDOM.choice(_SITES)}.site{RANDOM.randint(1, 400)}.example"
            look_up(server, name, A, AAAA, HTTPS)
        rest(4 * pause)


@script
def names_mistyped(server: str, count: int, pause: float) -> None:
    """Look up names that are not there: typing errors and search domains tried in turn."""
    for number in range(count):
        for end in ("typo.example", "corp.typo.example", "typo.example"):
            look_up(server, f"printr{number % 7}.{end}", A, AAAA)
        rest(2 * pause)


@script
def names_of_addresses(server: str, count: int, pause: float) -> None:
    """Look up the names of addresses in a log, one after the other."""
    for _ in range(4 * count):
        numbers = ".".join(str(RANDOM.randint(1, 254)) for _ in range(3))
        look_up(server, f"{numbers}.10.in-addr.arpa", PTR)
        rest(pause / 8)


@script
def names_signed(server: str, count: int, pause: float) -> None:
    """Look up records with signatures, whose answers are long."""
    for number in range(count):
        look_up(server, "big.example", TXT, edns=True)
        look_up(server, f"host{number}.example", A, AAAA, edns=True)
        rest(pause)


@script
def names_hashed(server: str, count: int, pause: float) -> None:
    """Look up long names that are hashes: of content networks, and of a virus scanner's service."""
    for _ in range(2 * count):
        end = RANDOM.choice(("cdn.example", "hash.scanner.example", "metrics.cloud.example"))
        look_up(server, f"d{os.urandom(RANDOM.choice((7, 16, 20))).hex()}.{end}", A, AAAA)
        rest(pause)


@script
def names_by_tcp(server: str, count: int, pause: float) -> None:
    """Look up long answers over TCP."""
    for _ in range(count):
        asked = query("big.example", TXT)
        with connect(server, 53) as connection:
            connection.sendall(struct.pack(">H", len(asked)) + asked)
            connection.recv(1 << 16)
        rest(pause)


@script
def names_slow(server: str, count: int, pause: float) -> None:
    """Look up the same few names now and then from one port, as devices do."""
    with datagrams() as out:
        for _ in range(count):
            for name in ("time.vendor.example", "mqtt.vendor.example"):
                ask(out, query(name, A), server, 53)
            rest(4 * pause)


@script
def announce_services(_server: str, count: int, pause: float) -> None:
    """Ask for and announce services on the own network (mDNS, RFC 6762)."""
    with datagrams() as out:
        out.bind(("", 5353))
        for _ in range(count):
            kind = RANDOM.choice(("_ipp", "_airplay", "_googlecast", "_ssh", "_hap"))
            out.sendto(query(f"{kind}._tcp.local", PTR, number=0), ("224.0.0.251", 5353))
            answer = struct.pack(">HHHHHH", 0, 0x8400, 0, 1, 0, 0) + query("tv.local", SRV)[12:]
            sent = answer + struct.pack(">IH", 120, 60) + os.urandom(60)
            out.sendto(sent, ("224.0.0.251", 5353))
            rest(2 * pause)


@script
def search_devices(_server: str, count: int, pause: float) -> None:
    """Search for devices on the own network (SSDP), and for Windows ones (WS-Discovery, LLMNR)."""
    search = (
        b'M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: "ssdp:discover"\r\nMX: 1\r\n'
    )
    with datagrams(0.3) as out:
        for _ in range(count):
            ask(out, search + b"ST: ssdp:all\r\n\r\n", "239.255.255.250", 1900)
            probe = b"<soap:Envelope>" + b"x" * RANDOM.randint(500, 700) + b"</soap:Envelope>"
            out.sendto(probe, ("239.255.255.250", 3702))
            out.sendto(query(f"pc{RANDOM.randint(1, 20)}", A), ("224.0.0.252", 5355))
            rest(3 * pause)


@script
def search_names(_server: str, count: int, pause: float) -> None:
    """Ask the own network for NetBIOS names, by broadcast."""
    with datagrams(0.2) as out:
        out.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for number in range(count):
            name = b"".join(
                bytes([65 + (c >> 4), 65 + (c & 15)]) for c in f"PC{number:<14}".encode()
            )
            head = struct.pack(">HHHHHH", number, 0x0110, 1, 0, 0, 0)
            out.sendto(head + b"\x20" + name + b"\0\0\x20\0\x01", ("10.77.0.255", 137))
            rest(pause)


def lease_message(mac: bytes, kind: int, *options: bytes) -> bytes:
    """Return a DHCP message (RFC 2131)."""
    number = RANDOM.getrandbits(32)
    head = _BOOTP.pack(1, 1, 6, 0, number, 0, 0x8000, 0, 0, 0, 0, mac, b"", b"")
    body = head + b"\x63\x82\x53\x63\x35\x01" + bytes([kind]) + b"".join(options) + b"\xff"
    return body.ljust(300, b"\0")


def lease(out: socket.socket, mac: bytes, kind: int, *options: bytes) -> bytes:
    """Send a DHCP message by broadcast; return the answer, or nothing."""
    return ask(out, lease_message(mac, kind, *options), "255.255.255.255", 67)


def dhcp_socket(port: int = 68) -> socket.socket:
    """Return a socket from which a DHCP client asks, or a server answers."""
    out = datagrams(4)
    out.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    out.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lan0")
    out.bind(("", port))
    return out


@script
def ask_lease(_server: str, count: int, pause: float) -> None:
    """Ask for an address as a few devices do that were switched on."""
    with dhcp_socket() as out:
        for _ in range(max(count // 8, 2)):
            mac = b"\x02" + os.urandom(5)
            offer = lease(out, mac, 1, b"\x37\x04\x01\x03\x06\x0f")
            if len(offer) > 20:
                lease(out, mac, 3, b"\x32\x04" + offer[16:20], b"\x36\x04\x0a\x4d\x00\x01")
            rest(4 * pause)
