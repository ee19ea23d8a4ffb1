"""The common part of scripts: their register, connections with a time-out, and pauses."""

from __future__ import annotations

import random
import socket
import ssl
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

TIMEOUT_S = 5.0
RANDOM = random.Random()  # noqa: S311 - shapes traffic, keeps no secret
SCRIPTS: dict[str, Callable[..., None]] = {}
TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # certificates of the lab are nobody's
TLS.check_hostname, TLS.verify_mode = False, ssl.CERT_NONE
_Script = TypeVar("_Script", bound=Callable[..., None])


def script(function: _Script) -> _Script:
    """Register a script under its name, with hyphens."""
    SCRIPTS[function.__name__.replace("_", "-")] = function
    return function


def connect(server: str, port: int) -> socket.socket:
    """Return a TCP connection."""
    return socket.create_connection((server, port), TIMEOUT_S)


def connect_tls(server: str, port: int, name: str) -> ssl.SSLSocket:
    """Return a TLS connection to a server whose certificate is not checked."""
    return TLS.wrap_socket(connect(server, port), server_hostname=name)


def line(connection: socket.socket, text: str) -> bytes:
    """Send a line and return what comes back."""
    connection.sendall(text.encode() + b"\r\n")
    return connection.recv(4096)


def ask(out: socket.socket, datagram: bytes, server: str, port: int) -> bytes:
    """Send a datagram; return the first answer, or nothing where none comes."""
    out.sendto(datagram, (server, port))
    with suppress(OSError):
        return out.recv(1 << 16)
    return b""


def datagrams(timeout: float = 1.0) -> socket.socket:
    """Return a UDP socket that waits at most ``timeout`` seconds for an answer."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.settimeout(timeout)
    with suppress(OSError):  # without the lab's link there is nobody to reach
        own = struct.pack("@4s4si", b"", b"", socket.if_nametoindex("lan0"))
        made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, own)
    return made


def rest(pause: float) -> None:
    """Wait for a random time up to ``pause`` seconds."""
    time.sleep(RANDOM.uniform(0, pause))
