"""Ethernet frames as the CICIoT2023 scripts see them: through the Python library dpkt.

What matters for the tables, read off dpkt 1.9.8 and seen in the scripts' output:

* Only frames whose EtherType itself is IPv4 or ARP make a row: IPv6 and VLAN-tagged frames do not.
* A frame is as long as what dpkt found in it: Ethernet padding behind IPv4 is left out, padding
  behind ARP is not. Inside an ICMP error or GRE, what follows the inner packet's own end is left
  out. Not followed: dpkt loses a byte of PPP in GRE, and misreads broken SCTP and VRRP.
* A transport header that does not fit leaves an IP packet that is neither TCP nor UDP.
* Over a broken IPv4 header the scripts die; here the frame makes no row, and ``decode`` counts it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from idskit.kernels.compile import kernel, raw_pointer, signed
from idskit.packet import ICMP, PACKET, TCP, UDP, Frames

_Bytes = NDArray[np.uint8]
_Record = np.void
_Records = NDArray[np.void]

# What a row is, in its field ip_version.
IPV4, ARP, NO_ROW = 4, 0, 1

_ETHERNET = 1
_GRE = 47
_MAPPED = np.uint64(0xFFFF00000000)  # ::ffff:0:0/96, RFC 4291, 2.5.5.2
_QUOTES = (3, 4, 5, 11)  # ICMP types behind which dpkt looks for a quoted packet


def reread(frames: Frames) -> _Records:
    """Return one PACKET row per frame.

    ``ip_version`` says what it is: ``IPV4``, ``ARP``, or ``NO_ROW`` for a frame that only counts
    for the size of the capture. ``ip_bytes`` is the length that dpkt gives the whole frame,
    ``header_bytes`` is 0 unless it found a TCP or UDP header.
    """
    rows = np.zeros(len(frames.records), PACKET)
    _reread(frames.data, frames.records, rows)
    return rows


@kernel
def _reread(data: _Bytes, records: _Records, rows: _Records) -> None:
    frame_bytes = raw_pointer(data)
    for i in range(len(records)):
        record, row = records[i], rows[i]
        at = min(max(signed(record["offset"]), 0), len(data))
        end = min(at + signed(record["captured"]), len(data))
        row["time_us"] = record["time_ns"] // 1000
        row["wire_bytes"], row["captured_bytes"] = record["wire"], end - at
        row["ip_version"] = NO_ROW
        if signed(record["link_type"]) == _ETHERNET and end - at >= 14:
            _read_frame(frame_bytes, at, end, row)


@kernel
def _u16(data: _Bytes, at: int) -> int:
    return (signed(data[at]) << 8) | signed(data[at + 1])


@kernel
def _address(data: _Bytes, at: int) -> np.uint64:
    return _MAPPED | np.uint64((_u16(data, at) << 16) | _u16(data, at + 2))


@kernel
def _read_frame(data: _Bytes, at: int, end: int, row: _Record) -> None:
    kind = _u16(data, at + 12)
    if kind == 0x0806:
        _read_arp(data, at, end, row)
    elif kind == 0x0800 and end - at >= 34 and _header(data, at + 14) >= 20:
        _read_ipv4(data, at + 14, end, row)
        row["ip_bytes"] = _end(data, at + 14, end) - at


@kernel
def _read_arp(data: _Bytes, at: int, end: int, row: _Record) -> None:
    """Read addresses where the hardware is Ethernet and the protocol IPv4, RFC 826."""
    row["ip_version"] = ARP
    row["ip_bytes"] = end - at
    is_ipv4 = end - at >= 42 and _u16(data, at + 16) == 0x0800 and _u16(data, at + 18) == 0x0604
    row["src_low"] = _address(data, at + 28) if is_ipv4 else _MAPPED
    row["dst_low"] = _address(data, at + 38) if is_ipv4 else _MAPPED


@kernel
def _header(data: _Bytes, ip: int) -> int:
    return (signed(data[ip]) & 15) * 4


@kernel
def _own_end(data: _Bytes, ip: int, end: int) -> int:
    """Return where an IPv4 packet ends by its total length; 0 is left by segmentation offload."""
    total = _u16(data, ip + 2)
    if total == 0:
        return end
    return max(min(end, ip + total), min(end, ip + _header(data, ip)))


@kernel
def _end(data: _Bytes, ip: int, end: int) -> int:
    """Where dpkt sees the frame end: packets quoted in ICMP errors, or tunnelled, may cut it."""
    while end - ip >= 20 and _header(data, ip) >= 20:
        end = _own_end(data, ip, end)
        inner = _inner(data, ip, end)
        if inner < 0:
            return end
        ip = inner
    return end


@kernel
def _inner(data: _Bytes, ip: int, end: int) -> int:
    """Return the position of the IPv4 header inside this packet, or -1."""
    protocol, at = signed(data[ip + 9]), ip + _header(data, ip)
    if _u16(data, ip + 6) & 0x1FFF:
        return -1
    if protocol in (0, 4):
        return at
    if protocol == ICMP and end - at >= 8 and signed(data[at]) in _QUOTES:
        return at + 8
    return _inside_gre(data, at, end) if protocol == _GRE else -1


@kernel
def _inside_gre(data: _Bytes, at: int, end: int) -> int:
    """Return the position of the IPv4 header behind a GRE header (RFC 2890), or -1."""
    if end - at < 4 or _u16(data, at) & 0x4007:  # routing, or another version
        return -1
    kind, optional = _u16(data, at + 2), 0
    for present in (0x8000, 0x2000, 0x1000, 0x0080):  # checksum, key, sequence, acknowledgement
        optional += 4 * (_u16(data, at) & present != 0)
    at += 4 + optional
    if kind == 0x6558 and end - at >= 14:  # Ethernet
        kind, at = _u16(data, at + 12), at + 14
    return at if kind == 0x0800 else -1


@kernel
def _read_ipv4(data: _Bytes, ip: int, end: int, row: _Record) -> None:
    protocol, at = signed(data[ip + 9]), ip + _header(data, ip)
    end = _own_end(data, ip, end)
    row["ip_version"] = IPV4
    row["protocol"], row["ttl"] = protocol, data[ip + 8]
    row["src_low"], row["dst_low"] = _address(data, ip + 12), _address(data, ip + 16)
    if _u16(data, ip + 6) & 0x1FFF:
        return
    header = _transport_header(data, at, end, protocol)
    if header:
        row["src_port"], row["dst_port"] = _u16(data, at), _u16(data, at + 2)
        row["header_bytes"] = header
        row["flags"] = data[at + 13] if protocol == TCP else 0


@kernel
def _transport_header(data: _Bytes, at: int, end: int, protocol: int) -> int:
    """Return the bytes that the TCP or UDP header claims; 0 if none, or dpkt refuses it."""
    if protocol == UDP:
        return 8 if end - at >= 8 else 0
    if protocol != TCP or end - at < 20:
        return 0
    header = (signed(data[at + 12]) >> 4) * 4
    return header if header >= 20 else 0
