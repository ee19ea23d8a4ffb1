"""Ethernet frames as CICFlowMeter's packet library reads them, mistakes included.

Both tools stand on jnetpcap 1.4, which differs from a careful decoder where frames are cut, padded
or not IPv4. What matters for flows, found in its scanner and seen in the tools' tables:

* Ethernet padding behind a VLAN tag counts as payload (CICFlowMeter issue #64).
* A transport header that is cut off leaves a packet of protocol 0, without ports.
* In version 4.0, IP total length 0 (segmentation offload) does the same, and an ICMP error counts
  as the TCP or UDP packet that it quotes.
* A frame that is not IPv4 is tried as L2TP, which always succeeds, and then as IPv4 from its first
  byte on: ARP and IPv6 frames become packets between addresses like 8.6.0.1 and 8.0.6.4, depending
  on the MAC address that they begin with.

IPv6, which the tools do not read, and other links than Ethernet keep the rows of ``decode``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from idskit.decode import layers
from idskit.kernels.compile import kernel, raw_pointer, signed
from idskit.packet import ICMP, PACKET, SCTP, TCP, UDP, Frames

_Bytes = NDArray[np.uint8]
_Record = np.void
_Records = NDArray[np.void]

_ETHERNET = 1
_LINK_HEADER = 14  # bytes
_IPV4 = 0x0800
_IP_IN_IP, _IGMP = 4, 2
_MAPPED = np.uint64(0xFFFF00000000)

# IP protocol numbers that the library has a name for; with any other the fixed tool gives up.
_NAMED = np.zeros(256, np.bool_)
_NAMED[:62] = _NAMED[[94, 103, 111, 118, 132, 133, 137]] = True
# Options that it knows; from the first other one on, it gives the header up.
_OPTIONS = np.zeros(32, np.bool_)
_OPTIONS[:22] = _OPTIONS[23:26] = True
_OPTIONS[[5, 6]] = False


def reread(frames: Frames, decoded: _Records, *, original: bool) -> _Records:
    """Return the packets that the tool makes of ``frames``.

    Args:
        frames: n captured frames.
        decoded: PACKET rows of the same frames by ``decode``.
        original: version 4.0; else the fixed one.

    Returns:
        PACKET rows; ``decoded`` itself where no frame is Ethernet.
    """
    if not np.any(frames.records["link_type"] == _ETHERNET):
        return decoded
    rows = np.zeros(2 * len(frames.records) + 1, PACKET)
    return rows[: int(_reread(frames.data, frames.records, rows, original))]


@kernel
def _reread(data: _Bytes, records: _Records, rows: _Records, original: bool) -> int:
    count, frame_bytes = 0, raw_pointer(data)
    for i in range(len(records)):
        record = records[i]
        at = min(max(signed(record["offset"]), 0), len(data))
        end = min(at + signed(record["captured"]), len(data))
        link_type = signed(record["link_type"])
        before = count
        if link_type == _ETHERNET:
            count += _read_frame(frame_bytes, at, end, rows[count], original)
        if link_type != _ETHERNET or not _is_ipv4(frame_bytes, at, end):
            reason = layers.decode_packet(frame_bytes, at, end, end, link_type, rows[count])
            count += reason >= 0
        for row in range(before, count):
            rows[row]["time_us"] = record["time_ns"] // 1000
            rows[row]["wire_bytes"], rows[row]["captured_bytes"] = record["wire"], end - at
    return count


@kernel
def _u8(data: _Bytes, at: int) -> int:
    return int(np.int64(data[at]))


@kernel
def _u16(data: _Bytes, at: int) -> int:
    return (_u8(data, at) << 8) | _u8(data, at + 1)


@kernel
def _u32(data: _Bytes, at: int) -> int:
    return (_u16(data, at) << 16) | _u16(data, at + 2)


@kernel
def _network(data: _Bytes, at: int, end: int) -> tuple[int, int, bool]:
    """Return the EtherType behind VLAN tags, the offset behind it, and whether there was a tag."""
    if end - at < 14:
        return 0, at, False
    kind, at, tagged = _u16(data, at + 12), at + 14, False
    while kind in (0x8100, 0x88A8, 0x9100) and end - at >= 4:
        kind, at, tagged = _u16(data, at + 2), at + 4, True
    return kind, at, tagged


@kernel
def _is_ipv4(data: _Bytes, at: int, end: int) -> bool:
    return _network(data, at, end)[0] == _IPV4


@kernel
def _read_frame(data: _Bytes, at: int, end: int, row: _Record, original: bool) -> int:
    """Return the number of rows made of an Ethernet frame: 0 or 1."""
    kind, ip, tagged = _network(data, at, end)
    if kind == _IPV4 and _read_ip(data, ip, end, row, original):
        _read_transport(data, ip, _trimmed(data, ip, end, tagged, original), row, original)
        return 1
    if 0 < kind < 0x600:
        return 0  # IEEE 802.3 with SNAP: left to ``decode``
    # Tried as L2TP, and so as IPv4 without a link layer.
    if not _read_ip(data, at, end, row, original) or _is_lost(data, at, end, row, original):
        return 0
    _read_transport(data, at, end, row, original)
    return 1


@kernel
def _is_lost(data: _Bytes, ip: int, end: int, row: _Record, original: bool) -> bool:
    """Return whether a fragment ends inside its header; version 4.0 skips the last fragment.

    Not as long as no more is missing than an Ethernet header: an ARP reply of 42 bytes, without
    padding, that claims a header of 56 is a packet.
    """
    more = _u8(data, ip + 6) & 0x20
    is_cut = ip + (_u8(data, ip) & 15) * 4 > end + _LINK_HEADER
    return bool(row["fragment"] and is_cut and (more or not original))


@kernel
def _trimmed(data: _Bytes, ip: int, end: int, tagged: bool, original: bool) -> int:
    """Return the packet's end: padding is cut only right behind an untagged Ethernet header."""
    total = _u16(data, ip + 2)
    if tagged or (total == 0 and not original):
        return end
    return min(end, ip + total)


@kernel
def _read_ip(data: _Bytes, ip: int, end: int, row: _Record, original: bool) -> bool:
    """Read addresses and protocol; False where the tool finds no IPv4 header, or fails over it."""
    if end - ip < 20 or not _has_readable_header(data, ip, end):
        return False
    row["protocol"], row["ttl"] = _u8(data, ip + 9), _u8(data, ip + 8)
    row["ip_version"], row["ip_bytes"] = 4, _u16(data, ip + 2)
    row["src_high"] = row["dst_high"] = 0
    row["src_low"] = _MAPPED | np.uint64(_u32(data, ip + 12))
    row["dst_low"] = _MAPPED | np.uint64(_u32(data, ip + 16))
    fragment = _u16(data, ip + 6)
    row["fragment"] = 2 if fragment & 0x1FFF else 1 if fragment & 0x2000 else 0
    row["vlan"] = 0
    _clear_transport(row)
    return bool(original or _NAMED[row["protocol"]])


@kernel
def _has_readable_header(data: _Bytes, ip: int, end: int) -> bool:
    """Twenty bytes or more, in which the options, however wrong, do not lead out of it."""
    size = min((_u8(data, ip) & 15) * 4, end - ip)
    if size < 20:
        return False
    at = 20
    while at < size:
        option = _u8(data, ip + at) & 31
        if option == 0 or not _OPTIONS[option]:
            return True
        if option != 1:  # all but "no operation" have a length
            if at + 1 >= size:
                return False
            at += _u8(data, ip + at + 1)
        at += 1
    return True


@kernel
def _clear_transport(row: _Record) -> None:
    row["src_port"] = row["dst_port"] = row["flags"] = row["window"] = 0
    row["sequence"] = row["acknowledgement"] = 0
    row["icmp_type"] = row["icmp_code"] = 0
    row["header_bytes"] = row["payload_bytes"] = 0


@kernel
def _read_transport(data: _Bytes, ip: int, end: int, row: _Record, original: bool) -> None:
    """Read ports and sizes; an incomplete header makes it a packet of protocol 0."""
    protocol, at = signed(row["protocol"]), ip + (_u8(data, ip) & 15) * 4
    if row["fragment"] == 2:
        return
    if protocol == ICMP and end - at >= 4:
        row["icmp_type"], row["icmp_code"] = _u8(data, at), _u8(data, at + 1)
        if original and row["icmp_type"] in (3, 12):
            _read_quoted(data, at + 8, end, row)
    elif protocol == _IP_IN_IP:
        _read_quoted(data, at, end, row)
    elif _read_ports(data, at, end, row, protocol):
        return
    elif protocol != _IGMP:
        row["protocol"] = 0


@kernel
def _read_quoted(data: _Bytes, ip: int, end: int, row: _Record) -> None:
    """The TCP or UDP header behind an inner IPv4 header counts as the packet's own."""
    protocol = _IP_IN_IP
    while protocol == _IP_IN_IP:
        size = (_u8(data, ip) & 15) * 4 if end - ip >= 20 else 0
        if size == 0 or _u16(data, ip + 6) & 0x1FFF:
            return
        protocol = _u8(data, ip + 9)
        ip += size
    if _read_ports(data, ip, end, row, protocol):
        row["protocol"] = protocol


@kernel
def _read_ports(data: _Bytes, at: int, end: int, row: _Record, protocol: int) -> bool:
    """Read the TCP, UDP or SCTP header, if it is one and complete."""
    header = 20 if protocol == TCP else 8 if protocol == UDP else 12
    if protocol not in (TCP, UDP, SCTP) or end - at < header:
        return False
    if protocol == TCP:
        header = min((_u8(data, at + 12) >> 4) * 4, end - at)
        if header == 0:
            return False
        row["sequence"], row["acknowledgement"] = _u32(data, at + 4), _u32(data, at + 8)
        row["flags"], row["window"] = _u8(data, at + 13), _u16(data, at + 14)
    row["src_port"], row["dst_port"] = _u16(data, at), _u16(data, at + 2)
    row["header_bytes"], row["payload_bytes"] = header, end - at - header
    return True
