"""Payloads of a flow of ``gateway``: noted packet by packet, written as columns.

A flow's counters are not touched, and not even cleared, before its first payload: floods have none.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from idskit.flows.flow_statistics import put_zeros
from idskit.kernels.compile import kernel, signed
from idskit.packet import ICMP, ICMPV6
from idskit.payload.note_payload import LOOKED_AT, Payload, note_payload
from idskit.payload.payload_counts import WIDTH, Bytes, Counts
from idskit.schemas.payload_columns import BYTE_CLASSES, COLUMN, WORD_GROUPS

_Record = np.void
_Row = NDArray[np.float64]
_PORT_CLASS = COLUMN["dst_port_class"]
_SYSTEM, _DYNAMIC = 1024, 49_152  # where classes of ports end, RFC 6335, 6
_SIDES = (  # first counter of the forward side, number of its counters
    (COLUMN["fwd_letters_bytes"], len(BYTE_CLASSES)),
    (COLUMN["fwd_sql_words"], len(WORD_GROUPS)),
    (COLUMN["fwd_unknown_packets"], 2),
)


@kernel
def note_packet_payload(
    counts: Counts,
    slot: int,
    flow: _Record,
    packet: _Record,
    data: Bytes,
    is_forward: bool,
    number: int,
) -> None:
    """Note the payload of a packet, the ``number``th with one in its direction.

    ``data`` is the buffer that the payload lies in.
    """
    row = slot * WIDTH
    if not flow["spoke"]:
        flow["spoke"] = 1
        _clear(counts, row)
    at = signed(packet["payload_at"])
    end = at + min(signed(packet["payload_held"]), LOOKED_AT)
    port, peer = signed(flow["b_port"]), signed(flow["a_port"])
    if flow["src_is_b"]:
        port, peer = peer, port
    payload = Payload(data, at, end, signed(flow["protocol"]), port, peer, is_forward, number)
    note_payload(counts, row, payload)


@kernel
def _clear(counts: Counts, row: int) -> None:
    for i in range(row, row + WIDTH):
        counts[i] = 0.0


@kernel
def turn_payload(counts: Counts, slot: int, flow: _Record) -> None:
    """Exchange what is known of the two directions."""
    if not flow["spoke"]:
        return
    for first, number in _SIDES:
        for i in range(slot * WIDTH + first, slot * WIDTH + first + number):
            counts[i], counts[i + number] = counts[i + number], counts[i]


@kernel
def put_payload(row: _Row, at: int, counts: Counts, slot: int, flow: _Record) -> int:
    """Write the columns of ``PAYLOAD``; return the next one."""
    if flow["spoke"]:
        for i in range(WIDTH):
            row[at + i] = counts[slot * WIDTH + i]
    else:
        put_zeros(row, at, WIDTH)
    row[at + _PORT_CLASS] = _class_of_port(flow)
    return at + WIDTH


@kernel
def _class_of_port(flow: _Record) -> int:
    if flow["protocol"] in (ICMP, ICMPV6):
        return 0
    port = signed(flow["a_port"] if flow["src_is_b"] else flow["b_port"])
    if port == 0:
        return 0
    return 1 if port < _SYSTEM else 2 if port < _DYNAMIC else 3
