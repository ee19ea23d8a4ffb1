"""The ``gateway`` features by their definitions: lists of packets, no state machines shared.

Slow and obvious; the oracle of the kernels.
"""

from __future__ import annotations

import itertools
import statistics
from dataclasses import dataclass, field, replace
from typing import Any

from tests.payload.naive_payload import Said, payload_columns
from tests.profiles.naive_clock import Clock, is_swept
from tests.profiles.naive_connection import Connection, has, is_opening, payload_of, segments

from idskit.packet import ACK, CWR, ECE, FIN, ICMP, ICMPV6, PSH, RST, SYN, TCP, UDP, URG

IDLE_US, LINGER_US, MAX_AGE_US = 120_000_000, 5_000_000, 120_000_000
LATE_US, MOST_LATE = 300_000_000, 16
REQUESTS = {
    ICMP: {8: 0, 13: 14, 15: 16, 10: 9, 17: 18},
    ICMPV6: {128: 129, 130: 131, 133: 134, 135: 136, 139: 140, 144: 145},
}

RING = 64  # flows that a host remembers in each role

Packet = dict[str, Any]
End = tuple[tuple[int, int], int]


@dataclass
class Past:
    """A flow as its hosts remember it."""

    start: int
    src: tuple[int, int]
    dst: tuple[int, int]
    src_port: int
    service: tuple[int, int]
    payload: int = 0
    answered: bool = False
    refused: bool = False
    settled: bool = False  # something came back
    failed: bool = True  # and it was not a reset
    is_new: bool = True  # first of its source, destination and service


@dataclass
class Flow:
    src: tuple[int, int]
    dst: tuple[int, int]
    src_port: int
    dst_port: int
    protocol: int
    packets: list[Packet] = field(default_factory=list)
    forward: list[bool] = field(default_factory=list)
    context: list[float] = field(default_factory=list)
    past: Past | None = None
    continued: bool = False
    teardown: str = "open"
    vlan: int = 0
    connection: Connection | None = None
    final_evidence: dict[str, int] | None = None
    judged: list[float] | None = None  # features at its last verdict
    is_verdict: bool = False

    @property
    def start(self) -> int:
        return self.packets[0]["time_us"]

    @property
    def evidence(self) -> dict[str, int]:
        if self.final_evidence is not None:
            return self.final_evidence
        none = dict.fromkeys(("before_open", "out_of_window", "bad_checksums", "short_lived"), 0)
        return dict(self.connection.evidence if self.connection else none)

    @property
    def last(self) -> int:
        return self.packets[-1]["time_us"]


def size_of(packet: Packet) -> int:
    if packet["header_bytes"]:
        return payload_of(packet)
    return max(packet["ip_bytes"] - (20 if packet["ip_version"] == 4 else 40), 0)


def source(packet: Packet) -> End:
    return (packet["src_high"], packet["src_low"]), packet["src_port"]


def target(packet: Packet) -> End:
    return (packet["dst_high"], packet["dst_low"]), packet["dst_port"]


def key_of(packet: Packet) -> Any:
    """Protocol and both endpoints; of ICMP who asks whom what, or who sends whom what."""
    protocol, kind = packet["protocol"], packet.get("icmp_type", 0)
    ends = source(packet)[0], target(packet)[0]
    if protocol not in REQUESTS:
        return protocol, frozenset([source(packet), target(packet)])
    for request, reply in REQUESTS[protocol].items():
        if kind == request:
            return protocol, request, ends
        if kind == reply:
            return protocol, request, ends[::-1]
    return protocol, kind, packet.get("icmp_code", 0), ends


@dataclass
class Ended:
    """A connection that was emitted."""

    source: End
    closed: bool
    last: int
    late: int = 0


class Gateway:
    """Feed packets in order, then ``close``; ``done`` holds the flows that gave rows."""

    def __init__(self, ages_us: tuple[int, ...] = ()) -> None:
        self.clock = Clock(ages_us)
        self.settled = 0
        self.open: dict[Any, list[Flow]] = {}  # by key; of several, the VLAN tells
        self.ended: dict[Any, Ended] = {}
        self.done: list[Flow] = []
        self.history: list[Past] = []
        self.windows: dict[Any, list[Past]] = {}

    def feed(self, packet: Packet) -> None:
        key, now = key_of(packet), packet["time_us"]
        for flow in self.clock.due(now):
            self.emit(flow, is_verdict=True)
        self.sweep(now)
        self.note_unreachable(packet)
        flow = self.find(key, packet)
        if flow is not None and self.silent(flow, now):
            self.end(key, flow)
            flow = None
        if flow is None:
            opener = self.opener(key, packet)
            if opener is None:
                return
            flow = self.begin(packet, opener)
            self.open.setdefault(key, []).append(flow)
            self.clock.begin(flow)
        elif flow.connection and not self.meet(flow, packet):
            return
        if flow.packets and now - flow.start > MAX_AGE_US:
            self.cut(flow, packet)
        flow.vlan = flow.vlan or packet.get("vlan", 0)
        self.count(flow, packet)

    def find(self, key: Any, packet: Packet) -> Flow | None:
        vlan = packet.get("vlan", 0)
        same = [f for f in self.open.get(key, []) if 0 in (f.vlan, vlan) or f.vlan == vlan]
        return same[0] if same else None

    def sweep(self, now: int) -> None:
        for key, flows in self.open.items():
            for flow in [f for f in flows if is_swept(now, f.last, self.timeout(f))]:
                self.end(key, flow)

    def end(self, key: Any, flow: Flow) -> None:
        self.emit(flow)
        self.clock.end(flow)
        self.open[key] = [other for other in self.open[key] if other is not flow]
        if flow.connection and False in flow.forward:
            ended = Ended((flow.src, flow.src_port), flow.teardown == "ready", flow.last)
            self.ended[key] = ended

    def opener(self, key: Any, packet: Packet) -> End | None:
        """Who opened the connection of a packet without a flow; None if the packet is late."""
        ended = self.ended.get(key)
        if packet["protocol"] != TCP or is_opening(packet) or ended is None:
            return source(packet)
        data = payload_of(packet) and not has(packet, FIN) and not has(packet, RST)
        over = abs(packet["time_us"] - ended.last) > LATE_US
        if not ended.closed or data or over or ended.late == MOST_LATE:
            return ended.source
        ended.late += 1
        return None

    def meet(self, flow: Flow, packet: Packet) -> bool:
        """What a TCP packet does to an open flow before it is counted; False: it is not."""
        connection, end = flow.connection, source(packet)
        assert connection is not None
        deed = connection.judge(len(flow.packets), flow.teardown == "ready", packet, end)
        if deed == "replace":
            self.replace(flow, packet)
        elif deed == "start over":
            self.start_over(flow, packet, connection.evidence["before_open"] + len(flow.packets))
        elif deed == "confirm":
            assert connection.pending is not None
            syn = connection.pending[1] | {"content": b""}  # its bytes are gone
            if len(connection.heard) < 2 and len(flow.packets) <= 4:
                before = connection.evidence["before_open"] + len(flow.packets) - 1
                self.start_over(flow, syn, before)
            else:
                self.replace(flow, syn)
            self.count(flow, syn)
        elif deed == "turn":
            self.turn(flow, source(packet))
        return deed != "ignore"

    def replace(self, flow: Flow, packet: Packet) -> None:
        self.emit(flow)
        flow.__dict__.update(self.begin(packet, source(packet)).__dict__)
        self.clock.begin(flow)

    def start_over(self, flow: Flow, packet: Packet, before: int) -> None:
        same, past, context = (flow.src, flow.src_port) == source(packet), flow.past, flow.context
        remembered = [*self.history], {host: [*w] for host, w in self.windows.items()}
        flow.__dict__.update(self.begin(packet, source(packet), before).__dict__)
        self.clock.begin(flow)
        if same:
            self.history, self.windows = remembered
            flow.past, flow.context = past, context
            assert past is not None
            past.payload = 0

    def turn(self, flow: Flow, end: End) -> None:
        (src, src_port), (dst, dst_port) = (flow.dst, flow.dst_port), (flow.src, flow.src_port)
        flow.src, flow.src_port, flow.dst, flow.dst_port = src, src_port, dst, dst_port
        flow.forward = [not forward for forward in flow.forward]
        assert flow.connection is not None
        flow.connection.source = src, src_port
        flow.connection.state = "established" if end == (src, src_port) else "unopened"
        self.enter(flow, flow.start)

    def cut(self, flow: Flow, packet: Packet) -> None:
        self.emit(flow)
        self.clock.begin(flow)
        flow.judged = None
        if flow.protocol not in (TCP, UDP):
            flow.__dict__.update(self.begin(packet, source(packet)).__dict__)
            return
        flow.packets, flow.forward, flow.teardown, flow.continued = [], [], "open", True
        if flow.connection:
            flow.connection.forget()

    def emit(self, flow: Flow, *, is_verdict: bool = False) -> None:
        """Keep a flow as it is, unless its last verdict was the same."""
        row = features(flow) if self.clock.lines else None
        if row is not None and row == flow.judged:
            self.settled += not is_verdict
            return
        evidence = flow.evidence
        kept = replace(flow, packets=[*flow.packets], forward=[*flow.forward], connection=None)
        kept.final_evidence, kept.is_verdict = evidence, is_verdict
        self.done.append(kept)
        if is_verdict:
            flow.judged = row

    def close(self) -> None:
        for flow in [flow for flows in self.open.values() for flow in flows]:
            self.emit(flow)
        self.open.clear()

    def silent(self, flow: Flow, now: int) -> bool:
        return abs(now - flow.last) > self.timeout(flow)

    @staticmethod
    def timeout(flow: Flow) -> int:
        return LINGER_US if flow.teardown == "ready" else IDLE_US

    def begin(self, packet: Packet, opener: End, before: int = 0) -> Flow:
        ends = [source(packet), target(packet)]
        if opener != ends[0]:
            ends.reverse()
        (src, src_port), (dst, dst_port) = ends
        flow = Flow(src, dst, src_port, dst_port, packet["protocol"])
        flow.vlan = packet.get("vlan", 0)
        if flow.protocol == TCP:
            connection = Connection.begin(packet, source(packet), target(packet), ends[0], before)
            flow.connection = connection
        self.enter(flow, packet["time_us"])
        return flow

    def enter(self, flow: Flow, start: int) -> None:
        """Let the hosts know of a flow."""
        service = (flow.protocol, flow.dst_port)
        flow.past = Past(start, flow.src, flow.dst, flow.src_port, service)
        flow.context = self.context(flow.past)
        self.history.append(flow.past)

    def count(self, flow: Flow, packet: Packet) -> None:
        parts, connection = [packet], flow.connection
        if connection:
            end, other = source(packet), target(packet)
            goes_on = connection.reset_by == end and not has(packet, RST)
            if flow.teardown == "ready" and goes_on:
                flow.teardown = "open"
            connection.note(packet, end, other)
            parts = segments(packet, connection)
        for part in parts:
            self.add(flow, part)

    def add(self, flow: Flow, packet: Packet) -> None:
        forward = source(packet) == (flow.src, flow.src_port)
        if flow.protocol in REQUESTS:
            itself = flow.src == flow.dst and flow.packets
            is_reply = itself and packet["icmp_type"] != flow.packets[0]["icmp_type"]
            forward = source(packet)[0] == flow.src and not is_reply
        first_answer = not forward and all(flow.forward)
        flow.packets.append(packet)
        flow.forward.append(forward)
        self.follow_teardown(flow, packet)
        assert flow.past is not None
        if first_answer and packet["flags"] & RST:
            flow.past.refused = True
        elif first_answer:
            flow.past.answered = True
        if first_answer and not flow.past.settled:
            flow.past.settled, flow.past.failed = True, bool(packet["flags"] & RST)
        count = len(flow.packets)
        if not flow.continued and count & (count - 1) == 0:
            flow.past.payload = sum(map(size_of, flow.packets)) or flow.past.payload

    def follow_teardown(self, flow: Flow, packet: Packet) -> None:
        if flow.protocol != TCP:
            return
        flags = packet["flags"]
        both = {
            forward
            for forward, each in zip(flow.forward, flow.packets, strict=True)
            if each["flags"] & FIN
        } == {True, False}
        if flags & FIN:
            if flow.teardown == "open":
                flow.teardown = "first"
            elif flow.teardown == "first" and both:
                flow.teardown = "both"
        elif flags & RST or (flags & ACK and flow.teardown == "both"):
            flow.teardown = "ready"

    def note_unreachable(self, packet: Packet) -> None:
        kinds = {ICMP: 3, ICMPV6: 1}
        if kinds.get(packet["protocol"]) != packet.get("icmp_type", 0) or packet.get("incomplete"):
            return
        sender, receiver = source(packet)[0], target(packet)[0]
        as_source = [past for past in self.history if past.src == receiver][-RING:]
        as_target = [past for past in self.history if past.dst == sender][-RING:]
        for pasts in (as_source, as_target):
            for past in reversed(pasts):
                here = past.src == receiver and past.dst == sender
                if here and not past.answered and not past.refused:
                    self.pending(past)
                    break
        for past in self.history:
            past.refused = past.refused or getattr(past, "now_refused", False)

    @staticmethod
    def pending(past: Past) -> None:
        """Both memories look before either is changed."""
        past.now_refused = True  # type: ignore[attr-defined]

    def context(self, new: Past) -> list[float]:
        by_src = [past for past in self.history if past.src == new.src]
        by_dst = [past for past in self.history if past.dst == new.dst]
        row = self.role(("src", new.src), by_src, new, lambda past: past.dst)
        row += self.role(("dst", new.dst), by_dst, new, lambda past: past.src)
        return row + self.beacon(by_src[1 - RING :], new) + minutes(by_src, by_dst, new)

    def role(self, host: Any, pasts: list[Past], new: Past, peer: Any) -> list[float]:
        pasts = pasts[1 - RING :]
        row: list[float] = []
        for limit in (2_000_000, 10_000_000):
            near = self.windows.setdefault((host, limit), [])[1 - RING :]
            while near and abs(new.start - near[0].start) > limit:
                near.pop(0)
            row += self.window(near, new, peer)
            self.windows[host, limit] = [*near, new]
        row += self.window(pasts, new, peer)
        return [*row, new.start - pasts[0].start if pasts else 0]

    def window(self, near: list[Past], new: Past, peer: Any) -> list[float]:
        everything = [*near, new]
        count = len(near)
        return [
            len(everything),
            len({peer(past) for past in everything}),
            len({past.service for past in everything}),
            len({past.src_port for past in everything}),
            sum(not p.answered and not p.refused for p in near) / count if count else 0,
            sum(p.refused for p in near) / count if count else 0,
            sum(p.service == new.service for p in everything) / len(everything),
            sum(p.payload for p in near) / count if count else 0,
        ]

    def beacon(self, pasts: list[Past], new: Past) -> list[float]:
        times = [p.start for p in [*pasts, new] if (p.dst, p.service) == (new.dst, new.service)]
        gaps = [b - a for a, b in itertools.pairwise(times)]
        mean = statistics.fmean(gaps) if gaps else 0
        regular = len(gaps) > 1 and mean > 0
        return [len(gaps), mean, statistics.stdev(gaps) / mean if regular else -1]


def weight(age_of: Past, newest: int, minutes: int) -> float:
    """Ages are counted in steps of the clock, 64 to a half-life."""
    step = minutes * 60_000_000 // 64
    return float(0.5 ** ((newest // step - age_of.start // step) / 64))


def minutes(by_src: list[Past], by_dst: list[Past], new: Past) -> list[float]:
    """The decaying counts, as weighted sums over all flows that came before."""
    pair = [past for past in by_src if (past.dst, past.service) == (new.dst, new.service)]
    new.is_new = not pair
    row: list[float] = []
    for pasts in (by_src, by_dst):
        newest = max(past.start for past in [*pasts, new])
        for half_life in (1, 10):
            weights = [(past, weight(past, newest, half_life)) for past in pasts]
            row += [
                sum(w for _, w in weights),
                sum(w for past, w in weights if past.failed),
                sum(w for past, w in weights if past.is_new),
                sum(w for past, w in weights if past.is_new and past.failed),
            ]
    newest = max(past.start for past in [*pair, new])
    for half_life in (1, 10):
        weights = [(past, weight(past, newest, half_life)) for past in pair]
        row += [sum(w for _, w in weights), sum(w for past, w in weights if past.failed)]
    row += moments([past.payload for past, _ in weights], [w for _, w in weights])
    gaps = [later.start - past.start for past, later in itertools.pairwise(pair)]
    return row + moments(gaps, [w for _, w in weights[1:]])


def moments(values: list[int], weights: list[float]) -> list[float]:
    """Weighted mean, and standard deviation over mean."""
    if not sum(weights):
        return [0, 0]
    mean = sum(v * w for v, w in zip(values, weights, strict=True)) / sum(weights)
    squares = sum((v - mean) ** 2 * w for v, w in zip(values, weights, strict=True))
    return [mean, (squares / sum(weights)) ** 0.5 / mean if mean > 0 else 0]


def spread(values: list[int]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0


def sizes(values: list[int]) -> list[float]:
    if not values:
        return [0, 0, 0, 0]
    return [max(values), min(values), statistics.fmean(values), spread(values)]


def gaps_of(times: list[int]) -> list[int]:
    return [b - a for a, b in itertools.pairwise(times)]


def gap_columns(times: list[int], *, total: bool) -> list[float]:
    gaps = gaps_of(times)
    columns = [sum(gaps)] if total else []
    if not gaps:
        return [*columns, 0, 0, 0, 0]
    return [*columns, statistics.fmean(gaps), spread(gaps), max(gaps), min(gaps)]


def bulk(flow: Flow, forward: bool) -> list[float]:
    """Runs of at least four packets with payload in one direction, none of the other within."""
    runs: list[list[tuple[int, int]]] = []
    run: list[tuple[int, int]] = []
    other_last = 0
    for packet, way in zip(flow.packets, flow.forward, strict=True):
        now, payload = packet["time_us"], size_of(packet)
        if way != forward:
            other_last = now if payload else other_last
            continue
        if run and other_last > run[0][0]:
            run = []
        if not payload:
            continue
        if run and now - run[-1][0] > 1_000_000:
            run = []
        if not run:
            runs.append(run)
        run.append((now, payload)) if run is runs[-1] else None
        if run is not runs[-1]:
            run = [(now, payload)]
            runs[-1] = run
    long = [run for run in runs if len(run) >= 4]
    if not long:
        return [0, 0, 0]
    size = sum(payload for run in long for _, payload in run)
    seconds = sum(run[-1][0] - run[0][0] for run in long) / 1e6
    count = sum(map(len, long))
    return [size / len(long), count / len(long), size / seconds if seconds else 0]


def periods(times: list[int]) -> list[float]:
    active: list[int] = []
    idle: list[int] = []
    start = end = times[0]
    for now in times:
        if now - end > 5_000_000:
            if end - start > 0:
                active.append(end - start)
            idle.append(now - end)
            start = now
        end = now
    columns: list[float] = []
    for values in (active, idle):
        if values:
            columns += [statistics.fmean(values), spread(values), max(values), min(values)]
        else:
            columns += [0, 0, 0, 0]
    return columns


def features(flow: Flow) -> list[float]:
    ways = (True, False)
    split = {
        way: [p for p, f in zip(flow.packets, flow.forward, strict=True) if f == way]
        for way in ways
    }
    payloads = {way: [size_of(p) for p in split[way]] for way in ways}
    everything = [size_of(p) for p in flow.packets]
    times = [p["time_us"] for p in flow.packets]
    duration = flow.last - flow.start
    seconds = duration / 1e6

    def flags(bit: int, way: bool) -> int:
        return sum(bool(p["flags"] & bit) for p in split[way])

    subflows = sum(gap > 1_000_000 for gap in gaps_of(times))
    first = flow.packets[0]
    row: list[float] = [
        flow.protocol == TCP, flow.protocol == UDP, flow.protocol in (ICMP, ICMPV6),
        duration, len(split[True]), len(split[False]), sum(payloads[True]), sum(payloads[False]),
        *sizes(payloads[True]), *sizes(payloads[False]),
        sum(everything) / seconds if duration else -1,
        len(times) / seconds if duration else -1,
        *gap_columns(times, total=False),
    ]  # fmt: skip
    for way in ways:
        row += gap_columns([p["time_us"] for p in split[way]], total=True)
    row += [flags(bit, way) for bit in (PSH, URG, RST) for way in ways]
    row += [sum(p["header_bytes"] for p in split[way]) for way in ways]
    row += [len(split[way]) / seconds if duration > 0 else 0 for way in ways]
    row += [min(everything), max(everything), statistics.fmean(everything), spread(everything)]
    row += [spread(everything) ** 2]
    row += [
        flags(bit, True) + flags(bit, False) for bit in (FIN, SYN, RST, PSH, ACK, URG, CWR, ECE)
    ]
    row += [len(split[False]) / len(split[True]) if split[True] else 0]
    row += [*bulk(flow, True), *bulk(flow, False)]
    for way in ways:
        row += [len(split[way]) / subflows if subflows else 0]
        row += [sum(payloads[way]) / subflows if subflows else 0]
    row += [first["window"] if flow.forward[0] else 0]
    row += [next((p["window"] for p in split[False] if p["window"]), 0)]
    row += [sum(payload > 0 for payload in payloads[way]) for way in ways]
    for way in ways:
        mine = flow.forward[0] == way
        row += [min(p["header_bytes"] for p in split[way]) if mine else 0]
    row += periods(times)
    is_icmp = flow.protocol in (ICMP, ICMPV6)
    row += [first["icmp_code"] if is_icmp else -1, first["icmp_type"] if is_icmp else -1]
    kinds = ("fragments", "tiny_fragments", "overlapping_fragments", "incomplete")
    cut = [sum(p.get(kind, 0) for p in flow.packets) for kind in kinds]
    row = [*row, *flow.context, *cut, *flow.evidence.values()]
    ports = (0, 0) if is_icmp else (flow.src_port, flow.dst_port)
    return [*map(float, row), *payload_columns(said(flow), flow.protocol, *ports)]


def said(flow: Flow) -> list[Said]:
    """What the payloads of a flow hold, each with its number among those of its direction."""
    made, numbers = [], {True: 0, False: 0}
    for packet, forward in zip(flow.packets, flow.forward, strict=True):
        numbers[forward] += size_of(packet) > 0
        made.append((packet.get("content", b""), forward, numbers[forward]))
    return made
