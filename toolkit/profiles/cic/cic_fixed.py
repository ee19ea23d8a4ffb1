"""``cic-fixed``: GintsEngelen/CICFlowMeter at 4dd5319, bug for bug.

Source: Engelen, Rimmer, Joosen, "Troubleshooting an Intrusion Detection Dataset: the CICIDS2017
Case Study", WTMC 2021, and the tool's code. The tool reads IPv4 only; IPv6 follows the same rules
here.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from idskit.flow import AGE, EVICTED, REPLACED
from idskit.flows.flow_counters import (
    add_activity,
    add_bulk,
    add_packet,
    follow_teardown,
    is_other_message,
)
from idskit.flows.flow_key import is_swapped, scrambled, tag_of
from idskit.flows.flow_records import (
    MAX_AGE_US,
    READY,
    Output,
    Settings,
    Table,
    bytes_per_flow,
    make_table,
    output_pointers,
    table_pointers,
)
from idskit.flows.flow_statistics import (
    put_bulk,
    put_flags,
    put_gaps,
    put_lengths,
    put_periods,
    put_side_flags,
    put_side_gaps,
    put_side_rates,
    put_starts,
    put_subflows,
    put_totals,
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
    mark_empty,
    open_backward,
    room,
    start_flow,
    victim,
)
from idskit.kernels.compile import kernel
from idskit.kernels.pointers import record_pointer
from idskit.packet import ACK, ICMP, ICMPV6, SCTP, SYN, TCP, UDP, Frames
from idskit.profiles.cic import jnetpcap
from idskit.schemas.cic_columns import CIC_FIXED

_Record = np.void
_Records = NDArray[np.void]
_Row = NDArray[np.float64]

IGMP = 2  # IANA protocol number

SCHEMA = CIC_FIXED
_WIDTH = len(SCHEMA)

# A TCP packet that a connection has shown, to recognise it when it comes again.
SEEN = np.dtype(
    [
        ("connection", "<i8"),  # plus one; 0 is an empty entry
        ("slot", "<i4"),
        ("sequence", "<u4"),
        ("acknowledgement", "<u4"),
        ("payload", "<u4"),
        ("window", "<u2"),
        ("forward", "<u2"),
    ],
    align=True,
)


_MEMORY = np.dtype(
    [
        ("mask", "<i8"),  # length of ``seen`` less one
        ("used", "<i8"),  # entries of it that are taken
        ("largest", "<i8"),  # length to which it may grow
        ("evicted", "<i8"),  # packets evicted for want of room
    ],
    align=True,
)


class Fixed(NamedTuple):
    """Arrays of this profile; inside the kernels, raw pointers to them."""

    table: Table
    seen: _Records  # (power of two,) SEEN, open addressing
    memory: _Records  # (1,) _MEMORY


IDLE_US = 0
REASSEMBLES = False
_SEEN_AT_FIRST = 1 << 12


def make(settings: Settings) -> Fixed:
    """Make an empty table; flows and packets seen get half of the memory each."""
    capacity = max(settings.memory_bytes // 2 // bytes_per_flow(), 1)
    largest = 1 << max(settings.memory_bytes // 2 // SEEN.itemsize, _SEEN_AT_FIRST).bit_length() - 1
    memory = np.zeros(1, _MEMORY)
    memory["mask"], memory["largest"] = _SEEN_AT_FIRST - 1, largest
    return Fixed(
        table=make_table(settings, capacity), seen=np.zeros(_SEEN_AT_FIRST, SEEN), memory=memory
    )


def grow(fixed: Fixed) -> Fixed:
    """Evict the packets of ended connections; enlarge ``seen`` where that is too little.

    At its largest size all entries are evicted, and counted, once it is full of open connections.
    """
    live, memory = int(_count_live(fixed)), fixed.memory[0]
    size = len(fixed.seen)
    while size < memory["largest"] and 4 * live > size:
        size *= 2
    seen = np.zeros(size, SEEN)
    memory["used"], memory["mask"] = 0, size - 1
    if 4 * live > size:
        memory["evicted"] += live
    else:
        _keep_live(fixed, seen)
    return fixed._replace(seen=seen)


@kernel
def _raw_pointers(fixed: Fixed) -> Fixed:
    return Fixed(
        table_pointers(fixed.table), record_pointer(fixed.seen), record_pointer(fixed.memory)
    )


def reread(frames: Frames, decoded: _Records) -> _Records:
    """Return the packets as the tool sees them."""
    return jnetpcap.reread(frames, decoded, original=False)


@kernel
def advance(arrays: Fixed, rows_out: Output, packets: _Records, first: int) -> int:
    """Take packets from ``first`` on; return the first one that there was no room for."""
    fixed, output = _raw_pointers(arrays), output_pointers(rows_out)
    memory = fixed.memory[0]
    for i in range(first, len(packets)):
        if room(fixed.table, output) < 2 or 2 * memory["used"] > memory["mask"]:
            return i
        _take(fixed, output, packets[i])
    return len(packets)


@kernel
def finish(arrays: Fixed, rows_out: Output, slots: NDArray[np.int64], first: int, end: int) -> int:
    """Emit and discard the flows in ``slots``; return the first that found no room."""
    table, output = table_pointers(arrays.table), output_pointers(rows_out)
    for i in range(first, len(slots)):
        if room(table, output) < 1:
            return i
        _emit(table, output, slots[i], end)
        discard(table, slots[i])
    return len(slots)


@kernel
def _protocol(packet: _Record) -> int:
    """Return the tool's protocol number: 0 for protocols it does not know and for fragments."""
    protocol = int(packet["protocol"])
    if protocol == IGMP:
        return IGMP
    if packet["fragment"] == 2:
        return 0
    return protocol if protocol in (ICMP, TCP, UDP, ICMPV6, SCTP) else 0


@kernel
def _take(fixed: Fixed, output: Output, packet: _Record) -> None:
    table = fixed.table
    protocol, swapped = _protocol(packet), is_swapped(packet)
    tag = tag_of(table.keys, packet, protocol, swapped)
    slot = find(table, packet, protocol, swapped, tag)
    if slot < 0:
        slot = _begin(table, output, packet, protocol, swapped, tag)
    else:
        _join(table, output, packet, slot, swapped)
    _add(fixed, slot, packet, swapped)


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
    _restart(table, slot, packet, swapped)
    table.flows[slot]["id_from_b"] = table.flows[slot]["src_is_b"]
    return slot


@kernel
def _restart(table: Table, slot: int, packet: _Record, swapped: bool) -> None:
    """Open a connection in this slot; a SYN+ACK counts as the answer to a SYN not captured."""
    answer = (packet["flags"] & (SYN | ACK)) == (SYN | ACK)
    mark_empty(table, slot)
    start_flow(table, slot, packet, swapped != answer)
    flow = table.flows[slot]
    if flow["protocol"] in (ICMP, ICMPV6):
        flow["icmp_type"], flow["icmp_code"] = packet["icmp_type"], packet["icmp_code"]


@kernel
def _join(table: Table, output: Output, packet: _Record, slot: int, swapped: bool) -> None:
    """End the packet's flow before it is added, if it is one that ends it."""
    flow, now = table.flows[slot], np.int64(packet["time_us"])
    ready = flow["tcp"] == READY and packet["flags"] & SYN
    if now - flow["start"] > MAX_AGE_US or ready:
        _emit(table, output, slot, REPLACED if ready else AGE)
        long_silent = flow["protocol"] == UDP and now - flow["last"] > MAX_AGE_US
        if ready or long_silent or flow["protocol"] not in (TCP, UDP):
            _restart(table, slot, packet, swapped)
        else:
            _continue(table, slot, packet)
    elif is_other_message(flow, packet):
        _emit(table, output, slot, REPLACED)
        _restart(table, slot, packet, swapped)


@kernel
def _continue(table: Table, slot: int, packet: _Record) -> None:
    """Continue a flow that was cut by its age, with its orientation and its connection."""
    flow = table.flows[slot]
    connection = flow["connection"]
    connection_us = flow["connection_us"] + packet["time_us"] - flow["start"]
    start_flow(table, slot, packet, flow["src_is_b"] == 1)
    flow["connection"], flow["connection_us"] = connection, connection_us


@kernel
def _add(fixed: Fixed, slot: int, packet: _Record, swapped: bool) -> None:
    table = fixed.table
    flow = table.flows[slot]
    forwards = is_forward(flow, swapped)
    side = forward_of(table, slot) if forwards else open_backward(table, slot)
    other = backward_of(table, slot) if forwards else forward_of(table, slot)
    now, payload = int(packet["time_us"]), int(np.int64(packet["payload_bytes"]))
    is_first = flow["packets"] == 0
    if is_first or (not forwards and side["window"] == 0):
        side["window"] = packet["window"]
    if payload:
        mark_data(table, slot)
    add_activity(flow, now)
    add_bulk(side, int(other["bulk_last"]), now, payload)
    add_packet(flow, side, packet, payload)
    if flow["protocol"] == TCP:
        side["retransmissions"] += _is_known(fixed, slot, packet, payload, forwards)
        if not is_first:
            follow_teardown(flow, side, other, int(packet["flags"]))


# Retransmissions: the set of packets seen, over all connections.


@kernel
def _is_known(fixed: Fixed, slot: int, packet: _Record, payload: int, forward: bool) -> bool:
    """Return whether the connection showed this packet before; cache it if not."""
    seen, mask = fixed.seen, fixed.memory[0]["mask"]
    connection = fixed.table.flows[slot]["connection"] + 1
    at = _home(fixed.table.keys, connection, packet, payload, forward) & mask
    while seen[at]["connection"]:
        if _is_same(seen[at], connection, packet, payload, forward):
            return True
        at = (at + 1) & mask
    entry = seen[at]
    entry["connection"], entry["slot"] = connection, slot
    entry["sequence"], entry["acknowledgement"] = packet["sequence"], packet["acknowledgement"]
    entry["payload"], entry["window"], entry["forward"] = payload, packet["window"], forward
    fixed.memory[0]["used"] += 1
    return False


@kernel
def _is_live(fixed: Fixed, entry: _Record) -> bool:
    """Return whether the connection of an entry still has its slot."""
    flow = fixed.table.flows[entry["slot"]]
    return bool(
        entry["connection"] and flow["list"] >= 0 and flow["connection"] == entry["connection"] - 1
    )


@kernel
def _count_live(fixed: Fixed) -> int:
    count = 0
    for at in range(len(fixed.seen)):
        if _is_live(fixed, fixed.seen[at]):
            count += 1
    return count


@kernel
def _keep_live(fixed: Fixed, into: _Records) -> None:
    mask = len(into) - 1
    for at in range(len(fixed.seen)):
        entry = fixed.seen[at]
        if _is_live(fixed, entry):
            place = _entry_home(fixed.table.keys, entry) & mask
            while into[place]["connection"]:
                place = (place + 1) & mask
            into[place] = entry
            fixed.memory[0]["used"] += 1


@kernel
def _entry_home(keys: NDArray[np.int64], entry: _Record) -> int:
    forward, payload = int(entry["forward"]), int(np.int64(entry["payload"]))
    return _home(keys, entry["connection"], entry, payload, forward == 1)


@kernel
def _home(
    keys: NDArray[np.int64], connection: int, packet: _Record, payload: int, forward: bool
) -> int:
    """Return a multilinear hash of the packet's identity, as for flow keys: pieces below 2**24."""
    sequence, answer = np.int64(packet["sequence"]), np.int64(packet["acknowledgement"])
    total = keys[0] * (connection & 0xFFFFFF) + keys[1] * ((connection >> 24) & 0xFFFFFF)
    total += keys[2] * (sequence & 0xFFFF) + keys[3] * (sequence >> 16)
    total += keys[4] * (answer & 0xFFFF) + keys[5] * (answer >> 16)
    window = np.int64(packet["window"]) + (65536 if forward else 0)
    total += keys[6] * (payload & 0xFFFFFF) + keys[7] * window
    return int(scrambled(total))


@kernel
def _is_same(entry: _Record, connection: int, packet: _Record, payload: int, forward: bool) -> bool:
    return bool(
        entry["sequence"] == packet["sequence"]
        and entry["connection"] == connection
        and entry["acknowledgement"] == packet["acknowledgement"]
        and entry["payload"] == payload
        and entry["window"] == packet["window"]
        and entry["forward"] == forward
    )


@kernel
def _emit(table: Table, output: Output, slot: int, end: int) -> None:
    at = table.state[0]["emitted"]
    identify(table, slot, end, output.flows[at])
    flow = table.flows[slot]
    fwd, bwd = forward_of(table, slot), backward_of(table, slot)
    _put_row(output.features, at * _WIDTH, flow, fwd, bwd)
    table.state[0]["emitted"] += 1


@kernel
def _put_row(row: _Row, at: int, flow: _Record, fwd: _Record, bwd: _Record) -> None:
    duration = flow["last"] - flow["start"]
    at = put_totals(row, at, duration, fwd, bwd)
    at = put_gaps(row, at, flow)
    at = put_side_gaps(row, at, fwd)
    at = put_side_gaps(row, at, bwd)
    at = put_side_flags(row, at, fwd, bwd)
    row[at], row[at + 1] = fwd["header"], bwd["header"]
    at = put_side_rates(row, at + 2, duration, fwd, bwd)
    at = put_lengths(row, at, flow, fwd, bwd, 0)
    at = put_flags(row, at, fwd, bwd)
    row[at] = ratio(bwd["packets"], fwd["packets"])
    row[at + 1] = ratio(fwd["payload"] + bwd["payload"], flow["packets"])
    row[at + 2] = ratio(fwd["payload"], fwd["packets"])
    row[at + 3] = ratio(bwd["payload"], bwd["packets"])
    at = put_bulk(row, at + 4, fwd)
    at = put_bulk(row, at, bwd)
    at = put_subflows(row, at, flow, fwd, bwd)
    at = put_starts(row, at, fwd, bwd)
    at = put_periods(row, at, flow)
    _put_connection(row, at, flow, fwd, bwd)


@kernel
def _put_connection(row: _Row, at: int, flow: _Record, fwd: _Record, bwd: _Record) -> None:
    row[at], row[at + 1] = flow["icmp_code"], flow["icmp_type"]
    row[at + 2], row[at + 3] = fwd["retransmissions"], bwd["retransmissions"]
    row[at + 4] = fwd["retransmissions"] + bwd["retransmissions"]
    connection_us = flow["connection_us"] + flow["last"] - flow["start"]
    row[at + 5] = connection_us if flow["protocol"] in (TCP, UDP) else 0
