"""A drill: harmless traffic that looks like attacks, through the real service, and what it says.

    in namespaces of its own     client ──wire── server, where `idskit run` reads the wire
    on an interface              packets between documentation addresses that nobody takes;
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
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from idskit.errors import GateRefused, IdskitError
from idskit.gateway.control_socket import ask
from idskit.lab.namespaces import CLIENTS, SERVERS, Host, ending_with_us, network
from idskit.lab.play import drill_packets
from idskit.lab.play.drill_packets import FLOODED, LOGIN_PORT, SCANNED, TRIES, Ends
from idskit.report.text import shown

if TYPE_CHECKING:
    from rich.console import Console

START_S, SEEN_S = 600.0, 20.0  # the first start of a machine compiles
SINKS_S = 5.0  # that sinks have to take an incident
_CLOSED_PORT = 9
_OPEN_AT_ONCE = 100
_STATE = "state"
SCAN, GUESS, FLOOD = (
    f"a scan of {SCANNED} ports",
    f"{TRIES} failed logins",
    "a flood of a closed port",
)


@dataclass(frozen=True, kw_only=True)
class Target:
    """Whom a step attacks, and from which address."""

    source: str
    address: str


@dataclass(frozen=True, kw_only=True)
class Step:
    """One attack of a drill; ``play`` returns the number of connections tried."""

    name: str
    ends: tuple[str, str]  # addresses of the attacker and of the target
    play: Callable[[], int]


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """What became of one step."""

    step: str
    sent: int  # connections tried
    family: str | None  # of the incident; None if none was opened
    after_s: float | None  # from the first packet to the incident
    incident_id: str | None
    sinks: dict[str, int]  # messages that each took meanwhile
    away: dict[str, str]  # sinks that take nothing now, and why


@dataclass(frozen=True, kw_only=True)
class DrillReport:
    """What became of a drill."""

    where: str
    steps: tuple[StepResult, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the same as plain types."""
        return asdict(self)

    def show(self, console: Console) -> None:
        """Print for people."""
        console.print(f"drill {shown(self.where)}")
        for one in self.steps:
            console.print(shown(_seen_sentence(one)), highlight=False)
            if one.family is not None:
                console.print(shown(f"  {_sinks_sentence(one)}"), highlight=False)

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


def _seen_sentence(one: StepResult) -> str:
    if one.after_s is None:
        return f"{one.step} ({one.sent} connections): not seen"
    return (
        f"{one.step} ({one.sent} connections): {one.family} incident {one.incident_id} after "
        f"{one.after_s:.1f} s"
    )


def _sinks_sentence(one: StepResult) -> str:
    """Return where the incident of a step went, and where it waits."""
    took = [f"{name} ({count})" for name, count in one.sinks.items() if count]
    waits = [f"it waits for {name}, which is away: {why}" for name, why in one.away.items()]
    silent = [
        f"{name} has not taken it within {SINKS_S:g} s"
        for name, count in one.sinks.items()
        if not count and name not in one.away
    ]
    said = [f"sent to {', '.join(took)}"] if took else []
    none = "no sink is configured: it is on the page and in the journal"
    return "; ".join(said + waits + silent) or none


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
        targets = (
            Target(source=source, address=address)
            for source, address in zip(CLIENTS, SERVERS, strict=False)
        )
        steps = [
            Step(
                name=name,
                ends=(target.source, target.address),
                play=partial(wire.client.call, play, target),
            )
            for (name, play), target in zip(
                ((SCAN, scan), (GUESS, guess), (FLOOD, flood)), targets, strict=False
            )
        ]
        return drilled("in namespaces", folder / _STATE, steps, announce)


def drill_on_interface(
    interface: str, state: Path, announce: Callable[[str], object]
) -> DrillReport:
    """Send out of an interface, and ask the service that runs on this machine.

    Raises:
        IdskitError: no service runs, or this process may not send there.
    """
    plays: tuple[tuple[str, Callable[[Ends], Iterable[bytes]], int], ...] = (
        (SCAN, drill_packets.scan, SCANNED),
        (GUESS, drill_packets.guess, TRIES),
        (FLOOD, drill_packets.flood, FLOODED),
    )
    first = 1 + int(time.time()) % 80 * 3  # other addresses than those of the drill before
    steps = []
    for number, (name, play, count) in enumerate(plays, first):
        ends = Ends.numbered(number)
        sending = partial(_send, interface, play(ends), count)
        steps.append(Step(name=name, ends=(ends.attacker, ends.target), play=sending))
    return drilled(f"on {interface}", state, steps, announce)


def _send(interface: str, packets: Iterable[bytes], connections: int) -> int:
    drill_packets.send(interface, packets)
    return connections


def drilled(
    where: str, state: Path, steps: Iterable[Step], announce: Callable[[str], object]
) -> DrillReport:
    """Play steps one after the other, and ask the service with this state what it saw.

    Raises:
        IdskitError: no service answers, or a step cannot be played.
    """
    results = []
    for step in steps:
        announce(f"playing {step.name}")
        results.append(_result(step, state))
    return DrillReport(where=where, steps=tuple(results))


def _result(step: Step, state: Path) -> StepResult:
    """Play a step, and wait until the service has another incident of its ends."""
    before = ask(state, {"ask": "snapshot"})
    known = {one["incident_id"] for one in before["incidents"]}
    begin = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        playing = pool.submit(step.play)
        found = _incident_of(step, state, known, playing)
        after_s = time.monotonic() - begin if found else None
        sent = playing.result()
    sinks, away = _taken(state, before, SINKS_S if found else 0.0)
    return StepResult(
        step=step.name,
        sent=sent,
        family=found.get("label"),
        after_s=after_s,
        incident_id=found.get("incident_id"),
        sinks=sinks,
        away=away,
    )


def _incident_of(step: Step, state: Path, known: set[str], playing: Future[int]) -> dict[str, Any]:
    """Return an incident of a step that was not known; empty if there is none within SEEN_S."""
    deadline = time.monotonic() + SEEN_S
    while time.monotonic() < deadline:
        if playing.done():
            playing.result()  # or why it could not be played
        found: list[dict[str, Any]] = ask(state, {"ask": "snapshot"})["incidents"]
        for one in found:
            is_of_it = {one.get("attacker"), one.get("target")} & set(step.ends)
            if is_of_it and one["incident_id"] not in known:
                return one
        time.sleep(0.1)
    return {}


def _taken(
    state: Path, before: dict[str, Any], seconds: float
) -> tuple[dict[str, int], dict[str, str]]:
    """Return what each sink took since, once all have taken something, and which are away."""
    earlier = {one["name"]: one["written"] for one in before["sinks"]}
    deadline = time.monotonic() + seconds
    while True:
        sinks = ask(state, {"ask": "snapshot"})["sinks"]
        took = {one["name"]: one["written"] - earlier.get(one["name"], 0) for one in sinks}
        away = {one["name"]: str(one["away"]) for one in sinks if one["away"]}
        is_done = all(count or name in away for name, count in took.items())
        if is_done or time.monotonic() >= deadline:
            return took, away
        time.sleep(0.1)


# What is played in namespaces: each returns the number of connections tried.


def scan(target: Target) -> int:
    """Try to connect to many ports."""
    return _try(target, range(1, SCANNED + 1))


def flood(target: Target) -> int:
    """Try to connect to one closed port many times."""
    return _try(target, [_CLOSED_PORT] * FLOODED)


def guess(target: Target) -> int:
    """Log in to an FTP server with wrong passwords."""
    for number in range(TRIES):
        with _socket(target) as connection, suppress(OSError):
            connection.settimeout(2)
            connection.connect((target.address, LOGIN_PORT))
            for word in (b"USER drill\r\n", b"PASS wrong%d\r\n" % number):
                connection.recv(256)
                connection.sendall(word)
            connection.recv(256)
    return TRIES


def _socket(target: Target) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    made.bind((target.source, 0))
    return made


def _try(target: Target, ports: Sequence[int]) -> int:
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
    words = ending_with_us(host.command(sys.executable, "-m", "idskit", "run", "-c", str(config)))
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
    listener: socket.socket = host.call(socket.create_server, (address, LOGIN_PORT))
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
