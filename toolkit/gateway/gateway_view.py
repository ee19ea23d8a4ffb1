"""What the service knows of itself and of its network now: rates, hosts, devices, health.

The loop of packets writes, the control socket reads.
Everything here is bounded: 60 seconds, HOSTS hosts, some peers and services of each.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idskit.alerts.eve import eve_time
from idskit.explain.host_day import HostDay, HostDays
from idskit.flow import address_text
from idskit.incidents.incident import Incident
from idskit.local_network import are_local
from idskit.packet import TCP, UDP
from idskit.profiles.flow_reader import FlowBatch

SECONDS = 60
HOSTS = 256  # of this network, the latest seen
SHOWN_HOSTS = 16
PEERS, SERVICES = 256, 32  # of a host
_NEIGHBOURS = Path("/proc/net/arp")
_LEASES = tuple(map(Path, ("/var/lib/misc/dnsmasq.leases", "/tmp/dhcp.leases")))  # noqa: S108
_MOST_LEASES = 1 << 20  # bytes
_NO_MAC = "00:00:00:00:00:00"
Document = dict[str, Any]


class RecentSeconds:
    """Counts of the last 60 seconds."""

    def __init__(self) -> None:
        self._counts = [0] * (SECONDS + 1)  # and the second that is not over
        self._latest = 0

    def add(self, second: int, count: int) -> None:
        """Count in a second, which may be one of the last 60."""
        self._move(second)
        if self._latest - second <= SECONDS:
            self._counts[second % (SECONDS + 1)] += count

    def until(self, second: int) -> list[int]:
        """Return the counts of the 60 seconds that end with this one, latest last."""
        self._move(second)
        first = second - SECONDS + 1
        return [self._counts[one % (SECONDS + 1)] for one in range(first, second + 1)]

    def _move(self, second: int) -> None:
        for passed in range(max(self._latest + 1, second - SECONDS), second + 1):
            self._counts[passed % (SECONDS + 1)] = 0
        self._latest = max(self._latest, second)


@dataclass(kw_only=True)
class HostState:
    """A host of this network."""

    first_us: int
    last_us: int
    flows: int = 0
    packets: RecentSeconds = field(default_factory=RecentSeconds)
    peers: set[tuple[int, int]] = field(default_factory=set)
    services: Counter[tuple[int, int]] = field(default_factory=Counter)  # of others, that it uses


class HostTable:
    """The hosts of this network, as their flows show them.

    Attributes:
        evicted: hosts that were dropped because there were too many.
    """

    def __init__(self, slots: int) -> None:
        self._hosts: OrderedDict[tuple[int, int], HostState] = OrderedDict()
        self._serials = np.full(slots, -1, np.int64)  # by slot: the flow counted last
        self._counted = np.zeros(slots, np.int64)  # its packets
        self.evicted = 0

    def new_flows(self, flows: NDArray[np.void]) -> NDArray[np.void]:
        """Return one row of each flow of which no row was added yet."""
        keys = flows["serial"] * len(self._serials) + flows["slot"]
        _, first = np.unique(keys, return_index=True)
        is_new = self._serials[flows["slot"][first]] != flows["serial"][first]
        found: NDArray[np.void] = flows[first[is_new]]
        return found

    def add(self, batch: FlowBatch, second: int, now_us: int) -> None:
        """Count the packets of flows that were not counted yet, for their ends in this network."""
        flows = batch.flows
        fresh = self._fresh(flows)
        local = are_local(flows)
        for column, (end, other) in enumerate((("src", "dst"), ("dst", "src"))):
            rows = np.flatnonzero(local[:, column])
            columns = [f"{end}_high", f"{end}_low", f"{other}_high", f"{other}_low", "dst_port"]
            found = flows[rows][[*columns, "protocol", "start_us", "end_us"]].tolist()
            for row, packets in zip(found, fresh[rows].tolist(), strict=True):
                self._add_row(row, packets, second, now_us, is_client=end == "src")

    def _fresh(self, flows: NDArray[np.void]) -> NDArray[np.int64]:
        """Return the packets of each row that earlier rows of its flow did not have."""
        slots, serials = flows["slot"], flows["serial"]
        packets = flows["fwd_packets"] + flows["bwd_packets"]
        earlier = np.where(self._serials[slots] == serials, self._counted[slots], 0)
        self._serials[slots], self._counted[slots] = serials, packets
        fresh: NDArray[np.int64] = np.maximum(packets - earlier, 0)
        return fresh

    def _add_row(
        self, row: tuple[int, ...], packets: int, second: int, now_us: int, *, is_client: bool
    ) -> None:
        high, low, other_high, other_low, port, protocol, start_us, end_us = row
        host = self._host((high, low), start_us)
        host.flows += 1
        host.last_us = max(host.last_us, end_us)
        host.packets.add(second - min(max(now_us - end_us, 0) // 1_000_000, SECONDS), packets)
        if len(host.peers) < PEERS:
            host.peers.add((other_high, other_low))
        if is_client and (len(host.services) < SERVICES or (port, protocol) in host.services):
            host.services[port, protocol] += 1

    def _host(self, key: tuple[int, int], start_us: int) -> HostState:
        host = self._hosts.get(key)
        if host is None:
            host = self._hosts[key] = HostState(first_us=start_us, last_us=start_us)
            if len(self._hosts) > HOSTS:
                self._hosts.popitem(last=False)
                self.evicted += 1
        self._hosts.move_to_end(key)
        return host

    def traffic(self, second: int, names: Mapping[str, str]) -> list[Document]:
        """Return the packets of the last 60 seconds of the busiest hosts."""
        rows = [(sum(row), address, row) for address, row in self._rows(second) if any(row)]
        busiest = sorted(rows, reverse=True)[:SHOWN_HOSTS]
        return [
            {"address": address, "name": names.get(address), "packets": row}
            for _, address, row in busiest
        ]

    def _rows(self, second: int) -> list[tuple[str, list[int]]]:
        return [(_text(key), host.packets.until(second)) for key, host in self._hosts.items()]

    def devices(
        self, names: Mapping[str, str], macs: Mapping[str, str], incidents: Mapping[str, int]
    ) -> list[Document]:
        """Return what is known of every host of this network, the latest seen first."""
        return [
            {
                "address": address,
                "name": names.get(address),
                "mac": macs.get(address),
                "first_seen": eve_time(host.first_us),
                "last_seen": eve_time(host.last_us),
                "flows": host.flows,
                "peers": len(host.peers),
                "services": [
                    service
                    for pair, _ in host.services.most_common(8)
                    if (service := _service(*pair))
                ],
                "new": [],
                "incidents": incidents.get(address, 0),
            }
            for key, host in reversed(self._hosts.items())
            for address in [_text(key)]
        ]


def _text(key: tuple[int, int]) -> str:
    return address_text(key[0] << 64 | key[1])


def _service(port: int, protocol: int) -> str:
    name = {TCP: "tcp", UDP: "udp"}.get(protocol)
    return f"{port}/{name}" if name else ""


def hardware_addresses(table: Path = _NEIGHBOURS) -> dict[str, str]:
    """Return the MAC address of every neighbour that this machine has spoken with."""
    found = {}
    with suppress(OSError, UnicodeDecodeError):
        for line in table.read_text().splitlines()[1:]:
            words = line.split()
            if len(words) >= 4 and words[3] != _NO_MAC:
                found[words[0]] = words[3]
    return found


def host_names(leases: tuple[Path, ...] = _LEASES) -> dict[str, str]:
    """Return the names that hosts gave to the DHCP server of this machine (dnsmasq), if any."""
    found = {}
    for path in leases:
        with suppress(OSError), path.open(errors="replace") as file:
            for line in file.read(_MOST_LEASES).splitlines():
                words = line.split()
                if len(words) >= 4 and words[3] != "*":
                    found[words[2]] = words[3][:64]
    return found


@dataclass(kw_only=True)
class Totals:
    """Counters of the service that only go up."""

    packets: int = 0
    bytes: int = 0
    flows: int = 0
    dropped: int = 0


class GatewayView:
    """Rates and hosts; all of it may be called from several threads."""

    def __init__(self, slots: int) -> None:
        self._lock = threading.Lock()
        self._hosts = HostTable(slots)
        self._days = HostDays()
        self._totals = Totals()
        self._rates = {name: RecentSeconds() for name in ("packets", "flows", "bytes")}
        self._dropped = RecentSeconds()
        self._shed: Counter[str] = Counter()

    def add_flows(self, batch: FlowBatch, now_us: int) -> None:
        """Count the flows of a batch."""
        with self._lock:
            self._days.observe(self._hosts.new_flows(batch.flows))
            self._hosts.add(batch, _second(), now_us)

    def day_of(self, incident: Incident) -> HostDay | None:
        """Return the last 24 hours of the device of an incident; None if nothing is known."""
        with self._lock:
            return self._days.of(incident)

    def add_shed(self, what: str, count: int) -> None:
        """Count what was left out because of overload."""
        with self._lock:
            self._shed[what] += count

    def note(self, totals: Totals) -> None:
        """Take the totals of now; what they grew by belongs to this second."""
        with self._lock:
            before, self._totals, second = self._totals, totals, _second()
            for name, rate in self._rates.items():
                rate.add(second, getattr(totals, name) - getattr(before, name))
            self._dropped.add(second, totals.dropped - before.dropped)

    @property
    def dropped_lately(self) -> int:
        """Return the frames that the kernel dropped in the last 60 seconds."""
        with self._lock:
            return sum(self._dropped.until(_second()))

    def rates(self) -> Document:
        """Return packets, flows and bytes of each of the last 60 seconds."""
        with self._lock:
            second = _second() - 1  # this one is not over
            return {f"{name}_per_s": rate.until(second) for name, rate in self._rates.items()}

    def hosts(self, incidents: Mapping[str, int]) -> tuple[list[Document], list[Document]]:
        """Return the traffic of the busiest hosts, and all devices."""
        names, macs = host_names(), hardware_addresses()
        with self._lock:
            traffic = self._hosts.traffic(_second(), names)
            return traffic, self._hosts.devices(names, macs, incidents)

    def shed(self) -> dict[str, int]:
        """Return what was left out because of overload, by kind."""
        with self._lock:
            return dict(self._shed)

    def counters(self) -> dict[str, int]:
        """Return the totals, by name."""
        shed = {f"shed_{what.replace(' ', '_')}": count for what, count in self.shed().items()}
        with self._lock:
            totals = {f"{name}_total": count for name, count in vars(self._totals).items()}
            return totals | shed | {"hosts_evicted": self._hosts.evicted}


def _second() -> int:
    return int(time.monotonic())
