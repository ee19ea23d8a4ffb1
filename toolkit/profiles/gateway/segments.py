"""Super-packets, which offloading (GRO, LRO, TSO) makes of TCP segments, as what they stand for.

A gateway may capture one packet of 64 KiB where forty-five were on the wire. It is cut again: every
segment but the last is as long as the connection's maximum segment size allows, and all have the
time of the whole.
"""

from __future__ import annotations

import numpy as np

from idskit.kernels.compile import kernel, signed
from idskit.packet import CWR, FIN, PSH, TCP

_Record = np.void

_FRAME_BYTES = 1500  # IP bytes of a segment where no SYN told; a longer packet was merged
_LEAST_MSS = 536  # RFC 9293, 3.7.1; who announces less must not blow up what is counted


@kernel
def segment_bytes(connection: _Record, packet: _Record) -> int:
    """Payload of a full segment of the packet's connection; 0 where it is one segment anyway.

    The smaller of the sizes that both ends announced, less this packet's TCP options (RFC 6691).
    """
    if packet["protocol"] != TCP:
        return 0
    payload = signed(packet["payload_bytes"]) + signed(packet["cut_bytes"])
    if payload <= _LEAST_MSS - 40:
        return 0
    full = _announced(connection)
    options = signed(packet["header_bytes"]) - 20
    if full:
        full = max(full, _LEAST_MSS) - options
    elif signed(packet["ip_bytes"]) > _FRAME_BYTES:
        full = _FRAME_BYTES - (signed(packet["ip_bytes"]) - payload)
    return full if 0 < full < payload else 0


@kernel
def _announced(connection: _Record) -> int:
    a, b = int(connection["mss_a"]), int(connection["mss_b"])
    return min(a, b) if a and b else max(a, b)


@kernel
def cut_segment(packet: _Record, size: int, whole: _Record) -> None:
    """Make ``packet``, a copy of ``whole`` or what was left of it, its next segment.

    ``whole`` keeps what is behind it. CWR belongs to the first segment, FIN and PSH to the last.
    """
    left = signed(whole["payload_bytes"]) + signed(whole["cut_bytes"])
    payload = min(size, left)
    header = signed(whole["ip_bytes"]) - left
    frame = signed(whole["wire_bytes"]) - left
    packet["time_us"], packet["sequence"] = whole["time_us"], whole["sequence"]
    flags = int(whole["flags"])
    packet["flags"] = flags & (0xFF ^ (FIN | PSH)) if left > size else flags
    packet["payload_bytes"], packet["cut_bytes"] = payload, 0
    packet["ip_bytes"], packet["wire_bytes"] = header + payload, frame + payload
    whole["sequence"] = (signed(whole["sequence"]) + payload) & 0xFFFFFFFF
    whole["flags"] = flags & (0xFF ^ CWR)
    whole["payload_bytes"], whole["cut_bytes"] = left - payload, 0
    whole["ip_bytes"], whole["wire_bytes"] = header + left - payload, frame + left - payload
    held = min(payload, signed(whole["payload_held"]))
    packet["payload_at"], packet["payload_held"] = whole["payload_at"], held
    packet["payload_kept"] = whole["payload_kept"]
    whole["payload_at"] += held
    whole["payload_held"] = signed(whole["payload_held"]) - held
