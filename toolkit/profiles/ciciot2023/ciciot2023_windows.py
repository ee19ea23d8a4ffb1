"""``ciciot2023``: the tables of the CICIoT2023 scripts, in both published versions.

E. C. P. Neto et al., "CICIoT2023: A Real-Time Dataset and Benchmark for Large-Scale Attacks in IoT
Environment", Sensors 23(13):5941, 2023. A row is a window of packets, 10 or 100 of whatever flows
they belong to, and not a flow. Every column is defined in the README.md of ``idskit/profiles``.

* ``ciciot2023``, ``ciciot2023-100``: the first version, 46 columns, which are means over the window
  of what the scripts computed for each packet, mistakes included: ``ack_count`` counts FIN.
* ``ciciot2023-39``, ``ciciot2023-39-100``: the later version of the data, whose scripts were not
  published: its definitions follow from the arithmetic of its rows.

The scripts never evict a flow, but they run on pieces of 10 MB, and each piece starts anew. This
profile does the same; where even the flows of a piece exceed the memory budget, the flow that was
silent for longest is evicted, and counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from idskit.flow import CLOSE, REPLACED
from idskit.flows.flow_records import Output, Settings, Table, make_table, table_pointers
from idskit.flows.flow_table import discard, identify, room, victim
from idskit.kernels.compile import kernel
from idskit.packet import Frames
from idskit.profiles.ciciot2023 import dpkt_frames
from idskit.profiles.ciciot2023.dpkt_frames import NO_ROW
from idskit.profiles.ciciot2023.first_version_sums import add_to_first_version
from idskit.profiles.ciciot2023.later_version_sums import add_to_later_version, put_later_columns
from idskit.profiles.ciciot2023.window_sums import (
    BYTES_EACH,
    CONVERSATION,
    PROGRESS,
    Windows,
    clear_sizes,
)
from idskit.schema import Schema
from idskit.schemas.ciciot2023_columns import (
    CICIOT2023,
    CICIOT2023_39,
    CICIOT2023_39_100,
    CICIOT2023_100,
    LATER,
)

_Record = np.void
_Records = NDArray[np.void]

PIECE_BYTES = 10_000_000  # tcpdump -C 10 begins another file once one is larger than this
_FILE_HEADER, _RECORD_HEADER = 24, 16  # of a pcap file
_SMALLEST = _RECORD_HEADER + 14 + 20  # of a packet that can be of a flow


@dataclass(frozen=True, kw_only=True)
class PacketWindows:
    """A profile (``idskit.profiles.Profile``) whose rows are windows of packets.

    Attributes:
        SCHEMA: its columns, those of the first or of the later version.
        window: packets in a row; the last row of a piece may have fewer.
        piece_bytes: size of a pcap file after which everything starts anew; 0: never.
    """

    SCHEMA: Schema
    window: int = 10
    piece_bytes: int = PIECE_BYTES
    IDLE_US: int = 0
    REASSEMBLES: bool = False

    def make(self, settings: Settings) -> Windows:
        """Make empty arrays; flows of a whole piece get what they can need at most."""
        capacity = max(settings.memory_bytes // BYTES_EACH, 1)
        if self.piece_bytes:
            capacity = min(capacity, self.piece_bytes // _SMALLEST + 2)
        conversations = make_table(settings, capacity)
        return Windows(
            table=make_table(settings, 1),
            conversations=conversations._replace(flows=np.zeros(capacity, CONVERSATION)),
            progress=self._progress(),
            sums=np.zeros(len(self.SCHEMA)),
            protocols=np.zeros(256, np.int64),
        )

    def _progress(self) -> _Records:
        progress = np.zeros(1, PROGRESS)
        progress["window"] = self.window
        progress["piece_bytes"] = self.piece_bytes
        progress["piece"] = _FILE_HEADER
        progress["is_later"] = self.SCHEMA.features is LATER
        return progress

    @staticmethod
    def reread(frames: Frames, decoded: _Records) -> _Records:  # noqa: ARG004
        """Return one row per frame, as dpkt reads it."""
        return dpkt_frames.reread(frames)

    @staticmethod
    def advance(state: Windows, output: Output, packets: _Records, first: int) -> int:
        """Take packets from ``first`` on; return the first one that found no room."""
        return int(_advance(state, output, packets, first))

    @staticmethod
    def grow(state: Windows) -> Windows:
        """Return ``state``: nothing in it grows."""
        return state

    @staticmethod
    def finish(
        state: Windows,
        output: Output,
        slots: NDArray[np.int64],
        first: int,
        end: int,
    ) -> int:
        """Emit the window that is not full yet."""
        if room(state.table, output) < 1:
            return first
        _close(state, output, end)
        return len(slots)


FIRST_10 = PacketWindows(SCHEMA=CICIOT2023)
FIRST_100 = PacketWindows(SCHEMA=CICIOT2023_100, window=100)
LATER_10 = PacketWindows(SCHEMA=CICIOT2023_39)
LATER_100 = PacketWindows(SCHEMA=CICIOT2023_39_100, window=100)


@kernel
def _advance(arrays: Windows, output: Output, packets: _Records, first: int) -> int:
    conversations = table_pointers(arrays.conversations)
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
        _discard_all(conversations)
        progress["piece"] = _FILE_HEADER
        progress["previous_s"] = progress["rate"] = progress["backward_rate"] = 0.0
        progress["sizes"] = progress["packets"] = 0
    progress["piece"] += _RECORD_HEADER + int(packet["captured_bytes"])


@kernel
def _discard_all(conversations: Table) -> None:
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
        add_to_later_version(arrays, packet)
    else:
        add_to_first_version(arrays, conversations, packet)
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
        clear_sizes(arrays.progress[0])


@kernel
def _close(arrays: Windows, output: Output, end: int) -> None:
    """Emit the window."""
    table = arrays.table
    at = int(table.state[0]["emitted"])
    identify(table, 0, end, output.flows[at])
    count, width = int(table.directions[0]["packets"]), len(arrays.sums)
    for column in range(width):
        output.features[at * width + column] = arrays.sums[column] / count
    if arrays.progress[0]["is_later"]:
        put_later_columns(arrays, output.features, at * width, count)
    table.state[0]["emitted"] += 1
    table.state[0]["open"] = 0
    table.flows[0]["list"] = -1
    table.directions[0]["packets"] = 0
