"""The flow table: open flows in flat arrays, found by a keyed hash, within a memory budget.

    PACKET ──> find (keyed hash, open addressing) ──> OPEN_FLOW + two DIRECTIONs ──> FLOW + features

A profile (``idskit.profiles``) decides when a flow ends and what its features are; this
module keeps the flows. Every operation takes a bounded number of steps a packet on average: expiry
walks a timing wheel (Varghese and Lauck, SOSP 1987), eviction takes the head of a list, and nothing
ever scans the table. Time is whatever the packets say: it may jump either way.
"""

from __future__ import annotations

import numpy as np

from idskit.flows.flow_counters import clear_side
from idskit.flows.flow_records import MOST_VLANS, OPEN, READY, Output, Table
from idskit.flows.verdict_clock import restart_clock
from idskit.kernels.compile import kernel, signed
from idskit.kernels.hash_index import drop, put
from idskit.kernels.pointers import prefetch

_Record = np.void


_TICK_BITS = 20  # a tick of the wheel is 2**20 us, about a second
_SHARE_OF_EMPTY = 8  # one flow in so many may be without payload while others are evicted


@kernel
def _is_key(flow: _Record, packet: _Record, protocol: int, swapped: bool) -> bool:
    if flow["protocol"] != protocol or flow["interface"] != packet["interface"]:
        return False
    if swapped:
        return bool(
            flow["a_low"] == packet["dst_low"]
            and flow["b_low"] == packet["src_low"]
            and flow["a_port"] == packet["dst_port"]
            and flow["b_port"] == packet["src_port"]
            and flow["a_high"] == packet["dst_high"]
            and flow["b_high"] == packet["src_high"]
        )
    return bool(
        flow["a_low"] == packet["src_low"]
        and flow["b_low"] == packet["dst_low"]
        and flow["a_port"] == packet["src_port"]
        and flow["b_port"] == packet["dst_port"]
        and flow["a_high"] == packet["src_high"]
        and flow["b_high"] == packet["dst_high"]
    )


@kernel
def find(table: Table, packet: _Record, protocol: int, swapped: bool, tag: int) -> int:
    """Slot of the packet's flow, or -1."""
    hash_index, mask = table.hash_index, table.state[0]["mask"]
    at = tag & mask
    while hash_index[at]["slot"]:
        if hash_index[at]["tag"] == tag:
            slot = int(hash_index[at]["slot"]) - 1
            if _is_key(table.flows[slot], packet, protocol, swapped):
                return slot
        at = (at + 1) & mask
    return -1


@kernel
def find_in_vlan(table: Table, packet: _Record, swapped: bool, tag: int) -> int:
    """Slot of the packet's flow in its VLAN, or -1.

    A flow or packet without a tag is of any VLAN: some switches tag one direction only. Past
    MOST_VLANS flows of one key, whoever tags at will adds to the next one.
    """
    hash_index, mask, others = table.hash_index, table.state[0]["mask"], 0
    at, vlan = tag & mask, signed(packet["vlan"])
    while hash_index[at]["slot"]:
        if hash_index[at]["tag"] == tag:
            slot = int(hash_index[at]["slot"]) - 1
            if _is_key(table.flows[slot], packet, int(packet["protocol"]), swapped):
                other = signed(table.flows[slot]["vlan"])
                if vlan == other or vlan * other == 0 or others == MOST_VLANS:
                    return slot
                others += 1
        at = (at + 1) & mask
    return -1


@kernel
def forward_of(table: Table, slot: int) -> _Record:
    """Return the forward direction of a flow."""
    return table.directions[2 * slot + signed(table.flows[slot]["turned"])]  # type: ignore[no-any-return]


@kernel
def backward_of(table: Table, slot: int) -> _Record:
    """Return the backward direction of a flow, to be read only: it may be the empty one."""
    flow = table.flows[slot]
    if flow["two_way"]:
        return table.directions[2 * slot + 1 - signed(flow["turned"])]  # type: ignore[no-any-return]
    return table.directions[2 * table.state[0]["capacity"]]  # type: ignore[no-any-return]


@kernel
def open_backward(table: Table, slot: int) -> _Record:
    """Return the backward direction of a flow, to be written."""
    flow = table.flows[slot]
    side = table.directions[2 * slot + 1 - signed(flow["turned"])]
    if not flow["two_way"]:
        flow["two_way"] = 1
        clear_side(side)
    return side  # type: ignore[no-any-return]


@kernel
def turn(table: Table, slot: int) -> None:
    """Make the flow's destination its source: what was forward is backward."""
    flow = table.flows[slot]
    open_backward(table, slot)
    flow["turned"] ^= 1
    flow["src_is_b"] ^= 1


@kernel
def prefetch_slot(table: Table, tag: int) -> None:
    """Prefetch the index slot of a tag for ``find``."""
    prefetch(table.hash_index, tag & table.state[0]["mask"])


@kernel
def prefetch_flow(table: Table, slot: int) -> None:
    """Prefetch a flow and its directions."""
    prefetch(table.flows, slot)
    prefetch(table.directions, 2 * slot)
    prefetch(table.directions, 2 * slot + 1)


@kernel
def probable_slot(table: Table, tag: int) -> int:
    """Return the slot that a tag probably belongs to, or -1 if its flow will be a new one."""
    return int(table.hash_index[tag & table.state[0]["mask"]]["slot"]) - 1


# Lists: every open flow is in one, by whether it carried payload and by when it may expire.


@kernel
def _append(table: Table, slot: int, where: int) -> None:
    flows, ends = table.flows, table.lists[where]
    flow, tail = flows[slot], ends["tail"]
    flow["list"], flow["previous"], flow["next"] = where, tail, -1
    if tail < 0:
        ends["head"] = slot
    else:
        flows[tail]["next"] = slot
    ends["tail"] = slot
    kind = table.kinds[int(where >= table.state[0]["buckets"])]
    kind["open"] += 1
    kind["nearest"] = min(kind["nearest"], _due(table.state[0], where))


@kernel
def _due(state: _Record, where: int) -> int:
    """Tick at which a list is swept next."""
    following = state["hand"] + 1
    return int(following + ((where - following) & (state["buckets"] - 1)))


@kernel
def _unlink(table: Table, slot: int) -> None:
    flows = table.flows
    flow = flows[slot]
    ends, previous, following = table.lists[flow["list"]], flow["previous"], flow["next"]
    table.kinds[int(flow["list"] >= table.state[0]["buckets"])]["open"] -= 1
    if previous < 0:
        ends["head"] = following
    else:
        flows[previous]["next"] = following
    if following < 0:
        ends["tail"] = previous
    else:
        flows[following]["previous"] = previous


@kernel
def _bucket(state: _Record, deadline: int, now: int) -> int:
    """Bucket that is swept after ``deadline``, within one turn of the wheel."""
    buckets, tick = int(state["buckets"]), now >> _TICK_BITS
    due = max((deadline >> _TICK_BITS) + 1, tick + 1)
    return int(min(due, tick + buckets - 1) & (buckets - 1))


@kernel
def schedule(table: Table, slot: int, now: int) -> None:
    """Put a flow into the bucket of the time at which it may have expired.

    Always another bucket than before, if need be one too early: so sweeps empty what they come by.
    """
    state, flow = table.state[0], table.flows[slot]
    bucket = _bucket(state, int(flow["last"]) + timeout_of(state, flow), now)
    buckets, before = int(state["buckets"]), int(flow["list"])
    if bucket == before & (buckets - 1):
        bucket = (bucket - 1) & (buckets - 1)
    move(table, slot, bucket + buckets if before >= buckets else bucket)


@kernel
def move(table: Table, slot: int, where: int) -> None:
    """Put a flow at the end of another list."""
    _unlink(table, slot)
    _append(table, slot, where)


@kernel
def has_data(table: Table, slot: int) -> bool:
    """Return whether the flow stands among those that carried payload."""
    return bool(table.flows[slot]["list"] >= table.state[0]["buckets"])


@kernel
def mark_data(table: Table, slot: int) -> None:
    """Move a flow to those that carried payload: they are evicted last."""
    if not has_data(table, slot):
        move(table, slot, int(table.flows[slot]["list"] + table.state[0]["buckets"]))


@kernel
def mark_empty(table: Table, slot: int) -> None:
    """Move a flow that begins anew back to those without payload."""
    if has_data(table, slot):
        move(table, slot, int(table.flows[slot]["list"] - table.state[0]["buckets"]))


@kernel
def timeout_of(state: _Record, flow: _Record) -> int:
    """Return how long this flow may be silent, in microseconds."""
    return int(state["linger_us"] if flow["tcp"] == READY else state["idle_us"])


@kernel
def is_expired(state: _Record, flow: _Record, now: int) -> bool:
    """Silent for too long, whichever way time went."""
    return bool(state["idle_us"] > 0 and abs(now - flow["last"]) > timeout_of(state, flow))


# The wheel.


@kernel
def first_tick(table: Table, now: int) -> int:
    """First tick to sweep; beyond ``tick_of(now)`` if none is due or time went back."""
    state, tick = table.state[0], now >> _TICK_BITS
    state["hand"] = min(state["hand"], tick)
    return int(max(state["hand"], tick - state["buckets"]) + 1)


@kernel
def tick_of(now: int) -> int:
    """Tick of the wheel that ``now`` falls into."""
    return now >> _TICK_BITS


# Beginning, giving out and ending a flow.


@kernel
def room(table: Table, output: Output) -> int:
    """Return the rows of ``output`` that are still empty."""
    return int(output.rows - table.state[0]["emitted"])


@kernel
def is_full(table: Table) -> bool:
    """Return whether one more flow needs an eviction first."""
    return free_slot(table) < 0


@kernel
def victim(table: Table) -> int:
    """Return the flow to evict: the one nearest to expiry of those without payload.

    Where these hold no more than their share, it is one of the others: what has just begun has had
    no time for a payload, and would be evicted before its answer comes.
    """
    kind = 0 if table.kinds[0]["open"] > table.state[0]["capacity"] // _SHARE_OF_EMPTY else 1
    slot = _first_due(table, kind)
    return slot if slot >= 0 else _first_due(table, 1 - kind)


@kernel
def _first_due(table: Table, kind: int) -> int:
    """Head of the first list of a kind that is not empty, or -1; remembers where it stopped."""
    state = table.state[0]
    buckets, following = int(state["buckets"]), int(state["hand"]) + 1
    tick = int(table.kinds[kind]["nearest"])
    if not following <= tick < following + buckets:  # time went on, or back
        tick = following
    head = -1
    while head < 0 and tick < following + buckets:
        head = int(table.lists[kind * buckets + (tick & (buckets - 1))]["head"])
        tick += 1
    table.kinds[kind]["nearest"] = tick - 1
    return head


@kernel
def free_slot(table: Table) -> int:
    """Return the slot that the next new flow takes, or -1 where the table is full."""
    state = table.state[0]
    if state["free"] >= 0:
        return int(state["free"])
    return int(state["used"]) if state["used"] < state["capacity"] else -1


@kernel
def _take(table: Table) -> int:
    slot, state = free_slot(table), table.state[0]
    if state["free"] >= 0:
        state["free"] = table.flows[slot]["next"]
    else:
        state["used"] += 1
    return slot


@kernel
def insert(table: Table, packet: _Record, protocol: int, swapped: bool, tag: int) -> int:
    """Give a new flow a slot, its key and a place in the lists; there must be room."""
    slot = _take(table)
    flow = table.flows[slot]
    flow["a_high"] = packet["dst_high"] if swapped else packet["src_high"]
    flow["a_low"] = packet["dst_low"] if swapped else packet["src_low"]
    flow["b_high"] = packet["src_high"] if swapped else packet["dst_high"]
    flow["b_low"] = packet["src_low"] if swapped else packet["dst_low"]
    flow["a_port"] = packet["dst_port"] if swapped else packet["src_port"]
    flow["b_port"] = packet["src_port"] if swapped else packet["dst_port"]
    flow["protocol"] = protocol
    flow["interface"] = packet["interface"]
    flow["tag"] = tag
    state, now = table.state[0], int(packet["time_us"])
    put(table.hash_index, state["mask"], slot, tag)
    _append(table, slot, _bucket(state, now + int(state["idle_us"]), now))
    state["open"] += 1
    return slot


@kernel
def discard(table: Table, slot: int) -> None:
    """Free a slot; its flow has been emitted."""
    state, flow = table.state[0], table.flows[slot]
    drop(table.hash_index, state["mask"], slot, int(flow["tag"]))
    _unlink(table, slot)
    flow["next"], flow["list"] = state["free"], -1
    state["free"] = slot
    state["open"] -= 1


@kernel
def identify(table: Table, slot: int, end: int, row: _Record) -> None:
    """Fill a FLOW row."""
    flow = table.flows[slot]
    fwd, bwd = forward_of(table, slot), backward_of(table, slot)
    row["start_us"], row["end_us"] = flow["start"], flow["last"]
    from_b = flow["src_is_b"] == 1
    row["src_high"] = flow["b_high"] if from_b else flow["a_high"]
    row["src_low"] = flow["b_low"] if from_b else flow["a_low"]
    row["dst_high"] = flow["a_high"] if from_b else flow["b_high"]
    row["dst_low"] = flow["a_low"] if from_b else flow["b_low"]
    row["src_port"] = flow["b_port"] if from_b else flow["a_port"]
    row["dst_port"] = flow["a_port"] if from_b else flow["b_port"]
    row["fwd_packets"], row["bwd_packets"] = fwd["packets"], bwd["packets"]
    row["fwd_bytes"] = fwd["wire"]
    row["bwd_bytes"] = bwd["wire"]
    row["icmp_type"], row["icmp_code"] = flow["icmp_type"], flow["icmp_code"]
    row["vlan"] = flow["vlan"]
    row["protocol"], row["ip_version"] = flow["protocol"], flow["ip_version"]
    row["end"] = end
    row["interface"] = flow["interface"]
    row["reversed_id"] = flow["src_is_b"] != flow["id_from_b"]


# Statistics that all profiles share.


@kernel
def is_forward(flow: _Record, swapped: bool) -> bool:
    """As CICFlowMeter sees it: by address only, so between two ports of one host all is forward."""
    if flow["a_low"] == flow["b_low"] and flow["a_high"] == flow["b_high"]:
        return True
    return bool(flow["src_is_b"] == swapped)


@kernel
def start_flow(table: Table, slot: int, packet: _Record, src_is_b: bool) -> None:
    """Reset a flow's statistics; its first packet is then given to ``add_packet``."""
    flow, now = table.flows[slot], packet["time_us"]
    flow["src_is_b"] = src_is_b
    flow["start"] = flow["last"] = now
    flow["active_start"] = flow["active_end"] = now
    flow["packets"] = flow["subflows"] = flow["active"] = flow["idle"] = 0
    flow["gap_squares"] = 0.0
    flow["gap_max"] = flow["gap_min"] = 0
    flow["tcp"] = OPEN
    flow["connection_us"] = 0.0
    flow["icmp_type"] = flow["icmp_code"] = -1
    flow["first_flags"] = packet["flags"]
    flow["ip_version"], flow["vlan"] = packet["ip_version"], packet["vlan"]
    flow["serial"] = flow["connection"] = table.state[0]["begun"]
    table.state[0]["begun"] += 1
    flow["two_way"] = flow["fragmented"] = flow["turned"] = flow["spoke"] = 0
    clear_side(table.directions[2 * slot])
    restart_clock(table, slot)
