"""Finalising arithmetic that the profiles share: from sums to means, deviations and rates.

Every ``put_...`` function writes consecutive columns of a feature row, starting at ``at``, and
returns the column after the last one.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from idskit.kernels.compile import kernel

_Record = np.void
_Row = NDArray[np.float64]


@kernel
def variance(count: int, total: int, squares: float) -> float:
    """Sample variance (divisor count - 1); 0 for fewer than two values.

    Values are shifted by the whole part of their mean first, so nothing cancels that would not in
    exact arithmetic as long as the products stay below 2**53.
    """
    if count < 2:
        return 0.0
    quotient = total // count
    rest = total - quotient * count
    shifted = squares - float(quotient) * float(total + rest)
    return max(shifted - float(rest) * float(rest) / count, 0.0) / (count - 1)


@kernel
def deviation(count: int, total: int, squares: float) -> float:
    """Sample standard deviation; 0 for fewer than two values."""
    return math.sqrt(variance(count, total, squares))


@kernel
def ratio(numerator: float, denominator: float) -> float:
    """Return a quotient, 0 where it is undefined."""
    return float(numerator / denominator) if denominator else 0.0


@kernel
def put_zeros(row: _Row, at: int, count: int) -> int:
    """``count`` zeros."""
    for column in range(at, at + count):
        row[column] = 0.0
    return at + count


@kernel
def put_sizes(row: _Row, at: int, side: _Record) -> int:
    """Payload Max, Min, Mean, Std of a direction; zeros if it has no packet."""
    count = side["packets"]
    row[at] = side["payload_max"] if count else 0
    row[at + 1] = side["payload_min"] if count else 0
    row[at + 2] = ratio(side["payload"], count)
    row[at + 3] = deviation(count, side["payload"], float(side["payload_squares"]))
    return at + 4


@kernel
def put_rates(row: _Row, at: int, duration: int, payload: int, packets: int) -> int:
    """Payload bytes and packets a second over the flow; -1 where it took no time."""
    row[at] = payload / (duration / 1e6) if duration else -1.0
    row[at + 1] = packets / (duration / 1e6) if duration else -1.0
    return at + 2


@kernel
def put_gaps(row: _Row, at: int, flow: _Record) -> int:
    """Gap Mean, Std, Max, Min over all packets of the flow."""
    count, total = flow["packets"] - 1, flow["last"] - flow["start"]
    row[at] = ratio(total, count)
    row[at + 1] = deviation(count, total, flow["gap_squares"])
    row[at + 2], row[at + 3] = flow["gap_max"], flow["gap_min"]
    return at + 4


@kernel
def put_side_gaps(row: _Row, at: int, side: _Record) -> int:
    """Gap Total, Mean, Std, Max, Min of a direction; zeros for fewer than two packets."""
    count, total = max(side["packets"] - 1, 0), side["last"] - side["first"]
    row[at] = total
    row[at + 1] = ratio(total, count)
    row[at + 2] = deviation(count, total, side["gap_squares"])
    row[at + 3], row[at + 4] = side["gap_max"], side["gap_min"]
    return at + 5


@kernel
def put_lengths(row: _Row, at: int, flow: _Record, fwd: _Record, bwd: _Record, again: int) -> int:
    """Payload Min, Max, Mean, Std, Variance over both directions.

    The first packet's payload is entered ``again`` times more (CICFlowMeter 4.0: once).
    """
    first = np.int64(flow["first_payload"])
    count = flow["packets"] + again
    total = fwd["payload"] + bwd["payload"] + again * first
    squares = fwd["payload_squares"] + bwd["payload_squares"] + again * first * first
    if fwd["packets"] and bwd["packets"]:
        row[at] = min(fwd["payload_min"], bwd["payload_min"])
    else:
        row[at] = fwd["payload_min"] if fwd["packets"] else bwd["payload_min"]
    row[at + 1] = max(fwd["payload_max"], bwd["payload_max"])
    row[at + 2] = ratio(total, count)
    row[at + 4] = variance(count, total, float(squares))
    row[at + 3] = math.sqrt(row[at + 4])
    return at + 5


@kernel
def put_side_rates(row: _Row, at: int, duration: int, fwd: _Record, bwd: _Record) -> int:
    """Packets a second of each direction; 0 where the flow took no time."""
    row[at] = fwd["packets"] / (duration / 1e6) if duration > 0 else 0.0
    row[at + 1] = bwd["packets"] / (duration / 1e6) if duration > 0 else 0.0
    return at + 2


@kernel
def put_flags(row: _Row, at: int, fwd: _Record, bwd: _Record) -> int:
    """FIN, SYN, RST, PSH, ACK, URG, CWR, ECE counts over both directions."""
    row[at] = fwd["fin"] + bwd["fin"]
    row[at + 1] = fwd["syn"] + bwd["syn"]
    row[at + 2] = fwd["rst"] + bwd["rst"]
    row[at + 3] = fwd["psh"] + bwd["psh"]
    row[at + 4] = fwd["ack"] + bwd["ack"]
    row[at + 5] = fwd["urg"] + bwd["urg"]
    row[at + 6] = fwd["cwr"] + bwd["cwr"]
    row[at + 7] = fwd["ece"] + bwd["ece"]
    return at + 8


@kernel
def put_bulk(row: _Row, at: int, side: _Record) -> int:
    """Bytes a bulk, packets a bulk, bytes a second in bulks."""
    row[at] = ratio(side["bulk_bytes"], side["bulks"])
    row[at + 1] = ratio(side["bulk_packets"], side["bulks"])
    row[at + 2] = ratio(side["bulk_bytes"], side["bulk_us"] / 1e6)
    return at + 3


@kernel
def put_subflows(row: _Row, at: int, flow: _Record, fwd: _Record, bwd: _Record) -> int:
    """Packets and payload bytes of each direction, divided by the number of gaps over 1 s."""
    row[at] = ratio(fwd["packets"], flow["subflows"])
    row[at + 1] = ratio(fwd["payload"], flow["subflows"])
    row[at + 2] = ratio(bwd["packets"], flow["subflows"])
    row[at + 3] = ratio(bwd["payload"], flow["subflows"])
    return at + 4


@kernel
def put_periods(row: _Row, at: int, flow: _Record) -> int:
    """Mean, Std, Max, Min of the active periods, then of the idle ones; zeros where none."""
    at = _put_active(row, at, flow)
    count = flow["idle"]
    if count:
        row[at] = flow["idle_sum"] / count
        row[at + 1] = deviation(count, flow["idle_sum"], flow["idle_squares"])
        row[at + 2], row[at + 3] = flow["idle_max"], flow["idle_min"]
    else:
        put_zeros(row, at, 4)
    return at + 4


@kernel
def _put_active(row: _Row, at: int, flow: _Record) -> int:
    count = flow["active"]
    if count:
        row[at] = flow["active_sum"] / count
        row[at + 1] = deviation(count, flow["active_sum"], flow["active_squares"])
        row[at + 2], row[at + 3] = flow["active_max"], flow["active_min"]
    else:
        put_zeros(row, at, 4)
    return at + 4


@kernel
def put_totals(row: _Row, at: int, duration: int, fwd: _Record, bwd: _Record) -> int:
    """Duration, packets, payload and its distribution in each direction, rates."""
    row[at] = duration
    row[at + 1], row[at + 2] = fwd["packets"], bwd["packets"]
    payload = fwd["payload"] + bwd["payload"]
    row[at + 3], row[at + 4] = fwd["payload"], bwd["payload"]
    at = put_sizes(row, at + 5, fwd)
    at = put_sizes(row, at, bwd)
    return put_rates(row, at, duration, payload, fwd["packets"] + bwd["packets"])


@kernel
def put_side_flags(row: _Row, at: int, fwd: _Record, bwd: _Record) -> int:
    """PSH, URG and RST counts, forward and backward."""
    row[at], row[at + 1] = fwd["psh"], bwd["psh"]
    row[at + 2], row[at + 3] = fwd["urg"], bwd["urg"]
    row[at + 4], row[at + 5] = fwd["rst"], bwd["rst"]
    return at + 6


@kernel
def put_starts(row: _Row, at: int, fwd: _Record, bwd: _Record) -> int:
    """Initial windows, packets with payload, smallest headers, forward and backward."""
    row[at], row[at + 1] = fwd["window"], bwd["window"]
    row[at + 2], row[at + 3] = fwd["data_packets"], bwd["data_packets"]
    row[at + 4], row[at + 5] = fwd["header_min"], bwd["header_min"]
    return at + 6
