"""Two hosts in network namespaces and the link between them.

    client ══ veth ══ server                        lan
    client ══ veth ══ relay (delay, loss, rate) ══ veth ══ server     wan, lte

The kernels of small machines lack netem, so a relay of our own shapes the longer links.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from idskit.errors import IdskitError
from idskit.files.output import reason

PREFIX = "10.77.0"
SERVER = f"{PREFIX}.10"
CLIENTS = tuple(f"{PREFIX}.{number}" for number in range(100, 113))
SERVERS = tuple(f"{PREFIX}.{number}" for number in range(10, 26))
CLIENT_END, SERVER_END = "lan0", "lan1"
_ETHTOOL = 0x8946  # SIOCETHTOOL, linux/sockios.h
# Checksums and segments as on a wire: linux/ethtool.h, ETHTOOL_SRXCSUM, STXCSUM, STSO, SGSO, SGRO.
_OFFLOADS = (0x15, 0x17, 0x1F, 0x24, 0x2C)
_CLONE_NEWNET = 0x40000000  # linux/sched.h
_TOOLS = {
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "ip": "iproute2",
}


@dataclass(frozen=True, kw_only=True)
class Link:
    """Delay, loss and rate of a link, in each direction."""

    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss: float = 0.0  # share of packets
    mbit: float = 0.0  # 0: as fast as the machine


LINKS = {
    "lan": Link(),
    "wan": Link(delay_ms=12, jitter_ms=2, loss=0.001, mbit=20),
    "lte": Link(delay_ms=45, jitter_ms=15, loss=0.005, mbit=8),
}


@dataclass(frozen=True)
class Host:
    """A network namespace, held open by a process that ends with this one."""

    pid: int

    @property
    def path(self) -> str:
        """Return the namespace's file."""
        return f"/proc/{self.pid}/ns/net"

    def command(self, *words: str | Path) -> list[str]:
        """Return the command line that runs ``words`` in this namespace."""
        return ["nsenter", f"--net={self.path}", *map(str, words)]

    def run(self, *words: str) -> str:
        """Run ``words`` in this namespace to the end; return what they print.

        Raises:
            IdskitError: they failed.
        """
        done = subprocess.run(self.command(*words), capture_output=True, text=True, check=False)
        if done.returncode:
            raise IdskitError(
                f"the lab's network could not be made ({' '.join(words)}: {done.stderr.strip()}): "
                "run it as root, where network namespaces are allowed"
            )
        return done.stdout

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call ``function`` in a thread that is in here; sockets it makes stay here."""

        def inside() -> Any:
            with Path(self.path).open() as file:
                if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns failed")
            return function(*args, **kwargs)

        with ThreadPoolExecutor(1) as pool:
            return pool.submit(inside).result()


@dataclass(frozen=True)
class Network:
    """Two connected hosts."""

    client: Host
    server: Host


@contextmanager
def network(link: str, seed: int) -> Iterator[Network]:
    """Make both hosts and their link while the context lasts.

    Raises:
        IdskitError: namespaces may not be made here, or a tool is missing.
    """
    with ExitStack() as stack:
        client, server = _started(stack), _started(stack)
        if LINKS[link] == Link():
            _wire(client, CLIENT_END, server, SERVER_END)
        else:
            relay = _started(stack)
            _wire(client, CLIENT_END, relay, "near")
            _wire(relay, "far", server, SERVER_END)
            stack.enter_context(_relaying(relay, link, seed))
        first = seed % len(CLIENTS)  # the address from which programs ask
        _address(client, CLIENT_END, (*CLIENTS[first:], *CLIENTS[:first]))
        _address(server, SERVER_END, (f"{PREFIX}.1", *SERVERS))
        yield Network(client, server)


def _started(stack: ExitStack) -> Host:
    """Return a new host whose loopback is up."""
    made = stack.enter_context(host())
    made.run("ip", "link", "set", "lo", "up")
    return made


def ending_with_us(words: list[str]) -> list[str]:
    """Return a command that gets SIGTERM when the thread that starts it ends, or is killed."""
    return ["setpriv", "--pdeathsig", "TERM", *words]


@contextmanager
def host() -> Iterator[Host]:
    """Make a network namespace without a connection while the context lasts.

    Raises:
        IdskitError: namespaces may not be made here, or a tool is missing.
    """
    for tool, package in _TOOLS.items():
        if shutil.which(tool) is None:
            raise IdskitError(f"the lab needs {tool}, which was not found: apt install {package}")
    words = ["unshare", "--net", "sh", "-c", "echo made; exec cat"]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe) as holder:
        try:
            if holder.stdout is None or holder.stdout.readline() != b"made\n":
                raise IdskitError(
                    "the lab needs network namespaces, and this process may not make them: run it "
                    "as root"
                )
            made = Host(holder.pid)
            try:
                yield made
            finally:
                _end_members(made)
        finally:
            holder.kill()


def _end_members(host: Host) -> None:
    """End what still runs in a namespace, such as the sessions of servers."""
    inside = Path(host.path).stat().st_ino
    for process in Path("/proc").glob("[0-9]*"):
        pid = int(process.name)
        with suppress(OSError):
            if pid != host.pid and (process / "ns" / "net").stat().st_ino == inside:
                os.kill(pid, signal.SIGKILL)


def _wire(near: Host, near_end: str, far: Host, far_end: str) -> None:
    peer = ("peer", "name", far_end, "netns", str(far.pid))
    near.run("ip", "link", "add", near_end, "type", "veth", *peer)
    for side, end in ((near, near_end), (far, far_end)):
        quiet = "echo 0 > /proc/sys/net/ipv6/conf/$0/accept_dad; ip link set $0 up"
        side.run("sh", "-c", quiet, end)
        side.call(switch_offloads_off, end)


def _address(at: Host, end: str, addresses: tuple[str, ...]) -> None:
    last = addresses[0].rpartition(".")[2]
    asked = [f"address add {address}/24 dev {end}" for address in addresses]
    asked.append(f"address add fd77::{last}/64 dev {end} nodad")
    at.run("sh", "-c", 'printf "%s\\n" "$@" | ip -batch -', "sh", *asked)


@contextmanager
def _relaying(relay: Host, link: str, seed: int) -> Iterator[None]:
    words = relay.command(sys.executable, "-m", "idskit.lab.relay", "near", "far", link, str(seed))
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        try:
            if process.stdout is None or process.stdout.readline() != b"ready\n":
                raise IdskitError(f"the relay of link {link} did not start: see above")
            yield
        finally:
            process.terminate()


def switch_offloads_off(interface: str) -> None:
    """Make an interface send frames as on a wire: whole checksums, no super-packets."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for offload in _OFFLOADS:
            setting = ctypes.create_string_buffer(struct.pack("II", offload, 0))
            name = interface.encode()
            request = struct.pack("16sP", name, ctypes.addressof(setting))
            try:
                fcntl.ioctl(control, _ETHTOOL, request)
            except OSError as error:
                raise IdskitError(
                    f"offloads of {interface} cannot be switched off: {reason(error)}"
                ) from error
