"""Regular contacts: which services of which hosts a device calls as by a timer.

    flows ──> contacts of a pair, the latest 24 ──> how much likelier a timer made them than chance

A timer is no attack: clocks, health checks, sensors and updates have one too, and no model here
tells them from a beacon. So a pair is suspected only where a site was learned in which no device
had such a contact (``Levels.is_new_contact``). Otherwise regularity changes nothing.

Intervals are compared with a uniform distribution around their median, of five widths, in which one
of ten may be of another kind (a call that failed, a laptop that slept); the alternative is chance,
an exponential distribution. The logarithm of the ratio is in nats, as all evidence is.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from idskit.incidents.sequential.nats import OPENS, is_one_of
from idskit.local_network import are_local
from idskit.packet import TCP, UDP

TEST = "contacts at regular intervals"
MOST_PAIRS = 4_096  # that called twice or more; as many that called once
KEPT = 24  # latest contacts of a pair
LEAST = 10  # contacts from which on a pair is judged
# Connections that begin so soon after another one are of the same contact, and so are further rows
# of a flow: they begin when it did.
MERGED_US = 200_000
_HANDSHAKE = 3  # packets of a client from which on a connection was not refused
_NTP, _NTP_FRAME = 123, 110  # port; bytes of a request over IPv6: pools change their servers
_OFTEN = 4  # a pair is judged again after a quarter more contacts, but not after more than KEPT
_JITTERS = np.array([0.05, 0.1, 0.2, 0.35, 0.5])[:, None]  # half widths, of the median
_IN_TIME = 0.9  # share of the intervals of a timer that are in its range

Pair = tuple[int, int, int, int]  # source, destination, protocol, port


@dataclass(slots=True, eq=False)
class Caller:
    """The contacts of a pair.

    Attributes:
        contacts: number of them.
        counted: number of them that an incident counts.
        is_regular: whether a timer made the latest.
        times: when the latest began, in microseconds.
    """

    contacts: int = 0
    counted: int = 0
    is_regular: bool = False
    times: deque[int] = field(default_factory=lambda: deque(maxlen=KEPT))
    _judged_next: int = LEAST

    def add(self, start_us: int) -> None:
        """Count a contact, unless it is the latest one or an earlier one."""
        if self.times and start_us < self.times[-1] + MERGED_US:
            return
        self.times.append(start_us)
        self.contacts += 1
        if self.contacts >= self._judged_next:
            self.is_regular = timer_nats(self.times) >= OPENS
            self._judged_next = self.contacts + min(KEPT, max(1, self.contacts // _OFTEN))

    def take(self) -> int:
        """Return how many contacts no incident counts yet, and count them."""
        more, self.counted = self.contacts - self.counted, self.contacts
        return more


class RegularContacts:
    """The pairs of a stream of flows.

    Attributes:
        evicted: pairs of several contacts that were dropped because there were too many.
    """

    def __init__(self) -> None:
        self.evicted = 0
        self._once: OrderedDict[Pair, Caller] = OrderedDict()
        self._callers: OrderedDict[Pair, Caller] = OrderedDict()  # the latest that called last

    def observe(self, flows: NDArray[np.void]) -> dict[int, Caller]:
        """Count (n,) FLOW records, and return the regular pairs of them by row."""
        rows = np.flatnonzero(_may_call(flows))
        found = {}
        for row, pair, start_us in zip(rows.tolist(), *_contacts(flows[rows]), strict=True):
            caller = self._caller(pair)
            caller.add(start_us)
            if caller.is_regular:
                found[row] = caller
        return found

    def _caller(self, pair: Pair) -> Caller:
        """Return what is known of a pair; forged pairs of one contact evict each other only."""
        known = self._callers.get(pair)
        if known is not None:
            self._callers.move_to_end(pair)
            return known
        once = self._once.pop(pair, None)
        if once is None:
            caller = self._once[pair] = Caller()
            _limit(self._once)
            return caller
        self._callers[pair] = once
        self.evicted += _limit(self._callers)
        return once


def timer_nats(times_us: deque[int]) -> float:
    """Return how much likelier a timer made contacts than chance, as a logarithm.

    Args:
        times_us: when at least three contacts began, in their order.
    """
    gaps = np.diff(np.array(times_us, np.float64))
    median, mean = np.median(gaps), gaps.mean()
    by_chance = np.exp(-gaps / mean) / mean
    widths = 2 * _JITTERS * median
    in_range = np.abs(gaps - median) <= widths / 2
    by_timer = _IN_TIME * in_range / widths + (1 - _IN_TIME) * by_chance
    ratios = np.log(by_timer / by_chance).sum(axis=1)
    return float(ratios.max()) - math.log(len(_JITTERS))


def _may_call(flows: NDArray[np.void]) -> NDArray[np.bool_]:
    """Return which of (n,) FLOW records a device of this network opened to a host that answered.

    The host is of another network: a hub that polls a lamp is no news. Who calls a server that is
    down is no beacon yet.
    """
    local = are_local(flows)
    answered = flows["bwd_packets"] > 0
    answered &= (flows["protocol"] != TCP) | (flows["fwd_packets"] >= _HANDSHAKE)
    asks_time = (flows["protocol"] == UDP) & (flows["dst_port"] == _NTP)
    asks_time &= flows["fwd_bytes"] <= _NTP_FRAME * flows["fwd_packets"]
    calls = is_one_of(flows["protocol"], (TCP, UDP)) & local[:, 0] & ~local[:, 1]
    return np.asarray(calls & answered & ~asks_time)


def _contacts(flows: NDArray[np.void]) -> tuple[list[Pair], list[int]]:
    """Return the pairs of (n,) FLOW records, and when each began."""
    words = [flows[f"{end}_{part}"].tolist() for end in ("src", "dst") for part in ("high", "low")]
    pairs = [
        (src_high << 64 | src_low, dst_high << 64 | dst_low, protocol, port)
        for src_high, src_low, dst_high, dst_low, protocol, port in zip(
            *words, flows["protocol"].tolist(), flows["dst_port"].tolist(), strict=True
        )
    ]
    return pairs, flows["start_us"].tolist()


def _limit(callers: OrderedDict[Pair, Caller]) -> bool:
    """Drop the pair that called longest ago if there are too many; return whether it was."""
    is_full = len(callers) > MOST_PAIRS
    if is_full:
        callers.popitem(last=False)
    return is_full
