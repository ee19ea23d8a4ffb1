"""Which addresses belong to this network: private ones, unless stated otherwise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from idskit.flow import MAPPED

# IPv4: RFC 1918, RFC 6598, loopback, link-local; network and mask as numbers.
_IPV4 = (
    (0x0A000000, 0xFF000000),
    (0xAC100000, 0xFFF00000),
    (0xC0A80000, 0xFFFF0000),
    (0x64400000, 0xFFC00000),
    (0x7F000000, 0xFF000000),
    (0xA9FE0000, 0xFFFF0000),
)


def are_local(flows: NDArray[np.void]) -> NDArray[np.bool_]:
    """Return whether source and destination of (n,) FLOW records are local, as (n, 2)."""
    ends = [_are_local(flows[f"{end}_high"], flows[f"{end}_low"]) for end in ("src", "dst")]
    return np.stack(ends, axis=1)


def go_to_groups(flows: NDArray[np.void]) -> NDArray[np.bool_]:
    """Return whether (n,) FLOW records go to a multicast group, or to all hosts of a network.

    These are RFC 5771 and RFC 4291, 2.7, and the limited broadcast of RFC 919.
    """
    high, low = flows["dst_high"], flows["dst_low"]
    ipv4 = low & np.uint64(0xFFFFFFFF)
    groups = (ipv4 >> np.uint64(28) == 0xE) | (ipv4 == 0xFFFFFFFF)
    return np.asarray(np.where(_are_ipv4(high, low), groups, high >> np.uint64(56) == 0xFF))


def is_local(address: int) -> bool:
    """Return whether an address, as a number of 128 bits, is local."""
    high, low = np.array([address >> 64], np.uint64), np.array([address & (1 << 64) - 1], np.uint64)
    return bool(_are_local(high, low)[0])


def _are_local(high: NDArray[np.uint64], low: NDArray[np.uint64]) -> NDArray[np.bool_]:
    ipv4 = low & np.uint64(0xFFFFFFFF)
    private = np.zeros(len(high), bool)
    for network, mask in _IPV4:
        private |= ipv4 & np.uint64(mask) == network
    first = high >> np.uint64(48)
    ipv6 = (first & 0xFE00 == 0xFC00) | (first & 0xFFC0 == 0xFE80)  # RFC 4193, RFC 4291
    return np.asarray(np.where(_are_ipv4(high, low), private, ipv6))


def _are_ipv4(high: NDArray[np.uint64], low: NDArray[np.uint64]) -> NDArray[np.bool_]:
    return np.asarray((high == 0) & (low >> np.uint64(32) == MAPPED >> 32))
