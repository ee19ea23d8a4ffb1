"""Decode frames: link layer, IP and transport headers, read into PACKET rows.

    frame ──> link (Ethernet, cooked, raw, ...) ──> IPv4, IPv6 ──> TCP, UDP, SCTP, ICMP ──> row

Every layer gets the position of its first byte and of the frame's end, compares the two before it
reads, and hands on a position that is not behind the end: no read can leave the frame. A frame
that is not an IP packet, or a broken one, is counted under one of ``SKIP_REASONS``, so frames
seen = packets decoded + frames skipped, exactly.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from idskit.decode.checksum import segment_checksum
from idskit.kernels.compile import kernel, raw_pointer, signed
from idskit.packet import FIN, ICMP, ICMPV6, RST, SCTP, SYN, TCP, UDP, Frames

SKIP_REASONS = (
    "link_type",  # a link type that is not decoded
    "truncated_link",  # the frame ends inside its link-layer header
    "arp",
    "not_ip",  # another network protocol: LLC, LLDP, PPPoE discovery, encrypted Wi-Fi, ...
    "truncated_ip",  # the frame ends inside the IP header or its extension headers
    "bad_ip_header",  # wrong version, or lengths that contradict each other
    "truncated_transport",  # the frame ends inside the transport header
    "bad_transport_header",  # the IP packet ends inside it, or its own length is too small
    "reassembled",  # a fragment: its datagram counts as one packet, see ``reassembly``
)
# A layer returns a negative reason instead of a version or protocol: SKIP_REASONS[r] is -1 - r.
_LINK_TYPE, _TRUNCATED_LINK, _ARP, _NOT_IP = -1, -2, -3, -4
_TRUNCATED_IP, _BAD_IP_HEADER, _TRUNCATED_TRANSPORT, _BAD_TRANSPORT_HEADER = -5, -6, -7, -8
TRUNCATED_IP, TRUNCATED_TRANSPORT, REASSEMBLED = _TRUNCATED_IP, _TRUNCATED_TRANSPORT, -9

_MAPPED = np.uint64(0xFFFF00000000)  # ::ffff:0:0/96, RFC 4291, 2.5.5.2
_WORD = np.uint64(32)

_Bytes = NDArray[np.uint8]
_Layer = tuple[int, int, int]


def decode(frames: Frames, out: NDArray[np.void], skipped: NDArray[np.int64]) -> int:
    """Decode ``frames`` into the first rows of ``out`` and count the others.

    Tunnels (GRE, IP in IP, VXLAN, ...) are not opened: the outer packet is what was on this link.
    ``payload_bytes`` is 0 where the protocol has no header known here (``header_bytes`` 0), as in
    CICFlowMeter; ``ip_bytes`` still tells the size of such a packet. It counts what was captured,
    and ``cut_bytes`` the rest: their sum does not depend on the snap length.

    Args:
        frames: n captured frames of any link type.
        out: (>= n,) PACKET, overwritten from row 0.
        skipped: (len(SKIP_REASONS),) int64, increased by one for each frame that is not decoded.

    Returns:
        How many rows of ``out`` were written; n minus this is what ``skipped`` grew by.

    Raises:
        ValueError: ``out`` or ``skipped`` is too short.
    """
    if len(out) < len(frames.records) or len(skipped) < len(SKIP_REASONS):
        raise ValueError(
            f"{len(frames.records)} frames need as many rows and {len(SKIP_REASONS)} counters, "
            f"but out has {len(out)} and skipped {len(skipped)}"
        )
    return int(_decode(frames.data, frames.records, out, skipped))


# Numbers in network byte order. The caller has compared ``at`` with the end of the frame.


@kernel
def read_u8(data: _Bytes, at: int) -> int:
    """Return the byte at ``at`` as a number."""
    return signed(data[at])


@kernel
def read_u16(data: _Bytes, at: int) -> int:
    """Return the two bytes at ``at`` as a number, the high byte first."""
    return (read_u8(data, at) << 8) | read_u8(data, at + 1)


@kernel
def read_u32(data: _Bytes, at: int) -> int:
    """Return the four bytes at ``at`` as a number, the highest byte first."""
    return (read_u16(data, at) << 16) | read_u16(data, at + 2)


@kernel
def _read_u64(data: _Bytes, at: int) -> np.uint64:
    return (np.uint64(read_u32(data, at)) << _WORD) | np.uint64(read_u32(data, at + 4))


# Link layers. They return IP version or reason, offset of the IP header, VLAN identifier + 1.


@kernel
def _ip_of_nibble(data: _Bytes, at: int, end: int, otherwise: int) -> int:
    """Return the IP version that the first four bits claim, where nothing else states it."""
    if at >= end:
        return _TRUNCATED_IP
    version = read_u8(data, at) >> 4
    return version if version in (4, 6) else otherwise


@kernel
def _mpls(data: _Bytes, at: int, end: int) -> tuple[int, int]:
    """Skip an MPLS label stack (RFC 3032); guess what follows it as routers do."""
    bottom = False
    while not bottom:
        if end - at < 4:
            return _TRUNCATED_LINK, at
        bottom = read_u8(data, at + 2) & 1 == 1
        at += 4
    return _ip_of_nibble(data, at, end, _NOT_IP), at


@kernel
def _ppp(data: _Bytes, at: int, end: int) -> tuple[int, int]:
    """Read the protocol field of PPP (RFC 1661): one byte if odd, else two."""
    if end - at < 2:
        return _TRUNCATED_LINK, at
    size = 1 if read_u8(data, at) & 1 else 2
    protocol = read_u8(data, at) if size == 1 else read_u16(data, at)
    version = 4 if protocol == 0x0021 else 6 if protocol == 0x0057 else _NOT_IP
    return version, at + size


@kernel
def _pppoe(data: _Bytes, at: int, end: int) -> tuple[int, int]:
    """Skip the six bytes of a PPPoE session header (RFC 2516), and read PPP."""
    if end - at < 6:
        return _TRUNCATED_LINK, at
    return _ppp(data, at + 6, end)


@kernel
def _is_snap(data: _Bytes, at: int, end: int) -> bool:
    """Return whether an EtherType follows behind IEEE 802.2 LLC and SNAP (RFC 1042)."""
    return end - at >= 8 and read_u32(data, at) == 0xAAAA0300 and read_u16(data, at + 4) == 0


@kernel
def _is_vlan(ethertype: int) -> bool:
    """Return whether an EtherType announces a VLAN tag."""
    return ethertype in (0x8100, 0x88A8, 0x9100)  # 802.1Q, 802.1ad, the older QinQ


@kernel
def _network(data: _Bytes, ethertype: int, at: int, end: int) -> _Layer:
    """Find what an EtherType announces, behind any VLAN tags and SNAP headers."""
    vlan = 0
    while ethertype <= 1500 or _is_vlan(ethertype):
        if ethertype <= 1500:  # it is a length (IEEE 802.3)
            if not _is_snap(data, at, end):
                return _NOT_IP, at, vlan
            at += 4
        elif end - at < 4:
            return _TRUNCATED_LINK, at, vlan
        elif vlan == 0:
            vlan = (read_u16(data, at) & 0xFFF) + 1
        ethertype = read_u16(data, at + 2)
        at += 4
    version, at = _ip_of_ethertype(data, ethertype, at, end)
    return version, at, vlan


@kernel
def _ip_of_ethertype(data: _Bytes, ethertype: int, at: int, end: int) -> tuple[int, int]:
    if ethertype == 0x0800:
        return 4, at
    if ethertype == 0x86DD:
        return 6, at
    if ethertype == 0x0806:
        return _ARP, at
    if ethertype in (0x8847, 0x8848):
        return _mpls(data, at, end)
    if ethertype == 0x8864:
        return _pppoe(data, at, end)
    return _NOT_IP, at


@kernel
def _framed(data: _Bytes, at: int, end: int, ethertype_at: int, header: int) -> _Layer:
    """Skip a link header of fixed size with an EtherType at a fixed offset."""
    if end - at < header:
        return _TRUNCATED_LINK, at, 0
    return _network(data, read_u16(data, at + ethertype_at), at + header, end)


@kernel
def _bsd_loopback(data: _Bytes, at: int, end: int) -> _Layer:
    """Read an address family in the byte order of whichever machine captured it."""
    if end - at < 4:
        return _TRUNCATED_LINK, at, 0
    family = read_u8(data, at) | read_u8(data, at + 3)  # one of the two is 0 in either order
    version = 4 if family == 2 else 6 if family in (10, 24, 28, 30) else _NOT_IP
    return version, at + 4, 0


@kernel
def _serial(data: _Bytes, at: int, end: int) -> _Layer:
    """Read PPP, with or without the two bytes of HDLC-like framing (RFC 1662)."""
    if end - at >= 2 and read_u16(data, at) == 0xFF03:
        at += 2
    version, at = _ppp(data, at, end)
    return version, at, 0


@kernel
def _wifi(data: _Bytes, at: int, end: int) -> _Layer:
    """Read an IEEE 802.11 data frame that is neither encrypted nor aggregated."""
    if end - at < 24:
        return _TRUNCATED_LINK, at, 0
    kind, flags = read_u8(data, at), read_u8(data, at + 1)
    if kind & 0x4F != 0x08 or flags & 0x40:  # other than data, or protected
        return _NOT_IP, at, 0
    header = 24 + 6 * (flags & 3 == 3) + (kind >> 7) * (2 + 4 * (flags >> 7))
    if not _is_snap(data, at + header, end):
        return _NOT_IP, at, 0
    return _network(data, read_u16(data, at + header + 6), at + header + 8, end)


@kernel
def _radiotap(data: _Bytes, at: int, end: int) -> _Layer:
    if end - at < 4:
        return _TRUNCATED_LINK, at, 0
    return _wifi(data, at + (read_u8(data, at + 2) | read_u8(data, at + 3) << 8), end)


@kernel
def decode_link(data: _Bytes, at: int, end: int, link_type: int) -> _Layer:
    """Return IP version (or a reason below 0), offset of the IP header and VLAN of a frame.

    Link types are those of the registry of tcpdump.org.
    """
    if link_type == 1:
        return _framed(data, at, end, 12, 14)
    if link_type in (12, 14, 101):
        return _ip_of_nibble(data, at, end, _BAD_IP_HEADER), at, 0
    if link_type == 113:
        return _framed(data, at, end, 14, 16)
    if link_type == 276:
        return _framed(data, at, end, 0, 20)
    return _rare_link(data, at, end, link_type)


@kernel
def _rare_link(data: _Bytes, at: int, end: int, link_type: int) -> _Layer:
    if link_type in (0, 108):
        return _bsd_loopback(data, at, end)
    if link_type in (228, 229):
        return 4 if link_type == 228 else 6, at, 0
    if link_type in (9, 50):
        return _serial(data, at, end)
    if link_type == 104:
        return _framed(data, at, end, 2, 4)
    if link_type in (105, 127):
        return _wifi(data, at, end) if link_type == 105 else _radiotap(data, at, end)
    return _LINK_TYPE, at, 0


# IP. It returns protocol or reason, offset of the transport header, end of the IP packet.


@kernel
def _ipv4(data: _Bytes, at: int, end: int, wire: int, row: np.void) -> _Layer:
    """Read an IPv4 header (RFC 791).

    Total length 0 is what segmentation offload leaves: the length is then that of the frame.
    """
    if end - at < 20:
        return _TRUNCATED_IP, at, end
    header, total = (read_u8(data, at) & 15) * 4, read_u16(data, at + 2)
    if total == 0:
        total = wire - at
    if read_u8(data, at) >> 4 != 4 or header < 20 or total < header:
        return _BAD_IP_HEADER, at, end
    if end - at < header:
        return _TRUNCATED_IP, at, end
    row["ip_version"] = 4
    row["ip_bytes"] = total
    row["ttl"] = read_u8(data, at + 8)
    row["src_high"] = row["dst_high"] = 0
    row["src_low"] = _MAPPED | np.uint64(read_u32(data, at + 12))
    row["dst_low"] = _MAPPED | np.uint64(read_u32(data, at + 16))
    fragment = read_u16(data, at + 6)  # 0x2000 more fragments, 0x1FFF offset
    row["fragment"] = 2 if fragment & 0x1FFF else 1 if fragment & 0x2000 else 0
    return read_u8(data, at + 9), at + header, at + total


@kernel
def _ipv6(data: _Bytes, at: int, end: int, wire: int, row: np.void) -> _Layer:
    """Read an IPv6 header (RFC 8200).

    Payload length 0 before a payload is a jumbogram or what segmentation offload leaves.
    """
    if end - at < 40:
        return _TRUNCATED_IP, at, end
    if read_u8(data, at) >> 4 != 6:
        return _BAD_IP_HEADER, at, end
    protocol, total = read_u8(data, at + 6), 40 + read_u16(data, at + 4)
    if total == 40 and protocol != 59:  # 59: no next header
        total = wire - at
    row["ip_version"] = 6
    row["ip_bytes"] = total
    row["ttl"] = read_u8(data, at + 7)
    row["src_high"], row["src_low"] = _read_u64(data, at + 8), _read_u64(data, at + 16)
    row["dst_high"], row["dst_low"] = _read_u64(data, at + 24), _read_u64(data, at + 32)
    row["fragment"] = 0
    ip_end = at + total
    protocol, at = walk_extensions(data, protocol, at + 40, end, ip_end, row)
    return protocol, at, ip_end


@kernel
def _is_extension(protocol: int) -> bool:
    """Return whether a protocol is an IPv6 extension header that is walked."""
    return protocol in (0, 43, 44, 51, 60)


@kernel
def walk_extensions(
    data: _Bytes, protocol: int, at: int, end: int, ip_end: int, row: np.void
) -> tuple[int, int]:
    """Walk the extension headers (RFC 8200, 4); return protocol or reason, and the end."""
    while _is_extension(protocol) and row["fragment"] != 2:
        if min(end, ip_end) - at < 8:
            return _cut(ip_end - at < 8, _BAD_IP_HEADER, _TRUNCATED_IP), at
        if protocol == 44:
            fragment = read_u16(data, at + 2)  # 13 bits of offset, two reserved, more fragments
            if row["fragment"] == 0:  # a first fragment stays one, whatever its bytes claim
                row["fragment"] = 2 if fragment >> 3 else fragment & 1
        size = extension_size(protocol, read_u8(data, at + 1))
        if min(end, ip_end) - at < size:
            return _cut(ip_end - at < size, _BAD_IP_HEADER, _TRUNCATED_IP), at
        protocol = read_u8(data, at)
        at += size
    return protocol, at


@kernel
def extension_size(protocol: int, length: int) -> int:
    """Return the bytes of an IPv6 extension header by its length field."""
    if protocol == 44:
        return 8
    return (length + 2) * 4 if protocol == 51 else (length + 1) * 8  # 51: RFC 4302, 2.2


@kernel
def _cut(bad: bool, bad_reason: int, truncated_reason: int) -> int:
    """Return the reason why a header does not fit: the packet is bad, or the capture cut it."""
    return bad_reason if bad else truncated_reason


# Transport.


@kernel
def _tcp(data: _Bytes, at: int, row: np.void) -> int:
    """Read a TCP header (RFC 9293, 3.1); return its size in bytes."""
    row["sequence"], row["acknowledgement"] = read_u32(data, at + 4), read_u32(data, at + 8)
    row["flags"] = read_u8(data, at + 13)
    row["window"] = read_u16(data, at + 14)
    return (read_u8(data, at + 12) >> 4) * 4


@kernel
def least_header_bytes(protocol: int) -> int:
    """Return the bytes of header that must be there, 0 for a protocol that is not read."""
    if protocol == TCP:
        return 20
    if protocol == UDP:
        return 8
    if protocol == SCTP:
        return 12
    return 4 if protocol in (ICMP, ICMPV6) else 0


@kernel
def fill_transport(
    data: _Bytes, protocol: int, at: int, end: int, ip_end: int, row: np.void
) -> int:
    """Fill the transport fields; return 0, or the reason why they cannot be filled.

    TCP options that the capture cut off do not matter: everything read here precedes them.
    """
    header = 0 if row["fragment"] == 2 else least_header_bytes(protocol)
    if min(end, ip_end) - at < header:
        return _cut(ip_end - at < header, _BAD_TRANSPORT_HEADER, _TRUNCATED_TRANSPORT)
    if header == 0:
        return 0
    if protocol in (ICMP, ICMPV6):
        row["icmp_type"], row["icmp_code"] = read_u8(data, at), read_u8(data, at + 1)
        row["payload_at"] = at + 8  # RFC 792: type, code, checksum, and four bytes by type
        row["payload_held"] = max(min(end, ip_end) - at - 8, 0)
        return 0
    row["src_port"], row["dst_port"] = read_u16(data, at), read_u16(data, at + 2)
    if protocol == TCP:
        header = _tcp(data, at, row)
        if header < 20 or ip_end - at < header:
            return _BAD_TRANSPORT_HEADER
    row["header_bytes"] = header
    row["payload_bytes"] = max(min(end, ip_end) - at - header, 0)
    row["cut_bytes"] = max(ip_end - at - header, 0) - row["payload_bytes"]
    row["payload_at"], row["payload_held"] = at + header, row["payload_bytes"]
    if row["flags"] & SYN:
        row["mss"] = _mss(data, at + 20, min(at + header, end))
    return 0


@kernel
def _mss(data: _Bytes, at: int, end: int) -> int:
    """Return the maximum segment size among TCP options (RFC 9293, 3.2), or 0."""
    while at + 4 <= end and data[at] != 0:
        if data[at] == 2:
            return read_u16(data, at + 2)
        at += 1 if data[at] == 1 else max(read_u8(data, at + 1), 2)
    return 0


@kernel
def clear_transport(row: np.void) -> None:
    """Clear the fields that the transport header fills."""
    row["src_port"] = row["dst_port"] = 0
    row["sequence"] = row["acknowledgement"] = 0
    row["flags"] = row["window"] = 0
    row["icmp_type"] = row["icmp_code"] = 0
    row["header_bytes"] = row["payload_bytes"] = row["cut_bytes"] = 0
    row["checksum"] = row["mss"] = row["gso_size"] = 0
    row["payload_at"] = row["payload_held"] = row["payload_kept"] = 0


@kernel
def decode_packet(data: _Bytes, at: int, end: int, wire: int, link_type: int, row: np.void) -> int:
    """Decode one frame into ``row``; return 0, or a reason with the row half-written.

    ``wire`` is where the frame ended on the wire: behind ``end`` where the capture cut it.
    """
    version, at, vlan = decode_link(data, at, end, link_type)
    if version < 0:
        return version
    ip = at
    if version == 4:
        protocol, at, ip_end = _ipv4(data, at, end, wire, row)
    else:
        protocol, at, ip_end = _ipv6(data, at, end, wire, row)
    if protocol < 0:
        return protocol
    clear_transport(row)
    row["vlan"] = vlan
    row["protocol"] = protocol
    reason = fill_transport(data, protocol, at, end, ip_end, row)
    if row["flags"] & (SYN | FIN | RST) and reason == 0 and row["fragment"] == 0:
        row["checksum"] = segment_checksum(data, ip, at, end, ip_end)
    return reason


@kernel
def segment_size(record: np.void, row: np.void) -> int:
    """Return the payload of each segment merged into a frame, as ``gso_size`` of PACKET.

    The size is unknown for a tunnel: the kernel merges the packets inside of it.
    """
    is_inside = record["gso_protocol"] and record["gso_protocol"] != row["protocol"]
    return 0 if is_inside else signed(record["gso_size"])


@kernel
def _decode(
    data: _Bytes, records: NDArray[np.void], out: NDArray[np.void], skipped: NDArray[np.int64]
) -> int:
    count = 0
    frame_bytes = raw_pointer(data)
    for i in range(len(records)):
        record, row = records[i], out[count]
        # A record may claim anything: offsets are limited to ``data``.
        at = min(max(signed(record["offset"]), 0), len(data))
        end = min(at + signed(record["captured"]), len(data))
        wire = max(at + signed(record["wire"]), end)
        reason = decode_packet(frame_bytes, at, end, wire, signed(record["link_type"]), row)
        if reason < 0:
            skipped[-1 - reason] += 1
            continue
        row["time_us"] = record["time_ns"] // 1000
        row["wire_bytes"], row["captured_bytes"] = record["wire"], record["captured"]
        if record["checksum"]:
            row["checksum"] = record["checksum"]
        row["gso_size"] = segment_size(record, row)
        count += 1
    return count
