"""TCP connections by the rules of the README, in plain Python; see ``naive_gateway``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from idskit.packet import ACK, FIN, OFFLOADED, RIGHT, RST, SYN, WRONG

Packet = dict[str, Any]
End = tuple[tuple[int, int], int]

WINDOW, FEW_HOPS, FEW_PACKETS = 65_535, 4, 4


def has(packet: Packet, *flags: int) -> bool:
    return all(packet["flags"] & flag for flag in flags)


def is_opening(packet: Packet) -> bool:
    return has(packet, SYN) and not has(packet, ACK) and not has(packet, RST)


def number(packet: Packet, name: str) -> int:
    return packet.get(name, 0)


def payload_of(packet: Packet) -> int:
    return packet["payload_bytes"] + number(packet, "cut_bytes")


def after(packet: Packet) -> int:
    size = payload_of(packet) + has(packet, SYN) + has(packet, FIN)
    return (number(packet, "sequence") + size) % 2**32


def distance(one: int, other: int) -> int:
    return min((one - other) % 2**32, (other - one) % 2**32)


def is_ahead(one: int, other: int) -> bool:
    return 0 < (one - other) % 2**32 < 2**31


@dataclass
class Connection:
    source: End
    state: str  # unopened, answered, doubtful, opened, established
    expected: dict[End, int] = field(default_factory=dict)
    opening: int = 0
    heard: set[End] = field(default_factory=set)
    far: set[End] = field(default_factory=set)
    summed: set[End] = field(default_factory=set)
    mss: dict[End, int] = field(default_factory=dict)
    pending: tuple[End, Packet] | None = None
    reset_by: End | None = None
    evidence: dict[str, int] = field(default_factory=dict)

    @classmethod
    def begin(cls, packet: Packet, end: End, other: End, source: End, before: int) -> Connection:
        made = cls(source, "unopened")
        if has(packet, SYN, ACK) and not has(packet, RST) and end == source and end != other:
            made.state = "answered"
            made.expected = {end: after(packet), other: number(packet, "acknowledgement")}
        elif is_opening(packet):
            made.state = "doubtful" if is_doubtful(packet) else "opened"
        made.forget()
        made.evidence["before_open"] = before
        return made

    def forget(self) -> None:
        names = ("before_open", "out_of_window", "bad_checksums", "short_lived")
        self.evidence = dict.fromkeys(names, 0)

    def judge(self, count: int, closed: bool, packet: Packet, end: End) -> str:
        """What the packet does: join, ignore, start over, replace, confirm, turn."""
        forgery = self.forgery(packet, end)
        if forgery:
            self.evidence[forgery] += 1
            return "ignore"
        if is_opening(packet):
            return self.judge_opening(count, closed, packet, end)
        if self.pending and self.confirms(packet, end):
            return "confirm"
        if self.state == "established" and not self.may_decide(packet, end):
            self.evidence["out_of_window"] += 1
            return "ignore"
        return "turn" if self.state == "answered" and self.fits(packet, end) else "join"

    def judge_opening(self, count: int, closed: bool, packet: Packet, end: End) -> str:
        certain = self.state in ("opened", "established")
        provisional = len(self.heard) < 2 and count <= FEW_PACKETS
        if not certain and provisional and not is_doubtful(packet):
            return "start over"
        if closed:
            return "replace"
        known = self.state in ("doubtful", "opened", "established") and end == self.source
        if not known or (number(packet, "sequence") != self.opening and len(self.heard) == 2):
            self.pending = end, packet
        return "join"

    def may_decide(self, packet: Packet, end: End) -> bool:
        decides = has(packet, SYN) or has(packet, RST) or has(packet, FIN)
        near = distance(number(packet, "sequence"), self.expected[end]) <= WINDOW
        return near or not decides

    def forgery(self, packet: Packet, end: End) -> str:
        if number(packet, "ttl") <= FEW_HOPS and end in self.far:
            return "short_lived"
        checksum = number(packet, "checksum")
        left = checksum == OFFLOADED and not packet["payload_bytes"]
        return "bad_checksums" if end in self.summed and (checksum == WRONG or left) else ""

    def confirms(self, packet: Packet, end: End) -> bool:
        assert self.pending
        by, syn = self.pending
        following = (number(syn, "sequence") + 1) % 2**32
        if end != by:
            is_answer = has(packet, ACK) and (has(packet, SYN) or has(packet, RST))
            return is_answer and number(packet, "acknowledgement") == following
        plain = not any(has(packet, flag) for flag in (SYN, RST, FIN)) and has(packet, ACK)
        return by == self.source and plain and number(packet, "sequence") == following

    def fits(self, packet: Packet, end: End) -> bool:
        if has(packet, SYN) or has(packet, RST):
            return False
        if number(packet, "sequence") != self.expected[end]:
            return False
        if end == self.source:
            return len(self.heard) < 2
        acknowledged = number(packet, "acknowledgement")
        return has(packet, ACK) and acknowledged == self.expected[self.source]

    def note(self, packet: Packet, end: End, other: End) -> None:
        self.heard.add(end)
        if number(packet, "ttl") > FEW_HOPS:
            self.far.add(end)
        if has(packet, SYN):
            self.note_syn(packet, end, other)
        elif self.state == "established":
            self.note_numbers(packet, end, other)
        if has(packet, RST):
            self.reset_by = end

    def note_syn(self, packet: Packet, end: End, other: End) -> None:
        if number(packet, "checksum") == RIGHT:
            self.summed.add(end)
        if number(packet, "mss"):
            self.mss[end] = packet["mss"]
        if self.state not in ("doubtful", "opened"):
            return
        if is_opening(packet) and end == self.source:
            self.opening, self.expected[end] = number(packet, "sequence"), after(packet)
        fits = number(packet, "acknowledgement") == (self.opening + 1) % 2**32
        if not is_opening(packet) and end != self.source and fits:
            self.state = "established"
            self.expected[end] = after(packet)
            self.expected.setdefault(other, (self.opening + 1) % 2**32)

    def note_numbers(self, packet: Packet, end: End, other: End) -> None:
        if distance(number(packet, "sequence"), self.expected[end]) > WINDOW:
            return
        if is_ahead(after(packet), self.expected[end]):
            self.expected[end] = after(packet)
        if has(packet, ACK):
            acknowledged, before = number(packet, "acknowledgement"), self.expected[other]
            if is_ahead(acknowledged, before) or distance(acknowledged, before) > WINDOW:
                self.expected[other] = acknowledged


def is_doubtful(packet: Packet) -> bool:
    return number(packet, "ttl") <= FEW_HOPS or number(packet, "checksum") == WRONG


def segments(packet: Packet, connection: Connection) -> list[Packet]:
    """What a packet stands for: one segment, or those that offloading merged."""
    payload = payload_of(packet)
    full = min(connection.mss.values(), default=0)
    if full:
        full = max(full, 536) - (packet["header_bytes"] - 20)
    elif packet["ip_bytes"] > 1500:
        full = 1500 - (packet["ip_bytes"] - payload)
    if payload <= 496 or not 0 < full < payload:
        return [packet]
    made = []
    for start in range(0, payload, full):
        size = min(full, payload - start)
        flags = packet["flags"]
        if start:
            flags &= ~0x80
        if start + size < payload:
            flags &= ~(FIN | 0x08)
        sizes = {name: packet[name] - payload + size for name in ("ip_bytes", "wire_bytes")}
        content = packet.get("content", b"")[start : start + size]
        part = {"payload_bytes": size, "cut_bytes": 0, "flags": flags, "content": content}
        made.append(packet | sizes | part)
    return made
