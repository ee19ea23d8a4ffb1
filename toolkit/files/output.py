"""Output files appear under their final name only when they are complete."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import IO, Any

from idskit.errors import IdskitError
from idskit.files.folders import is_shared, is_sticky, steps_to
from idskit.process.signals import OutputBlocked, unwinding, writing
from idskit.process.streams import abandon, standard_output

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file next to ``path``, then give it its final name.

    What a link points to is replaced, not the link; a pipe or a device is written to as it is.
    ``write`` is called with a name below /proc of the file that is open already: nobody else can
    put another file there, as they could under its name in a folder that they may write to too.

    Raises:
        IdskitError: the place cannot be written to (missing folder, no permission, full disk).
    """
    with whole_file(path) as file:
        write(Path(f"/proc/self/fd/{file.fileno()}"))


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that gets the name ``path`` when all is written, and vanishes if it never is.

    It has the permissions of an older file of this user that it replaces, else those of any new
    file. A pipe or a device is written to as it is.

    Raises:
        IdskitError: the place cannot be written to, or a link of another user leads there.
    """
    with _explained(path):
        _refuse_planted(path)
    if is_stream(path):
        with _explained(path), path.open("wb") as file:
            yield file
        return
    target = Path(os.path.realpath(path))  # Path.resolve raises on a link to itself
    partial = target.with_name(f".{target.name[:50]}.{token_hex(8)}.partial")  # 255 bytes at most
    with (
        unwinding(partial),
        _explained(path, "nothing was left there, "),
        os.fdopen(os.open(partial, _NEW, 0o666), "wb") as file,
    ):
        try:
            mode = _permissions(file, target)
            os.fchmod(file.fileno(), 0o600)  # nobody reads it before it has those of its name
            yield file
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())  # after a power cut the name must not be of an empty file
            os.replace(partial, target)  # noqa: PTH105 - atomic: replaces an older file in one step
        except BaseException:
            with suppress(OSError):
                partial.unlink()
            raise


def _refuse_planted(path: Path) -> None:
    """Refuse links of other users in folders that all may write to, such as /tmp.

    The kernel does not follow them either where fs.protected_symlinks is 1, but it is not asked.

    Raises:
        IdskitError: there is one on the way to ``path``.
    """
    for step in steps_to(path):
        if step.is_symlink():
            link, folder = step.lstat(), step.parent.stat()
            trusted = {os.geteuid(), folder.st_uid}
            if link.st_uid not in trusted and is_sticky(folder) and is_shared(folder):
                raise IdskitError(
                    f"{path} cannot be written: {step} is a link of user {link.st_uid} in a folder "
                    "that others may write to; remove it or choose another place"
                )


def _permissions(file: IO[bytes], target: Path) -> int:
    """Those of the file that will be replaced, if it is this user's own; else of the new file."""
    with suppress(FileNotFoundError):
        older = target.stat()
        if older.st_uid == os.geteuid():
            return older.st_mode & 0o777
    return os.fstat(file.fileno()).st_mode & 0o777


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
        IdskitError: there is no such folder, or it is not for us to write to; ``-`` is standard
            output, and that is closed.
    """
    if str(path) == "-":
        standard_output()
        return
    if is_stream(path):
        return
    folder = path.parent
    if path.is_dir():
        raise IdskitError(f"{path} cannot be written: it is a folder; name a file")
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        found = "may not be written to" if folder.is_dir() else "does not exist"
        raise IdskitError(f"{path} cannot be written: {folder} {found}; choose another place")


def is_stream(path: Path) -> bool:
    """Return whether a name is of a pipe or device: it has no end, and is never replaced."""
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


@contextmanager
def _explained(path: Path, left: str = "") -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise IdskitError(_sentence(str(path), error, left)) from error


def _sentence(name: str, error: OSError, left: str = "") -> str:
    return f"{name} cannot be written: {reason(error)}; {left}choose another place"


def reason(error: OSError) -> str:
    """Return what the system says; other libraries put text of their own around it."""
    return os.strerror(error.errno) if error.errno else str(error)
