"""Columns of the later version: its scripts were not published, so its rows define them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from idskit.kernels.compile import kernel
from idskit.profiles.ciciot2023.dpkt_frames import IPV4
from idskit.profiles.ciciot2023.window_sums import (
    Windows,
    add_flags,
    add_services,
    add_size,
    seconds,
    squared_deviations,
)

_Record = np.void
_Row = NDArray[np.float64]

_IGMP = 2


@kernel
def add_to_later_version(arrays: Windows, packet: _Record) -> None:
    """Add a packet to the columns that are means; a frame's size is what was captured, padded."""
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
def put_later_columns(arrays: Windows, row: _Row, at: int, count: int) -> None:
    """Write the columns that are not means."""
    sums, progress = arrays.sums, arrays.progress[0]
    variance = squared_deviations(progress) / (count - 1) if count > 1 else np.nan
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
    """Return the smallest of the most frequent values, as pandas' mode does."""
    best = 0
    for value in range(len(counts)):
        if counts[value] > counts[best]:
            best = value
    return best
