"""Judge checksums of TCP segments: right, wrong, or left to a network card.

Only segments that may decide something (SYN, FIN, RST) are looked at. A capture taken where a
segment was sent shows it before the card has filled in the checksum: what stands there then is
nothing, or the folded sum of the pseudo-header with or without the length, which is recognised.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from idskit.kernels.compile import kernel, signed
from idskit.packet import OFFLOADED, RIGHT, TCP, UNKNOWN, WRONG

_Bytes = NDArray[np.uint8]

_MOST_BYTES = 1500  # a longer segment was merged or is yet to be cut: its checksum means nothing
_CHECKSUM_AT = 16


@kernel
def segment_checksum(data: _Bytes, ip: int, at: int, end: int, ip_end: int) -> int:
    """Judge the TCP segment from ``at`` to ``ip_end`` behind the IP header at ``ip``.

    ``end`` is the end of the captured bytes: what is not there cannot be judged, nor can a segment
    behind IPv6 extension headers, which may change the address that counts.
    """
    size = ip_end - at
    if ip_end > end or size > _MOST_BYTES:
        return UNKNOWN
    if signed(data[ip]) >> 4 == 4:
        if not _is_header_right(data, ip, at):
            return WRONG
        pseudo = TCP + _sum(data, ip + 12, ip + 20)
    elif at != ip + 40:
        return UNKNOWN
    else:
        pseudo = TCP + _sum(data, ip + 8, ip + 40)
    if _fold(pseudo + size + _sum(data, at, ip_end)) == 0xFFFF:
        return RIGHT
    field = signed(data[at + _CHECKSUM_AT]) << 8 | signed(data[at + _CHECKSUM_AT + 1])
    return OFFLOADED if field in (0, _fold(pseudo), _fold(pseudo + size)) else WRONG


@kernel
def _is_header_right(data: _Bytes, ip: int, at: int) -> bool:
    """Return whether the checksum of an IPv4 header is right, or 0: left to a card."""
    is_empty = not (data[ip + 10] or data[ip + 11])
    return bool(is_empty or _fold(_sum(data, ip, at)) == 0xFFFF)


@kernel
def _sum(data: _Bytes, at: int, end: int) -> int:
    """Return the sum of the 16-bit words from ``at`` to ``end``; an odd last byte is a high one."""
    total = 0
    for i in range(at, end - 1, 2):
        total += (signed(data[i]) << 8) + signed(data[i + 1])
    return total + (signed(data[end - 1]) << 8 if (end - at) & 1 else 0)


@kernel
def _fold(total: int) -> int:
    """Return the sum in one's complement (RFC 1071)."""
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total
