"""Pair ICMP messages: a request and its reply are one flow, other messages are not.

Source: version 1 of github.com/corelight/community-id-spec, which took the pairs from Zeek.
"""

from __future__ import annotations

import numpy as np

from idskit.kernels.compile import kernel
from idskit.packet import ICMP, ICMPV6, PAIRS

_Record = np.void

_ONE_WAY = 256  # above all types: there is no reply
_ANSWERS = np.full((2, 256), _ONE_WAY, np.int64)
for _row, _protocol in enumerate((ICMP, ICMPV6)):
    for _a, _b in PAIRS[_protocol]:
        _ANSWERS[_row, _a], _ANSWERS[_row, _b] = _b, _a


@kernel
def put_icmp_ports(packet: _Record) -> None:
    """Put the ICMP types of a message and of its reply where ports stand, as in a Community ID.

    A message without a reply has its code as the second port and a number above all codes as the
    first, so that the same message in the other direction is another flow.
    """
    kind = int(packet["icmp_type"])
    answer = _ANSWERS[int(packet["protocol"] == ICMPV6), kind]
    packet["src_port"] = kind if answer != _ONE_WAY else kind + _ONE_WAY
    packet["dst_port"] = answer if answer != _ONE_WAY else packet["icmp_code"]
