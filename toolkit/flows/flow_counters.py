"""What each packet adds to the counters of its flow and of its direction."""

from __future__ import annotations

import numpy as np

from idskit.flows.flow_records import (
    ACTIVITY_US,
    BOTH_FINS,
    BULK_US,
    FIRST_FIN,
    OPEN,
    READY,
    SUBFLOW_US,
)
from idskit.kernels.compile import kernel
from idskit.packet import ACK, CWR, ECE, FIN, ICMP, ICMPV6, PSH, RST, SYN, URG

_Record = np.void


@kernel
def clear_side(side: _Record) -> None:
    """Clear the counters of a direction that nothing came in yet."""
    side["packets"] = side["data_packets"] = 0
    side["first"] = side["last"] = 0
    side["payload"] = side["payload_squares"] = 0
    side["payload_max"] = side["payload_min"] = 0
    side["header"] = side["wire"] = 0
    side["gap_squares"] = 0.0
    side["gap_max"] = side["gap_min"] = 0
    side["fin"] = side["syn"] = side["rst"] = side["psh"] = 0
    side["ack"] = side["urg"] = side["ece"] = side["cwr"] = 0
    side["retransmissions"] = side["header_min"] = 0
    side["window"] = side["last_window"] = 0
    side["bulk_start"] = side["bulk_last"] = 0
    side["bulk_bytes"] = side["bulk_us"] = side["bulk_run_bytes"] = 0
    side["bulk_run"] = side["bulk_packets"] = side["bulks"] = 0


@kernel
def add_packet(flow: _Record, side: _Record, packet: _Record, payload: int) -> None:
    """Count a packet in its flow and direction."""
    now = np.int64(packet["time_us"])
    if flow["packets"]:
        _add_flow_gap(flow, now - flow["last"])
    else:
        flow["first_payload"] = payload
        side["header_min"] = packet["header_bytes"]
    if side["packets"]:
        _add_gap(side, now - side["last"])
    else:
        side["first"] = now
        side["payload_max"] = side["payload_min"] = payload
    flow["last"] = side["last"] = now
    flow["packets"] += 1
    side["packets"] += 1
    side["wire"] += packet["wire_bytes"]
    _add_sizes(side, packet, payload)
    if packet["flags"]:
        _add_flags(side, int(packet["flags"]))


@kernel
def _add_flow_gap(flow: _Record, gap: int) -> None:
    if flow["packets"] == 1:
        flow["gap_max"] = flow["gap_min"] = gap
    else:
        flow["gap_max"] = max(flow["gap_max"], gap)
        flow["gap_min"] = min(flow["gap_min"], gap)
    flow["gap_squares"] += float(gap) * float(gap)
    if gap > SUBFLOW_US:
        flow["subflows"] += 1


@kernel
def _add_gap(side: _Record, gap: int) -> None:
    if side["packets"] == 1:
        side["gap_max"] = side["gap_min"] = gap
    else:
        side["gap_max"] = max(side["gap_max"], gap)
        side["gap_min"] = min(side["gap_min"], gap)
    side["gap_squares"] += float(gap) * float(gap)


@kernel
def _add_sizes(side: _Record, packet: _Record, payload: int) -> None:
    header = np.int64(packet["header_bytes"])
    side["header"] += header
    side["header_min"] = min(side["header_min"], header)
    side["last_window"] = packet["window"]
    side["payload"] += payload
    side["payload_squares"] += payload * payload
    side["payload_max"] = max(side["payload_max"], payload)
    side["payload_min"] = min(side["payload_min"], payload)
    if payload:
        side["data_packets"] += 1


@kernel
def _add_flags(side: _Record, flags: int) -> None:
    side["fin"] += (flags & FIN) != 0
    side["syn"] += (flags & SYN) != 0
    side["rst"] += (flags & RST) != 0
    side["psh"] += (flags & PSH) != 0
    side["ack"] += (flags & ACK) != 0
    side["urg"] += (flags & URG) != 0
    side["ece"] += (flags & ECE) != 0
    side["cwr"] += (flags & CWR) != 0


@kernel
def add_bulk(side: _Record, other_last: int, now: int, payload: int) -> None:
    """One step of the bulk machine; a start of 0 means that no run is open, as in the original."""
    if other_last > side["bulk_start"]:
        side["bulk_start"] = 0
    if payload <= 0:
        return
    if side["bulk_start"] == 0 or now - side["bulk_last"] > BULK_US:
        side["bulk_start"] = now
        side["bulk_run"], side["bulk_run_bytes"] = 1, payload
    else:
        _extend_bulk(side, now, payload)
    side["bulk_last"] = now


@kernel
def _extend_bulk(side: _Record, now: int, payload: int) -> None:
    side["bulk_run"] += 1
    side["bulk_run_bytes"] += payload
    if side["bulk_run"] == 4:
        side["bulks"] += 1
        side["bulk_packets"] += 4
        side["bulk_bytes"] += side["bulk_run_bytes"]
        side["bulk_us"] += now - side["bulk_start"]
    elif side["bulk_run"] > 4:
        side["bulk_packets"] += 1
        side["bulk_bytes"] += payload
        side["bulk_us"] += now - side["bulk_last"]


@kernel
def add_activity(flow: _Record, now: int) -> None:
    """Close an active and an idle period where a gap is longer than ACTIVITY_US."""
    gap = now - flow["active_end"]
    if gap > ACTIVITY_US:
        period = flow["active_end"] - flow["active_start"]
        if period > 0:
            _add_active(flow, period)
        _add_idle(flow, gap)
        flow["active_start"] = now
    flow["active_end"] = now


@kernel
def _add_active(flow: _Record, period: int) -> None:
    if flow["active"] == 0:
        flow["active_sum"], flow["active_squares"] = 0.0, 0.0
        flow["active_max"] = flow["active_min"] = period
    flow["active"] += 1
    flow["active_sum"] += period
    flow["active_squares"] += float(period) * float(period)
    flow["active_max"] = max(flow["active_max"], period)
    flow["active_min"] = min(flow["active_min"], period)


@kernel
def _add_idle(flow: _Record, gap: int) -> None:
    if flow["idle"] == 0:
        flow["idle_sum"], flow["idle_squares"] = 0.0, 0.0
        flow["idle_max"] = flow["idle_min"] = gap
    flow["idle"] += 1
    flow["idle_sum"] += gap
    flow["idle_squares"] += float(gap) * float(gap)
    flow["idle_max"] = max(flow["idle_max"], gap)
    flow["idle_min"] = min(flow["idle_min"], gap)


@kernel
def follow_teardown(flow: _Record, side: _Record, other: _Record, flags: int) -> None:
    """Advance the teardown state of a TCP flow after a packet of direction ``side`` was added.

    A FIN of each side and an ACK, or a RST, make it READY: the next SYN begins another flow.
    """
    if flags & FIN:
        if flow["tcp"] == OPEN:
            flow["tcp"] = FIRST_FIN
        elif flow["tcp"] == FIRST_FIN and side["fin"] > 0 and other["fin"] > 0:
            flow["tcp"] = BOTH_FINS
    elif flags & RST or (flags & ACK and flow["tcp"] == BOTH_FINS):
        flow["tcp"] = READY


@kernel
def is_other_message(flow: _Record, packet: _Record) -> bool:
    """ICMP of another type and another code than the flow's first; one of the two is not enough."""
    return bool(
        flow["protocol"] in (ICMP, ICMPV6)
        and flow["icmp_type"] != packet["icmp_type"]
        and flow["icmp_code"] != packet["icmp_code"]
    )
