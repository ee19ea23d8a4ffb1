"""The memory of hosts: a slot for each host and role, least recently used first."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from idskit.flows.flow_key import address_sum, scrambled
from idskit.kernels.bitset import POSITIONS
from idskit.kernels.compile import kernel, raw_pointer
from idskit.kernels.hash_index import INDEX_ENTRY, drop, make_index
from idskit.kernels.pointers import prefetch, record_pointer

_Records = NDArray[np.void]
WINDOW_FLOWS = POSITIONS  # flows remembered of a host in each role
SOURCE, TARGET = 0, 1  # roles: a host is remembered apart in each
WINDOWS = 3  # short, long, all
PROTECTED = 4  # flows after which a host is forgotten last
LONE, FEW, MANY = 0, 1, 2  # lists of hosts by recent use: with one flow, with fewer, with PROTECTED

# A host in one role, and its flow as long as it had only one.
HOST = np.dtype(
    [
        ("high", "<u8"),
        ("low", "<u8"),
        ("tag", "<u4"),
        ("serial", "<u4"),  # of the hosts remembered so far: another one if forgotten in between
        ("next", "<i4"),  # least recently used first
        ("previous", "<i4"),
        ("flows", "<i4"),  # 0, 1: the one below; from two on they are in the ring
        ("peer", "<u4"),  # of the only flow: serial of the host at the other end
        ("start", "<i8"),
        ("connection", "<i8"),  # which flow of the table this is
        ("payload", "<i8"),  # bytes, both directions, see ``note_payload``
        ("service", "<u4"),
        ("port", "<u2"),
        ("role", "u1"),
        ("unanswered", "u1"),
        ("refused", "u1"),
        ("failed", "u1"),  # nothing but a refusal came back, see ``history``
    ],
    align=True,
)

# Sets of positions in a ring.
RING = np.dtype(
    [
        ("peers", "<u8"),  # flows after which none came of the same peer
        ("services", "<u8"),  # ... of the same service
        ("ports", "<u8"),  # ... of the same source port
        ("unanswered", "<u8"),  # flows for which nothing came back yet
        ("refused", "<u8"),
        ("head", "<i8"),  # place of the next flow
    ],
    align=True,
)

# A flow in a ring, without what a new one is compared with.
PAST = np.dtype([("start", "<i8"), ("connection", "<i8"), ("payload", "<i8")], align=True)

# The flows of a ring that are in a window.
SUMS = np.dtype([("flows", "<i8"), ("payload", "<i8")], align=True)
_LIST = np.dtype([("head", "<i4"), ("tail", "<i4"), ("hosts", "<i4")])

# What changes with every flow.
_STATE = np.dtype(
    [
        ("mask", "<i8"),  # number of entries less one
        ("capacity", "<i8"),  # most hosts remembered at once
        ("used", "<i8"),  # slots ever used
        ("remembered", "<i8"),  # hosts ever remembered
        ("forgotten", "<i8"),  # hosts forgotten for want of room
    ],
    align=True,
)


class Hosts(NamedTuple):
    """The arrays of the host memory; inside the kernels, raw pointers to them."""

    keys: NDArray[np.int64]  # secret of the hash
    state: _Records  # (1,) _STATE
    hash_index: _Records  # (power of two,) INDEX_ENTRY: hosts by the hash of address and role
    hosts: _Records  # (capacity,) HOST
    lists: _Records  # (3,) _LIST by recent use: LONE, FEW, MANY
    rings: _Records  # (capacity,) RING
    sums: _Records  # (capacity * WINDOWS,) SUMS
    past: _Records  # (capacity * WINDOW_FLOWS,) PAST
    # The same: serial of the other end's host, protocol and destination port, source port.
    peers: NDArray[np.uint32]
    services: NDArray[np.uint32]
    ports: NDArray[np.uint16]


def make_hosts(capacity: int, keys: NDArray[np.int64]) -> Hosts:
    """Memory for ``capacity`` hosts, counting each role of a host."""
    hash_index = make_index(capacity)
    state = np.zeros(1, _STATE)
    state["mask"], state["capacity"] = len(hash_index) - 1, capacity
    return Hosts(
        keys=keys,
        state=state,
        hash_index=hash_index,
        hosts=np.zeros(capacity, HOST),
        lists=np.array([(-1, -1, 0)] * 3, _LIST),
        rings=np.zeros(capacity, RING),
        sums=np.zeros(capacity * WINDOWS, SUMS),
        past=np.zeros(capacity * WINDOW_FLOWS, PAST),
        peers=np.zeros(capacity * WINDOW_FLOWS, np.uint32),
        services=np.zeros(capacity * WINDOW_FLOWS, np.uint32),
        ports=np.zeros(capacity * WINDOW_FLOWS, np.uint16),
    )


def bytes_per_host() -> int:
    """Return what one host in one role takes, its share of the index included."""
    flows = WINDOW_FLOWS * (PAST.itemsize + 4 + 4 + 2)
    ring = RING.itemsize + WINDOWS * SUMS.itemsize + flows
    return HOST.itemsize + ring + 4 * INDEX_ENTRY.itemsize


@kernel
def host_pointers(hosts: Hosts) -> Hosts:
    """Return the same memory by pointers: how an entry kernel hands it to the others."""
    return Hosts(
        raw_pointer(hosts.keys),
        record_pointer(hosts.state),
        record_pointer(hosts.hash_index),
        record_pointer(hosts.hosts),
        record_pointer(hosts.lists),
        record_pointer(hosts.rings),
        record_pointer(hosts.sums),
        record_pointer(hosts.past),
        raw_pointer(hosts.peers),
        raw_pointer(hosts.services),
        raw_pointer(hosts.ports),
    )


@kernel
def slot_of(hosts: Hosts, high: np.uint64, low: np.uint64, role: int, tag: int) -> int:
    """Return the slot of a host in a role, or -1."""
    hash_index, mask = hosts.hash_index, hosts.state[0]["mask"]
    at = tag & mask
    while hash_index[at]["slot"]:
        if hash_index[at]["tag"] == tag:
            slot = int(hash_index[at]["slot"]) - 1
            host = hosts.hosts[slot]
            if host["low"] == low and host["high"] == high and host["role"] == role:
                return slot
        at = (at + 1) & mask
    return -1


@kernel
def host_tag(hosts: Hosts, high: np.uint64, low: np.uint64, role: int) -> int:
    """Hash a host in a role."""
    return int(scrambled(address_sum(hosts.keys, 0, high, low) + hosts.keys[6] * (role + 1)))


@kernel
def list_of(hosts: Hosts, slot: int) -> int:
    """Return which list of recent use a host belongs to."""
    flows = hosts.hosts[slot]["flows"]
    return LONE if flows == 1 else FEW if flows < PROTECTED else MANY


@kernel
def push(hosts: Hosts, slot: int) -> None:
    """Make a host the most recently used of its list."""
    host, ends = hosts.hosts[slot], hosts.lists[list_of(hosts, slot)]
    tail = ends["tail"]
    host["previous"], host["next"] = tail, -1
    if tail < 0:
        ends["head"] = slot
    else:
        hosts.hosts[tail]["next"] = slot
    ends["tail"] = slot
    ends["hosts"] += 1


@kernel
def pull(hosts: Hosts, slot: int) -> None:
    """Take a host out of its list."""
    host, ends = hosts.hosts[slot], hosts.lists[list_of(hosts, slot)]
    previous, following = host["previous"], host["next"]
    if previous < 0:
        ends["head"] = following
    else:
        hosts.hosts[previous]["next"] = following
    if following < 0:
        ends["tail"] = previous
    else:
        hosts.hosts[following]["previous"] = previous
    ends["hosts"] -= 1


@kernel
def victims(hosts: Hosts) -> int:
    """Which list a host is forgotten of: that of the fewest flows, as long as it has its share.

    Hosts with many flows get half of the room and those with few a quarter, so that neither a flood
    forgets who is active, nor hosts long silent keep out who comes anew.
    """
    capacity = hosts.state[0]["capacity"]
    many, few = hosts.lists[MANY]["hosts"], hosts.lists[FEW]["hosts"]
    if many > capacity // 2:
        return MANY
    if few > 0 and many + few > capacity - capacity // 4:
        return FEW
    return LONE if hosts.lists[LONE]["hosts"] else FEW if few else MANY


@kernel
def free_slot(hosts: Hosts) -> int:
    """Return a slot that was never used, or that of the host to evict."""
    state = hosts.state[0]
    if state["used"] < state["capacity"]:
        state["used"] += 1
        return int(state["used"]) - 1
    slot = int(hosts.lists[victims(hosts)]["head"])
    _prefetch_next(hosts, slot)
    pull(hosts, slot)
    drop(hosts.hash_index, state["mask"], slot, int(hosts.hosts[slot]["tag"]))
    state["forgotten"] += 1
    return slot


@kernel
def _prefetch_next(hosts: Hosts, slot: int) -> None:
    """Prefetch the hosts to be evicted next: the one after this already is."""
    following = hosts.hosts[slot]["next"]
    if following >= 0:
        prefetch(hosts.hash_index, hosts.hosts[following]["tag"] & hosts.state[0]["mask"])
        following = hosts.hosts[following]["next"]
    if following >= 0:
        prefetch(hosts.hosts, following)


@kernel
def prefetch_host(hosts: Hosts, high: np.uint64, low: np.uint64, role: int) -> None:
    """Prefetch the slot of a host."""
    prefetch(hosts.hash_index, host_tag(hosts, high, low, role) & hosts.state[0]["mask"])
