"""``kdd99``: the 28 features of KDD'99 and NSL-KDD that follow from packet headers.

Columns 1 to 9 and 23 to 41 under the names, units and categories of NSL-KDD, so that a model
trained on those columns of its tables runs on packets. Columns 10 to 22 need payloads. Definitions
are those of the public extractor AI-IDS/kdd99_feature_extractor as its documentation means them;
every column, state and time-out is described in the README.md of ``idskit/profiles``.

* ``kdd99``: a conversation counts itself, as in the data sets, among the last 255 (their maximum).
* ``kdd99-100``: the same among the last 100.
* ``kdd99-exclusive``, ``kdd99-exclusive-255``: it does not count itself, as in the extractor,
  among the last 100 (the extractor's) or 255.

IPv4 TCP, UDP and ICMP only. Rows come in the order in which conversations end. Where the budget is
full, the conversation that matters least ends early: refused and half-open ones before others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from idskit.flow import CLOSE, EVICTED, IDLE
from idskit.flows.flow_key import is_swapped, tag_of
from idskit.flows.flow_records import (
    Output,
    Settings,
    Table,
    make_table,
    output_pointers,
    table_pointers,
)
from idskit.flows.flow_table import discard, find, identify, insert, is_forward, is_full, move, room
from idskit.kernels.compile import kernel
from idskit.packet import ACK, FIN, ICMP, RST, SYN, TCP, UDP, URG, Frames
from idskit.profiles.kdd99 import kdd_fragments
from idskit.profiles.kdd99.kdd_fragments import Fragments, complete, drop_silent, make_fragments
from idskit.profiles.kdd99.kdd_services import service_of, tcp_services
from idskit.profiles.kdd99.kdd_windows import ENDED, Recent, make_recent, put_recent
from idskit.schema import Schema
from idskit.schemas.kdd99_columns import (
    FEATURES,
    FLAGS,
    KDD99,
    KDD99_100,
    KDD99_EXCLUSIVE,
    KDD99_EXCLUSIVE_255,
    SERVICES,
)

_Record = np.void
_Records = NDArray[np.void]

_WIDTH = len(FEATURES)

# States: those that are printed have the code of their flag, the others follow.
_OTH, _REJ, _RSTO, _RSTOS0, _RSTR, _S0, _S1, _S2, _S3, _SF, _SH = range(len(FLAGS))
_ESTAB, _S2F, _S3F = 11, 12, 13
_PRINTED = np.array([*range(len(FLAGS)), _S1, _S2, _S3])

# Lists of conversations with the same time-out, those silent for longest first.
_SYN_LIST, _ESTAB_LIST, _RST_LIST, _FIN_LIST, _LAST_ACK_LIST, _UDP_LIST, _ICMP_LIST = range(7)
_LISTS = 7
_TIMEOUTS_US = np.array([120, 432_000, 10, 120, 30, 180, 30]) * 1_000_000
_LIST_OF = np.full(14, -1)  # by TCP state; -1: such a conversation has ended
_LIST_OF[[_S0, _S1]] = _SYN_LIST
_LIST_OF[[_REJ, _RSTO, _RSTOS0, _RSTR]] = _RST_LIST
_LIST_OF[[_S2, _S3]] = _FIN_LIST
_LIST_OF[[_S2F, _S3F]] = _LAST_ACK_LIST
_LIST_OF[_ESTAB] = _ESTAB_LIST
_EVICTION = np.array(
    [_RST_LIST, _SYN_LIST, _ICMP_LIST, _LAST_ACK_LIST, _FIN_LIST, _UDP_LIST, _ESTAB_LIST]
)

_CHECK_US = 1_000_000
# ICMP is one-way. The table finds conversations whichever way a packet goes, so those from the
# greater address have a key of their own: a protocol number that is filtered out.
_ICMP_REVERSED = 255

_CONVERSATION = np.dtype(
    [
        ("a_high", "<u8"),
        ("a_low", "<u8"),
        ("b_high", "<u8"),
        ("b_low", "<u8"),
        ("start", "<i8"),
        ("last", "<i8"),
        ("serial", "<i8"),
        ("touched", "<i8"),  # number of its last packet
        ("next", "<i4"),
        ("previous", "<i4"),
        ("list", "<i4"),
        ("tag", "<u4"),
        ("urgent", "<i4"),
        ("a_port", "<u2"),
        ("b_port", "<u2"),
        ("icmp_type", "<i2"),
        ("icmp_code", "<i2"),
        ("protocol", "u1"),
        ("ip_version", "u1"),
        ("src_is_b", "u1"),
        ("id_from_b", "u1"),
        ("service", "u1"),
        ("state", "u1"),
        ("two_way", "u1"),  # always 1: both directions are in use from the first packet on
        ("turned", "u1"),  # 0: never, as in ``idskit.flows.flow_table``
        ("vlan", "<u2"),  # 0: not looked at
        ("interface", "u1"),
    ],
    align=True,
)
_SIDE = np.dtype([("packets", "<i8"), ("wire", "<i8")])
_BYTES_EACH = _CONVERSATION.itemsize + 2 * _SIDE.itemsize + 4 * 8  # with its share of the index

_CLOCK = np.dtype([("packets", "<i8"), ("checked_us", "<i8"), ("is_checked", "<i8")])


class Conversations(NamedTuple):
    """Arrays of this profile; inside the kernels, ``table`` is raw pointers."""

    table: Table
    clock: _Records  # (1,) _CLOCK
    recent: Recent
    ended: _Records  # (1,) ENDED, scratch
    fragments: Fragments
    services: NDArray[np.uint8]  # (65536,) by TCP destination port


@dataclass(frozen=True, kw_only=True)
class ConversationRecords:
    """A profile (``idskit.profiles.Profile``) of KDD'99 conversations.

    Attributes:
        SCHEMA: its columns.
        window: conversations that features 32 to 41 look back on.
        inclusive: whether a conversation counts itself.
    """

    SCHEMA: Schema
    window: int
    inclusive: bool
    IDLE_US: int = 0
    REASSEMBLES: bool = False

    def make(self, settings: Settings) -> Conversations:
        """Make empty arrays within ``settings.memory_bytes``."""
        capacity = max(settings.memory_bytes // _BYTES_EACH, 1)
        table = make_table(settings, capacity)
        return Conversations(
            table=table._replace(
                flows=np.zeros(capacity, _CONVERSATION),
                directions=np.zeros(2 * capacity, _SIDE),
                lists=np.full(2 * _LISTS, -1, np.int32).view(table.lists.dtype),
            ),
            clock=np.zeros(1, _CLOCK),
            recent=make_recent(self.window, inclusive=self.inclusive),
            ended=np.zeros(1, ENDED),
            fragments=make_fragments(),
            services=tcp_services(),
        )

    @staticmethod
    def reread(frames: Frames, decoded: _Records) -> _Records:
        """Return the IPv4 packets of TCP, UDP and ICMP."""
        return kdd_fragments.reread(frames, decoded)

    @staticmethod
    def advance(state: Conversations, output: Output, packets: _Records, first: int) -> int:
        """Take packets from ``first`` on; return the first one that there was no room for."""
        return int(_advance(state, output, packets, first))

    @staticmethod
    def grow(state: Conversations) -> Conversations:
        """Return ``state``: nothing in it grows."""
        return state

    @staticmethod
    def finish(
        state: Conversations,
        output: Output,
        slots: NDArray[np.int64],  # noqa: ARG004 - all, and in an order of their own
        first: int,
        end: int,
    ) -> int:
        """Emit all conversations, by the time of their last packets."""
        return first + int(_finish(state, output, end))


INCLUSIVE_255 = ConversationRecords(SCHEMA=KDD99, window=255, inclusive=True)
INCLUSIVE_100 = ConversationRecords(SCHEMA=KDD99_100, window=100, inclusive=True)
EXCLUSIVE_100 = ConversationRecords(SCHEMA=KDD99_EXCLUSIVE, window=100, inclusive=False)
EXCLUSIVE_255 = ConversationRecords(SCHEMA=KDD99_EXCLUSIVE_255, window=255, inclusive=False)


@kernel
def _raw_pointers(arrays: Conversations) -> Conversations:
    return Conversations(
        table_pointers(arrays.table),
        arrays.clock,
        arrays.recent,
        arrays.ended,
        arrays.fragments,
        arrays.services,
    )


@kernel
def _advance(arrays: Conversations, rows_out: Output, packets: _Records, first: int) -> int:
    state, output = _raw_pointers(arrays), output_pointers(rows_out)
    for i in range(first, len(packets)):
        packet = packets[i]
        if not _keep_time(state, output, int(packet["time_us"])) or room(state.table, output) < 2:
            return i
        start = int(packet["time_us"])
        if packet["fragment"]:
            start = complete(state.fragments, packet)
            if start == -1:
                continue
        _take(state, output, packet, start)
    return len(packets)


@kernel
def _finish(arrays: Conversations, rows_out: Output, end: int) -> int:
    """Emit conversations while there is room; return how many."""
    state, output = _raw_pointers(arrays), output_pointers(rows_out)
    count, slot = 0, _silent_for_longest(state.table, 0, True)
    while slot >= 0 and room(state.table, output):
        _emit(state, output, slot, end)
        count += 1
        slot = _silent_for_longest(state.table, 0, True)
    return count


# Time-outs.


@kernel
def _keep_time(state: Conversations, output: Output, now: int) -> bool:
    """End what was silent too long, once per second of packet time; False if there is no room."""
    clock = state.clock[0]
    if clock["is_checked"] and abs(now - clock["checked_us"]) < _CHECK_US:
        return True
    drop_silent(state.fragments, now)
    slot = _silent_for_longest(state.table, now, False)
    while slot >= 0:
        if not room(state.table, output):
            return False
        _emit(state, output, slot, IDLE)
        slot = _silent_for_longest(state.table, now, False)
    clock["is_checked"], clock["checked_us"] = 1, now
    return True


@kernel
def _silent_for_longest(table: Table, now: int, everything: bool) -> int:
    """Return the oldest of the list heads that are due, or of all, by last packet."""
    best = -1
    for which in range(_LISTS):
        slot = int(table.lists[which]["head"])
        if slot < 0:
            continue
        is_due = everything or table.flows[slot]["last"] <= now - _TIMEOUTS_US[which]
        if is_due and (best < 0 or _is_older(table.flows[slot], table.flows[best])):
            best = slot
    return best


@kernel
def _is_older(one: _Record, other: _Record) -> bool:
    if one["last"] != other["last"]:
        return bool(one["last"] < other["last"])
    return bool(one["touched"] < other["touched"])


# A packet.


@kernel
def _take(state: Conversations, output: Output, packet: _Record, start: int) -> None:
    """Add a packet, or a datagram whose first fragment came at ``start``."""
    table, swapped = state.table, is_swapped(packet)
    protocol = int(packet["protocol"])
    if protocol == ICMP and swapped:
        protocol = _ICMP_REVERSED
    tag = tag_of(table.keys, packet, protocol, swapped)
    slot = find(table, packet, protocol, swapped, tag)
    if slot < 0:
        if is_full(table):
            _evict(state, output)
        slot = insert(table, packet, protocol, swapped, tag)
        _begin(state, slot, packet, swapped, start)
    _add(state, slot, packet, swapped)
    where = _list_of(table.flows[slot])
    if where < 0:
        _emit(state, output, slot, CLOSE)
    else:
        move(table, slot, where)


@kernel
def _evict(state: Conversations, output: Output) -> None:
    """End the conversation that matters least."""
    table = state.table
    for which in _EVICTION:
        slot = int(table.lists[which]["head"])
        if slot >= 0:
            _emit(state, output, slot, EVICTED)
            table.state[0]["evicted"] += 1
            return


@kernel
def _begin(state: Conversations, slot: int, packet: _Record, swapped: bool, start: int) -> None:
    table = state.table
    flow = table.flows[slot]
    flow["src_is_b"] = flow["id_from_b"] = swapped
    flow["start"] = start
    flow["icmp_type"] = flow["icmp_code"] = -1
    if packet["protocol"] == ICMP:
        flow["icmp_type"], flow["icmp_code"] = packet["icmp_type"], packet["icmp_code"]
    flow["ip_version"] = 4
    flow["urgent"], flow["two_way"] = 0, 1
    flow["service"] = service_of(state.services, packet)
    flow["serial"] = table.state[0]["begun"]
    table.state[0]["begun"] += 1
    flow["state"] = _first_state(packet)
    for side in (2 * slot, 2 * slot + 1):
        table.directions[side]["packets"] = table.directions[side]["wire"] = 0


@kernel
def _add(state: Conversations, slot: int, packet: _Record, swapped: bool) -> None:
    flow = state.table.flows[slot]
    from_originator = is_forward(flow, swapped)
    side = state.table.directions[2 * slot if from_originator else 2 * slot + 1]
    is_first = side["packets"] == 0 and from_originator
    flow["last"] = packet["time_us"]
    flow["touched"] = state.clock[0]["packets"]
    state.clock[0]["packets"] += 1
    flow["urgent"] += packet["flags"] & URG != 0
    side["packets"] += 1
    side["wire"] += packet["wire_bytes"]
    if packet["protocol"] == TCP and not is_first:
        flow["state"] = _next_state(int(flow["state"]), from_originator, int(packet["flags"]))


@kernel
def _list_of(flow: _Record) -> int:
    """Return the list of a conversation; -1 if it has ended."""
    if flow["protocol"] == TCP:
        return int(_LIST_OF[flow["state"]])
    return _UDP_LIST if flow["protocol"] == UDP else _ICMP_LIST


# States of TCP.


@kernel
def _first_state(packet: _Record) -> int:
    """Return the state after one packet; a SYN+ACK (the extractor's S4) ends as OTH at once."""
    if packet["protocol"] != TCP:
        return _SF
    return _S0 if (packet["flags"] & (SYN | ACK)) == SYN else _OTH


@kernel
def _next_state(state: int, from_originator: bool, flags: int) -> int:
    if state == _S0:
        return _after_s0(from_originator, flags)
    if state not in (_S1, _ESTAB, _S2, _S3, _S2F, _S3F):
        return state
    if flags & RST:
        return _RSTO if from_originator else _RSTR
    if from_originator:
        return _after_originator(state, flags)
    return _after_responder(state, flags)


@kernel
def _after_s0(from_originator: bool, flags: int) -> int:
    """Return the state after a packet where only a SYN came before."""
    if from_originator:
        if flags & RST:
            return _RSTOS0
        return _SH if flags & FIN else _S0
    if flags & RST:
        return _REJ
    return _S1 if (flags & (SYN | ACK)) == (SYN | ACK) else _S0


@kernel
def _after_originator(state: int, flags: int) -> int:
    if state == _S1 and flags & ACK:
        return _ESTAB
    if state == _ESTAB and flags & FIN:
        return _S2
    if state == _S3 and flags & FIN:
        return _S3F
    return _SF if state == _S2F and flags & ACK else state


@kernel
def _after_responder(state: int, flags: int) -> int:
    if state == _ESTAB and flags & FIN:
        return _S3
    if state == _S2 and flags & FIN:
        return _S2F
    return _SF if state == _S3F and flags & ACK else state


# Features.


@kernel
def _emit(state: Conversations, output: Output, slot: int, end: int) -> None:
    """Emit a conversation and discard it."""
    table = state.table
    at = int(table.state[0]["emitted"])
    flow, row = table.flows[slot], output.flows[at]
    identify(table, slot, end, row)
    if row["protocol"] == _ICMP_REVERSED:
        row["protocol"] = ICMP
    ended, flag = state.ended[0], int(_PRINTED[flow["state"]])
    ended["last"], ended["host"] = flow["last"], row["dst_low"]
    ended["src_port"], ended["service"] = row["src_port"], flow["service"]
    ended["is_syn_error"] = flag in (_S0, _S1, _S2, _S3)
    ended["is_rejected"] = flag == _REJ
    _put_basic(output.features, at * _WIDTH, flow, row, flag)
    put_recent(output.features, at * _WIDTH + 9, state.recent, ended)
    table.state[0]["emitted"] += 1
    discard(table, slot)


@kernel
def _put_basic(
    features: NDArray[np.float64], at: int, flow: _Record, row: _Record, flag: int
) -> None:
    """Write features 1 to 9."""
    features[at] = max(flow["last"] - flow["start"], 0) // 1_000_000
    features[at + 1] = 1 if row["protocol"] == TCP else 2 if row["protocol"] == UDP else 0
    features[at + 2] = flow["service"] if flow["service"] < len(SERVICES) else -1
    features[at + 3] = flag
    features[at + 4], features[at + 5] = row["fwd_bytes"], row["bwd_bytes"]
    features[at + 6] = row["src_low"] == row["dst_low"] and row["src_port"] == row["dst_port"]
    features[at + 7] = 0  # wrong_fragment: the extractor never counts any
    features[at + 8] = flow["urgent"]
