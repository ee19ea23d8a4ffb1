"""Read the bytes of a capture through one reused buffer, decompressed where necessary."""

from __future__ import annotations

import fcntl
import io
import os
import select
import stat
import sys
import termios
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from idskit.capture.decompress import Decompressor, command_for, foreign, is_compressed
from idskit.errors import CaptureError

BUFFER_BYTES = 1 << 20
STDIN = Path("-")
DRAIN_S = 1.0  # a stopped pipe may go on delivering its content for this time

_CHUNK_BYTES = 1 << 16  # compressed data read at once
_SILENCE_MS = 200


class Source:
    """A file being read: ``buffer[start:end]`` is loaded and not yet used.

    Attributes:
        path: the file; for ``-``, standard input, words that say so.
        buffer: (BUFFER_BYTES,) uint8, reused.
        failure: why no more bytes come although the file goes on, or empty.
        is_pipe: the bytes come as somebody writes them, and how many is not known.
        is_stopped: ``stop`` was called.

    Raises:
        MissingExtra: decompression needs a package that is not installed.
        CaptureError: the file is missing, a directory, unreadable, in a container that is not read,
            or damaged from its first byte.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path("standard input") if path == STDIN else path
        self.buffer: NDArray[np.uint8] = np.zeros(BUFFER_BYTES, np.uint8)
        self.start = self.end = 0
        self.failure = ""
        self._file = _open(path)
        self._status = os.fstat(self._file.fileno())
        self.is_pipe = not stat.S_ISREG(self._status.st_mode)
        self._events = select.poll()
        self._events.register(self._file, select.POLLIN)
        self._drained_at = float("inf")
        self._owed = 0  # bytes that a pipe held when it was stopped
        self._packed: Decompressor | None = None
        self._first = b""  # compressed bytes that the format was recognised by
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    @property
    def left(self) -> int:
        """Return the number of bytes in the buffer that are not yet used."""
        return self.end - self.start

    @property
    def size(self) -> int:
        """Return the bytes on disk, 0 for a pipe."""
        return 0 if self.is_pipe else self._status.st_size

    @property
    def position(self) -> int:
        """Return the bytes on disk that were read, 0 for a pipe."""
        return 0 if self.is_pipe else self._file.tell()

    @property
    def is_stopped(self) -> bool:
        """Return whether ``stop`` was called."""
        return self._drained_at < float("inf")

    def number(self, offset: int, size: int, big: bool) -> int:
        """Return the unsigned number in ``size`` bytes, ``offset`` behind the first unused one."""
        at = self.start + offset
        return int.from_bytes(self.buffer[at : at + size].data, "big" if big else "little")

    def is_ready(self, wait_ms: float) -> bool:
        """Return whether ``fill`` need not wait, now or within ``wait_ms``."""
        has_more = self._packed is not None and not self._packed.needs_input
        return not self.is_pipe or has_more or bool(self._events.poll(wait_ms))

    def stop(self) -> None:
        """End a pipe when it has nothing more to read, DRAIN_S from now at the latest.

        What it holds now is read however long that takes: the process may have to stand still.
        """
        self._drained_at = time.monotonic() + DRAIN_S
        self._owed = self._held() if self.is_pipe else 0

    def fill(self) -> bool:
        """Move the unused bytes to the front and read behind them; return False at the end.

        Raises:
            CaptureError: the disk failed to deliver.
        """
        self.buffer[: self.left] = self.buffer[self.start : self.end]
        self.start, self.end = 0, self.left
        into = self.buffer[self.end :].data
        count = self._raw(into) if self._packed is None else self._unpack(self._packed, into)
        self.end += count
        return count > 0

    def need(self, count: int) -> bool:
        """Make ``count`` <= BUFFER_BYTES bytes available; return False if the file ends before."""
        while self.left < count:
            if not self.fill():
                return False
        return True

    def skip(self, count: int) -> bool:
        """Drop ``count`` bytes, however many; return False if the file ends before."""
        while count > self.left:
            count -= self.left
            self.start = self.end
            if not self.fill():
                return False
        self.start += count
        return True

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _begin(self) -> None:
        """Read the first bytes, and decompress them where they are compressed."""
        self.need(8)
        magic = self.buffer[: self.end].tobytes()
        container = foreign(magic)
        if container:
            raise CaptureError(
                f"{self.path} is a capture in {container} format, if it is one, which is not read: "
                + command_for(container, self.path)
            )
        if not is_compressed(magic):
            return
        self._packed = Decompressor(self.path, magic)
        self._first, self.end = magic, 0
        self.fill()
        if self.failure and not self.left:
            raise CaptureError(
                f"{self.path} begins as a {self._packed.name} file, but {self.failure}"
            )

    def _unpack(self, packed: Decompressor, into: memoryview) -> int:
        made = b""
        while not made and into and not self.failure:
            data = self._next_chunk() if packed.needs_input else b""
            if packed.needs_input and not data:
                if not packed.is_whole and not self.is_stopped:
                    self.failure = "its compressed data is damaged: it is cut off"
                return 0
            try:
                made = packed.decompress(data, len(into))
            except ValueError as error:
                self.failure = f"its compressed data is damaged: {error}"
        into[: len(made)] = made
        return len(made)

    def _next_chunk(self) -> bytes:
        data, self._first = self._first[:_CHUNK_BYTES], self._first[_CHUNK_BYTES:]
        if not data:
            chunk = bytearray(_CHUNK_BYTES)
            data = bytes(chunk[: self._raw(memoryview(chunk))])
        return data

    def _raw(self, into: memoryview) -> int:
        try:
            while not self.is_pipe or self._has_come():
                count = self._file.readinto(into)
                if count is not None:  # None: somebody made the pipe non-blocking
                    self._owed -= count
                    return count
        except OSError as error:
            raise CaptureError(f"reading {self.path} failed: {error.strerror or error}") from error
        return 0

    def _held(self) -> int:
        """Return the bytes that a pipe holds; 0 where the system does not say."""
        count = bytearray(4)
        with suppress(OSError):
            fcntl.ioctl(self._file, termios.FIONREAD, count)
        return int.from_bytes(count, sys.byteorder)

    def _has_come(self) -> bool:
        """Wait for the next bytes of a pipe, or its end; return False if it was stopped."""
        while self._owed > 0 or time.monotonic() < self._drained_at:
            if self._events.poll(_SILENCE_MS):
                return True
            if self.is_stopped:
                return False
        return False


def _open(path: Path) -> io.FileIO:
    if path == STDIN:
        return _standard_input()
    try:
        if stat.S_ISDIR(path.stat().st_mode):
            raise CaptureError(f"{path} is a directory, not a capture: name one file in it")
        return path.open("rb", buffering=0)
    except FileNotFoundError:
        raise CaptureError(f"cannot read {path}: no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = error.strerror if isinstance(error, OSError) else error
        raise CaptureError(f"cannot read {path}: {reason}") from error


def _standard_input() -> io.FileIO:
    try:
        file = io.FileIO(0, closefd=False)
    except OSError:
        raise CaptureError(
            "standard input is closed: give it a capture, or name a file (-r)"
        ) from None
    if file.isatty():
        raise CaptureError(
            "standard input is a terminal: give it a capture, as in tcpdump -w - | idskit ... -r -"
        )
    return file
