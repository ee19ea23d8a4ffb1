"""A service for tests of the page: answers on a control socket, as the contract says."""

from __future__ import annotations

import contextlib
import json
import math
import random
import socketserver
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

NOW = datetime(2026, 11, 30, 14, 3, 22, tzinfo=UTC)
_FAMILIES = ("scan", "guessing", "flood", "tunnel", "malware", "lateral", "web", "amplification")
_SENTENCES = {
    "scan": "{a} tried 411 ports of {t} in 40 s; usual here are 3.",
    "guessing": "{a} sent 96 failed logins over SSH to {t} in 10 min; usual here are 0.",
    "flood": "41,200 half-open connections a minute reach {t}; usual here are 2.",
    "tunnel": "{t} sends 38 MB a night to {a} in names of one zone; usual here are 4 kB.",
    "malware": "{t} calls {a} every 60 s with 2 % jitter; no device here did so before.",
}
_HOSTS = (
    ("192.168.1.10", "nas"), ("192.168.1.21", "camera-front"), ("192.168.1.22", "camera-yard"),
    ("192.168.1.30", "Anna's laptop"), ("192.168.1.31", "pixel-8"), ("192.168.1.40", "tv"),
    ("192.168.1.50", "printer"), ("192.168.1.60", "bulb-kitchen"), ("192.168.1.61", "bulb-hall"),
    ("192.168.1.70", "thermostat"), ("192.168.1.1", "router"), ("203.0.113.77", ""),
    ("198.51.100.9", ""), ("2001:db8:31::a1", ""),
)  # fmt: skip


def eve(moment: datetime) -> str:
    """A time as EVE has it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f+0000")


def incident(number: int, **changed: Any) -> dict[str, Any]:
    """An incident, another one for every number."""
    family = _FAMILIES[number % len(_FAMILIES)]
    started = NOW - timedelta(minutes=7 + 43 * number)
    device, named = _HOSTS[number % 11]
    attacker = f"203.0.113.{77 + number % 100}"
    said = _SENTENCES.get(family, "{t} behaves unusually towards {a}.")
    found = {
        "incident_id": f"{started:%Y%m%dT%H%M%S}-{number:08x}",
        "type": "end",
        "label": family,
        "technique": "T1046",
        "severity": 1 if number % 3 == 1 else 2,
        "confidence": 0.97,
        "started": eve(started),
        "updated": eve(started + timedelta(minutes=6)),
        "ended": eve(started + timedelta(minutes=21)),
        "attacker": attacker,
        "attackers": 1 if number % 4 else 212,
        "target": device,
        "targets": 1,
        "device": {"address": device, "name": named},
        "services": ["22/tcp", "80/tcp", "443/tcp"],
        "flows": 10 ** (4 - number % 5) + number,
        "flow_ids": [1_234_567_890_123 + i for i in range(20)],
        "evidence": [
            {"name": "failed first contacts", "value": 411, "unit": "in 40 s", "usual": 3},
            {"name": "distinct ports", "value": 408, "unit": "ports", "usual": 2},
            {"name": "score of the host's last minute", "value": 7.31, "unit": "log-odds"},
        ],
        "explanation": explanation(said.format(a=attacker, t=named)),
    }
    return {key: value for key, value in (found | changed).items() if value is not None}


def explanation(sentence: str) -> dict[str, Any]:
    """Shares of groups and of the leading features."""
    groups = (
        ("destination context", 4.1), ("flags", 2.3), ("volume", 0.9), ("timing", 0.6),
        ("ports", 0.4), ("source context", 0.1), ("sizes", -0.3), ("series", -0.8),
    )  # fmt: skip
    features = (
        ("distinct ports of the destination", 411, "in 60 s", 3, 14, 2.9),
        ("share of unanswered connections", 0.98, "", 0.02, 0.2, 1.7),
        ("reset flags", 2, "packets", 0, 3, 0.8),
        ("duration", 0.0004, "s", 1.9, 118, 0.4),
    )
    names = ("name", "value", "unit", "usual_p50", "usual_p99", "share")
    return {
        "sentence": sentence,
        "method": "exact group Shapley values",
        "base": -5.2,
        "score": 2.1,
        "groups": [{"name": name, "share": share} for name, share in groups],
        "features": [dict(zip(names, row, strict=True)) for row in features],
    }


def snapshot(incidents: int = 40, opened: int = 1, state: str = "fine") -> dict[str, Any]:
    """A quiet home, with some incidents of which the first are open."""
    random.seed(7)
    goes_on = {"ended": None, "type": "update"}
    every = [incident(n, **(goes_on if n < opened else {})) for n in range(incidents)]
    for n in range(opened + 2, incidents, 3):
        every[n]["verdict"] = ("attack", "expected", "wrong")[n % 4 % 3]
    return {
        "version": "0.2.0",
        "host": "gateway",
        "now": eve(NOW),
        "started": eve(NOW - timedelta(days=12, hours=3)),
        "health": {"state": state, "reasons": _REASONS[state], "interfaces": _interfaces(state)},
        "rates": {
            "packets_per_s": _wave(420, 160),
            "flows_per_s": _wave(14, 6),
            "bytes_per_s": _wave(1_900_000, 1_700_000),
        },
        "traffic": {"seconds": 60, "hosts": [_host(i) for i in range(len(_HOSTS))]},
        "counters": {
            "idskit_packets_total": 41_220_118, "idskit_flows_total": 1_318_442,
            "idskit_alerts_total": 2_311, "idskit_incidents_total": incidents,
            "idskit_capture_dropped_total": 31, "idskit_flow_table_evicted_total": 0,
            "idskit_frames_skipped_total": 1_204, "idskit_sink_dropped_total": 0,
        },
        "sinks": [
            {"name": "EVE file", "waiting": 0, "written": incidents, "dropped": 0, "failed": 0,
             "damaged": 0, "unsaved": 0, "last_success_s": NOW.timestamp(), "away": None},
            {"name": "MQTT", "waiting": 3, "written": 37, "dropped": 0, "failed": 0, "damaged": 0,
             "unsaved": 0, "last_success_s": None, "away": "broker.home: Connection refused"},
        ],
        "budget": {"per_day": 1, "burn_1h": 0.4, "burn_24h": 1.31, "threshold": 0.981},
        "incidents": every,
        "devices": [_device(i) for i in range(11)],
        "model": {
            "name": "ids.int8.onnx", "sha256": "7c41" * 16, "version": 3, "threshold": 0.975,
            "classes": ["benign", *_FAMILIES],
            "learning": {"state": "learning", "hours": 13.4, "since": eve(NOW - timedelta(days=1))},
        },
        "settings": _SETTINGS,
    }  # fmt: skip


def many_incidents(number: int) -> dict[str, Any]:
    """A snapshot of that many incidents, of which one is open."""
    rows = [incident(n, evidence=None, explanation=None) for n in range(number)]
    return snapshot(opened=1) | {"incidents": [incident(0, ended=None), *rows[1:]]}


_REASONS = {
    "fine": [],
    "learning": ["13 of 24 hours are learned."],
    "blind": ["Interface eth1 vanished 4 min ago."],
    "overloaded": ["In the last minute 2.1 % of the packets were dropped."],
}
_SETTINGS = [
    {"field": "capture.interfaces", "value": ["eth0", "eth1"], "default": [],
     "help": "Interfaces to read; that of the default route if there is none here"},
    {"field": "capture.memory_mb", "value": 96, "default": 96,
     "help": "Memory for open flows, in MB"},
    {"field": "page.listen", "value": "127.0.0.1", "default": "127.0.0.1",
     "help": "Address that the page listens on"},
    {"field": "page.enabled", "value": True, "default": True, "help": "Whether there is a page"},
    {"field": "mqtt.host", "value": "broker.home", "default": None,
     "help": "Name or address of the broker; nothing is sent if omitted"},
    {"field": "mqtt.tls", "value": True, "default": False,
     "help": "Encrypt, and check the broker's certificate"},
    {"field": "eve.rotate_mb", "value": 100, "default": 100,
     "help": "Size in MB at which it becomes FILE.1, FILE.1 becomes FILE.2 ...; 0: no limit"},
]  # fmt: skip


def _interfaces(state: str) -> list[dict[str, Any]]:
    eth0 = {"name": "eth0", "up": True, "packets": 40_118_002, "dropped": 31}
    eth1 = {"name": "eth1", "up": state != "blind", "packets": 1_102_116, "dropped": 0}
    return [eth0, eth1]


def _wave(middle: float, swing: float) -> list[float]:
    return [
        max(middle + swing * math.sin(i / 6) + random.uniform(-swing, swing) / 3, 0)
        for i in range(60)
    ]


def _host(index: int) -> dict[str, Any]:
    address, named = _HOSTS[index]
    kinds: list[Callable[[int], float]] = [
        lambda i: 40 + 30 * math.sin(i / 5) + random.random() * 20,  # a server
        lambda i: 60 + random.random() * 4,  # a stream
        lambda i: 55 + random.random() * 4,
        lambda i: random.choice((0, 0, 2, 30, 200)) if 12 < i < 44 else random.choice((0, 0, 1)),
        lambda i: random.choice((0, 0, 0, 4, 18)),
        lambda i: 180 if i % 10 < 3 else 0,  # a video in chunks
        lambda i: 1 if i % 15 == 2 else 0,
        lambda i: 3 if i % 20 == 7 else 0,  # a beacon
        lambda i: 1 if i % 30 == 11 else 0,
        lambda i: 2 if i % 12 == 5 else 0,
        lambda i: 6 + random.random() * 5,
        lambda i: 0 if i < 38 else 90 + random.random() * 320,  # a scan begins
        lambda i: 3 if i % 20 == 7 else 0,
        lambda i: random.choice((0, 0, 5)),
    ]
    packets = [int(kinds[index](i)) for i in range(60)]
    return {"address": address, "name": named, "packets": packets}


def _device(index: int) -> dict[str, Any]:
    address, named = _HOSTS[index]
    news = {
        7: ["First contact with 198.51.100.9, every 60 s.", "First use of 8443/tcp."],
        6: ["38 MB sent in the night; usual are 4 kB."],
    }
    return {
        "address": address, "name": named, "mac": f"02:00:5e:10:00:{index:02x}",
        "first_seen": eve(NOW - timedelta(days=12 - index % 5)),
        "last_seen": eve(NOW - timedelta(seconds=3 + 17 * index)),
        "flows": 1_300 * (index + 1), "peers": 4 + 3 * index,
        "services": ["53/udp", "443/tcp", "123/udp"][: 1 + index % 3],
        "new": news.get(index, []), "incidents": 2 if index in (0, 7) else 0,
    }  # fmt: skip


class FakeService:
    """The control socket; ``answer`` may be replaced by any function from line to line."""

    def __init__(self, path: Path, found: dict[str, Any]) -> None:
        self.found = found
        self.kept: list[dict[str, Any]] = []  # incidents that the snapshot does not have
        self.verdicts: list[tuple[str, str]] = []
        self.answer: Callable[[bytes], bytes] = self.usual
        self.path = path

    def usual(self, line: bytes) -> bytes:
        """What a service answers."""
        asked = json.loads(line)
        if asked["ask"] == "snapshot":
            return json.dumps(self.found).encode() + b"\n"
        if asked["ask"] == "older":
            every = [*self.found["incidents"], *self.kept]
            part = every[asked["skip"] : asked["skip"] + asked["most"]]
            return json.dumps({"incidents": part}).encode() + b"\n"
        if asked["ask"] == "incident":
            known = [one for one in self.kept if one["incident_id"] == asked["incident_id"]]
            answer = {"incident": known[0]} if known else {"error": "there is no such incident"}
            return json.dumps(answer).encode() + b"\n"
        self.verdicts.append((asked["incident_id"], asked["verdict"]))
        for one in self.found["incidents"]:
            if one["incident_id"] == asked["incident_id"]:
                one["verdict"] = asked["verdict"]
        return b'{"ok":true}\n'

    @contextlib.contextmanager
    def running(self) -> Iterator[FakeService]:
        """Listen until the block ends."""
        service = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    self.wfile.write(service.answer(self.rfile.readline()))

        class Server(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True
            block_on_close = False
            request_queue_size = 128

        with Server(str(self.path), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.02,))
            thread.start()
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()
                self.path.unlink(missing_ok=True)
