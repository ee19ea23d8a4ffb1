"""Flow records: what a finished flow is, and why it ended."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address, ip_address

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

MAPPED = 0xFFFF << 32  # ::ffff:0:0/96, RFC 4291, 2.5.5.2: IPv4 addresses in IPv6

ENDS = ("verdict", "idle", "age", "close", "replaced", "evicted", "capture_end")

VERDICT, IDLE, AGE, CLOSE, REPLACED, EVICTED, CAPTURE_END = range(len(ENDS))


def addresses(high: NDArray[np.uint64], low: NDArray[np.uint64]) -> list[str]:
    """Addresses as text: IPv4 where they are mapped (::ffff:a.b.c.d), else IPv6."""
    words = zip(high.tolist(), low.tolist(), strict=True)
    return [address_text(upper << 64 | lower) for upper, lower in words]


@lru_cache(maxsize=1 << 14)
def address_text(address: int) -> str:
    """Return an address, a number of 128 bits, as text: IPv4 where it is mapped into IPv6."""
    found = IPv6Address(address)
    return str(found.ipv4_mapped or found)


def address_number(text: str) -> int:
    """Return an address as a number of 128 bits: IPv4 mapped into IPv6.

    Raises:
        ValueError: it is no address.
    """
    address = ip_address(text)
    return int(address) | (MAPPED if address.version == 4 else 0)
