"""Weighings of what nobody answers, and of what comes too often: scans, sweeps and floods."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from idskit.incidents.sequential.nats import OPENS, Floats, is_one_of, of
from idskit.local_network import are_local, go_to_groups
from idskit.packet import ICMP, ICMPV6, TCP, UDP

# A device whose way to the internet is cut fails at these, again and again, and scans nothing.
_EVERYDAY = (53, 80, 123, 443, 853, 993, 4070, 5222, 5223, 5228, 8443, 8883)
# Services of datagrams that scanners look for: nothing asks many hosts for them by itself.
_ASKED = (
    *(69, 111, 161, 177, 389, 427, 502, 623, 1434, 1604, 3702, 5060, 5093, 5632, 9600, 10001),
    *(11211, 17185, 20000, 44818, 47808),
)
_MAIL, _DNS = 25, 53
_SHORT, _LONG_US, _HALF_BUSY = 4_000, 5_000_000, 30  # bytes, time, connections in a minute
_TINY = 1_400  # bytes of a window that hold less than one packet
_BUSY, _BUSY_DNS = 250, 1000  # flows within a minute or so from one host to another
_LEASES, _NEIGHBOURS = 67, (133, 134, 135, 136, 137)  # port; types of ICMPv6, RFC 4861
_LATEST, _MANY, _BURST_US = 64, 32, 2_000_000  # flows to a host, their sources, their time
# Protocols of IP that networks use, by their numbers at IANA.
_USED = (
    *(0, 1, 2, 4, 6, 17, 27, 33, 41, 43, 44, 46, 47, 50, 51, 58, 59, 60, 88, 89, 94, 97, 103, 108),
    *(112, 115, 132, 135, 136, 137, 139, 140),
)


def failed_contacts(flows: NDArray[np.void], columns: Floats) -> Floats:
    """Weigh TCP connections that nobody answered or that were refused: nine open an incident."""
    refused, new, new_failed = columns.T
    failed = (flows["protocol"] == TCP) & ((flows["bwd_packets"] == 0) | (refused > 0))
    failed &= flows["fwd_packets"] <= 6
    local = are_local(flows)
    cut_off = local[:, 0] & ~local[:, 1] & is_one_of(flows["dst_port"], _EVERYDAY)
    successes = np.clip(new - new_failed, 0, 3)
    per_failure = OPENS / (of(9) + successes)
    return np.where(failed & ~cut_off, per_failure, 0.0)


def echo_flood(flows: NDArray[np.void], columns: Floats) -> Floats:
    """Weigh floods of echo requests; monitoring asks once a second, and a person ten times."""
    requests = is_one_of(flows["protocol"], (ICMP, ICMPV6))
    flood = requests & (flows["fwd_packets"] >= 1000) & (columns[:, 0] >= 100)
    return np.where(flood, OPENS, 0.0)


def echo_sweep(flows: NDArray[np.void], columns: Floats) -> Floats:
    """Weigh echo requests to further hosts within seconds: fifteen of them are a sweep."""
    swept = is_one_of(flows["protocol"], (ICMP, ICMPV6)) & is_one_of(flows["icmp_type"], (8, 128))
    swept &= (flows["fwd_packets"] <= 2) & (columns[:, 0] >= 8)
    return np.where(swept, OPENS / of(8), 0.0)


def many_connections(flows: NDArray[np.void], columns: Floats) -> Floats:
    """Weigh connections beyond 250 from one host to another within a minute: thirty are a flood.

    Pages make 60 of them, a load test of 200 requests 200; name servers are asked more often.
    """
    is_dns = (flows["dst_port"] == _DNS) | (flows["src_port"] == _DNS)
    above = columns[:, 0] > np.where(is_dns, _BUSY_DNS, _BUSY)
    return np.where(above, OPENS / of(30), 0.0)


def swept_datagrams(flows: NDArray[np.void], _columns: Floats) -> Floats:
    """Weigh datagrams to services of further hosts that nobody answers: twelve are a sweep."""
    asked = (flows["protocol"] == UDP) & (flows["bwd_packets"] == 0)
    return np.where(asked & is_one_of(flows["dst_port"], _ASKED), OPENS / of(12), 0.0)


def burst(flows: NDArray[np.void], columns: Floats) -> Floats:
    """Weigh flows of which 64 came to one host within two seconds and said nothing.

    They are openings (SYN) that nobody answers, to one or two of its services, from however many
    sources; answers that it did not ask for (SYN with ACK), and datagrams, from many sources that
    get no answer; or connections to one or two services that carry nothing, answered or not. Eight
    such flows open an incident. What is said to a group gets no answer, and devices that start
    together all say it.
    """
    syns, acks, services, peers, unanswered, span_us, number, payload, own = columns.T
    ignored = (flows["bwd_packets"] == 0) & (flows["fwd_packets"] <= 3) & (unanswered >= 0.9)
    is_tcp, many, few = flows["protocol"] == TCP, peers >= _MANY, services <= 2
    openings = is_tcp & (syns > 0) & np.where(acks > 0, many, few)
    at_once = (flows["protocol"] == UDP) & many & (span_us <= _BURST_US / 4)
    at_once &= ~go_to_groups(flows)
    empty = is_tcp & few & (payload < 1) & (own == 0)
    found = (
        (number >= _LATEST) & (span_us <= _BURST_US) & ((ignored & (openings | at_once)) | empty)
    )
    return np.where(found, OPENS / of(8), 0.0)


def open_requests(flows: NDArray[np.void], columns: Floats) -> Floats:
    """Weigh requests that are not complete after seconds, or not read: twenty use up a server.

    Their client opens dozens of connections a minute; who waits for news, or for a server that
    hangs, opens a few. Who does not read takes less at a time than one packet holds.
    """
    asked, answered, number, lasted_us, window = columns.T
    opened = (flows["protocol"] == TCP) & (flows["bwd_packets"] > 0)
    opened &= (answered == 0) | ((window > 0) & (window < _TINY))
    opened &= (asked > 0) & (asked < _SHORT) & (lasted_us >= _LONG_US) & (number >= _HALF_BUSY)
    return np.where(opened, OPENS / of(20), 0.0)


def asked_ports(flows: NDArray[np.void], columns: Floats) -> Floats:
    """Weigh datagrams to further ports of a host that nobody answers: fifteen are a scan.

    Traceroute asks ports from 33434 on.
    """
    services, peers = columns.T
    port = flows["dst_port"]
    asked = (flows["protocol"] == UDP) & (flows["bwd_packets"] == 0) & (flows["fwd_packets"] <= 2)
    asked &= (services >= 10) & (peers <= 2) & ((port < 33_434) | (port > 33_600))
    return np.where(asked, OPENS / of(15), 0.0)


def odd_protocols(flows: NDArray[np.void], _columns: Floats) -> Floats:
    """Weigh packets of protocols of IP that no network uses: six of them are a scan."""
    return np.where(~is_one_of(flows["protocol"], _USED), OPENS / of(6), 0.0)


def contacted_mail_servers(flows: NDArray[np.void], columns: Floats) -> Floats:
    """Weigh mail to further servers within seconds: thirty are what a taken-over device sends."""
    sent = (flows["protocol"] == TCP) & (flows["dst_port"] == _MAIL) & (columns[:, 0] >= 8)
    return np.where(sent & are_local(flows)[:, 0], OPENS / of(22), 0.0)


def flood_of_leases(flows: NDArray[np.void], columns: Floats) -> Floats:
    """Weigh requests for leases at a rate at which no house asks; it is how a pool is emptied."""
    asked = (flows["protocol"] == UDP) & (flows["dst_port"] == _LEASES)
    asked &= (flows["fwd_packets"] >= 60) & (columns[:, 0] >= 10)
    return np.where(asked, OPENS, 0.0)
