"""TCP connections as the project's own flows follow them: who opened, and which frames decide.

Whoever can send frames can forge a SYN+ACK, a RST, a FIN before, within or after a connection. So

* a SYN opens; what comes before it on the same key is provisional, and starts over with it;
* another SYN is taken for a new connection once an answer acknowledges it;
* once a handshake has fitted, a RST, FIN or SYN+ACK decides only near the numbers expected;
* frames that die on the way, or whose checksum is wrong, decide nothing where the endpoint's
  other frames show that they could not be its own.

What decides nothing is counted in the flow (``gateway_columns.FORGED``) and nowhere else. Sources:
RFC 9293, 3.10.7; RFC 5961; T. Ptacek and T. Newsham, "Insertion, Evasion, and Denial of Service",
1998.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from idskit.flows.flow_records import READY
from idskit.kernels.compile import kernel, signed
from idskit.packet import ACK, FIN, OFFLOADED, RIGHT, RST, SYN, WRONG

_Record = np.void
_Row = NDArray[np.float64]

# What is known of an open flow's connection; of no meaning where the protocol is not TCP.
CONNECTION = np.dtype(
    [
        ("next_a", "<u4"),  # sequence number expected next of endpoint a
        ("next_b", "<u4"),
        ("opening", "<u4"),  # sequence number of the SYN that opened
        ("pending", "<u4"),  # of a SYN that may open another connection
        ("before_open", "<i4"),
        ("out_of_window", "<i4"),
        ("bad_checksums", "<i4"),
        ("short_lived", "<i4"),
        ("mss_a", "<u2"),  # maximum segment size that endpoint a announced, 0 if unknown
        ("mss_b", "<u2"),
        ("state", "u1"),
        ("heard", "u1"),  # bits: something joined of endpoint a, of b
        ("shown", "u1"),  # bits: FAR and SUMMED of endpoint a, then of b
        ("pending_from", "u1"),  # 0 none, 1 endpoint a, 2 endpoint b
        ("reset_from", "u1"),  # who sent the RST that closed: 0, 1, 2
    ],
    align=True,
)
# How it began: other than by SYN; by SYN+ACK; by a SYN that nobody may have received; by a SYN. A
# handshake whose numbers fit establishes it.
_UNOPENED, _ANSWERED_ONLY, _DOUBTFUL, _OPENED, _ESTABLISHED = range(5)

# What a packet does to the open flow of its key.
JOIN, IGNORE, START_OVER, REPLACE, CONFIRM, TURN = range(6)

NEAR_BYTES = 65_535  # the largest window without scaling
FEW_HOPS = 4  # a frame with no more to live does not reach a host behind a few routers
FEW_PACKETS = 4  # at most so many are provisional; more are a flow of their own
_FAR, _SUMMED = 1, 2  # an endpoint's frames arrive with hops to spare; its SYN had a right checksum
_ENDPOINT_BITS = 2


@kernel
def begin_connection(
    connection: _Record, packet: _Record, from_b: bool, src_is_b: bool, before: int
) -> None:
    """Start with the first packet of a flow, which ``note_segment`` is given next.

    ``before`` packets on this key were provisional.
    """
    is_answer = (int(packet["flags"]) & (SYN | ACK | RST)) == (SYN | ACK) and from_b == src_is_b
    if _is_to_itself(packet):
        is_answer = False
    connection["state"] = _ANSWERED_ONLY if is_answer else _UNOPENED
    connection["mss_a"] = connection["mss_b"] = connection["heard"] = 0
    connection["shown"] = connection["pending_from"] = connection["reset_from"] = 0
    forget_evidence(connection)
    connection["before_open"] = before
    if is_answer:
        _expect(connection, not from_b, int(packet["acknowledgement"]))
        _expect(connection, from_b, _end_of(packet))
    elif is_opening(packet):
        connection["state"] = _DOUBTFUL if _is_doubtful(packet) else _OPENED


@kernel
def _is_to_itself(packet: _Record) -> bool:
    """Source and destination are one endpoint, as in a land attack: all of it is forward."""
    return bool(
        packet["src_port"] == packet["dst_port"]
        and packet["src_low"] == packet["dst_low"]
        and packet["src_high"] == packet["dst_high"]
    )


@kernel
def forget_evidence(connection: _Record) -> None:
    """Count anew, for a flow that goes on after it was emitted."""
    connection["before_open"] = 0
    connection["out_of_window"] = connection["bad_checksums"] = connection["short_lived"] = 0


@kernel
def evidence_of(connection: _Record) -> int:
    """Return the number of packets counted in the columns of ``FORGED``."""
    before, forged = int(connection["before_open"]), int(connection["out_of_window"])
    return before + forged + int(connection["bad_checksums"]) + int(connection["short_lived"])


@kernel
def put_evidence(row: _Row, at: int, connection: _Record) -> int:
    """Write the columns of ``FORGED``."""
    row[at], row[at + 1] = connection["before_open"], connection["out_of_window"]
    row[at + 2], row[at + 3] = connection["bad_checksums"], connection["short_lived"]
    return at + 4


@kernel
def is_opening(packet: _Record) -> bool:
    """Return whether the packet asks for a connection."""
    return (int(packet["flags"]) & (SYN | ACK | RST)) == SYN


@kernel
def judge(connection: _Record, flow: _Record, packet: _Record, from_b: bool) -> int:
    """Decide what a TCP packet does to the open flow of its key, before it is added.

    Returns:
        JOIN; IGNORE, where it was counted as evidence; START_OVER, where the flow begins with it
        and what came before was provisional; REPLACE, where it begins another flow; CONFIRM, where
        the pending SYN does; TURN, where it shows that the receiver of a SYN+ACK opened.
    """
    if _is_forged(connection, packet, from_b):
        return IGNORE
    if is_opening(packet):
        return _judge_opening(connection, flow, packet, from_b)
    if connection["pending_from"] and _confirms(connection, flow, packet, from_b):
        return CONFIRM
    if connection["state"] == _ESTABLISHED:
        return _judge_numbers(connection, packet, from_b)
    if connection["state"] == _ANSWERED_ONLY and _shows_opener(connection, flow, packet, from_b):
        return TURN
    return JOIN


@kernel
def is_provisional(connection: _Record, flow: _Record) -> bool:
    """Return whether a flow is little enough to start over when a SYN shows who opens."""
    return bool(_is_one_way(connection) and flow["packets"] <= FEW_PACKETS)


@kernel
def _is_one_way(connection: _Record) -> bool:
    return bool(connection["heard"] != 3)


@kernel
def note_segment(connection: _Record, flow: _Record, packet: _Record, from_b: bool) -> None:
    """Follow the numbers of a packet that joins."""
    connection["heard"] |= 1 + from_b
    if packet["ttl"] > FEW_HOPS:
        _show(connection, from_b, _FAR)
    if packet["flags"] & SYN:
        _note_syn(connection, flow, packet, from_b)
    elif connection["state"] == _ESTABLISHED:
        _note_numbers(connection, packet, from_b)
    if packet["flags"] & RST:
        connection["reset_from"] = 1 + from_b


@kernel
def goes_on(connection: _Record, flow: _Record, packet: _Record, from_b: bool) -> bool:
    """Whether a connection was not closed after all: the endpoint that its RST names sends more."""
    by = connection["reset_from"]
    return bool(flow["tcp"] == READY and not packet["flags"] & RST and by == 1 + from_b)


@kernel
def copy_segment(packet: _Record, of: _Record) -> None:
    """Copy a TCP packet but for its endpoints, which are those of its flow."""
    packet["time_us"], packet["sequence"] = of["time_us"], of["sequence"]
    packet["acknowledgement"], packet["window"] = of["acknowledgement"], of["window"]
    packet["wire_bytes"], packet["ip_bytes"] = of["wire_bytes"], of["ip_bytes"]
    packet["payload_bytes"], packet["cut_bytes"] = of["payload_bytes"], of["cut_bytes"]
    packet["header_bytes"], packet["mss"] = of["header_bytes"], of["mss"]
    packet["protocol"], packet["ip_version"] = of["protocol"], of["ip_version"]
    packet["flags"], packet["ttl"] = of["flags"], of["ttl"]
    packet["vlan"], packet["checksum"] = of["vlan"], of["checksum"]
    packet["fragments"], packet["incomplete"] = of["fragments"], of["incomplete"]
    packet["tiny_fragments"] = of["tiny_fragments"]
    packet["overlapping_fragments"] = of["overlapping_fragments"]
    packet["payload_held"] = 0  # the bytes are gone when a copy is used


# Frames that cannot be their sender's own.


@kernel
def _is_forged(connection: _Record, packet: _Record, from_b: bool) -> bool:
    shown = connection["shown"] >> (_ENDPOINT_BITS * from_b)
    if packet["ttl"] <= FEW_HOPS and shown & _FAR:
        connection["short_lived"] += 1
        return True
    if shown & _SUMMED and _is_unsummed(packet):
        connection["bad_checksums"] += 1
        return True
    return False


@kernel
def _is_unsummed(packet: _Record) -> bool:
    """A wrong checksum, or one left to a card though that of the SYN was not.

    Merging segments with payload (GRO) leaves such a one, too.
    """
    checksum = packet["checksum"]
    return bool(checksum == WRONG or (checksum == OFFLOADED and not packet["payload_bytes"]))


@kernel
def _is_doubtful(packet: _Record) -> bool:
    return bool(packet["ttl"] <= FEW_HOPS or packet["checksum"] == WRONG)


@kernel
def _show(connection: _Record, from_b: bool, bit: int) -> None:
    connection["shown"] |= bit << (_ENDPOINT_BITS * from_b)


# Sequence numbers.


@kernel
def _expected(connection: _Record, of_b: bool) -> int:
    return signed(connection["next_b"]) if of_b else signed(connection["next_a"])


@kernel
def _expect(connection: _Record, of_b: bool, number: int) -> None:
    if of_b:
        connection["next_b"] = number & 0xFFFFFFFF
    else:
        connection["next_a"] = number & 0xFFFFFFFF


@kernel
def _end_of(packet: _Record) -> int:
    """Sequence number behind a packet."""
    flags = int(packet["flags"])
    payload = signed(packet["payload_bytes"]) + signed(packet["cut_bytes"])
    return (signed(packet["sequence"]) + payload + (flags & SYN != 0) + (flags & FIN)) & 0xFFFFFFFF


@kernel
def _ahead(number: int, of: int) -> int:
    """Return how far a sequence number is ahead of another one, negative if behind."""
    return ((number - of + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)


@kernel
def _is_near(number: int, other: int) -> bool:
    return abs(_ahead(number, other)) <= NEAR_BYTES


@kernel
def _is_next(number: int, before: int) -> bool:
    return number == (before + 1) & 0xFFFFFFFF


@kernel
def _note_numbers(connection: _Record, packet: _Record, from_b: bool) -> None:
    """Follow a packet that is near what was expected; of the others, nothing is believed."""
    if not _is_near(signed(packet["sequence"]), _expected(connection, from_b)):
        return
    if _ahead(_end_of(packet), _expected(connection, from_b)) > 0:
        _expect(connection, from_b, _end_of(packet))
    acknowledged = signed(packet["acknowledgement"])
    if packet["flags"] & ACK:
        ahead = _ahead(acknowledged, _expected(connection, not from_b))
        if ahead > 0 or ahead < -NEAR_BYTES:  # the capture lost some, or an ACK before was forged
            _expect(connection, not from_b, acknowledged)


@kernel
def _judge_numbers(connection: _Record, packet: _Record, from_b: bool) -> int:
    decides = int(packet["flags"]) & (SYN | RST | FIN)
    if decides and not _is_near(signed(packet["sequence"]), _expected(connection, from_b)):
        connection["out_of_window"] += 1
        return IGNORE
    return JOIN


# Opening.


@kernel
def _judge_opening(connection: _Record, flow: _Record, packet: _Record, from_b: bool) -> int:
    by_source = flow["src_is_b"] == from_b
    state, sequence = connection["state"], signed(packet["sequence"])
    if state < _OPENED and is_provisional(connection, flow) and not _is_doubtful(packet):
        return START_OVER
    if flow["tcp"] == READY:
        return REPLACE
    is_again = sequence == connection["opening"] or _is_one_way(connection)
    if by_source and state >= _DOUBTFUL and is_again:
        return JOIN  # sent again, or one of a flood
    connection["pending"], connection["pending_from"] = packet["sequence"], 1 + from_b
    return JOIN


@kernel
def _confirms(connection: _Record, flow: _Record, packet: _Record, from_b: bool) -> bool:
    """Whether an answer acknowledges the pending SYN, or its sender, the source, goes on with it.

    An ACK alone must not turn the flow: it takes two frames in one direction to forge it.
    """
    flags, pending = int(packet["flags"]), signed(connection["pending"])
    if connection["pending_from"] == 2 - from_b:
        is_answer = flags & ACK and flags & (SYN | RST)
        return bool(is_answer and _is_next(signed(packet["acknowledgement"]), pending))
    is_source = flow["src_is_b"] == from_b
    is_ack = (flags & (SYN | RST | FIN | ACK)) == ACK
    return bool(is_source and is_ack and _is_next(signed(packet["sequence"]), pending))


@kernel
def _shows_opener(connection: _Record, flow: _Record, packet: _Record, from_b: bool) -> bool:
    """Return whether what follows a SYN+ACK fits it: it is taken up, or its sender goes on."""
    if packet["flags"] & (SYN | RST):
        return False
    if signed(packet["sequence"]) != _expected(connection, from_b):
        return False
    if flow["src_is_b"] == from_b:
        return _is_one_way(connection)
    acknowledged = signed(packet["acknowledgement"])
    return bool(packet["flags"] & ACK and acknowledged == _expected(connection, not from_b))


@kernel
def settle(connection: _Record, flow: _Record, from_b: bool) -> None:
    """After a turn: a handshake of both sides establishes, one side alone may be a pretence."""
    by_source = flow["src_is_b"] == from_b
    connection["state"] = _ESTABLISHED if by_source else _UNOPENED


@kernel
def _note_syn(connection: _Record, flow: _Record, packet: _Record, from_b: bool) -> None:
    if packet["checksum"] == RIGHT:
        _show(connection, from_b, _SUMMED)
    if packet["mss"]:
        _announce(connection, from_b, int(packet["mss"]))
    by_source = flow["src_is_b"] == from_b
    if connection["state"] not in (_DOUBTFUL, _OPENED):
        return
    if is_opening(packet):
        if by_source:
            connection["opening"] = packet["sequence"]
            _expect(connection, from_b, _end_of(packet))
    elif not by_source and _is_next(
        signed(packet["acknowledgement"]), signed(connection["opening"])
    ):
        connection["state"] = _ESTABLISHED
        _expect(connection, from_b, _end_of(packet))


@kernel
def _announce(connection: _Record, from_b: bool, mss: int) -> None:
    if from_b:
        connection["mss_b"] = mss
    else:
        connection["mss_a"] = mss
