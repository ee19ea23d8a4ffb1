"""IPv4 fragments back to datagrams, by their headers only, as the KDD'99 feature extractor does.

A datagram stands for one packet: ports and flags of its first fragment, the frame bytes of all, the
time of the fragment that completed it. Which 8-byte units have come is kept exactly, so that
fragments may come in any order, twice, or overlapping.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from idskit.decode import layers
from idskit.kernels.compile import kernel, raw_pointer, signed
from idskit.packet import ICMP, PACKET, TCP, UDP, Frames

_Bytes = NDArray[np.uint8]
_Record = np.void
_Records = NDArray[np.void]

TIMEOUT_US = 30_000_000
PENDING = 256  # datagrams that wait for fragments; one more drops the one silent for longest
_UNITS = 1 << 13  # of 8 bytes, in the largest datagram
_MORE, _OFFSET = 0x2000, 0x1FFF

_DATAGRAM = np.dtype(
    [
        ("src_low", "<u8"),
        ("dst_low", "<u8"),
        ("first_us", "<i8"),
        ("last_us", "<i8"),
        ("wire", "<i8"),  # bytes of the frames
        ("units", "<i4"),  # that have come
        ("end", "<i4"),  # units in all, -1 until the last fragment has come
        ("identification", "<u4"),
        ("src_port", "<u2"),
        ("dst_port", "<u2"),
        ("protocol", "u1"),
        ("flags", "u1"),
        ("icmp_type", "u1"),
        ("icmp_code", "u1"),
        ("has_first", "u1"),
        ("waits", "u1"),  # 0: a free place
    ],
    align=True,
)


class Fragments(NamedTuple):
    """Datagrams that lack fragments."""

    datagrams: _Records  # (PENDING,) _DATAGRAM
    units: NDArray[np.uint8]  # (PENDING * _UNITS,) 1 for each that has come


def make_fragments() -> Fragments:
    """Return room for ``PENDING`` datagrams; memory is taken as they come."""
    return Fragments(np.zeros(PENDING, _DATAGRAM), np.zeros(PENDING * _UNITS, np.uint8))


def reread(frames: Frames, decoded: _Records) -> _Records:
    """Return the IPv4 packets of TCP, UDP and ICMP among ``decoded``.

    In rows of fragments, ``sequence`` is the identification, ``acknowledgement`` the field with
    offset and flags, and ``payload_bytes`` what IP carries.
    """
    wanted = (decoded["ip_version"] == 4) & np.isin(decoded["protocol"], (ICMP, TCP, UDP))
    if not np.any(wanted & (decoded["fragment"] > 0)):
        chosen: _Records = decoded[wanted]
        return chosen
    rows = np.zeros(len(decoded) + 1, PACKET)
    return rows[: int(_reread(frames.data, frames.records, rows))]


@kernel
def _reread(data: _Bytes, records: _Records, rows: _Records) -> int:
    count, frame_bytes = 0, raw_pointer(data)
    for i in range(len(records)):
        record, row = records[i], rows[count]
        at = min(max(signed(record["offset"]), 0), len(data))
        end = min(at + signed(record["captured"]), len(data))
        link_type = signed(record["link_type"])
        if layers.decode_packet(frame_bytes, at, end, end, link_type, row) < 0 or not _is_wanted(
            row
        ):
            continue
        row["time_us"] = record["time_ns"] // 1000
        row["wire_bytes"], row["captured_bytes"] = record["wire"], end - at
        if row["fragment"]:
            ip = layers.decode_link(frame_bytes, at, end, link_type)[1]
            row["sequence"] = layers.read_u16(frame_bytes, ip + 4)
            row["acknowledgement"] = layers.read_u16(frame_bytes, ip + 6)
            header = (signed(frame_bytes[ip]) & 15) * 4
            row["payload_bytes"] = max(signed(row["ip_bytes"]) - header, 0)
        count += 1
    return count


@kernel
def _is_wanted(row: _Record) -> bool:
    return bool(row["ip_version"] == 4 and row["protocol"] in (ICMP, TCP, UDP))


@kernel
def drop_silent(fragments: Fragments, now: int) -> None:
    """Discard datagrams that got no fragment for 30 s."""
    for i in range(PENDING):
        datagram = fragments.datagrams[i]
        if datagram["waits"] and datagram["last_us"] <= now - TIMEOUT_US:
            datagram["waits"] = 0


@kernel
def complete(fragments: Fragments, packet: _Record) -> int:
    """Add a fragment.

    Returns:
        -1 while others are missing; else the time at which the datagram's first fragment came, and
        ``packet`` has become the datagram.
    """
    place = _place(fragments, packet)
    datagram = fragments.datagrams[place]
    _mark(fragments.units, place, datagram, packet)
    datagram["last_us"] = packet["time_us"]
    datagram["wire"] += packet["wire_bytes"]
    if packet["fragment"] == 1 and not datagram["has_first"]:
        datagram["has_first"] = 1
        datagram["src_port"], datagram["dst_port"] = packet["src_port"], packet["dst_port"]
        datagram["flags"] = packet["flags"]
        datagram["icmp_type"], datagram["icmp_code"] = packet["icmp_type"], packet["icmp_code"]
    if not datagram["has_first"] or datagram["units"] != datagram["end"]:
        return -1
    datagram["waits"] = 0
    packet["wire_bytes"] = min(int(datagram["wire"]), 0xFFFFFFFF)
    packet["src_port"], packet["dst_port"] = datagram["src_port"], datagram["dst_port"]
    packet["flags"] = datagram["flags"]
    packet["icmp_type"], packet["icmp_code"] = datagram["icmp_type"], datagram["icmp_code"]
    return int(datagram["first_us"])


@kernel
def _place(fragments: Fragments, packet: _Record) -> int:
    """Return the slot of the fragment's datagram, a new one if it has none."""
    free, oldest = -1, 0
    for i in range(PENDING):
        datagram = fragments.datagrams[i]
        if not datagram["waits"]:
            free = i
        elif _is_part(datagram, packet):
            return i
        elif datagram["last_us"] < fragments.datagrams[oldest]["last_us"]:
            oldest = i
    place = free if free >= 0 else oldest
    _begin(fragments, place, packet)
    return place


@kernel
def _is_part(datagram: _Record, packet: _Record) -> bool:
    return bool(
        datagram["identification"] == packet["sequence"]
        and datagram["src_low"] == packet["src_low"]
        and datagram["dst_low"] == packet["dst_low"]
        and datagram["protocol"] == packet["protocol"]
    )


@kernel
def _begin(fragments: Fragments, place: int, packet: _Record) -> None:
    datagram = fragments.datagrams[place]
    datagram["waits"], datagram["has_first"] = 1, 0
    datagram["src_low"], datagram["dst_low"] = packet["src_low"], packet["dst_low"]
    datagram["identification"] = packet["sequence"]
    datagram["protocol"] = packet["protocol"]
    datagram["first_us"] = packet["time_us"]
    datagram["wire"] = datagram["units"] = 0
    datagram["end"] = -1
    fragments.units[place * _UNITS : (place + 1) * _UNITS] = 0


@kernel
def _mark(units: NDArray[np.uint8], place: int, datagram: _Record, packet: _Record) -> None:
    """Note the units that this fragment brings; the last one states how many there are."""
    field = int(packet["acknowledgement"])
    start = field & _OFFSET
    end = start + (int(packet["payload_bytes"]) + 7) // 8
    if not field & _MORE:
        datagram["end"] = end
    for at in range(place * _UNITS + start, place * _UNITS + min(end, _UNITS)):
        datagram["units"] += units[at] == 0
        units[at] = 1
