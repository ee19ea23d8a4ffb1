"""What the service says to systemd: ready, alive, still compiling, reloading, ending.

One datagram a message to the socket named in NOTIFY_SOCKET (sd_notify(3)). Where there is none,
nothing is sent.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

EXTEND_S, EXTEND_EVERY_S = 60, 15.0


class Notifier:
    """The service's side of systemd's notification socket.

    Attributes:
        watchdog_s: how often ``alive`` must be called at least; None where nobody watches.
    """

    def __init__(self) -> None:
        address = os.environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)  # a full socket must not stop the packets
        self.watchdog_s = _watchdog_s()
        self._alive_s = 0.0

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def send(self, *lines: str) -> None:
        """Send a message; what cannot be sent is lost."""
        if self._address:
            with suppress(OSError):
                self._socket.sendto("\n".join(lines).encode(), self._address)

    def ready(self, status: str) -> None:
        """Say that packets are read from now on."""
        self.send("READY=1", f"STATUS={status}")

    def status(self, status: str) -> None:
        """Say in one line what the service does, for ``systemctl status``."""
        self.send(f"STATUS={status}")

    def alive(self) -> None:
        """Feed the watchdog, a few times in its interval; only the loop of packets calls this."""
        now = time.monotonic()
        if self.watchdog_s is not None and now - self._alive_s >= self.watchdog_s / 4:
            self._alive_s = now
            self.send("WATCHDOG=1")

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Say when a reload begins and when it ends."""
        now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self.send("RELOADING=1", f"MONOTONIC_USEC={now_us}")
        try:
            yield
        finally:
            self.send("READY=1")

    def stopping(self) -> None:
        """Say that the service ends."""
        self.send("STOPPING=1", "STATUS=Judging the flows that are open")

    @contextmanager
    def extending(self, status: str) -> Iterator[None]:
        """Ask for more time to start while kernels are compiled, which takes minutes on a Pi."""
        done = threading.Event()

        def extend() -> None:
            while not done.is_set():
                self.send(f"EXTEND_TIMEOUT_USEC={EXTEND_S * 1_000_000}", f"STATUS={status}")
                done.wait(EXTEND_EVERY_S)

        thread = threading.Thread(target=extend, name="extend start", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def _watchdog_s() -> float | None:
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    text = os.environ.get("WATCHDOG_USEC", "")
    return int(text) / 1e6 if text.isdigit() and int(text) > 0 else None
