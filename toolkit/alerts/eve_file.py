"""Write EVE lines to a stream, or to a file that is rotated. A full disk ends neither.

A line that cannot be written is lost and counted, the first loss is reported on stderr, and writing
goes on as soon as it can: whoever fills the disk must not blind the sensor. Half a line is removed
again, or ended before the next one where that is impossible.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import stat
import sys
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from io import UnsupportedOperation
from itertools import pairwise
from pathlib import Path
from typing import Literal, TextIO

from idskit.errors import IdskitError
from idskit.files.output import reason
from idskit.process.signals import OutputBlocked, writing
from idskit.process.streams import abandon
from idskit.report.text import visible

ROTATE_MB = 100
OLDER_FILES = 4  # rotated files that are kept; .1 is the latest
Period = Literal["never", "hour", "day"]
_SECONDS = {"hour": 3600, "day": 86_400}  # of each, which begin as in UTC, as times in lines are
MODE = 0o640  # alerts reveal what is attacked here
_STDOUT = 1
_FULL = (errno.ENOSPC, errno.EDQUOT)
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # file systems without them
_FLAGS = os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Sink(ABC):
    """Buffer of lines that writes them when flushed, and counts written and lost ones.

    Attributes:
        name: its name in messages.
        written: number of lines.
        lost: number of lines that could not be written.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.written = self.lost = 0
        self._lines: list[bytes] = []
        self._sent = 0  # bytes written of the lines being flushed, whole lines only
        self._is_given_up = False  # the reader went away: later lines are lost

    def write(self, line: str) -> None:
        """Buffer a line, which has no line feed."""
        self._lines.append(line.encode() + b"\n")

    def flush(self) -> None:
        """Write the buffered lines, or lose those that cannot be written.

        Raises:
            BrokenPipeError: the reader went away. It is raised once; from then on lines are lost.
            OutputBlocked: nothing can be written and the process was asked to end; raised once.
        """
        if not self._lines:
            return
        lines, self._lines, self._sent = self._lines, [], 0
        data = b"".join(lines)
        try:
            if not self._is_given_up:
                with writing():
                    self._send(data)
        except (BrokenPipeError, OutputBlocked):
            self._is_given_up = True
            raise
        except OSError as error:
            self._complain(error)
        finally:
            done = data.count(b"\n", 0, self._sent)
            self.written += done
            self.lost += len(lines) - done

    def close(self) -> None:  # noqa: B027 - a stream belongs to whoever opened it
        """Close what was opened here."""

    @abstractmethod
    def _send(self, data: bytes) -> None:
        """Write whole lines, and count them in ``_sent`` as they are written."""

    def _complain(self, error: OSError) -> None:
        """Report the first loss only: the disk may be full at every flush from now on."""
        if self.lost or sys.stderr is None:
            return
        sentence = (
            f"idskit: {visible(self.name)} cannot be written: {reason(error)}; detection goes on, "
            "and alerts are lost until it can be written again"
        )
        with suppress(OSError):
            print(sentence, file=sys.stderr, flush=True)


class TextSink(Sink):
    """Sink of a text stream that is no file of the system, such as ``io.StringIO``."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__("the output")
        self._stream = stream

    def _send(self, data: bytes) -> None:
        self._stream.write(data.decode())
        self._stream.flush()
        self._sent = len(data)


class _Descriptor(Sink):
    """Sink of a file descriptor, without a buffer that could write half a line later."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._fd = -1
        self._ends_in_half_line = False

    def _append(self, lines: bytes) -> None:
        """Write whole lines; if writing fails, remove what was written of the last one."""
        if self._ends_in_half_line:
            _write_some(self._fd, b"\n")
            self._ends_in_half_line = False
        view, done = memoryview(lines), 0
        try:
            while done < len(lines):
                done += _write_some(self._fd, view[done:])
        finally:
            whole = lines.rfind(b"\n", 0, done) + 1
            self._sent += whole
            self._ends_in_half_line = not _take_back(self._fd, done - whole)


class StreamSink(_Descriptor):
    """Sink of a stream of the system, such as standard output."""

    def __init__(self, stream: TextIO) -> None:
        is_standard = stream.fileno() == _STDOUT
        name = "standard output" if is_standard else str(getattr(stream, "name", "the output"))
        super().__init__(name)
        self._fd = stream.fileno()
        self._stream = stream

    def _send(self, data: bytes) -> None:
        try:
            self._stream.flush()  # what others wrote to it before
            self._append(data)
        except BrokenPipeError:
            abandon(self._stream)
            raise


class EveFile(_Descriptor):
    """File that lines are appended to, also after a program that ended in the middle of one.

    When it would grow over its limit, or its hour or day is over, it becomes FILE.1, FILE.1 becomes
    FILE.2 and so on. When somebody moves or deletes it (logrotate), a new one is made. A named pipe
    or a device is written to as it is. Links are not followed.

    Args:
        path: the file.
        rotate_mb: its limit; 0 sets none.
        rotate_every: what a file holds at most, in UTC. It belongs to the period in which it was
            last written to, also if another process did, and is rotated at the next line.
        older_files: how many rotated files are kept.

    Raises:
        IdskitError: it cannot be written, holds something else, or another program writes to it.
    """

    def __init__(
        self,
        path: Path,
        *,
        rotate_mb: int = ROTATE_MB,
        rotate_every: Period = "never",
        older_files: int = OLDER_FILES,
    ) -> None:
        super().__init__(str(path))
        self._path = path
        self._limit = rotate_mb << 20
        self._period_s = _SECONDS.get(rotate_every)
        self._older_files = older_files
        try:
            self._require_rotation()
            self._open()
        except OSError as error:
            if error.errno in _FULL:
                return  # there may be room when the first alert comes
            raise IdskitError(f"{path} cannot be written: {reason(error)}") from error

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def _send(self, data: bytes) -> None:
        if self._is_moved():
            self._open()
        while self._sent < len(data):
            self._append(data[self._sent : self._fitting(data)])

    def _fitting(self, data: bytes) -> int:
        """Return the end of the lines that the file has room for; rotate it if it has none."""
        found = os.fstat(self._fd)
        if not stat.S_ISREG(found.st_mode):
            return len(data)
        if found.st_size and self._is_of_earlier_period(found.st_mtime):
            self._rotate()
            return self._fitting(data)
        if not self._limit:
            return len(data)
        room = max(0, self._limit - found.st_size)
        end = data.rfind(b"\n", self._sent, self._sent + room) + 1
        if end > self._sent:
            return end
        if found.st_size:
            self._rotate()
            return self._fitting(data)
        return data.index(b"\n", self._sent) + 1

    def _is_of_earlier_period(self, written_s: float) -> bool:
        """Return whether a file was last written to in an hour or day before this one.

        A clock that was put back changes nothing: the file goes on until the time is its own again.
        """
        period_s = self._period_s
        return period_s is not None and written_s // period_s < time.time() // period_s

    def _rotate(self) -> None:
        older = [Path(f"{self._path}.{number}") for number in range(1, self._older_files + 1)]
        for now, then in reversed(list(pairwise([self._path, *older]))):
            with suppress(FileNotFoundError):
                now.replace(then)
        self._open()

    def _is_moved(self) -> bool:
        try:
            return not os.path.samestat(self._path.lstat(), os.fstat(self._fd))
        except OSError:  # nothing has its name, or it was never opened
            return True

    def _open(self) -> None:
        """Open the file for more lines, in place of the one that was open."""
        opened = _opened(self._path)
        try:
            ends_in_half_line = _ends_in_half_line(opened)
        except OSError:
            os.close(opened)
            raise
        self.close()
        self._fd, self._ends_in_half_line = opened, ends_in_half_line

    def _require_rotation(self) -> None:
        folder = self._path.parent
        is_rotated = self._limit or self._period_s
        if is_rotated and folder.is_dir() and not os.access(folder, os.W_OK):
            raise OSError(
                f"{folder} may not be written to, so nothing there can be rotated: choose another "
                "place, or set no limit (--rotate-mb 0)"
            )


def open_sink(output: TextIO | Path, *, rotate_mb: int = ROTATE_MB) -> Sink:
    """Open a sink: a file by its name, or a stream.

    Raises:
        IdskitError: the file cannot be written.
    """
    if isinstance(output, Path):
        return EveFile(output, rotate_mb=rotate_mb)
    try:
        return StreamSink(output)
    except (UnsupportedOperation, AttributeError):
        return TextSink(output)


def _opened(path: Path) -> int:
    """Return a descriptor that appends to a file, a pipe or a character device."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        mode = stat.S_IFREG
    _require_kind(mode)
    try:
        # A file is also read, because its last line may be half a line.
        access = os.O_RDWR if stat.S_ISREG(mode) else os.O_WRONLY
        opened = os.open(path, access | _FLAGS, MODE)
    except OSError as error:
        if stat.S_ISFIFO(mode):
            raise OSError("nobody reads this pipe: start its reader first") from error
        raise
    os.set_blocking(opened, True)  # only opening must not wait
    return opened


def _require_kind(mode: int) -> None:
    if stat.S_ISLNK(mode):
        raise OSError("it is a link, which others may turn elsewhere: name the file itself")
    if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)):
        raise OSError("it is neither a file, a pipe nor a character device: choose another place")


def _ends_in_half_line(opened: int) -> bool:
    """Return whether a file, which nobody else writes, lacks a line feed at its end."""
    found = os.fstat(opened)
    _require_kind(found.st_mode)
    if not stat.S_ISREG(found.st_mode):
        return False
    _lock(opened)
    if found.st_size and os.pread(opened, 1, 0) != b"{":
        raise OSError("it holds something else than alerts: choose another place")
    return found.st_size > 0 and os.pread(opened, 1, found.st_size - 1) != b"\n"


def _lock(opened: int) -> None:
    """Lock a file, so that nobody else appends to it and rotates it."""
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OSError("another program writes alerts to it: choose another place") from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise


def _write_some(descriptor: int, data: bytes | memoryview) -> int:
    try:
        return os.write(descriptor, data)
    except BlockingIOError:  # the pipe is non-blocking, so wait here
        select.select([], [descriptor], [])
        return 0


def _take_back(descriptor: int, size: int) -> bool:
    """Remove the last bytes written; return whether that was possible."""
    if not size:
        return True
    try:
        end = os.lseek(descriptor, 0, os.SEEK_CUR)
        if os.fstat(descriptor).st_size != end:
            return False
        os.ftruncate(descriptor, end - size)
        os.lseek(descriptor, end - size, os.SEEK_SET)
    except OSError:
        return False
    return True
