"""``cic-original``: ahlashkari/CICFlowMeter at 98a5eba (version 4.0), bug for bug.

The tool reads IPv4 only; IPv6 follows the same rules here.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from idskit.flow import AGE, CLOSE, EVICTED
from idskit.flows.flow_counters import add_activity, add_bulk, add_packet
from idskit.flows.flow_key import is_swapped, tag_of
from idskit.flows.flow_records import (
    FIRST_FIN,
    MAX_AGE_US,
    OPEN,
    SUBFLOW_US,
    Output,
    Settings,
    Table,
    bytes_per_flow,
    make_table,
    output_pointers,
    table_pointers,
)
from idskit.flows.flow_statistics import (
    put_flags,
    put_gaps,
    put_lengths,
    put_periods,
    put_side_gaps,
    put_side_rates,
    put_sizes,
    put_zeros,
    ratio,
)
from idskit.flows.flow_table import (
    backward_of,
    discard,
    find,
    forward_of,
    identify,
    insert,
    is_forward,
    is_full,
    mark_data,
    open_backward,
    room,
    start_flow,
    victim,
)
from idskit.kernels.compile import kernel
from idskit.packet import FIN, PSH, RST, TCP, UDP, URG, Frames
from idskit.profiles.cic import jnetpcap
from idskit.schemas.cic_columns import CIC_ORIGINAL

_Record = np.void
_Records = NDArray[np.void]
_Row = NDArray[np.float64]

SCHEMA = CIC_ORIGINAL

_WIDTH = len(SCHEMA)


class Original(NamedTuple):
    """Arrays of this profile."""

    table: Table


IDLE_US = 0
REASSEMBLES = False


def make(settings: Settings) -> Original:
    """Make an empty table within the memory of ``settings``."""
    capacity = max(settings.memory_bytes // bytes_per_flow(), 1)
    return Original(table=make_table(settings, capacity))


def grow(original: Original) -> Original:
    """Return ``state``: nothing in it grows."""
    return original


def reread(frames: Frames, decoded: _Records) -> _Records:
    """Return the packets as the tool sees them."""
    return jnetpcap.reread(frames, decoded, original=True)


@kernel
def advance(arrays: Original, rows_out: Output, packets: _Records, first: int) -> int:
    """Take packets from ``first`` on; return the first one that there was no room for."""
    table, output = table_pointers(arrays.table), output_pointers(rows_out)
    for i in range(first, len(packets)):
        if room(table, output) < 2:
            return i
        _take(table, output, packets[i])
    return len(packets)


@kernel
def finish(
    arrays: Original, rows_out: Output, slots: NDArray[np.int64], first: int, end: int
) -> int:
    """Emit and discard the flows in ``slots``; return the first that found no room."""
    table, output = table_pointers(arrays.table), output_pointers(rows_out)
    for i in range(first, len(slots)):
        if room(table, output) < 1:
            return i
        _emit(table, output, slots[i], end)
        discard(table, slots[i])
    return len(slots)


@kernel
def _normalise(packet: _Record) -> None:
    """Return the tool's protocol: TCP, UDP, or 0 for all else and every later fragment."""
    if packet["protocol"] not in (TCP, UDP) or packet["fragment"] == 2:
        packet["protocol"] = packet["src_port"] = packet["dst_port"] = 0
        packet["payload_bytes"] = packet["header_bytes"] = 0


@kernel
def _take(table: Table, output: Output, packet: _Record) -> None:
    _normalise(packet)
    protocol, swapped = int(packet["protocol"]), is_swapped(packet)
    tag = tag_of(table.keys, packet, protocol, swapped)
    slot = find(table, packet, protocol, swapped, tag)
    if slot < 0:
        slot = _begin(table, output, packet, protocol, swapped, tag)
        _add(table, slot, packet, True)
    else:
        _join(table, output, packet, slot, swapped)


@kernel
def _begin(
    table: Table, output: Output, packet: _Record, protocol: int, swapped: bool, tag: int
) -> int:
    if is_full(table):
        slot = victim(table)
        _emit(table, output, slot, EVICTED)
        discard(table, slot)
        table.state[0]["evicted"] += 1
    slot = insert(table, packet, protocol, swapped, tag)
    start_flow(table, slot, packet, swapped)
    table.flows[slot]["id_from_b"] = swapped
    return slot


@kernel
def _join(table: Table, output: Output, packet: _Record, slot: int, swapped: bool) -> None:
    """Apply a packet to the flow that its addresses and ports belong to."""
    flow, forwards = table.flows[slot], is_forward(table.flows[slot], swapped)
    if packet["time_us"] - flow["start"] > MAX_AGE_US:
        _emit(table, output, slot, AGE)
        start_flow(table, slot, packet, flow["src_is_b"] == 1)
        _add(table, slot, packet, True)  # whichever way it goes
    elif packet["flags"] & FIN and forwards:
        if flow["tcp"] == OPEN:  # the tool drops every further one
            flow["tcp"] = FIRST_FIN
            add_activity(flow, int(packet["time_us"]))
            _add(table, slot, packet, True)
    elif packet["flags"] & (FIN | RST):
        _add_last(table, slot, packet, forwards)
        _emit(table, output, slot, CLOSE)
        discard(table, slot)
    else:
        add_activity(flow, int(packet["time_us"]))
        _add(table, slot, packet, forwards)


@kernel
def _add_last(table: Table, slot: int, packet: _Record, forwards: bool) -> None:
    """The packet that closes a flow reaches the activity statistics only through its subflows."""
    flow, now = table.flows[slot], int(packet["time_us"])
    if now - flow["last"] > SUBFLOW_US:
        add_activity(flow, now)
    _add(table, slot, packet, forwards)


@kernel
def _add(table: Table, slot: int, packet: _Record, forwards: bool) -> None:
    flow, payload = table.flows[slot], int(np.int64(packet["payload_bytes"]))
    bwd = open_backward(table, slot)
    side = forward_of(table, slot) if forwards else bwd
    if payload:
        mark_data(table, slot)
    if flow["packets"] == 0:
        side["window"] = packet["window"]
    add_bulk(bwd, 0, int(packet["time_us"]), payload)  # both directions: the tool compares objects
    add_packet(flow, side, packet, payload)


@kernel
def _emit(table: Table, output: Output, slot: int, end: int) -> None:
    """The tool never writes a flow of one packet."""
    flow = table.flows[slot]
    if flow["packets"] < 2:
        return
    at = table.state[0]["emitted"]
    identify(table, slot, end, output.flows[at])
    fwd, bwd = forward_of(table, slot), backward_of(table, slot)
    _put_row(output.features, at * _WIDTH, flow, fwd, bwd)
    table.state[0]["emitted"] += 1


@kernel
def _put_row(row: _Row, at: int, flow: _Record, fwd: _Record, bwd: _Record) -> None:
    duration = flow["last"] - flow["start"]
    at = _put_totals(row, at, duration, fwd, bwd)
    at = put_gaps(row, at, flow)
    at = put_side_gaps(row, at, fwd)
    at = put_side_gaps(row, at, bwd)
    at = _put_first_flags(row, at, int(flow["first_flags"]))
    row[at], row[at + 1] = fwd["header"], bwd["header"]
    at = put_side_rates(row, at + 2, duration, fwd, bwd)
    at = put_lengths(row, at, flow, fwd, bwd, 1)
    at = put_flags(row, at, fwd, bwd)
    row[at] = _quotient(bwd["packets"], fwd["packets"])
    payload = fwd["payload"] + bwd["payload"]
    row[at + 1] = (payload + flow["first_payload"]) / flow["packets"]
    row[at + 2] = ratio(fwd["payload"], fwd["packets"])
    row[at + 3] = ratio(bwd["payload"], bwd["packets"])
    at = _put_bulk(row, at + 4, bwd)
    at = _put_subflows(row, at, flow, fwd, bwd)
    at = _put_starts(row, at, flow, fwd, bwd)
    put_periods(row, at, flow)


@kernel
def _quotient(numerator: int, denominator: int) -> int:
    """Return the integer quotient, 0 where it is undefined."""
    return int(numerator // denominator) if denominator else 0


@kernel
def _put_totals(row: _Row, at: int, duration: int, fwd: _Record, bwd: _Record) -> int:
    row[at] = duration
    row[at + 1], row[at + 2] = fwd["packets"], bwd["packets"]
    payload = fwd["payload"] + bwd["payload"]
    row[at + 3], row[at + 4] = fwd["payload"], bwd["payload"]
    at = put_sizes(row, at + 5, fwd)
    at = put_sizes(row, at, bwd)
    row[at] = _over(payload, duration)
    row[at + 1] = _over(fwd["packets"] + bwd["packets"], duration)
    return at + 2


@kernel
def _over(amount: int, duration: int) -> float:
    """Return a rate per second: infinite over no time, NaN for nothing over no time."""
    if duration == 0:
        return np.inf if amount else np.nan
    return float(amount / (duration / 1e6))


@kernel
def _put_first_flags(row: _Row, at: int, flags: int) -> int:
    """Write PSH and URG by direction: of the flow's first packet, which is always forward."""
    row[at] = (flags & PSH) != 0
    row[at + 2] = (flags & URG) != 0
    row[at + 1] = row[at + 3] = 0
    return at + 4


@kernel
def _put_bulk(row: _Row, at: int, bwd: _Record) -> int:
    put_zeros(row, at, 3)  # forward: never filled
    row[at + 3] = _quotient(bwd["bulk_bytes"], bwd["bulks"])
    row[at + 4] = _quotient(bwd["bulk_packets"], bwd["bulks"])
    row[at + 5] = np.trunc(ratio(bwd["bulk_bytes"], bwd["bulk_us"] / 1e6))
    return at + 6


@kernel
def _put_subflows(row: _Row, at: int, flow: _Record, fwd: _Record, bwd: _Record) -> int:
    row[at] = _quotient(fwd["packets"], flow["subflows"])
    row[at + 1] = _quotient(fwd["payload"], flow["subflows"])
    row[at + 2] = _quotient(bwd["packets"], flow["subflows"])
    row[at + 3] = _quotient(bwd["payload"], flow["subflows"])
    return at + 4


@kernel
def _put_starts(row: _Row, at: int, flow: _Record, fwd: _Record, bwd: _Record) -> int:
    """Write windows, forward packets with payload but the first, smallest forward header."""
    row[at], row[at + 1] = fwd["window"], bwd["last_window"]
    row[at + 2] = fwd["data_packets"] - (flow["first_payload"] > 0)
    row[at + 3] = fwd["header_min"]
    return at + 4
