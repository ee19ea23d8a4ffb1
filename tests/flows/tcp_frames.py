"""TCP connections as Ethernet frames, byte by byte, with every checksum as the test wants it."""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass, field, replace
from pathlib import Path

from idskit.profiles import FlowBatch, open_flows
from idskit.schemas.gateway_columns import FORGED

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
CLIENT, SERVER = "192.0.2.99", "192.0.2.14"
MSS = 1460


def sum_of(data: bytes) -> int:
    total = sum(struct.unpack(f">{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A TCP segment on its way."""

    time_us: int
    src: str = CLIENT
    dst: str = SERVER
    src_port: int = 40_000
    dst_port: int = 22
    seq: int = 0
    ack: int = 0
    flags: int = ACK
    payload: bytes = b""
    options: bytes = b""
    ttl: int = 64
    checksum: str = "right"  # wrong, partial, zero
    vlan: int | None = None
    length: bool = True  # False: IP length 0, as segmentation offload leaves it

    def frame(self) -> bytes:
        source, target = ipaddress.ip_address(self.src), ipaddress.ip_address(self.dst)
        words = 5 + len(self.options) // 4
        ports = self.src_port, self.dst_port, self.seq % 2**32, self.ack % 2**32
        head = struct.pack(">HHIIBBHHH", *ports, words << 4, self.flags, 8192, 0, 0)
        body = head + self.options + self.payload
        pseudo = source.packed + target.packed + struct.pack(">II", len(body), 6)
        right = sum_of(pseudo + body) ^ 0xFFFF
        field = {"right": right, "wrong": right ^ 0x1234, "partial": sum_of(pseudo), "zero": 0}
        body = body[:16] + struct.pack(">H", field[self.checksum]) + body[18:]
        return self._link(source.version) + self._ip(source, target, len(body)) + body

    def _link(self, version: int) -> bytes:
        tag = b"" if self.vlan is None else struct.pack(">HH", 0x8100, self.vlan)
        return bytes(6) + b"\2" + bytes(5) + tag + (b"\x08\0" if version == 4 else b"\x86\xdd")

    def _ip(
        self, source: ipaddress._BaseAddress, target: ipaddress._BaseAddress, size: int
    ) -> bytes:
        if source.version == 6:
            head = struct.pack(">IHBB", 6 << 28, size * self.length, 6, self.ttl)
            return head + source.packed + target.packed
        size = (20 + size) * self.length
        head = struct.pack(">BBHHHBBH", 0x45, 0, size, 1, 0, self.ttl, 6, 0)
        head += source.packed + target.packed
        return head[:10] + struct.pack(">H", sum_of(head) ^ 0xFFFF) + head[12:]


@dataclass
class Connection:
    """A client that opens, both ends that send; numbers as TCP has them."""

    start_us: int = 1_000_000
    client: str = CLIENT
    server: str = SERVER
    src_port: int = 40_000
    numbers: dict[bool, int] = field(default_factory=lambda: {True: 5_000, False: 900_000_000})
    mss: int = MSS
    segments: list[Segment] = field(default_factory=list)

    def send(
        self, flags: int, payload: bytes = b"", *, back: bool = False, gap_us: int = 1000
    ) -> Connection:
        options = b""
        if flags & SYN:
            options = struct.pack(">BBH", 2, 4, self.mss)
        made = Segment(
            time_us=self.start_us,
            src=self.server if back else self.client,
            dst=self.client if back else self.server,
            src_port=22 if back else self.src_port,
            dst_port=self.src_port if back else 22,
            seq=self.numbers[not back],
            ack=self.numbers[back] if flags & ACK else 0,
            flags=flags,
            payload=payload,
            options=options,
        )
        self.start_us += gap_us
        self.numbers[not back] += len(payload) + (flags & FIN) + (flags & SYN != 0)
        self.segments.append(made)
        return self

    def open(self) -> Connection:
        return self.send(SYN).send(SYN | ACK, back=True).send(ACK)

    def talk(self) -> Connection:
        self.send(PSH | ACK, b"SSH-2.0-guess\r\n").send(PSH | ACK, b"SSH-2.0-server\r\n", back=True)
        return self.send(ACK).send(PSH | ACK, bytes(100))

    def close(self) -> Connection:
        return self.send(FIN | ACK).send(FIN | ACK, back=True).send(ACK)


def download(mss: int = MSS, **ends: str) -> Connection:
    """A connection in which each side sends bursts of segments, whose times are one."""
    made = Connection(mss=mss, **ends).open()  # type: ignore[arg-type]
    made.send(PSH | ACK, b"GET / HTTP/1.1\r\n\r\n" * 10)
    for back, size in ((True, 10 * mss + 77), (False, 3 * mss), (True, 2 * mss - 1)):
        burst(made, bytes(size), mss, back=back)
        made.send(ACK, back=not back)
    return made.close()


def burst(made: Connection, data: bytes, mss: int, *, back: bool) -> None:
    for start in range(0, len(data), mss):
        part = data[start : start + mss]
        is_last = start + mss >= len(data)
        made.send(PSH | ACK if is_last else ACK, part, back=back, gap_us=1000 * is_last)


def merged(segments: list[Segment], *, length: bool = True) -> list[Segment]:
    """What GRO, LRO and TSO make of segments that follow each other at once."""
    made: list[Segment] = []
    for segment in segments:
        last = made[-1] if made else None
        if last and last.payload and (last.src, last.time_us) == (segment.src, segment.time_us):
            payload, flags = last.payload + segment.payload, last.flags | segment.flags
            made[-1] = replace(last, payload=payload, flags=flags, length=length)
        else:
            made.append(segment)
    return [replace(s, checksum="partial") if len(s.payload) > MSS else s for s in made]


@dataclass(frozen=True)
class Row:
    source: str
    src_port: int
    vlan: int
    features: dict[str, float]

    def plain(self) -> dict[str, float]:
        """Without the columns of evidence."""
        evidence = {feature.name for feature in FORGED}
        return {name: value for name, value in self.features.items() if name not in evidence}


def write(path: Path, segments: list[Segment], *, snap: int = 1 << 18) -> Path:
    parts = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 1 << 18, 1)]
    for segment in segments:
        frame, (s, us) = segment.frame(), divmod(segment.time_us, 1_000_000)
        kept = frame[:snap]
        parts.append(struct.pack("<IIII", s, us, len(kept), len(frame)) + kept)
    path.write_bytes(b"".join(parts))
    return path


def rows_of(capture: Path, schema: str = "gateway") -> list[Row]:
    """All flows of a capture."""
    with open_flows(capture, schema) as flows:
        return [row for batch in flows.batches() for row in _rows(batch)]


def _rows(batch: FlowBatch) -> list[Row]:
    columns = zip(batch.sources(), batch.flows, batch.features.tolist(), strict=True)
    return [
        Row(source, int(flow["src_port"]), int(flow["vlan"]), _named(batch, values))
        for source, flow, values in columns
    ]


def _named(batch: FlowBatch, values: list[float]) -> dict[str, float]:
    return dict(zip(batch.schema.names, values, strict=True))
