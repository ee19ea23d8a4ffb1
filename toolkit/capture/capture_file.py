"""Read capture files and pipes: pcap and pcapng, plain or compressed, in bounded memory.

file ──> 1 MB buffer ──> record headers walked by a kernel ──> Frames that point into the buffer
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from idskit.capture.buffered_file import Source
from idskit.capture.pcap import FULL, NEED_DATA, VARIANTS, PcapReader
from idskit.capture.pcapng import PcapngReader
from idskit.errors import CaptureError
from idskit.packet import FRAME, Frames

CHUNK_FRAMES = 1 << 13  # yielded at once; their records stay in the processor's cache
WAIT_MS = 200.0  # longest sleep of ``frames`` of a pipe or interface
PRESENT_US = 10_000_000  # a pipe that is less behind the clock is captured right now


def open_capture(path: str | Path) -> Capture:
    """Open a capture file: pcap, its nanosecond and modified variants, or pcapng.

    Any of them may be compressed (``idskit.capture.decompress``) and come through a pipe: ``-`` is
    standard input.

    Returns:
        A context manager whose ``frames()`` reads the file once, from its start.

    Raises:
        CaptureError: the file is missing, unreadable, empty, a directory, or not a capture.

    Example:
        >>> with open_capture("no such.pcap") as capture:
        ...     seen = sum(len(frames.records) for frames in capture.frames())
        Traceback (most recent call last):
        idskit.errors.CaptureError: cannot read no such.pcap: no such file
    """
    source = Source(Path(path))
    try:
        return Capture(source, _reader(source))
    except BaseException:
        source.close()
        raise


class Capture:
    """An open capture file.

    Attributes:
        path: the file.
        seen: frames yielded so far.
        truncated: empty while all is well; else why reading ended before the end of the file (the
            last record is cut off, or a record is damaged), known once ``frames()`` is exhausted.
            The frames before that are valid.
        wait_ms: how long ``frames`` of a pipe sleeps while nothing comes.
        dropped: 0, nothing is lost.
        interfaces: none.
    """

    dropped = 0
    interfaces: tuple[str, ...] = ()
    not_read = ""

    def __init__(self, source: Source, reader: _Reader) -> None:
        self._source, self._reader = source, reader
        self.path = source.path
        self.seen = 0
        self.truncated = ""
        self.wait_ms = WAIT_MS
        self._last_us = 0  # time of the last frame
        self._behind_us = 0  # its delay until it was read

    def __enter__(self) -> Capture:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._source.close()

    @property
    def name(self) -> str:
        """Return what is read, for people."""
        return str(self.path)

    @property
    def is_live(self) -> bool:
        """Return whether it is a pipe: frames come as somebody writes them, until ``stop``."""
        return self._source.is_pipe

    def stop(self) -> None:
        """End ``frames`` of a pipe after what is in it; signal handlers may call this."""
        self._source.stop()

    def now_us(self) -> int:
        """Return the time by the frames' clock, which goes on in silence only if it is current."""
        if abs(self._behind_us) > PRESENT_US:
            return self._last_us
        return time.time_ns() // 1000 - self._behind_us

    @property
    def bytes_total(self) -> int:
        """Return the size of the file on disk, 0 for a pipe."""
        return self._source.size

    @property
    def bytes_read(self) -> int:
        """Return the bytes on disk that were read."""
        return self._source.position

    def frames(self) -> Iterator[Frames]:
        """Yield the frames in the file's order, some thousands at a time.

        A pipe yields an empty chunk each time that nothing came for ``wait_ms``. The arrays of a
        chunk are reused for the next one: copy them before asking for it, or be done with them.

        Raises:
            CaptureError: the disk failed to deliver the file.
        """
        records = np.zeros(CHUNK_FRAMES, FRAME)
        while True:
            count, why = self._reader.walk(self._source, records)
            if count:
                self._note(records[:count])
                yield Frames(data=self._source.buffer, records=records[:count])
            if why == NEED_DATA and not self._source.is_ready(0 if count else self.wait_ms):
                yield Frames(data=self._source.buffer, records=records[:0])
                if not self._source.is_stopped:
                    continue
            if not self._go_on(why):
                return

    def _note(self, records: NDArray[np.void]) -> None:
        self.seen += len(records)
        if self.is_live:
            self._last_us = int(records["time_ns"][-1]) // 1000
            self._behind_us = time.time_ns() // 1000 - self._last_us

    def _go_on(self, why: int) -> bool:
        if why == FULL:
            return True
        if why == NEED_DATA:
            if self._source.fill():
                return True
            self.truncated = self._source.failure or self._rest()
            return False
        self.truncated = self._reader.resume(self._source)
        return not self.truncated

    def _rest(self) -> str:
        left = 0 if self._source.is_stopped else self._source.left
        return f"the file ends inside a {self._reader.unit}, after {left} bytes" if left else ""


class _Reader(Protocol):
    """Reader of one file format."""

    unit: str

    def walk(self, source: Source, out: NDArray[np.void]) -> tuple[int, int]:
        """Fill ``out`` from the buffer; return the number of records, and why it ended."""

    def resume(self, source: Source) -> str:
        """Go past what ``walk`` stopped at; return a sentence if that is impossible."""


_FOREIGN = {b"snoo": "Solaris snoop", b"GMBU": "Microsoft Network Monitor"}


def _reader(source: Source) -> _Reader:
    """Recognise the format by its first four bytes, and read the file header."""
    if not source.left:
        raise CaptureError(f"{source.path} is empty, and even a capture of no packets has a header")
    source.need(4)
    magic = bytes(source.buffer[: min(source.left, 4)])
    if magic == b"\x0a\x0d\x0d\x0a":
        return PcapngReader(source)
    if magic in VARIANTS:
        return PcapReader(source, VARIANTS[magic])
    what = f"not a capture (it begins {magic.hex(' ')})"
    if magic in _FOREIGN:
        what = f"a {_FOREIGN[magic]} file (editcap -F pcap makes a pcap of it)"
    raise CaptureError(f"{source.path} is {what}: pcap and pcapng are read, plain or compressed")
