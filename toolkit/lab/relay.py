"""Carry frames between two interfaces as a longer link would: late, in order, some of them lost."""

from __future__ import annotations

import os
import random
import select
import signal
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass, field

from idskit.lab.namespaces import LINKS, Link

_BACKLOG_S = 0.25  # frames that would wait longer are dropped, as in a router's queue
_SOL_PACKET, _IGNORE_OUTGOING = 263, 23  # linux/if_packet.h
_EVERY_PROTOCOL = 3
_HASTE = -15  # a busy machine would add delays of its own


@dataclass
class Way:
    """One direction of the link."""

    source: socket.socket
    target: socket.socket
    link: Link
    numbers: random.Random
    free_at: float = 0.0  # when the last frame has been sent
    last_due: float = 0.0
    waiting: deque[tuple[float, bytes]] = field(default_factory=deque)

    def take(self, now: float) -> None:
        """Read what has come and note when it is due at the other end."""
        frame = self.source.recv(1 << 16)
        start = max(now, self.free_at)
        if start - now > _BACKLOG_S or self.numbers.random() < self.link.loss:
            return
        self.free_at = start + len(frame) * 8 / (self.link.mbit * 1e6)
        late = self.link.delay_ms + self.numbers.uniform(0, self.link.jitter_ms)
        self.last_due = max(self.free_at + late / 1e3, self.last_due)
        self.waiting.append((self.last_due, frame))

    def deliver(self, now: float) -> None:
        """Send what is due."""
        while self.waiting and self.waiting[0][0] <= now:
            self.target.send(self.waiting.popleft()[1])

    def due(self) -> float:
        """Return when the next frame is due; infinity where none waits."""
        return self.waiting[0][0] if self.waiting else float("inf")


def relay(near: str, far: str, link: str, seed: int) -> None:
    """Carry frames both ways until SIGTERM."""
    os.nice(_HASTE)
    ends = [_open(interface) for interface in (near, far)]
    ways = [
        Way(ends[i], ends[1 - i], LINKS[link], random.Random(2 * seed + i))  # noqa: S311 - no secret
        for i in (0, 1)
    ]
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        wait = max(min(way.due() for way in ways) - time.monotonic(), 0)
        ready, _, _ = select.select(ends, [], [], min(wait, 1))
        now = time.monotonic()
        for way in ways:
            if way.source in ready:
                way.take(now)
            way.deliver(now)


def _open(interface: str) -> socket.socket:
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    end.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
    end.bind((interface, _EVERY_PROTOCOL))
    return end


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    relay(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
