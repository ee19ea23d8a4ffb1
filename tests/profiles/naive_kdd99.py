"""KDD'99 conversations in plain Python: dictionaries, lists, one scan a second, fractions."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from functools import cached_property
from typing import Any, NamedTuple

import dpkt

TIMEOUTS_S = {"S0": 120, "S1": 120, "ESTAB": 432_000, "REJ": 10, "RSTO": 10, "RSTR": 10}
TIMEOUTS_S |= {"RSTOS0": 10, "S2": 120, "S3": 120, "S2F": 30, "S3F": 30, "udp": 180, "icmp": 30}
PRINTED = {"ESTAB": "S1", "S2F": "S2", "S3F": "S3"}
PROTOCOLS = {6: "tcp", 17: "udp", 1: "icmp"}
SERVICES = {21: "ftp", 22: "ssh", 23: "telnet", 25: "smtp", 53: "domain", 80: "http"}
SERVICES |= {443: "http_443", 1: "other", 2: "other"}


class Seen(NamedTuple):
    """A packet, a fragment, or a datagram."""

    time_us: int
    src: Any
    dst: Any
    src_port: int
    dst_port: int
    protocol: int
    flags: int
    kind: int
    code: int
    wire: int
    fragment: tuple[int, int, bool, int] | None = None  # id, offset, more, bytes
    start_us: int | None = None  # of a datagram's first fragment


def from_fields(fields: dict[str, Any]) -> Seen | None:
    """From PACKET fields; None for what the extractor does not read."""
    if fields["ip_version"] != 4 or fields["protocol"] not in PROTOCOLS:
        return None
    names = ["src_port", "dst_port", "protocol", "flags", "icmp_type", "icmp_code", "wire_bytes"]
    values = [fields.get(name, 0) for name in names]
    return Seen(fields["time_us"], fields["src_low"], fields["dst_low"], *values)


def from_frame(time_us: int, frame: bytes, wire: int) -> Seen | None:
    """From an Ethernet frame, by dpkt."""
    try:
        ip = dpkt.ethernet.Ethernet(frame).data
    except dpkt.UnpackError:  # cut inside its Ethernet header
        return None
    if not isinstance(ip, dpkt.ip.IP) or ip.p not in PROTOCOLS:
        return None
    data, ports, flags, kind, code = ip.data, (0, 0), 0, 0, 0
    if isinstance(data, dpkt.tcp.TCP | dpkt.udp.UDP):
        ports = data.sport, data.dport
    if isinstance(data, dpkt.tcp.TCP):
        flags = data.flags & 0xFF
    if isinstance(data, dpkt.icmp.ICMP):
        kind, code = data.type, data.code
    fragment = None
    if ip.mf or ip.offset:
        fragment = ip.id, ip.offset * 8, bool(ip.mf), ip.len - ip.hl * 4
    return Seen(time_us, ip.src, ip.dst, *ports, ip.p, flags, kind, code, wire, fragment)


def reassembled(packets: Iterable[Seen]) -> list[Seen]:
    """Fragments joined; those of incomplete datagrams become packets that only tell the time."""
    waiting: dict[Any, list[Seen]] = {}
    done = []
    for packet in packets:
        if packet.fragment is None:
            done.append(packet)
            continue
        key = packet.src, packet.dst, packet.protocol, packet.fragment[0]
        parts = waiting.setdefault(key, [])
        if parts and packet.time_us - parts[-1].time_us >= 30_000_000:
            parts.clear()
        parts.append(packet)
        if is_whole(parts):
            del waiting[key]
            done.append(joined(parts))
        else:
            done.append(packet)
    return done


def is_whole(parts: list[Seen]) -> bool:
    covered: set[int] = set()
    end = None
    for part in parts:
        assert part.fragment
        _, offset, more, size = part.fragment
        covered |= set(range(offset, offset + size))
        if not more:
            end = offset + size
    return end is not None and covered == set(range(end))


def joined(parts: list[Seen]) -> Seen:
    first = next(part for part in parts if part.fragment and part.fragment[1] == 0)
    return first._replace(
        time_us=parts[-1].time_us,
        wire=sum(part.wire for part in parts),
        fragment=None,
        start_us=parts[0].time_us,
    )


class Conversation:
    def __init__(self, packet: Seen) -> None:
        self.first = packet
        self.protocol = PROTOCOLS[packet.protocol]
        self.start = packet.time_us if packet.start_us is None else packet.start_us
        self.bytes = [0, 0]
        self.urgent = self.last = self.touched = 0
        self.state = "INIT" if self.protocol == "tcp" else "SF"
        self.last_flag = ""  # once it has ended

    def add(self, packet: Seen, number: int) -> None:
        mine = packet.src == self.first.src
        self.bytes[0 if mine else 1] += packet.wire
        self.urgent += packet.flags >> 5 & 1
        self.last, self.touched = packet.time_us, number
        if self.protocol == "tcp":
            self.state = step(self.state, mine, packet.flags)

    @property
    def flag(self) -> str:
        return PRINTED.get(self.state, self.state)

    @property
    def is_over(self) -> bool:
        return self.protocol == "tcp" and self.flag in ("SF", "SH", "OTH")

    @cached_property
    def service(self) -> str:
        packet = self.first
        if self.protocol == "icmp":
            named = {0: "ecr_i", 5: "red_i", 8: "eco_i", 11: "tim_i"}
            if packet.kind == 3:
                return {0: "urp_i", 1: "urh_i"}.get(packet.code, "oth_i")
            return named.get(packet.kind, "oth_i")
        if self.protocol == "tcp" and packet.src_port == 20:
            return "ftp_data"
        other = "private" if packet.dst_port >= 49152 else "other"
        if self.protocol == "udp":
            return {53: "domain_u", 69: "tftp_u", 123: "ntp_u"}.get(packet.dst_port, other)
        return SERVICES.get(packet.dst_port, other)

    def is_silent(self, now: int) -> bool:
        which = self.state if self.protocol == "tcp" else self.protocol
        return self.last <= now - TIMEOUTS_S[which] * 10**6


def step(state: str, mine: bool, flags: int) -> str:
    """The states of section 4 of the extractor's documentation, with its S0 start."""
    fin, syn, rst, ack = (flags >> bit & 1 for bit in (0, 1, 2, 4))
    if state == "INIT":
        return "OTH" if not syn or ack else "S0"
    if rst:
        after = {"S0": ("RSTOS0", "REJ")}
        alive = ("S1", "ESTAB", "S2", "S3", "S2F", "S3F")
        after |= dict.fromkeys(alive, ("RSTO", "RSTR"))
        return after[state][0 if mine else 1] if state in after else state
    rules = [
        ("S0", True, fin, "SH"),
        ("S0", False, syn and ack, "S1"),
        ("S1", True, ack, "ESTAB"),
        ("ESTAB", True, fin, "S2"),
        ("ESTAB", False, fin, "S3"),
        ("S2", False, fin, "S2F"),
        ("S3", True, fin, "S3F"),
        ("S2F", True, ack, "SF"),
        ("S3F", False, ack, "SF"),
    ]
    for before, by_originator, happens, then in rules:
        if state == before and mine == by_originator and happens:
            return then
    return state


def conversations(packets: Iterable[Seen]) -> list[Conversation]:
    """In the order in which they end."""
    table: dict[Any, Conversation] = {}
    ended: list[Conversation] = []
    checked = None

    def end(these: list[Any]) -> None:
        for key in sorted(these, key=lambda key: (table[key].last, table[key].touched)):
            over = table.pop(key)
            over.last_flag = over.flag
            ended.append(over)

    for number, packet in enumerate(packets):
        now = packet.time_us
        if checked is None or now - checked >= 10**6:
            checked = now
            end([key for key, found in table.items() if found.is_silent(now)])
        if packet.fragment:
            continue
        ends = (packet.src, packet.src_port), (packet.dst, packet.dst_port)
        key = (packet.protocol, *(ends if packet.protocol == 1 else sorted(ends)))
        found = table.setdefault(key, Conversation(packet))
        found.add(packet, number)
        if found.is_over:
            end([key])
    end(list(table))
    return ended


def rows(packets: Iterable[Seen], window: int, *, inclusive: bool) -> list[list[Any]]:
    """28 columns a conversation, nominal ones as text."""
    span: list[Conversation] = []
    last: list[Conversation] = []
    made = []
    for now in conversations(packets):
        packet = now.first
        land = (packet.src, packet.src_port) == (packet.dst, packet.dst_port)
        row: list[Any] = [(now.last - now.start) // 10**6, now.protocol, now.service, now.flag]
        row += [*now.bytes, int(land), 0, now.urgent]
        if inclusive:
            span, last = recent(span, now), last[-(window - 1) :]
            a, b = similar([*span, now], now), similar([*last, now], now)
        else:
            a, b = similar(span, now), similar(last[-window:], now)
        host, srv, both, *rates, _ = a
        row += [host, srv, *rates, share(both, host), share(host - both, host)]
        row += [share(srv - both, srv)]
        host, srv, both, *rates, port = b
        row += [host, srv, share(both, host), share(host - both, host)]
        row += [share(port, srv + (not inclusive)), share(srv - both, srv), *rates]
        span.append(now)
        last.append(now)
        span = span[-510:] if inclusive else recent(span, now)
        made.append(row)
    return made


def recent(span: list[Conversation], now: Conversation) -> list[Conversation]:
    while span and span[0].last <= now.last - 2 * 10**6:
        span = span[1:]
    return span


def similar(memory: list[Conversation], now: Conversation) -> list[Any]:
    """Counts to the same host, of the same service, of both; their error rates; same port."""
    host = [each for each in memory if each.first.dst == now.first.dst]
    service = [each for each in memory if each.service == now.service]
    both = [each for each in host if each.service == now.service]
    port = [each for each in service if each.first.src_port == now.first.src_port]
    rates = []
    for flags in (("S0", "S1", "S2", "S3"), ("REJ",)):
        for chosen in (host, service):
            rates.append(share(sum(each.last_flag in flags for each in chosen), len(chosen)))
    return [len(host), len(service), len(both), *rates, len(port)]


def share(part: int, whole: int) -> float:
    return round(Fraction(100 * part, whole)) / 100 if whole else 0.0
