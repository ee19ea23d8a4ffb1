"""The folder of the service's state: where it is, who owns it, and files that survive a damage.

lock                  held while a service runs: two on one state would destroy it
journal-000001 ...    incidents and verdicts, see ``journal``
NAME.state            one document, checksummed; NAME.previous is the one before it
control.sock          how other programs ask the service
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import threading
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from idskit.errors import IdskitError
from idskit.files.output import reason

_CLOSE_S = 20.0
MOST_STATE = 8 << 20  # bytes of one document, and four times as many when it is read
_MAGIC = b"idskit-state-1"
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


def state_folder(chosen: Path | None = None) -> Path:
    """Return the folder of the state: the chosen one, systemd's, or the usual one of this user."""
    if chosen is not None:
        return chosen
    given = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if given:
        return Path(given)
    if os.geteuid() == 0:
        return Path("/var/lib/idskit")
    base = Path(os.environ.get("XDG_STATE_HOME", ""))
    if not base.is_absolute():  # the XDG specification: a relative one is ignored
        base = Path(os.path.expanduser("~"), ".local", "state")  # noqa: PTH111 - never raises
    return base / "idskit"


def make_state_folder(folder: Path) -> Path:
    """Make the folder, mode 0700, or take the one that is there.

    Raises:
        IdskitError: it cannot be made, or this user cannot write to it.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = folder / ".probe"
        os.close(os.open(probe, _WRITE, 0o600))
        probe.unlink()
    except OSError as error:
        raise IdskitError(
            f"the state folder {folder} cannot be used ({reason(error)}): make it writable, or "
            "name another one (folder in section [state], or $STATE_DIRECTORY)"
        ) from error
    return folder


def give_to_owner(descriptor: int, folder: Path) -> None:
    """Give a file that root made in a folder to the owner of the folder, who must go on with it."""
    if os.geteuid() == 0:
        owner = folder.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


class StateLock:
    """The lock of a state folder, held until ``release`` or the end of the process."""

    def __init__(self, folder: Path) -> None:
        """Take the lock.

        Raises:
            IdskitError: another process holds it.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self._fd = os.open(folder / "lock", flags, 0o600)
        except OSError as error:
            raise IdskitError(
                f"the state in {folder} cannot be locked ({reason(error)}): its files must belong "
                "to the user who runs the service"
            ) from error
        give_to_owner(self._fd, folder)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(self._fd, 32).decode(errors="replace").strip() or "unknown"
            os.close(self._fd)
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise IdskitError(f"{folder} cannot be locked: {reason(error)}") from error
            raise IdskitError(
                f"the state in {folder} is used by another service (process {holder}): end that "
                "one, or name another folder in section [state]"
            ) from error
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let another service use the folder."""
        os.close(self._fd)


def is_locked(folder: Path) -> bool:
    """Return whether a service uses the folder now."""
    with suppress(OSError):
        descriptor = os.open(folder / "lock", _READ)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(descriptor)
    return False


class CheckedFile:
    """One JSON document on disk, with its checksum and the document before it.

    Attributes:
        name: of the file.
        problem: why the latest document could not be used, or empty.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._latest = folder / f"{name}.state"
        self._previous = folder / f"{name}.previous"
        self._partial = folder / f"{name}.partial"
        self.name = self._latest.name
        self.problem = ""

    def write(self, document: Mapping[str, Any], *, durable: bool = True) -> int:
        """Write a document, durable by one fsync; return its bytes on disk.

        A kill at any moment leaves the older or the newer document.

        Raises:
            OSError: the disk is full, or is none any more.
            ValueError: the document is too large.
        """
        content = packed(document)
        descriptor = os.open(self._partial, _WRITE, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            give_to_owner(descriptor, self._latest.parent)
            file.write(content)
            file.flush()
            if durable:  # else a power cut may lose it, a kill never does
                os.fsync(descriptor)
        with suppress(FileNotFoundError):
            self._latest.replace(self._previous)
        self._partial.replace(self._latest)
        return len(content)

    def remove(self) -> None:
        """Remove the document and the one before it, because nobody needs them any more."""
        for path in (self._latest, self._previous):
            path.unlink(missing_ok=True)

    def read(self) -> dict[str, Any] | None:
        """Return the latest whole document; None if there is none. ``problem`` says what was."""
        self.problem = ""
        for path in (self._latest, self._previous):
            try:
                return unpacked(_content(path))
            except FileNotFoundError:
                continue
            except (OSError, ValueError, zlib.error) as error:
                self.problem = self.problem or f"{path.name} is damaged ({error})"
        return None


class SlowFile:
    """A checked file that a thread writes now and then: nobody waits for the disk.

    Attributes:
        file: where documents are.
        problem: why the latest document could not be written; empty if it could.
    """

    def __init__(self, file: CheckedFile) -> None:
        self.file, self.problem = file, ""
        self._lock = threading.Lock()  # guards what follows
        self._next: Callable[[], Mapping[str, Any]] | None = None
        self._writing: threading.Thread | None = None

    def write(self, document: Callable[[], Mapping[str, Any]]) -> None:
        """Write what a function returns soon, in place of what still waits; the thread calls it."""
        with self._lock:
            self._next = document
            if self._writing is None:
                self._writing = threading.Thread(target=self._write_all, daemon=True)
                self._writing.start()

    def close(self) -> None:
        """Wait until all is written."""
        writing = self._writing
        if writing is not None:
            writing.join(_CLOSE_S)

    def _write_all(self) -> None:
        while (document := self._taken()) is not None:
            try:
                self.file.write(document(), durable=False)
            except (OSError, ValueError) as error:
                why = reason(error) if isinstance(error, OSError) else str(error)
                self.problem = f"{self.file.name} cannot be kept: {why}"
            else:
                self.problem = ""

    def _taken(self) -> Callable[[], Mapping[str, Any]] | None:
        """Return what waits; None ends the thread."""
        with self._lock:
            document, self._next = self._next, None
            if document is None:
                self._writing = None
            return document


def _content(path: Path) -> bytes:
    with os.fdopen(os.open(path, _READ), "rb") as file:
        return file.read(MOST_STATE + 1)


def packed(document: Mapping[str, Any]) -> bytes:
    """Return a document compressed, behind its checksum.

    Raises:
        ValueError: it has more than MOST_STATE bytes then.
    """
    body = zlib.compress(json.dumps(document, separators=(",", ":")).encode(), 6)
    content = b"%s %s\n%s" % (_MAGIC, hashlib.blake2b(body).hexdigest().encode(), body)
    if len(content) > MOST_STATE:
        raise ValueError(f"it has {len(content):,} bytes, of at most {MOST_STATE:,}")
    return content


def unpacked(content: bytes) -> dict[str, Any]:
    """Return what ``packed`` wrote.

    Raises:
        ValueError, zlib.error: it is damaged.
    """
    head, _, body = content.partition(b"\n")
    if head != b"%s %s" % (_MAGIC, hashlib.blake2b(body).hexdigest().encode()):
        raise ValueError("its checksum is wrong")
    unzip = zlib.decompressobj()
    text = unzip.decompress(body, 4 * MOST_STATE)
    if unzip.unconsumed_tail:
        raise ValueError("it is too large")
    document = json.loads(text)
    if not isinstance(document, dict):
        raise ValueError("it holds no object")
    return document
