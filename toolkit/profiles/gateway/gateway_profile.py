"""The project's own flows, of which each profile emits some of the columns.

* ``gateway``, which the shipped model is trained on: the statistics of ``cic-fixed`` that need
  bounded memory, and what the flow's source and destination had been doing when it began
  (``idskit.flows.host_context``) and in the minutes before (``idskit.flows.decaying_counters``).
* ``packets``: the first packets as time series (``idskit.profiles.gateway.packet_series``).
* ``gateway-packets``: both.

Every column is defined in the README.md of ``idskit/flows``.

Flows end as in ``cic-fixed``, and also when nothing comes for ``idle_us``, or for ``linger_us``
once TCP is closed: a verdict must not wait for a packet that never comes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from idskit.flows import decaying_counters as host_history
from idskit.flows.decaying_counters import make_history
from idskit.flows.flow_records import Output, Settings, bytes_per_flow, make_table, output_pointers
from idskit.flows.flow_table import discard, room
from idskit.flows.host_context import CONTEXT, WINDOW
from idskit.flows.host_slots import WINDOWS, bytes_per_host, make_hosts
from idskit.flows.verdict_clock import stop_clock
from idskit.kernels.compile import Settled, kernel
from idskit.packet import PACKET
from idskit.payload.payload_counts import WIDTH
from idskit.profiles.gateway import fragment_evidence as fragments
from idskit.profiles.gateway import packet_series as series
from idskit.profiles.gateway.connection_evidence import CONNECTION
from idskit.profiles.gateway.ended_connections import bytes_per_ended, make_ended
from idskit.profiles.gateway.gateway_arrays import SHAPE, SYNS, Gateway, gateway_pointers
from idskit.profiles.gateway.gateway_life import (
    LAG_US,
    SWEPT,
    emit,
    sweep,
    take_packet,
)
from idskit.profiles.gateway.prefetching import look_ahead
from idskit.profiles.gateway.verdict_sweep import judge_due
from idskit.schema import Schema
from idskit.schemas import gateway_columns

_Bytes = NDArray[np.uint8]
_Records = NDArray[np.void]


AHEAD = 32  # packets whose flows are fetched from memory at once


@dataclass(frozen=True, kw_only=True)
class GatewayFlows:
    """A profile (``idskit.profiles.Profile``) of the project's own flows.

    Attributes:
        SCHEMA: its columns.
        statistics: rows have the columns of ``gateway``.
        series: rows have the first packets, after the statistics.
    """

    SCHEMA: Schema
    statistics: bool = False
    series: bool = False
    IDLE_US: int = 120_000_000
    REASSEMBLES: bool = True

    def make(self, settings: Settings) -> Gateway:
        """Make an empty table, and with statistics a memory of hosts: a quarter of the bytes.

        A quarter of that is for pairs of hosts.
        """
        for_hosts = settings.memory_bytes // 4 if self.statistics else 0
        capacity = max((settings.memory_bytes - for_hosts) // self._bytes_each(), 1)
        contexts = capacity if self.statistics else 0
        table = make_table(settings, capacity)
        table.state["allowance"] = SWEPT
        for_pairs = for_hosts // 4
        hosts = max((for_hosts - for_pairs) // _bytes_per_host(), 2)
        shape = np.zeros(1, SHAPE)
        shape[0] = len(self.SCHEMA), self.statistics, self.series
        return Gateway(
            table=table,
            shape=shape,
            connections=np.zeros(capacity, CONNECTION),
            syns=np.zeros(SYNS + 1, PACKET),
            ended=make_ended(capacity),
            hosts=make_hosts(hosts, table.keys),
            contexts=np.zeros(contexts, CONTEXT),
            windows=np.zeros(2 * WINDOWS * contexts, WINDOW),
            fragments=np.zeros(contexts, fragments.EVIDENCE),
            contents=np.zeros(contexts * WIDTH, np.float32),
            frames=np.zeros(0, np.uint8),
            kept=np.zeros(0, np.uint8),
            history=make_history(hosts, contexts, for_pairs, table.keys),
            places=np.zeros(gateway_columns.PACKETS * capacity if self.series else 0, series.PLACE),
        )

    def _bytes_each(self) -> int:
        context = CONTEXT.itemsize + 2 * WINDOWS * WINDOW.itemsize
        context += fragments.EVIDENCE.itemsize + host_history.bytes_per_flow() + 4 * WIDTH
        places = gateway_columns.PACKETS * series.PLACE.itemsize
        connection = CONNECTION.itemsize + bytes_per_ended()
        return bytes_per_flow() + connection + self.statistics * context + self.series * places

    @staticmethod
    def grow(state: Gateway) -> Gateway:
        """Nothing here grows."""
        return state

    @staticmethod
    def look_at(state: Gateway, frames: _Bytes, kept: _Bytes) -> Gateway:
        """Take the payloads of the next packets from these bytes."""
        if frames is state.frames and kept is state.kept:
            return state
        return state._replace(frames=frames, kept=kept)

    @staticmethod
    def advance(state: Gateway, output: Output, packets: _Records, first: int) -> int:
        """Take packets from ``first`` on; return the first one that there was no room for."""
        return int(_ADVANCE(state, output, packets, first))

    @staticmethod
    def expire(state: Gateway, output: Output, now_us: int) -> bool:
        """Sweep by the clock where nothing comes; False if there was no room."""
        return bool(_expire(state, output, now_us))

    @staticmethod
    def finish(
        state: Gateway, output: Output, slots: NDArray[np.int64], first: int, end: int
    ) -> int:
        """Emit and discard the flows in ``slots``; return the first without room."""
        return int(_finish(state, output, slots, first, end))


def _bytes_per_host() -> int:
    return bytes_per_host() + host_history.bytes_per_host()


GATEWAY = GatewayFlows(SCHEMA=gateway_columns.GATEWAY, statistics=True)
PACKETS = GatewayFlows(SCHEMA=gateway_columns.PACKET_SERIES, series=True)
GATEWAY_PACKETS = GatewayFlows(SCHEMA=gateway_columns.GATEWAY_PACKETS, statistics=True, series=True)


@kernel
def _advance(arrays: Gateway, rows_out: Output, packets: _Records, first: int) -> int:
    gateway, output = gateway_pointers(arrays), output_pointers(rows_out)
    tags, has_verdicts = np.empty(AHEAD, np.int64), gateway.table.state[0]["ages"] > 0
    while first < len(packets):
        count = min(len(packets) - first, AHEAD)
        look_ahead(gateway, packets, first, tags[:count])
        for i in range(first, first + count):
            if has_verdicts and not judge_due(gateway, output, int(packets[i]["time_us"])):
                return i
            if not take_packet(gateway, output, packets[i], tags[i - first]):
                return i
        first += count
    return first


_ADVANCE = Settled(_advance)


@kernel
def _expire(arrays: Gateway, rows_out: Output, now_us: int) -> bool:
    gateway, output = gateway_pointers(arrays), output_pointers(rows_out)
    state = gateway.table.state[0]
    state["allowance"] = state["open"]
    if not judge_due(gateway, output, now_us):
        return False
    state["allowance"] = state["open"]
    return bool(sweep(gateway, output, now_us - LAG_US))


@kernel
def _finish(
    arrays: Gateway, rows_out: Output, slots: NDArray[np.int64], first: int, end: int
) -> int:
    gateway, output = gateway_pointers(arrays), output_pointers(rows_out)
    for i in range(first, len(slots)):
        if room(gateway.table, output) < 1:
            return i
        emit(gateway, output, slots[i], end)
        stop_clock(gateway.table, slots[i])
        discard(gateway.table, slots[i])
    return len(slots)


# A TCP packet meets an open flow.
