"""What fails every day in a house that nobody attacks, again and again, and is no incident.

Each of these goes on for hours: a device does not stop because it is refused. The same failures
with other passwords, other pages or other registers each time are attacks, and are found.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable
from pathlib import Path
from random import Random
from string import ascii_lowercase

import pytest
from tests.flows.frames import Record, conversation, frame, udp, write

from idskit import Detector, open_flows

DEVICE, SERVER = "192.168.1.40", "192.168.1.9"
EPOCH_US = 1_700_000_000 * 10**6
Said = list[tuple[bool, bytes]]  # whether the client says it, and what


def again(said: Callable[[int], Said], port: int, every_s: float, times: int) -> list[Record]:
    """Connections one after another, each its own."""
    found: list[Record] = []
    for n in range(times):
        client, start_us = (DEVICE, 30_000 + n % 30_000), round(EPOCH_US + n * every_s * 10**6)
        found += conversation(client, (SERVER, port), said(n), start_us)
    return found


def kept(said: Callable[[int], Said], port: int, every_s: float, times: int) -> list[Record]:
    """One connection that goes on, as records of a capture."""
    parts_said = [part for n in range(times) for part in said(n)]
    found = conversation((DEVICE, 30_000), (SERVER, port), parts_said, 0)
    opened, closed, parts = found[:3], found[-3:], len(said(0))
    talk = [
        (1_700_000_000 + int(place // parts * every_s), place % parts * 1000, sent)
        for place, (_, _, sent) in enumerate(found[3:-3])
    ]
    end = talk[-1][0] + 1
    return [
        *((1_700_000_000 - 1, 1000 * i, sent) for i, (_, _, sent) in enumerate(opened)),
        *talk,
        *((end, 1000 * i, sent) for i, (_, _, sent) in enumerate(closed)),
    ]


def get(target: str, status: str, *lines: str) -> Said:
    head = "\r\n".join([f"GET {target} HTTP/1.1", "Host: box.lan", "User-Agent: app/1.0", *lines])
    answer = f"HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok"
    return [(True, f"{head}\r\n\r\n".encode()), (False, answer.encode())]


def digest(n: int) -> str:
    return f'Authorization: Digest username="cam", realm="r", nonce="{n}", response="{n * 7919:x}"'


def basic(word: str) -> str:
    return "Authorization: Basic " + base64.b64encode(f"admin:{word}".encode()).decode()


def mqtt(password: str) -> Said:
    def text(value: str) -> bytes:
        return struct.pack(">H", len(value)) + value.encode()

    fields = text("MQTT") + b"\x04\xc2\x00\x3c" + text("sensor") + text("user") + text(password)
    return [(True, bytes([0x10, len(fields)]) + fields), (False, b"\x20\x02\x00\x05")]


def imap(password: str) -> Said:
    asked = f"a1 LOGIN me {password}\r\n".encode()
    return [(False, b"* OK ready\r\n"), (True, asked), (False, b"a1 NO LOGIN failed\r\n")]


def ftp(password: str) -> Said:
    return [
        *((False, b"220 ready\r\n"), (True, b"USER backup\r\n"), (False, b"331 which\r\n")),
        *((True, f"PASS {password}\r\n".encode()), (False, b"530 Login incorrect\r\n")),
    ]


def register(register_number: int) -> Said:
    asked = struct.pack(">HHHBBHH", 1, 0, 6, 1, 3, register_number, 2)
    return [(True, asked), (False, struct.pack(">HHHBBB", 1, 0, 3, 1, 0x83, 2))]


def phone(stale: bool) -> list[Record]:
    """A phone that registers every minute: asked to identify itself, and let in."""
    found: list[Record] = []
    for n in range(120):
        known = f"{digest(n)}\r\n" if stale else ""
        says = [
            (True, f"REGISTER sip:pbx SIP/2.0\r\nCSeq: {n}\r\n{known}\r\n"),
            (False, f"SIP/2.0 401 Unauthorized\r\nWWW-Authenticate: Digest stale={stale}\r\n\r\n"),
            (True, f"REGISTER sip:pbx SIP/2.0\r\n{digest(n)}\r\n\r\n"),
            (False, "SIP/2.0 200 OK\r\n\r\n"),
        ]
        for place, (forward, text) in enumerate(says):
            src, dst = (DEVICE, SERVER) if forward else (SERVER, DEVICE)
            sent = udp(src, dst, 5060, 5060, text.encode())
            found.append((1_700_000_000 + 60 * n, 1000 * place, sent))
    return found


def challenged(n: int) -> Said:
    return [*get("/onvif", "401 Unauthorized"), *get("/onvif", "200 OK", digest(n))]


def device(n: int) -> str:
    return f"192.168.{2 + n // 200}.{1 + n % 200}"


def missing_name(client: str, n: int, start_us: int) -> list[Record]:
    """A name in letters that the resolver does not know, asked once (RFC 1035)."""
    host = "".join(Random(n).choices(ascii_lowercase, k=12)).encode()
    question = bytes([len(host)]) + host + b"\x03com\x00\x00\x01\x00\x01"
    port, found = 20_000 + n % 40_000, []
    for src, dst, flags in ((client, SERVER, 0x0100), (SERVER, client, 0x8183)):
        said = struct.pack(">HHHHHH", n & 0xFFFF, flags, 1, 0, 0, 0) + question
        ports = (port, 53) if src == client else (53, port)
        at_us = start_us + (src == SERVER) * 900
        found.append((at_us // 10**6, at_us % 10**6, udp(src, dst, *ports, said)))
    return found


def missing_names(clients: int, each: int) -> list[Record]:
    """Devices ask one resolver for names that are not there, others each time, for ten minutes."""
    step_us = 600_000_000 // (clients * each)
    asked = (
        missing_name(device(n % clients), n, EPOCH_US + n * step_us) for n in range(clients * each)
    )
    return [record for records in asked for record in records]


def power_returns(group: str, port: int) -> list[Record]:
    """A hundred devices start at once, and look for services."""
    found: list[Record] = []
    for n in range(300):
        said = b"M-SEARCH * HTTP/1.1\r\nST: upnp:rootdevice\r\n\r\n"
        sent = udp(device(n % 100), group, 40_000 + n // 100, port, said)
        found.append((1_700_000_000, 1500 * n, sent))
    return found


def echo(n: int, size: int, kind: int) -> Record:
    said = struct.pack(">BBHHH", kind, 0, 0, 7, n) + bytes(range(8, 8 + 48)) * (size // 48)
    ends = (DEVICE, SERVER) if kind == 8 else (SERVER, DEVICE)
    return 1_700_000_000 + n, 500 * (kind == 0), frame(*ends, 1, said)


def two_sizes_of_ping() -> list[Record]:
    """Somebody pings with 48 bytes, then with 960; an answer is lost."""
    sent = [echo(n, size, kind) for n, size in enumerate([48] * 8 + [960] * 8) for kind in (8, 0)]
    return sent[:-1]


EVERYDAY = {
    "a hundred devices that each ask for names that are not there": missing_names(100, 12),
    "a hundred devices that look for others when power returns": power_returns(
        "239.255.255.250", 1900
    ),
    "a ping of two sizes, of which an answer is lost": two_sizes_of_ping(),
    "a camera that asks every request for its password": again(challenged, 80, 10, 200),
    "the same over one connection": kept(challenged, 80, 10, 60),
    "a phone that registers": phone(stale=False),
    "a phone whose nonce has expired": phone(stale=True),
    "a page that is gone": again(lambda _: get("/old", "404 Not Found"), 80, 30, 200),
    "a page that is gone, over one connection": kept(
        lambda _: get("/old", "404 Not Found"), 80, 10, 60
    ),
    "a server that is down": again(lambda _: get("/api", "503 Busy"), 80, 30, 200),
    "a server that is down, asked by an app for three things": kept(
        lambda n: get(f"/api/{n % 3}", "503 Busy"), 80, 10, 60
    ),
    "a program whose password has changed": again(
        lambda _: get("/", "401 Unauthorized", basic("old")), 80, 30, 200
    ),
    "a sensor whose password has changed": again(lambda _: mqtt("old"), 1883, 30, 200),
    "a mail program whose password has changed": again(lambda _: imap("old"), 143, 60, 200),
    "a backup whose password has changed": again(lambda _: ftp("old"), 21, 60, 200),
    "snapshots with the password in the address": again(
        lambda _: get("/snap?user=admin&password=right", "200 OK"), 80, 10, 200
    ),
    "a register that an inverter lacks": kept(lambda _: register(40_069), 502, 10, 64),
}
ATTACKS = {
    "passwords of pages": (
        again(lambda n: get("/", "401 Who", basic(str(n))), 80, 1, 40),
        "guessing",
    ),
    "passwords of sensors": (again(lambda n: mqtt(f"pw{n}"), 1883, 1, 40), "guessing"),
    "passwords of mail": (again(lambda n: imap(f"pw{n}"), 143, 1, 40), "guessing"),
    "passwords of files": (again(lambda n: ftp(f"pw{n}"), 21, 1, 40), "guessing"),
    "passwords in addresses": (
        again(lambda n: get(f"/?user=admin&password=pw{n}", "200 OK"), 80, 1, 60),
        "guessing",
    ),
    "pages that are guessed": (again(lambda n: get(f"/p{n}", "404 No"), 80, 1, 60), "web"),
    "pages that are guessed over one connection": (
        kept(lambda n: get(f"/p{n}", "404 No"), 80, 0.1, 60),
        "web",
    ),
    "requests that break a server": (again(lambda n: get(f"/q{n}", "500 No"), 80, 1, 20), "web"),
    "names that a device makes up": (missing_names(1, 600), "malware"),
    "echo requests that carry a conversation": (
        [echo(n, 48 * (1 + n * n % 17), kind) for n in range(40) for kind in (8, 0)],
        "tunnel",
    ),
    "registers that are tried": (kept(lambda n: register(100 * n), 502, 0.1, 40), "lateral"),
}


def families(records: list[Record], folder: Path) -> set[str]:
    """Families of the incidents that the shipped model and the tests raise."""
    detector = Detector.load(threads=1)
    capture = write(folder / "house.pcap", records)
    with open_flows(capture, detector.flow_schema, verdict_at_s=(1, 5, 30)) as flows:
        return {found.family for found in detector.incidents(flows)}


@pytest.mark.parametrize("records", EVERYDAY.values(), ids=EVERYDAY)
def test_what_fails_every_day_is_no_incident(records: list[Record], tmp_path: Path) -> None:
    assert families(records, tmp_path) == set()


@pytest.mark.parametrize(("records", "family"), ATTACKS.values(), ids=ATTACKS)
def test_what_fails_otherwise_each_time_is_one(
    records: list[Record], family: str, tmp_path: Path
) -> None:
    assert families(records, tmp_path) == {family}
