"""Flow records: what a finished flow is, and why it ended."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address

import numpy as np
from numpy.typing import NDArray

# A finished flow as ``FlowBatch.flows`` shows it. Forward is the direction of ``src``.
FLOW = np.dtype(
    [
        ("start_us", "<i8"),  # first packet, microseconds since the epoch
        ("end_us", "<i8"),  # last packet
        ("src_high", "<u8"),  # addresses as in PACKET: IPv4 is mapped into IPv6
        ("src_low", "<u8"),
        ("dst_high", "<u8"),
        ("dst_low", "<u8"),
        ("fwd_packets", "<i8"),
        ("bwd_packets", "<i8"),
        ("fwd_bytes", "<i8"),  # frames on the wire, link headers included
        ("bwd_bytes", "<i8"),
        ("serial", "<i8"),  # with ``slot``, the same in all rows of a flow of ``gateway``; else 0
        ("slot", "<i4"),  # in the flow table
        ("src_port", "<u2"),
        ("dst_port", "<u2"),
        ("icmp_type", "<i2"),  # of the first packet, -1 where it is not ICMP
        ("icmp_code", "<i2"),
        ("vlan", "<u2"),  # VLAN identifier plus one, 0 untagged
        ("protocol", "u1"),
        ("ip_version", "u1"),
        ("end", "u1"),  # why it was emitted: an index of ENDS
        ("reversed_id", "u1"),  # 1: CICFlowMeter's "Flow ID" names dst first
        ("interface", "u1"),  # index of ``FlowReader.interfaces``, 0 where there is one source
    ],
    align=True,
)

ENDS = ("verdict", "idle", "age", "close", "replaced", "evicted", "capture_end")

VERDICT, IDLE, AGE, CLOSE, REPLACED, EVICTED, CAPTURE_END = range(len(ENDS))


def addresses(high: NDArray[np.uint64], low: NDArray[np.uint64]) -> list[str]:
    """Addresses as text: IPv4 where they are mapped (::ffff:a.b.c.d), else IPv6."""
    return [_address(*words) for words in zip(high.tolist(), low.tolist(), strict=True)]


@lru_cache(maxsize=1 << 14)
def _address(high: int, low: int) -> str:
    address = IPv6Address((high << 64) | low)
    return str(address.ipv4_mapped or address)
