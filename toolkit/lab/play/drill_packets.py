"""Conversations of a drill as packets: both sides, between addresses that no host has.

They leave an interface with this machine's own link address as their destination and a hop limit of
1: a switch has nobody to hand them to, and a router would drop them. Who reads the interface sees
an attack.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from idskit.errors import IdskitError
from idskit.files.output import reason
from idskit.packet import ACK, FIN, PSH, RST, SYN, TCP

ATTACKERS, TARGETS = "198.51.100", "192.0.2"  # RFC 5737: of documentation
SCANNED, FLOODED, TRIES = 400, 400, 30
_CLOSED_PORT, LOGIN_PORT = 9, 21
_FIRST_PORT = 40_000
_HOPS = 1
_PAUSE_S = 0.0005  # between two packets
_IPV4 = 0x0800
_WINDOW = 64_240
_WELCOME = b"220 ready\r\n"


@dataclass(frozen=True, kw_only=True)
class Ends:
    """Who attacks whom, as IPv4 addresses."""

    attacker: str
    target: str

    @classmethod
    def numbered(cls, number: int) -> Ends:
        """Return the ends of a step, 1 to 254."""
        return cls(attacker=f"{ATTACKERS}.{number}", target=f"{TARGETS}.{number}")


@dataclass(kw_only=True)
class Connection:
    """A TCP connection that writes the packets of both sides."""

    ends: Ends
    port: int  # of the attacker
    service: int  # of the target
    _sent: dict[bool, int] = field(default_factory=lambda: {True: 1000, False: 5000})

    def packet(self, flags: int, payload: bytes = b"", *, by_attacker: bool) -> bytes:
        """Return the next packet of a side: IPv4 and TCP, without a link header."""
        here, there = self.ends.attacker, self.ends.target
        ports = self.port, self.service
        if not by_attacker:
            here, there, ports = there, here, ports[::-1]
        heard = self._sent[not by_attacker] if flags & ACK else 0
        head = struct.pack(
            ">HHIIBBHHH", *ports, self._sent[by_attacker], heard, 5 << 4, flags, _WINDOW, 0, 0
        )
        self._sent[by_attacker] += len(payload) + bool(flags & (SYN | FIN))
        return _ipv4(here, there, head + payload)

    def refused(self) -> Iterator[bytes]:
        """Yield an attempt at a closed port."""
        yield self.packet(SYN, by_attacker=True)
        yield self.packet(RST | ACK, by_attacker=False)

    def failed_login(self) -> Iterator[bytes]:
        """Yield a login to an FTP server with a wrong password, another on each port (RFC 959)."""
        yield self.packet(SYN, by_attacker=True)
        yield self.packet(SYN | ACK, by_attacker=False)
        yield self.packet(ACK, by_attacker=True)
        yield self.packet(PSH | ACK, _WELCOME, by_attacker=False)
        said = (
            (b"USER drill\r\n", b"331 password?\r\n"),
            (b"PASS wrong%d\r\n" % self.port, b"530 Login incorrect.\r\n"),
        )
        for asked, answered in said:
            yield self.packet(PSH | ACK, asked, by_attacker=True)
            yield self.packet(PSH | ACK, answered, by_attacker=False)
        yield self.packet(FIN | ACK, by_attacker=True)
        yield self.packet(FIN | ACK, by_attacker=False)
        yield self.packet(ACK, by_attacker=True)


def scan(ends: Ends, ports: int = SCANNED) -> Iterator[bytes]:
    """Yield attempts at many ports, all closed."""
    for port in range(1, ports + 1):
        yield from Connection(ends=ends, port=_FIRST_PORT, service=port).refused()


def flood(ends: Ends, times: int = FLOODED) -> Iterator[bytes]:
    """Yield many attempts at one closed port."""
    for number in range(times):
        made = Connection(ends=ends, port=_FIRST_PORT + number, service=_CLOSED_PORT)
        yield from made.refused()


def guess(ends: Ends, tries: int = TRIES) -> Iterator[bytes]:
    """Yield failed logins."""
    for number in range(tries):
        made = Connection(ends=ends, port=_FIRST_PORT + number, service=LOGIN_PORT)
        yield from made.failed_login()


def send(interface: str, packets: Iterable[bytes]) -> None:
    """Send IPv4 packets out of an interface, to nobody.

    Raises:
        IdskitError: there is no such interface, it is down, or this process may not.
    """
    try:
        with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, 0) as out:
            out.bind((interface, 0))
            to = (interface, _IPV4, 0, 0, out.getsockname()[4])
            for packet in packets:
                out.sendto(packet, to)
                time.sleep(_PAUSE_S)
    except OSError as error:
        raise IdskitError(
            f"packets cannot be sent out of interface {interface}: {reason(error)}; name one that "
            "is up, and run the drill as root"
        ) from error


def _ipv4(source: str, destination: str, segment: bytes) -> bytes:
    """Return a packet with right checksums (RFC 791, RFC 9293)."""
    addresses = socket.inet_aton(source) + socket.inet_aton(destination)
    pseudo = addresses + struct.pack(">HH", TCP, len(segment))
    segment = _with_checksum(segment, 16, checksum(pseudo + segment))
    head = struct.pack(">BBHIBBH", 0x45, 0, 20 + len(segment), 0x4000, _HOPS, TCP, 0) + addresses
    return _with_checksum(head, 10, checksum(head)) + segment


def _with_checksum(data: bytes, at: int, found: int) -> bytes:
    return data[:at] + struct.pack(">H", found) + data[at + 2 :]


def checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF
