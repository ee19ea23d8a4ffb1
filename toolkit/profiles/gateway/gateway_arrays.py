"""The arrays of the ``gateway`` profiles."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from idskit.flows.decaying_counters import History, history_pointers
from idskit.flows.flow_records import Table, table_pointers
from idskit.flows.host_slots import Hosts, host_pointers
from idskit.kernels.compile import kernel, raw_pointer
from idskit.kernels.pointers import record_pointer
from idskit.profiles.gateway.ended_connections import Ended, ended_pointers

_Records = NDArray[np.void]
SYNS = 4096  # pending SYNs kept at once, a power of two
# What a row has.
SHAPE = np.dtype([("columns", "<i8"), ("statistics", "<i8"), ("series", "<i8")])


class Gateway(NamedTuple):
    """The arrays of these profiles; inside the kernels, raw pointers to them."""

    table: Table
    shape: _Records  # (1,) SHAPE
    connections: _Records  # (capacity,) CONNECTION
    syns: _Records  # (SYNS + 1,) PACKET: the pending SYN of slot s at s % SYNS; the last is scratch
    ended: Ended
    # Without statistics, none of these is touched.
    hosts: Hosts
    contexts: _Records  # (capacity,) CONTEXT
    windows: _Records  # (2 * WINDOWS * capacity,) WINDOW: of slot s from 2 * WINDOWS * s
    fragments: _Records  # (capacity,) fragments.EVIDENCE, of the flows that have fragments
    history: History
    contents: NDArray[np.float32]  # (WIDTH * capacity,) of slot s from WIDTH * s
    # The bytes that the payloads of the packets lie in: of their frames, and of their datagrams.
    frames: NDArray[np.uint8]
    kept: NDArray[np.uint8]
    # Without series, not touched.
    places: _Records  # (series.PACKETS * capacity,) series.PLACE: of slot s from PACKETS * s


@kernel
def gateway_pointers(gateway: Gateway) -> Gateway:
    """Return the same arrays by raw pointers."""
    return Gateway(
        table_pointers(gateway.table),
        record_pointer(gateway.shape),
        record_pointer(gateway.connections),
        record_pointer(gateway.syns),
        ended_pointers(gateway.ended),
        host_pointers(gateway.hosts),
        record_pointer(gateway.contexts),
        record_pointer(gateway.windows),
        record_pointer(gateway.fragments),
        history_pointers(gateway.history),
        raw_pointer(gateway.contents),
        raw_pointer(gateway.frames),
        raw_pointer(gateway.kept),
        record_pointer(gateway.places),
    )


@kernel
def has_statistics(gateway: Gateway) -> bool:
    """Return whether rows have the columns of ``gateway``."""
    return bool(gateway.shape[0]["statistics"])
