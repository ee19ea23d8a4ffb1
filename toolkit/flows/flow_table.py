"""The flow table: open flows in flat arrays, found by a keyed hash, within a memory budget.

    PACKET ──> find (keyed hash, open addressing) ──> OPEN_FLOW + two DIRECTIONs ──> FLOW + features

A profile (``idskit.profiles``) decides when a flow ends and what its features are; this
module keeps the flows. Every operation takes a bounded number of steps a packet on average: expiry
walks a timing wheel (Varghese and Lauck, SOSP 1987), eviction takes the head of a list, and nothing
ever scans the table. Time is whatever the packets say: it may jump either way.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from idskit.kernels.compile import borrowed, kernel, signed
from idskit.kernels.hash_index import PLACE, drop, make_places, put
from idskit.kernels.pointers import rows, touch
from idskit.packet import ACK, CWR, ECE, FIN, ICMP, ICMPV6, PSH, RST, SYN, URG

_Record = np.void
_Records = NDArray[np.void]

# A finished flow as ``FlowBatch.flows`` shows it. Forward is the direction of ``src``.
FLOW = np.dtype(
    [
        ("start_us", "<i8"),  # first packet, microseconds since the epoch
        ("end_us", "<i8"),  # last packet
        ("src_high", "<u8"),  # addresses as in PACKET: IPv4 is mapped into IPv6
        ("src_low", "<u8"),
        ("dst_high", "<u8"),
        ("dst_low", "<u8"),
        ("fwd_packets", "<i8"),
        ("bwd_packets", "<i8"),
        ("fwd_bytes", "<i8"),  # frames on the wire, link headers included
        ("bwd_bytes", "<i8"),
        ("src_port", "<u2"),
        ("dst_port", "<u2"),
        ("icmp_type", "<i2"),  # of the first packet, -1 where it is not ICMP
        ("icmp_code", "<i2"),
        ("vlan", "<u2"),  # VLAN identifier plus one, 0 untagged
        ("protocol", "u1"),
        ("ip_version", "u1"),
        ("end", "u1"),  # why it was given out: an index of ENDS
        ("reversed_id", "u1"),  # 1: CICFlowMeter's "Flow ID" names dst first
        ("interface", "u1"),  # index of ``FlowReader.interfaces``, 0 where there is one source
    ],
    align=True,
)
ENDS = ("verdict", "idle", "age", "close", "replaced", "evicted", "capture_end")
VERDICT, IDLE, AGE, CLOSE, REPLACED, EVICTED, CAPTURE_END = range(len(ENDS))

# One direction of an open flow. Times in microseconds, sizes in bytes.
DIRECTION = np.dtype(
    [
        ("packets", "<i4"),
        ("data_packets", "<i4"),  # with a payload
        ("last", "<i8"),
        ("first", "<i8"),
        ("payload", "<i8"),
        ("payload_squares", "<i8"),
        ("payload_max", "<i4"),
        ("payload_min", "<i4"),
        ("header", "<i8"),
        ("wire", "<i8"),
        # Sum of squared gaps: exact up to 2**53, which flows of at most 120 s never exceed unless
        # one gap dominates the sum; as a float it stays sensible when time jumps.
        ("gap_squares", "<f8"),
        ("gap_max", "<i8"),
        ("gap_min", "<i8"),
        ("fin", "<i4"),
        ("syn", "<i4"),
        ("rst", "<i4"),
        ("psh", "<i4"),
        ("ack", "<i4"),
        ("urg", "<i4"),
        ("ece", "<i4"),
        ("cwr", "<i4"),
        ("retransmissions", "<i4"),
        ("header_min", "<i4"),
        ("window", "<i4"),  # forward: of the first packet; backward: the first that is not 0
        ("last_window", "<i4"),
        # Bulk: a run of at least four packets with payload, see flow-features 1.4.
        ("bulk_start", "<i8"),
        ("bulk_last", "<i8"),
        ("bulk_bytes", "<i8"),
        ("bulk_us", "<f8"),
        ("bulk_run_bytes", "<i8"),
        ("bulk_run", "<i4"),
        ("bulk_packets", "<i4"),
        ("bulks", "<i4"),
    ],
    align=True,
)

# An open flow: what both directions share. The endpoints are stored in sorted order (a <= b).
OPEN_FLOW = np.dtype(
    [
        ("a_high", "<u8"),
        ("a_low", "<u8"),
        ("b_high", "<u8"),
        ("b_low", "<u8"),
        ("start", "<i8"),
        ("last", "<i8"),
        ("next", "<i4"),  # in its list; in the free list for a free slot
        ("previous", "<i4"),
        ("list", "<i4"),
        ("packets", "<i4"),
        ("a_port", "<u2"),
        ("b_port", "<u2"),
        ("protocol", "u1"),
        ("src_is_b", "u1"),  # the flow's source is endpoint b
        ("id_from_b", "u1"),  # CICFlowMeter's key was first looked up from b
        ("tcp", "u1"),  # teardown state, below
        ("gap_squares", "<f8"),
        ("gap_max", "<i8"),
        ("gap_min", "<i8"),
        ("active_start", "<i8"),
        ("active_end", "<i8"),
        ("subflows", "<i4"),  # gaps of more than one second
        ("tag", "<u4"),  # hash of the key
        ("active", "<i4"),
        ("idle", "<i4"),
        ("active_sum", "<f8"),  # this and idle_sum: exact up to 2**53, and no overflow beyond
        ("active_squares", "<f8"),
        ("active_max", "<i8"),
        ("active_min", "<i8"),
        ("idle_sum", "<f8"),
        ("idle_squares", "<f8"),
        ("idle_max", "<i8"),
        ("idle_min", "<i8"),
        ("connection_us", "<f8"),  # durations and gaps of the flows this one continues
        ("serial", "<i8"),  # number of the flow since the table was made
        ("connection", "<i8"),  # serial of the first of the flows this one continues
        ("first_payload", "<i4"),
        ("icmp_type", "<i2"),  # of the first packet, -1 where there is none
        ("icmp_code", "<i2"),
        ("vlan", "<u2"),  # identifier plus one of the first packet that has a tag, 0 untagged
        ("first_flags", "u1"),
        ("ip_version", "u1"),
        ("two_way", "u1"),  # a backward packet came: its direction is in use
        ("interface", "u1"),  # part of the key: a routed packet passes two of them
        ("fragmented", "u1"),  # some of its packets came in fragments
        ("turned", "u1"),  # the first of its two directions is the backward one
    ],
    align=True,
)
# Teardown of a TCP connection as GintsEngelen/CICFlowMeter follows it.
OPEN, FIRST_FIN, BOTH_FINS, READY = range(4)

# What changes with every packet, and the settings the kernels need.
STATE = np.dtype(
    [
        ("mask", "<i8"),  # number of places less one
        ("capacity", "<i8"),  # most flows open at once
        ("used", "<i8"),  # slots ever used; beyond it the arrays are untouched memory
        ("free", "<i8"),  # head of the free list, -1 if empty
        ("open", "<i8"),  # flows in the table
        ("begun", "<i8"),  # flows ever begun
        ("evicted", "<i8"),
        ("late", "<i8"),  # packets that came after the close of their connection
        ("emitted", "<i8"),  # rows of Output filled
        ("hand", "<i8"),  # tick of the wheel that was swept last
        ("allowance", "<i8"),  # flows that sweeps may still look at on behalf of this packet
        ("buckets", "<i8"),  # a power of two
        ("idle_us", "<i8"),  # 0: flows never idle out
        ("linger_us", "<i8"),  # how long a closed TCP flow waits for stragglers
        ("verdict_after", "<i8"),  # 0: never
    ],
    align=True,
)
_LIST = np.dtype([("head", "<i4"), ("tail", "<i4")])
_KIND = np.dtype([("nearest", "<i8")])  # no list of the kind holds a flow due before this tick

MAX_INTERFACES = 16  # read at once
MAX_AGE_US = 120_000_000
MOST_VLANS = 8  # flows at once that only the VLAN tells apart, less one
ACTIVITY_US = 5_000_000
SUBFLOW_US = BULK_US = 1_000_000
WHEEL_BUCKETS = 256
_NEVER = -(1 << 50)  # a tick long before any packet
_TICK_BITS = 20  # a tick of the wheel is 2**20 us, about a second
_KEY_WORDS = 14
_PRIME = (1 << 31) - 1


class Table(NamedTuple):
    """The arrays of a flow table; inside the kernels, bare pointers to them."""

    state: _Records  # (1,) STATE
    keys: NDArray[np.int64]  # (_KEY_WORDS + 1,) secret of the hash
    places: _Records  # (power of two,) PLACE: slots by the hash of their keys
    flows: _Records  # (capacity,) OPEN_FLOW
    # (2 * capacity + 1,) DIRECTION: forward and backward of slot s at 2s and 2s + 1, the other way
    # round where it was turned; the last one stays empty, for the flows that nothing came back for:
    # to clear one each would cost floods.
    directions: _Records
    lists: _Records  # (2 * buckets,) _LIST: flows without payload, then flows with one
    kinds: _Records  # (2,) _KIND: flows without payload, flows with one


class Output(NamedTuple):
    """Rows that the kernels fill, ``state["emitted"]`` of them."""

    flows: _Records  # (rows,) FLOW
    features: NDArray[np.float64]  # (rows * features,), row by row
    rows: int


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a flow table is made.

    Attributes:
        memory_bytes: for the table and whatever the profile keeps beside it.
        idle_us: flows without a packet for longer end; 0 keeps them.
        linger_us: closed TCP flows without a packet for longer end, where ``idle_us`` is set.
        verdict_after: give out a flow after this many packets as well as at its end; 0 does not.
        key: secret of the hash; random if None.
    """

    memory_bytes: int
    idle_us: int = 0
    linger_us: int = 5_000_000
    verdict_after: int = 0
    key: bytes | None = None


def make_table(settings: Settings, capacity: int) -> Table:
    """Make an empty table for at most ``capacity`` open flows; one more evicts another.

    Memory is taken from the system page by page as flows come.
    """
    buckets = WHEEL_BUCKETS if settings.idle_us else 1
    places = make_places(capacity)
    state = np.zeros(1, STATE)
    state["mask"], state["capacity"] = len(places) - 1, capacity
    state["free"] = -1
    state["hand"] = _NEVER
    state["buckets"] = buckets
    state["idle_us"], state["linger_us"] = settings.idle_us, settings.linger_us
    state["verdict_after"] = settings.verdict_after
    return Table(
        state=state,
        keys=hash_keys(os.urandom(32) if settings.key is None else settings.key),
        places=places,
        flows=np.zeros(capacity, OPEN_FLOW),
        directions=np.zeros(2 * capacity + 1, DIRECTION),
        lists=np.full(4 * buckets, -1, np.int32).view(_LIST),
        kinds=np.zeros(2, _KIND),
    )


def open_slots(table: Table) -> NDArray[np.int64]:
    """Slots of the open flows, in the order in which they began."""
    flows = table.flows[: int(table.state["used"][0])]
    slots = np.flatnonzero(flows["list"] >= 0)
    return slots[np.argsort(flows["serial"][slots])]


def bytes_per_flow() -> int:
    """What one open flow takes, its share of the index included."""
    return OPEN_FLOW.itemsize + 2 * DIRECTION.itemsize + 4 * PLACE.itemsize


def hash_keys(secret: bytes) -> NDArray[np.int64]:
    """Expand a secret into the multipliers of the hash."""
    rng = np.random.Generator(np.random.PCG64(int.from_bytes(secret, "little")))
    return rng.integers(1, _PRIME, _KEY_WORDS + 1, dtype=np.int64)


def new_output(count: int, width: int) -> Output:
    """Room for ``count`` finished flows of ``width`` features."""
    return Output(
        flows=np.empty(count, FLOW), features=np.empty(count * width, np.float64), rows=count
    )


@kernel
def bare(table: Table) -> Table:
    """The same table by pointers: how an entry kernel hands it to the others."""
    return Table(
        rows(table.state),
        borrowed(table.keys),
        rows(table.places),
        rows(table.flows),
        rows(table.directions),
        rows(table.lists),
        rows(table.kinds),
    )


@kernel
def bare_output(output: Output) -> Output:
    """The same output by pointers."""
    return Output(rows(output.flows), borrowed(output.features), output.rows)


# The key: endpoints in sorted order, hashed.


@kernel
def is_swapped(packet: _Record) -> bool:
    """Whether the packet's destination is endpoint a of its flow."""
    if packet["src_high"] != packet["dst_high"]:
        return bool(packet["src_high"] > packet["dst_high"])
    if packet["src_low"] != packet["dst_low"]:
        return bool(packet["src_low"] > packet["dst_low"])
    return bool(packet["src_port"] > packet["dst_port"])


@kernel
def _piece(word: np.uint64, shift: int) -> int:
    return int(np.int64((word >> np.uint64(shift)) & np.uint64(0x3FFFFF)))


@kernel
def address_sum(keys: NDArray[np.int64], at: int, high: np.uint64, low: np.uint64) -> int:
    """Products of 22-bit pieces and 31-bit keys: all sums here stay below 2**58."""
    return int(
        keys[at] * _piece(low, 0)
        + keys[at + 1] * _piece(low, 22)
        + keys[at + 2] * _piece(low, 44)
        + keys[at + 3] * _piece(high, 0)
        + keys[at + 4] * _piece(high, 22)
        + keys[at + 5] * _piece(high, 44)
    )


@kernel
def scrambled(total: int) -> int:
    """Reduce modulo 2**31 - 1, then mix the bits: a 32-bit number."""
    tag = (total & _PRIME) + (total >> 31)
    tag = (tag & _PRIME) + (tag >> 31)
    tag = (((tag >> 16) ^ tag) * 0x45D9F3B) & 0xFFFFFFFF
    return int((tag >> 16) ^ tag)


@kernel
def tag_of(keys: NDArray[np.int64], packet: _Record, protocol: int, swapped: bool) -> int:
    """Hash the flow key.

    Multilinear over secret multipliers modulo a prime (Carter and Wegman, 1979): whoever does not
    know them cannot choose keys that collide more often than by chance.
    """
    src = 6 if swapped else 0
    total = address_sum(keys, src, packet["src_high"], packet["src_low"])
    total += address_sum(keys, 6 - src, packet["dst_high"], packet["dst_low"])
    source, destination = int(packet["src_port"]), int(packet["dst_port"])
    low = destination if swapped else source
    high = source if swapped else destination
    first = low | protocol << 16 | int(packet["interface"]) << 24  # below 2**28: MAX_INTERFACES
    total += keys[12] * first + keys[13] * high + keys[14]
    return int(scrambled(total))


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
    places, mask = table.places, table.state[0]["mask"]
    at = tag & mask
    while places[at]["slot"]:
        if places[at]["tag"] == tag:
            slot = int(places[at]["slot"]) - 1
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
    places, mask, others = table.places, table.state[0]["mask"], 0
    at, vlan = tag & mask, signed(packet["vlan"])
    while places[at]["slot"]:
        if places[at]["tag"] == tag:
            slot = int(places[at]["slot"]) - 1
            if _is_key(table.flows[slot], packet, int(packet["protocol"]), swapped):
                other = signed(table.flows[slot]["vlan"])
                if vlan == other or vlan * other == 0 or others == MOST_VLANS:
                    return slot
                others += 1
        at = (at + 1) & mask
    return -1


@kernel
def forward_of(table: Table, slot: int) -> _Record:
    """The forward direction of a flow."""
    return table.directions[2 * slot + signed(table.flows[slot]["turned"])]  # type: ignore[no-any-return]


@kernel
def backward_of(table: Table, slot: int) -> _Record:
    """The backward direction of a flow, to be read only: it may be the empty one."""
    flow = table.flows[slot]
    if flow["two_way"]:
        return table.directions[2 * slot + 1 - signed(flow["turned"])]  # type: ignore[no-any-return]
    return table.directions[2 * table.state[0]["capacity"]]  # type: ignore[no-any-return]


@kernel
def open_backward(table: Table, slot: int) -> _Record:
    """The backward direction of a flow, to be written."""
    flow = table.flows[slot]
    side = table.directions[2 * slot + 1 - signed(flow["turned"])]
    if not flow["two_way"]:
        flow["two_way"] = 1
        _clear(side)
    return side  # type: ignore[no-any-return]


@kernel
def turn(table: Table, slot: int) -> None:
    """Make the flow's destination its source: what was forward is backward."""
    flow = table.flows[slot]
    open_backward(table, slot)
    flow["turned"] ^= 1
    flow["src_is_b"] ^= 1


@kernel
def touch_place(table: Table, tag: int) -> None:
    """Have the place of a tag at hand for ``find``."""
    touch(table.places, tag & table.state[0]["mask"])


@kernel
def touch_flow(table: Table, tag: int) -> int:
    """Prefetch the flow that a tag probably belongs to: its slot, or -1 if it will be a new one."""
    slot = int(table.places[tag & table.state[0]["mask"]]["slot"]) - 1
    if slot >= 0:
        touch(table.flows, slot)
        touch(table.directions, 2 * slot)
        touch(table.directions, 2 * slot + 1)
    return slot


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
    """Whether the flow stands among those that carried payload."""
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
    """How long this flow may be silent, in microseconds."""
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
    """Rows of ``output`` still empty."""
    return int(output.rows - table.state[0]["emitted"])


@kernel
def is_full(table: Table) -> bool:
    """Whether one more flow needs an eviction first."""
    state = table.state[0]
    return bool(state["free"] < 0 and state["used"] == state["capacity"])


@kernel
def victim(table: Table) -> int:
    """The flow to evict: the one nearest to expiry of those without payload, else of the others."""
    slot = _first_due(table, 0)
    return slot if slot >= 0 else _first_due(table, 1)


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
def touch_next(table: Table, slot: int) -> int:
    """Have the flows of the same list after this one at hand; the next one already is.

    Returns:
        The slot after the next one, or -1.
    """
    following = int(table.flows[slot]["next"])
    if following < 0:
        return -1
    touch_place(table, int(table.flows[following]["tag"]))
    following = int(table.flows[following]["next"])
    if following >= 0:
        touch(table.flows, following)
        touch(table.directions, 2 * following)
    return following


@kernel
def _take(table: Table) -> int:
    state = table.state[0]
    slot = int(state["free"])
    if slot >= 0:
        state["free"] = table.flows[slot]["next"]
        return slot
    state["used"] += 1
    return int(state["used"]) - 1


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
    put(table.places, state["mask"], slot, tag)
    _append(table, slot, _bucket(state, now + int(state["idle_us"]), now))
    state["open"] += 1
    return slot


@kernel
def discard(table: Table, slot: int) -> None:
    """Free a slot; its flow has been given out."""
    state, flow = table.state[0], table.flows[slot]
    drop(table.places, state["mask"], slot, int(flow["tag"]))
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
    flow["two_way"] = flow["fragmented"] = flow["turned"] = 0
    _clear(table.directions[2 * slot])


@kernel
def _clear(side: _Record) -> None:
    side["packets"] = side["data_packets"] = 0
    side["first"] = side["last"] = 0
    side["payload"] = side["payload_squares"] = 0
    side["payload_max"] = side["payload_min"] = 0
    side["header"] = side["wire"] = 0
    side["gap_squares"] = 0.0
    side["gap_max"] = side["gap_min"] = 0
    side["fin"] = side["syn"] = side["rst"] = side["psh"] = 0
    side["ack"] = side["urg"] = side["ece"] = side["cwr"] = 0
    side["retransmissions"] = side["header_min"] = 0
    side["window"] = side["last_window"] = 0
    side["bulk_start"] = side["bulk_last"] = 0
    side["bulk_bytes"] = side["bulk_us"] = side["bulk_run_bytes"] = 0
    side["bulk_run"] = side["bulk_packets"] = side["bulks"] = 0


@kernel
def add_packet(flow: _Record, side: _Record, packet: _Record, payload: int) -> None:
    """Count a packet in its flow and direction."""
    now = np.int64(packet["time_us"])
    if flow["packets"]:
        _add_flow_gap(flow, now - flow["last"])
    else:
        flow["first_payload"] = payload
        side["header_min"] = packet["header_bytes"]
    if side["packets"]:
        _add_gap(side, now - side["last"])
    else:
        side["first"] = now
        side["payload_max"] = side["payload_min"] = payload
    flow["last"] = side["last"] = now
    flow["packets"] += 1
    side["packets"] += 1
    side["wire"] += packet["wire_bytes"]
    _add_sizes(side, packet, payload)
    if packet["flags"]:
        _add_flags(side, int(packet["flags"]))


@kernel
def _add_flow_gap(flow: _Record, gap: int) -> None:
    if flow["packets"] == 1:
        flow["gap_max"] = flow["gap_min"] = gap
    else:
        flow["gap_max"] = max(flow["gap_max"], gap)
        flow["gap_min"] = min(flow["gap_min"], gap)
    flow["gap_squares"] += float(gap) * float(gap)
    if gap > SUBFLOW_US:
        flow["subflows"] += 1


@kernel
def _add_gap(side: _Record, gap: int) -> None:
    if side["packets"] == 1:
        side["gap_max"] = side["gap_min"] = gap
    else:
        side["gap_max"] = max(side["gap_max"], gap)
        side["gap_min"] = min(side["gap_min"], gap)
    side["gap_squares"] += float(gap) * float(gap)


@kernel
def _add_sizes(side: _Record, packet: _Record, payload: int) -> None:
    header = np.int64(packet["header_bytes"])
    side["header"] += header
    side["header_min"] = min(side["header_min"], header)
    side["last_window"] = packet["window"]
    side["payload"] += payload
    side["payload_squares"] += payload * payload
    side["payload_max"] = max(side["payload_max"], payload)
    side["payload_min"] = min(side["payload_min"], payload)
    if payload:
        side["data_packets"] += 1


@kernel
def _add_flags(side: _Record, flags: int) -> None:
    side["fin"] += (flags & FIN) != 0
    side["syn"] += (flags & SYN) != 0
    side["rst"] += (flags & RST) != 0
    side["psh"] += (flags & PSH) != 0
    side["ack"] += (flags & ACK) != 0
    side["urg"] += (flags & URG) != 0
    side["ece"] += (flags & ECE) != 0
    side["cwr"] += (flags & CWR) != 0


@kernel
def add_bulk(side: _Record, other_last: int, now: int, payload: int) -> None:
    """One step of the bulk machine; a start of 0 means that no run is open, as in the original."""
    if other_last > side["bulk_start"]:
        side["bulk_start"] = 0
    if payload <= 0:
        return
    if side["bulk_start"] == 0 or now - side["bulk_last"] > BULK_US:
        side["bulk_start"] = now
        side["bulk_run"], side["bulk_run_bytes"] = 1, payload
    else:
        _extend_bulk(side, now, payload)
    side["bulk_last"] = now


@kernel
def _extend_bulk(side: _Record, now: int, payload: int) -> None:
    side["bulk_run"] += 1
    side["bulk_run_bytes"] += payload
    if side["bulk_run"] == 4:
        side["bulks"] += 1
        side["bulk_packets"] += 4
        side["bulk_bytes"] += side["bulk_run_bytes"]
        side["bulk_us"] += now - side["bulk_start"]
    elif side["bulk_run"] > 4:
        side["bulk_packets"] += 1
        side["bulk_bytes"] += payload
        side["bulk_us"] += now - side["bulk_last"]


@kernel
def add_activity(flow: _Record, now: int) -> None:
    """Close an active and an idle period where a gap is longer than ACTIVITY_US."""
    gap = now - flow["active_end"]
    if gap > ACTIVITY_US:
        period = flow["active_end"] - flow["active_start"]
        if period > 0:
            _add_active(flow, period)
        _add_idle(flow, gap)
        flow["active_start"] = now
    flow["active_end"] = now


@kernel
def _add_active(flow: _Record, period: int) -> None:
    if flow["active"] == 0:
        flow["active_sum"], flow["active_squares"] = 0.0, 0.0
        flow["active_max"] = flow["active_min"] = period
    flow["active"] += 1
    flow["active_sum"] += period
    flow["active_squares"] += float(period) * float(period)
    flow["active_max"] = max(flow["active_max"], period)
    flow["active_min"] = min(flow["active_min"], period)


@kernel
def _add_idle(flow: _Record, gap: int) -> None:
    if flow["idle"] == 0:
        flow["idle_sum"], flow["idle_squares"] = 0.0, 0.0
        flow["idle_max"] = flow["idle_min"] = gap
    flow["idle"] += 1
    flow["idle_sum"] += gap
    flow["idle_squares"] += float(gap) * float(gap)
    flow["idle_max"] = max(flow["idle_max"], gap)
    flow["idle_min"] = min(flow["idle_min"], gap)


@kernel
def follow_teardown(flow: _Record, side: _Record, other: _Record, flags: int) -> None:
    """Advance the teardown state of a TCP flow after a packet of direction ``side`` was added.

    A FIN of each side and an ACK, or a RST, make it READY: the next SYN begins another flow.
    """
    if flags & FIN:
        if flow["tcp"] == OPEN:
            flow["tcp"] = FIRST_FIN
        elif flow["tcp"] == FIRST_FIN and side["fin"] > 0 and other["fin"] > 0:
            flow["tcp"] = BOTH_FINS
    elif flags & RST or (flags & ACK and flow["tcp"] == BOTH_FINS):
        flow["tcp"] = READY


@kernel
def is_other_message(flow: _Record, packet: _Record) -> bool:
    """ICMP of another type and another code than the flow's first; one of the two is not enough."""
    return bool(
        flow["protocol"] in (ICMP, ICMPV6)
        and flow["icmp_type"] != packet["icmp_type"]
        and flow["icmp_code"] != packet["icmp_code"]
    )
