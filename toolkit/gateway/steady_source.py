"""Network interfaces that are read for months: those that vanish are opened again when they return.

    eth0 ──> ring ──┐
    wlan0 ──> ring ─┼──> frames, in turn ──> FlowReader
    (wwan0 is away: tried again after 1, 2, 4 ... 60 s)

``tick`` is called in every round, by the loop that moves packets itself: a watchdog that is fed
there, and nowhere else, notices when packets no longer move.
"""

from __future__ import annotations

import fcntl
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from idskit.capture.af_packet import LiveCapture, open_interface
from idskit.capture.interfaces import JoinedInterfaces
from idskit.errors import CaptureError
from idskit.packet import FRAME, MAX_INTERFACES, Frames

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 60.0
CHECK_S = 1.0  # how often an interface is asked whether it is up
_GET_FLAGS, _UP = 0x8913, 1  # linux/sockios.h, linux/if.h
_WHY_BLIND = {None: "is not there", False: "is down", True: "cannot be read"}
_NOTHING = Frames(data=np.zeros(0, np.uint8), records=np.zeros(0, FRAME))


@dataclass(kw_only=True)
class Interface:
    """One interface: its ring while it is there, and what was read of it.

    Attributes:
        name: as the system has it.
        why_blind: why nothing is seen of it; empty where it is read.
        blind_since_s: since when, by the monotonic clock.
    """

    name: str
    why_blind: str = ""
    blind_since_s: float = 0.0
    _ring: LiveCapture | None = None
    _earlier: list[int] = field(default_factory=lambda: [0, 0])  # frames, drops of older rings
    _pause_s: float = FIRST_PAUSE_S
    _not_before_s: float = 0.0
    _was_up: bool = False

    @property
    def seen(self) -> int:
        """Return the frames read so far."""
        return self._earlier[0] + (self._ring.seen if self._ring else 0)

    @property
    def dropped(self) -> int:
        """Return the frames that the kernel dropped."""
        return self._earlier[1] + (self._ring.dropped if self._ring else 0)

    def opened(self, filter: str | None) -> LiveCapture | None:
        """Return the ring, opened again where it is time to try; None while there is none.

        Raises:
            CaptureError: it is there and up, and cannot be read all the same.
        """
        now_s = time.monotonic()
        if self._ring is None and now_s >= self._not_before_s:
            try:
                self._ring = open_interface(self.name, filter=filter)
            except CaptureError:
                up = is_up(self.name)
                if up and self._pause_s == FIRST_PAUSE_S:
                    raise
                self._retry_later(_WHY_BLIND[up])
            else:
                self._pause_s, self.why_blind = FIRST_PAUSE_S, ""
        return self._ring

    def lose(self) -> None:
        """Close the ring of an interface that went away."""
        if self._ring is not None:
            self._earlier = [self.seen, self.dropped]
            self._ring.close()
            self._ring = None
        self._retry_later("disappeared")

    def look(self) -> None:
        """Notice an interface that was switched off, and one that is there again."""
        up = bool(is_up(self.name))
        if self._ring is None:
            if up and not self._was_up:
                self._not_before_s = 0.0
        elif up:
            self.why_blind = ""
        else:
            self._blind("is down")
        self._was_up = up

    def close(self) -> None:
        """Close the ring."""
        if self._ring is not None:
            self._ring.close()

    def _retry_later(self, why: str) -> None:
        self._blind(why)
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        self._not_before_s = time.monotonic() + self._pause_s

    def _blind(self, why: str) -> None:
        if not self.why_blind:
            self.blind_since_s = time.monotonic()
        self.why_blind = why


class SteadySource(JoinedInterfaces):
    """Interfaces as one source of frames, which ends only when it is stopped.

    Attributes:
        states: the interfaces themselves.
        bytes: on the wire, of the frames yielded.
        lag_us: how long the latest frames had waited when they were read.
    """

    truncated = ""

    def __init__(
        self, names: Sequence[str], tick: Callable[[], object], *, filter: str | None = None
    ) -> None:
        """Open those interfaces that are there.

        Raises:
            CaptureError: one that is up cannot be read, one is named twice, or they are too many.
        """
        if len(set(names)) < len(names) or not 1 <= len(names) <= MAX_INTERFACES:
            raise CaptureError(
                f"the interfaces to read are {', '.join(names) or 'none'}: name 1 to "
                f"{MAX_INTERFACES}, each once"
            )
        self.states = tuple(Interface(name=name) for name in names)
        super().__init__(names, self.states)
        self.bytes = self.lag_us = 0
        self._tick, self._filter = tick, filter
        self._is_stopped = False
        self._looked_s = 0.0
        try:
            self._rings()
        except BaseException:
            self.close()
            raise

    def stop(self) -> None:
        """End ``frames`` after what has come until now; signal handlers may call this."""
        self._is_stopped = True

    def frames(self) -> Iterator[Frames]:
        """Yield frames as they come, and empty chunks in silence, until ``stop``.

        Raises:
            CaptureError: a ring is not as the kernel documents it.
        """
        while not self._is_stopped:
            self._tick()
            came = 0
            rings = self._rings()
            for number, ring in rings:
                frames = self._measured(number, ring.take())
                came += len(frames.records)
                yield frames
                ring.hand_back()
            if not came:
                self.lag_us = 0
            self._wait(rings)  # not at all where more has come meanwhile
            for number, ring in rings:
                if ring.is_stopped:
                    yield from (self._measured(number, frames) for frames in ring.rest())
                    self.states[number].lose()
            if not rings:
                yield _NOTHING
        for number, ring in self._rings():
            yield from (self._measured(number, frames) for frames in ring.rest())

    def _rings(self) -> list[tuple[int, LiveCapture]]:
        """Return the rings that are open, each with the number of its interface."""
        if time.monotonic() - self._looked_s >= CHECK_S:
            self._looked_s = time.monotonic()
            for one in self.states:
                one.look()
        found = ((number, one.opened(self._filter)) for number, one in enumerate(self.states))
        return [(number, ring) for number, ring in found if ring is not None]

    def _measured(self, number: int, frames: Frames) -> Frames:
        records = frames.records
        if len(records):
            self.bytes += int(records["wire"].sum())
            self.lag_us = max(self.now_us() - int(records["time_ns"][0]) // 1000, 0)
        return Frames(data=frames.data, records=records, interface=number)

    def _wait(self, rings: list[tuple[int, LiveCapture]]) -> None:
        """Sleep until there are frames, and notice interfaces that went away."""
        events = select.poll()
        for _, ring in rings:
            events.register(ring, select.POLLIN)
        found = dict(events.poll(self.wait_ms))
        for _, ring in rings:
            if found.get(ring.fileno(), 0) & (select.POLLERR | select.POLLNVAL):
                ring.check()


def is_up(name: str) -> bool | None:
    """Return whether an interface is switched on; None if there is none of that name."""
    request = struct.pack("16sH14x", name.encode()[:15], 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as asking:
        try:
            answer = fcntl.ioctl(asking, _GET_FLAGS, request)
        except OSError:
            return None
    return bool(struct.unpack("16sH14x", answer)[1] & _UP)
