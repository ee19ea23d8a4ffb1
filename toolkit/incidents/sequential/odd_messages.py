"""Weighings of messages that are not what they seem: tunnels, probes, made-up names."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from idskit.incidents.sequential.nats import OPENS, Floats, is_one_of, of
from idskit.packet import ICMP, ICMPV6

_NEIGHBOURS = (133, 134, 135, 136, 137)  # types of ICMPv6, RFC 4861
_MANY_SIZES = 0.8  # of the variance that two sizes have, at most
_DNS, _TEXT_NAME, _LONG_NAME = 53, 35, 70  # port; bytes of a name that carries data


def data_in_echoes(flows: NDArray[np.void], columns: Floats) -> Floats:
    """Weigh echo requests whose sizes vary and whose answers differ, or of many sizes for long.

    A ping repeats one size and gets it back; a person who tries sizes tries a few. Where an answer
    is lost, the sizes of those that came differ, but none is larger than what was asked. Of no more
    than two sizes the variance is the product of their distances from the mean (Bhatia and Davis,
    2000), and of many it is less.
    """
    asked, answered, request, reply, least, largest, back = columns.T
    varies = is_one_of(flows["protocol"], (ICMP, ICMPV6)) & (flows["bwd_packets"] >= 8)
    varies &= (np.maximum(asked, answered) > 8) & (np.maximum(largest, back) > 100)
    all_answered = flows["fwd_packets"] == flows["bwd_packets"]
    differs = (np.abs(request - reply) > 4) & (all_answered | (back - largest > 4))
    many = asked**2 < _MANY_SIZES * (largest - request) * (request - least)
    varies &= differs | (many & (flows["fwd_packets"] >= 30))
    return np.where(varies, OPENS, 0.0)


def odd_icmp_requests(flows: NDArray[np.void], columns: Floats) -> Floats:
    """Weigh what only who wants to know the system behind an address asks by ICMP.

    These are the time, the network and its mask (RFC 792, RFC 950), and an echo with a code.
    """
    kind = flows["icmp_type"]
    asked = is_one_of(kind, (13, 15, 17)) | ((kind == 8) & (columns[:, 0] > 0))
    return np.where((flows["protocol"] == ICMP) & asked, OPENS / of(2), 0.0)


def data_in_names(flows: NDArray[np.void], columns: Floats) -> Floats:
    """Weigh queries for names that carry data: 25 with text answers, or 60 of any type."""
    queries, length, text = columns.T
    # Never multicast, where names of services are long. A flow may begin with an answer.
    asked = (flows["dst_port"] == _DNS) | (flows["src_port"] == _DNS)
    texts = np.where(length >= _TEXT_NAME, np.minimum(text, queries), 0) * OPENS / of(25)
    names = np.where(length >= _LONG_NAME, queries, 0) * OPENS / of(60)
    return np.where(asked, np.maximum(texts, names), 0.0)


def names_that_are_not(_flows: NDArray[np.void], columns: Floats) -> Floats:
    """Weigh answers that a name is not there, of names in letters: three hundred are made up.

    A resolver that blocks advertisements by this answer says it to a person a hundred times. Lists
    of addresses that are looked up in names (black lists, reverse names) are digits.
    """
    missing, digits, length = columns.T
    made = (missing > 0) & (digits <= 0.25) & (length >= 8)
    return np.where(made, missing * OPENS / of(300), 0.0)


def fragmented_neighbours(flows: NDArray[np.void], columns: Floats) -> Floats:
    """Weigh messages of neighbour discovery in fragments, which nobody may send (RFC 6980)."""
    found = (flows["protocol"] == ICMPV6) & is_one_of(flows["icmp_type"], _NEIGHBOURS)
    return np.where(found & (columns[:, 0] > 0), OPENS, 0.0)
