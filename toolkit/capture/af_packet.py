"""Read a network interface: frames in the AF_PACKET ring of the kernel, where they lie.

    interface ──> TPACKET_V3 ring ──> block headers walked by a kernel ──> Frames into the ring

The ring (Linux, Documentation/networking/packet_mmap.rst) is memory shared with the kernel, in
blocks that change hands: the kernel fills one and hands it over when it is full or RETIRE_MS old;
it is handed back when the reader asks for the next frames. Nothing is copied.

A frame is what the kernel saw. Where segments were merged (GRO, LRO) or are not cut yet (TSO), it
is larger than the frames on the wire; ``states_segments`` says when the ring states their size. A
VLAN tag that the kernel took out of a frame is put back in its place, as capture tools do, so a
frame here has the same bytes as in a file.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import re
import select
import socket
import struct
import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from idskit.capture.capture_file import CHUNK_FRAMES, WAIT_MS
from idskit.capture.packet_filter import REJECT, assemble, attach
from idskit.capture.packet_ring import BLOCK_BYTES, TAG_BYTES, Ring, release, ring_over, walk
from idskit.errors import CaptureError
from idskit.packet import FRAME, Frames

RING_MB = 32
RETIRE_MS = 25  # a block that is not full changes hands after this

# linux/if_packet.h, linux/if_ether.h, asm-generic/socket.h
_SOL_PACKET = 263
_ADD_MEMBERSHIP, _RX_RING, _STATISTICS, _VERSION, _RESERVE, _IGNORE_OUTGOING = 1, 5, 6, 10, 12, 23
_SEGMENT_HEADER = 15  # PACKET_VNET_HDR
_TPACKET_V3 = 2
_PROMISCUOUS = 1
_EVERY_PROTOCOL = 3

# Hardware types (linux/if_arp.h) whose frames are of a link type known here (tcpdump.org).
_LOOPBACK = 772
_LINK_TYPES = {
    1: 1,  # Ethernet
    _LOOPBACK: 1,  # with an Ethernet header of zeros
    519: 101,  # raw IP: mobile modems
    768: 101,  # IPv4 in IPv4
    769: 101,  # IP in IPv6
    776: 101,  # IPv6 in IPv4
    801: 105,  # 802.11
    803: 127,  # 802.11 with radiotap
    0xFFFE: 101,  # no link header: tun, WireGuard
}


def open_interface(
    interface: str, *, ring_mb: int = RING_MB, filter: str | None = None
) -> LiveCapture:
    """Open a network interface in promiscuous mode; only frames from now on are read.

    Args:
        interface: its name, such as ``eth0``.
        ring_mb: kernel memory that holds frames until they are read.
        filter: which frames to read, as tcpdump takes it; see ``packet_filter.assemble``. The
            kernel applies it, to frames without their outermost VLAN tag.

    Raises:
        CaptureError: there is no such interface, it is down or of a kind not decoded, this process
            may not read it, or the filter cannot be used.
    """
    _require_interface(interface)
    ring_socket = _packet_socket(interface)
    try:
        blocks = max(ring_mb << 20, BLOCK_BYTES) // BLOCK_BYTES
        return LiveCapture(interface, ring_socket, blocks, filter)
    except OSError as error:
        ring_socket.close()
        raise CaptureError(
            f"interface {interface} cannot be read: {error.strerror or error}; it takes Linux 4.20 "
            f"or newer and {ring_mb} MB of kernel memory"
        ) from error
    except BaseException:
        ring_socket.close()
        raise


def interface_names() -> list[str]:
    """Return the names of the network interfaces of this machine (or network namespace)."""
    return sorted(name for _, name in socket.if_nameindex())


class LiveCapture:
    """An open interface.

    Attributes:
        interfaces: its name.
        seen: frames yielded so far.
        dropped: frames that the kernel dropped, because the ring was full.
        truncated: why frames ended although nobody stopped them, or empty.
        is_stopped: ``stop`` was called, or the interface disappeared.
        wait_ms: how long ``frames`` sleeps while nothing comes.
        bytes_total: 0, an interface has no size.
        bytes_read: 0.
    """

    bytes_total = bytes_read = 0
    is_live = True
    not_read = ""

    def __init__(
        self, interface: str, ring_socket: socket.socket, blocks: int, filter: str | None
    ) -> None:
        self.interfaces: tuple[str, ...] = (interface,)
        self.seen = self.dropped = 0
        self.truncated = ""
        self.wait_ms = WAIT_MS
        self.is_stopped = False
        self._records = np.zeros(CHUNK_FRAMES, FRAME)
        self._socket = ring_socket
        self._ring = _map_ring(ring_socket, blocks, states_segments(interface))
        self._first = self._held = 0  # block to read next; how many are read, not yet handed back
        self._link_type = _bind(ring_socket, interface, filter)
        self._events = select.poll()
        self._events.register(ring_socket, select.POLLIN)

    @property
    def name(self) -> str:
        """Return what is read, for people."""
        return self.interfaces[0]

    def fileno(self) -> int:
        """Return the descriptor that is readable when there are frames."""
        return self._socket.fileno()

    def close(self) -> None:
        """Stop capturing; frames yielded before are gone."""
        self.is_stopped = True
        self._socket.close()
        self._ring = ring_over(np.zeros(0, np.uint8))  # unmapped with the last reference

    def stop(self) -> None:
        """End ``frames`` after what has come until now; signal handlers may call this."""
        self.is_stopped = True

    def frames(self) -> Iterator[Frames]:
        """Yield frames as they come, and an empty chunk after each ``wait_ms`` of silence.

        Ends after ``stop``, or when the interface disappears: ``truncated`` then says so. A frame's
        bytes are gone when the next frames are asked for.

        Raises:
            CaptureError: the ring is not as the kernel documents it.
        """
        while not self.is_stopped:
            frames = self.take()
            yield frames
            self.hand_back()
            if not len(frames.records):
                self._wait()
        yield from self.rest()

    def take(self) -> Frames:
        """Return the frames that are here, maybe none; they stay until ``hand_back``.

        Raises:
            CaptureError: the ring is not as the kernel documents it.
        """
        count = self._walk(self._records)
        return Frames(data=self._ring.octets, records=self._records[:count])

    def hand_back(self) -> None:
        """Hand the memory of the frames taken back to the kernel."""
        release(self._ring, self._first, self._held)
        self._first = (self._first + self._held) % self._ring.blocks
        self._held = 0

    def rest(self) -> Iterator[Frames]:
        """Refuse further frames, and yield those that came."""
        self._refuse()
        frames = self.take()
        while self._held:  # held blocks may be without frames
            yield frames
            self.hand_back()
            frames = self.take()

    def now_us(self) -> int:
        """Return the time by the frames' clock, in microseconds since the epoch."""
        return time.time_ns() // 1000

    def _walk(self, records: NDArray[np.void]) -> int:
        """Fill ``records`` from the blocks that are here, a quarter of the ring at most."""
        self._count_drops()
        limit = max(self._ring.blocks // 4, 1)
        count, held, is_sound = walk(self._ring, self._first, limit, self._link_type, records)
        if not is_sound:
            raise CaptureError(f"the ring of {self.name} is damaged: report it, with `uname -a`")
        self._held = held
        self.seen += count
        return count

    def _count_drops(self) -> None:
        """Add the frames dropped since the last call; reading the counters resets them."""
        counters = self._socket.getsockopt(_SOL_PACKET, _STATISTICS, 12)
        self.dropped += struct.unpack("3I", counters)[1]

    def _wait(self) -> None:
        for _, event in self._events.poll(self.wait_ms):
            if event & select.POLLERR:
                self.check()

    def check(self) -> None:
        """Stop where the interface went away; one that only went down may come up again."""
        self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)  # reading it clears it
        if not self._socket.getsockname()[0]:
            self.truncated = f"interface {self.name} disappeared"
            self.is_stopped = True

    def _refuse(self) -> None:
        """Refuse further frames, and wait until the last block has changed hands."""
        attach(self._socket, REJECT)
        time.sleep(3 * RETIRE_MS / 1000)


# Opening.


def _require_interface(interface: str) -> None:
    names = interface_names()
    if interface not in names:
        raise CaptureError(
            f"there is no network interface {interface}: choose one of {', '.join(names)}"
        )


def _packet_socket(interface: str) -> socket.socket:
    """Return a socket that receives nothing until it is bound."""
    try:
        return socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    except PermissionError:
        raise CaptureError(
            f"interface {interface} cannot be read without CAP_NET_RAW: run as root, grant it with "
            "setcap cap_net_raw+ep to the file that python3 is a link to, or give a systemd "
            "service AmbientCapabilities=CAP_NET_RAW"
        ) from None


def states_segments(interface: str) -> bool:
    """Return whether the ring can state the size of merged segments, and lose no frame by it.

    PACKET_VNET_HDR has the kernel put it in front of each frame (``gso_size``), but the kernel
    drops what that header cannot describe, and counts it as dropped: before Linux 6.2 merged UDP,
    and always TCP that the network card merged (LRO, which Linux switches off on an interface that
    forwards). So neither is asked for it. What else it drops is rare: SCTP that a program on this
    machine sends, and UDP that a virtual machine leaves to the host to be fragmented.
    """
    version = re.match(r"(\d+)\.(\d+)", os.uname().release)
    is_new = version is not None and tuple(map(int, version.groups())) >= _DESCRIBES_UDP
    return is_new and not _merges_in_card(interface)


_DESCRIBES_UDP = (6, 2)  # version of Linux
_ETHTOOL, _GET_FLAGS, _LRO_FLAG = 0x8946, 0x25, 1 << 15  # linux/sockios.h, linux/ethtool.h


def _merges_in_card(interface: str) -> bool:
    """Return whether LRO is on; an interface without such a setting has no card."""
    setting = ctypes.create_string_buffer(struct.pack("II", _GET_FLAGS, 0))
    request = struct.pack("16sP", interface.encode(), ctypes.addressof(setting))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        try:
            fcntl.ioctl(control, _ETHTOOL, request)
        except OSError:
            return False
    return bool(struct.unpack("II", setting.raw[:8])[1] & _LRO_FLAG)


def _map_ring(ring_socket: socket.socket, blocks: int, has_sizes: bool) -> Ring:
    size = blocks * BLOCK_BYTES
    frame_bytes = 2048  # ignored by TPACKET_V3, but the numbers must agree
    request = (BLOCK_BYTES, blocks, frame_bytes, size // frame_bytes, RETIRE_MS, 0, 0)
    ring_socket.setsockopt(_SOL_PACKET, _VERSION, _TPACKET_V3)
    ring_socket.setsockopt(_SOL_PACKET, _RESERVE, TAG_BYTES)
    ring_socket.setsockopt(_SOL_PACKET, _SEGMENT_HEADER, int(has_sizes))
    ring_socket.setsockopt(_SOL_PACKET, _RX_RING, struct.pack("7I", *request))
    shared = mmap.mmap(ring_socket.fileno(), size, mmap.MAP_SHARED)
    return ring_over(np.frombuffer(shared, np.uint8), has_sizes=has_sizes)


def _bind(ring_socket: socket.socket, interface: str, filter: str | None) -> int:
    """Begin to capture; return the link type of the frames to come."""
    ring_socket.bind(
        (interface, 0)
    )  # without a protocol: nothing comes before the filter is attached
    hardware = ring_socket.getsockname()[3]
    if hardware not in _LINK_TYPES:
        raise CaptureError(
            f"interface {interface} is of hardware type {hardware} (linux/if_arp.h), which is not "
            "decoded: Ethernet, loopback, tunnels, raw IP and Wi-Fi are"
        )
    if filter is not None:
        attach(ring_socket, assemble(filter, _LINK_TYPES[hardware]))
    ring_socket.bind((interface, _EVERY_PROTOCOL))
    if ring_socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        raise CaptureError(f"interface {interface} is down: ip link set {interface} up")
    if hardware == _LOOPBACK:  # where every packet is seen twice: going out and coming in
        ring_socket.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
    member = struct.pack("iHH8x", socket.if_nametoindex(interface), _PROMISCUOUS, 0)
    ring_socket.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, member)
    return _LINK_TYPES[hardware]
