"""Alerts, and their lines in Suricata's EVE format.

Source of the field names and their meaning: docs.suricata.io, "Eve JSON Format". Categories and
severities are those of Suricata's classification.config (1 is worst).
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import numpy as np

from idskit.detect.community_id import community_id
from idskit.flows.packet import ICMP, ICMPV6, SCTP, TCP, UDP

GENERATOR_ID = 7_411  # of its own: 1 belongs to the rules of Suricata and Snort
FIRST_SIGNATURE_ID = 1_000_000  # up to 1,999,999 is the range left for local use
REVISION = 1
PROTOCOLS = {ICMP: "ICMP", TCP: "TCP", UDP: "UDP", ICMPV6: "IPv6-ICMP", SCTP: "SCTP"}

# What an attack's name says about its kind, first match wins.
_KINDS = tuple(
    (re.compile(pattern, re.IGNORECASE), category, severity)
    for pattern, category, severity in (
        ("dos|flood|amplif|reflect|smurf|neptune", "Attempted Denial of Service", 2),
        ("mirai|bot|trojan|malware|worm|backdoor", "A Network Trojan was detected", 1),
        ("c2|c&c|command|beacon", "Malware Command and Control Activity Detected", 1),
        ("guess|brute|password|r2l", "Attempted User Privilege Gain", 1),
        ("u2r|root", "Attempted Administrator Privilege Gain", 1),
        ("web|sql|xss|exploit|inject", "Web Application Attack", 1),
        ("exfil|leak", "Large Scale Information Leak", 2),
        ("scan|sweep|probe|recon", "Detection of a Network Scan", 3),
    )
)
_UNKNOWN_KIND = ("Misc Attack", 2)
UNKNOWN_END = 255  # in a record of which nobody wrote down how it ended
_ENCODE = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# What an alert keeps of a flow as it stands in its record or in a table's row.
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
    """Who spoke with whom, when and how much; the source is who sent the first packet.

    Ports are 0 where the protocol has none; the ICMP fields are None where it is not ICMP, or where
    nobody wrote them down.
    """

    src: Address
    dst: Address
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
    end: str | None = None  # one of ENDS: why it was judged then, None where nobody knows

    @classmethod
    def from_record(cls, record: np.void) -> Flow:
        """Read one row of ``FlowBatch.flows``."""
        # one conversion of the whole record is many times faster than one a field
        fields = dict(zip(record.dtype.names or (), record.item(), strict=True))
        is_icmp = fields["icmp_type"] >= 0
        return cls(
            src=_address(fields["src_high"], fields["src_low"]),
            dst=_address(fields["dst_high"], fields["dst_low"]),
            icmp_type=fields["icmp_type"] if is_icmp else None,
            icmp_code=fields["icmp_code"] if is_icmp else None,
            end=_end_named(fields["end"]),
            **{name: fields[name] for name in FLOW_NUMBERS},
        )

    @cached_property
    def community_id(self) -> str | None:
        """Community ID version 1, the same for both directions and in other tools.

        None for ICMP of unknown type.
        """
        first, second = self.src_port, self.dst_port
        if self.protocol in (ICMP, ICMPV6):
            if self.icmp_type is None or self.icmp_code is None:
                return None
            first, second = self.icmp_type, self.icmp_code
        return community_id(self.src.packed, self.dst.packed, self.protocol, first, second)

    @property
    def flow_id(self) -> int:
        """Number of this flow, the same whenever the capture is read again.

        51 bits, as Suricata's: JSON readers that know only doubles keep every digit.
        """
        ends = self.src, self.src_port, self.dst, self.dst_port, self.protocol, self.start_us
        return int.from_bytes(hashlib.blake2b(repr(ends).encode(), digest_size=8).digest()) >> 13

    def to_head(self) -> dict[str, Any]:
        """The part of an EVE line that all event types share, without time and type."""
        ends: dict[str, Any] = {"src_ip": str(self.src), "dest_ip": str(self.dst)}
        if self.icmp_type is not None:
            ends |= {"icmp_type": self.icmp_type, "icmp_code": self.icmp_code}
        elif self.protocol in (TCP, UDP, SCTP):
            ends |= {"src_port": self.src_port, "dest_port": self.dst_port}
        proto = PROTOCOLS.get(self.protocol, str(self.protocol))
        known = {} if self.community_id is None else {"community_id": self.community_id}
        return ends | {"proto": proto} | known

    def to_eve(self) -> dict[str, Any]:
        """The ``flow`` object of an EVE line; its age is in whole seconds."""
        return {
            "pkts_toserver": self.fwd_packets,
            "pkts_toclient": self.bwd_packets,
            "bytes_toserver": self.fwd_bytes,
            "bytes_toclient": self.bwd_bytes,
            "start": eve_time(self.start_us),
            "age": (self.end_us - self.start_us) // 1_000_000,
        }


@dataclass(frozen=True, kw_only=True)
class Alert:
    """One flow that the model takes for an attack.

    Example:
        >>> alert = Alert(
        ...     flow=None, row=4, label="port scan", score=0.98, threshold=0.5, model="3fa91c22d07e"
        ... )
        >>> alert.category, alert.severity
        ('Detection of a Network Scan', 3)
    """

    flow: Flow | None  # None for a row of a table that names no addresses
    row: int  # of the flow in its capture or table, from 0
    label: str  # the most probable class that is not the benign one
    score: float  # 1 - P(benign)
    threshold: float
    model: str  # first 12 hex digits of the model file's SHA-256

    @property
    def category(self) -> str:
        """Suricata's name for this kind of attack."""
        return _kind(self.label)[0]

    @property
    def severity(self) -> int:
        """Suricata's severity of this kind of attack: 1 is worst, 3 least."""
        return _kind(self.label)[1]

    @property
    def signature_id(self) -> int:
        """Number of the label, the same in every model."""
        return FIRST_SIGNATURE_ID + zlib.crc32(self.label.encode()) % FIRST_SIGNATURE_ID

    def to_eve(self) -> str:
        """One line of EVE JSON, without a line feed.

        A row without addresses has neither ``src_ip`` nor ``flow``, and no ``timestamp``: none of
        them is known.
        """
        event: dict[str, Any] = {"event_type": "alert"}
        if self.flow is not None:
            when = {"timestamp": eve_time(self.flow.end_us), "flow_id": self.flow.flow_id}
            event = when | event | self.flow.to_head()
        event["alert"] = {
            "action": "allowed",
            "gid": GENERATOR_ID,
            "signature_id": self.signature_id,
            "rev": REVISION,
            "signature": f"idskit {self.label}",
            "category": self.category,
            "severity": self.severity,
        }
        if self.flow is not None:
            event["flow"] = self.flow.to_eve()
        event["idskit"] = {
            "label": self.label,
            "score": round(self.score, 6),
            "threshold": self.threshold,
            "model": self.model,
            "row": self.row,
        }
        if self.flow is not None and self.flow.end is not None:
            event["idskit"]["end"] = self.flow.end
        return _ENCODE(event)


@lru_cache(maxsize=1 << 14)
def _address(high: int, low: int) -> Address:
    address = IPv6Address(high << 64 | low)
    return address.ipv4_mapped or address


def _end_named(end: int) -> str | None:
    from idskit.flows.table import ENDS  # with numba, which is there if records are

    return None if end == UNKNOWN_END else ENDS[end]


@lru_cache(maxsize=1 << 10)
def _kind(label: str) -> tuple[str, int]:
    """Category and severity of an attack, by its name."""
    kinds = ((c, s) for pattern, c, s in _KINDS if pattern.search(label))
    return next(kinds, _UNKNOWN_KIND)


def eve_time(time_us: int) -> str:
    """A time since the epoch as EVE writes it: ISO 8601 with microseconds, in UTC.

    Example:
        >>> eve_time(1_491_600_282_251_547)
        '2017-04-07T21:24:42.251547+0000'
    """
    moment = _EPOCH + timedelta(microseconds=time_us)
    return moment.isoformat(timespec="microseconds")[: -len("+00:00")] + "+0000"
