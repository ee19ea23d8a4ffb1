"""Payloads of a flow of ``gateway``: noted packet by packet, written as columns.

A flow's counters are not touched, and not even cleared, before its first payload: floods have none.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from idskit.kernels.compile import kernel, signed
from idskit.packet import ICMP, ICMPV6
from idskit.payload.note_payload import LOOKED_AT, Payload, note_payload
from idskit.payload.payload_counts import WIDTH, Counts
from idskit.profiles.gateway.gateway_arrays import Gateway
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
    gateway: Gateway, slot: int, packet: _Record, is_forward: bool, number: int
) -> None:
    """Note the payload of a packet, the ``number``th with one in its direction."""
    flow, row = gateway.table.flows[slot], slot * WIDTH
    if not flow["spoke"]:
        flow["spoke"] = 1
        _clear(gateway.contents, row)
    at = signed(packet["payload_at"])
    end = at + min(signed(packet["payload_held"]), LOOKED_AT)
    port, peer = signed(flow["b_port"]), signed(flow["a_port"])
    if flow["src_is_b"]:
        port, peer = peer, port
    data = gateway.kept if packet["payload_kept"] else gateway.frames
    protocol = signed(flow["protocol"])
    payload = Payload(data, at, end, protocol, port, peer, is_forward, number)
    note_payload(gateway.contents, row, payload)


@kernel
def _clear(counts: Counts, row: int) -> None:
    for i in range(row, row + WIDTH):
        counts[i] = 0.0


@kernel
def turn_payload(gateway: Gateway, slot: int) -> None:
    """Exchange what is known of the two directions."""
    if not gateway.table.flows[slot]["spoke"]:
        return
    counts = gateway.contents
    for first, number in _SIDES:
        for i in range(slot * WIDTH + first, slot * WIDTH + first + number):
            counts[i], counts[i + number] = counts[i + number], counts[i]


@kernel
def put_payload(row: _Row, at: int, gateway: Gateway, slot: int) -> int:
    """Write the columns of ``PAYLOAD``; return the next one."""
    flow, counts = gateway.table.flows[slot], gateway.contents
    for i in range(WIDTH):
        row[at + i] = counts[slot * WIDTH + i] if flow["spoke"] else 0.0
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
