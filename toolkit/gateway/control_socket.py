r"""The control socket: how the page and the command line ask the service.

    {"ask": "snapshot"}\n  ──>  control.sock (0600)  ──>  {...}\n

One line asks, one line answers, and the connection ends. Only processes of this user can connect;
they too are not trusted with the service's time: few at once, lines of bounded size, deadlines.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from idskit.errors import IdskitError
from idskit.files.output import reason

NAME = "control.sock"
MOST_ASKED = 64 << 10  # bytes of a line that asks
MOST_ANSWERED = 32 << 20
ASK_S, ANSWER_S = 2.0, 5.0  # to send a line, to take the answer
AT_ONCE = 8
_LONGEST_PATH = 107  # bytes, of struct sockaddr_un
Document = dict[str, Any]


class ControlServer:
    """A thread that listens, and one for each of the few connections at a time."""

    def __init__(self, folder: Path, answer: Callable[[Document], Document]) -> None:
        """Listen; ``answer`` is called by several threads, and its errors are sentences.

        Raises:
            IdskitError: the socket cannot be made there.
        """
        self._answer = answer
        self._slots = threading.BoundedSemaphore(AT_ONCE)
        self._path = folder / NAME
        self._socket = _listening(self._path)
        self._thread = threading.Thread(target=self._listen, name="control socket", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening, and remove the socket."""
        with suppress(OSError):
            self._path.unlink()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread
        self._socket.close()
        self._thread.join(ASK_S)

    def _listen(self) -> None:
        while True:
            self._slots.acquire()
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, suppress(OSError):
                answer = self._answered(_line(connection, MOST_ASKED, ASK_S))
                connection.settimeout(ANSWER_S)
                connection.sendall(json.dumps(answer, separators=(",", ":")).encode() + b"\n")
        finally:
            self._slots.release()

    def _answered(self, line: bytes) -> Document:
        try:
            asked = json.loads(line)
        except (ValueError, RecursionError):
            return {"error": "this is no JSON object: write one on one line"}
        if not isinstance(asked, dict):
            return {"error": "this is no JSON object: write one on one line"}
        try:
            return self._answer(asked)
        except IdskitError as error:
            return {"error": str(error)}


def _listening(path: Path) -> socket.socket:
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise IdskitError(
            f"{path} is too long for a socket: choose a shorter state folder (folder in section "
            "[state])"
        )
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    before = os.umask(0o177)
    try:
        path.unlink(missing_ok=True)  # of a service that was killed: the lock says that none runs
        made.bind(str(path))
        made.listen(AT_ONCE)
    except OSError as error:
        made.close()
        raise IdskitError(f"{path} cannot be made: {reason(error)}") from error
    finally:
        os.umask(before)
    return made


def _line(connection: socket.socket, most: int, seconds: float) -> bytes:
    """Return what comes until a line feed.

    A line that is there when time is up counts: this process may have been the slow one.

    Raises:
        OSError: nothing more came in time, or too much came.
    """
    deadline, got = time.monotonic() + seconds, bytearray()
    while not got.endswith(b"\n"):
        left_s = deadline - time.monotonic()
        connection.settimeout(max(left_s, 0.001))
        piece = connection.recv(min(most + 1 - len(got), 1 << 16))
        got += piece
        is_late = left_s <= 0 and not got.endswith(b"\n")
        if not piece or len(got) > most or is_late:
            raise OSError("the line did not end")
    return bytes(got)


def ask(folder: Path, asked: Document) -> Document:
    """Ask the service whose state is in ``folder``, and return its answer.

    Raises:
        IdskitError: no service answers there, or it says no.
    """
    path = folder / NAME
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as connection:
            connection.settimeout(ANSWER_S)
            connection.connect(str(path))
            connection.sendall(json.dumps(asked).encode() + b"\n")
            answer = json.loads(_line(connection, MOST_ANSWERED, ANSWER_S))
    except (OSError, ValueError) as error:
        why = reason(error) if isinstance(error, OSError) else "its answer is no JSON"
        raise IdskitError(
            f"no service answers at {path} ({why}): start it (idskit run), or name its "
            "configuration (-c)"
        ) from error
    if "error" in answer:
        raise IdskitError(str(answer["error"]))
    return dict(answer)
