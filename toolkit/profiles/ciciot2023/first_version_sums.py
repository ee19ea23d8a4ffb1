"""Columns of the first version: means over the window of what the scripts computed per packet."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from idskit.flows.flow_key import is_swapped, tag_of
from idskit.flows.flow_records import Table
from idskit.flows.flow_table import discard, find, insert, is_full, move, victim
from idskit.kernels.compile import kernel
from idskit.packet import ACK, FIN, PSH, RST, SYN, TCP
from idskit.profiles.ciciot2023.dpkt_frames import IPV4
from idskit.profiles.ciciot2023.window_sums import (
    Windows,
    add_flags,
    add_services,
    add_size,
    is_tcp,
    is_udp,
    seconds,
    squared_deviations,
)

_Record = np.void
_Row = NDArray[np.float64]

_BUFFER = 20  # packets after which the scripts empty their list of sizes


@kernel
def add_to_first_version(arrays: Windows, conversations: Table, packet: _Record) -> None:
    """Add a packet to the sums of the window."""
    sums, progress = arrays.sums, arrays.progress[0]
    now = seconds(int(packet["time_us"]))
    if is_tcp(packet) or is_udp(packet):
        _add_conversation(arrays, conversations, packet, now)
    sums[2] += packet["protocol"]
    sums[3] += packet["ttl"]
    sums[4] += progress["rate"]
    sums[5] += progress["rate"]
    sums[6] += progress["backward_rate"]
    add_flags(sums, 7, int(packet["flags"]))
    add_services(sums, 19, packet)
    sums[31] += packet["ip_version"] == IPV4
    sums[32] += packet["ip_version"] == IPV4
    _add_sizes(sums, progress, int(packet["ip_bytes"]), now)


@kernel
def _add_conversation(arrays: Windows, conversations: Table, packet: _Record, now: float) -> None:
    """Add the totals of the packet's flow up to now to columns 1, 2, 5 to 7 and 15 to 19."""
    sums, flow = arrays.sums, conversations.flows[_slot(arrays, conversations, packet)]
    flow["packets"] += 1
    flow["bytes"] += int(packet["ip_bytes"])
    flow["first_s"], flow["last_s"] = min(flow["first_s"], now), max(flow["last_s"], now)
    duration = flow["last_s"] - flow["first_s"]
    sums[0] += duration
    sums[1] += flow["bytes"]
    _set_rate(arrays.progress[0], flow, duration)
    if flow["protocol"] == TCP:
        _add_counts(sums, flow, int(packet["flags"]))


@kernel
def _slot(arrays: Windows, conversations: Table, packet: _Record) -> int:
    """Return the slot of the packet's flow, a new one if it has none."""
    protocol, swapped = int(packet["protocol"]), is_swapped(packet)
    tag = tag_of(conversations.keys, packet, protocol, swapped)
    slot = find(conversations, packet, protocol, swapped, tag)
    if slot >= 0:
        move(conversations, slot, 0)
        return slot
    if is_full(conversations):
        discard(conversations, victim(conversations))
        arrays.table.state[0]["evicted"] += 1
    slot = insert(conversations, packet, protocol, swapped, tag)
    flow = conversations.flows[slot]
    flow["first_s"] = flow["last_s"] = seconds(int(packet["time_us"]))
    flow["bytes"] = flow["packets"] = 0
    flow["fin"] = flow["syn"] = flow["rst"] = flow["psh"] = flow["ack"] = 0
    return slot


@kernel
def _set_rate(progress: _Record, flow: _Record, duration: float) -> None:
    """Set the rates; a flow that took no time keeps those of whichever flow was before.

    The scripts look for the other direction under the pair of endpoints the other way round. As
    they sort the pair first, it is never there, except where both endpoints are the same.
    """
    if duration == 0:
        return
    progress["rate"] = flow["packets"] / duration
    is_land = flow["a_low"] == flow["b_low"] and flow["a_port"] == flow["b_port"]
    progress["backward_rate"] = progress["rate"] if is_land else 0.0


@kernel
def _add_counts(sums: _Row, flow: _Record, flags: int) -> None:
    """Add to ack_count, syn_count, fin_count, urg_count, rst_count: the scripts mix them up."""
    flow["fin"] += flags & FIN != 0
    flow["syn"] += flags & SYN != 0
    flow["rst"] += flags & RST != 0
    flow["psh"] += flags & PSH != 0
    flow["ack"] += flags & ACK != 0
    sums[14] += flow["fin"]
    sums[15] += flow["syn"]
    sums[16] += flow["rst"]
    sums[17] += flow["psh"]
    sums[18] += flow["ack"]


@kernel
def _add_sizes(sums: _Row, progress: _Record, size: int, now: float) -> None:
    """Add columns 34 to 46, from the list of sizes that is emptied on every 20th packet."""
    is_twentieth = progress["sizes"] == _BUFFER - 1
    if is_twentieth:
        _add_streams(sums, progress)  # of the 19 before
        progress["previous_s"] = 0.0
    add_size(progress, size)
    sums[33] += progress["sizes_sum"]
    sums[34] += progress["sizes_min"]
    sums[35] += progress["sizes_max"]
    sums[36] += progress["sizes_sum"] / progress["sizes"]
    sums[37] += np.sqrt(squared_deviations(progress) / progress["sizes"])
    sums[38] += size
    sums[39] += now - progress["previous_s"]
    progress["previous_s"] = now
    if is_twentieth:
        progress["sizes"] = 0
    else:
        _add_streams(sums, progress)
    sums[40] += progress["sizes"]


@kernel
def _add_streams(sums: _Row, progress: _Record) -> None:
    """Add the columns of the incoming and the outgoing stream, which are one and the same."""
    count = float(progress["sizes"])
    variance = squared_deviations(progress) / count
    sums[41] += np.sqrt(2 * (progress["sizes_sum"] / count))
    sums[42] += np.sqrt(2 * variance)
    sums[43] += variance
    sums[44] += variance > 0
    sums[45] += count * count
