"""What a host has been doing: its last flows, as source and as target of others.

A single flow of a scan or of password guessing looks harmless; the flows around it do not. When a
flow begins, the last ``WINDOW_FLOWS`` flows begun by its source, and those begun towards its
destination, are summed up over three windows: the last 2 s, the last 10 s, all of them. The sums
are a snapshot: they depend on packets that came before and on nothing else, not on time-outs,
sweeps or how long the flow goes on, so live traffic and captures give the same.

A host keeps its flows in a ring of 64, and sets of places in that ring as the bits of one number:
to compare a flow with all that came before takes a few instructions. A host that had one flow only,
like each forged source of a flood, keeps it outside its ring, which stays untouched.

Source of the idea: the traffic features of KDD Cup 1999 (Lee and Stolfo, "A Framework for
Constructing Features and Models for Intrusion Detection Systems", ACM TISSEC 3(4), 2000).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from idskit.flows.host_slots import (
    SOURCE,
    TARGET,
    WINDOW_FLOWS,
    WINDOWS,
    Hosts,
    free_slot,
    host_tag,
    pull,
    push,
    slot_of,
)
from idskit.kernels.bitset import before, bit, count, equal, newest, turned
from idskit.kernels.compile import kernel
from idskit.kernels.hash_index import put

_Record = np.void
_Records = NDArray[np.void]

SHORT_US, LONG_US = 2_000_000, 10_000_000
_NOWHERE = np.uint64(0)


# What a flow keeps of a window: eight counts of eight bits, and the payload. FLOWS to PORTS include
# the flow itself, the others are over the earlier ones.
WINDOW = np.dtype([("counts", "<i8"), ("payload", "<i8")], align=True)
FLOWS, PEERS, SERVICES, PORTS, UNANSWERED, REFUSED, SAME_SERVICE, SAME_PAIR = range(0, 64, 8)
_NEW = (1 << FLOWS) | (1 << PEERS) | (1 << SERVICES) | (1 << PORTS)

# What a flow keeps of the moment it began.
CONTEXT = np.dtype(
    [
        ("src_host", "<i4"),  # where its two entries are
        ("src_at", "<i4"),
        ("dst_host", "<i4"),
        ("dst_at", "<i4"),
        ("src_span", "<i8"),  # since the oldest flow remembered, microseconds
        ("dst_span", "<i8"),
        ("interval_sum", "<i8"),  # between flows of the same source, peer and service
        ("interval_squares", "<f8"),
    ],
    align=True,
)


# Finding a host, or making room for it.


@kernel
def _flows_in(hosts: Hosts, slot: int, window: int) -> int:
    return int(hosts.sums[WINDOWS * slot + window]["flows"])


@kernel
def _remember(hosts: Hosts, high: np.uint64, low: np.uint64, role: int) -> int:
    """Place of a host, out of its list until its flow is written."""
    tag = host_tag(hosts, high, low, role)
    slot = slot_of(hosts, high, low, role, tag)
    if slot >= 0:
        pull(hosts, slot)
        return slot
    slot = free_slot(hosts)
    host, state = hosts.hosts[slot], hosts.state[0]
    host["high"], host["low"], host["role"], host["tag"] = high, low, role, tag
    host["flows"] = 0
    host["serial"] = state["remembered"] & 0xFFFFFFFF
    state["remembered"] += 1
    put(hosts.hash_index, state["mask"], slot, tag)
    return slot


@kernel
def _unfold(hosts: Hosts, slot: int) -> None:
    """Put the only flow of a host into the first place of its ring."""
    host, ring, at = hosts.hosts[slot], hosts.rings[slot], slot * WINDOW_FLOWS
    ring["peers"] = ring["services"] = ring["ports"] = bit(0)
    ring["unanswered"] = bit(0) if host["unanswered"] else _NOWHERE
    ring["refused"] = bit(0) if host["refused"] else _NOWHERE
    ring["head"] = 1
    for window in range(WINDOWS * slot, WINDOWS * slot + WINDOWS):
        hosts.sums[window]["flows"], hosts.sums[window]["payload"] = 1, host["payload"]
    past = hosts.past[at]
    past["start"], past["payload"] = host["start"], host["payload"]
    past["connection"] = host["connection"]
    _put_compared(hosts, at, int(host["peer"]), int(host["service"]), int(host["port"]))


@kernel
def _put_compared(hosts: Hosts, at: int, peer: int, service: int, port: int) -> None:
    hosts.peers[at], hosts.services[at], hosts.ports[at] = peer, service, port


# A flow begins.


@kernel
def meet(hosts: Hosts, context: _Record, row: _Record) -> None:
    """Find both hosts of a flow that begins (a FLOW record), or make room for them."""
    context["src_host"] = _remember(hosts, row["src_high"], row["src_low"], SOURCE)
    context["dst_host"] = _remember(hosts, row["dst_high"], row["dst_low"], TARGET)


@kernel
def begin(
    hosts: Hosts, context: _Record, windows: _Records, at: int, row: _Record, connection: int
) -> None:
    """Sum up what came before a flow, and keep it.

    Args:
        hosts: the memory.
        context: CONTEXT to fill, after ``meet``.
        windows: WINDOW records; six are filled from ``at``: the source's three, the target's three.
        at: see ``windows``.
        row: FLOW record of the flow that begins.
        connection: its number in the flow table.
    """
    source, target = int(context["src_host"]), int(context["dst_host"])
    place, span, pair = _look_back(hosts, source, target, row, windows, at)
    context["src_at"], context["src_span"] = place, span
    _sum_intervals(hosts, source, pair, row, context)
    place, span, pair = _look_back(hosts, target, source, row, windows, at + WINDOWS)
    context["dst_at"], context["dst_span"] = place, span
    _keep(hosts, source, target, row, connection)
    _keep(hosts, target, source, row, connection)


@kernel
def _look_back(
    hosts: Hosts, slot: int, peer: int, row: _Record, windows: _Records, at: int
) -> tuple[int, int, np.uint64]:
    """Fill the three windows of a flow from what its host remembers.

    Returns:
        The place that the flow will have, the time since the oldest flow remembered, and the places
        of the earlier flows of the same peer and service.
    """
    if hosts.hosts[slot]["flows"] == 0:
        for window in range(at, at + WINDOWS):
            windows[window]["counts"], windows[window]["payload"] = _NEW, 0
        return 0, 0, _NOWHERE
    place = _open_ring(hosts, slot)
    span = _let_go(hosts, slot, int(row["start_us"]))
    return place, span, _sum_up(hosts, slot, peer, row, windows, at)


@kernel
def _keep(hosts: Hosts, slot: int, peer: int, row: _Record, connection: int) -> None:
    """Remember a flow, and make its host the most recently used of its list."""
    if hosts.hosts[slot]["flows"]:
        _write(hosts, slot, peer, row, connection)
    else:
        _write_alone(hosts, slot, peer, row, connection)
    push(hosts, slot)


@kernel
def _open_ring(hosts: Hosts, slot: int) -> int:
    """Have the flows of a host in its ring; return the place of the next one."""
    if hosts.hosts[slot]["flows"] == 1:
        _unfold(hosts, slot)
    return int(hosts.rings[slot]["head"])


@kernel
def _write_alone(hosts: Hosts, slot: int, peer: int, row: _Record, connection: int) -> None:
    """Remember the first flow of a host."""
    host = hosts.hosts[slot]
    host["start"], host["connection"], host["payload"] = row["start_us"], connection, 0
    host["peer"], host["service"] = hosts.hosts[peer]["serial"], _service(row)
    host["port"], host["unanswered"], host["refused"] = row["src_port"], 1, 0
    host["failed"] = 1
    host["flows"] = 1


@kernel
def _let_go(hosts: Hosts, slot: int, start: int) -> int:
    """Take out of the windows what is over, and out of the ring what makes room for one more flow.

    Returns:
        The time since the oldest flow that is left.
    """
    if _flows_in(hosts, slot, WINDOWS - 1) == WINDOW_FLOWS:
        _leave(hosts, slot, 2)
    for window in range(2):
        limit = LONG_US if window else SHORT_US
        while abs(_since_oldest(hosts, slot, window, start)) > limit:
            _leave(hosts, slot, window)
    return _since_oldest(hosts, slot, WINDOWS - 1, start)


@kernel
def _since_oldest(hosts: Hosts, slot: int, window: int, start: int) -> int:
    """Time since the oldest flow in a window began, 0 if it is empty; time may have gone back."""
    flows = _flows_in(hosts, slot, window)
    return int(start - hosts.past[_place(hosts, slot, flows)]["start"]) if flows else 0


@kernel
def _place(hosts: Hosts, slot: int, back: int) -> int:
    """Return where the flow is that began ``back`` flows before the next one."""
    return slot * WINDOW_FLOWS + ((int(hosts.rings[slot]["head"]) - back) & (WINDOW_FLOWS - 1))


@kernel
def _leave(hosts: Hosts, slot: int, last: int) -> None:
    """Take the oldest flow of window ``last`` out of it and of all smaller ones that hold it."""
    flows = _flows_in(hosts, slot, last)
    payload = hosts.past[_place(hosts, slot, flows)]["payload"]
    for window in range(WINDOWS * slot, WINDOWS * slot + last + 1):
        if hosts.sums[window]["flows"] == flows:
            hosts.sums[window]["flows"] -= 1
            hosts.sums[window]["payload"] -= payload


@kernel
def _service(row: _Record) -> int:
    return int(row["protocol"]) << 16 | int(row["dst_port"])


@kernel
def _sum_up(
    hosts: Hosts, slot: int, peer: int, row: _Record, windows: _Records, at: int
) -> np.uint64:
    """Compare a flow with those in the ring; return the places of those of its peer and service."""
    ring, first = hosts.rings[slot], slot * WINDOW_FLOWS
    remembered = before(ring["head"], _flows_in(hosts, slot, WINDOWS - 1))
    same_peer = remembered & equal(hosts.peers, first, hosts.hosts[peer]["serial"])
    same_service = remembered & equal(hosts.services, first, _service(row))
    same_port = remembered & equal(hosts.ports, first, row["src_port"])
    ring["peers"] &= ~same_peer
    ring["services"] &= ~same_service
    ring["ports"] &= ~same_port
    for window in range(WINDOWS):
        sums, kept = hosts.sums[WINDOWS * slot + window], windows[at + window]
        inside = before(ring["head"], sums["flows"])
        same = count(same_service & inside) << SAME_SERVICE
        pair = count(same_service & same_peer & inside) << SAME_PAIR
        kept["counts"] = _counts(ring, inside) + (sums["flows"] << FLOWS) + same + pair + _NEW
        kept["payload"] = sums["payload"]
    return same_service & same_peer


@kernel
def _counts(ring: _Record, inside: np.uint64) -> int:
    return (
        count(ring["peers"] & inside) << PEERS
        | count(ring["services"] & inside) << SERVICES
        | count(ring["ports"] & inside) << PORTS
        | count(ring["unanswered"] & inside) << UNANSWERED
        | count(ring["refused"] & inside) << REFUSED
    )


@kernel
def _sum_intervals(
    hosts: Hosts, slot: int, pair: np.uint64, row: _Record, context: _Record
) -> None:
    """Intervals between the flows of one source to the same peer and service."""
    context["interval_sum"], context["interval_squares"] = 0, 0.0
    if not pair:
        return
    head, later = int(hosts.rings[slot]["head"]), int(row["start_us"])
    left = turned(pair, -head)  # the last flow is in the highest place
    while left:
        place = newest(left)
        start = int(hosts.past[_place(hosts, slot, WINDOW_FLOWS - place)]["start"])
        context["interval_sum"] += later - start
        context["interval_squares"] += float(later - start) * float(later - start)
        later, left = start, left ^ bit(place)


@kernel
def _write(hosts: Hosts, slot: int, peer: int, row: _Record, connection: int) -> None:
    """Remember a flow in a ring."""
    ring = hosts.rings[slot]
    place, at = bit(ring["head"]), _place(hosts, slot, 0)
    _put_compared(hosts, at, int(hosts.hosts[peer]["serial"]), _service(row), int(row["src_port"]))
    past = hosts.past[at]
    past["start"], past["connection"], past["payload"] = row["start_us"], connection, 0
    ring["peers"] |= place
    ring["services"] |= place
    ring["ports"] |= place
    ring["unanswered"] |= place
    ring["refused"] &= ~place
    for window in range(WINDOWS * slot, WINDOWS * slot + WINDOWS):
        hosts.sums[window]["flows"] += 1
    ring["head"] = (ring["head"] + 1) & (WINDOW_FLOWS - 1)
    hosts.hosts[slot]["flows"] = min(hosts.hosts[slot]["flows"] + 1, WINDOW_FLOWS)


@kernel
def count_of(window: _Record, which: int) -> int:
    """Return one of the counts of a window: FLOWS, PEERS, ..."""
    return int((window["counts"] >> which) & 0xFF)


# What becomes of a flow is noted with both its hosts.


@kernel
def note_answer(hosts: Hosts, context: _Record, connection: int, refused: bool) -> None:
    """Note that a flow was answered, or refused, while its hosts keep it."""
    _note_answer(hosts, context["src_host"], context["src_at"], connection, refused)
    _note_answer(hosts, context["dst_host"], context["dst_at"], connection, refused)


@kernel
def _note_answer(hosts: Hosts, slot: int, at: int, connection: int, refused: bool) -> None:
    host = hosts.hosts[slot]
    if host["flows"] == 1:
        if host["connection"] == connection:
            host["unanswered"], host["refused"] = 0, host["refused"] | refused
    elif hosts.past[slot * WINDOW_FLOWS + at]["connection"] == connection:
        _settle(hosts.rings[slot], bit(at), refused)


@kernel
def _settle(ring: _Record, place: np.uint64, refused: bool) -> None:
    """A flow that was unanswered is no longer."""
    ring["unanswered"] &= ~place
    if refused:
        ring["refused"] |= place


@kernel
def note_payload(hosts: Hosts, context: _Record, connection: int, payload: int) -> None:
    """Note a flow's payload so far.

    The table calls this at packets 1, 2, 4, 8, ... of a flow only: exact and cheap.
    """
    _note_payload(hosts, context["src_host"], context["src_at"], connection, payload)
    _note_payload(hosts, context["dst_host"], context["dst_at"], connection, payload)


@kernel
def _note_payload(hosts: Hosts, slot: int, at: int, connection: int, payload: int) -> None:
    host, past = hosts.hosts[slot], hosts.past[slot * WINDOW_FLOWS + at]
    if host["flows"] == 1:
        if host["connection"] == connection:
            host["payload"] = payload
    elif past["connection"] == connection:
        _add_payload(hosts, slot, at, payload - past["payload"])
        past["payload"] = payload


@kernel
def _add_payload(hosts: Hosts, slot: int, at: int, payload: int) -> None:
    """Add to the windows that hold the flow in this place."""
    back = ((int(hosts.rings[slot]["head"]) - at - 1) & (WINDOW_FLOWS - 1)) + 1
    for window in range(WINDOWS * slot, WINDOWS * slot + WINDOWS):
        if back <= hosts.sums[window]["flows"]:
            hosts.sums[window]["payload"] += payload


@kernel
def refuse(hosts: Hosts, packet: _Record) -> None:
    """An ICMP error came back: refuse the latest unanswered flow that it can be the answer to."""
    source = _known(hosts, packet["dst_high"], packet["dst_low"], SOURCE)
    target = _known(hosts, packet["src_high"], packet["src_low"], TARGET)
    if source >= 0 and target >= 0:
        _refuse_latest(hosts, source, target)
        _refuse_latest(hosts, target, source)


@kernel
def _known(hosts: Hosts, high: np.uint64, low: np.uint64, role: int) -> int:
    return int(slot_of(hosts, high, low, role, host_tag(hosts, high, low, role)))


@kernel
def _refuse_latest(hosts: Hosts, slot: int, peer: int) -> None:
    host, serial = hosts.hosts[slot], hosts.hosts[peer]["serial"]
    if host["flows"] == 1:
        if host["peer"] == serial and host["unanswered"]:
            host["unanswered"], host["refused"] = 0, 1
        return
    ring = hosts.rings[slot]
    same_peer = equal(hosts.peers, slot * WINDOW_FLOWS, serial)
    remembered = before(ring["head"], _flows_in(hosts, slot, WINDOWS - 1))
    waiting = turned(same_peer & remembered & ring["unanswered"], -ring["head"])
    if waiting:
        _settle(ring, turned(bit(newest(waiting)), ring["head"]), True)
