"""``idskit run`` as a process in a namespace, and how a test asks it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from idskit.gateway.control_socket import ask
from idskit.lab.namespaces import Host

PLAIN = (sys.executable, "-m", "idskit")
HANG_S = 120.0  # a process may stand still for seconds on a busy machine; more is a hang
# The command, whose ends of the control socket wait for each other, and a drill for its incidents.
PATIENT = (
    sys.executable,
    "-c",
    "import sys; from idskit.cli import main; from idskit.gateway import control_socket\n"
    "from idskit.lab import drill\n"
    f"control_socket.ASK_S = control_socket.ANSWER_S = drill.SEEN_S = drill.SINKS_S = {HANG_S}\n"
    "main(sys.argv[1:])",
)


@dataclass(frozen=True)
class Service:
    """A running service and its state folder."""

    process: subprocess.Popen[str]
    state: Path
    notices: socket.socket

    def ask(self, asked: dict[str, Any]) -> dict[str, Any]:
        return ask(self.state, asked)

    def snapshot(self) -> dict[str, Any]:
        return self.ask({"ask": "snapshot"})

    def until(self, what: Callable[[dict[str, Any]], Any], seconds: float = HANG_S) -> Any:
        """The first true value of a function of the snapshot."""
        deadline = time.monotonic() + seconds
        while True:
            found = what(self.snapshot())
            if found:
                return found
            assert self.process.poll() is None, self.process.stderr and self.process.stderr.read()
            assert time.monotonic() < deadline, json.dumps(self.snapshot(), indent=1)[:6000]
            time.sleep(0.1)

    def said(self, beginning: str, seconds: float = HANG_S) -> str:
        """The first message to systemd that has a line which begins so."""
        deadline = time.monotonic() + seconds
        self.notices.settimeout(0.2)
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.process.stderr and self.process.stderr.read()
            try:
                message = self.notices.recv(4096).decode()
            except TimeoutError:
                continue
            if any(line.startswith(beginning) for line in message.split("\n")):
                return message
        raise AssertionError(f"nothing was said that begins with {beginning}")

    def end(self, number: int = signal.SIGTERM) -> str:
        """End it by a signal; what it said on stderr."""
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=HANG_S)
        return err


@contextmanager
def service(
    host: Host,
    state: Path,
    *words: str,
    notices: Path,
    wait: bool = True,
    program: tuple[str, ...] = PATIENT,
    **environment: str,
) -> Iterator[Service]:
    """Run a service in a namespace, once it reads packets."""
    notices.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(notices))
        named = {"STATE_DIRECTORY": str(state), "NOTIFY_SOCKET": str(notices)}
        command = host.command(*program, "run", *words)
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | named | environment,
        ) as process:
            made = Service(process, state, manager)
            try:
                if wait:
                    made.said("READY=1")
                yield made
            finally:
                process.kill()
