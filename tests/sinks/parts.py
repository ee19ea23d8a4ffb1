"""What the tests of sinks share: incidents, certificates, receivers, and a broker."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from idskit.incidents.incident import Evidence, Incident
from idskit.sinks.outbox import Destination, IncidentSink
from idskit.sinks.spool import Spool

HANG_S = 60.0  # a process may stand still for seconds on a busy machine; more is a hang
HOSTILE = (
    "line\nfeed",
    "\r\nX-Forged: yes",
    "bell\x07 escape\x1b[2J nul\x00",
    "right to left \u202e mark",
    "lone surrogate \ud800",
    '"quotes" \\ and {{ template }} <script>alert(1)</script>',
    "n" * 10_000,
    "ü" * 10_000,
    "",
)


def incident(number: int = 1, **changed: Any) -> Incident:
    """Return an incident that differs from others by its number."""
    known: dict[str, Any] = {
        "incident_id": f"20261130T120000-{number:08x}",
        "type": "new",
        "family": "scan",
        "technique": "T1046",
        "severity": 2,
        "confidence": 0.97,
        "started_us": 1_700_000_000_000_000 + number,
        "updated_us": 1_700_000_001_000_000 + number,
        "attacker": "192.0.2.1",
        "target": "192.168.1.2",
        "device": "192.168.1.2",
        "device_name": "kitchen",
        "services": ("22/tcp",),
        "flows": 40,
        "flow_ids": tuple(range(20)),
        "evidence": (Evidence(name="failed first contacts", value=41, unit="in 10 min"),),
    }
    return Incident(**(known | changed))


def until(is_so: Callable[[], Any], seconds: float = HANG_S) -> Any:
    """Wait until something is so, and return what it is."""
    end = time.monotonic() + seconds
    while not (found := is_so()):
        assert time.monotonic() < end, f"not so within {seconds} s"
        time.sleep(0.01)
    return found


@contextmanager
def own_port() -> Iterator[int]:
    """Keep a TCP port of the kernel's choice, at which nobody listens yet, while a test runs.

    A socket stays bound to it without listening: neither connections nor other tests get the port,
    and programs that set SO_REUSEADDR, as servers do, can listen at it (socket(7)).
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])


def need(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None and not Path("/usr/sbin", program).exists():
            pytest.skip(f"needs {program}")


@contextmanager
def sink_of(destination: Destination, path: Path | None = None) -> Iterator[IncidentSink]:
    sink = IncidentSink(destination, Spool(path))
    try:
        yield sink
    finally:
        sink.close(HANG_S)


def certificates(folder: Path, names: str = "IP:127.0.0.1,DNS:localhost") -> dict[str, Path]:
    """Make an authority and a server's certificate of it."""
    need("openssl")
    made = {name: folder / f"{name}.pem" for name in ("ca", "ca_key", "cert", "key")}
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    _openssl("req", "-x509", *new_key, "-keyout", made["ca_key"], "-out", made["ca"],
             "-subj", "/CN=test authority", "-days", "2",
             "-addext", "keyUsage=critical,keyCertSign,cRLSign")  # fmt: skip
    _openssl("req", "-x509", *new_key, "-keyout", made["key"], "-out", made["cert"],
             "-subj", "/CN=test server", "-days", "2", "-CA", made["ca"], "-CAkey", made["ca_key"],
             "-addext", f"subjectAltName={names}",
             "-addext", "basicConstraints=critical,CA:FALSE")  # fmt: skip
    return made


def _openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


_LAST = "tests/last"


class Broker:
    """A mosquitto that keeps the sessions of its subscribers, and can be killed and started."""

    def __init__(self, folder: Path, port: int, *settings: str) -> None:
        need("mosquitto", "mosquitto_sub")
        self.port = port
        self._folder = folder
        self._access: list[str] = []
        own = [
            f"listener {self.port} 127.0.0.1",
            "persistence true",
            f"persistence_location {folder}/",
            "user root" if os.geteuid() == 0 else "",
            *(settings or ("allow_anonymous true",)),
        ]
        (folder / "mosquitto.conf").write_text("\n".join(own) + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    def log_in_with(self, *words: str) -> None:
        """Let the programs that watch use these words."""
        self._access = list(words)

    def start(self) -> None:
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        self._process = subprocess.Popen(
            [program, "-c", str(self._folder / "mosquitto.conf")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(self._answers)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        """Kill it at once, after it was let write its sessions to disk."""
        assert self._process is not None
        saved = self._folder / "mosquitto.db"
        before = saved.stat().st_mtime_ns if saved.exists() else 0
        self._process.send_signal(signal.SIGUSR1)
        until(lambda: saved.exists() and saved.stat().st_mtime_ns > before)
        self.stop(signal.SIGKILL)

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(HANG_S)
        self._process = None

    def watch(self) -> None:
        """Begin a session that gets everything, also while nobody reads it."""
        subprocess.run(self._session("-E"), check=True, capture_output=True)

    def messages(self, count: int, topic: str = "") -> list[dict[str, Any]]:
        """Return what the session was sent, up to ``count`` messages whose topic ends so.

        What topics held when it began again is not among them.
        """
        found: list[dict[str, Any]] = []
        with subprocess.Popen(
            self._session("-F", "%j", "-W", f"{HANG_S:g}"), stdout=-1, text=True
        ) as sub:
            assert sub.stdout is not None
            while sum(one["topic"].endswith(topic) for one in found) < count:
                line = sub.stdout.readline()
                assert line, f"only {found}"
                found += [one for one in [json.loads(line)] if not one["retain"]]
            sub.kill()  # it may hang after a polite signal
        return found

    def retained(self, topic: str) -> str | None:
        """Return what a topic holds; None where it holds nothing."""
        self.publish(_LAST, "-", "-r")  # is sent after what the topic holds
        words = ["-t", topic, "-t", _LAST, "-F", "%t %p", "-W", f"{HANG_S:g}", "--retained-only"]
        command = ["mosquitto_sub", "-p", str(self.port), *self._access, *words]
        found = None
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sub:
            assert sub.stdout is not None
            for line in sub.stdout:
                name, _, payload = line.rstrip("\n").partition(" ")
                if name == _LAST:
                    break
                found = payload
            else:
                raise AssertionError("the broker does not answer")
            sub.kill()
        return found

    def publish(self, topic: str, text: str, *more: str) -> None:
        words = ["-t", topic, "-m", text, "-q", "1", *more]
        command = ["mosquitto_pub", "-p", str(self.port), *self._access, *words]
        subprocess.run(command, check=True, capture_output=True)

    def _session(self, *words: str) -> list[str]:
        session = ["-c", "-i", "watcher", "-q", "1", "-t", "idskit/#", "-t", "homeassistant/#"]
        return ["mosquitto_sub", "-p", str(self.port), *self._access, *session, *words]


@contextmanager
def broker(folder: Path, *settings: str) -> Iterator[Broker]:
    folder.mkdir(exist_ok=True)
    with own_port() as port:
        made = Broker(folder, port, *settings)
        try:
            made.start()
            yield made
        finally:
            made.stop()
