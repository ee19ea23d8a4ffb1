"""What the scripts of CICIoT2023 ask of one packet, and the sums that they keep of sizes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from idskit.kernels.compile import kernel
from idskit.packet import ACK, CWR, ECE, FIN, ICMP, PSH, RST, SYN, TCP, UDP
from idskit.profiles.ciciot2023.dpkt_frames import ARP, IPV4

_Record = np.void
_Records = NDArray[np.void]
_Row = NDArray[np.float64]
BUFFER = 20  # packets after which the scripts empty their list of sizes


@kernel
def seconds(time_us: int) -> float:
    """As dpkt computes it: seconds in floating point have steps of 0.24 us in these years."""
    whole = time_us // 1_000_000
    return float(whole) + float(time_us - whole * 1_000_000) / 1e6


@kernel
def forget_sizes(progress: _Record) -> None:
    """Empty the list of sizes."""
    progress["sizes"] = progress["sizes_sum"] = progress["sizes_squares"] = 0


@kernel
def add_size(progress: _Record, size: int) -> None:
    """Add a size to the running sums."""
    if progress["sizes"] == 0:
        forget_sizes(progress)
        progress["sizes_min"] = progress["sizes_max"] = size
    progress["sizes"] += 1
    progress["sizes_sum"] += size
    progress["sizes_squares"] += size * size
    progress["sizes_min"] = min(progress["sizes_min"], size)
    progress["sizes_max"] = max(progress["sizes_max"], size)


@kernel
def spread(progress: _Record) -> float:
    """Sum of squared deviations of the sizes: a difference of integers, so 0 is exactly 0."""
    count, total = int(progress["sizes"]), int(progress["sizes_sum"])
    return float(count * int(progress["sizes_squares"]) - total * total) / count


@kernel
def is_tcp_packet(packet: _Record) -> bool:
    """Return whether the scripts see a TCP header."""
    return bool(packet["protocol"] == TCP and packet["header_bytes"])


@kernel
def is_udp_packet(packet: _Record) -> bool:
    """Return whether the scripts see a UDP header."""
    return bool(packet["protocol"] == UDP and packet["header_bytes"])


@kernel
def has_port(packet: _Record, port: int) -> bool:
    """Return whether either port is that one."""
    return bool(packet["src_port"] == port or packet["dst_port"] == port)


@kernel
def add_flags(sums: _Row, at: int, flags: int) -> None:
    """Count the flags that are set."""
    sums[at] += flags & FIN != 0
    sums[at + 1] += flags & SYN != 0
    sums[at + 2] += flags & RST != 0
    sums[at + 3] += flags & PSH != 0
    sums[at + 4] += flags & ACK != 0
    sums[at + 5] += flags & ECE != 0
    sums[at + 6] += flags & CWR != 0


@kernel
def add_services(sums: _Row, at: int, packet: _Record) -> None:
    """HTTP to ICMP."""
    is_tcp, is_udp, is_ip = (
        is_tcp_packet(packet),
        is_udp_packet(packet),
        packet["ip_version"] == IPV4,
    )
    sums[at] += is_tcp and has_port(packet, 80)
    sums[at + 1] += is_tcp and has_port(packet, 443)
    sums[at + 2] += is_udp and has_port(packet, 53)
    sums[at + 3] += is_tcp and has_port(packet, 23)
    sums[at + 4] += is_tcp and has_port(packet, 25)
    sums[at + 5] += is_tcp and has_port(packet, 22)
    sums[at + 6] += is_tcp and has_port(packet, 21)  # what the scripts take for IRC
    sums[at + 7] += is_tcp
    sums[at + 8] += is_udp
    sums[at + 9] += is_udp and (packet["src_port"] == 67 or packet["dst_port"] == 68)
    sums[at + 10] += packet["ip_version"] == ARP
    sums[at + 11] += is_ip and packet["protocol"] == ICMP
