"""What hosts have been doing for minutes: counts that halve every minute, or every ten minutes.

The windows of ``context`` end after 10 s or 64 flows, so they lose whoever is slow, or hides what
fails among flows that succeed. Here each host, in each role, and each pair (source, destination and
service) has sums over its earlier flows in which a flow weighs 2^-(age / half-life). Failures are
counted apart, so no number of answered flows makes them fewer; a pair counts its own flows only, so
nothing that its source does elsewhere changes it. As in ``context``, a flow gets a snapshot when it
begins, which depends on the packets before it and on nothing else.

A source that had one flow only, like each forged source of a flood, enters no pair and keeps its
counts in its host record: both begin with its second flow.

Sources of the ideas: first contacts and their failures, Jung, Paxson, Berger and Balakrishnan,
"Fast Portscan Detection Using Sequential Hypothesis Testing" (IEEE S&P 2004); decaying sums for
windows of any length, Cohen and Strauss, "Maintaining Time-Decaying Stream Aggregates" (PODS 2003).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from idskit.flows.host_pairs import (
    Pairs,
    bytes_per_pair,
    enter,
    find,
    is_pair,
    make_pairs,
    pair_pointers,
    prefetch_bucket,
    use,
)
from idskit.kernels.compile import kernel, raw_pointer
from idskit.kernels.pointers import prefetch, record_pointer
from idskit.schemas.gateway_columns import HISTORY

_Record = np.void
_Records = NDArray[np.void]

STEPS = 64  # to a half-life: ages are counted in whole steps of the clock
MINUTE, TEN_MINUTES = 60_000_000 // STEPS, 600_000_000 // STEPS  # microseconds to a step
HORIZON = 40 * STEPS  # what is older weighs nothing
_FRACTIONS = np.array([2.0 ** (-step / STEPS) for step in range(STEPS)])

# Sums of a host, once for each half-life.
FLOWS, FAILED, NEW, NEW_FAILED = range(4)
HOST_SUMS = 4
# Sums of a pair: the first two for each half-life, the others over ten minutes.
PAYLOAD, PAYLOAD_SQUARES, INTERVALS, INTERVAL, INTERVAL_SQUARES = range(4, 9)
PAIR_SUMS = 9

COLUMNS = len(HISTORY)
_TARGET_AT, _PAIR_AT = 2 * HOST_SUMS, 4 * HOST_SUMS  # where a snapshot has them

# What a flow keeps until its end, for its hosts and its pair.
_FLOW = np.dtype(
    [
        ("src", "<u4"),
        ("dst", "<u4"),
        ("service", "<u4"),
        ("pair", "<i4"),  # -1: not entered yet
        ("start", "<i8"),
        ("payload", "<i8"),  # as noted last
        ("is_new", "u1"),  # the first flow of its pair
        ("is_settled", "u1"),  # something came back, if only a refusal
    ],
    align=True,
)


class History(NamedTuple):
    """The arrays of the history; inside the kernels, raw pointers to them."""

    pairs: Pairs
    sums: NDArray[np.float64]  # (hosts * 2 * HOST_SUMS,) by the slot of the host
    seen: NDArray[np.int64]  # (hosts,) latest start so far
    pair_sums: NDArray[np.float64]  # (pairs * PAIR_SUMS,)
    flows: _Records  # (flows,) _FLOW by the slot of the flow
    snapshots: NDArray[np.float32]  # (flows * COLUMNS,)


def make_history(hosts: int, flows: int, memory_bytes: int, keys: NDArray[np.int64]) -> History:
    """Make an empty history.

    Args:
        hosts: slots of the host memory.
        flows: slots of the flow table.
        memory_bytes: for pairs.
        keys: secret of the hash.
    """
    pairs = make_pairs(memory_bytes // (bytes_per_pair() + 8 * PAIR_SUMS), keys)
    return History(
        pairs=pairs,
        sums=np.zeros(hosts * 2 * HOST_SUMS),
        seen=np.zeros(hosts, np.int64),
        pair_sums=np.zeros(len(pairs.entries) * PAIR_SUMS),
        flows=np.zeros(flows, _FLOW),
        snapshots=np.zeros(flows * COLUMNS, np.float32),
    )


def bytes_per_host() -> int:
    """Bytes of one host in one role, next to those of the host memory."""
    return 8 * (2 * HOST_SUMS + 1)


def bytes_per_flow() -> int:
    """Bytes of one open flow."""
    return _FLOW.itemsize + 4 * COLUMNS


@kernel
def history_pointers(history: History) -> History:
    """Return the same history by pointers: how an entry kernel hands it to the others."""
    return History(
        pair_pointers(history.pairs),
        raw_pointer(history.sums),
        raw_pointer(history.seen),
        raw_pointer(history.pair_sums),
        record_pointer(history.flows),
        raw_pointer(history.snapshots),
    )


# Weights.


@kernel
def _weight(now: int, then: int, step: int) -> float:
    """Return what counts 1 at ``then`` counts at ``now``; ``step`` is MINUTE or TEN_MINUTES.

    A product of weights is the weight of the whole time, up to rounding, because steps are those of
    the clock and not of the time in between.
    """
    if now <= then:
        return 1.0
    steps = now // step - then // step
    if steps > HORIZON:
        return 0.0
    return float(_FRACTIONS[steps & (STEPS - 1)] / (1 << (steps >> 6)))


@kernel
def _scale(sums: NDArray[np.float64], first: int, end: int, factor: float) -> None:
    for at in range(first, end):
        sums[at] *= factor


@kernel
def _copy(history: History, to: int, sums: NDArray[np.float64], first: int, count: int) -> None:
    """Put sums into a snapshot; rounding may leave them below 0."""
    for i in range(count):
        history.snapshots[to + i] = max(sums[first + i], 0.0)


@kernel
def _clear(history: History, to: int, count: int) -> None:
    for at in range(to, to + count):
        history.snapshots[at] = 0.0


# A flow begins.


@kernel
def prefetch_pair(history: History, hosts: _Records, context: _Record, row: _Record) -> None:
    """Prefetch where the pair of a flow that begins is, or will be."""
    source, target = (
        int(hosts[int(context["src_host"])]["serial"]),
        int(hosts[int(context["dst_host"])]["serial"]),
    )
    prefetch_bucket(history.pairs, source, target, _service(row))


@kernel
def prefetch_snapshot(history: History, slot: int) -> None:
    """Prefetch the snapshot of a flow."""
    prefetch(history.snapshots, COLUMNS * slot)
    prefetch(history.snapshots, COLUMNS * (slot + 1) - 1)


@kernel
def _service(row: _Record) -> int:
    return int(row["protocol"]) << 16 | int(row["dst_port"])


@kernel
def begin(
    history: History, hosts: _Records, context: _Record, slot: int, row: _Record, connection: int
) -> None:
    """Take the snapshot of a flow that begins, and count it from now on.

    Args:
        history: the memory.
        hosts: records of the host memory, in which the flow is already the latest.
        context: CONTEXT of the flow, which says where its hosts are.
        slot: of the flow.
        row: FLOW record of the flow.
        connection: its number in the flow table.
    """
    source, target = int(context["src_host"]), int(context["dst_host"])
    kept, at = history.flows[slot], slot * COLUMNS
    kept["src"], kept["dst"] = hosts[source]["serial"], hosts[target]["serial"]
    kept["service"] = _service(row)
    kept["start"], kept["payload"], kept["is_settled"] = row["start_us"], 0, 0
    kept["pair"] = _known_pair(history, hosts[source], kept)
    kept["is_new"] = kept["pair"] < 0
    _begin_host(history, hosts[source], source, kept, at)
    _begin_host(history, hosts[target], target, kept, at + _TARGET_AT)
    _begin_pair(history, hosts[source], kept, connection, at + _PAIR_AT)


@kernel
def _begin_host(history: History, host: _Record, slot: int, kept: _Record, to: int) -> None:
    if host["flows"] == 1:
        _clear(history, to, 2 * HOST_SUMS)
        return
    if host["flows"] == 2:
        _unfold(history, host, slot)
    at, now = slot * 2 * HOST_SUMS, int(kept["start"])
    seen = history.seen[slot]
    if now > seen:
        _scale(history.sums, at, at + HOST_SUMS, _weight(now, seen, MINUTE))
        _scale(history.sums, at + HOST_SUMS, at + 2 * HOST_SUMS, _weight(now, seen, TEN_MINUTES))
        history.seen[slot] = seen = now
    _copy(history, to, history.sums, at, 2 * HOST_SUMS)
    _count(history.sums, at, _weight(seen, now, MINUTE), kept)
    _count(history.sums, at + HOST_SUMS, _weight(seen, now, TEN_MINUTES), kept)


@kernel
def _unfold(history: History, host: _Record, slot: int) -> None:
    """Begin the sums of a host with its only flow, which was the first of its pair."""
    first = slot * 2 * HOST_SUMS
    for at in range(first, first + 2 * HOST_SUMS, 2):
        history.sums[at], history.sums[at + 1] = 1.0, float(host["failed"])
    history.seen[slot] = host["start"]


@kernel
def _count(sums: NDArray[np.float64], at: int, weight: float, kept: _Record) -> None:
    """Count a flow that nothing came back for yet."""
    sums[at + FLOWS] += weight
    sums[at + FAILED] += weight
    if kept["is_new"]:
        sums[at + NEW] += weight
        sums[at + NEW_FAILED] += weight


@kernel
def _begin_pair(history: History, host: _Record, kept: _Record, connection: int, to: int) -> None:
    now = int(kept["start"])
    if kept["pair"] < 0:
        _clear(history, to, COLUMNS - _PAIR_AT)
        if host["flows"] > 1:
            src, dst, service = int(kept["src"]), int(kept["dst"]), int(kept["service"])
            kept["pair"] = pair = enter(history.pairs, src, dst, service)
            _open_pair(history, pair, now, connection)
            _count_pair(history, pair, now, 1.0, 0)
        return
    pair = int(kept["pair"])
    entry = history.pairs.entries[pair]
    entry["first"] = min(int(entry["first"]), connection)  # one that turned began before others
    _age_pair(history, pair, now)
    _copy_pair(history, pair, to)
    _count_interval(history, pair, now)
    _count_pair(history, pair, now, 1.0, 0)


@kernel
def _age_pair(history: History, pair: int, now: int) -> None:
    entry, at = history.pairs.entries[pair], pair * PAIR_SUMS
    if now > entry["seen"]:
        seen = int(entry["seen"])
        _scale(history.pair_sums, at, at + 2, _weight(now, seen, MINUTE))
        _scale(history.pair_sums, at + 2, at + PAIR_SUMS, _weight(now, seen, TEN_MINUTES))
        entry["seen"] = now


@kernel
def _copy_pair(history: History, pair: int, to: int) -> None:
    sums, at = history.pair_sums, pair * PAIR_SUMS
    _copy(history, to, sums, at, 4)
    flows = sums[at + 2 + FLOWS]
    _put_moments(history, to + 4, flows, sums[at + PAYLOAD], sums[at + PAYLOAD_SQUARES])
    intervals, squares = sums[at + INTERVALS], sums[at + INTERVAL_SQUARES]
    _put_moments(history, to + 6, intervals, sums[at + INTERVAL], squares)


@kernel
def _put_moments(history: History, to: int, weight: float, total: float, squares: float) -> None:
    """Put a mean, and the standard deviation over it; 0 where there is none."""
    mean = total / weight if weight > 0 else 0.0
    variance = squares / weight - mean * mean if weight > 0 else 0.0
    history.snapshots[to] = mean
    history.snapshots[to + 1] = math.sqrt(max(variance, 0.0)) / mean if mean > 0 else 0.0


@kernel
def _count_interval(history: History, pair: int, now: int) -> None:
    entry, at = history.pairs.entries[pair], pair * PAIR_SUMS
    weight, interval = _weight(int(entry["seen"]), now, TEN_MINUTES), float(now) - entry["start"]
    history.pair_sums[at + INTERVALS] += weight
    history.pair_sums[at + INTERVAL] += weight * interval
    history.pair_sums[at + INTERVAL_SQUARES] += weight * interval * interval
    entry["start"] = now


@kernel
def _count_pair(history: History, pair: int, start: int, failed: float, payload: int) -> None:
    """Count a flow: how far it failed, from 0 to 1, and its payload."""
    sums, at, seen = history.pair_sums, pair * PAIR_SUMS, int(history.pairs.entries[pair]["seen"])
    weight = _weight(seen, start, MINUTE)
    sums[at + FLOWS] += weight
    sums[at + FAILED] += weight * failed
    weight = _weight(seen, start, TEN_MINUTES)
    sums[at + 2 + FLOWS] += weight
    sums[at + 2 + FAILED] += weight * failed
    sums[at + PAYLOAD] += weight * payload
    sums[at + PAYLOAD_SQUARES] += weight * payload * payload


@kernel
def _known_pair(history: History, host: _Record, kept: _Record) -> int:
    """Slot of the pair of a flow that begins, used once more; -1 if this is its first one."""
    if host["flows"] == 1:
        return -1
    if host["flows"] == 2:
        _enter_only(history, host)
    pair = int(find(history.pairs, int(kept["src"]), int(kept["dst"]), int(kept["service"])))
    if pair >= 0:
        use(history.pairs, pair)
        prefetch(history.pairs.entries, pair)
        prefetch(history.pair_sums, PAIR_SUMS * pair)
        prefetch(history.pair_sums, PAIR_SUMS * (pair + 1) - 1)
    return pair


@kernel
def _enter_only(history: History, host: _Record) -> None:
    """Enter the pair of the only flow that a source had."""
    pair = enter(history.pairs, int(host["serial"]), int(host["peer"]), int(host["service"]))
    start = int(host["start"])
    _open_pair(history, pair, start, int(host["connection"]))
    _count_pair(history, pair, start, float(host["failed"]), int(host["payload"]))


@kernel
def _open_pair(history: History, pair: int, start: int, connection: int) -> None:
    entry = history.pairs.entries[pair]
    entry["start"] = entry["seen"] = start
    entry["first"] = connection
    for at in range(pair * PAIR_SUMS, (pair + 1) * PAIR_SUMS):
        history.pair_sums[at] = 0.0


# What becomes of a flow.


@kernel
def note_answer(
    history: History, hosts: _Records, context: _Record, slot: int, connection: int, refused: bool
) -> None:
    """Note the first packet that came back: a flow that it does not refuse did not fail."""
    kept = history.flows[slot]
    if kept["is_settled"]:
        return
    kept["is_settled"] = 1
    if not refused:
        source, target = int(context["src_host"]), int(context["dst_host"])
        _succeed(history, hosts[source], source, int(kept["src"]), kept)
        _succeed(history, hosts[target], target, int(kept["dst"]), kept)
        pair = _pair_of(history, hosts[source], kept, connection)
        if pair >= 0:
            seen, start = int(history.pairs.entries[pair]["seen"]), int(kept["start"])
            at = pair * PAIR_SUMS
            history.pair_sums[at + FAILED] -= _weight(seen, start, MINUTE)
            history.pair_sums[at + 2 + FAILED] -= _weight(seen, start, TEN_MINUTES)


@kernel
def _succeed(history: History, host: _Record, slot: int, serial: int, kept: _Record) -> None:
    if host["serial"] != serial:  # evicted meanwhile
        return
    if host["flows"] == 1:
        host["failed"] = 0
        return
    at, seen, start = slot * 2 * HOST_SUMS, history.seen[slot], int(kept["start"])
    _forgive(history.sums, at, _weight(seen, start, MINUTE), kept)
    _forgive(history.sums, at + HOST_SUMS, _weight(seen, start, TEN_MINUTES), kept)


@kernel
def _forgive(sums: NDArray[np.float64], at: int, weight: float, kept: _Record) -> None:
    sums[at + FAILED] -= weight
    if kept["is_new"]:
        sums[at + NEW_FAILED] -= weight


@kernel
def _pair_of(history: History, host: _Record, kept: _Record, connection: int) -> int:
    """Slot of the pair that a flow is counted in, or -1."""
    src, dst, service = int(kept["src"]), int(kept["dst"]), int(kept["service"])
    if kept["pair"] < 0 and host["serial"] == src and host["flows"] > 1:
        kept["pair"] = find(history.pairs, src, dst, service)
    pair = int(kept["pair"])
    if pair < 0:
        return -1
    entry = history.pairs.entries[pair]
    return pair if is_pair(entry, src, dst, service) and entry["first"] <= connection else -1


@kernel
def note_payload(
    history: History, hosts: _Records, context: _Record, slot: int, connection: int, payload: int
) -> None:
    """Note a flow's payload so far, as often as ``context.note_payload``."""
    kept = history.flows[slot]
    before, kept["payload"] = int(kept["payload"]), payload
    pair = _pair_of(history, hosts[int(context["src_host"])], kept, connection)
    if pair >= 0:
        weight = _weight(int(history.pairs.entries[pair]["seen"]), int(kept["start"]), TEN_MINUTES)
        at = pair * PAIR_SUMS
        history.pair_sums[at + PAYLOAD] += weight * (payload - before)
        squares = float(payload) * float(payload) - float(before) * float(before)
        history.pair_sums[at + PAYLOAD_SQUARES] += weight * squares


@kernel
def put_history(row: NDArray[np.float64], at: int, history: History, slot: int) -> int:
    """Put the snapshot of a flow into its row; return where the next column is."""
    for column in range(COLUMNS):
        row[at + column] = history.snapshots[slot * COLUMNS + column]
    return at + COLUMNS
