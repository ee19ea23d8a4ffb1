"""Two network namespaces with a wire between them, which exist while a test runs.

Nothing sent here can leave them: their only interfaces are a veth pair and their own loopbacks.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from idskit.errors import IdskitError
from idskit.lab.namespaces import Host, host


@dataclass(frozen=True)
class Wire:
    """``veth0`` in ``near`` is one end, ``veth1`` in ``far`` the other."""

    near: Host
    far: Host

    def send(self, frames: list[bytes], interface: str = "veth1") -> None:
        """Send frames from the far end, as they are."""
        self.far.call(_send, frames, interface)


def _send(frames: list[bytes], interface: str) -> None:
    """Send frames, and return when the other end has got them all."""
    processor = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {processor})  # of this thread: keeps their order
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as out:
        out.bind((interface, 0))
        for number, frame in enumerate(frames):
            out.send(frame)
            if number % 100 == 99:  # less than the kernel's backlog of 1000 at once
                await_delivery(processor)
    await_delivery(processor)


def await_delivery(processor: int) -> None:
    """Wait until the kernel has handed on all frames that were sent on this processor.

    A busy machine leaves that to a thread of its own (ksoftirqd). In /proc/net/softnet_stat the
    twelfth number of a processor's line, since Linux 5.10, is how many frames wait, and the
    thirteenth is the processor's own; older kernels get a moment.
    """
    end = time.monotonic() + 60
    while True:
        lines = [line.split() for line in Path("/proc/net/softnet_stat").read_text().splitlines()]
        if len(lines[0]) < 13:
            time.sleep(0.01)
            return
        if not any(int(line[11], 16) for line in lines if int(line[12], 16) == processor):
            return
        assert time.monotonic() < end, "the kernel does not hand frames on"
        time.sleep(0.001)


@contextmanager
def wire() -> Iterator[Wire]:
    """Make both namespaces and the wire, or skip where that is not permitted."""
    with ExitStack() as stack:
        try:
            near, far = (stack.enter_context(host()) for _ in range(2))
            _connect(near, far)
        except (OSError, IdskitError) as error:
            pytest.skip(f"needs network namespaces and veth pairs: {error}")
        yield Wire(near, far)


def _connect(near: Host, far: Host) -> None:
    for end in (near, far):  # so that the kernels have nothing of their own to say
        end.call(Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text, "1")
    peer = ("peer", "name", "veth1", "mtu", "9000", "netns", str(far.pid))
    near.run("ip", "link", "add", "veth0", "mtu", "9000", "type", "veth", *peer)
    near.run("ip", "link", "set", "veth0", "arp", "off", "up")
    far.run("ip", "link", "set", "veth1", "arp", "off", "up")
