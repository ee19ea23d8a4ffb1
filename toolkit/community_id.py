"""Community ID: the flow hash that Suricata, Zeek, Wireshark and Elastic share.

Source: version 1 of github.com/corelight/community-id-spec. Both directions of a flow give the same
identifier. ICMP has no ports: its type, and the type that answers it, take their place as in Zeek;
a type that nothing answers counts as one-way and its endpoints are never swapped.
"""

from __future__ import annotations

import base64
import hashlib
import struct

from idskit.packet import ICMP, ICMPV6, PAIRS, SCTP, TCP, UDP

_ANSWERS = {
    protocol: {a: b for pair in pairs for a, b in (pair, pair[::-1])}
    for protocol, pairs in PAIRS.items()
}


def community_id(
    src: bytes, dst: bytes, protocol: int, src_port: int = 0, dst_port: int = 0, *, seed: int = 0
) -> str:
    """Community ID version 1 of a flow.

    Args:
        src: source address, 4 or 16 bytes in network order.
        dst: destination address, as long as ``src``.
        protocol: IP protocol number.
        src_port: TCP, UDP or SCTP port; the type of an ICMP message.
        dst_port: TCP, UDP or SCTP port; the code of an ICMP message.
        seed: the domain of the identifiers; tools only agree under the same one.

    Example:
        >>> community_id(bytes([192, 168, 1, 52]), bytes([8, 8, 8, 8]), 17, 54585, 53)
        '1:d/FP5EW3wiY1vCndhwleRRKHowQ='
    """
    one_way = False
    if protocol in _ANSWERS:
        answer = _ANSWERS[protocol].get(src_port)
        one_way = answer is None
        dst_port = dst_port if answer is None else answer
    low, high = (src, src_port), (dst, dst_port)
    if not one_way and high < low:
        low, high = high, low
    text = struct.pack("!H", seed) + low[0] + high[0] + struct.pack("!BB", protocol, 0)
    if protocol in (ICMP, TCP, UDP, ICMPV6, SCTP):
        text += struct.pack("!HH", low[1], high[1])
    digest = hashlib.sha1(text, usedforsecurity=False).digest()
    return "1:" + base64.b64encode(digest).decode()
