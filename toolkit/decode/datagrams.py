"""Keep datagrams of which fragments are missing, within a memory budget.

    fragment ──> slot, among the 64 of its source ──> units received, first 1,536 bytes

The table consists of sets of 64 slots. The source address, hashed with a secret, chooses the set.
So whoever floods from one address evicts only what came from the few sources that share its set,
and cannot choose these; a flood of forged sources evicts the oldest datagrams of all. Within a set
the slots are a ring: a new datagram takes the slot of the oldest. One list of all datagrams, oldest
first, finds those whose time is over.

Where fragments overlap, the bytes that came first stay (the policy "first" of Novak, "Target-Based
Fragmentation Reassembly", 2005; for a header, which is at offset 0, BSD does the same), and what
lies past the end that the first last fragment stated is ignored. Hosts differ: Linux since 4.19 and
every IPv6 host (RFC 5722), discard such a datagram. A fragment that brings nothing new is a
repetition, as in Linux, unless its bytes contradict those that are kept.
"""

from __future__ import annotations

import os
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from idskit.flows.flow_key import address_sum, hash_keys, scrambled
from idskit.kernels.bitset import POSITIONS, before, bit, count, equal, newest
from idskit.kernels.compile import kernel, raw_pointer, signed
from idskit.kernels.pointers import record_pointer

_Bytes = NDArray[np.uint8]
_Record = np.void
_Records = NDArray[np.void]

SLOTS = POSITIONS  # per set
TIMEOUT_US = 30_000_000  # after the first fragment, as in Linux and BSD
LARGEST = 65_535  # bytes of an IP packet
HEADER_BYTES = 1536  # the first bytes of what IP carries, which are kept: a packet of Ethernet
TINY_BYTES = 48  # every link carries 68 with the header (RFC 791): who sends fewer means to
SPARE_REPEATS = 64  # a datagram ends after this number of repetitions beyond its number of units
UNIT = 8
_UNITS = 1 << 13  # units of the largest datagram
_WORDS = _UNITS // 64
_HEADER_UNITS = HEADER_BYTES // UNIT
KEPT_DATAGRAMS = 64  # whose bytes are kept until their packets are taken
HEADER_ROOM = HEADER_BYTES + _HEADER_UNITS  # the bytes, then the number of known bytes of each unit

DATAGRAM = np.dtype(
    [
        ("src_high", "<u8"),  # the key: addresses, identification, VLAN, interface, IPv4's protocol
        ("src_low", "<u8"),
        ("dst_high", "<u8"),
        ("dst_low", "<u8"),
        ("opening", "<u8"),  # first unit of the last complete datagram of this slot
        ("first_us", "<i8"),  # when the first fragment came
        ("wire", "<i8"),  # bytes of the frames
        ("captured", "<i8"),
        ("identification", "<u4"),
        ("next", "<i4"),  # links of the list of all
        ("previous", "<i4"),
        ("end", "<i4"),  # size in bytes, -1 until a last fragment has come
        ("units", "<i4"),  # units of 8 bytes received
        ("fragments", "<i4"),
        ("repeats", "<i4"),  # fragments that brought nothing new
        ("tiny", "<i4"),
        ("overlapping", "<i4"),
        ("before", "<i4"),  # fragments of the last complete datagram of this slot
        ("header", "<i4"),  # bytes of the IP headers, without the fragment header
        ("vlan", "<u2"),
        ("protocol", "u1"),  # of IPv6, what the fragment header announces
        ("ip_version", "u1"),
        ("ttl", "u1"),
        ("interface", "u1"),
    ],
    align=True,
)
_SET = np.dtype([("used", "<u8"), ("head", "<i8")])  # slots in use; the one to take next
STATE = np.dtype(
    [
        ("sets", "<i8"),
        ("oldest", "<i8"),  # ends of the list of all, -1 if it is empty
        ("newest", "<i8"),
        ("now_us", "<i8"),  # time of the frame read last
        ("kept", "<i8"),  # datagrams whose bytes lie in ``kept``
        ("fragments", "<i8"),  # counters since the beginning
        ("datagrams", "<i8"),
        ("incomplete", "<i8"),
        ("evicted", "<i8"),
        ("tiny", "<i8"),
        ("overlapping", "<i8"),
    ],
    align=True,
)


class Datagrams(NamedTuple):
    """The arrays of the table; kernels get raw pointers to them."""

    state: _Records  # (1,) STATE
    keys: NDArray[np.int64]  # secret of the hash
    sets: _Records  # (sets,) _SET
    tags: NDArray[np.uint32]  # (sets * SLOTS,) hashes of the keys
    records: _Records  # (sets * SLOTS,) DATAGRAM
    units: NDArray[np.uint64]  # (sets * SLOTS * _WORDS,) one bit per unit received
    headers: _Bytes  # (sets * SLOTS * HEADER_ROOM,) see ``HEADER_ROOM``
    kept: _Bytes  # (KEPT_DATAGRAMS * HEADER_BYTES,) of those that became packets just now


class Piece(NamedTuple):
    """A fragment: key of its datagram, position in it, position in the captured bytes."""

    src_high: np.uint64
    src_low: np.uint64
    dst_high: np.uint64
    dst_low: np.uint64
    identification: int
    vlan: int
    interface: int
    protocol: int
    ip_version: int
    ttl: int
    header: int  # bytes of the IP headers, without the fragment header
    offset: int  # bytes
    size: int  # bytes, as the IP header says
    is_last: bool
    at: int  # of its first byte in the buffer
    captured_end: int  # of its bytes there
    wire: int  # bytes of the frame
    captured: int
    time_us: int


def make_datagrams(memory_bytes: int, key: bytes | None) -> Datagrams:
    """Return an empty table of as many sets as fit into ``memory_bytes``, at least one."""
    memory_bytes -= KEPT_DATAGRAMS * HEADER_BYTES
    sets = max(memory_bytes // (SLOTS * _bytes_each()), 1)
    slots = sets * SLOTS
    state = np.zeros(1, STATE)
    state["sets"] = sets
    state["oldest"] = state["newest"] = -1
    return Datagrams(
        state=state,
        keys=hash_keys(os.urandom(32) if key is None else key),
        sets=np.zeros(sets, _SET),
        tags=np.zeros(slots, np.uint32),
        records=np.zeros(slots, DATAGRAM),
        units=np.zeros(slots * _WORDS, np.uint64),
        headers=np.zeros(slots * HEADER_ROOM, np.uint8),
        kept=np.zeros(KEPT_DATAGRAMS * HEADER_BYTES, np.uint8),
    )


def bytes_of(datagrams: Datagrams) -> int:
    """Return the memory that the arrays take once all slots have been used."""
    return sum(array.nbytes for array in datagrams)


def _bytes_each() -> int:
    return DATAGRAM.itemsize + 4 + _WORDS * 8 + HEADER_ROOM + _SET.itemsize // SLOTS + 1


@kernel
def datagram_pointers(datagrams: Datagrams) -> Datagrams:
    """Return the table as raw pointers, which an entry kernel passes to the others."""
    return Datagrams(
        record_pointer(datagrams.state),
        raw_pointer(datagrams.keys),
        record_pointer(datagrams.sets),
        raw_pointer(datagrams.tags),
        record_pointer(datagrams.records),
        raw_pointer(datagrams.units),
        raw_pointer(datagrams.headers),
        raw_pointer(datagrams.kept),
    )


# Finding a datagram, or evicting another one for it.


@kernel
def set_of(datagrams: Datagrams, piece: Piece) -> int:
    """Return the number of the set that the fragment's source hashes to."""
    total = address_sum(datagrams.keys, 0, piece.src_high, piece.src_low)
    return int(scrambled(total + datagrams.keys[13]) % signed(datagrams.state[0]["sets"]))


@kernel
def tag_of_piece(datagrams: Datagrams, piece: Piece) -> int:
    """Hash the key of a fragment, apart from the VLAN."""
    keys = datagrams.keys
    total = address_sum(keys, 0, piece.src_high, piece.src_low)
    total += address_sum(keys, 6, piece.dst_high, piece.dst_low)
    low, high = piece.identification & 0xFFFF, piece.identification >> 16
    return int(scrambled(total + keys[12] * low + keys[13] * high + keys[14]))


@kernel
def find_datagram(datagrams: Datagrams, home: int, piece: Piece, tag: int) -> int:
    """Return the slot of the fragment's datagram, or -1."""
    first = SLOTS * home
    found = equal(datagrams.tags, first, tag) & datagrams.sets[home]["used"]
    while found:
        position = newest(found)
        if _is_part(datagrams.records[first + position], piece):
            return int(first + position)
        found ^= bit(position)
    return -1


@kernel
def _is_part(datagram: _Record, piece: Piece) -> bool:
    return bool(
        signed(datagram["identification"]) == piece.identification
        and datagram["src_low"] == piece.src_low
        and datagram["dst_low"] == piece.dst_low
        and datagram["src_high"] == piece.src_high
        and datagram["dst_high"] == piece.dst_high
        and datagram["ip_version"] == piece.ip_version
        and datagram["vlan"] == piece.vlan
        and datagram["interface"] == piece.interface
        and (piece.ip_version == 6 or datagram["protocol"] == piece.protocol)
    )


@kernel
def next_slot(datagrams: Datagrams, home: int) -> int:
    """Return the slot that the next new datagram of this set takes."""
    return SLOTS * home + signed(datagrams.sets[home]["head"])


@kernel
def is_used(datagrams: Datagrams, slot: int) -> bool:
    """Return whether a slot holds a datagram."""
    used = datagrams.sets[slot // SLOTS]["used"]
    return bool(used & bit(slot % SLOTS))


@kernel
def begin_datagram(datagrams: Datagrams, home: int, piece: Piece, tag: int) -> int:
    """Begin a datagram in the next slot, which is free; return the slot."""
    slot, found = next_slot(datagrams, home), datagrams.sets[home]
    found["used"] |= bit(found["head"])
    found["head"] = (found["head"] + 1) % SLOTS
    _put_tag(datagrams.tags, slot, tag)
    datagram = datagrams.records[slot]
    datagram["src_high"], datagram["src_low"] = piece.src_high, piece.src_low
    datagram["dst_high"], datagram["dst_low"] = piece.dst_high, piece.dst_low
    datagram["identification"], datagram["vlan"] = piece.identification, piece.vlan
    datagram["interface"] = piece.interface
    datagram["protocol"], datagram["ip_version"] = piece.protocol, piece.ip_version
    datagram["before"], datagram["opening"] = 0, 0
    _push(datagrams, slot)
    clear_datagram(datagrams, slot)
    return slot


@kernel
def _put_tag(tags: NDArray[np.uint32], slot: int, tag: int) -> None:
    tags[slot] = tag


@kernel
def clear_datagram(datagrams: Datagrams, slot: int) -> None:
    """Clear what was received of a datagram."""
    datagram = datagrams.records[slot]
    datagram["end"] = -1
    datagram["units"] = datagram["fragments"] = datagram["repeats"] = 0
    datagram["tiny"] = datagram["overlapping"] = 0
    datagram["wire"] = datagram["captured"] = 0
    _clear_bytes(datagrams.units, datagrams.headers, slot)


@kernel
def _clear_bytes(units: NDArray[np.uint64], headers: _Bytes, slot: int) -> None:
    for word in range(slot * _WORDS, (slot + 1) * _WORDS):
        units[word] = 0
    known = slot * HEADER_ROOM + HEADER_BYTES
    for unit in range(known, known + _HEADER_UNITS):
        headers[unit] = 0


@kernel
def keep_as_whole(datagrams: Datagrams, slot: int) -> None:
    """Keep the key of a complete datagram, so that late repetitions are recognised."""
    datagram = datagrams.records[slot]
    datagram["before"], datagram["opening"] = datagram["fragments"], opening(datagrams, slot)
    clear_datagram(datagrams, slot)


@kernel
def begin_anew(datagrams: Datagrams, slot: int) -> None:
    """Begin anew with a datagram that was complete twice: a third one is no repetition."""
    datagrams.records[slot]["before"] = 0
    clear_datagram(datagrams, slot)


@kernel
def is_repetition(datagrams: Datagrams, slot: int) -> bool:
    """Return whether a slot holds only late repetitions of its last complete datagram."""
    datagram = datagrams.records[slot]
    if datagram["fragments"] > datagram["before"]:
        return False
    lacks_opening = known_bytes(datagrams, slot) < UNIT
    return bool(lacks_opening or opening(datagrams, slot) == datagram["opening"])


@kernel
def free_datagram(datagrams: Datagrams, slot: int) -> None:
    """Free a slot."""
    datagrams.sets[slot // SLOTS]["used"] &= ~bit(slot % SLOTS)
    _pull(datagrams, slot)


# The list of all, oldest first.


@kernel
def _push(datagrams: Datagrams, slot: int) -> None:
    """Append a datagram to the list as the newest."""
    state, datagram = datagrams.state[0], datagrams.records[slot]
    tail = state["newest"]
    datagram["previous"], datagram["next"] = tail, -1
    if tail < 0:
        state["oldest"] = slot
    else:
        datagrams.records[tail]["next"] = slot
    state["newest"] = slot


@kernel
def _pull(datagrams: Datagrams, slot: int) -> None:
    """Unlink a datagram from the list."""
    state, datagram = datagrams.state[0], datagrams.records[slot]
    previous, following = datagram["previous"], datagram["next"]
    if previous < 0:
        state["oldest"] = following
    else:
        datagrams.records[previous]["next"] = following
    if following < 0:
        state["newest"] = previous
    else:
        datagrams.records[following]["previous"] = previous


@kernel
def is_over(datagrams: Datagrams, slot: int, now: int) -> bool:
    """Return whether a datagram's time is over, in whichever direction time went."""
    return bool(abs(now - datagrams.records[slot]["first_us"]) > TIMEOUT_US)


# Adding a fragment.


@kernel
def add_fragment(datagrams: Datagrams, slot: int, data: _Bytes, piece: Piece) -> None:
    """Add a fragment to its datagram."""
    datagram, state = datagrams.records[slot], datagrams.state[0]
    if datagram["fragments"] == 0:
        datagram["first_us"] = piece.time_us
        _pull(datagrams, slot)
        _push(datagrams, slot)
    if datagram["fragments"] == 0 or (piece.offset == 0 and known_bytes(datagrams, slot) == 0):
        datagram["header"], datagram["ttl"] = piece.header, piece.ttl
        datagram["protocol"] = piece.protocol  # IPv6: the first fragment states it
    datagram["fragments"] += 1
    datagram["wire"] += piece.wire
    datagram["captured"] += piece.captured
    tiny = not piece.is_last and piece.size < TINY_BYTES
    datagram["tiny"] += tiny
    overlapping = _add_bytes(datagrams, slot, data, piece)
    datagram["overlapping"] += overlapping
    state["tiny"] += tiny
    state["overlapping"] += overlapping


@kernel
def _add_bytes(datagrams: Datagrams, slot: int, data: _Bytes, piece: Piece) -> bool:
    """Mark the bytes of a fragment; return whether it contradicts or overlaps earlier ones."""
    datagram = datagrams.records[slot]
    contradicts = piece.is_last and _note_end(datagrams, slot, piece.offset + piece.size)
    first, end = piece.offset // UNIT, _units(piece.offset + piece.size)
    limit = _UNITS if datagram["end"] < 0 else min(_units(signed(datagram["end"])), _UNITS)
    inside = max(min(end, limit) - first, 0)
    fresh = _mark(datagrams.units, slot * _WORDS, first, first + inside)
    datagram["units"] += fresh
    datagram["repeats"] += fresh == 0
    differs = _keep_header(datagrams.headers, slot * HEADER_ROOM, data, piece)
    return bool(contradicts or differs or end > limit or 0 < fresh < inside)


@kernel
def _units(size: int) -> int:
    return (size + UNIT - 1) // UNIT


@kernel
def _note_end(datagrams: Datagrams, slot: int, end: int) -> bool:
    """Store where the datagram ends; return whether that contradicts earlier fragments."""
    datagram = datagrams.records[slot]
    if datagram["end"] >= 0:
        return bool(datagram["end"] != end)
    datagram["end"] = end
    units = datagram["units"]
    limit = min(_units(end), _UNITS)
    datagram["units"] = _count(datagrams.units, slot * _WORDS, limit)
    return bool(datagram["units"] != units)


@kernel
def _mark(units: NDArray[np.uint64], base: int, first: int, end: int) -> int:
    """Mark units from ``first`` on; return how many of them are new."""
    fresh = 0
    while first < end:
        word, size = base + first // 64, min(64 - first % 64, end - first)
        wanted = before(first % 64 + size, size)
        fresh += count(wanted & ~units[word])
        units[word] |= wanted
        first += size
    return fresh


@kernel
def _count(units: NDArray[np.uint64], base: int, end: int) -> int:
    """Return how many units before ``end`` were received."""
    found = 0
    for first in range(0, end, 64):
        size = min(64, end - first)
        found += count(units[base + first // 64] & before(size, size))
    return found


@kernel
def _keep_header(headers: _Bytes, base: int, data: _Bytes, piece: Piece) -> bool:
    """Keep the bytes of the first units; return whether they contradict earlier ones."""
    differs = False
    for unit in range(piece.offset // UNIT, _HEADER_UNITS):
        at = piece.at + unit * UNIT - piece.offset
        if at >= piece.captured_end:
            break
        size = min(piece.captured_end - at, UNIT)
        differs |= _keep_unit(headers, base, unit, data, at, size)
    return differs


@kernel
def _keep_unit(headers: _Bytes, base: int, unit: int, data: _Bytes, at: int, size: int) -> bool:
    to, known = base + unit * UNIT, signed(headers[base + HEADER_BYTES + unit])
    differs = False
    for i in range(min(size, known)):
        differs |= headers[to + i] != data[at + i]
    for i in range(known, size):
        headers[to + i] = data[at + i]
    headers[base + HEADER_BYTES + unit] = max(size, known)
    return bool(differs)


# State of a datagram.


@kernel
def is_whole(datagrams: Datagrams, slot: int) -> bool:
    """Return whether all was received, and no more than an IP packet can have."""
    datagram = datagrams.records[slot]
    end, header = signed(datagram["end"]), signed(datagram["header"])
    most = LARGEST - header + (40 if datagram["ip_version"] == 6 else 0)
    return bool(0 < end <= most and signed(datagram["units"]) == _units(end))


@kernel
def is_endless(datagram: _Record) -> bool:
    """Return whether fragments are repeated more often than any network repeats them."""
    return bool(datagram["repeats"] > datagram["units"] + SPARE_REPEATS)


@kernel
def size_of(datagram: _Record) -> int:
    """Return the bytes received of what IP carries."""
    came, end = signed(datagram["units"]) * UNIT, signed(datagram["end"])
    return came if end < 0 else min(came, end)


@kernel
def known_bytes(datagrams: Datagrams, slot: int) -> int:
    """Return how many bytes from the first on are known, at most HEADER_BYTES."""
    counts = slot * HEADER_ROOM + HEADER_BYTES
    for unit in range(_HEADER_UNITS):
        known = signed(datagrams.headers[counts + unit])
        if known < UNIT:
            return unit * UNIT + known
    return HEADER_BYTES


@kernel
def opening(datagrams: Datagrams, slot: int) -> np.uint64:
    """Return the first unit as a number."""
    number = np.uint64(0)
    for at in range(slot * HEADER_ROOM, slot * HEADER_ROOM + UNIT):
        number = (number << np.uint64(8)) | np.uint64(datagrams.headers[at])
    return number
