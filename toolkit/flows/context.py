"""What a host has been doing: its last flows, as source and as target of others.

A single flow of a scan or of password guessing looks harmless; the flows around it do not. When a
flow begins, the last ``WINDOW_FLOWS`` flows begun by its source, and those begun towards its
destination, are summed up over three windows: the last 2 s, the last 10 s, all of them. The sums
are a snapshot: they depend on packets that came before and on nothing else, not on time-outs,
sweeps or how long the flow goes on, so live traffic and captures give the same.

Source of the idea: the traffic features of KDD Cup 1999 (Lee and Stolfo, "A Framework for
Constructing Features and Models for Intrusion Detection Systems", ACM TISSEC 3(4), 2000).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from idskit.flows.kernel import borrowed, kernel
from idskit.flows.places import PLACE, drop, make_places, put
from idskit.flows.pointers import rows, touch
from idskit.flows.table import address_sum, scrambled

_Record = np.void
_Records = NDArray[np.void]

WINDOW_FLOWS = 100  # flows remembered of a host in each role
SHORT_US, LONG_US = 2_000_000, 10_000_000
SOURCE, TARGET = 0, 1  # roles: a host is remembered apart in each
WINDOWS = 3  # short, long, all
PROTECTED = 4  # flows after which a host is forgotten only after all hosts with fewer

# A host in one role.
_HOST = np.dtype(
    [
        ("high", "<u8"),
        ("low", "<u8"),
        ("tag", "<u4"),
        ("role", "<i4"),
        ("next", "<i4"),  # least recently used first; in the free list for a free slot
        ("previous", "<i4"),
        ("head", "<i4"),  # where its next flow is written
        ("flows", "<i4"),  # remembered, at most WINDOW_FLOWS
    ],
    align=True,
)
# One remembered flow. The peer is the other end.
_PAST = np.dtype(
    [
        ("start", "<i8"),
        ("peer_high", "<u8"),
        ("peer_low", "<u8"),
        ("connection", "<i8"),  # which flow of the table this is
        ("payload", "<i8"),  # bytes, both directions, see ``note_payload``
        ("counts", "<i8"),  # what this flow adds to the sums of a later one
        ("service", "<i4"),  # protocol * 65536 + destination port
        ("src_port", "<i4"),
    ],
    align=True,
)

# Sums over one window: eight counts of eight bits, since at most WINDOW_FLOWS fit, and the payload.
# UNANSWERED to SAME_PAIR are over the earlier flows, without the one that begins. In a remembered
# flow PEERS, SERVICES, PORTS are 1 where no later flow of the host has the same: so the sums count
# each once.
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
_LIST = np.dtype([("head", "<i4"), ("tail", "<i4")])


# What changes with every flow.
_STATE = np.dtype(
    [
        ("mask", "<i8"),  # number of places less one
        ("capacity", "<i8"),  # most hosts remembered at once
        ("used", "<i8"),  # places ever used
        ("forgotten", "<i8"),  # hosts forgotten for want of room
    ],
    align=True,
)


class Hosts(NamedTuple):
    """The arrays of the host memory; inside the kernels, bare pointers to them."""

    keys: NDArray[np.int64]  # secret of the hash
    state: _Records  # (1,) _STATE
    places: _Records  # (power of two,) PLACE: hosts by the hash of address and role
    hosts: _Records  # (capacity,) _HOST
    past: _Records  # (capacity * WINDOW_FLOWS,) _PAST
    lists: _Records  # (2,) _LIST by recent use: hosts with few flows, hosts with PROTECTED or more


def make_hosts(capacity: int, keys: NDArray[np.int64]) -> Hosts:
    """Memory for ``capacity`` hosts, counting each role of a host."""
    places = make_places(capacity)
    state = np.zeros(1, _STATE)
    state["mask"], state["capacity"] = len(places) - 1, capacity
    return Hosts(
        keys=keys,
        state=state,
        places=places,
        hosts=np.zeros(capacity, _HOST),
        past=np.zeros(capacity * WINDOW_FLOWS, _PAST),
        lists=np.full(4, -1, np.int32).view(_LIST),
    )


@kernel
def bare_hosts(hosts: Hosts) -> Hosts:
    """The same memory by pointers: how an entry kernel hands it to the others."""
    return Hosts(
        borrowed(hosts.keys),
        rows(hosts.state),
        rows(hosts.places),
        rows(hosts.hosts),
        rows(hosts.past),
        rows(hosts.lists),
    )


def bytes_per_host() -> int:
    """What one host in one role takes, its share of the index included."""
    return _HOST.itemsize + WINDOW_FLOWS * _PAST.itemsize + 4 * PLACE.itemsize


# Finding a host, or making room for it.


@kernel
def _slot_of(hosts: Hosts, high: np.uint64, low: np.uint64, role: int, tag: int) -> int:
    places, mask = hosts.places, hosts.state[0]["mask"]
    at = tag & mask
    while places[at]["slot"]:
        if places[at]["tag"] == tag:
            slot = int(places[at]["slot"]) - 1
            host = hosts.hosts[slot]
            if host["low"] == low and host["high"] == high and host["role"] == role:
                return slot
        at = (at + 1) & mask
    return -1


@kernel
def _tag(hosts: Hosts, high: np.uint64, low: np.uint64, role: int) -> int:
    return int(scrambled(address_sum(hosts.keys, 0, high, low) + hosts.keys[6] * (role + 1)))


@kernel
def _list_of(host: _Record) -> int:
    return 1 if host["flows"] >= PROTECTED else 0


@kernel
def _push(hosts: Hosts, slot: int) -> None:
    """Make a host the most recently used of its list."""
    host, ends = hosts.hosts[slot], hosts.lists[_list_of(hosts.hosts[slot])]
    tail = ends["tail"]
    host["previous"], host["next"] = tail, -1
    if tail < 0:
        ends["head"] = slot
    else:
        hosts.hosts[tail]["next"] = slot
    ends["tail"] = slot


@kernel
def _pull(hosts: Hosts, slot: int) -> None:
    """Take a host out of its list."""
    host, ends = hosts.hosts[slot], hosts.lists[_list_of(hosts.hosts[slot])]
    previous, following = host["previous"], host["next"]
    if previous < 0:
        ends["head"] = following
    else:
        hosts.hosts[previous]["next"] = following
    if following < 0:
        ends["tail"] = previous
    else:
        hosts.hosts[following]["previous"] = previous


@kernel
def _free_slot(hosts: Hosts) -> int:
    """A slot never used, or that of the host to forget."""
    state = hosts.state[0]
    if state["used"] < state["capacity"]:
        state["used"] += 1
        return int(state["used"]) - 1
    slot = hosts.lists[0]["head"]
    if slot < 0:
        slot = hosts.lists[1]["head"]
    _touch_next(hosts, slot)
    _pull(hosts, slot)
    drop(hosts.places, state["mask"], slot, int(hosts.hosts[slot]["tag"]))
    state["forgotten"] += 1
    return int(slot)


@kernel
def _touch_next(hosts: Hosts, slot: int) -> None:
    """Have the hosts to be forgotten next at hand: the one after this already is."""
    following = hosts.hosts[slot]["next"]
    if following >= 0:
        touch(hosts.places, hosts.hosts[following]["tag"] & hosts.state[0]["mask"])
        following = hosts.hosts[following]["next"]
    if following >= 0:
        touch(hosts.hosts, following)
        touch(hosts.past, following * WINDOW_FLOWS)


@kernel
def touch_host(hosts: Hosts, high: np.uint64, low: np.uint64, role: int) -> None:
    """Have the slot of a host at hand."""
    touch(hosts.places, _tag(hosts, high, low, role) & hosts.state[0]["mask"])


@kernel
def _remember(hosts: Hosts, high: np.uint64, low: np.uint64, role: int) -> int:
    """Place of a host, now the most recently used and out of its list until its flow is added."""
    tag = _tag(hosts, high, low, role)
    slot = _slot_of(hosts, high, low, role, tag)
    if slot >= 0:
        _pull(hosts, slot)
        return slot
    slot = _free_slot(hosts)
    host = hosts.hosts[slot]
    host["high"], host["low"], host["role"], host["tag"] = high, low, role, tag
    host["head"] = host["flows"] = 0
    put(hosts.places, hosts.state[0]["mask"], slot, tag)
    return slot


# A flow begins.


@kernel
def begin(
    hosts: Hosts, context: _Record, windows: _Records, at: int, row: _Record, connection: int
) -> None:
    """Sum up what came before a flow, and remember it.

    Args:
        hosts: the memory.
        context: CONTEXT to fill.
        windows: WINDOW records; six are filled from ``at``: the source's three, the target's three.
        at: see ``windows``.
        row: FLOW record of the flow that begins.
        connection: its number in the flow table.
    """
    slot = _remember(hosts, row["src_high"], row["src_low"], SOURCE)
    past = _write(hosts, slot, row, row["dst_high"], row["dst_low"], connection)
    context["src_host"], context["src_at"] = slot, hosts.hosts[slot]["head"]
    context["src_span"] = _sum_up(hosts, slot, past, windows, at)
    _sum_intervals(hosts, slot, past, context, windows[at + 2])
    _advance(hosts, slot)
    slot = _remember(hosts, row["dst_high"], row["dst_low"], TARGET)
    past = _write(hosts, slot, row, row["src_high"], row["src_low"], connection)
    context["dst_host"], context["dst_at"] = slot, hosts.hosts[slot]["head"]
    context["dst_span"] = _sum_up(hosts, slot, past, windows, at + WINDOWS)
    _advance(hosts, slot)


@kernel
def _write(
    hosts: Hosts,
    slot: int,
    row: _Record,
    peer_high: np.uint64,
    peer_low: np.uint64,
    connection: int,
) -> _Record:
    past = hosts.past[slot * WINDOW_FLOWS + hosts.hosts[slot]["head"]]
    past["start"] = row["start_us"]
    past["peer_high"], past["peer_low"] = peer_high, peer_low
    past["connection"], past["payload"] = connection, 0
    past["service"] = (int(row["protocol"]) << 16) | int(row["dst_port"])
    past["src_port"] = row["src_port"]
    past["counts"] = _NEW | (1 << UNANSWERED)
    return past  # type: ignore[no-any-return]  # mypy: items of void arrays are Any


@kernel
def _advance(hosts: Hosts, slot: int) -> None:
    """Keep what ``_write`` wrote, and put the host back into its list."""
    host = hosts.hosts[slot]
    host["head"] = (host["head"] + 1) % WINDOW_FLOWS
    host["flows"] = min(host["flows"] + 1, WINDOW_FLOWS)
    _push(hosts, slot)


@kernel
def _sum_up(hosts: Hosts, slot: int, new: _Record, windows: _Records, at: int) -> int:
    """Fill the three windows of a host, newest flow first; return the time since the oldest."""
    host, counts, payload, open_window, gap = hosts.hosts[slot], _NEW, 0, 0, 0
    head, first, start = int(host["head"]), slot * WINDOW_FLOWS, int(new["start"])
    peer_high, peer_low = new["peer_high"], new["peer_low"]
    service, src_port = int(new["service"]), int(new["src_port"])
    for part in range(2):
        newest, stop = (head - 1, -1) if part == 0 else (int(host["flows"]) - 1, head)
        for position in range(first + newest, first + stop, -1):
            past = hosts.past[position]
            gap = start - past["start"]
            while open_window < _window_of(gap):
                windows[at + open_window]["counts"] = counts
                windows[at + open_window]["payload"] = payload
                open_window += 1
            counts += _common(past, peer_high, peer_low, service, src_port) + past["counts"]
            payload += past["payload"]
    for window in range(open_window, WINDOWS):
        windows[at + window]["counts"], windows[at + window]["payload"] = counts, payload
    return int(gap)


@kernel
def _window_of(gap: int) -> int:
    """The smallest window that reaches back so far."""
    return int(gap > SHORT_US) + int(gap > LONG_US)


@kernel
def _common(
    past: _Record, peer_high: np.uint64, peer_low: np.uint64, service: int, src_port: int
) -> int:
    """Count what an earlier flow shares with a new one; of that it is no longer the last."""
    same_peer = past["peer_low"] == peer_low and past["peer_high"] == peer_high
    if same_peer:
        _clear(past, 1 << PEERS)
    if past["src_port"] == src_port:
        _clear(past, 1 << PORTS)
    if past["service"] != service:
        return 0
    _clear(past, 1 << SERVICES)
    return (1 << SAME_SERVICE) + (int(same_peer) << SAME_PAIR)


@kernel
def _clear(past: _Record, bit: int) -> None:
    if past["counts"] & bit:  # writing only then: most flows had it cleared long ago
        past["counts"] ^= bit


@kernel
def count_of(window: _Record, which: int) -> int:
    """One of the sums of a window: FLOWS, PEERS, ..."""
    return int((window["counts"] >> which) & 0xFF)


@kernel
def _sum_intervals(
    hosts: Hosts, slot: int, new: _Record, context: _Record, window: _Record
) -> None:
    """Intervals between the flows of one source to the same peer and service."""
    context["interval_sum"], context["interval_squares"] = 0, 0.0
    left = count_of(window, SAME_PAIR)
    position, later = int(hosts.hosts[slot]["head"]), int(new["start"])
    while left:
        position = position - 1 if position else WINDOW_FLOWS - 1
        past = hosts.past[slot * WINDOW_FLOWS + position]
        if (
            past["service"] == new["service"]
            and past["peer_low"] == new["peer_low"]
            and past["peer_high"] == new["peer_high"]
        ):
            interval = later - past["start"]
            context["interval_sum"] += interval
            context["interval_squares"] += float(interval) * float(interval)
            later = int(past["start"])
            left -= 1


# What becomes of a flow is noted with both its hosts.


@kernel
def note_answer(hosts: Hosts, context: _Record, connection: int, refused: bool) -> None:
    """Note that a flow was answered, or refused, while its hosts remember it."""
    past = hosts.past[context["src_host"] * WINDOW_FLOWS + context["src_at"]]
    if past["connection"] == connection:
        _settle(past, refused)
    past = hosts.past[context["dst_host"] * WINDOW_FLOWS + context["dst_at"]]
    if past["connection"] == connection:
        _settle(past, refused)


@kernel
def _settle(past: _Record, refused: bool) -> None:
    """A flow that was unanswered is no longer."""
    past["counts"] &= ~(1 << UNANSWERED)
    if refused:
        past["counts"] |= 1 << REFUSED


@kernel
def note_payload(hosts: Hosts, context: _Record, connection: int, payload: int) -> None:
    """Note a flow's payload so far.

    The table calls this at packets 1, 2, 4, 8, ... of a flow only: exact and cheap.
    """
    past = hosts.past[context["src_host"] * WINDOW_FLOWS + context["src_at"]]
    if past["connection"] == connection:
        past["payload"] = payload
    past = hosts.past[context["dst_host"] * WINDOW_FLOWS + context["dst_at"]]
    if past["connection"] == connection:
        past["payload"] = payload


@kernel
def refuse(hosts: Hosts, packet: _Record) -> None:
    """An ICMP error came back: refuse the latest unanswered flow that it can be the answer to."""
    from_high, from_low = packet["src_high"], packet["src_low"]
    to_high, to_low = packet["dst_high"], packet["dst_low"]
    _refuse_latest(hosts, to_high, to_low, SOURCE, from_high, from_low)
    _refuse_latest(hosts, from_high, from_low, TARGET, to_high, to_low)


@kernel
def _refuse_latest(
    hosts: Hosts,
    high: np.uint64,
    low: np.uint64,
    role: int,
    peer_high: np.uint64,
    peer_low: np.uint64,
) -> None:
    slot = _slot_of(hosts, high, low, role, _tag(hosts, high, low, role))
    if slot < 0:
        return
    position = int(hosts.hosts[slot]["head"])
    for _ in range(hosts.hosts[slot]["flows"]):
        position = position - 1 if position else WINDOW_FLOWS - 1
        past = hosts.past[slot * WINDOW_FLOWS + position]
        is_peer = past["peer_low"] == peer_low and past["peer_high"] == peer_high
        if is_peer and past["counts"] & (1 << UNANSWERED):
            _settle(past, True)
            return
