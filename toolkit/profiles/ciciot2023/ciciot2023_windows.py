"""``ciciot2023``: the tables of the CICIoT2023 scripts, in both published versions.

E. C. P. Neto et al., "CICIoT2023: A Real-Time Dataset and Benchmark for Large-Scale Attacks in IoT
Environment", Sensors 23(13):5941, 2023. A row is a window of packets, 10 or 100 of whatever flows
they belong to, and not a flow. Every column is defined in the README.md of ``idskit/flows``.

* ``ciciot2023``, ``ciciot2023-100``: the first version, 46 columns, which are means over the window
  of what the scripts computed for each packet, mistakes included: ``ack_count`` counts FIN.
* ``ciciot2023-39``, ``ciciot2023-39-100``: the later version of the data, whose scripts were not
  published: its definitions follow from the arithmetic of its rows.

The scripts never forget a flow, but they are run on pieces of 10 MB, and each piece starts anew.
So it is here; where even the flows of a piece do not fit into the budget, the flow that was silent
for longest is forgotten, and counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from idskit.errors import IdskitError
from idskit.flow import CLOSE, REPLACED
from idskit.flows.flow_key import is_swapped, tag_of
from idskit.flows.flow_records import Output, Settings, Table, bare, make_table
from idskit.flows.flow_table import discard, find, identify, insert, is_full, move, room, victim
from idskit.kernels.compile import kernel
from idskit.packet import ACK, FIN, PSH, RST, SYN, TCP, Frames
from idskit.profiles.ciciot2023 import dpkt_frames
from idskit.profiles.ciciot2023.dpkt_frames import IPV4, NO_ROW
from idskit.profiles.ciciot2023.packet_questions import (
    BUFFER,
    add_flags,
    add_services,
    add_size,
    forget_sizes,
    is_tcp_packet,
    is_udp_packet,
    seconds,
    spread,
)
from idskit.schema import Feature, Schema
from idskit.schemas.ciciot2023_columns import (
    FIRST,
    LATER,
)

_Record = np.void
_Records = NDArray[np.void]
_Row = NDArray[np.float64]

_IGMP = 2

PIECE_BYTES = 10_000_000  # tcpdump -C 10 begins another file once one is larger than this
_FILE_HEADER, _RECORD_HEADER = 24, 16  # of a pcap file
_SMALLEST = _RECORD_HEADER + 14 + 20  # of a packet that can be of a flow


# A TCP or UDP flow: what ``idskit.flows.flow_table`` needs to keep it, and what the scripts sum up.
_CONVERSATION = np.dtype(
    [
        ("a_high", "<u8"),
        ("a_low", "<u8"),
        ("b_high", "<u8"),
        ("b_low", "<u8"),
        ("next", "<i4"),
        ("previous", "<i4"),
        ("list", "<i4"),
        ("tag", "<u4"),
        ("a_port", "<u2"),
        ("b_port", "<u2"),
        ("protocol", "u1"),
        ("interface", "u1"),
        ("first_s", "<f8"),
        ("last_s", "<f8"),
        ("bytes", "<i8"),
        ("packets", "<i4"),
        ("fin", "<i4"),
        ("syn", "<i4"),
        ("rst", "<i4"),
        ("psh", "<i4"),
        ("ack", "<i4"),
    ],
    align=True,
)
_BYTES_EACH = _CONVERSATION.itemsize + 4 * 8  # with its share of the index

# What the scripts carry from packet to packet, and the window that is being filled.
_PROGRESS = np.dtype(
    [
        ("window", "<i8"),  # packets in a full window
        ("piece_bytes", "<i8"),
        ("is_later", "<i8"),
        ("piece", "<i8"),  # bytes in the piece so far
        ("packets", "<i8"),  # IPv4 and ARP packets in it
        ("previous_s", "<f8"),  # time of the packet before; 0 where the scripts say so
        ("rate", "<f8"),
        ("backward_rate", "<f8"),
        ("sizes", "<i8"),  # length of the list of sizes
        ("sizes_sum", "<i8"),
        ("sizes_squares", "<i8"),
        ("sizes_min", "<i8"),
        ("sizes_max", "<i8"),
        ("first_s", "<f8"),  # of the window
        ("last_s", "<f8"),
    ],
    align=True,
)


class Windows(NamedTuple):
    """The arrays of this profile."""

    table: Table  # its only flow is the window that is being filled
    conversations: Table
    progress: _Records  # (1,) _PROGRESS
    sums: _Row  # (columns,) over the window, of the columns that are means
    protocols: NDArray[np.int64]  # (256,) packets of the window by IP protocol


@dataclass(frozen=True, kw_only=True)
class PacketWindows:
    """A profile (``idskit.profiles.Profile``) whose rows are windows of packets.

    Attributes:
        name: of its schema.
        features: ``FIRST`` or ``LATER``.
        window: packets in a row; the last row of a piece may have fewer.
        piece_bytes: size of a pcap file after which everything starts anew; 0: never.
    """

    name: str
    features: tuple[Feature, ...]
    window: int = 10
    piece_bytes: int = PIECE_BYTES
    IDLE_US: int = 0
    REASSEMBLES: bool = False

    @cached_property
    def SCHEMA(self) -> Schema:  # noqa: N802 - as the modules of the other profiles have it
        """The columns under this name."""
        return Schema(name=self.name, features=self.features)

    def make(self, settings: Settings) -> Windows:
        """Make empty arrays; flows of a whole piece get what they can need at most.

        Raises:
            IdskitError: ``verdict_after`` is set, and rows here are not flows.
        """
        if settings.verdict_after:
            raise IdskitError(
                f"verdict_after is {settings.verdict_after}, but rows of {self.name} are windows "
                "of packets and not flows: omit it"
            )
        capacity = max(settings.memory_bytes // _BYTES_EACH, 1)
        if self.piece_bytes:
            capacity = min(capacity, self.piece_bytes // _SMALLEST + 2)
        conversations = make_table(settings, capacity)
        return Windows(
            table=make_table(settings, 1),
            conversations=conversations._replace(flows=np.zeros(capacity, _CONVERSATION)),
            progress=self._progress(),
            sums=np.zeros(len(self.features)),
            protocols=np.zeros(256, np.int64),
        )

    def _progress(self) -> _Records:
        progress = np.zeros(1, _PROGRESS)
        progress["window"] = self.window
        progress["piece_bytes"] = self.piece_bytes
        progress["piece"] = _FILE_HEADER
        progress["is_later"] = self.features is LATER
        return progress

    @staticmethod
    def reread(frames: Frames, decoded: _Records) -> _Records:  # noqa: ARG004
        """One row a frame, as dpkt reads it."""
        return dpkt_frames.reread(frames)

    @staticmethod
    def advance(state: Windows, output: Output, packets: _Records, first: int) -> int:
        """Take packets from ``first`` on; return the first one that there was no room for."""
        return int(_advance(state, output, packets, first))

    @staticmethod
    def grow(state: Windows) -> Windows:
        """Nothing here grows."""
        return state

    @staticmethod
    def finish(
        state: Windows,
        output: Output,
        slots: NDArray[np.int64],
        first: int,
        end: int,
    ) -> int:
        """Give out the window that is not full yet."""
        if room(state.table, output) < 1:
            return first
        _close(state, output, end)
        return len(slots)


FIRST_10 = PacketWindows(name="ciciot2023", features=FIRST)
FIRST_100 = PacketWindows(name="ciciot2023-100", features=FIRST, window=100)
LATER_10 = PacketWindows(name="ciciot2023-39", features=LATER)
LATER_100 = PacketWindows(name="ciciot2023-39-100", features=LATER, window=100)


@kernel
def _advance(arrays: Windows, output: Output, packets: _Records, first: int) -> int:
    conversations = bare(arrays.conversations)
    for i in range(first, len(packets)):
        if room(arrays.table, output) < 2:  # a piece may end, and a window of one packet fill
            return i
        packet = packets[i]
        _count_bytes(arrays, conversations, output, packet)
        if packet["ip_version"] != NO_ROW:
            _add(arrays, conversations, packet)
        if arrays.table.directions[0]["packets"] == arrays.progress[0]["window"]:
            _close(arrays, output, CLOSE)
    return len(packets)


# Pieces.


@kernel
def _count_bytes(arrays: Windows, conversations: Table, output: Output, packet: _Record) -> None:
    """Start anew where tcpdump would have begun another file before this frame."""
    progress = arrays.progress[0]
    if 0 < progress["piece_bytes"] < progress["piece"]:
        if arrays.table.directions[0]["packets"]:
            _close(arrays, output, REPLACED)
        _forget_all(conversations)
        progress["piece"] = _FILE_HEADER
        progress["previous_s"] = progress["rate"] = progress["backward_rate"] = 0.0
        progress["sizes"] = progress["packets"] = 0
    progress["piece"] += _RECORD_HEADER + int(packet["captured_bytes"])


@kernel
def _forget_all(conversations: Table) -> None:
    slot = victim(conversations)
    while slot >= 0:
        discard(conversations, slot)
        slot = victim(conversations)


# The window.


@kernel
def _add(arrays: Windows, conversations: Table, packet: _Record) -> None:
    """Add a packet to the window, which it opens if there is none."""
    window = arrays.table.directions[0]
    if window["packets"] == 0:
        _open(arrays, packet)
    window["packets"] += 1
    window["wire"] += packet["wire_bytes"]
    arrays.table.flows[0]["last"] = packet["time_us"]
    if arrays.progress[0]["is_later"]:
        _add_later(arrays, packet)
    else:
        _add_first(arrays, conversations, packet)
    arrays.progress[0]["packets"] += 1


@kernel
def _open(arrays: Windows, packet: _Record) -> None:
    table = arrays.table
    flow, state = table.flows[0], table.state[0]
    flow["a_low"], flow["b_low"] = packet["src_low"], packet["dst_low"]
    flow["a_port"], flow["b_port"] = packet["src_port"], packet["dst_port"]
    flow["protocol"], flow["ip_version"] = packet["protocol"], 4
    flow["icmp_type"] = flow["icmp_code"] = -1
    flow["start"] = packet["time_us"]
    flow["list"] = 0  # it counts as open
    state["used"], state["open"] = 1, 1
    table.directions[0]["wire"] = 0
    arrays.sums[:] = 0.0
    arrays.protocols[:] = 0
    if arrays.progress[0]["is_later"]:
        forget_sizes(arrays.progress[0])


@kernel
def _close(arrays: Windows, output: Output, end: int) -> None:
    """Give out the window."""
    table = arrays.table
    at = int(table.state[0]["emitted"])
    identify(table, 0, end, output.flows[at])
    count, width = int(table.directions[0]["packets"]), len(arrays.sums)
    for column in range(width):
        output.features[at * width + column] = arrays.sums[column] / count
    if arrays.progress[0]["is_later"]:
        _put_later(arrays, output.features, at * width, count)
    table.state[0]["emitted"] += 1
    table.state[0]["open"] = 0
    table.flows[0]["list"] = -1
    table.directions[0]["packets"] = 0


# What both versions have.


# The first version.


@kernel
def _add_first(arrays: Windows, conversations: Table, packet: _Record) -> None:
    sums, progress = arrays.sums, arrays.progress[0]
    now = seconds(int(packet["time_us"]))
    if is_tcp_packet(packet) or is_udp_packet(packet):
        _add_conversation(arrays, conversations, packet, now)
    sums[2] += packet["protocol"]
    sums[3] += packet["ttl"]
    sums[4] += progress["rate"]
    sums[5] += progress["rate"]
    sums[6] += progress["backward_rate"]
    add_flags(sums, 7, int(packet["flags"]))
    add_services(sums, 19, packet)
    sums[31] += packet["ip_version"] == IPV4
    sums[32] += packet["ip_version"] == IPV4
    _add_sizes(sums, progress, int(packet["ip_bytes"]), now)


@kernel
def _add_conversation(arrays: Windows, conversations: Table, packet: _Record, now: float) -> None:
    """Columns 1, 2, 5 to 7 and 15 to 19: totals of the packet's flow up to now."""
    sums, flow = arrays.sums, conversations.flows[_slot(arrays, conversations, packet)]
    flow["packets"] += 1
    flow["bytes"] += int(packet["ip_bytes"])
    flow["first_s"], flow["last_s"] = min(flow["first_s"], now), max(flow["last_s"], now)
    duration = flow["last_s"] - flow["first_s"]
    sums[0] += duration
    sums[1] += flow["bytes"]
    _set_rate(arrays.progress[0], flow, duration)
    if flow["protocol"] == TCP:
        _add_counts(sums, flow, int(packet["flags"]))


@kernel
def _slot(arrays: Windows, conversations: Table, packet: _Record) -> int:
    """The packet's flow, a new one if it has none."""
    protocol, swapped = int(packet["protocol"]), is_swapped(packet)
    tag = tag_of(conversations.keys, packet, protocol, swapped)
    slot = find(conversations, packet, protocol, swapped, tag)
    if slot >= 0:
        move(conversations, slot, 0)
        return slot
    if is_full(conversations):
        discard(conversations, victim(conversations))
        arrays.table.state[0]["evicted"] += 1
    slot = insert(conversations, packet, protocol, swapped, tag)
    flow = conversations.flows[slot]
    flow["first_s"] = flow["last_s"] = seconds(int(packet["time_us"]))
    flow["bytes"] = flow["packets"] = 0
    flow["fin"] = flow["syn"] = flow["rst"] = flow["psh"] = flow["ack"] = 0
    return slot


@kernel
def _set_rate(progress: _Record, flow: _Record, duration: float) -> None:
    """A flow that took no time leaves the rate of whichever flow was before.

    The scripts look for the other direction under the pair of endpoints the other way round. As
    they sort the pair first, it is never there, except where both endpoints are the same.
    """
    if duration == 0:
        return
    progress["rate"] = flow["packets"] / duration
    is_land = flow["a_low"] == flow["b_low"] and flow["a_port"] == flow["b_port"]
    progress["backward_rate"] = progress["rate"] if is_land else 0.0


@kernel
def _add_counts(sums: _Row, flow: _Record, flags: int) -> None:
    """Under the names ack_count, syn_count, fin_count, urg_count, rst_count, in this order."""
    flow["fin"] += flags & FIN != 0
    flow["syn"] += flags & SYN != 0
    flow["rst"] += flags & RST != 0
    flow["psh"] += flags & PSH != 0
    flow["ack"] += flags & ACK != 0
    sums[14] += flow["fin"]
    sums[15] += flow["syn"]
    sums[16] += flow["rst"]
    sums[17] += flow["psh"]
    sums[18] += flow["ack"]


@kernel
def _add_sizes(sums: _Row, progress: _Record, size: int, now: float) -> None:
    """Columns 34 to 46, from the list of sizes that is emptied on every 20th packet."""
    is_twentieth = progress["sizes"] == BUFFER - 1
    if is_twentieth:
        _add_streams(sums, progress)  # of the 19 before
        progress["previous_s"] = 0.0
    add_size(progress, size)
    sums[33] += progress["sizes_sum"]
    sums[34] += progress["sizes_min"]
    sums[35] += progress["sizes_max"]
    sums[36] += progress["sizes_sum"] / progress["sizes"]
    sums[37] += np.sqrt(spread(progress) / progress["sizes"])
    sums[38] += size
    sums[39] += now - progress["previous_s"]
    progress["previous_s"] = now
    if is_twentieth:
        progress["sizes"] = 0
    else:
        _add_streams(sums, progress)
    sums[40] += progress["sizes"]


@kernel
def _add_streams(sums: _Row, progress: _Record) -> None:
    """Of the incoming and the outgoing stream, which are one and the same."""
    count = float(progress["sizes"])
    variance = spread(progress) / count
    sums[41] += np.sqrt(2 * (progress["sizes_sum"] / count))
    sums[42] += np.sqrt(2 * variance)
    sums[43] += variance
    sums[44] += variance > 0
    sums[45] += count * count


# The later version.


@kernel
def _add_later(arrays: Windows, packet: _Record) -> None:
    """Sums of the columns that are means; the frame's size is what was captured, with padding."""
    sums, progress = arrays.sums, arrays.progress[0]
    now = seconds(int(packet["time_us"]))
    size = int(packet["captured_bytes"])
    if progress["sizes"] == 0:
        progress["first_s"] = progress["last_s"] = now
    sums[0] += packet["header_bytes"]
    sums[2] += packet["ttl"]
    add_flags(sums, 4, int(packet["flags"]))
    add_services(sums, 15, packet)
    sums[27] += packet["ip_version"] == IPV4 and packet["protocol"] == _IGMP
    sums[28] += packet["ip_version"] == IPV4
    sums[29] += packet["ip_version"] == IPV4
    sums[35] += size
    sums[36] += now - progress["previous_s"] if progress["packets"] else 0.0
    progress["previous_s"] = now
    progress["first_s"] = min(progress["first_s"], now)
    progress["last_s"] = max(progress["last_s"], now)
    arrays.protocols[packet["protocol"]] += 1
    add_size(progress, size)


@kernel
def _put_later(arrays: Windows, row: _Row, at: int, count: int) -> None:
    """The columns that are not means."""
    sums, progress = arrays.sums, arrays.progress[0]
    variance = spread(progress) / (count - 1) if count > 1 else np.nan
    duration = progress["last_s"] - progress["first_s"]
    row[at + 1] = _most_frequent(arrays.protocols)
    row[at + 3] = count / duration if duration > 0 else np.inf
    row[at + 11], row[at + 12] = sums[8], sums[5]  # ACK, SYN
    row[at + 13], row[at + 14] = sums[4], sums[6]  # FIN, RST
    row[at + 30] = progress["sizes_sum"]
    row[at + 31], row[at + 32] = progress["sizes_min"], progress["sizes_max"]
    row[at + 33] = progress["sizes_sum"] / count
    row[at + 34] = np.sqrt(variance)
    row[at + 37] = count
    row[at + 38] = variance


@kernel
def _most_frequent(counts: NDArray[np.int64]) -> int:
    """The smallest of the most frequent, as pandas' mode."""
    best = 0
    for value in range(len(counts)):
        if counts[value] > counts[best]:
            best = value
    return best
