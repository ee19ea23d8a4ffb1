"""Incidents that wait for one receiver, in memory and on disk: a killed process loses none of them.

A line is written by one system call before the incident counts as accepted. The kernel has it then,
so that kill -9 does not lose it; nothing waits for the disk (no fsync), and most lines are removed
before the kernel writes them out, which spares flash. A power cut loses the last half minute.

    NAME.spool      lines since it was begun: incidents, and numbers of those that are done
    NAME.spool.1    the file before; when NAME.spool is full, it is dropped with what waits in it

A line is a checksum (CRC 32), a number and the incident's JSON, or ``-`` where it is done.
"""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from idskit.errors import IdskitError
from idskit.files.output import reason

HALF = 5_000_000  # bytes of either file, and of what waits in memory because of it
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MODE = 0o600
_DONE = b"-"


class Spool:
    """Queue of incidents as JSON lines, of bounded size: the oldest are dropped when it is full.

    It is not safe for threads: whoever shares one locks it.

    Args:
        path: its first file, or None to keep incidents in memory only.
        half: most bytes of either file.

    Attributes:
        dropped: number of incidents dropped because there was no room.
        damaged: number of lines that could not be read at the start.
        unsaved: number of incidents that are in memory only, because writing failed.

    Raises:
        IdskitError: the file cannot be opened, or is a link or no regular file.
    """

    def __init__(self, path: Path | None, half: int = HALF) -> None:
        self.dropped = self.damaged = self.unsaved = 0
        self._path, self._half = path, half
        self._older: dict[int, bytes] = {}
        self._newer: dict[int, bytes] = {}
        self._next = 1
        self._size = 0  # of the newer file
        self._fd = -1
        self._ends_in_half_line = False
        if path is not None:
            self._load(path)

    def __len__(self) -> int:
        return len(self._older) + len(self._newer)

    def append(self, incident: bytes) -> None:
        """Keep an incident, which is a line without its line feed."""
        line = _line(self._next, incident)
        if self._size + len(line) > self._half:
            self._turn_over()
        self._newer[self._next] = incident
        self._next += 1
        self._size += len(line)
        if self._path is not None and not self._write(line):
            self.unsaved += 1

    def first(self) -> tuple[int, bytes] | None:
        """Return number and text of the oldest incident."""
        for waiting in (self._older, self._newer):
            for number in waiting:
                return number, waiting[number]
        return None

    def done(self, number: int) -> None:
        """Remove an incident that was delivered or given up."""
        waiting = self._older if number in self._older else self._newer
        if waiting.pop(number, None) is None:
            self.dropped -= 1  # while it was being delivered
            return
        if len(self):
            line = _line(number, _DONE)
            self._size += len(line)
            self._write(line)
        else:
            self._clear()

    def close(self) -> None:
        """Close the file; what waits is read again at the next start."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def _turn_over(self) -> None:
        """Begin a new file in place of the full one, and drop what waits in the one before."""
        self.dropped += len(self._older)
        self._older, self._newer, self._size = self._newer, {}, 0
        if self._path is not None:
            try:
                self._path.replace(_before(self._path))
            except OSError:  # such as a folder that was made read-only: memory still has them
                with suppress(OSError):
                    os.ftruncate(self._fd, 0)
            self.close()
            self._reopen()

    def _clear(self) -> None:
        self._size = 0
        if self._path is None:
            return
        with suppress(OSError):
            os.ftruncate(self._fd, 0)
            self._ends_in_half_line = False
        with suppress(OSError):
            _before(self._path).unlink(missing_ok=True)

    def _write(self, line: bytes) -> bool:
        """Write a line whole, or remove what was written of it; return whether it is there."""
        if self._fd < 0 and not self._reopen():
            return self._path is None
        data = b"\n" + line if self._ends_in_half_line else line
        before = written = 0
        try:
            before = os.fstat(self._fd).st_size
            written = os.write(self._fd, data)
            if written < len(data):
                os.ftruncate(self._fd, before)
                return False
        except OSError:
            self._ends_in_half_line |= written > 0
            return False
        self._ends_in_half_line = False
        return True

    def _reopen(self) -> bool:
        if self._path is None:
            return False
        try:
            self._fd = _opened(self._path)
        except OSError:
            return False
        return True

    def _load(self, path: Path) -> None:
        """Read what waits in both files."""
        try:
            self._fd = _opened(path)
            texts = [_content(_before(path), self._half), _content(path, self._half)]
        except OSError as error:
            self.close()
            raise IdskitError(
                f"{path}, which keeps incidents that wait to be sent, cannot be used: "
                f"{reason(error)}; check the folder of the state"
            ) from error
        for text, waiting in zip(texts, (self._older, self._newer), strict=True):
            for number, incident in self._read(text):
                self._next = max(self._next, number + 1)
                if incident == _DONE:
                    self._older.pop(number, None)
                    self._newer.pop(number, None)
                else:
                    waiting[number] = incident
        self._size = len(texts[1])
        self._ends_in_half_line = texts[1][-1:] not in (b"", b"\n")
        if not len(self):
            self._clear()

    def _read(self, text: bytes) -> Iterator[tuple[int, bytes]]:
        for line in text.splitlines():
            if not line:
                continue
            checksum, _, rest = line.partition(b" ")
            number, _, incident = rest.partition(b" ")
            if checksum == b"%08x" % zlib.crc32(rest) and number.isdigit():
                yield int(number), incident
            else:
                self.damaged += 1


def _line(number: int, incident: bytes) -> bytes:
    rest = b"%d %b" % (number, incident)
    return b"%08x %b\n" % (zlib.crc32(rest), rest)


def _before(path: Path) -> Path:
    return path.with_name(f"{path.name}.1")


def _opened(path: Path) -> int:
    """Open a regular file for more lines.

    Raises:
        OSError: it is a link or something else, or the system refuses.
    """
    opened = os.open(path, _FLAGS, _MODE)
    if stat.S_ISREG(os.fstat(opened).st_mode):
        return opened
    os.close(opened)
    raise OSError("it is no regular file")


def _content(path: Path, half: int) -> bytes:
    """Return the last ``half`` bytes of a file, or nothing where there is none."""
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    with os.fdopen(opened, "rb") as file:
        found = os.fstat(opened)
        if not stat.S_ISREG(found.st_mode):
            raise OSError("it is no regular file")
        file.seek(max(0, found.st_size - half))
        return file.read(half)
