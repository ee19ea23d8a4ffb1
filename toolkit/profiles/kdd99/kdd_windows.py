"""What the conversations that ended last had in common with this one: KDD'99 features 23 to 41.

Two memories: of the last two seconds, and of the last 100 or 255 conversations. A conversation is
compared with each in them, which is what keeps the definitions plain.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from idskit.kernels.compile import kernel

_Record = np.void
_Records = NDArray[np.void]
_Row = NDArray[np.float64]
_Counts = NDArray[np.int64]

SPAN_US = 2_000_000
SPAN_COUNT = 511  # NSL-KDD's ``count`` and ``srv_count`` never exceed it
SPAN_COUNT_EXCLUSIVE = 1 << 14  # the extractor has no limit; memory and time need one

# An ended conversation.
ENDED = np.dtype(
    [
        ("last", "<i8"),  # time of its last packet
        ("host", "<u8"),  # its destination
        ("src_port", "<u2"),
        ("service", "u1"),
        ("is_syn_error", "u1"),  # S0, S1, S2, S3
        ("is_rejected", "u1"),  # REJ
    ],
    align=True,
)
_RING = np.dtype([("first", "<i8"), ("count", "<i8")])

# What is counted of those in a memory.
_HOST, _SERVICE, _BOTH, _PORT = 0, 1, 2, 3
_HOST_SYN, _SERVICE_SYN, _HOST_REJECTED, _SERVICE_REJECTED = 4, 5, 6, 7
_TALLIES = 8


class Memory(NamedTuple):
    """A ring of ended conversations."""

    ended: _Records  # (capacity,) ENDED
    ring: _Records  # (1,) _RING


class Recent(NamedTuple):
    """Both memories, and whether a conversation counts itself."""

    span: Memory
    last: Memory
    counts: _Counts  # (8,) scratch
    is_inclusive: NDArray[np.int64]  # (1,)


def make_recent(window: int, *, inclusive: bool) -> Recent:
    """Empty memories; ``window`` conversations, the current one included if ``inclusive``."""
    span = SPAN_COUNT if inclusive else SPAN_COUNT_EXCLUSIVE
    return Recent(
        span=_memory(span - inclusive),
        last=_memory(window - inclusive),
        counts=np.zeros(_TALLIES, np.int64),
        is_inclusive=np.array([int(inclusive)]),
    )


def _memory(capacity: int) -> Memory:
    return Memory(np.zeros(capacity, ENDED), np.zeros(1, _RING))


@kernel
def put_recent(row: _Row, at: int, recent: Recent, now: _Record) -> None:
    """Write features 23 to 41 of the conversation ``now``, then cache it.

    The extractor evicts what is older than two seconds only after it has looked; where a
    conversation counts itself, as in the data sets, it is evicted before.
    """
    inclusive = recent.is_inclusive[0] == 1
    if inclusive:
        _evict(recent.span, int(now["last"]) - SPAN_US)
    _tally(recent, recent.span, now)
    _put_span(row, at, recent.counts)
    _cache(recent.span, now)
    if not inclusive:
        _evict(recent.span, int(now["last"]) - SPAN_US)
    _tally(recent, recent.last, now)
    _put_last(row, at + 9, recent.counts, inclusive)
    _cache(recent.last, now)


@kernel
def _evict(memory: Memory, until: int) -> None:
    """Evict those that ended until then, as far as none that ended later precedes them."""
    ring = memory.ring[0]
    while ring["count"] and memory.ended[ring["first"]]["last"] <= until:
        ring["first"] = (ring["first"] + 1) % len(memory.ended)
        ring["count"] -= 1


@kernel
def _cache(memory: Memory, now: _Record) -> None:
    ring, capacity = memory.ring[0], len(memory.ended)
    if ring["count"] == capacity:
        ring["first"] = (ring["first"] + 1) % capacity
        ring["count"] -= 1
    memory.ended[(ring["first"] + ring["count"]) % capacity] = now
    ring["count"] += 1


@kernel
def _tally(recent: Recent, memory: Memory, now: _Record) -> None:
    counts, ring = recent.counts, memory.ring[0]
    counts[:] = 0
    at = int(ring["first"])
    for _ in range(ring["count"]):
        _count(counts, memory.ended[at], now)
        at = at + 1 if at + 1 < len(memory.ended) else 0
    if recent.is_inclusive[0]:
        _count(counts, now, now)


@kernel
def _count(counts: _Counts, other: _Record, now: _Record) -> None:
    if other["host"] == now["host"]:
        counts[_HOST] += 1
        counts[_HOST_SYN] += other["is_syn_error"]
        counts[_HOST_REJECTED] += other["is_rejected"]
        counts[_BOTH] += other["service"] == now["service"]
    if other["service"] == now["service"]:
        counts[_SERVICE] += 1
        counts[_SERVICE_SYN] += other["is_syn_error"]
        counts[_SERVICE_REJECTED] += other["is_rejected"]
        counts[_PORT] += other["src_port"] == now["src_port"]


@kernel
def _put_span(row: _Row, at: int, counts: _Counts) -> None:
    """Write features 23 to 31."""
    host, service, both = counts[_HOST], counts[_SERVICE], counts[_BOTH]
    row[at], row[at + 1] = host, service
    row[at + 2] = share(counts[_HOST_SYN], host)
    row[at + 3] = share(counts[_SERVICE_SYN], service)
    row[at + 4] = share(counts[_HOST_REJECTED], host)
    row[at + 5] = share(counts[_SERVICE_REJECTED], service)
    row[at + 6], row[at + 7] = share(both, host), share(host - both, host)
    row[at + 8] = share(service - both, service)


@kernel
def _put_last(row: _Row, at: int, counts: _Counts, inclusive: bool) -> None:
    """Write features 32 to 41; the denominator of 36 always counts the current conversation."""
    host, service, both = counts[_HOST], counts[_SERVICE], counts[_BOTH]
    row[at], row[at + 1] = host, service
    row[at + 2], row[at + 3] = share(both, host), share(host - both, host)
    row[at + 4] = share(counts[_PORT], service if inclusive else service + 1)
    row[at + 5] = share(service - both, service)
    row[at + 6] = share(counts[_HOST_SYN], host)
    row[at + 7] = share(counts[_SERVICE_SYN], service)
    row[at + 8] = share(counts[_HOST_REJECTED], host)
    row[at + 9] = share(counts[_SERVICE_REJECTED], service)


@kernel
def share(part: int, whole: int) -> float:
    """Return a share to two decimals, as the data sets print it, halves to even; 0 of nothing."""
    if whole == 0:
        return 0.0
    hundredths, rest = divmod(200 * part + whole, 2 * whole)
    if rest == 0 and hundredths % 2 == 1:
        hundredths -= 1
    return hundredths / 100
