"""Read several network interfaces at once."""

from __future__ import annotations

import select
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Protocol

from idskit.capture.af_packet import LiveCapture, open_interface
from idskit.capture.capture_file import WAIT_MS
from idskit.errors import CaptureError
from idskit.packet import MAX_INTERFACES, Frames


def open_interfaces(names: Sequence[str], *, filter: str | None = None) -> LiveCapture | Interfaces:
    """Open network interfaces, each with its own ring; see ``open_interface``.

    Raises:
        CaptureError: one of them cannot be read or is named twice, or they are too many.
    """
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise CaptureError(f"interface {twice} is named twice: its packets would count twice")
    if len(names) > MAX_INTERFACES:
        raise CaptureError(
            f"{len(names)} interfaces are named, and at most {MAX_INTERFACES} are read at once"
        )
    with ExitStack() as opened:
        captures = []
        for name in names:
            captures.append(open_interface(name, filter=filter))
            opened.callback(captures[-1].close)
        made = captures[0] if len(captures) == 1 else Interfaces(captures)
        opened.pop_all()
    return made


class Counted(Protocol):
    """An interface that counts its frames."""

    @property
    def seen(self) -> int:
        """Return the frames yielded so far."""

    @property
    def dropped(self) -> int:
        """Return the frames that the kernel dropped because a ring was full."""

    def close(self) -> None:
        """Stop capturing."""


class JoinedInterfaces:
    """What several interfaces are together, as a source of frames.

    Attributes:
        interfaces: their names; ``Frames.interface`` is an index of these.
        wait_ms: how long ``frames`` sleeps while nothing comes.
    """

    bytes_total = bytes_read = 0
    is_live = True
    not_read = ""

    def __init__(self, names: Sequence[str], parts: Sequence[Counted]) -> None:
        self.interfaces = tuple(names)
        self.wait_ms: float = WAIT_MS
        self._parts = tuple(parts)

    @property
    def name(self) -> str:
        """Return what is read, for people."""
        return ", ".join(self.interfaces)

    @property
    def seen(self) -> int:
        """Return the number of frames yielded so far."""
        return sum(one.seen for one in self._parts)

    @property
    def dropped(self) -> int:
        """Return the number of frames that the kernel dropped because a ring was full."""
        return sum(one.dropped for one in self._parts)

    def now_us(self) -> int:
        """Return the time by the frames' clock, in microseconds since the epoch."""
        return time.time_ns() // 1000

    def close(self) -> None:
        """Stop capturing."""
        for one in self._parts:
            one.close()


class Interfaces(JoinedInterfaces):
    """Several open interfaces, whose rings are read in turn until one disappears.

    Their frames are in order within 25 ms, in which a ring hands its blocks over. A flow belongs to
    one interface, so no flow sees time go back.

    Attributes:
        truncated: why frames ended although nobody stopped them, or empty.
    """

    def __init__(self, captures: Sequence[LiveCapture]) -> None:
        names = [name for capture in captures for name in capture.interfaces]
        super().__init__(names, captures)
        self._captures = tuple(captures)
        self._events = select.poll()
        for capture in captures:
            self._events.register(capture, select.POLLIN)

    @property
    def truncated(self) -> str:
        """Return which interfaces disappeared, or an empty text."""
        return "; ".join(capture.truncated for capture in self._captures if capture.truncated)

    def stop(self) -> None:
        """End ``frames`` after what has come until now; signal handlers may call this."""
        for capture in self._captures:
            capture.stop()

    def frames(self) -> Iterator[Frames]:
        """Yield frames as they come; see ``LiveCapture.frames``."""
        while not any(capture.is_stopped for capture in self._captures):
            came = 0
            for frames in self._round():
                came += len(frames.records)
                yield frames
            if not came:
                self._wait()
        self.stop()
        for number, capture in enumerate(self._captures):
            for frames in capture.rest():
                yield _of(number, frames)

    def _round(self) -> Iterator[Frames]:
        for number, capture in enumerate(self._captures):
            yield _of(number, capture.take())
            capture.hand_back()

    def _wait(self) -> None:
        events = dict(self._events.poll(self.wait_ms))
        for capture in self._captures:
            if events.get(capture.fileno(), 0) & select.POLLERR:
                capture.check()


def _of(number: int, frames: Frames) -> Frames:
    return Frames(data=frames.data, records=frames.records, interface=number)
