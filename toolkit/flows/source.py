"""The bytes of a capture file through one reused buffer, decompressed where they are gzip."""

from __future__ import annotations

import gzip
import os
import stat
import zlib
from io import BufferedReader
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from idskit.errors import CaptureError

BUFFER_BYTES = 1 << 20


class Source:
    """A file being read: ``buffer[start:end]`` is here and not yet used.

    Attributes:
        buffer: (BUFFER_BYTES,) uint8, reused.
        failure: why no more bytes come although the file goes on, or empty.

    Raises:
        CaptureError: the file is missing, a directory, unreadable, or damaged from its first byte.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.buffer: NDArray[np.uint8] = np.zeros(BUFFER_BYTES, np.uint8)
        self.start = self.end = 0
        self.failure = ""
        self._file = _open(path)
        self._gzip: gzip.GzipFile | None = None
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    @property
    def left(self) -> int:
        """Bytes in the buffer that are not yet used."""
        return self.end - self.start

    @property
    def size(self) -> int:
        """Bytes on disk, 0 for a pipe."""
        return os.fstat(self._file.fileno()).st_size

    @property
    def position(self) -> int:
        """Bytes on disk read so far, 0 for a pipe."""
        return self._file.tell() if self._file.seekable() else 0

    def number(self, offset: int, size: int, big: bool) -> int:
        """Unsigned number in ``size`` bytes, ``offset`` behind the first unused one."""
        at = self.start + offset
        return int.from_bytes(self.buffer[at : at + size].data, "big" if big else "little")

    def fill(self) -> bool:
        """Move what is left to the front and read behind it; False at the end of the file.

        Raises:
            CaptureError: the disk failed to deliver.
        """
        self.buffer[: self.left] = self.buffer[self.start : self.end]
        self.start, self.end = 0, self.left
        count = self._read(self.buffer[self.end :].data)
        self.end += count
        return count > 0

    def need(self, count: int) -> bool:
        """Make ``count`` <= BUFFER_BYTES bytes available; False if the file ends before."""
        while self.left < count:
            if not self.fill():
                return False
        return True

    def skip(self, count: int) -> bool:
        """Drop ``count`` bytes, however many; False if the file ends before."""
        while count > self.left:
            count -= self.left
            self.start = self.end
            if not self.fill():
                return False
        self.start += count
        return True

    def close(self) -> None:
        """Close the file."""
        if self._gzip is not None:
            self._gzip.close()
        self._file.close()

    def _begin(self) -> None:
        try:
            if self._file.peek(2)[:2] == b"\x1f\x8b":
                self._gzip = gzip.GzipFile(fileobj=self._file, mode="rb")
        except OSError as error:
            raise CaptureError(f"reading {self.path} failed: {error.strerror or error}") from error
        self.fill()
        if self.failure and not self.left:
            raise CaptureError(f"{self.path} begins as a gzip file, but {self.failure}")

    def _read(self, into: memoryview) -> int:
        try:
            # At most one read below: pipes are read as they fill, and cut gzip up to the cut.
            return (self._gzip or self._file).readinto1(into)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            self.failure = f"its compressed data is damaged: {error}"
            return 0
        except OSError as error:
            raise CaptureError(f"reading {self.path} failed: {error.strerror or error}") from error


def _open(path: Path) -> BufferedReader:
    try:
        if stat.S_ISDIR(path.stat().st_mode):
            raise CaptureError(f"{path} is a directory, not a capture: name one file in it")
        return path.open("rb")
    except FileNotFoundError:
        raise CaptureError(f"cannot read {path}: no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = error.strerror if isinstance(error, OSError) else error
        raise CaptureError(f"cannot read {path}: {reason}") from error
