"""Write alerts in Suricata's EVE format, as its consumers read it and its schema allows.

Sources: docs.suricata.io, "Eve JSON Format", and Suricata's own schema of it, etc/schema.json.
``EVE.md`` in this folder lists every field.
"""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from idskit.alerts.protocol_names import protocol_name
from idskit.packet import SCTP, TCP, UDP

if TYPE_CHECKING:
    from idskit.alerts.alert import Alert, Flow

GENERATOR_ID = 7_411  # 1 belongs to the rules of Suricata and Snort
REVISION = 1
# CrowdSec bans a source for one alert of severity 1, and one flow is too little evidence.
LINE_SEVERITY = 3
SIGNATURE_SEVERITIES = {1: "Critical", 2: "Major", 3: "Minor"}  # as in the ET rules
_PORTS = (TCP, UDP, SCTP)
# Suricata's reason for the end of a flow, by ours; a flow judged before its end has none.
_REASONS = {
    "idle": "timeout",
    "age": "timeout",
    "close": "timeout",  # in Suricata, a closed flow ends after a time of silence
    "replaced": "tcp_reuse",
    "evicted": "forced",
    "capture_end": "shutdown",
}
_CLOSED = ("close", "replaced")
encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode  # one line of EVE
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The interfaces or the file that the packets of alerts come from."""

    interfaces: tuple[str, ...] = ()  # names by ``Flow.interface``; none for a file
    capture: str | None = None  # name of the file

    def to_eve(self, flow: Flow | None) -> dict[str, Any]:
        """Return ``in_iface`` or ``pcap_filename``, whichever is known.

        What is no single flow may be of all interfaces, so it names one only where there is one.
        """
        if flow is not None and flow.interface < len(self.interfaces):
            return {"in_iface": _valid(self.interfaces[flow.interface])}
        if flow is None and len(self.interfaces) == 1:
            return {"in_iface": _valid(self.interfaces[0])}
        return {} if self.capture is None else {"pcap_filename": _valid(self.capture)}


UNKNOWN_ORIGIN = Origin()


def alert_line(alert: Alert, origin: Origin, withheld: int) -> str:
    """Return an alert as one line, without a line feed."""
    flow = alert.flow
    event: dict[str, Any] = {"timestamp": eve_time(alert.time_us)}
    if flow is not None and flow.flow_id is not None:
        event["flow_id"] = flow.flow_id
    event |= origin.to_eve(flow) | {"event_type": "alert"}
    if flow is not None:
        event |= _head(flow)
    event |= {"host": host_name(), "alert": _alert(alert, withheld)}
    if flow is not None:
        event["flow"] = _flow(flow)
    return encode(event)


def stats_line(time_us: int, *, uptime_s: float, written: int, withheld: int) -> str:
    """Return the numbers of alerts, in the names that Suricata gives its own, as one line."""
    detected = {"alert": written, "alerts_suppressed": withheld}
    return encode(
        {
            "timestamp": eve_time(time_us),
            "event_type": "stats",
            "host": host_name(),
            "stats": {"uptime": int(uptime_s), "detect": detected},
        }
    )


def eve_time(time_us: int) -> str:
    """Return a time since the epoch as EVE writes it: ISO 8601 with microseconds, in UTC.

    Example:
        >>> eve_time(1_491_600_282_251_547)
        '2017-04-07T21:24:42.251547+0000'
    """
    moment = _EPOCH + timedelta(microseconds=time_us)
    return moment.isoformat(timespec="microseconds")[: -len("+00:00")] + "+0000"


def _head(flow: Flow) -> dict[str, Any]:
    """Return the fields that every event type has of its packet or flow."""
    head: dict[str, Any] = {} if not flow.vlan else {"vlan": [flow.vlan - 1]}
    head |= _named(_end(flow.src, flow.src_port, flow.protocol), "src_")
    head |= _named(_end(flow.dst, flow.dst_port, flow.protocol), "dest_")
    head["proto"] = protocol_name(flow.protocol)
    if flow.ip_version is not None:
        head["ip_v"] = flow.ip_version
    if flow.icmp_type is not None:
        head |= {"icmp_type": flow.icmp_type, "icmp_code": flow.icmp_code}
    if flow.community_id is not None:
        head["community_id"] = flow.community_id
    return head


def _end(address: object | None, port: int, protocol: int) -> dict[str, Any]:
    """Return one end of a flow, as far as it is known and the protocol has ports."""
    known = {} if address is None else {"ip": str(address)}
    return known | ({"port": port} if protocol in _PORTS else {})


def _named(end: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {prefix + name: value for name, value in end.items()}


def _alert(alert: Alert, withheld: int) -> dict[str, Any]:
    written: dict[str, Any] = {
        "action": "allowed",
        "gid": GENERATOR_ID,
        "signature_id": alert.signature_id,
        "rev": REVISION,
        "signature": f"idskit {alert.label}",
        "category": alert.category,
        "severity": LINE_SEVERITY,
        "metadata": {"signature_severity": [SIGNATURE_SEVERITIES[alert.severity]]},
    }
    return written | _attacker(alert) | {"context": {"idskit": _context(alert, withheld)}}


def _attacker(alert: Alert) -> dict[str, Any]:
    """Return the attacker (``source``) and the attacked (``target``), if addresses are known."""
    flow = alert.flow
    if flow is None or flow.src is None:
        return {}
    ends = [_end(flow.src, flow.src_port, flow.protocol)]
    ends.append(_end(flow.dst, flow.dst_port, flow.protocol))
    attacker, attacked = ends if alert.by_source else reversed(ends)
    return {"source": attacker, "target": attacked}


def _context(alert: Alert, withheld: int) -> dict[str, Any]:
    """Return the fields that are known to idskit only."""
    context: dict[str, Any] = {
        "label": alert.label,
        "score": round(alert.score, 6),
        "threshold": alert.threshold,
        "model": alert.model,
        "row": alert.row,
    }
    if alert.flow is not None and alert.flow.end is not None:
        context["end"] = alert.flow.end
    if alert.is_timed_by_judgement:
        context["timestamp"] = "judged"
    if withheld:
        context["withheld"] = withheld
    return context


def _flow(flow: Flow) -> dict[str, Any]:
    """Return the ``flow`` object: it ends with the last packet so far; its age is in seconds."""
    written: dict[str, Any] = {
        "pkts_toserver": flow.fwd_packets,
        "pkts_toclient": flow.bwd_packets,
        "bytes_toserver": flow.fwd_bytes,
        "bytes_toclient": flow.bwd_bytes,
        "start": eve_time(flow.start_us),
        "end": eve_time(flow.end_us),
        "age": max(0, flow.end_us - flow.start_us) // 1_000_000,  # a clock may be set back
        "state": _state(flow),
    }
    reason = _REASONS.get(flow.end or "")
    return written if reason is None else written | {"reason": reason}


def _state(flow: Flow) -> str:
    if flow.end in _CLOSED:
        return "closed"
    return "established" if flow.bwd_packets else "new"


def _valid(name: str | Path) -> str:
    """Return a file's name as valid text: bytes that are no UTF-8 are escaped."""
    return os.fsencode(name).decode(errors="backslashreplace")


@lru_cache(maxsize=1)
def host_name() -> str:
    """Return the name of this sensor as EVE writes it."""
    return _valid(socket.gethostname())
