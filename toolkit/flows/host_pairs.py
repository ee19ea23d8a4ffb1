"""A bounded memory of pairs: a source, a destination and a service, by the serials of both hosts.

A set-associative cache: a keyed hash gives a pair its bucket of eight, and what a full bucket
evicts is decided within it. So to find, enter and evict takes at most eight steps, and nothing is
ever chained, moved or rebuilt.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from idskit.flows.flow_key import scrambled
from idskit.kernels.compile import kernel, raw_pointer
from idskit.kernels.pointers import prefetch, record_pointer

_Record = np.void
_Records = NDArray[np.void]

WAYS = 8  # pairs to a bucket
PROTECTED = 4  # flows after which a pair is evicted last

# A pair as its bucket knows it: the eight of a bucket fill one cache line.
_WAY = np.dtype([("tag", "<u2"), ("flows", "<u2"), ("used", "<u4")])  # flows: 0 is empty
PAIR = np.dtype(
    [
        ("src", "<u4"),  # serials of both hosts
        ("dst", "<u4"),
        ("service", "<u4"),  # protocol and destination port
        ("first", "<i8"),  # connection since which flows are counted
        ("start", "<i8"),  # of the latest flow
        ("seen", "<i8"),  # latest start so far: what ages are counted from
    ],
    align=True,
)
_STATE = np.dtype([("buckets", "<i8"), ("clock", "<i8"), ("evicted", "<i8")])


class Pairs(NamedTuple):
    """The arrays of the pair memory; inside the kernels, raw pointers to them."""

    keys: NDArray[np.int64]  # secret of the hash
    state: _Records  # (1,) _STATE
    ways: _Records  # (buckets * WAYS,) _WAY
    entries: _Records  # (buckets * WAYS,) PAIR


def make_pairs(capacity: int, keys: NDArray[np.int64]) -> Pairs:
    """Make an empty memory for ``capacity`` pairs, rounded down to whole buckets, at least one."""
    buckets = max(capacity // WAYS, 1)
    state = np.zeros(1, _STATE)
    state["buckets"] = buckets
    return Pairs(
        keys=keys,
        state=state,
        ways=np.zeros(buckets * WAYS, _WAY),
        entries=np.zeros(buckets * WAYS, PAIR),
    )


def bytes_per_pair() -> int:
    """Bytes of one pair."""
    return _WAY.itemsize + PAIR.itemsize


@kernel
def pair_pointers(pairs: Pairs) -> Pairs:
    """Return the same memory by pointers: how an entry kernel hands it to the others."""
    return Pairs(
        raw_pointer(pairs.keys),
        record_pointer(pairs.state),
        record_pointer(pairs.ways),
        record_pointer(pairs.entries),
    )


@kernel
def _tag(pairs: Pairs, src: int, dst: int, service: int) -> int:
    keys = pairs.keys
    low = keys[0] * (src & 0xFFFF) + keys[1] * (src >> 16) + keys[2] * (dst & 0xFFFF)
    return int(scrambled(low + keys[3] * (dst >> 16) + keys[4] * service + keys[5]))


@kernel
def _bucket(pairs: Pairs, tag: int) -> int:
    return int((tag * pairs.state[0]["buckets"]) >> 32) * WAYS


@kernel
def prefetch_bucket(pairs: Pairs, src: int, dst: int, service: int) -> None:
    """Prefetch the bucket of a pair."""
    prefetch(pairs.ways, _bucket(pairs, _tag(pairs, src, dst, service)))


@kernel
def is_pair(entry: _Record, src: int, dst: int, service: int) -> bool:
    """Return whether an entry is of this pair."""
    return bool(entry["src"] == src and entry["dst"] == dst and entry["service"] == service)


@kernel
def find(pairs: Pairs, src: int, dst: int, service: int) -> int:
    """Slot of a pair, or -1."""
    tag = _tag(pairs, src, dst, service)
    first = _bucket(pairs, tag)
    for pair in range(first, first + WAYS):
        way = pairs.ways[pair]
        is_tag = way["flows"] > 0 and way["tag"] == tag & 0xFFFF
        if is_tag and is_pair(pairs.entries[pair], src, dst, service):
            return pair
    return -1


@kernel
def enter(pairs: Pairs, src: int, dst: int, service: int) -> int:
    """Slot for a new pair, with its key."""
    tag = _tag(pairs, src, dst, service)
    pair = _free(pairs, _bucket(pairs, tag))
    pairs.ways[pair]["tag"], pairs.ways[pair]["flows"] = tag & 0xFFFF, 0
    use(pairs, pair)
    entry = pairs.entries[pair]
    entry["src"], entry["dst"], entry["service"] = src, dst, service
    return pair


@kernel
def use(pairs: Pairs, pair: int) -> None:
    """Count one more flow of a pair, which makes it the most recently used."""
    state, way = pairs.state[0], pairs.ways[pair]
    way["flows"] = min(way["flows"] + 1, PROTECTED)
    way["used"] = state["clock"] & 0xFFFFFFFF
    state["clock"] += 1


@kernel
def _free(pairs: Pairs, first: int) -> int:
    """Return a slot of a bucket: an empty one, or that of the pair to evict."""
    few = many = 0
    for pair in range(first, first + WAYS):
        flows = pairs.ways[pair]["flows"]
        if flows == 0:
            return pair
        few += 1 < flows < PROTECTED
        many += flows == PROTECTED
    pairs.state[0]["evicted"] += 1
    if many > WAYS // 2:
        return _oldest(pairs, first, PROTECTED, PROTECTED)
    if few > 0 and few + many > WAYS - WAYS // 4:
        return _oldest(pairs, first, 2, PROTECTED - 1)
    return _oldest(pairs, first, 1, 1)


@kernel
def _oldest(pairs: Pairs, first: int, fewest: int, most: int) -> int:
    """Return the least recently used pair of a bucket with so many flows; there must be one."""
    oldest, found, clock = -1, first, pairs.state[0]["clock"]
    for pair in range(first, first + WAYS):
        way = pairs.ways[pair]
        age = (clock - way["used"]) & 0xFFFFFFFF
        if fewest <= way["flows"] <= most and age > oldest:
            oldest, found = age, pair
    return found
