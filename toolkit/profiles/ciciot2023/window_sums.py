"""The window of packets that is being filled, and what both published versions add up in it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from idskit.flows.flow_records import Table
from idskit.kernels.compile import kernel
from idskit.packet import ACK, CWR, ECE, FIN, ICMP, PSH, RST, SYN, TCP, UDP
from idskit.profiles.ciciot2023.dpkt_frames import ARP, IPV4

_Record = np.void
_Records = NDArray[np.void]
_Row = NDArray[np.float64]

# A TCP or UDP flow: what ``idskit.flows.flow_table`` needs to keep it, and what the scripts sum up.
CONVERSATION = np.dtype(
    [
        ("a_high", "<u8"),
        ("a_low", "<u8"),
        ("b_high", "<u8"),
        ("b_low", "<u8"),
        ("next", "<i4"),
        ("previous", "<i4"),
        ("list", "<i4"),
        ("tag", "<u4"),
        ("a_port", "<u2"),
        ("b_port", "<u2"),
        ("protocol", "u1"),
        ("interface", "u1"),
        ("first_s", "<f8"),
        ("last_s", "<f8"),
        ("bytes", "<i8"),
        ("packets", "<i4"),
        ("fin", "<i4"),
        ("syn", "<i4"),
        ("rst", "<i4"),
        ("psh", "<i4"),
        ("ack", "<i4"),
    ],
    align=True,
)
BYTES_EACH = CONVERSATION.itemsize + 4 * 8  # with its share of the index

# What the scripts carry from packet to packet, and the window that is being filled.
PROGRESS = np.dtype(
    [
        ("window", "<i8"),  # packets in a full window
        ("piece_bytes", "<i8"),
        ("is_later", "<i8"),
        ("piece", "<i8"),  # bytes in the piece so far
        ("packets", "<i8"),  # IPv4 and ARP packets in it
        ("previous_s", "<f8"),  # time of the packet before; 0 where the scripts say so
        ("rate", "<f8"),
        ("backward_rate", "<f8"),
        ("sizes", "<i8"),  # length of the list of sizes
        ("sizes_sum", "<i8"),
        ("sizes_squares", "<i8"),
        ("sizes_min", "<i8"),
        ("sizes_max", "<i8"),
        ("first_s", "<f8"),  # of the window
        ("last_s", "<f8"),
    ],
    align=True,
)


class Windows(NamedTuple):
    """Arrays of a profile of packet windows."""

    table: Table  # its only flow is the window that is being filled
    conversations: Table
    progress: _Records  # (1,) PROGRESS
    sums: _Row  # (columns,) over the window, of the columns that are means
    protocols: NDArray[np.int64]  # (256,) packets of the window by IP protocol


@kernel
def seconds(time_us: int) -> float:
    """Return seconds as dpkt computes them: today's times in floating point have 0.24 us steps."""
    whole = time_us // 1_000_000
    return float(whole) + float(time_us - whole * 1_000_000) / 1e6


@kernel
def clear_sizes(progress: _Record) -> None:
    """Empty the list of sizes."""
    progress["sizes"] = progress["sizes_sum"] = progress["sizes_squares"] = 0


@kernel
def add_size(progress: _Record, size: int) -> None:
    """Append to the list of sizes."""
    if progress["sizes"] == 0:
        clear_sizes(progress)
        progress["sizes_min"] = progress["sizes_max"] = size
    progress["sizes"] += 1
    progress["sizes_sum"] += size
    progress["sizes_squares"] += size * size
    progress["sizes_min"] = min(progress["sizes_min"], size)
    progress["sizes_max"] = max(progress["sizes_max"], size)


@kernel
def squared_deviations(progress: _Record) -> float:
    """Return the sum of squared deviations of the sizes: of integers, so 0 is exactly 0."""
    count, total = int(progress["sizes"]), int(progress["sizes_sum"])
    return float(count * int(progress["sizes_squares"]) - total * total) / count


@kernel
def is_tcp(packet: _Record) -> bool:
    """Return whether the packet has a whole TCP header."""
    return bool(packet["protocol"] == TCP and packet["header_bytes"])


@kernel
def is_udp(packet: _Record) -> bool:
    """Return whether the packet has a whole UDP header."""
    return bool(packet["protocol"] == UDP and packet["header_bytes"])


@kernel
def _has_port(packet: _Record, port: int) -> bool:
    return bool(packet["src_port"] == port or packet["dst_port"] == port)


@kernel
def add_flags(sums: _Row, at: int, flags: int) -> None:
    """Count TCP flags in the 7 columns from ``at`` on, in the schema's order."""
    sums[at] += flags & FIN != 0
    sums[at + 1] += flags & SYN != 0
    sums[at + 2] += flags & RST != 0
    sums[at + 3] += flags & PSH != 0
    sums[at + 4] += flags & ACK != 0
    sums[at + 5] += flags & ECE != 0
    sums[at + 6] += flags & CWR != 0


@kernel
def add_services(sums: _Row, at: int, packet: _Record) -> None:
    """Add the packet to the 12 columns from ``at`` on: HTTP to ICMP, in the schema's order."""
    has_tcp, has_udp, has_ip = is_tcp(packet), is_udp(packet), packet["ip_version"] == IPV4
    sums[at] += has_tcp and _has_port(packet, 80)
    sums[at + 1] += has_tcp and _has_port(packet, 443)
    sums[at + 2] += has_udp and _has_port(packet, 53)
    sums[at + 3] += has_tcp and _has_port(packet, 23)
    sums[at + 4] += has_tcp and _has_port(packet, 25)
    sums[at + 5] += has_tcp and _has_port(packet, 22)
    sums[at + 6] += has_tcp and _has_port(packet, 21)  # what the scripts take for IRC
    sums[at + 7] += has_tcp
    sums[at + 8] += has_udp
    sums[at + 9] += has_udp and (packet["src_port"] == 67 or packet["dst_port"] == 68)
    sums[at + 10] += packet["ip_version"] == ARP
    sums[at + 11] += has_ip and packet["protocol"] == ICMP
