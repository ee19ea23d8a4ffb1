"""The arrays of the flow table and of its output, and what they are made with."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from idskit.flow import FLOW
from idskit.flows.flow_key import hash_keys
from idskit.kernels.compile import kernel, raw_pointer
from idskit.kernels.hash_index import INDEX_ENTRY, make_index
from idskit.kernels.pointers import record_pointer

_Records = NDArray[np.void]
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
        ("spoke", "u1"),  # some of its payloads were noted
        ("turned", "u1"),  # the first of its two directions is the backward one
        ("older", "<i4"),  # in the queue of its age, see ``verdict_clock``
        ("newer", "<i4"),
        ("version", "<i4"),  # what its last verdict counted, 0 before
        ("age", "u1"),  # the queue, counted from 1; 0: in none
    ],
    align=True,
)

# Teardown of a TCP connection as GintsEngelen/CICFlowMeter follows it.
OPEN, FIRST_FIN, BOTH_FINS, READY = range(4)

# What changes with every packet, and the settings the kernels need.
STATE = np.dtype(
    [
        ("mask", "<i8"),  # number of entries less one
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
        ("ages", "<i8"),  # number of queues of flows that wait for a verdict
        ("settled", "<i8"),  # flows that ended as their last verdict had them: in no row
    ],
    align=True,
)

_LIST = np.dtype([("head", "<i4"), ("tail", "<i4")])
_KIND = np.dtype(
    [
        ("nearest", "<i8"),  # no list of the kind holds a flow due before this tick
        ("open", "<i8"),  # flows in its lists
    ]
)
_AGE = np.dtype([("us", "<i8"), ("head", "<i4"), ("tail", "<i4")])
MAX_AGE_US = 120_000_000
MOST_VLANS = 8  # flows at once that only the VLAN tells apart, less one
ACTIVITY_US = 5_000_000
SUBFLOW_US = BULK_US = 1_000_000
WHEEL_BUCKETS = 256
NEVER = -(1 << 50)  # a tick long before any packet


class Table(NamedTuple):
    """The arrays of a flow table; inside the kernels, raw pointers to them."""

    state: _Records  # (1,) STATE
    keys: NDArray[np.int64]  # (KEY_WORDS + 1,) secret of the hash
    hash_index: _Records  # (power of two,) INDEX_ENTRY: slots by the hash of their keys
    flows: _Records  # (capacity,) OPEN_FLOW
    # (2 * capacity + 1,) DIRECTION: forward and backward of slot s at 2s and 2s + 1, the other way
    # round where it was turned; the last one stays empty, for the flows that nothing came back for:
    # to clear one each would cost floods.
    directions: _Records
    lists: _Records  # (2 * buckets,) _LIST: flows without payload, then flows with one
    kinds: _Records  # (2,) _KIND: flows without payload, flows with one
    ages: _Records  # (ages,) _AGE: queues of flows that wait for their verdict at an age


class Output(NamedTuple):
    """Rows that the kernels fill, ``state["emitted"]`` of them."""

    flows: _Records  # (rows,) FLOW
    features: NDArray[np.float64]  # (rows * features,), row by row
    rows: int


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a flow table is made.

    Attributes:
        memory_bytes: for the table and whatever the profile keeps next to it.
        idle_us: flows without a packet for longer end; 0 keeps them.
        linger_us: closed TCP flows without a packet for longer end, where ``idle_us`` is set.
        verdict_at_us: ages, ascending, at which an open flow is emitted as well as at its end.
        key: secret of the hash; random if None.
    """

    memory_bytes: int
    idle_us: int = 0
    linger_us: int = 5_000_000
    verdict_at_us: tuple[int, ...] = ()
    key: bytes | None = None


def make_table(settings: Settings, capacity: int) -> Table:
    """Make an empty table for at most ``capacity`` open flows; one more evicts another.

    Memory is taken from the system page by page as flows come.
    """
    buckets = WHEEL_BUCKETS if settings.idle_us else 1
    hash_index = make_index(capacity)
    state = np.zeros(1, STATE)
    state["mask"], state["capacity"] = len(hash_index) - 1, capacity
    state["free"] = -1
    state["hand"] = NEVER
    state["buckets"] = buckets
    state["idle_us"], state["linger_us"] = settings.idle_us, settings.linger_us
    state["ages"] = len(settings.verdict_at_us)
    ages = np.full(len(settings.verdict_at_us), -1, _AGE)
    ages["us"] = settings.verdict_at_us
    return Table(
        state=state,
        keys=hash_keys(os.urandom(32) if settings.key is None else settings.key),
        hash_index=hash_index,
        flows=np.zeros(capacity, OPEN_FLOW),
        directions=np.zeros(2 * capacity + 1, DIRECTION),
        lists=np.full(4 * buckets, -1, np.int32).view(_LIST),
        kinds=np.zeros(2, _KIND),
        ages=ages,
    )


def open_slots(table: Table) -> NDArray[np.int64]:
    """Slots of the open flows, in the order in which they began."""
    flows = table.flows[: int(table.state["used"][0])]
    slots = np.flatnonzero(flows["list"] >= 0)
    return slots[np.argsort(flows["serial"][slots])]


def bytes_per_flow() -> int:
    """Return what one open flow takes, its share of the index included."""
    return OPEN_FLOW.itemsize + 2 * DIRECTION.itemsize + 4 * INDEX_ENTRY.itemsize


def new_output(count: int, width: int) -> Output:
    """Room for ``count`` finished flows of ``width`` features."""
    return Output(
        flows=np.zeros(count, FLOW), features=np.empty(count * width, np.float64), rows=count
    )


@kernel
def table_pointers(table: Table) -> Table:
    """Return the same table by pointers: how an entry kernel hands it to the others."""
    return Table(
        record_pointer(table.state),
        raw_pointer(table.keys),
        record_pointer(table.hash_index),
        record_pointer(table.flows),
        record_pointer(table.directions),
        record_pointer(table.lists),
        record_pointer(table.kinds),
        record_pointer(table.ages),
    )


@kernel
def output_pointers(output: Output) -> Output:
    """Return the same output by pointers."""
    return Output(record_pointer(output.flows), raw_pointer(output.features), output.rows)
