"""The life of a flow of ``gateway``: it begins, takes packets, turns, ends, and becomes a row."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from idskit.flow import AGE, CLOSE, EVICTED, IDLE, REPLACED
from idskit.flows import decaying_counters as host_history
from idskit.flows import host_context
from idskit.flows.decaying_counters import put_history
from idskit.flows.flow_counters import add_activity, add_bulk, add_packet, follow_teardown
from idskit.flows.flow_key import is_swapped
from idskit.flows.flow_records import MAX_AGE_US, OPEN, READY, Output, Table
from idskit.flows.flow_table import (
    backward_of,
    discard,
    find_in_vlan,
    first_tick,
    forward_of,
    free_slot,
    identify,
    insert,
    is_expired,
    is_full,
    mark_data,
    mark_empty,
    open_backward,
    room,
    schedule,
    start_flow,
    tick_of,
    turn,
    victim,
)
from idskit.flows.host_context import note_answer, note_payload, refuse
from idskit.flows.host_slots import WINDOWS, Hosts
from idskit.flows.verdict_clock import is_settled, stop_clock
from idskit.kernels.compile import inlined, kernel
from idskit.packet import ICMP, ICMPV6, RST, TCP, UDP
from idskit.profiles.gateway.connection_evidence import (
    CONFIRM,
    IGNORE,
    REPLACE,
    START_OVER,
    TURN,
    begin_connection,
    copy_segment,
    evidence_of,
    forget_evidence,
    goes_on,
    is_opening,
    is_provisional,
    judge,
    note_segment,
    put_evidence,
    settle,
)
from idskit.profiles.gateway.ended_connections import find_ended, is_late, keep_ended
from idskit.profiles.gateway.flow_payload import note_packet_payload, put_payload, turn_payload
from idskit.profiles.gateway.fragment_evidence import note_fragments, put_fragments
from idskit.profiles.gateway.gateway_arrays import SYNS, Gateway, has_statistics
from idskit.profiles.gateway.gateway_rows import put_context, put_statistics
from idskit.profiles.gateway.packet_series import note_packet, put_series, turn_series
from idskit.profiles.gateway.prefetching import prefetch_end, prefetch_row
from idskit.profiles.gateway.segments import cut_segment, segment_bytes

_Record = np.void
_Row = NDArray[np.float64]
SWEPT = 8  # flows that a packet may make sweeps look at

LAG_US = 4_000_000  # sweeps wait for packets that come late: they find their flow still there


@kernel
def sweep(gateway: Gateway, output: Output, now: int) -> bool:
    """Emit the flows that have expired by ``now``; False if there was no room for all.

    Stops once the packet's allowance is spent and goes on from there with the next one, so that a
    packet costs little even where time jumps to and fro.
    """
    table = gateway.table
    buckets = int(table.state[0]["buckets"])
    for tick in range(first_tick(table, now), tick_of(now) + 1):
        bucket = tick & (buckets - 1)
        for where in (bucket, bucket + buckets):
            is_empty = table.lists[where]["head"] < 0
            if not is_empty and not _sweep_list(gateway, output, where, now):
                return False
        if table.state[0]["allowance"] <= 0:
            return True
        table.state[0]["hand"] = tick
        _prefetch_next(gateway, tick)
    return True


@kernel
def _prefetch_next(gateway: Gateway, tick: int) -> None:
    """Prefetch for the sweeps after that of a tick."""
    table = gateway.table
    buckets = int(table.state[0]["buckets"])
    for kind in (0, buckets):
        prefetch_end(gateway, int(table.lists[((tick + 1) & (buckets - 1)) + kind]["head"]))
        prefetch_row(gateway, int(table.lists[((tick + 2) & (buckets - 1)) + kind]["head"]))


@kernel
def _sweep_list(gateway: Gateway, output: Output, where: int, now: int) -> bool:
    """Empty a bucket: its flows go out, or on to the bucket of their real deadline."""
    table = gateway.table
    state = table.state[0]
    while table.lists[where]["head"] >= 0 and state["allowance"] > 0:
        slot = int(table.lists[where]["head"])
        prefetch_end(gateway, int(table.flows[slot]["next"]))
        if not is_expired(state, table.flows[slot], now):
            schedule(table, slot, now)
        elif room(table, output):
            _end(gateway, output, slot, _silent_end(table.flows[slot]))
        else:
            return False
        state["allowance"] -= 1
    return True


@kernel
def _silent_end(flow: _Record) -> int:
    return CLOSE if flow["tcp"] == READY else IDLE


@kernel
def _payload(packet: _Record) -> int:
    """Payload by the IP length, whatever the capture cut off.

    Where the protocol has no header known here, all that follows a plain IP header.
    """
    if packet["header_bytes"]:
        return int(np.int64(packet["payload_bytes"])) + int(np.int64(packet["cut_bytes"]))
    header = 20 if packet["ip_version"] == 4 else 40
    return max(int(np.int64(packet["ip_bytes"])) - header, 0)


@inlined
def take_packet(gateway: Gateway, output: Output, packet: _Record, tag: int) -> bool:
    """Take one packet; return False if there was no room for the flows that it may end."""
    table, now = gateway.table, int(packet["time_us"])
    clock = now - LAG_US
    if tick_of(clock) != table.state[0]["hand"] and not sweep(gateway, output, clock):
        return False
    if room(table, output) < 2:
        return False
    swapped = is_swapped(packet)
    slot = find_in_vlan(table, packet, swapped, tag)
    while slot >= 0 and is_expired(table.state[0], table.flows[slot], now):
        _end(gateway, output, slot, _silent_end(table.flows[slot]))
        if room(table, output) < 2:
            return False
        slot = find_in_vlan(table, packet, swapped, tag)
    if packet["protocol"] in (ICMP, ICMPV6) and has_statistics(gateway):
        _refuse(gateway.hosts, packet)
    slot = _place(gateway, output, packet, slot, swapped, tag)
    if slot >= 0:
        _count(gateway, slot, packet, swapped)
    table.state[0]["allowance"] = SWEPT  # not before: a packet that is taken again sweeps no more
    return True


@inlined
def _place(
    gateway: Gateway, output: Output, packet: _Record, slot: int, swapped: bool, tag: int
) -> int:
    """Slot of the flow that a packet is counted in, which may begin with it; -1 if in none."""
    is_tcp = packet["protocol"] == TCP
    if slot < 0:
        src_is_b = _opener(gateway, packet, swapped, tag) if is_tcp else int(swapped)
        return _begin(gateway, output, packet, swapped, src_is_b == 1, tag) if src_is_b >= 0 else -1
    if is_tcp and not _join(gateway, output, packet, slot, swapped):
        return -1
    flow = gateway.table.flows[slot]
    if int(packet["time_us"]) - flow["start"] > MAX_AGE_US:
        _cut(gateway, output, packet, slot, swapped)
    if flow["vlan"] == 0:
        flow["vlan"] = packet["vlan"]
    return slot


@kernel
def _refuse(hosts: Hosts, packet: _Record) -> None:
    """Note a destination unreachable (RFC 792, RFC 4443) with the hosts of what it answers.

    One of which fragments are missing reached nobody.
    """
    kind = 3 if packet["protocol"] == ICMP else 1
    if packet["icmp_type"] == kind and not packet["incomplete"]:
        refuse(hosts, packet)


@kernel
def _opener(gateway: Gateway, packet: _Record, swapped: bool, tag: int) -> int:
    """Return whether endpoint b opened the connection of a first packet; -1 if it is late."""
    if is_opening(packet):
        return int(swapped)
    ended = find_ended(gateway.ended, tag)
    if ended < 0:
        return int(swapped)
    if is_late(gateway.ended, ended, packet):
        gateway.table.state[0]["late"] += 1
        return -1
    return int(gateway.ended.ring[ended]["src_is_b"])


@inlined
def _begin(
    gateway: Gateway, output: Output, packet: _Record, swapped: bool, src_is_b: bool, tag: int
) -> int:
    table = gateway.table
    if is_full(table):
        slot = victim(table)
        prefetch_end(gateway, int(table.flows[slot]["next"]))
        _end(gateway, output, slot, EVICTED)
        table.state[0]["evicted"] += 1
    slot = insert(table, packet, int(packet["protocol"]), swapped, tag)
    prefetch_row(gateway, free_slot(table))
    _restart(gateway, output, slot, packet, swapped, src_is_b)
    return slot


@inlined
def _end(gateway: Gateway, output: Output, slot: int, end: int) -> None:
    """Emit a flow and free its slot; a connection of both sides is kept among the ended ones."""
    flow = gateway.table.flows[slot]
    emit(gateway, output, slot, end)
    if flow["protocol"] == TCP and flow["two_way"]:
        keep_ended(gateway.ended, flow, flow["tcp"] == READY)
    stop_clock(gateway.table, slot)
    discard(gateway.table, slot)


@kernel
def _restart(
    gateway: Gateway, output: Output, slot: int, packet: _Record, swapped: bool, src_is_b: bool
) -> None:
    """A new flow in this slot."""
    table = gateway.table
    mark_empty(table, slot)
    start_flow(table, slot, packet, src_is_b)
    flow = table.flows[slot]
    flow["id_from_b"] = flow["src_is_b"]
    if flow["protocol"] in (ICMP, ICMPV6):
        flow["icmp_type"], flow["icmp_code"] = packet["icmp_type"], packet["icmp_code"]
    if flow["protocol"] == TCP:
        begin_connection(gateway.connections[slot], packet, swapped, src_is_b, 0)
    if has_statistics(gateway):
        _begin_context(gateway, output, slot)


@inlined
def _begin_context(gateway: Gateway, output: Output, slot: int) -> None:
    """Sum up what the flow's hosts had been doing."""
    row = output.flows[gateway.table.state[0]["emitted"]]  # as scratch: the next row is not filled
    _identify(gateway.table, slot, 0, row)
    context, at = gateway.contexts[slot], 2 * WINDOWS * slot
    connection = gateway.table.flows[slot]["connection"]
    host_context.meet(gateway.hosts, context, row)
    host_history.prefetch_pair(gateway.history, gateway.hosts.hosts, context, row)
    host_context.begin(gateway.hosts, context, gateway.windows, at, row, connection)
    host_history.begin(gateway.history, gateway.hosts.hosts, context, slot, row, connection)


@kernel
def _identify(table: Table, slot: int, end: int, row: _Record) -> None:
    """Fill a FLOW row; ICMP has no ports, whatever its key is made of."""
    identify(table, slot, end, row)
    row["slot"], row["serial"] = slot, table.flows[slot]["serial"]
    if table.flows[slot]["protocol"] in (ICMP, ICMPV6):
        row["src_port"] = row["dst_port"] = 0


@inlined
def _join(gateway: Gateway, output: Output, packet: _Record, slot: int, swapped: bool) -> bool:
    """Do to the flow of its key what a TCP packet does before it is added; False: it is not."""
    flow, connection = gateway.table.flows[slot], gateway.connections[slot]
    deed = judge(connection, flow, packet, swapped)
    if deed == IGNORE:
        return False
    if deed == REPLACE:
        emit(gateway, output, slot, REPLACED)
        _restart(gateway, output, slot, packet, swapped, swapped)
    elif deed == START_OVER:
        _start_over(gateway, output, slot, packet, swapped)
    elif deed == CONFIRM:
        _confirm(gateway, output, slot)
    elif deed == TURN:
        _turn(gateway, output, slot, swapped)
    elif is_opening(packet) and connection["pending_from"]:
        copy_segment(gateway.syns[slot & (SYNS - 1)], packet)
    return True


@kernel
def _start_over(gateway: Gateway, output: Output, slot: int, packet: _Record, from_b: bool) -> None:
    """Begin the flow with a SYN: the little that came before it is counted, and nothing else."""
    table, flow = gateway.table, gateway.table.flows[slot]
    before = gateway.connections[slot]["before_open"] + flow["packets"]
    is_same, number = flow["src_is_b"] == from_b, flow["connection"]
    mark_empty(table, slot)
    start_flow(table, slot, packet, from_b)
    flow["id_from_b"] = flow["src_is_b"]
    begin_connection(gateway.connections[slot], packet, from_b, from_b, before)
    if is_same:  # its hosts keep it as the flow that it was
        flow["serial"] = flow["connection"] = number
    if has_statistics(gateway):
        if is_same:
            _note_payload(gateway, slot, 0)
        else:
            _begin_context(gateway, output, slot)


@kernel
def _confirm(gateway: Gateway, output: Output, slot: int) -> None:
    """Begin the flow that the pending SYN opened, unless other ones have taken its slot since."""
    connection, flow = gateway.connections[slot], gateway.table.flows[slot]
    packet, from_b = gateway.syns[slot & (SYNS - 1)], connection["pending_from"] == 2
    is_known = packet["sequence"] == connection["pending"]
    connection["pending_from"] = 0
    if not is_known:
        return
    if is_provisional(connection, flow):
        _start_over(gateway, output, slot, packet, from_b)
        connection["before_open"] -= 1  # the SYN itself
    else:
        emit(gateway, output, slot, REPLACED)
        _restart(gateway, output, slot, packet, from_b, from_b)
    _count(gateway, slot, packet, from_b)


@kernel
def _turn(gateway: Gateway, output: Output, slot: int, from_b: bool) -> None:
    """Let the receiver of a SYN+ACK be the source."""
    flow = gateway.table.flows[slot]
    turn(gateway.table, slot)
    flow["id_from_b"] = flow["src_is_b"]
    settle(gateway.connections[slot], flow, from_b)
    if gateway.shape[0]["series"]:
        turn_series(gateway.places, slot, flow["packets"])
    turn_payload(gateway.contents, slot, flow)
    if has_statistics(gateway):
        _begin_context(gateway, output, slot)


@kernel
def _cut(gateway: Gateway, output: Output, packet: _Record, slot: int, swapped: bool) -> None:
    """End a flow by its age: TCP and UDP go on with their orientation."""
    emit(gateway, output, slot, AGE)
    if gateway.table.flows[slot]["protocol"] in (TCP, UDP):
        _continue(gateway, slot, packet)
    else:
        _restart(gateway, output, slot, packet, swapped, swapped)


@kernel
def _continue(gateway: Gateway, slot: int, packet: _Record) -> None:
    """A flow cut by its age goes on with its orientation, its connection and its context."""
    flow = gateway.table.flows[slot]
    connection, vlan = flow["connection"], flow["vlan"]
    start_flow(gateway.table, slot, packet, flow["src_is_b"] == 1)
    flow["connection"], flow["vlan"] = connection, vlan
    forget_evidence(gateway.connections[slot])


@inlined
def _count(gateway: Gateway, slot: int, packet: _Record, swapped: bool) -> None:
    """Add a packet to its flow, or the segments that it stands for."""
    if has_statistics(gateway):
        note_fragments(gateway.fragments, slot, gateway.table.flows[slot], packet)
    if packet["protocol"] == TCP:
        connection, flow = gateway.connections[slot], gateway.table.flows[slot]
        if goes_on(connection, flow, packet, swapped):
            flow["tcp"] = OPEN
        note_segment(connection, flow, packet, swapped)
    size = segment_bytes(gateway.connections[slot], packet)
    segment = packet
    if size:
        segment = gateway.syns[SYNS]
        copy_segment(segment, packet)
    more = True
    while more:
        if size:
            cut_segment(segment, size, packet)
        _add(gateway, slot, segment, swapped)
        more = size > 0 and packet["payload_bytes"] + packet["cut_bytes"] > 0


@inlined
def _add(gateway: Gateway, slot: int, packet: _Record, swapped: bool) -> None:
    table = gateway.table
    flow = table.flows[slot]
    is_forward = flow["src_is_b"] == swapped
    side = forward_of(table, slot) if is_forward else open_backward(table, slot)
    other = backward_of(table, slot) if is_forward else forward_of(table, slot)
    now, payload = int(packet["time_us"]), _payload(packet)
    if flow["packets"] == 0 or (not is_forward and side["window"] == 0):
        side["window"] = packet["window"]
    if payload:
        mark_data(table, slot)
    if gateway.shape[0]["series"]:
        note_packet(gateway.places, slot, flow, packet, 1 if is_forward else -1)
    if packet["payload_held"] and has_statistics(gateway):
        data = gateway.kept if packet["payload_kept"] else gateway.frames
        number = int(side["data_packets"]) + 1
        note_packet_payload(gateway.contents, slot, flow, packet, data, is_forward, number)
    add_activity(flow, now)
    add_bulk(side, int(other["bulk_last"]), now, payload)
    add_packet(flow, side, packet, payload)
    if flow["protocol"] == TCP:
        _follow(table, slot, side, other, int(packet["flags"]), now)
    if has_statistics(gateway):
        _note(gateway, slot, packet, not is_forward and side["packets"] == 1)


@inlined
def _follow(table: Table, slot: int, side: _Record, other: _Record, flags: int, now: int) -> None:
    flow = table.flows[slot]
    before = flow["tcp"]
    follow_teardown(flow, side, other, flags)
    if flow["tcp"] == READY and before != READY:
        schedule(table, slot, now)


@inlined
def _note(gateway: Gateway, slot: int, packet: _Record, is_answer: bool) -> None:
    """Tell the flow's hosts how it goes on."""
    flow, table = gateway.table.flows[slot], gateway.table
    count, context = int(flow["packets"]), gateway.contexts[slot]
    connection, hosts = flow["connection"], gateway.hosts
    if is_answer:
        refused = packet["flags"] & RST != 0
        note_answer(hosts, context, connection, refused)
        host_history.note_answer(gateway.history, hosts.hosts, context, slot, connection, refused)
    if _is_power_of_two(count) and flow["serial"] == connection:
        payload = forward_of(table, slot)["payload"] + backward_of(table, slot)["payload"]
        if payload:
            _note_payload(gateway, slot, payload)


@kernel
def _is_power_of_two(count: int) -> bool:
    """Return whether a count has doubled once more; it is at least 1."""
    return (count & (count - 1)) == 0


@inlined
def _note_payload(gateway: Gateway, slot: int, payload: int) -> None:
    """Tell the flow's hosts its payload so far."""
    hosts, context = gateway.hosts, gateway.contexts[slot]
    connection = gateway.table.flows[slot]["connection"]
    note_payload(hosts, context, connection, payload)
    host_history.note_payload(gateway.history, hosts.hosts, context, slot, connection, payload)


@kernel
def emit(gateway: Gateway, output: Output, slot: int, end: int) -> None:
    """Write a flow into the next row of the output, unless its last verdict has it as it is."""
    table = gateway.table
    if is_settled(table, slot, _version(gateway, slot), end):
        return
    at = table.state[0]["emitted"]
    _identify(table, slot, end, output.flows[at])
    shape, row, flow = gateway.shape[0], output.features, table.flows[slot]
    at = at * shape["columns"]
    if shape["statistics"]:
        fwd, bwd = forward_of(table, slot), backward_of(table, slot)
        at = put_statistics(row, at, flow, fwd, bwd)
        at = put_context(row, at, gateway.windows, gateway.contexts[slot], slot)
        at = put_history(row, at, gateway.history, slot)
        at = put_fragments(row, at, gateway.fragments, slot, flow)
        at = _put_evidence(row, at, gateway, slot)
        at = put_payload(row, at, gateway.contents, slot, flow)
    if shape["series"]:
        put_series(row, at, gateway.places, slot, flow["packets"])
    table.state[0]["emitted"] += 1


@kernel
def _version(gateway: Gateway, slot: int) -> int:
    """Return a number that grows with everything that a flow's row counts."""
    flow = gateway.table.flows[slot]
    evidence = evidence_of(gateway.connections[slot]) if flow["protocol"] == TCP else 0
    return int(flow["packets"]) + evidence


@kernel
def _put_evidence(row: _Row, at: int, gateway: Gateway, slot: int) -> int:
    """Only a TCP flow has a connection."""
    if gateway.table.flows[slot]["protocol"] == TCP:
        return put_evidence(row, at, gateway.connections[slot])
    row[at] = row[at + 1] = row[at + 2] = row[at + 3] = 0.0
    return at + 4
