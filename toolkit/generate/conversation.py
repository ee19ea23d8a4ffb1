"""Scripts of packets between two hosts, written once and played by many flows.

A script says what a flow sends, relative to itself: who, how long after the packet before, which
flags, how many bytes. Addresses, ports, initial sequence numbers and delays come from the flow
that plays it.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import numpy as np

from idskit.packet import ACK, FIN, PSH, RST, SYN, TCP

CLIENT, SERVER = 0, 1

# Sets of TCP options, RFC 9293, 3.2, RFC 7323, RFC 2018; the sizes are those of OPTION_BYTES.
NO_OPTIONS, MSS_ONLY, TIMESTAMPS, LINUX_SYN, WINDOWS_SYN, BSD_SYN = range(6)
OPTION_BYTES = (0, 4, 12, 20, 12, 24)

STEP = np.dtype(
    [
        ("wait_us", "<i8"),  # after the step before, in addition to a packet's delay
        ("prefix_at", "<i8"),  # what the payload begins with, in the scripts' common blob
        ("prefix_bytes", "<u4"),
        ("payload_bytes", "<u4"),  # the rest is noise
        ("sequence", "<u4"),  # relative to the side's initial number
        ("acknowledgement", "<u4"),  # relative to the other side's
        ("number", "<u4"),  # packets that this side sent before
        ("window", "<u2"),
        ("side", "u1"),
        ("ttl", "u1"),  # as sent
        ("turn", "u1"),  # 1: the sender had to hear the other side first
        ("flags", "u1"),
        ("options", "u1"),
    ],
    align=True,
)


@dataclass(frozen=True, kw_only=True)
class Stack:
    """The habits of a TCP/IP implementation."""

    ttl: int = 64
    syn_options: int = LINUX_SYN
    timestamps: bool = True
    mss: int = 1460  # bytes
    syn_window: int = 64240
    window: tuple[int, int] = (229, 1500)  # later ones, as sent (scaled)


LINUX = Stack()
OLD_LINUX = Stack(syn_window=29200, window=(229, 700))
EMBEDDED = Stack(syn_options=MSS_ONLY, timestamps=False, syn_window=5840, window=(4380, 5840))
TINY = Stack(
    ttl=255, syn_options=MSS_ONLY, timestamps=False, mss=536, syn_window=2144, window=(1072, 2144)
)
WINDOWS = Stack(
    ttl=128, syn_options=WINDOWS_SYN, timestamps=False, syn_window=64240, window=(253, 1026)
)
PHONE = Stack(syn_options=BSD_SYN, syn_window=65535, window=(2048, 4117))
CLOUD = Stack(syn_window=28960, window=(114, 300))
BALANCER = Stack(
    ttl=255, syn_options=MSS_ONLY, timestamps=False, syn_window=8190, window=(8190, 33000)
)

DEVICES = (LINUX, OLD_LINUX, EMBEDDED, TINY, PHONE, WINDOWS)
SERVERS = (LINUX, OLD_LINUX, CLOUD, CLOUD, BALANCER)


class Script:
    """A script: what one flow sends.

    Attributes:
        protocol: IP protocol number.
        ttl: as each side sends it.
        steps: rows of STEP; ``prefix_at`` is not known yet.
        prefixes: what each payload begins with; noise follows.
    """

    def __init__(self, protocol: int, ttl: tuple[int, int] = (64, 64)) -> None:
        self.protocol, self.ttl = protocol, ttl
        self.steps: list[tuple[int, ...]] = []
        self.prefixes: list[bytes] = []
        self._sent = [0, 0]

    def add(  # noqa: PLR0913
        self,
        side: int,
        payload: bytes = b"",
        *,
        size: int | None = None,
        wait_us: float = 0,
        turn: bool = True,
        flags: int = 0,
        options: int = 0,
        window: int = 0,
        numbers: tuple[int, int] = (0, 0),
    ) -> None:
        """Append a packet of ``size`` bytes of payload, of which ``payload`` are the first."""
        lengths = (len(payload), len(payload) if size is None else size)
        habits = (window, side, self.ttl[side], int(turn), flags, options)
        self.steps.append((int(wait_us), 0, *lengths, *numbers, self._sent[side], *habits))
        self.prefixes.append(payload)
        self._sent[side] += 1


class Tcp:
    """A TCP connection being written: sequence numbers, windows and acknowledgements follow."""

    def __init__(self, rng: Random, client: Stack, server: Stack, mss: int = 1460) -> None:
        self.script = Script(TCP, (client.ttl, server.ttl))
        self._rng = rng
        self._stacks = (client, server)
        self._stamped = client.timestamps and server.timestamps
        self._next = [0, 0]  # sequence number that each side sends next
        self._heard = [0, 0]  # next sequence number that each side expects
        self._window = [rng.randint(*stack.window) for stack in self._stacks]
        self._last = SERVER
        mss = min(client.mss, server.mss, mss)
        self.mss = mss - 12 if self._stamped else mss

    def open(self) -> None:
        """Write the three-way handshake."""
        self.syn()
        self.syn_ack()
        self._packet(CLIENT, ACK)

    def syn(self, wait_us: float = 0) -> None:
        """Write the first packet, or repeat it after ``wait_us`` without an answer."""
        client = self._stacks[CLIENT]
        self._next[CLIENT] = 0
        self._handshake(CLIENT, SYN, client.syn_options, wait_us)

    def syn_ack(self, wait_us: float = 0) -> None:
        """Answer of a listening port, or the same again after ``wait_us``."""
        offered, server = self._stacks[CLIENT].syn_options, self._stacks[SERVER].syn_options
        common = LINUX_SYN if self._stamped else min(offered, server, key=OPTION_BYTES.__getitem__)
        self._next[SERVER] = 0
        self._handshake(SERVER, SYN | ACK, common, wait_us)

    def send(self, side: int, payload: bytes, size: int = 0, wait_us: float = 0) -> None:
        """Write a message of ``size`` bytes that begins with ``payload``, in segments."""
        size = max(size, len(payload))
        for at in range(0, size, self.mss):
            part = min(self.mss, size - at)
            push = PSH if at + part == size else 0
            wait = wait_us if at == 0 else self._rng.expovariate(1 / 150)
            self._packet(side, ACK | push, payload[at : at + part], part, wait)
            if at // self.mss % 2:
                self._packet(1 - side, ACK)  # every second segment, RFC 9293, 3.8.6.3
        if size <= self.mss and self._rng.random() < 0.6:  # else the answer carries it
            self._packet(1 - side, ACK, wait_us=self._rng.choice((0, 40_000)))

    def close(self, side: int, wait_us: float = 0) -> None:
        """Write the end of both sides, ``side`` first."""
        self._packet(side, FIN | ACK, wait_us=wait_us)
        if self._rng.random() < 0.4:
            self._packet(1 - side, ACK)
        self._packet(1 - side, FIN | ACK, wait_us=self._rng.expovariate(1 / 500))
        self._packet(side, ACK)

    def refuse(self) -> None:
        """Answer of a closed port to a SYN, RFC 9293, 3.10.7.1."""
        self._packet(SERVER, RST | ACK, window=0)

    def abort(self, side: int, wait_us: float = 0) -> None:
        """``side`` breaks off without a goodbye."""
        self._packet(side, RST, wait_us=wait_us, window=0)

    def _handshake(self, side: int, flags: int, options: int, wait_us: float) -> None:
        window = self._stacks[side].syn_window
        self._packet(side, flags, wait_us=wait_us, window=window, options=options)

    def _packet(
        self,
        side: int,
        flags: int,
        payload: bytes = b"",
        size: int = 0,
        wait_us: float = 0,
        window: int | None = None,
        options: int | None = None,
    ) -> None:
        if flags & ACK:
            self._heard[side] = self._next[1 - side]
        plain = TIMESTAMPS if self._stamped and not flags & RST else NO_OPTIONS
        self.script.add(
            side,
            payload,
            size=size,
            wait_us=wait_us,
            turn=side != self._last,
            flags=flags,
            options=plain if options is None else options,
            window=self._drifting_window(side) if window is None else window,
            numbers=(self._next[side], self._heard[side]),
        )
        self._next[side] += size + (1 if flags & (SYN | FIN) else 0)
        self._last = side

    def _drifting_window(self, side: int) -> int:
        low, high = self._stacks[side].window
        step = (high - low) // 40
        self._window[side] = min(
            max(self._window[side] + self._rng.randint(-step, step), low), high
        )
        return self._window[side]
