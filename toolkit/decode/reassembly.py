"""Decode frames and reassemble fragments: a datagram is one packet, however it was fragmented.

    frame ──> decode ──┬─ no fragment ────────────────────> row
                       └─ fragment ──> datagrams ── whole ─> row, headers from reassembled bytes
                                                  └ over ──> row, incomplete

The rules are RFC 791 and 815 for IPv4, RFC 8200 (4.5), 5722 and 6946 for IPv6. ``datagrams`` keeps
what waits and states how overlaps are resolved. Sizes are IP lengths, not captured bytes.

A datagram that is never complete (30 s after its first fragment, at the end, or when it is evicted)
is a row too: it reached nobody, so its TCP flags count for nothing, but whoever sent it did
something. It has its ports if these came. If they did not, its protocol is FRAGMENT, whatever its
fragments announce: all such datagrams between two hosts are one flow, which a flood makes large.
IPv6 datagrams with overlaps are treated the same: every host discards them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from idskit.decode.datagrams import (
    HEADER_BYTES,
    HEADER_ROOM,
    KEPT_DATAGRAMS,
    Datagrams,
    Piece,
    add_fragment,
    begin_anew,
    begin_datagram,
    clear_datagram,
    datagram_pointers,
    find_datagram,
    free_datagram,
    is_endless,
    is_over,
    is_repetition,
    is_used,
    is_whole,
    keep_as_whole,
    known_bytes,
    next_slot,
    set_of,
    size_of,
    tag_of_piece,
)
from idskit.decode.layers import (
    REASSEMBLED,
    TRUNCATED_IP,
    TRUNCATED_TRANSPORT,
    clear_transport,
    decode_link,
    decode_packet,
    extension_size,
    fill_transport,
    least_header_bytes,
    read_u8,
    read_u16,
    read_u32,
    segment_size,
    walk_extensions,
)
from idskit.kernels.compile import inlined, kernel, raw_pointer, signed
from idskit.packet import FRAGMENT, ICMP, ICMPV6, Frames

_Bytes = NDArray[np.uint8]
_Record = np.void
_Records = NDArray[np.void]
_Counters = NDArray[np.int64]

_NO_LIMIT = 0xFFFF  # largest count of a row


def reassemble(
    frames: Frames, first: int, out: _Records, skipped: _Counters, datagrams: Datagrams
) -> tuple[int, int]:
    """Decode frames from ``first`` on into rows of ``out``, one row per datagram.

    A fragment whose datagram is not a row yet is counted as ``reassembled``, and one of these less
    once it is, so that frames seen = rows + frames skipped at any time.

    Args:
        frames: n captured frames of any link type.
        first: the frame to begin with.
        out: (>= 1,) PACKET, overwritten from row 0.
        skipped: (len(SKIP_REASONS),) int64, see ``decode``.
        datagrams: those of which fragments are missing.

    Returns:
        The first frame that there was no room left for, and how many rows were written. Payloads of
        datagrams lie in ``datagrams.kept`` until the next call.
    """
    interface = frames.interface
    done, count = _reassemble(
        frames.data, frames.records, first, out, skipped, datagrams, interface
    )
    return int(done), int(count)


def give_up(
    datagrams: Datagrams, out: _Records, skipped: _Counters, now_us: int | None = None
) -> int:
    """Make rows of the incomplete datagrams that are over at ``now_us``, or of all.

    Returns:
        How many rows of ``out`` were written: where all were, there may be more datagrams.
    """
    everything = now_us is None
    now = int(datagrams.state["now_us"][0]) if now_us is None else now_us
    return int(_give_up(datagrams, out, skipped, now, everything))


def fragment_counts(datagrams: Datagrams) -> dict[str, int]:
    """Return the counters of fragments that are not 0.

    ``fragments`` were received, of which ``tiny`` and ``overlapping`` ones; ``datagrams`` were
    reassembled, ``incomplete`` ones were not, of which ``evicted`` ones because memory was full.
    """
    names = ("fragments", "datagrams", "incomplete", "evicted", "tiny", "overlapping")
    state = datagrams.state[0]
    return {name: int(state[name]) for name in names if state[name]}


def fragments_line(counts: Mapping[str, int]) -> str:
    """Return a line about what became of IP fragments."""
    fragments, whole = counts.get("fragments", 0), counts.get("datagrams", 0)
    line = f"{fragments:,} IP fragments: {whole:,} datagrams put together"
    if "incomplete" in counts:
        line += f", {counts['incomplete']:,} incomplete"
    if "evicted" in counts:
        line += f" ({counts['evicted']:,} given up early: the memory for fragments was full)"
    odd = [f"{counts[kind]:,} {kind}" for kind in ("tiny", "overlapping") if kind in counts]
    return f"{line}; of the fragments {' and '.join(odd)}" if odd else line


@kernel
def _reassemble(
    data: _Bytes,
    records: _Records,
    first: int,
    out: _Records,
    skipped: _Counters,
    arrays: Datagrams,
    interface: int,
) -> tuple[int, int]:
    count, frame_bytes, datagrams = 0, raw_pointer(data), datagram_pointers(arrays)
    state = datagrams.state[0]
    state["kept"] = 0
    for i in range(first, len(records)):
        record = records[i]
        now = signed(record["time_ns"]) // 1000
        if state["oldest"] >= 0 and is_over(datagrams, signed(state["oldest"]), now):
            count = _drop_old(datagrams, out, count, skipped, now, False)
        if count == len(out) or state["kept"] == KEPT_DATAGRAMS:
            return i, count
        out[count]["interface"] = interface
        reason = _packet_of(datagrams, frame_bytes, len(data), record, out[count])
        if reason < 0:
            skipped[-1 - reason] += 1
        else:
            count += 1
        state["now_us"] = now
    return len(records), count


@inlined
def _packet_of(datagrams: Datagrams, data: _Bytes, size: int, record: _Record, row: _Record) -> int:
    """Decode one frame into ``row``; return 0 if it became a packet, else a reason."""
    at = min(max(signed(record["offset"]), 0), size)
    end = min(at + signed(record["captured"]), size)
    row["fragment"] = row["fragments"] = row["incomplete"] = 0
    row["tiny_fragments"] = row["overlapping_fragments"] = 0
    wire = max(at + signed(record["wire"]), end)
    reason = decode_packet(data, at, end, wire, signed(record["link_type"]), row)
    if row["fragment"]:
        return _take(datagrams, data, at, end, record, row)
    row["time_us"] = signed(record["time_ns"]) // 1000
    row["wire_bytes"], row["captured_bytes"] = record["wire"], record["captured"]
    if record["checksum"]:
        row["checksum"] = record["checksum"]
    row["gso_size"] = segment_size(record, row)
    return reason


@kernel
def _give_up(
    arrays: Datagrams, out: _Records, skipped: _Counters, now: int, everything: bool
) -> int:
    return int(_drop_old(datagram_pointers(arrays), out, 0, skipped, now, everything))


@kernel
def _drop_old(
    datagrams: Datagrams,
    out: _Records,
    count: int,
    skipped: _Counters,
    now: int,
    everything: bool,
) -> int:
    """Make the oldest datagrams rows from row ``count`` on; return the number of rows."""
    state = datagrams.state[0]
    slot = signed(state["oldest"])
    while slot >= 0 and count < len(out) and (everything or is_over(datagrams, slot, now)):
        if _leave(datagrams, slot, now, out[count]):
            count += 1
            skipped[-1 - REASSEMBLED] -= 1
        slot = signed(state["oldest"])
    return count


# Adding a fragment.


@kernel
def _take(
    datagrams: Datagrams, data: _Bytes, at: int, end: int, record: _Record, row: _Record
) -> int:
    """Add a fragment, whose addresses are in ``row``, to its datagram.

    Returns:
        0 if ``row`` became a packet, of this datagram or of one that had to leave; else a reason.
    """
    piece, state = _piece(data, at, end, record, row), datagrams.state[0]
    state["fragments"] += 1
    home, tag = set_of(datagrams, piece), tag_of_piece(datagrams, piece)
    slot, reason = find_datagram(datagrams, home, piece, tag), REASSEMBLED
    if slot < 0:
        if is_used(datagrams, next_slot(datagrams, home)):
            reason = _evict(datagrams, next_slot(datagrams, home), piece.time_us, row)
        slot = begin_datagram(datagrams, home, piece, tag)
    add_fragment(datagrams, slot, data, piece)
    if is_whole(datagrams, slot):
        reason = _complete(datagrams, slot, piece.time_us, row)
    elif is_endless(datagrams.records[slot]):
        _put_incomplete(datagrams, slot, piece.time_us, row)
        reason = 0
        clear_datagram(datagrams, slot)
    return reason


@kernel
def _piece(data: _Bytes, at: int, end: int, record: _Record, row: _Record) -> Piece:
    """Read a frame's fragment again, up to its payload; ``decode_packet`` checked all lengths."""
    version, ip, vlan = decode_link(data, at, end, signed(record["link_type"]))
    place = _place4(data, ip) if version == 4 else _place6(data, ip)
    size = _usable(max(ip + signed(row["ip_bytes"]) - place.at, 0), place.more, version)
    return Piece(
        np.uint64(row["src_high"]),
        np.uint64(row["src_low"]),
        np.uint64(row["dst_high"]),
        np.uint64(row["dst_low"]),
        place.identification,
        vlan,
        signed(row["interface"]),
        place.protocol,
        version,
        signed(row["ttl"]),
        place.header,
        place.offset,
        size,
        not place.more,
        place.at,
        min(end, place.at + size),
        signed(record["wire"]),
        signed(record["captured"]),
        signed(record["time_ns"]) // 1000,
    )


class _Place(NamedTuple):
    """Position of a fragment in its datagram, and what the headers say of the datagram."""

    at: int  # of its first byte in the buffer
    header: int  # bytes of the IP headers, without the fragment header
    identification: int
    protocol: int
    offset: int  # bytes
    more: bool


@kernel
def _place4(data: _Bytes, ip: int) -> _Place:
    """Read the position of an IPv4 fragment."""
    header, field = (read_u8(data, ip) & 15) * 4, read_u16(data, ip + 6)
    identification, protocol = read_u16(data, ip + 4), read_u8(data, ip + 9)
    offset, more = (field & 0x1FFF) * 8, field & 0x2000 != 0
    return _Place(ip + header, header, identification, protocol, offset, more)


@kernel
def _place6(data: _Bytes, ip: int) -> _Place:
    """Read the position of an IPv6 fragment."""
    at = _fragment_header(data, ip)
    field, identification = read_u16(data, at + 2), read_u32(data, at + 4)
    offset, more = field & 0xFFF8, field & 1 == 1
    return _Place(at + 8, at - ip, identification, read_u8(data, at), offset, more)


@kernel
def _usable(size: int, more: bool, version: int) -> int:
    """Return the bytes of a fragment that count: all but its last are cut to whole units.

    IPv6 refuses such a fragment (RFC 8200, 4.5), IPv4 hosts take the units.
    """
    if not more or size % 8 == 0:
        return size
    return size - size % 8 if version == 4 else 0


@kernel
def _fragment_header(data: _Bytes, ip: int) -> int:
    """Return the offset of the IPv6 fragment header; skip those of whole packets (RFC 6946)."""
    protocol, at = read_u8(data, ip + 6), ip + 40
    while protocol != FRAGMENT or read_u16(data, at + 2) & 0xFFF9 == 0:
        size = extension_size(protocol, read_u8(data, at + 1))
        protocol, at = read_u8(data, at), at + size
    return at


# Making a packet of a datagram.


@kernel
def _evict(datagrams: Datagrams, slot: int, now: int, row: _Record) -> int:
    """Evict a slot; return 0 if ``row`` became the packet that was in it, else a reason."""
    if not _leave(datagrams, slot, now, row):
        return REASSEMBLED
    datagrams.state[0]["evicted"] += 1
    return 0


@kernel
def _leave(datagrams: Datagrams, slot: int, now: int, row: _Record) -> bool:
    """Free a slot; return whether ``row`` became the packet that was in it."""
    is_packet = not is_repetition(datagrams, slot)
    if is_packet:
        _put_incomplete(datagrams, slot, now, row)
    free_datagram(datagrams, slot)
    return is_packet


@kernel
def _complete(datagrams: Datagrams, slot: int, now: int, row: _Record) -> int:
    """End a complete datagram; return 0 if ``row`` became its packet, else a reason."""
    reason = REASSEMBLED
    if is_repetition(datagrams, slot):
        begin_anew(datagrams, slot)  # the next datagram is no repetition
    else:
        reason = _put_complete(datagrams, slot, now, row)
        keep_as_whole(datagrams, slot)
    return reason


@kernel
def _put_complete(datagrams: Datagrams, slot: int, now: int, row: _Record) -> int:
    """Fill a row with a complete datagram; return 0 or a reason, as ``decode_packet``."""
    datagram = datagrams.records[slot]
    if datagram["ip_version"] == 6 and datagram["overlapping"]:
        _put_incomplete(datagrams, slot, now, row)
        return 0
    _put_datagram(datagram, now, row)
    reason = _put_whole(datagrams, slot, row)
    if reason < 0 and _is_behind_limit(datagrams, slot, reason):
        _put_incomplete(datagrams, slot, now, row)
        return 0
    datagrams.state[0]["datagrams"] += 1
    return reason


@kernel
def _is_behind_limit(datagrams: Datagrams, slot: int, reason: int) -> bool:
    """Return whether the transport header lies behind the bytes that are kept."""
    is_cut = reason in (TRUNCATED_IP, TRUNCATED_TRANSPORT)
    return is_cut and known_bytes(datagrams, slot) == HEADER_BYTES


@kernel
def _put_whole(datagrams: Datagrams, slot: int, row: _Record) -> int:
    """Fill in the transport header of a complete datagram; return 0 or a reason."""
    start, protocol, at = _upper_layer(datagrams, slot, row)
    if protocol < 0:
        return protocol
    end = start + size_of(datagrams.records[slot])
    row["protocol"] = protocol
    known = start + known_bytes(datagrams, slot)
    reason = fill_transport(datagrams.headers, protocol, at, known, end, row)
    if row["header_bytes"]:
        row["payload_bytes"], row["cut_bytes"] = end - at - signed(row["header_bytes"]), 0
    if row["payload_held"]:
        _keep_payload(datagrams, row)
    else:
        row["payload_at"] = 0  # not into a buffer that nobody gets
    return reason


@kernel
def _keep_payload(datagrams: Datagrams, row: _Record) -> None:
    """Keep the first bytes of a payload until its packet is taken: their slot may be used again."""
    state, held = datagrams.state[0], min(signed(row["payload_held"]), HEADER_BYTES)
    start = signed(state["kept"]) * HEADER_BYTES
    _copy(datagrams.headers, signed(row["payload_at"]), datagrams.kept, start, held)
    row["payload_at"], row["payload_held"], row["payload_kept"] = start, held, 1
    state["kept"] += 1


@kernel
def _copy(data: _Bytes, at: int, into: _Bytes, start: int, size: int) -> None:
    for i in range(size):
        into[start + i] = data[at + i]


@kernel
def _put_incomplete(datagrams: Datagrams, slot: int, now: int, row: _Record) -> None:
    """Fill a row with what was received of a datagram."""
    datagrams.state[0]["incomplete"] += 1
    datagram = datagrams.records[slot]
    _put_datagram(datagram, now, row)
    row["incomplete"] = 1
    start, protocol, at = _upper_layer(datagrams, slot, row)
    known = min(known_bytes(datagrams, slot), size_of(datagram))
    if protocol < 0 or (least_header_bytes(protocol) and start + known - at < 4):
        protocol = FRAGMENT
    row["protocol"] = protocol
    _put_opening(datagrams.headers, protocol, at, start + size_of(datagram), row)


@kernel
def _put_opening(data: _Bytes, protocol: int, at: int, end: int, row: _Record) -> None:
    """Fill in what the first four bytes of a transport header state."""
    header = least_header_bytes(protocol)
    if protocol in (ICMP, ICMPV6):
        row["icmp_type"], row["icmp_code"] = read_u8(data, at), read_u8(data, at + 1)
    elif header:
        row["src_port"], row["dst_port"] = read_u16(data, at), read_u16(data, at + 2)
        row["header_bytes"] = header
        row["payload_bytes"] = max(end - at - header, 0)


@kernel
def _upper_layer(datagrams: Datagrams, slot: int, row: _Record) -> tuple[int, int, int]:
    """Return the start of the kept bytes, the protocol or a reason, and its offset."""
    datagram, start = datagrams.records[slot], slot * HEADER_ROOM
    protocol, at = signed(datagram["protocol"]), start
    if datagram["ip_version"] == 6:
        end, total = start + known_bytes(datagrams, slot), start + size_of(datagram)
        protocol, at = walk_extensions(datagrams.headers, protocol, at, end, total, row)
        if row["fragment"] == 2:  # a fragment inside of a fragmented datagram
            protocol = FRAGMENT
    row["fragment"] = 0
    return start, protocol, at


@kernel
def _put_datagram(datagram: _Record, now: int, row: _Record) -> None:
    """Fill in all but the transport header."""
    row["src_high"], row["src_low"] = datagram["src_high"], datagram["src_low"]
    row["dst_high"], row["dst_low"] = datagram["dst_high"], datagram["dst_low"]
    row["time_us"], row["vlan"] = now, datagram["vlan"]
    row["interface"] = datagram["interface"]
    row["ip_version"], row["ttl"] = datagram["ip_version"], datagram["ttl"]
    row["ip_bytes"] = signed(datagram["header"]) + size_of(datagram)
    row["wire_bytes"] = min(signed(datagram["wire"]), 0xFFFFFFFF)
    row["captured_bytes"] = min(signed(datagram["captured"]), 0xFFFFFFFF)
    row["fragment"] = row["incomplete"] = 0
    row["fragments"] = min(signed(datagram["fragments"]), _NO_LIMIT)
    row["tiny_fragments"] = min(signed(datagram["tiny"]), _NO_LIMIT)
    row["overlapping_fragments"] = min(signed(datagram["overlapping"]), _NO_LIMIT)
    clear_transport(row)
