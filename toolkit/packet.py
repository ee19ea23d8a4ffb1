"""The records that pass between the rooms of the flow engine: frames in, packets out.

capture ──> Frames (bytes as captured) ──> decode ──> PACKET records ──> flow table

Both are plain numpy arrays, so the same kernels walk a file's chunks and a ring's blocks in place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# One captured frame inside a byte buffer.
FRAME = np.dtype(
    [
        ("time_ns", "<i8"),  # since the epoch, as the capture says; not trusted to increase
        ("offset", "<i8"),  # of the first byte in the buffer
        ("captured", "<u4"),  # bytes present in the buffer
        ("wire", "<u4"),  # bytes on the wire
        ("link_type", "<u4"),  # LINKTYPE_ value (tcpdump.org registry), FCS bits removed
        ("checksum", "u1"),  # what the kernel says of it: UNKNOWN, RIGHT or OFFLOADED
        ("gso_protocol", "u1"),  # TCP or UDP whose segments the frame holds, 0 where it is one
        ("gso_size", "<u2"),  # payload of each of these segments, NOT_MERGED or 0: unknown
    ],
    align=True,
)

# One decoded IP packet. Numbers are in host byte order.
PACKET = np.dtype(
    [
        ("time_us", "<i8"),  # nanoseconds truncated
        (
            "src_high",
            "<u8",
        ),  # IPv6 as two big-endian words; IPv4 is mapped (::ffff:a.b.c.d)
        ("src_low", "<u8"),
        ("dst_high", "<u8"),
        ("dst_low", "<u8"),
        ("payload_at", "<i8"),  # offset of the payload's first byte in the buffer it lies in
        ("sequence", "<u4"),  # TCP, else 0
        ("acknowledgement", "<u4"),  # TCP, else 0
        ("wire_bytes", "<u4"),  # frame length on the wire
        ("captured_bytes", "<u4"),  # frame length in the capture
        ("ip_bytes", "<u4"),  # IP total length as the header says (IPv6: 40 + payload length)
        ("payload_bytes", "<u4"),  # captured, after the transport header, within the IP length
        ("cut_bytes", "<u4"),  # payload that the IP length counts and the capture lacks
        ("payload_held", "<u4"),  # bytes of the payload that lie in the buffer, also of ICMP
        ("src_port", "<u2"),  # TCP, UDP, SCTP, else 0
        ("dst_port", "<u2"),
        ("window", "<u2"),  # TCP, unscaled, else 0
        ("header_bytes", "<u2"),  # transport header: TCP data offset * 4, UDP 8, SCTP 12, else 0
        ("vlan", "<u2"),  # outermost tag's VLAN identifier plus one, 0 untagged
        # Of a datagram put together by ``reassembly``; frames that are no fragments have 0.
        ("fragments", "<u2"),  # frames that it came in
        ("tiny_fragments", "<u2"),  # of these, see ``datagrams.TINY_BYTES``
        ("overlapping_fragments", "<u2"),  # of these, those that contradict or overlap others
        ("incomplete", "u1"),  # 1: some never came; TCP flags and numbers are 0
        ("protocol", "u1"),  # IP protocol number after IPv6 extension headers
        ("ip_version", "u1"),  # 4 or 6
        ("flags", "u1"),  # TCP flag byte: CWR ECE URG ACK PSH RST SYN FIN from bit 7 to bit 0
        ("ttl", "u1"),  # time to live or hop limit
        ("fragment", "u1"),  # 0 whole, 1 first fragment, 2 later fragment (no transport header)
        ("icmp_type", "u1"),  # ICMP and ICMPv6, else 0
        ("icmp_code", "u1"),
        ("checksum", "u1"),  # of a TCP segment with SYN, FIN or RST: UNKNOWN, RIGHT, ...
        ("interface", "u1"),  # index of the interface that it came in by, 0 where there is one
        # The buffer: 0 that of the frame, 1 what was kept of a datagram that came in fragments.
        ("payload_kept", "u1"),
        ("mss", "<u2"),  # maximum segment size that a SYN announces, 0 where there is none
        ("gso_size", "<u2"),  # payload of each segment merged into it, NOT_MERGED or 0: unknown
    ],
    align=True,
)

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << bit for bit in range(8))  # RFC 9293, 3.1
UNKNOWN, RIGHT, WRONG, OFFLOADED = range(4)  # checksums
NOT_MERGED = 0xFFFF  # gso_size of a frame that the kernel knows to be one segment
ICMP, TCP, UDP, FRAGMENT, ICMPV6, SCTP = 1, 6, 17, 44, 58, 132  # IANA protocol numbers
# ICMP types of requests and their replies (``icmp``); here, where no compiler is needed to read it.
PAIRS = {
    ICMP: ((8, 0), (13, 14), (15, 16), (10, 9), (17, 18)),
    ICMPV6: ((128, 129), (130, 131), (133, 134), (135, 136), (139, 140), (144, 145)),
}


@dataclass(frozen=True, kw_only=True)
class Frames:
    """A run of captured frames: ``records`` is (n,) FRAME, its offsets point into ``data``.

    All of them came in by one interface; ``interface`` is its index, 0 where there is one.
    """

    data: NDArray[np.uint8]
    records: NDArray[np.void]
    interface: int = 0


MAX_INTERFACES = 16  # read at once
