"""What measures share: a service between two namespaces, its processes, and who plays what."""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.flows.namespaces import Wire, wire
from tests.gateway.endurance import play_capture
from tests.gateway.endurance.loads import Load
from tests.gateway.live import PATIENT, Service, service

from idskit.lab.play.drill_packets import Ends, send

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    measure: str
    value: str
    goal: str
    how: str


@dataclass
class Bench:
    """A folder, a wire, and services that read its near end."""

    wire: Wire
    folder: Path
    attacks: int = 0
    config: str = ""

    @contextmanager
    def running(
        self,
        state: str = "state",
        *,
        core: int | None = None,
        program: tuple[str, ...] = PATIENT,
    ) -> Iterator[Service]:
        """Run a service with the page and the sinks of ``config``, once it reads packets."""
        path = self.folder / "idskit.toml"
        path.write_text(f'[capture]\ninterfaces = ["veth0"]\n{self.config}')
        words, notices = ("-c", str(path)), self.folder / "notify"
        with (
            on_core(core),
            service(
                self.wire.near, self.folder / state, *words, notices=notices, program=program
            ) as made,
        ):
            threading.Thread(target=_drain, args=(made,), daemon=True).start()
            yield made

    @contextmanager
    def playing(self, load: Load) -> Iterator[subprocess.Popen[str]]:
        """Play a load out of the far end."""
        words = (sys.executable, "-m", play_capture.__name__, load.path, "veth1")
        command = self.wire.far.command(*words)
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                yield process
            finally:
                process.kill()

    def attack(self, packets: Any) -> Ends:
        """Send an attack of other ends than those before, and return these."""
        self.attacks += 1
        third, last = divmod(self.attacks, 250)
        ends = Ends(attacker=f"198.18.{third}.{last + 1}", target=f"10.99.{third}.{last + 1}")
        self.wire.far.call(send, "veth1", packets(ends))
        return ends


@contextmanager
def bench(folder: Path) -> Iterator[Bench]:
    """Make both namespaces and the wire."""
    with wire() as made:
        for host, end in ((made.near, "veth0"), (made.far, "veth1")):
            host.run("ip", "link", "set", "lo", "up")
            host.run("ip", "link", "set", end, "up")
        yield Bench(made, folder)


@contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """Let processes that are started within run on one core only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, before if core is None else {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _drain(made: Service) -> None:
    """Read what a service says to systemd, so that nothing waits for a reader."""
    while made.process.poll() is None:
        try:
            made.notices.recv(4096)
        except TimeoutError:
            continue
        except OSError:
            return


def processes(pid: int) -> list[int]:
    """Return a process and those that it started."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += processes(int(child))
    return found


def rss_mb(pid: int) -> float:
    """Return the resident memory of a process, and what those that it started add to it.

    Pages that these share with it, such as libraries, count once.
    """
    first, *others = processes(pid)
    own = sum(_kilobytes(one, "Private_Clean:", "Private_Dirty:") for one in others)
    return (_kilobytes(first, "Rss:") + own) / 1024


def _kilobytes(pid: int, *names: str) -> int:
    rows = (line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines())
    return sum(int(row[1]) for row in rows if row[0] in names)


def cpu_s(pid: int) -> float:
    """Return the seconds of processor that a process and those that it started have used."""
    ticks = 0
    for one in processes(pid):
        words = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        ticks += int(words[11]) + int(words[12])
    return ticks / _TICKS_PER_S


@dataclass
class Lines:
    """A reader of a Unix socket: EVE lines with the time at which each arrived."""

    path: Path
    got: list[tuple[float, dict[str, Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self.path))
        self._listener.listen()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while True:
            with self._listener.accept()[0].makefile("rb") as lines:
                for line in lines:
                    self.got.append((time.time(), json.loads(line)))

    def incidents(self, kind: str = "new") -> Iterator[tuple[float, dict[str, Any]]]:
        """Yield the incidents of a type with their times of arrival."""
        for arrived, line in list(self.got):
            if line["event_type"] == "incident" and line["incident"]["type"] == kind:
                yield arrived, line["incident"]


def part(values: Iterable[float], share: float) -> float:
    """Return the value that a share of them does not exceed (nearest rank); NaN of nothing."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)] if ordered else math.nan
