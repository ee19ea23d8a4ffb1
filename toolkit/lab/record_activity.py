"""Record what runs between two hosts: servers that answer, and the client's commands."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from idskit.errors import IdskitError
from idskit.lab.activity import SCRATCH
from idskit.lab.lab_servers import SERVERS, Server
from idskit.lab.namespaces import SERVER_END, Host

_READY_S = 120.0  # until a server listens, on a busy machine
_LISTEN = "0A"  # a state in /proc/net/tcp
_SAID = "said.log"
_GRACE_S = 3.0  # between asking a process to end and ending it


@contextmanager
def serving(names: Sequence[str], host: Host, folder: Path) -> Iterator[None]:
    """Run servers in ``host`` while the context lasts.

    Raises:
        IdskitError: one does not start or does not listen in time; its own words say why.
    """
    with ExitStack() as stack:
        for name in names:
            stack.enter_context(_server(name, host, folder))
        yield


@contextmanager
def _server(name: str, host: Host, folder: Path) -> Iterator[None]:
    server, log = SERVERS[name], folder / f"{name}.log"
    try:
        words = host.command(*server.words(folder))
    except subprocess.CalledProcessError as error:
        said = (error.stderr or b"")[-300:]
        raise IdskitError(f"the lab's {name} server cannot be prepared: {said!r}") from error
    with log.open("wb") as file, _group(words, file.fileno(), folder) as process:
        _await(name, server, process, host, log)
        yield


@contextmanager
def _group(words: Sequence[str], output: int, home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command in its home while the context lasts; its children end with it."""
    process = subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
        cwd=home,
        env=os.environ | {"HOME": str(home), "TMPDIR": str(home)},
    )
    try:
        yield process
    finally:
        _signal(process, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)
        _signal(process, signal.SIGKILL)
        process.wait()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _await(
    name: str, server: Server, process: subprocess.Popen[bytes], host: Host, log: Path
) -> None:
    """Wait until a server listens."""
    until = time.monotonic() + _READY_S
    while server.port is not None and not _listens(host, server.port, is_udp=server.is_udp):
        if process.poll() is not None or time.monotonic() > until:
            said = log.read_text(errors="replace").strip()[-300:]
            raise IdskitError(
                f"the lab's {name} server does not listen on port {server.port}: {said}"
            )
        time.sleep(0.02)


def _listens(host: Host, port: int, *, is_udp: bool) -> bool:
    """Return whether a socket listens in the namespace, by its table of sockets."""
    with suppress(OSError):
        for table in ("udp", "udp6") if is_udp else ("tcp", "tcp6"):
            lines = Path(f"/proc/{host.pid}/net/{table}").read_text().splitlines()[1:]
            sockets = (line.split() for line in lines)
            ready = (is_udp or s[3] == _LISTEN for s in sockets if s[1].endswith(f":{port:04X}"))
            if any(ready):
                return True
    return False


@contextmanager
def capturing(host: Host, path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Write what passes the server's end of the link to ``path`` while the context lasts.

    The recorder that is returned ends by itself after ``idskit.lab.recorder.MOST_FRAMES``.

    Raises:
        IdskitError: it cannot be recorded.
    """
    module = [sys.executable, "-m", "idskit.lab.recorder", SERVER_END, str(path)]
    with subprocess.Popen(host.command(*module), stdout=subprocess.PIPE) as process:
        try:
            if process.stdout is None or process.stdout.readline() != b"ready\n":
                raise IdskitError(f"{path} cannot be recorded: see above")
            yield process
        finally:
            process.terminate()


def play(client: Host, words: Sequence[str], seconds: float, home: Path) -> str:
    """Run a command on the client for at most ``seconds``; return how it ended."""
    with (
        (home / _SAID).open("wb") as file,
        _group(client.command(*words), file.fileno(), home) as process,
        suppress(subprocess.TimeoutExpired),
    ):
        return f"exit {process.wait(seconds)}"
    return f"after {seconds:g} s"


def last_words(home: Path) -> str:
    """Return the end of what the command printed that was played there."""
    return (home / _SAID).read_bytes()[-200:].decode(errors="replace").strip()


@contextmanager
def scratch(folder: Path, name: str = SCRATCH) -> Iterator[str]:
    """Keep an empty folder for what commands write while the context lasts; return its name."""
    place = folder / name
    place.mkdir()
    try:
        yield name
    finally:
        shutil.rmtree(place, ignore_errors=True)
