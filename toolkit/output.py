"""Output files appear under their final name only when they are complete."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from idskit.errors import IdskitError
from idskit.signals import OutputBlocked, unwinding, writing


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then give it its final name.

    What a link points to is replaced, not the link; a pipe or a device is written to as it is.

    Raises:
        IdskitError: the place cannot be written to (missing folder, no permission, full disk).
    """
    if is_stream(path):
        with _explained(path):
            write(path)
        return
    target = Path(os.path.realpath(path))  # Path.resolve raises on a link to itself
    partial = target.with_name(f".{target.name[:50]}.{os.getpid()}.partial")  # 255 bytes at most
    try:
        with unwinding(partial), _explained(path, "nothing was left there, "):
            write(partial)
            os.replace(partial, target)  # noqa: PTH105 - atomic: replaces an older file in one step
    finally:
        with suppress(OSError):
            partial.unlink()


def write_json(path: Path, document: Any) -> None:
    """Write ``document`` as JSON, whole or not at all.

    Raises:
        IdskitError: the place cannot be written to.
    """
    text = json.dumps(document, indent=2) + "\n"
    write_whole(path, lambda partial: partial.write_text(text))


def require_place(path: Path) -> None:
    """Refuse, before long work, a place where its result could not be written.

    Raises:
        IdskitError: there is no such folder, or it is not for us to write to.
    """
    if str(path) == "-" or is_stream(path):
        return
    folder = path.parent
    if path.is_dir():
        raise IdskitError(f"{path} cannot be written: it is a folder; name a file")
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        found = "may not be written to" if folder.is_dir() else "does not exist"
        raise IdskitError(f"{path} cannot be written: {folder} {found}; choose another place")


def is_stream(path: Path) -> bool:
    """Whether there is a pipe or a device under that name: it has no end, and is never replaced."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def write_stream(stream: IO[bytes], pieces: Iterator[bytes | memoryview], name: str) -> str:
    """Write pieces as they come: why they were not all written, or nothing.

    The reader of ``stream`` may go away, and then no more pieces are asked for; or take nothing
    after a signal to end, and then they are asked for in vain.

    Raises:
        IdskitError: it cannot be written to.
    """
    try:
        for piece in pieces:
            with writing():
                stream.write(piece)
                stream.flush()  # somebody may be waiting for them
    except BrokenPipeError:
        abandon(stream)
        return "its reader went away"
    except OutputBlocked as error:
        abandon(stream)
        for _ in pieces:
            continue
        return str(error)
    except OSError as error:
        abandon(stream)
        raise IdskitError(_sentence(name, error)) from error
    return ""


def abandon(stream: IO[Any]) -> None:
    """Send what is still buffered nowhere, or the interpreter complains of it at its exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


@contextmanager
def _explained(path: Path, left: str = "") -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise IdskitError(_sentence(str(path), error, left)) from error


def _sentence(name: str, error: OSError, left: str = "") -> str:
    return f"{name} cannot be written: {reason(error)}; {left}choose another place"


def reason(error: OSError) -> str:
    """What the system says; other libraries put text of their own around it."""
    return os.strerror(error.errno) if error.errno else str(error)
