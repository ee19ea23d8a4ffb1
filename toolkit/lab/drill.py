"""A drill: harmless traffic that looks like attacks, through the real service, and what it says.

    in namespaces of its own     client ──wire── server, where `idskit run` reads the wire
    on an interface              packets that die at the first router, to a documentation address;
                                 the service that runs on this machine is asked what it saw

Proves that detection is alive: packets are captured, judged, made an incident, and handed to sinks.
"""

from __future__ import annotations

import os
import selectors
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from idskit.errors import GateRefused, IdskitError
from idskit.gateway.control_socket import ask
from idskit.lab.namespaces import CLIENTS, SERVERS, Host, network
from idskit.report.text import shown

if TYPE_CHECKING:
    from rich.console import Console

DOCUMENTATION = "192.0.2.1"  # RFC 5737: no host has it
START_S, SEEN_S = 600.0, 20.0  # the first start of a machine compiles
_SCANNED = range(1, 401)
_TRIES, _FLOODED, _CLOSED_PORT, _LOGIN_PORT = 30, 400, 9, 21
_OPEN_AT_ONCE = 100
_STATE = "state"
Call = Callable[..., Any]


@dataclass(frozen=True, kw_only=True)
class Target:
    """Whom a step attacks, and from where."""

    source: str  # address to send from; empty for that of the interface
    address: str
    interface: str = ""  # to send out of, whatever the routes say
    hops: int = 64


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """What became of one step."""

    step: str
    sent: int  # connections tried
    family: str | None  # of the incident; None if none was opened
    after_s: float | None  # from the first packet to the incident
    incident_id: str | None


@dataclass(frozen=True, kw_only=True)
class DrillReport:
    """What became of a drill."""

    where: str
    steps: tuple[StepResult, ...]
    sinks: dict[str, int]  # messages that each took meanwhile

    def to_json(self) -> dict[str, Any]:
        """Return the same as plain types."""
        return asdict(self)

    def show(self, console: Console) -> None:
        """Print for people."""
        console.print(f"drill {shown(self.where)}")
        for one in self.steps:
            console.print(shown(_sentence(one)), highlight=False)
        for name, count in self.sinks.items():
            console.print(f"{shown(name)}: {count} messages", highlight=False)
        if not self.sinks:
            console.print("no sink is configured: incidents are on the page and in the journal")

    def require_seen(self) -> None:
        """Raise the gate's no where a step was not seen.

        Raises:
            GateRefused: the sentence names the steps.
        """
        missed = [one.step for one in self.steps if one.family is None]
        if missed:
            raise GateRefused(
                f"the service did not see {', '.join(missed)} within {SEEN_S:g} s: idskit doctor "
                "and the log of the service may say why"
            )


def _sentence(one: StepResult) -> str:
    if one.after_s is None:
        return f"{one.step} ({one.sent} connections): not seen"
    return f"{one.step} ({one.sent} connections): {one.family} incident after {one.after_s:.1f} s"


def drill_in_namespaces(announce: Callable[[str], object]) -> DrillReport:
    """Run a service and attack it, in namespaces that end with the drill.

    Raises:
        IdskitError: namespaces may not be made here, or the service did not start.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="idskit-drill-")))
        wire = stack.enter_context(network("lan", 0))
        announce("starting the service in a namespace; the first start compiles for minutes")
        stack.enter_context(_service(wire.server, folder))
        stack.enter_context(_login_server(wire.server, SERVERS[1]))
        targets = [
            Target(source=source, address=address)
            for source, address in zip(CLIENTS, SERVERS, strict=False)
        ]
        steps = (
            ("a scan of 400 ports", scan, targets[0]),
            (f"{_TRIES} failed logins", guess, targets[1]),
            ("a flood of a closed port", flood, targets[2]),
        )
        return _drilled("in namespaces", folder / _STATE, steps, wire.client.call, announce)


def drill_on_interface(
    interface: str, state: Path, announce: Callable[[str], object]
) -> DrillReport:
    """Send out of an interface, and ask the service that runs on this machine.

    Raises:
        IdskitError: no service runs, or this process may not send there.
    """
    target = Target(source="", address=DOCUMENTATION, interface=interface, hops=1)
    steps = (("a scan of 400 ports", scan, target),)
    return _drilled(f"on {interface}", state, steps, lambda call, to: call(to), announce)


def _drilled(
    where: str,
    state: Path,
    steps: tuple[tuple[str, Call, Target], ...],
    play: Call,
    announce: Callable[[str], object],
) -> DrillReport:
    before = _sinks(state)
    results = []
    for name, step, target in steps:
        announce(f"playing {name}")
        results.append(_seen(name, state, lambda: play(step, target)))  # noqa: B023 - called now
    time.sleep(1.0)  # for sinks
    counts = {name: count - before.get(name, 0) for name, count in _sinks(state).items()}
    return DrillReport(where=where, steps=tuple(results), sinks=counts)


def _sinks(state: Path) -> dict[str, int]:
    return {one["name"]: one["written"] for one in ask(state, {"ask": "snapshot"})["sinks"]}


def _seen(name: str, state: Path, play: Callable[[], int]) -> StepResult:
    """Play a step, and wait until the service has another incident that began since."""
    known = {one["incident_id"] for one in _incidents(state)}
    begin = time.monotonic()
    sent: list[int] = []
    player = threading.Thread(target=lambda: sent.append(play()), daemon=True)
    player.start()
    found: dict[str, Any] = {}
    while not found and time.monotonic() - begin < SEEN_S:
        found = next((one for one in _incidents(state) if one["incident_id"] not in known), {})
        time.sleep(0.1)
    after_s = time.monotonic() - begin if found else None
    player.join(SEEN_S)
    return StepResult(
        step=name,
        sent=sum(sent),
        family=found.get("label"),
        after_s=after_s,
        incident_id=found.get("incident_id"),
    )


def _incidents(state: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ask(state, {"ask": "snapshot"})["incidents"]
    return found


# What is played: each returns the number of connections tried.


def scan(target: Target) -> int:
    """Try to connect to many ports."""
    return _try(target, list(_SCANNED))


def flood(target: Target) -> int:
    """Try to connect to one closed port many times."""
    return _try(target, [_CLOSED_PORT] * _FLOODED)


def guess(target: Target) -> int:
    """Log in to an FTP server with wrong passwords."""
    for number in range(_TRIES):
        with _socket(target) as connection, suppress(OSError):
            connection.settimeout(2)
            connection.connect((target.address, _LOGIN_PORT))
            for word in (b"USER drill\r\n", b"PASS wrong%d\r\n" % number):
                connection.recv(256)
                connection.sendall(word)
            connection.recv(256)
    return _TRIES


def _socket(target: Target) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    made.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, target.hops)
    if target.interface:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, target.interface.encode())
    if target.source:
        made.bind((target.source, 0))
    return made


def _try(target: Target, ports: list[int]) -> int:
    """Begin a connection to each port, and give it up as soon as it is answered or a moment old."""
    for first in range(0, len(ports), _OPEN_AT_ONCE):
        with ExitStack() as stack, selectors.DefaultSelector() as answers:
            for port in ports[first : first + _OPEN_AT_ONCE]:
                connection = stack.enter_context(_socket(target))
                connection.setblocking(False)
                connection.connect_ex((target.address, port))
                answers.register(connection, selectors.EVENT_WRITE)
            answers.select(0.2)
    return len(ports)


# The service and the server of a drill in namespaces.


@contextmanager
def _service(host: Host, folder: Path) -> Iterator[None]:
    """Run a service in a namespace, once it answers."""
    config, state = folder / "idskit.toml", folder / _STATE
    config.write_text(
        f'[capture]\ninterfaces = ["lan1"]\n[state]\nfolder = "{state}"\n'
        f'[eve]\npath = "{folder}/eve.json"\n[page]\nenabled = false\n'
    )
    words = host.command(sys.executable, "-m", "idskit", "run", "-c", str(config))
    clean = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=clean) as process:
        try:
            _await(process, state)
            yield
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=30)
            process.kill()


def _await(process: subprocess.Popen[str], state: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            said = process.stderr.read().strip() if process.stderr else ""
            raise IdskitError(f"the service of the drill did not start: {said[-500:]}")
        with suppress(IdskitError):
            ask(state, {"ask": "snapshot"})
            return
        time.sleep(0.2)
    raise IdskitError(f"the service of the drill was not ready within {START_S:g} s")


@contextmanager
def _login_server(host: Host, address: str) -> Iterator[None]:
    """Run an FTP server that knows no password."""
    listener: socket.socket = host.call(socket.create_server, (address, _LOGIN_PORT))
    listener.settimeout(0.5)
    is_over = threading.Event()

    def answer() -> None:
        while not is_over.is_set():
            with suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    _refuse(connection)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
        listener.close()


def _refuse(connection: socket.socket) -> None:
    connection.settimeout(2)
    for line in (b"220 ready\r\n", b"331 password?\r\n", b"530 Login incorrect.\r\n"):
        connection.sendall(line)
        connection.recv(256)
