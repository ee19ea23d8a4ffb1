"""Writes the columns of ``gateway`` into a row."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from idskit.flows.flow_statistics import (
    deviation,
    put_bulk,
    put_flags,
    put_gaps,
    put_lengths,
    put_periods,
    put_side_flags,
    put_side_gaps,
    put_side_rates,
    put_starts,
    put_subflows,
    put_totals,
    ratio,
)
from idskit.flows.host_context import (
    FLOWS,
    PEERS,
    PORTS,
    REFUSED,
    SAME_PAIR,
    SAME_SERVICE,
    SERVICES,
    UNANSWERED,
    count_of,
)
from idskit.flows.host_slots import WINDOWS
from idskit.kernels.compile import kernel
from idskit.packet import ICMP, ICMPV6, TCP, UDP

_Record = np.void
_Records = NDArray[np.void]
_Row = NDArray[np.float64]


@kernel
def put_statistics(row: _Row, at: int, flow: _Record, fwd: _Record, bwd: _Record) -> int:
    """Write the statistics of a flow in the order of ``STATISTICS``; return the next column."""
    duration = flow["last"] - flow["start"]
    row[at], row[at + 1] = flow["protocol"] == TCP, flow["protocol"] == UDP
    row[at + 2] = flow["protocol"] in (ICMP, ICMPV6)
    at = put_totals(row, at + 3, duration, fwd, bwd)
    at = put_gaps(row, at, flow)
    at = put_side_gaps(row, at, fwd)
    at = put_side_gaps(row, at, bwd)
    at = put_side_flags(row, at, fwd, bwd)
    row[at], row[at + 1] = fwd["header"], bwd["header"]
    at = put_side_rates(row, at + 2, duration, fwd, bwd)
    at = put_lengths(row, at, flow, fwd, bwd, 0)
    at = put_flags(row, at, fwd, bwd)
    row[at] = ratio(bwd["packets"], fwd["packets"])
    at = put_bulk(row, at + 1, fwd)
    at = put_bulk(row, at, bwd)
    at = put_subflows(row, at, flow, fwd, bwd)
    at = put_starts(row, at, fwd, bwd)
    at = put_periods(row, at, flow)
    row[at], row[at + 1] = flow["icmp_code"], flow["icmp_type"]
    return at + 2


@kernel
def put_context(row: _Row, at: int, windows: _Records, context: _Record, slot: int) -> int:
    """Write what the hosts of a flow had done when it began; return the next column."""
    first = 2 * WINDOWS * slot
    for window in range(first, first + WINDOWS):
        at = _put_window(row, at, windows[window])
    row[at] = context["src_span"]
    at += 1
    for window in range(first + WINDOWS, first + 2 * WINDOWS):
        at = _put_window(row, at, windows[window])
    row[at] = context["dst_span"]
    intervals = count_of(windows[first + WINDOWS - 1], SAME_PAIR)
    mean = ratio(context["interval_sum"], intervals)
    spread = deviation(intervals, context["interval_sum"], context["interval_squares"])
    row[at + 1], row[at + 2] = intervals, mean
    row[at + 3] = spread / mean if intervals > 1 and mean > 0 else -1.0
    return at + 4


@kernel
def _put_window(row: _Row, at: int, window: _Record) -> int:
    flows = count_of(window, FLOWS)
    row[at] = flows
    row[at + 1] = count_of(window, PEERS)
    row[at + 2] = count_of(window, SERVICES)
    row[at + 3] = count_of(window, PORTS)
    row[at + 4] = ratio(count_of(window, UNANSWERED), flows - 1)
    row[at + 5] = ratio(count_of(window, REFUSED), flows - 1)
    row[at + 6] = (count_of(window, SAME_SERVICE) + 1) / flows
    row[at + 7] = ratio(window["payload"], flows - 1)
    return at + 8
