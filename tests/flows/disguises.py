"""Ways to disguise the attacks of a labelled capture: each maps its connections to other ones.

Sources: Ptacek and Newsham, "Insertion, Evasion, and Denial of Service: Eluding Network Intrusion
Detection" (1998), for fragments and for frames that the sensor sees and the victim does not.
"""

from __future__ import annotations

import csv
import heapq
import itertools
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tests.flows.raw import (
    ACK,
    FIN,
    PSH,
    RST,
    SYN,
    Endpoints,
    Frame,
    fragments,
    take_apart,
    tcp,
)

Record = tuple[int, Frame]  # microseconds since the epoch

COVER_GAP_US, EXCHANGE_US = 50_000, 200_000


@dataclass(frozen=True, kw_only=True)
class Connection:
    """One labelled connection.

    Attributes:
        ends: as its initiator sends.
        protocol: of IP.
        category: what the label says.
        is_attack: what the label says.
        records: its packets.
        extra: frames that a disguise added, which are not part of it.
    """

    ends: Endpoints
    protocol: int
    category: str
    is_attack: bool
    records: tuple[Record, ...] = ()
    extra: tuple[Record, ...] = ()

    @property
    def first(self) -> int:
        return self.records[0][0]

    @property
    def last(self) -> int:
        return self.records[-1][0]

    def is_forward(self, record: Record) -> bool:
        """Whether the initiator sent this packet."""
        ends = take_apart(record[1]).ends
        return (ends.src, ends.src_port) == self.ends[:2]


Connections = list[Connection]
Disguise = Callable[[Connections], Connections]
Change = Callable[[Connection], Connection]


def read_connections(capture: Path, labels: Path) -> Connections:
    """Read a classic little-endian capture, its packets sorted into the labelled connections."""
    found: dict[object, Connection] = {}
    with labels.open(newline="") as lines:
        for row in csv.DictReader(lines):
            ends = Endpoints(
                row["src_ip"], int(row["src_port"]), row["dst_ip"], int(row["dst_port"])
            )
            key = _key(int(row["protocol"]), ends)
            found[key] = Connection(
                ends=ends,
                protocol=int(row["protocol"]),
                category=row["category"],
                is_attack=row["label"] == "attack",
            )
    packets: dict[object, list[Record]] = {key: [] for key in found}
    for record in read_records(capture):
        packet = take_apart(record[1])
        packets[_key(packet.protocol, packet.ends)].append(record)
    return [replace(found[key], records=tuple(packets[key])) for key in found]


def _key(protocol: int, ends: Endpoints) -> object:
    return protocol, frozenset((ends[:2], ends[2:]))


def read_records(capture: Path) -> Iterator[Record]:
    """Read a classic little-endian pcap of microseconds."""
    content, at = capture.read_bytes(), 24
    while at < len(content):
        seconds, fraction, size = struct.unpack_from("<III", content, at)
        yield seconds * 1_000_000 + fraction, content[at + 16 : at + 16 + size]
        at += 16 + size


def write_records(path: Path, connections: Connections, noise: Iterable[Record] = ()) -> None:
    """Write connections in the order of time, merged with a stream of ``noise``."""
    own = sorted(
        (record for each in connections for record in each.extra + each.records),
        key=lambda record: record[0],
    )
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for time_us, frame in heapq.merge(own, noise, key=lambda record: record[0]):
            sizes = len(frame), len(frame)
            file.write(struct.pack("<IIII", *divmod(time_us, 1_000_000), *sizes) + frame)


def each(change: Change, chosen: Callable[[Connection], bool]) -> Disguise:
    """Change the chosen connections, each by itself."""
    return lambda connections: [change(one) if chosen(one) else one for one in connections]


def everything(connection: Connection) -> bool:
    return True


def attacks(connection: Connection) -> bool:
    return connection.is_attack


def tcp_attacks(connection: Connection) -> bool:
    return connection.is_attack and connection.protocol == 6


def guesses(connection: Connection) -> bool:
    return connection.category.endswith("guessing")


# What the sensor sees of a connection.


def in_fragments(size: int, *, both_sides: bool = True) -> Change:
    """Cut packets, or only the initiator's, into IP fragments."""
    numbers = itertools.count(1)

    def change(connection: Connection) -> Connection:
        records = tuple(
            (time_us, piece)
            for time_us, frame in connection.records
            for piece in (
                fragments(frame, size, next(numbers))
                if both_sides or connection.is_forward((time_us, frame))
                else (frame,)
            )
        )
        return replace(connection, records=records)

    return change


def only_first(connection: Connection) -> Connection:
    """Lose all packets but the first."""
    return replace(connection, records=connection.records[:1])


def only_initiator(connection: Connection) -> Connection:
    """Lose what the other side sent."""
    return replace(connection, records=tuple(filter(connection.is_forward, connection.records)))


# Frames that only the sensor takes for real.


def forged(*frames: Callable[[Endpoints], Frame]) -> Change:
    """Send forged frames right before a connection, a microsecond apart."""

    def change(connection: Connection) -> Connection:
        first = connection.first - len(frames)
        made = tuple((first + i, make(connection.ends)) for i, make in enumerate(frames))
        return replace(connection, extra=connection.extra + made)

    return change


def _fake(flags: int, payload: bytes = b"", *, back: bool = False) -> Callable[[Endpoints], Frame]:
    """A frame that dies on its way, of wrong checksum and of sequence numbers of its own."""
    numbers = {"sequence": 7_000_000, "acknowledged": 9_000_000 if flags & ACK else 0}
    return lambda ends: tcp(
        ends.back() if back else ends, flags, payload, ttl=1, is_damaged=True, **numbers
    )


def _undamaged(flags: int) -> Callable[[Endpoints], Frame]:
    return lambda ends: tcp(ends, flags, sequence=7_000_000, acknowledged=9_000_000)


FAKE_SYN_ACK, FAKE_RST, FAKE_ACK = _fake(SYN | ACK), _fake(RST), _fake(ACK)
FAKE_JUNK = _fake(PSH | ACK, bytes(range(200)))
STRAY_SYN_ACK = _undamaged(SYN | ACK)
VICTIM_SYN = _fake(SYN, back=True)
FAKE_SESSION = (
    _fake(SYN),
    _fake(SYN | ACK, back=True),
    _fake(ACK),
    _fake(PSH | ACK, bytes(517)),
    _fake(PSH | ACK, bytes(1400), back=True),
    _fake(PSH | ACK, bytes(1400), back=True),
    _fake(ACK),
    _fake(FIN | ACK),
    _fake(FIN | ACK, back=True),
    _fake(ACK),
)


# What else the attacker and others do meanwhile.


def slowed(factor: int) -> Disguise:
    """Multiply the time since the first connection of the same category, of attacks only.

    Packets of one connection stay as far apart as they were.
    """

    def disguise(connections: Connections) -> Connections:
        starts: dict[str, int] = {}
        for one in connections:
            starts[one.category] = min(starts.get(one.category, one.first), one.first)
        return [
            _later(one, (factor - 1) * (one.first - starts[one.category])) if one.is_attack else one
            for one in connections
        ]

    return disguise


def _later(connection: Connection, by_us: int) -> Connection:
    return replace(
        connection, records=tuple((time + by_us, frame) for time, frame in connection.records)
    )


def stretched(factor: int) -> Disguise:
    """Multiply the gaps between all packets of the capture."""

    def disguise(connections: Connections) -> Connections:
        start = min(one.first for one in connections)
        return [
            replace(
                one,
                records=tuple(
                    (start + factor * (time - start), each) for time, each in one.records
                ),
            )
            for one in connections
        ]

    return disguise


def covered(flows: int) -> Change:
    """Have the attacker finish answered HTTPS flows with other servers after a connection."""
    ports = itertools.count()

    def change(connection: Connection) -> Connection:
        made: list[Record] = []
        for i in range(flows):
            ends = Endpoints(
                connection.ends.src, 33_000 + next(ports) % 30_000, f"203.0.113.{80 + i}", 443
            )
            made += exchange(ends, connection.last + COVER_GAP_US + i * EXCHANGE_US)
        return replace(connection, extra=connection.extra + tuple(made))

    return change


def exchange(ends: Endpoints, start_us: int) -> Iterator[Record]:
    """Make a TCP connection in which both sides say something, of correct numbers and checksums."""
    sizes = ((True, 517), (False, 1400), (False, 1400), (True, 80), (False, 900))
    said = {True: 1000, False: 5000}
    steps = [(True, SYN, 0), (False, SYN | ACK, 0), (True, ACK, 0)]
    steps += [(is_ours, PSH | ACK, size) for is_ours, size in sizes]
    steps += [(True, FIN | ACK, 0), (False, FIN | ACK, 0), (True, ACK, 0)]
    for i, (is_ours, flags, size) in enumerate(steps):
        numbers = {"sequence": said[is_ours], "acknowledged": said[not is_ours] * (flags != SYN)}
        sender = ends if is_ours else ends.back()
        yield start_us + 15_000 * i, tcp(sender, flags, bytes(size), **numbers)
        said[is_ours] += size + bool(flags & (SYN | FIN))


def spoofed(connections: Connections, count: int) -> Iterator[Record]:
    """Yield SYNs of as many forged sources as there are, evenly from the first packet to the last.

    They go to every address of the network in turn, the victims' included.
    """
    start = min(one.first for one in connections)
    length = max(one.last for one in connections) - start
    for i in range(count):
        number = (i * 2_654_435_761) & 0xFFFFFF  # an odd factor: no source twice in 2**24
        source = f"11.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        ends = Endpoints(source, 1024 + i % 60_000, f"192.168.1.{1 + i % 254}", 80)
        yield start + length * i // count, tcp(ends, SYN, sequence=i)
