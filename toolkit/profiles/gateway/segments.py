"""Super-packets, which offloading (GRO, LRO, TSO, USO) makes of segments, cut into them again.

A gateway may capture one packet of 64 KiB where forty-five were on the wire. All its segments but
the last have the same size, and all have the time of the whole. The ring states that size
(``gso_size``) for TCP and UDP. Elsewhere a TCP packet that is longer than its connection's maximum
segment size was merged, and is cut by it; merged UDP cannot be recognised and stays one packet.
"""

from __future__ import annotations

import numpy as np

from idskit.kernels.compile import kernel, signed
from idskit.packet import CWR, FIN, PSH, TCP

_Record = np.void

MOST_SEGMENTS = 1024  # of a super-packet: 64 KiB of 64 bytes; a stated size may be hostile
_FRAME_BYTES = 1500  # IP bytes of a segment where no SYN announced a size; a longer one was merged
_LEAST_MSS = 536  # RFC 9293, 3.7.1; who announces less must not blow up what is counted


@kernel
def segment_bytes(connection: _Record, packet: _Record) -> int:
    """Return the payload of each segment of a super-packet; 0 where the packet is one segment.

    ``connection`` is read for TCP only.
    """
    payload = signed(packet["payload_bytes"]) + signed(packet["cut_bytes"])
    if packet["gso_size"]:
        size = max(signed(packet["gso_size"]), (payload + MOST_SEGMENTS - 1) // MOST_SEGMENTS)
    elif packet["protocol"] == TCP and payload > _LEAST_MSS - 40:
        size = _announced_bytes(connection, packet, payload)
    else:
        size = 0
    return size if 0 < size < payload else 0


@kernel
def _announced_bytes(connection: _Record, packet: _Record, payload: int) -> int:
    """Return the payload of a full segment by the SYNs; 0 where the packet cannot be longer.

    That is the smaller of the sizes that both ends announced, less this packet's TCP options
    (RFC 6691).
    """
    announced = _announced(connection)
    if announced:
        return max(announced, _LEAST_MSS) - (signed(packet["header_bytes"]) - 20)
    if signed(packet["ip_bytes"]) > _FRAME_BYTES:
        return _FRAME_BYTES - (signed(packet["ip_bytes"]) - payload)
    return 0


@kernel
def _announced(connection: _Record) -> int:
    """Return the smaller maximum segment size of both ends; 0 where neither announced one."""
    a, b = int(connection["mss_a"]), int(connection["mss_b"])
    return min(a, b) if a and b else max(a, b)


@kernel
def cut_segment(packet: _Record, size: int, whole: _Record) -> None:
    """Make ``packet``, a copy of ``whole``, its next segment, and take that off ``whole``.

    CWR belongs to the first segment, FIN and PSH to the last.
    """
    left = signed(whole["payload_bytes"]) + signed(whole["cut_bytes"])
    payload = min(size, left)
    header = max(signed(whole["ip_bytes"]) - left, 0)  # a damaged length may be less
    frame = max(signed(whole["wire_bytes"]) - left, 0)
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
