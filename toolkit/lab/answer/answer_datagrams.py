"""Servers of datagrams: each is a function from a datagram to what answers it.

A socket is bound to every address of the server, so that the address that was asked answers.
"""

from __future__ import annotations

import os
import random
import socket
import struct
import threading
from collections.abc import Callable

from idskit.lab.namespaces import PREFIX, SERVERS

Answer = Callable[[bytes], list[bytes]]
_RANDOM = random.Random()  # noqa: S311 - shapes traffic, keeps no secret
_SSDP_GROUP = "239.255.255.250"
_CHUNK = 1200


def coap(asked: bytes) -> list[bytes]:
    """Acknowledge a CoAP request with a reading (RFC 7252)."""
    if len(asked) < 4 or asked[0] >> 6 != 1:
        return []
    token = asked[4 : 4 + (asked[0] & 15)]
    reading = b"\xff" + f'{{"t":{_RANDOM.uniform(18, 24):.2f}}}'.encode()
    return [bytes([0x60 | asked[0] & 15, 0x45]) + asked[2:4] + token + reading]


def sip(asked: bytes) -> list[bytes]:
    """Answer SIP: a call is tried, rings and is taken; other requests are fine (RFC 3261)."""
    method, _, _ = asked.partition(b" ")
    lines = (b"Via:", b"From:", b"To:", b"Call-ID:", b"CSeq:")
    kept = b"\r\n".join(line for line in asked.split(b"\r\n") if line.startswith(lines))
    states = (b"100 Trying", b"180 Ringing", b"200 OK") if method == b"INVITE" else (b"200 OK",)
    if method == b"ACK":
        return []
    return [b"SIP/2.0 %b\r\n%b\r\nContent-Length: 0\r\n\r\n" % (state, kept) for state in states]


def media(asked: bytes) -> list[bytes]:
    """Send voice back at the rate at which it comes."""
    return [asked[:12] + os.urandom(max(len(asked) - 12, 0))]


def tunnel(asked: bytes) -> list[bytes]:
    """Answer as a WireGuard peer: a handshake, and sealed packets of other sizes."""
    if asked[:1] == b"\x01":
        return [b"\x02\0\0\0" + os.urandom(88)]
    sizes = (_RANDOM.choice((32, 96, 544, 1120, 1392)) for _ in range(_RANDOM.randint(1, 3)))
    return [b"\x04\0\0\0" + os.urandom(12 + size) for size in sizes]


def quic(asked: bytes) -> list[bytes]:
    """Answer as a QUIC server: a window of long packets for each short one."""
    if len(asked) >= _CHUNK:
        return [b"\xc0" + os.urandom(_CHUNK - 1) for _ in range(3)]
    return [b"\x40" + os.urandom(_CHUNK + 49) for _ in range(16)]


def ssdp(asked: bytes) -> list[bytes]:
    """Answer a search for devices."""
    if not asked.startswith(b"M-SEARCH"):
        return []
    kinds = (b"upnp:rootdevice", b"urn:schemas-upnp-org:device:MediaServer:1")
    head = b"HTTP/1.1 200 OK\r\nLOCATION: http://10.77.0.10/d.xml\r\n"
    form = head + b"ST: %b\r\nUSN: uuid:77::%b\r\n\r\n"
    return [form % (kind, kind) for kind in kinds]


def stun(asked: bytes) -> list[bytes]:
    """Return a mapped address (RFC 8489)."""
    return [b"\x01\x01\0\x0c" + asked[4:20] + b"\0\x20\0\x08\0\x01" + os.urandom(6)]


def bacnet(asked: bytes) -> list[bytes]:
    """Answer a BACnet/IP request with a value."""
    return [b"\x81\x0a\0\x17\x01\0\x30" + asked[8:9] + os.urandom(15)]


def peer(asked: bytes) -> list[bytes]:
    """Answer as a BitTorrent peer: nodes for a question, data for data."""
    if asked.startswith(b"d1:"):
        return [b"d1:rd2:id20:" + os.urandom(20) + b"5:nodes208:" + os.urandom(208) + b"e1:y1:re"]
    return [os.urandom(_RANDOM.choice((20, 20, 20, 1400)))]


def netbios(asked: bytes) -> list[bytes]:
    """Answer a name query (RFC 1002)."""
    return [
        asked[:2]
        + b"\x85\0\0\0\0\1\0\0\0\0"
        + asked[12:50]
        + struct.pack(">IH", 300, 6)
        + b"\0" * 6
    ]


def nothing(_: bytes) -> list[bytes]:
    """Take a datagram and say nothing, as collectors of logs do."""
    return []


ANSWERS: dict[str, Answer] = {
    answer.__name__: answer
    for answer in (coap, sip, media, tunnel, quic, ssdp, stun, bacnet, peer, netbios, nothing)
}


def answer_datagrams(kind: str, port: int) -> None:
    """Answer on every address of the server until the process is ended."""
    answer = ANSWERS[kind]
    threads = [
        threading.Thread(target=_serve, args=(address, port, answer), daemon=True)
        for address in (f"{PREFIX}.1", *SERVERS)
    ]
    for thread in threads:
        thread.start()
    if kind == "ssdp":
        _serve(_SSDP_GROUP, port, answer)
    for thread in threads:
        thread.join()


def _serve(address: str, port: int, answer: Answer) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if address == _SSDP_GROUP:
            group = socket.inet_aton(address) + socket.inet_aton(SERVERS[0])
            end.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
        end.bind((address, port))
        while True:
            asked, source = end.recvfrom(1 << 16)
            for datagram in answer(asked):
                end.sendto(datagram, source)
