"""Addresses, ports and distances of flows: who talks to whom.

Addresses come from ranges that belong to nobody: private ones (RFC 1918) for the gateway's own
network, those for documentation (RFC 5737, RFC 3849) for servers and attackers, those for
benchmarks (RFC 2544) for forged sources and for the rest of the Internet that bots search.

No two flows share addresses, ports and protocol, however many there are, and without a list of
what was given away: ports count up for each client, and a client that has used all of its ports
comes back with another address; everything else counts through a permutation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

FLOW = np.dtype(
    [
        ("client_high", "<u8"),  # addresses as in PACKET: IPv4 is mapped
        ("client_low", "<u8"),
        ("server_high", "<u8"),
        ("server_low", "<u8"),
        ("noise", "<u8"),  # seed of the payload
        ("rtt_us", "<f8"),  # to the far side and back
        ("start_us", "<i8"),  # time of the first packet
        ("packets", "<i8"),  # written so far
        ("left", "<i8"),  # planned and not yet written
        ("client_isn", "<u4"),  # initial sequence number
        ("server_isn", "<u4"),
        ("client_clock", "<u4"),  # TCP timestamp at time 0, in ms
        ("server_clock", "<u4"),
        ("client_id", "<u2"),  # IP identification of the first packet
        ("server_id", "<u2"),
        ("client_port", "<u2"),
        ("server_port", "<u2"),
        ("client_hops", "u1"),
        ("server_hops", "u1"),
        ("far", "u1"),  # the side a round trip away: CLIENT, SERVER or NEITHER
        ("protocol", "u1"),
        ("activity", "u1"),
    ],
    align=True,
)
NEITHER = 2

Flows = NDArray[np.void]  # (n,) FLOW
Indices = NDArray[np.int64]

_MAPPED = 0xFFFF00000000
_SERVERS = np.array([0xCB007100, 0xC6336400])  # 203.0.113.0/24, 198.51.100.0/24: RFC 5737
_ATTACKER = 0xC0000200  # 192.0.2.0/24: RFC 5737
_INTERNET = 0xC6120000  # 198.18.0.0/15: RFC 2544
_INTERNET_SIZE = 1 << 17
_LAN6, _SERVERS6 = 0x20010DB800000001, 0x20010DB800000002  # in 2001:db8::/32: RFC 3849
_GROUP6 = 0xFF02000000000000  # link-local multicast, RFC 4291, 2.7

_FIRST_PORT, _PORTS = 32768, 28232  # what Linux gives to clients
_STRIDE = 9973  # through those ports; a prime that does not divide their number


@dataclass(kw_only=True)
class Network:
    """The gateway's network.

    Attributes:
        lan: first address of the private network; .1 is the gateway, devices begin at .10.
        hosts: how many devices.
        rng: where every choice comes from.
        used: (hosts,) ports that each device has used.
    """

    lan: int
    hosts: int
    rng: np.random.Generator
    used: Indices = field(init=False)

    def __post_init__(self) -> None:
        self.used = np.zeros(self.hosts, np.int64)


@dataclass(frozen=True, kw_only=True)
class NewFlows:
    """Flows of one activity that look for their ends.

    Attributes:
        network: where they happen.
        rows: (n,) FLOW to fill; ``far`` is NEITHER already, and addresses and ports are 0.
        clients: (n,) device that each belongs to.
        first: how many flows the activity had before.
    """

    network: Network
    rows: Flows
    clients: Indices
    first: int

    @property
    def numbers(self) -> Indices:
        """(n,) which flow of the activity each is."""
        return np.arange(self.first, self.first + len(self.rows))

    def connect(self, clients: Indices | None = None, ipv6: bool = False) -> None:
        """Give each client a port and an address that it has not used."""
        clients, network = self.clients if clients is None else clients, self.network
        order = np.argsort(clients, kind="stable")
        counts = np.bincount(clients, minlength=network.hosts)
        rank = np.empty(len(clients), np.int64)
        rank[order] = np.arange(len(clients)) - (np.cumsum(counts) - counts)[clients[order]]
        generation, turn = np.divmod(network.used[clients] + rank, _PORTS)
        network.used += counts
        self.rows["client_port"] = _FIRST_PORT + turn * _STRIDE % _PORTS
        self.place("client", clients + generation * network.hosts, ipv6)

    def place(self, side: str, devices: Indices | int, ipv6: bool = False) -> None:
        """Put devices of the network at one side."""
        if ipv6:
            self.rows[f"{side}_high"], self.rows[f"{side}_low"] = _LAN6, devices + 0x10
        else:
            self.rows[f"{side}_low"] = _MAPPED + self.network.lan + 10 + devices

    def part(self, far: int) -> None:
        """Put the far side some hops and a round trip away."""
        rng, n = self.network.rng, len(self.rows)
        self.rows["far"] = far
        self.rows[("client_hops", "server_hops")[far]] = rng.integers(5, 22, n)
        self.rows["rtt_us"] = np.minimum(25_000 * rng.lognormal(0, 0.6, n), 600_000)


# How the flows of an activity find their two ends.
Endpoints = Callable[[NewFlows], None]


def servers(port: int, count: int = 200, ipv6: bool = False) -> Endpoints:
    """Devices call one of ``count`` servers on the Internet, the first ones more often."""

    def fill(new: NewFlows) -> None:
        new.connect(ipv6=ipv6)
        new.part(1)
        chosen = np.minimum(new.network.rng.zipf(1.4, len(new.rows)) - 1, count - 1)
        new.rows["server_port"] = port
        if ipv6:
            new.rows["server_high"], new.rows["server_low"] = _SERVERS6, 0x100 + chosen
        else:
            new.rows["server_low"] = _MAPPED + _SERVERS[chosen % 2] + 1 + chosen // 2

    return fill


def group(address: int, port: int) -> Endpoints:
    """Devices send to a local address, such as a multicast group, from a new port each time."""

    def fill(new: NewFlows) -> None:
        new.connect()
        new.rows["server_low"], new.rows["server_port"] = _MAPPED + address, port

    return fill


def gateway(port: int) -> Endpoints:
    """Devices ask the gateway from a new port each time."""

    def fill(new: NewFlows) -> None:
        group(new.network.lan + 1, port)(new)

    return fill


def standing(client_port: int, port: int, address: int, far: int = NEITHER) -> Endpoints:
    """Each device always uses the same ports and the same peer."""

    def fill(new: NewFlows) -> None:
        new.place("client", new.clients)
        new.rows["client_port"], new.rows["server_port"] = client_port, port
        new.rows["server_low"] = _MAPPED + address
        if far != NEITHER:
            new.part(far)

    return fill


def standing6(client_port: int, port: int, multicast: int = 0) -> Endpoints:
    """The same in IPv6, to a ``multicast`` group of the link or else to a server."""

    def fill(new: NewFlows) -> None:
        new.place("client", new.clients, ipv6=True)
        new.rows["client_port"], new.rows["server_port"] = client_port, port
        new.rows["server_high"] = _GROUP6 if multicast else _SERVERS6
        new.rows["server_low"] = multicast or 0x100
        if not multicast:
            new.part(1)

    return fill


def nobody(client_port: int, port: int) -> Endpoints:
    """Hosts that have no address ask everybody."""

    def fill(new: NewFlows) -> None:
        new.rows["client_low"], new.rows["server_low"] = _MAPPED, _MAPPED + 0xFFFFFFFF
        new.rows["client_port"], new.rows["server_port"] = client_port, port

    return fill


def forged(victim: int, port: int) -> Endpoints:
    """Sources that do not exist, at one port of device ``victim``."""

    def fill(new: NewFlows) -> None:
        new.rows["client_low"], new.rows["client_port"] = _strangers(new.numbers)
        new.place("server", victim)
        new.rows["server_port"] = port
        new.part(0)

    return fill


def bombard(bot: int) -> Endpoints:
    """Device ``bot`` sends to one address outside, between ports that change each time."""

    def fill(new: NewFlows) -> None:
        ports, turn = _spread(new.numbers, 65535), new.numbers // 65535
        new.place("client", bot)
        new.rows["client_port"] = 1 + ports
        new.rows["server_port"] = 1 + (ports * 7919 + turn) % 65535
        new.rows["server_low"] = _MAPPED + _SERVERS[1] + 200
        new.part(1)

    return fill


def stream(bot: int, port: int) -> Endpoints:
    """Device ``bot`` sends to one port of one address outside."""

    def fill(new: NewFlows) -> None:
        new.connect(np.full(len(new.rows), bot))
        new.rows["server_low"], new.rows["server_port"] = _MAPPED + _SERVERS[1] + 201, port
        new.part(1)

    return fill


def scan(victim: int) -> Endpoints:
    """One attacker tries every port of device ``victim``, then of the next, from one port."""

    def fill(new: NewFlows) -> None:
        number, hosts = new.numbers, new.network.hosts
        new.rows["client_low"] = _MAPPED + _ATTACKER + 66
        new.rows["client_port"] = 43210 + number // (65535 * hosts)
        new.place("server", (victim + number // 65535) % hosts)
        new.rows["server_port"] = 1 + _spread(number, 65535)
        new.part(0)

    return fill


def sweep(ports: tuple[int, ...]) -> Endpoints:
    """One attacker tries the same ports on every address of the network."""

    def fill(new: NewFlows) -> None:
        number = new.numbers
        turn = number // 254
        new.rows["client_low"] = _MAPPED + _ATTACKER + 77
        new.rows["client_port"] = _FIRST_PORT + turn // len(ports) % _PORTS
        new.rows["server_low"] = _MAPPED + new.network.lan + 1 + _spread(number, 254)
        new.rows["server_port"] = np.array(ports)[turn % len(ports)]
        new.part(0)

    return fill


def guess(victims: tuple[int, ...], port: int) -> Endpoints:
    """Attackers call the same port of some devices again and again."""

    def fill(new: NewFlows) -> None:
        number = new.numbers
        turn = number // len(victims)
        new.rows["client_low"] = _MAPPED + _ATTACKER + 99 + turn // _PORTS % 100
        new.rows["client_port"] = _FIRST_PORT + turn * _STRIDE % _PORTS
        new.place("server", np.array(victims)[number % len(victims)])
        new.rows["server_port"] = port
        new.part(0)

    return fill


def search(bot: int) -> Endpoints:
    """Device ``bot`` looks for Telnet all over the Internet, as Mirai does.

    Its sequence number is the address it calls, by which it knows its answers.
    """

    def fill(new: NewFlows) -> None:
        number = new.numbers
        strangers = _INTERNET + _spread(number, _INTERNET_SIZE)
        new.place("client", bot)
        new.rows["client_port"] = 31234 + number // _INTERNET_SIZE
        new.rows["server_low"], new.rows["client_isn"] = _MAPPED + strangers, strangers
        new.rows["server_port"] = np.where(number % 10 == 9, 2323, 23)
        new.part(1)

    return fill


def call_strangers(bot: int, port: int) -> Endpoints:
    """Device ``bot`` connects to one port all over the Internet."""

    def fill(new: NewFlows) -> None:
        new.connect(np.full(len(new.rows), bot))
        strangers, _ = _strangers(new.numbers)
        new.rows["server_low"], new.rows["server_port"] = strangers, port
        new.part(1)

    return fill


def _spread(numbers: Indices, count: int) -> Indices:
    """A permutation of 0 ... count - 1, over and over: the factor is prime and divides no count."""
    return numbers * 48271 % count


def _strangers(numbers: Indices) -> tuple[Indices, Indices]:
    """Addresses and ports: an address comes back only with another port."""
    place = _spread(numbers, _INTERNET_SIZE)
    ports = 1024 + (place * 40503 + numbers // _INTERNET_SIZE) % 64512
    return _MAPPED + _INTERNET + place, ports
