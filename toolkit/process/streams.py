"""Standard streams: none missing when a process starts, nothing lost in silence when it ends."""

from __future__ import annotations

import fcntl
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, TextIO

from idskit.errors import IdskitError

_STDIN, _STDOUT, _STDERR = range(3)
_CLOSED = "standard output is closed: send it to a file or to a program"


@contextmanager
def standard_streams() -> Iterator[None]:
    """Run a command line within this context: its output arrives, or there is an error.

    Raises:
        IdskitError: what was written to standard output could not be delivered.
    """
    _open_missing()
    data = _Data(_STDOUT, "w", closefd=False)
    if sys.stdout in {None, sys.__stdout__}:  # nobody captures it
        sys.stdout = _text(data, sys.stdout, line_buffering=data.isatty())
    if sys.stderr in {None, sys.__stderr__}:
        sys.stderr = _text(_People(_STDERR, "w", closefd=False), sys.stderr, line_buffering=True)
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as error:
        if error is not data.failure:
            raise
        lost = IdskitError(f"standard output cannot be written: {error.strerror}")
        found = lost if _is_open(sys.stdout) else IdskitError(_CLOSED)
        abandon(sys.stdout)
        raise found from error


def standard_output() -> TextIO:
    """Return the stream that data goes to.

    Raises:
        IdskitError: it is closed.
    """
    if not _is_open(sys.stdout):
        raise IdskitError(_CLOSED)
    return sys.stdout


def _is_open(stream: TextIO | None) -> bool:
    try:
        flags = os.O_RDONLY if stream is None else fcntl.fcntl(stream, fcntl.F_GETFL)
    except (OSError, ValueError):  # no file of the system: a program captures it
        return True
    return flags & os.O_ACCMODE != os.O_RDONLY


def abandon(stream: IO[Any]) -> None:
    """Send what is still buffered nowhere, or the interpreter complains of it at its exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _open_missing() -> None:
    """Give the numbers of streams that the caller closed to something harmless.

    The next file that is opened would get them, and what libraries print would go into that file.
    Standard output becomes one that cannot be written to: data must not vanish.
    """
    for number in (_STDIN, _STDOUT, _STDERR):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_WRONLY if number == _STDERR else os.O_RDONLY)
            os.set_inheritable(number, True)
    sys.stdin = sys.stdin or open(_STDIN, closefd=False)  # noqa: SIM115


def _text(raw: io.FileIO, like: TextIO | None, *, line_buffering: bool) -> TextIO:
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=getattr(like, "encoding", None),
        errors=getattr(like, "errors", None),
        line_buffering=line_buffering,
    )


class _Data(io.FileIO):
    """Standard output, which knows of a failure that it was its own."""

    failure: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.failure = error
            raise


class _People(io.FileIO):
    """Standard error, whose reader may be gone or its disk full: no reason to end a detector."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)
