"""The first packets of a flow as time series: sizes, directions, inter-arrival times.

A spectrum over the columns of a record is a fixed mixing of them; over these it is one (C. Fu et
al., "Realtime robust malicious traffic detection via frequency domain analysis", CCS 2021). An open
flow keeps eight bytes a packet.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from idskit.kernels.compile import kernel
from idskit.schemas.gateway_columns import PACKETS, SERIES_KINDS

_Record = np.void
_Records = NDArray[np.void]
_Row = NDArray[np.float64]

PLACE = np.dtype(
    [
        ("gap", "<i4"),  # microseconds since the flow's packet before
        ("size", "<i4"),  # IP bytes, negative for a backward packet; never 0
    ],
    align=True,
)
LONGEST_US = (1 << 31) - 1  # 36 minutes: longer gaps need a longer time-out and age than there are


@kernel
def note_packet(places: _Records, slot: int, flow: _Record, packet: _Record, sign: int) -> None:
    """Keep a packet that is about to be added to the flow, if it is one of the first."""
    number = flow["packets"]
    if number >= PACKETS:
        return
    place = places[PACKETS * slot + number]
    gap = np.int64(packet["time_us"]) - flow["last"] if number else 0
    place["gap"] = min(max(gap, -LONGEST_US), LONGEST_US)
    place["size"] = sign * np.int64(packet["ip_bytes"])


@kernel
def turn_series(places: _Records, slot: int, packets: int) -> None:
    """Make what was forward backward, in a flow of so many packets."""
    for place in range(PACKETS * slot, PACKETS * slot + min(packets, PACKETS)):
        places[place]["size"] = -places[place]["size"]


@kernel
def put_series(row: _Row, at: int, places: _Records, slot: int, packets: int) -> int:
    """Write the three series of a flow, zeros past its last packet."""
    first, known = PACKETS * slot, min(packets, PACKETS)
    for number in range(known):
        place = places[first + number]
        row[at + number] = abs(place["size"])
        row[at + PACKETS + number] = 1.0 if place["size"] > 0 else -1.0
        row[at + 2 * PACKETS + number] = place["gap"]
    for number in range(known, PACKETS):
        row[at + number] = 0.0
        row[at + PACKETS + number] = 0.0
        row[at + 2 * PACKETS + number] = 0.0
    return at + len(SERIES_KINDS) * PACKETS
