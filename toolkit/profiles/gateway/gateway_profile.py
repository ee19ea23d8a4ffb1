"""The project's own flows, of which each profile gives out some of the columns.

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
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from idskit.decode.icmp import put_icmp_ports
from idskit.flows import decaying_counters as host_history
from idskit.flows import host_context
from idskit.flows.decaying_counters import History, bare_history, make_history, put_history
from idskit.flows.flow_statistics import (
    deviation,
    put_bulk,
    put_flags,
    put_gaps,
    put_lengths,
    put_periods,
    put_side_flags,
    put_side_gaps,
    put_side_rates,
    put_starts,
    put_subflows,
    put_totals,
    ratio,
)
from idskit.flows.flow_table import (
    AGE,
    CLOSE,
    EVICTED,
    IDLE,
    MAX_AGE_US,
    OPEN,
    READY,
    REPLACED,
    VERDICT,
    Output,
    Settings,
    Table,
    add_activity,
    add_bulk,
    add_packet,
    backward_of,
    bare,
    bare_output,
    bytes_per_flow,
    discard,
    find_in_vlan,
    first_tick,
    follow_teardown,
    forward_of,
    identify,
    insert,
    is_expired,
    is_full,
    is_swapped,
    make_table,
    mark_data,
    mark_empty,
    open_backward,
    room,
    schedule,
    start_flow,
    tag_of,
    tick_of,
    touch_flow,
    touch_next,
    touch_place,
    turn,
    victim,
)
from idskit.flows.host_context import (
    CONTEXT,
    FLOWS,
    PEERS,
    PORTS,
    REFUSED,
    SAME_PAIR,
    SAME_SERVICE,
    SERVICES,
    SOURCE,
    TARGET,
    UNANSWERED,
    WINDOW,
    WINDOWS,
    Hosts,
    bare_hosts,
    bytes_per_host,
    count_of,
    make_hosts,
    note_answer,
    note_payload,
    refuse,
    touch_host,
)
from idskit.kernels.compile import inlined, kernel
from idskit.kernels.pointers import rows, touch
from idskit.packet import ICMP, ICMPV6, PACKET, RST, TCP, UDP
from idskit.profiles.gateway import fragment_evidence as fragments
from idskit.profiles.gateway import packet_series as series
from idskit.profiles.gateway.connection_evidence import (
    CONFIRM,
    CONNECTION,
    EVIDENCE,
    IGNORE,
    REPLACE,
    START_OVER,
    TURN,
    begin_connection,
    copy_segment,
    forget_evidence,
    goes_on,
    is_opening,
    is_provisional,
    judge,
    note_segment,
    put_evidence,
    settle,
)
from idskit.profiles.gateway.ended_connections import (
    Ended,
    bare_ended,
    bytes_per_ended,
    find_ended,
    is_late,
    keep_ended,
    make_ended,
)
from idskit.profiles.gateway.fragment_evidence import note_fragments, put_fragments
from idskit.profiles.gateway.packet_series import note_packet, put_series, turn_series
from idskit.profiles.gateway.segments import cut_segment, segment_bytes
from idskit.schema import Feature, Schema

_Record = np.void
_Records = NDArray[np.void]
_Row = NDArray[np.float64]


def _each(template: str, names: str, unit: str) -> tuple[Feature, ...]:
    return tuple(Feature(name=template.format(name), unit=unit) for name in names.split())


def _window_features(window: str) -> tuple[Feature, ...]:
    return (
        *_each(window + "_{}", "flows peers services src_ports", "count"),
        *_each(window + "_{}", "unanswered refused same_service", "share"),
        Feature(name=window + "_payload_mean", unit="bytes"),
    )


def _host_features(role: str) -> tuple[Feature, ...]:
    return (
        *_window_features(f"{role}_2s"),
        *_window_features(f"{role}_10s"),
        *_window_features(f"{role}_64"),
        Feature(name=f"{role}_64_span", unit="us"),
    )


STATISTICS = (
    *_each("is_{}", "tcp udp icmp", "flag"),
    *_each("{}", "flow_duration", "us"),
    *_each("{}_packets", "fwd bwd", "packets"),
    *_each("{}_payload", "fwd bwd", "bytes"),
    *_each("fwd_payload_{}", "max min mean std", "bytes"),
    *_each("bwd_payload_{}", "max min mean std", "bytes"),
    *_each("{}", "flow_payload_rate", "bytes/s"),
    *_each("{}", "flow_packet_rate", "packets/s"),
    *_each("flow_iat_{}", "mean std max min", "us"),
    *_each("fwd_iat_{}", "total mean std max min", "us"),
    *_each("bwd_iat_{}", "total mean std max min", "us"),
    *_each("{}", "fwd_psh bwd_psh fwd_urg bwd_urg fwd_rst bwd_rst", "packets"),
    *_each("{}_header", "fwd bwd", "bytes"),
    *_each("{}_packet_rate", "fwd bwd", "packets/s"),
    *_each("payload_{}", "min max mean std", "bytes"),
    *_each("{}", "payload_variance", "bytes^2"),
    *_each("{}_count", "fin syn rst psh ack urg cwr ece", "packets"),
    *_each("{}", "down_up_ratio", "1"),
    *_each("fwd_bulk_{}", "bytes", "bytes"),
    *_each("fwd_bulk_{}", "packets", "packets"),
    *_each("fwd_bulk_{}", "rate", "bytes/s"),
    *_each("bwd_bulk_{}", "bytes", "bytes"),
    *_each("bwd_bulk_{}", "packets", "packets"),
    *_each("bwd_bulk_{}", "rate", "bytes/s"),
    *_each("subflow_{}", "fwd_packets", "packets"),
    *_each("subflow_{}", "fwd_payload", "bytes"),
    *_each("subflow_{}", "bwd_packets", "packets"),
    *_each("subflow_{}", "bwd_payload", "bytes"),
    *_each("{}_init_window", "fwd bwd", "bytes"),
    *_each("{}_data_packets", "fwd bwd", "packets"),
    *_each("{}_header_min", "fwd bwd", "bytes"),
    *_each("active_{}", "mean std max min", "us"),
    *_each("idle_{}", "mean std max min", "us"),
    *_each("icmp_{}", "code type", "code"),
    *_host_features("src"),
    *_host_features("dst"),
    *_each("beacon_{}", "intervals", "count"),
    *_each("beacon_{}", "interval_mean", "us"),
    *_each("beacon_{}", "interval_variation", "1"),
)

# What a row has.
_SHAPE = np.dtype([("columns", "<i8"), ("statistics", "<i8"), ("series", "<i8")])


class Gateway(NamedTuple):
    """The arrays of these profiles; inside the kernels, bare pointers to them."""

    table: Table
    shape: _Records  # (1,) _SHAPE
    connections: _Records  # (capacity,) CONNECTION
    syns: _Records  # (SYNS + 1,) PACKET: the pending SYN of slot s at s % SYNS; the last is scratch
    ended: Ended
    # Without statistics, none of these is touched.
    hosts: Hosts
    contexts: _Records  # (capacity,) CONTEXT
    windows: _Records  # (2 * WINDOWS * capacity,) WINDOW: of slot s from 2 * WINDOWS * s
    fragments: _Records  # (capacity,) fragments.EVIDENCE, of the flows that have fragments
    history: History
    # Without series, not touched.
    places: _Records  # (series.PACKETS * capacity,) series.PLACE: of slot s from PACKETS * s


SYNS = 4096  # pending SYNs kept at once, a power of two
AHEAD = 32  # packets whose flows are fetched from memory at once
SWEPT = 8  # flows that a packet may make sweeps look at
LAG_US = 4_000_000  # sweeps wait for packets that come late: they find their flow still there


@dataclass(frozen=True, kw_only=True)
class GatewayFlows:
    """A profile (``idskit.profiles.Profile``) of the project's own flows.

    Attributes:
        name: of its schema.
        statistics: rows have the columns of ``gateway``.
        series: rows have the first packets, after the statistics.
    """

    name: str
    statistics: bool = False
    series: bool = False
    IDLE_US: int = 120_000_000
    REASSEMBLES: bool = True

    @cached_property
    def SCHEMA(self) -> Schema:  # noqa: N802 - as the modules of the other profiles have it
        """The columns under this name."""
        statistics = (*STATISTICS, *host_history.FEATURES, *fragments.FEATURES, *EVIDENCE)
        features = self.statistics * statistics + self.series * series.FEATURES
        return Schema(name=self.name, features=features)

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
        shape = np.zeros(1, _SHAPE)
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
            history=make_history(hosts, contexts, for_pairs, table.keys),
            places=np.zeros(series.PACKETS * capacity if self.series else 0, series.PLACE),
        )

    def _bytes_each(self) -> int:
        context = CONTEXT.itemsize + 2 * WINDOWS * WINDOW.itemsize
        context += fragments.EVIDENCE.itemsize + host_history.bytes_per_flow()
        places = series.PACKETS * series.PLACE.itemsize
        connection = CONNECTION.itemsize + bytes_per_ended()
        return bytes_per_flow() + connection + self.statistics * context + self.series * places

    @staticmethod
    def grow(state: Gateway) -> Gateway:
        """Nothing here grows."""
        return state

    @staticmethod
    def advance(state: Gateway, output: Output, packets: _Records, first: int) -> int:
        """Take packets from ``first`` on; return the first one that there was no room for."""
        return int(_advance(state, output, packets, first))

    @staticmethod
    def expire(state: Gateway, output: Output, now_us: int) -> bool:
        """Sweep by the clock where nothing comes; False if there was no room."""
        return bool(_expire(state, output, now_us))

    @staticmethod
    def finish(
        state: Gateway, output: Output, slots: NDArray[np.int64], first: int, end: int
    ) -> int:
        """Give out and discard the flows in ``slots``; return the first without room."""
        return int(_finish(state, output, slots, first, end))


def _bytes_per_host() -> int:
    return bytes_per_host() + host_history.bytes_per_host()


GATEWAY = GatewayFlows(name="gateway", statistics=True)
PACKETS = GatewayFlows(name="packets", series=True)
GATEWAY_PACKETS = GatewayFlows(name="gateway-packets", statistics=True, series=True)


@kernel
def _bare(gateway: Gateway) -> Gateway:
    return Gateway(
        bare(gateway.table),
        rows(gateway.shape),
        rows(gateway.connections),
        rows(gateway.syns),
        bare_ended(gateway.ended),
        bare_hosts(gateway.hosts),
        rows(gateway.contexts),
        rows(gateway.windows),
        rows(gateway.fragments),
        bare_history(gateway.history),
        rows(gateway.places),
    )


@kernel
def _advance(arrays: Gateway, rows_out: Output, packets: _Records, first: int) -> int:
    gateway, output = _bare(arrays), bare_output(rows_out)
    tags = np.empty(AHEAD, np.int64)
    while first < len(packets):
        count = min(len(packets) - first, AHEAD)
        _look_ahead(gateway, packets, first, tags[:count])
        for i in range(first, first + count):
            if not _take(gateway, output, packets[i], tags[i - first]):
                return i
        first += count
    return first


@kernel
def _look_ahead(gateway: Gateway, packets: _Records, first: int, tags: NDArray[np.int64]) -> None:
    """Hash the next packets, and have what they need fetched from memory meanwhile."""
    table = gateway.table
    for i in range(len(tags)):
        packet = packets[first + i]
        if packet["protocol"] in (ICMP, ICMPV6):
            put_icmp_ports(packet)
        tags[i] = tag_of(table.keys, packet, int(packet["protocol"]), is_swapped(packet))
        touch_place(table, tags[i])
    for i in range(len(tags)):
        packet = packets[first + i]
        slot = touch_flow(table, tags[i])
        if slot >= 0:
            touch(gateway.connections, slot)
        elif _has_statistics(gateway):
            touch_host(gateway.hosts, packet["src_high"], packet["src_low"], SOURCE)
            touch_host(gateway.hosts, packet["dst_high"], packet["dst_low"], TARGET)


@kernel
def _has_statistics(gateway: Gateway) -> bool:
    return bool(gateway.shape[0]["statistics"])


@kernel
def sweep(gateway: Gateway, output: Output, now: int) -> bool:
    """Give out the flows that have expired by ``now``; False if there was no room for all.

    Stops once the packet's allowance is spent and goes on from there with the next one, so that a
    packet costs little even where time jumps to and fro.
    """
    table = gateway.table
    buckets = int(table.state[0]["buckets"])
    for tick in range(first_tick(table, now), tick_of(now) + 1):
        bucket = tick & (buckets - 1)
        for where in (bucket, bucket + buckets):
            if not _sweep_list(gateway, output, where, now):
                return False
        if table.state[0]["allowance"] <= 0:
            return True
        table.state[0]["hand"] = tick
    return True


@kernel
def _expire(arrays: Gateway, rows_out: Output, now_us: int) -> bool:
    gateway = _bare(arrays)
    gateway.table.state[0]["allowance"] = gateway.table.state[0]["open"]
    return bool(sweep(gateway, bare_output(rows_out), now_us - LAG_US))


@kernel
def _sweep_list(gateway: Gateway, output: Output, where: int, now: int) -> bool:
    """Empty a bucket: its flows go out, or on to the bucket of their real deadline."""
    table = gateway.table
    state = table.state[0]
    while table.lists[where]["head"] >= 0 and state["allowance"] > 0:
        slot = int(table.lists[where]["head"])
        if not is_expired(state, table.flows[slot], now):
            schedule(table, slot, now)
        elif room(table, output):
            _end(gateway, output, slot, _silent_end(table.flows[slot]))
        else:
            return False
        state["allowance"] -= 1
    return True


@kernel
def _finish(
    arrays: Gateway, rows_out: Output, slots: NDArray[np.int64], first: int, end: int
) -> int:
    gateway, output = _bare(arrays), bare_output(rows_out)
    for i in range(first, len(slots)):
        if room(gateway.table, output) < 1:
            return i
        _emit(gateway, output, slots[i], end)
        discard(gateway.table, slots[i])
    return len(slots)


@kernel
def _silent_end(flow: _Record) -> int:
    return CLOSE if flow["tcp"] == READY else IDLE


@kernel
def _payload(packet: _Record) -> int:
    """Payload by the IP length, whatever the capture cut off.

    Where the protocol has no header known here, all that follows a plain IP header.
    """
    if packet["header_bytes"]:
        return int(np.int64(packet["payload_bytes"])) + int(np.int64(packet["cut_bytes"]))
    header = 20 if packet["ip_version"] == 4 else 40
    return max(int(np.int64(packet["ip_bytes"])) - header, 0)


@inlined
def _take(gateway: Gateway, output: Output, packet: _Record, tag: int) -> bool:
    """One packet; False if there was no room for the flows that it may end."""
    table, now = gateway.table, int(packet["time_us"])
    clock = now - LAG_US
    if tick_of(clock) != table.state[0]["hand"] and not sweep(gateway, output, clock):
        return False
    if room(table, output) < 2:
        return False
    swapped = is_swapped(packet)
    slot = find_in_vlan(table, packet, swapped, tag)
    while slot >= 0 and is_expired(table.state[0], table.flows[slot], now):
        _end(gateway, output, slot, _silent_end(table.flows[slot]))
        if room(table, output) < 2:
            return False
        slot = find_in_vlan(table, packet, swapped, tag)
    if packet["protocol"] in (ICMP, ICMPV6) and _has_statistics(gateway):
        _refuse(gateway.hosts, packet)
    slot = _place(gateway, output, packet, slot, swapped, tag)
    if slot >= 0:
        _count(gateway, output, slot, packet, swapped)
    table.state[0]["allowance"] = SWEPT  # not before: a packet that is taken again sweeps no more
    return True


@inlined
def _place(
    gateway: Gateway, output: Output, packet: _Record, slot: int, swapped: bool, tag: int
) -> int:
    """Slot of the flow that a packet is counted in, which may begin with it; -1 if in none."""
    is_tcp = packet["protocol"] == TCP
    if slot < 0:
        src_is_b = _opener(gateway, packet, swapped, tag) if is_tcp else int(swapped)
        return _begin(gateway, output, packet, swapped, src_is_b == 1, tag) if src_is_b >= 0 else -1
    if is_tcp and not _join(gateway, output, packet, slot, swapped):
        return -1
    flow = gateway.table.flows[slot]
    if int(packet["time_us"]) - flow["start"] > MAX_AGE_US:
        _cut(gateway, output, packet, slot, swapped)
    if flow["vlan"] == 0:
        flow["vlan"] = packet["vlan"]
    return slot


@kernel
def _refuse(hosts: Hosts, packet: _Record) -> None:
    """Note a destination unreachable (RFC 792, RFC 4443) with the hosts of what it answers.

    One of which fragments are missing reached nobody.
    """
    kind = 3 if packet["protocol"] == ICMP else 1
    if packet["icmp_type"] == kind and not packet["incomplete"]:
        refuse(hosts, packet)


@kernel
def _opener(gateway: Gateway, packet: _Record, swapped: bool, tag: int) -> int:
    """Whether endpoint b opened what a TCP packet without a flow belongs to; -1 if it is late."""
    if is_opening(packet):
        return int(swapped)
    ended = find_ended(gateway.ended, tag)
    if ended < 0:
        return int(swapped)
    if is_late(gateway.ended, ended, packet):
        gateway.table.state[0]["late"] += 1
        return -1
    return int(gateway.ended.ring[ended]["src_is_b"])


@kernel
def _begin(
    gateway: Gateway, output: Output, packet: _Record, swapped: bool, src_is_b: bool, tag: int
) -> int:
    table = gateway.table
    if is_full(table):
        slot = victim(table)
        _touch_next(gateway, slot)
        _end(gateway, output, slot, EVICTED)
        table.state[0]["evicted"] += 1
    slot = insert(table, packet, int(packet["protocol"]), swapped, tag)
    _restart(gateway, output, slot, packet, swapped, src_is_b)
    return slot


@kernel
def _end(gateway: Gateway, output: Output, slot: int, end: int) -> None:
    """Emit a flow and free its slot; a connection of both sides is kept among the ended ones."""
    flow = gateway.table.flows[slot]
    _emit(gateway, output, slot, end)
    if flow["protocol"] == TCP and flow["two_way"]:
        keep_ended(gateway.ended, flow, flow["tcp"] == READY)
    discard(gateway.table, slot)


@kernel
def _touch_next(gateway: Gateway, slot: int) -> None:
    """Have the flow to be evicted after this one at hand."""
    following = touch_next(gateway.table, slot)
    if following >= 0 and _has_statistics(gateway):
        touch(gateway.contexts, following)
        touch(gateway.windows, 2 * WINDOWS * following)
        touch(gateway.windows, 2 * WINDOWS * following + WINDOWS)


@kernel
def _restart(
    gateway: Gateway, output: Output, slot: int, packet: _Record, swapped: bool, src_is_b: bool
) -> None:
    """A new flow in this slot."""
    table = gateway.table
    mark_empty(table, slot)
    start_flow(table, slot, packet, src_is_b)
    flow = table.flows[slot]
    flow["id_from_b"] = flow["src_is_b"]
    if flow["protocol"] in (ICMP, ICMPV6):
        flow["icmp_type"], flow["icmp_code"] = packet["icmp_type"], packet["icmp_code"]
    if flow["protocol"] == TCP:
        begin_connection(gateway.connections[slot], packet, swapped, src_is_b, 0)
    if _has_statistics(gateway):
        _begin_context(gateway, output, slot)


@kernel
def _begin_context(gateway: Gateway, output: Output, slot: int) -> None:
    """Sum up what the flow's hosts had been doing."""
    row = output.flows[gateway.table.state[0]["emitted"]]  # as scratch: the next row is not filled
    _identify(gateway.table, slot, 0, row)
    context, at = gateway.contexts[slot], 2 * WINDOWS * slot
    connection = gateway.table.flows[slot]["connection"]
    host_context.begin(gateway.hosts, context, gateway.windows, at, row, connection)
    host_history.begin(gateway.history, gateway.hosts.hosts, context, slot, row, connection)


@kernel
def _identify(table: Table, slot: int, end: int, row: _Record) -> None:
    """Fill a FLOW row; ICMP has no ports, whatever its key is made of."""
    identify(table, slot, end, row)
    if table.flows[slot]["protocol"] in (ICMP, ICMPV6):
        row["src_port"] = row["dst_port"] = 0


# A TCP packet meets an open flow.


@inlined
def _join(gateway: Gateway, output: Output, packet: _Record, slot: int, swapped: bool) -> bool:
    """Do to the flow of its key what a TCP packet does before it is added; False: it is not."""
    flow, connection = gateway.table.flows[slot], gateway.connections[slot]
    deed = judge(connection, flow, packet, swapped)
    if deed == IGNORE:
        return False
    if deed == REPLACE:
        _emit(gateway, output, slot, REPLACED)
        _restart(gateway, output, slot, packet, swapped, swapped)
    elif deed == START_OVER:
        _start_over(gateway, output, slot, packet, swapped)
    elif deed == CONFIRM:
        _confirm(gateway, output, slot)
    elif deed == TURN:
        _turn(gateway, output, slot, swapped)
    elif is_opening(packet) and connection["pending_from"]:
        copy_segment(gateway.syns[slot & (SYNS - 1)], packet)
    return True


@kernel
def _start_over(gateway: Gateway, output: Output, slot: int, packet: _Record, from_b: bool) -> None:
    """Begin the flow with a SYN: the little that came before it is counted, and nothing else."""
    table, flow = gateway.table, gateway.table.flows[slot]
    before = gateway.connections[slot]["before_open"] + flow["packets"]
    is_same, number = flow["src_is_b"] == from_b, flow["connection"]
    mark_empty(table, slot)
    start_flow(table, slot, packet, from_b)
    flow["id_from_b"] = flow["src_is_b"]
    begin_connection(gateway.connections[slot], packet, from_b, from_b, before)
    if is_same:  # its hosts keep it as the flow that it was
        flow["serial"] = flow["connection"] = number
    if _has_statistics(gateway):
        if is_same:
            _note_payload(gateway, slot, 0)
        else:
            _begin_context(gateway, output, slot)


@kernel
def _confirm(gateway: Gateway, output: Output, slot: int) -> None:
    """Begin the flow that the pending SYN opened, unless other ones have taken its slot since."""
    connection, flow = gateway.connections[slot], gateway.table.flows[slot]
    packet, from_b = gateway.syns[slot & (SYNS - 1)], connection["pending_from"] == 2
    is_known = packet["sequence"] == connection["pending"]
    connection["pending_from"] = 0
    if not is_known:
        return
    if is_provisional(connection, flow):
        _start_over(gateway, output, slot, packet, from_b)
        connection["before_open"] -= 1  # the SYN itself
    else:
        _emit(gateway, output, slot, REPLACED)
        _restart(gateway, output, slot, packet, from_b, from_b)
    _count(gateway, output, slot, packet, from_b)


@kernel
def _turn(gateway: Gateway, output: Output, slot: int, from_b: bool) -> None:
    """Let the receiver of a SYN+ACK be the source."""
    flow = gateway.table.flows[slot]
    turn(gateway.table, slot)
    flow["id_from_b"] = flow["src_is_b"]
    settle(gateway.connections[slot], flow, from_b)
    if gateway.shape[0]["series"]:
        turn_series(gateway.places, slot, flow["packets"])
    if _has_statistics(gateway):
        _begin_context(gateway, output, slot)


@kernel
def _cut(gateway: Gateway, output: Output, packet: _Record, slot: int, swapped: bool) -> None:
    """End a flow by its age: TCP and UDP go on with their orientation."""
    _emit(gateway, output, slot, AGE)
    if gateway.table.flows[slot]["protocol"] in (TCP, UDP):
        _continue(gateway, slot, packet)
    else:
        _restart(gateway, output, slot, packet, swapped, swapped)


@kernel
def _continue(gateway: Gateway, slot: int, packet: _Record) -> None:
    """A flow cut by its age goes on with its orientation, its connection and its context."""
    flow = gateway.table.flows[slot]
    connection, vlan = flow["connection"], flow["vlan"]
    start_flow(gateway.table, slot, packet, flow["src_is_b"] == 1)
    flow["connection"], flow["vlan"] = connection, vlan
    forget_evidence(gateway.connections[slot])


@inlined
def _count(gateway: Gateway, output: Output, slot: int, packet: _Record, swapped: bool) -> None:
    """Add a packet to its flow, or the segments that it stands for."""
    if _has_statistics(gateway):
        note_fragments(gateway.fragments, slot, gateway.table.flows[slot], packet)
    size = 0
    if packet["protocol"] == TCP:
        connection, flow = gateway.connections[slot], gateway.table.flows[slot]
        if goes_on(connection, flow, packet, swapped):
            flow["tcp"] = OPEN
        note_segment(connection, flow, packet, swapped)
        size = segment_bytes(connection, packet)
    segment = packet
    if size:
        segment = gateway.syns[SYNS]
        copy_segment(segment, packet)
    more = True
    while more:
        if size:
            cut_segment(segment, size, packet)
        _count_one(gateway, output, slot, segment, swapped)
        more = size > 0 and packet["payload_bytes"] + packet["cut_bytes"] > 0


@inlined
def _count_one(gateway: Gateway, output: Output, slot: int, packet: _Record, swapped: bool) -> None:
    _add(gateway, slot, packet, swapped)
    if gateway.table.flows[slot]["packets"] == gateway.table.state[0]["verdict_after"]:
        _emit(gateway, output, slot, VERDICT)


@inlined
def _add(gateway: Gateway, slot: int, packet: _Record, swapped: bool) -> None:
    table = gateway.table
    flow = table.flows[slot]
    is_forward = flow["src_is_b"] == swapped
    side = forward_of(table, slot) if is_forward else open_backward(table, slot)
    other = backward_of(table, slot) if is_forward else forward_of(table, slot)
    now, payload = int(packet["time_us"]), _payload(packet)
    if flow["packets"] == 0 or (not is_forward and side["window"] == 0):
        side["window"] = packet["window"]
    if payload:
        mark_data(table, slot)
    if gateway.shape[0]["series"]:
        note_packet(gateway.places, slot, flow, packet, 1 if is_forward else -1)
    add_activity(flow, now)
    add_bulk(side, int(other["bulk_last"]), now, payload)
    add_packet(flow, side, packet, payload)
    if flow["protocol"] == TCP:
        _follow(table, slot, side, other, int(packet["flags"]), now)
    if _has_statistics(gateway):
        _note(gateway, slot, packet, not is_forward and side["packets"] == 1)


@inlined
def _follow(table: Table, slot: int, side: _Record, other: _Record, flags: int, now: int) -> None:
    flow = table.flows[slot]
    before = flow["tcp"]
    follow_teardown(flow, side, other, flags)
    if flow["tcp"] == READY and before != READY:
        schedule(table, slot, now)


@inlined
def _note(gateway: Gateway, slot: int, packet: _Record, is_answer: bool) -> None:
    """Tell the flow's hosts how it goes on."""
    flow, table = gateway.table.flows[slot], gateway.table
    count, context = int(flow["packets"]), gateway.contexts[slot]
    connection, hosts = flow["connection"], gateway.hosts
    if is_answer:
        refused = packet["flags"] & RST != 0
        note_answer(hosts, context, connection, refused)
        host_history.note_answer(gateway.history, hosts.hosts, context, slot, connection, refused)
    if count & (count - 1) == 0 and flow["serial"] == connection:
        payload = forward_of(table, slot)["payload"] + backward_of(table, slot)["payload"]
        if payload:
            _note_payload(gateway, slot, payload)


@kernel
def _note_payload(gateway: Gateway, slot: int, payload: int) -> None:
    """Tell the flow's hosts its payload so far."""
    hosts, context = gateway.hosts, gateway.contexts[slot]
    connection = gateway.table.flows[slot]["connection"]
    note_payload(hosts, context, connection, payload)
    host_history.note_payload(gateway.history, hosts.hosts, context, slot, connection, payload)


@kernel
def _emit(gateway: Gateway, output: Output, slot: int, end: int) -> None:
    table = gateway.table
    at = table.state[0]["emitted"]
    _identify(table, slot, end, output.flows[at])
    shape, row, flow = gateway.shape[0], output.features, table.flows[slot]
    at = at * shape["columns"]
    if shape["statistics"]:
        fwd, bwd = forward_of(table, slot), backward_of(table, slot)
        at = _put_statistics(row, at, flow, fwd, bwd)
        at = _put_context(row, at, gateway, slot)
        at = put_history(row, at, gateway.history, slot)
        at = put_fragments(row, at, gateway.fragments, slot, flow)
        at = _put_evidence(row, at, gateway, slot)
    if shape["series"]:
        put_series(row, at, gateway.places, slot, flow["packets"])
    table.state[0]["emitted"] += 1


@kernel
def _put_statistics(row: _Row, at: int, flow: _Record, fwd: _Record, bwd: _Record) -> int:
    duration = flow["last"] - flow["start"]
    row[at], row[at + 1] = flow["protocol"] == TCP, flow["protocol"] == UDP
    row[at + 2] = flow["protocol"] in (ICMP, ICMPV6)
    at = put_totals(row, at + 3, duration, fwd, bwd)
    at = put_gaps(row, at, flow)
    at = put_side_gaps(row, at, fwd)
    at = put_side_gaps(row, at, bwd)
    at = put_side_flags(row, at, fwd, bwd)
    row[at], row[at + 1] = fwd["header"], bwd["header"]
    at = put_side_rates(row, at + 2, duration, fwd, bwd)
    at = put_lengths(row, at, flow, fwd, bwd, 0)
    at = put_flags(row, at, fwd, bwd)
    row[at] = ratio(bwd["packets"], fwd["packets"])
    at = put_bulk(row, at + 1, fwd)
    at = put_bulk(row, at, bwd)
    at = put_subflows(row, at, flow, fwd, bwd)
    at = put_starts(row, at, fwd, bwd)
    at = put_periods(row, at, flow)
    row[at], row[at + 1] = flow["icmp_code"], flow["icmp_type"]
    return at + 2


@kernel
def _put_context(row: _Row, at: int, gateway: Gateway, slot: int) -> int:
    windows, context = gateway.windows, gateway.contexts[slot]
    first = 2 * WINDOWS * slot
    for window in range(first, first + WINDOWS):
        at = _put_window(row, at, windows[window])
    row[at] = context["src_span"]
    at += 1
    for window in range(first + WINDOWS, first + 2 * WINDOWS):
        at = _put_window(row, at, windows[window])
    row[at] = context["dst_span"]
    intervals = count_of(windows[first + WINDOWS - 1], SAME_PAIR)
    mean = ratio(context["interval_sum"], intervals)
    spread = deviation(intervals, context["interval_sum"], context["interval_squares"])
    row[at + 1], row[at + 2] = intervals, mean
    row[at + 3] = spread / mean if intervals > 1 and mean > 0 else -1.0
    return at + 4


@kernel
def _put_window(row: _Row, at: int, window: _Record) -> int:
    flows = count_of(window, FLOWS)
    row[at] = flows
    row[at + 1] = count_of(window, PEERS)
    row[at + 2] = count_of(window, SERVICES)
    row[at + 3] = count_of(window, PORTS)
    row[at + 4] = ratio(count_of(window, UNANSWERED), flows - 1)
    row[at + 5] = ratio(count_of(window, REFUSED), flows - 1)
    row[at + 6] = (count_of(window, SAME_SERVICE) + 1) / flows
    row[at + 7] = ratio(window["payload"], flows - 1)
    return at + 8


@kernel
def _put_evidence(row: _Row, at: int, gateway: Gateway, slot: int) -> int:
    """Only a TCP flow has a connection."""
    if gateway.table.flows[slot]["protocol"] == TCP:
        return put_evidence(row, at, gateway.connections[slot])
    row[at] = row[at + 1] = row[at + 2] = row[at + 3] = 0.0
    return at + 4
