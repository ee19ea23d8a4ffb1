"""Connections that have ended: a late FIN, RST or ACK begins nothing, and who opened is kept.

A ring of the last ones, found by the hash of their key. The flow itself is long emitted; what is
kept takes 32 bytes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from idskit.kernels.compile import kernel
from idskit.kernels.hash_index import INDEX_ENTRY, drop, make_index, put
from idskit.kernels.pointers import prefetch, record_pointer
from idskit.packet import FIN, RST

_Record = np.void
_Records = NDArray[np.void]

LATE_US = 300_000_000  # longer than a FIN is sent again, or a segment lives (RFC 9293: 4 minutes)
MOST_LATE = 16  # of one connection; more are a flow of their own
_FLOWS_EACH = 8  # open flows that there is room for, for each ended one that is kept

_ENDED = np.dtype(
    [
        ("time", "<i8"),  # of the last packet
        ("tag", "<u4"),  # hash of the key, of 32 bits: taken for the key
        ("late", "u1"),  # packets that came since
        ("src_is_b", "u1"),
        ("closed", "u1"),
        ("used", "u1"),
    ],
    align=True,
)
_STATE = np.dtype([("mask", "<i8"), ("capacity", "<i8"), ("head", "<i8")])


class Ended(NamedTuple):
    """The arrays; inside the kernels, raw pointers to them."""

    state: _Records  # (1,) _STATE
    hash_index: _Records  # (power of two,) INDEX_ENTRY
    ring: _Records  # (capacity,) _ENDED


def make_ended(flows: int) -> Ended:
    """Room for the ended connections next to a table of that many open ones."""
    capacity = max(flows // _FLOWS_EACH, 16)
    hash_index, state = make_index(capacity), np.zeros(1, _STATE)
    state["mask"], state["capacity"] = len(hash_index) - 1, capacity
    return Ended(state=state, hash_index=hash_index, ring=np.zeros(capacity, _ENDED))


def bytes_per_ended() -> int:
    """Return what the ended connections take for each open flow that there is room for."""
    return (_ENDED.itemsize + 4 * INDEX_ENTRY.itemsize) // _FLOWS_EACH


@kernel
def ended_pointers(ended: Ended) -> Ended:
    """Return the same by pointers: how an entry kernel hands it to the others."""
    return Ended(
        record_pointer(ended.state), record_pointer(ended.hash_index), record_pointer(ended.ring)
    )


@kernel
def find_ended(ended: Ended, tag: int) -> int:
    """Slot of the connection under that tag, or -1."""
    at = tag & ended.state[0]["mask"]
    while ended.hash_index[at]["slot"]:
        if ended.hash_index[at]["tag"] == tag:
            return int(ended.hash_index[at]["slot"]) - 1
        at = (at + 1) & ended.state[0]["mask"]
    return -1


@kernel
def prefetch_ended(ended: Ended, tag: int) -> None:
    """Prefetch where the index has a connection, or will have it."""
    prefetch(ended.hash_index, tag & ended.state[0]["mask"])


@kernel
def keep_ended(ended: Ended, flow: _Record, closed: bool) -> None:
    """Keep a connection that ended, in place of the oldest one."""
    tag, state = int(flow["tag"]), ended.state[0]
    slot = find_ended(ended, tag)
    if slot >= 0 and ended.ring[slot]["time"] > flow["last"]:
        return  # a later one, in another VLAN
    if slot < 0:
        slot = int(state["head"])
        state["head"] = (slot + 1) % state["capacity"]
        if ended.ring[slot]["used"]:
            drop(ended.hash_index, state["mask"], slot, int(ended.ring[slot]["tag"]))
        put(ended.hash_index, state["mask"], slot, tag)
    kept = ended.ring[slot]
    kept["tag"], kept["time"] = tag, flow["last"]
    kept["src_is_b"], kept["closed"] = flow["src_is_b"], closed
    kept["late"], kept["used"] = 0, 1


@kernel
def is_late(ended: Ended, slot: int, packet: _Record) -> bool:
    """Return whether a packet without SYN is of a closed connection, and count it if so."""
    kept = ended.ring[slot]
    is_data = packet["payload_bytes"] + packet["cut_bytes"] and not packet["flags"] & (FIN | RST)
    is_over = abs(np.int64(packet["time_us"]) - kept["time"]) > LATE_US
    if not kept["closed"] or is_data or is_over or kept["late"] == MOST_LATE:
        return False
    kept["late"] += 1
    return True
