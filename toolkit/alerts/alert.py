"""An alert: which flow, which attack, which score. ``eve.py`` writes it."""

from __future__ import annotations

import hashlib
import struct
import time
import zlib
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from ipaddress import IPv4Address, IPv6Address

import numpy as np

from idskit.alerts.attack_kinds import kind_of
from idskit.alerts.eve import UNKNOWN_ORIGIN, Origin, alert_line
from idskit.community_id import community_id
from idskit.flow import ENDS
from idskit.packet import ICMP, ICMPV6

FIRST_SIGNATURE_ID = 1_000_000  # the range up to 1,999,999 is reserved for local use
UNKNOWN_END = 255  # value of ``end`` in a record of unknown end
NO_ADDRESSES = 0  # value of ``ip_version`` in a record without addresses

# Fields of a flow that an alert copies from its record or from a table's row.
FLOW_NUMBERS = (
    "src_port",
    "dst_port",
    "protocol",
    "start_us",
    "end_us",
    "fwd_packets",
    "bwd_packets",
    "fwd_bytes",
    "bwd_bytes",
)

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, kw_only=True)
class Flow:
    """Both ends of a flow, its times and its traffic; the source is who sent the first packet.

    Ports are 0 where the protocol has none. The ICMP fields are None for other protocols. Addresses
    and ICMP fields are also None where the table that the flow was read from lacks them.
    """

    src: Address | None  # both addresses are known, or neither
    dst: Address | None
    src_port: int
    dst_port: int
    protocol: int
    icmp_type: int | None
    icmp_code: int | None
    start_us: int  # since the epoch
    end_us: int
    fwd_packets: int  # from src to dst
    bwd_packets: int
    fwd_bytes: int  # frames on the wire
    bwd_bytes: int
    end: str | None = None  # one of ENDS: why it was judged at that time; None if unknown
    vlan: int = 0  # identifier plus one, 0 untagged
    interface: int = 0  # index of the interface that it was read from

    @classmethod
    def from_record(cls, record: np.void) -> Flow:
        """Read one row of ``FlowBatch.flows``."""
        # converting the whole record at once is many times faster than field by field
        fields = dict(zip(record.dtype.names or (), record.item(), strict=True))
        is_icmp, is_known = fields["icmp_type"] >= 0, fields["ip_version"] != NO_ADDRESSES
        return cls(
            src=_address(fields["src_high"], fields["src_low"]) if is_known else None,
            dst=_address(fields["dst_high"], fields["dst_low"]) if is_known else None,
            icmp_type=fields["icmp_type"] if is_icmp else None,
            icmp_code=fields["icmp_code"] if is_icmp else None,
            end=_end_named(fields["end"]),
            vlan=fields["vlan"],
            interface=fields["interface"],
            **{name: fields[name] for name in FLOW_NUMBERS},
        )

    @property
    def ip_version(self) -> int | None:
        """Return 4 or 6; None without addresses. IPv6 addresses may be those of IPv4 hosts."""
        if self.src is None or self.dst is None:
            return None
        return max(self.src.version, self.dst.version)

    @cached_property
    def community_id(self) -> str | None:
        """Return the Community ID, version 1: the same for both directions and in other tools.

        None without addresses, and for ICMP of unknown type.
        """
        if self.src is None or self.dst is None:
            return None
        first, second = self.src_port, self.dst_port
        if self.protocol in (ICMP, ICMPV6):
            if self.icmp_type is None or self.icmp_code is None:
                return None
            first, second = self.icmp_type, self.icmp_code
        return community_id(self.src.packed, self.dst.packed, self.protocol, first, second)

    @cached_property
    def flow_id(self) -> int | None:
        """Return the number of this flow, the same wherever its packets are read again.

        It depends neither on the end nor on the direction, so an early line and a final one have
        the same. It has 51 bits, as Suricata's: JSON readers that know only doubles keep every
        digit. It is None without addresses.
        """
        if self.src is None or self.dst is None:
            return None
        ends = sorted([(self.src.packed, self.src_port), (self.dst.packed, self.dst_port)])
        text = b"".join(struct.pack("!16sH", *end) for end in ends)
        text += struct.pack("!BBq", self.ip_version, self.protocol, self.start_us)
        return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()) >> 13


@dataclass(frozen=True, kw_only=True)
class Alert:
    """One flow that the model judges to be an attack.

    Example:
        >>> alert = Alert(
        ...     flow=None, row=4, label="port scan", score=0.98, threshold=0.5, model="3fa91c22d07e"
        ... )
        >>> alert.category, alert.severity
        ('Detection of a Network Scan', 3)
    """

    flow: Flow | None  # None for a row of a table that does not state its flow
    row: int  # number of the flow in its capture or table, from 0
    label: str  # the most probable class that is not the benign one
    score: float  # 1 - P(benign)
    threshold: float
    model: str  # first 12 hex digits of the model file's SHA-256
    end_us: int | None = None  # last packet of a row without a flow, if the table states it
    judged_us: int = field(default_factory=lambda: time.time_ns() // 1000, compare=False)

    @property
    def category(self) -> str:
        """Return Suricata's name for this kind of attack."""
        return kind_of(self.label).category

    @property
    def severity(self) -> int:
        """Return Suricata's severity of this kind of attack: 1 is worst, 3 least.

        An EVE line has it in words, as ``signature_severity``: its own severity is always 3.
        """
        return kind_of(self.label).severity

    @property
    def by_source(self) -> bool:
        """Return whether the source attacks; it is the victim where malware calls home."""
        return kind_of(self.label).by_source

    @property
    def signature_id(self) -> int:
        """Return the number of the label, the same in every model."""
        return FIRST_SIGNATURE_ID + zlib.crc32(self.label.encode()) % FIRST_SIGNATURE_ID

    @property
    def time_us(self) -> int:
        """Return the time of the flow's last packet, or of the judgement where it is not known."""
        if self.flow is not None:
            return self.flow.end_us
        return self.judged_us if self.end_us is None else self.end_us

    @property
    def is_timed_by_judgement(self) -> bool:
        """Return whether the time of the flow's last packet is not known."""
        return self.flow is None and self.end_us is None

    def to_eve(self, origin: Origin = UNKNOWN_ORIGIN, *, withheld: int = 0) -> str:
        """Return one line of EVE JSON, without a line feed.

        Args:
            origin: the interface or file that the flow was read from.
            withheld: number of lines of this label that were withheld since its last one.
        """
        return alert_line(self, origin, withheld)


@lru_cache(maxsize=1 << 14)
def _address(high: int, low: int) -> Address:
    address = IPv6Address(high << 64 | low)
    return address.ipv4_mapped or address


def _end_named(end: int) -> str | None:
    return None if end == UNKNOWN_END else ENDS[end]
