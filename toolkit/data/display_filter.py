"""Wireshark display filters, as far as flow records can answer them.

A filter selects packets; here it selects the flows of which a packet would be selected. What flow
records do not hold (flags, fragments, hardware addresses) makes an answer uncertain and not false:
the logic has three values (S. C. Kleene, 1938), and ``arp && eth.src == ...`` is false of an IP
flow although its hardware addresses are unknown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from idskit.flow import address_number

FALSE, UNCERTAIN, TRUE = 0, 1, 2
Truth = NDArray[np.int8]  # (flows,) of the three values
_TOKEN = re.compile(r"\s*(\|\||&&|[=!<>]=|[<>!(){},]|[\w.:*/-]+)")
_PROTOCOLS = {"tcp": 6, "udp": 17, "icmp": 1, "icmpv6": 58, "sctp": 132}
_VERSIONS = {"ip": 4, "ipv6": 6}
_BELOW_IP = ("arp",)
_PORTS = {"dns": (53,), "dhcp": (67, 68), "bootp": (67, 68)}  # what they are known by in records
_COMPARISONS = ("==", "!=", "<=", ">=", "<", ">")
_LOW = (1 << 64) - 1


@dataclass(frozen=True, kw_only=True)
class _Packets:
    """The packets of flows in one direction, as far as flow records tell them."""

    records: NDArray[np.void]
    source: str  # the endpoint of the record that sends: src or dst
    destination: str

    def whole(self, value: int) -> Truth:
        return np.full(len(self.records), value, np.int8)

    def protocol(self, number: int) -> Truth:
        return _truth(self.records["protocol"] == number)

    def address(self, end: str, address: int) -> Truth:
        high, low = np.uint64(address >> 64), np.uint64(address & _LOW)
        return _truth((self.records[f"{end}_high"] == high) & (self.records[f"{end}_low"] == low))

    def port(self, end: str, port: int) -> Truth:
        return _truth(self.records[f"{end}_port"] == port)

    def ends(self, which: str) -> tuple[str, ...]:
        """Return the endpoints that a field such as srcport or addr looks at."""
        if which.startswith("src"):
            return (self.source,)
        return (self.destination,) if which.startswith("dst") else (self.source, self.destination)


Node = Callable[[_Packets], Truth]


def flows_selected(text: str, records: NDArray[np.void]) -> Truth:
    """Return for each FLOW record whether the filter selects packets of it.

    Raises:
        ValueError: ``text`` is no filter of this grammar: comparisons of fields by ``==`` and
            ``in {...}``, names of protocols, ``&&``, ``||``, ``!`` (``and``, ``or``, ``not``) and
            parentheses.
    """
    selects = parse(text)
    forward = selects(_Packets(records=records, source="src", destination="dst"))
    backward = selects(_Packets(records=records, source="dst", destination="src"))
    backward[records["bwd_packets"] == 0] = FALSE
    selected: Truth = np.maximum(forward, backward)
    return selected


def parse(text: str) -> Node:
    """Read a filter.

    Raises:
        ValueError: it cannot be read; the message says where.
    """
    words = _Words(text)
    node = _either(words)
    words.end()
    return node


class _Words:
    """The words of a filter, one after another."""

    def __init__(self, text: str) -> None:
        self._text, self._words, self._next = text, list(_split(text)), 0

    def peek(self) -> str:
        return self._words[self._next] if self._next < len(self._words) else ""

    def take(self, *expected: str) -> str:
        """Return the next word, which is one of those expected, where any are."""
        word = self.peek()
        if not word or (expected and word not in expected):
            wanted = " or ".join(expected) or "more"
            raise ValueError(f"{self._text!r} has {word or 'its end'!r} where {wanted} is expected")
        self._next += 1
        return word

    def skip(self, *wanted: str) -> bool:
        found = self.peek() in wanted
        self._next += found
        return found

    def end(self) -> None:
        if self.peek():
            raise ValueError(f"{self._text!r} goes on with {self.peek()!r} after its end")


def _split(text: str) -> Iterator[str]:
    position = 0
    while position < len(text.rstrip()):
        found = _TOKEN.match(text, position)
        if found is None:
            raise ValueError(f"{text!r} cannot be read from {text[position:].strip()!r} on")
        yield found.group(1)
        position = found.end()


def _either(words: _Words) -> Node:
    node = _both(words)
    while words.skip("||", "or"):
        node = _joined(np.maximum, node, _both(words))
    return node


def _both(words: _Words) -> Node:
    node = _negated(words)
    while words.skip("&&", "and"):
        node = _joined(np.minimum, node, _negated(words))
    return node


def _joined(combine: Callable[[Truth, Truth], Truth], left: Node, right: Node) -> Node:
    return lambda packets: combine(left(packets), right(packets))


def _negated(words: _Words) -> Node:
    if words.skip("!", "not"):
        inner = _negated(words)
        return lambda packets: (TRUE - inner(packets)).astype(np.int8)
    if words.skip("("):
        node = _either(words)
        words.take(")")
        return node
    return _test(words)


def _test(words: _Words) -> Node:
    name = words.take()
    if not re.fullmatch(r"[a-z][\w.]*", name):
        raise ValueError(f"{name!r} stands where the name of a field or protocol is expected")
    if words.skip("in"):
        return _field(name, "==", list(_set(words)))
    if words.peek() in _COMPARISONS:
        comparison = words.take()
        return _field(name, comparison, [words.take()])
    return lambda packets: _layer(name, packets)


def _set(words: _Words) -> Iterator[str]:
    words.take("{")
    yield words.take()
    while not words.skip("}"):
        words.skip(",")
        yield words.take()


def _field(name: str, comparison: str, values: list[str]) -> Node:
    """Compare a field with values, any of which may fit."""
    layer, _, which = name.partition(".")
    if layer in _VERSIONS and which in ("addr", "src", "dst"):
        addresses = [address_number(value) for value in _equal(name, comparison, values)]
        return lambda packets: _any(
            packets.address(end, one) for end in packets.ends(which) for one in addresses
        )
    if layer in _PROTOCOLS and which in ("port", "srcport", "dstport"):
        ports = [_port(value) for value in _equal(name, comparison, values)]
        return lambda packets: np.minimum(
            _layer(layer, packets),
            _any(packets.port(end, one) for end in packets.ends(which) for one in ports),
        )
    return lambda packets: np.minimum(_layer(layer, packets), np.int8(UNCERTAIN))


def _equal(name: str, comparison: str, values: list[str]) -> list[str]:
    if comparison != "==":
        raise ValueError(f"{name} is compared by {comparison}, but only == and in are known for it")
    return values


def _layer(name: str, packets: _Packets) -> Truth:
    """Return which packets are of a protocol; what records cannot tell is uncertain."""
    if name in _PROTOCOLS:
        return packets.protocol(_PROTOCOLS[name])
    if name in _VERSIONS:
        return _truth(packets.records["ip_version"] == _VERSIONS[name])
    if name in _PORTS:
        known = (packets.port(end, one) for end in ("src", "dst") for one in _PORTS[name])
        carried = np.maximum(_layer("tcp", packets), _layer("udp", packets))
        return np.minimum(carried, _any(known))
    return packets.whole(FALSE if name in _BELOW_IP else UNCERTAIN)


def _any(found: Iterator[Truth]) -> Truth:
    truth: Truth = np.maximum.reduce(list(found))
    return truth


def _truth(found: NDArray[np.bool_]) -> Truth:
    return np.where(found, TRUE, FALSE).astype(np.int8)


def _port(value: str) -> int:
    if not value.isdecimal() or int(value) >= 1 << 16:
        raise ValueError(f"{value!r} is no port")
    return int(value)


def between(
    attackers: list[str], victims: list[str], records: NDArray[np.void]
) -> NDArray[np.bool_]:
    """Return which flows are between one of the attackers and one of the victims.

    An empty list stands for any address.

    Raises:
        ValueError: what is listed is no address.
    """
    packets = _Packets(records=records, source="src", destination="dst")
    found = np.zeros(len(records), np.bool_)
    for one, other in (("src", "dst"), ("dst", "src")):
        found |= _among(packets, one, attackers) & _among(packets, other, victims)
    return found


def _among(packets: _Packets, end: str, addresses: list[str]) -> NDArray[np.bool_]:
    if not addresses:
        return np.ones(len(packets.records), np.bool_)
    found = _any(packets.address(end, address_number(address)) for address in addresses)
    return np.asarray(found == TRUE)
