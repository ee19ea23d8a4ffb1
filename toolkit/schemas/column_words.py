"""Columns in plain words, for people who do not know the names of features, as data."""

from __future__ import annotations

import re

_SIDES = {"src": "of the source", "dst": "of the destination", "pair": "of the two hosts"}
_ONE_SERVICE = ", one service"  # what beacons are counted by
_SPANS = {
    "2s": "in 2 s", "10s": "in 10 s", "64": "in its last 64 flows", "1m": "in about 1 min",
    "10m": "in about 10 min",
}  # fmt: skip
_COUNTS = {
    "flows": "flows",
    "peers": "peers",
    "services": "services in use",
    "src_ports": "client ports in use",
    "unanswered": "unanswered flows",
    "refused": "refused flows",
    "same_service": "flows for the same service",
    "payload_mean": "mean payload of flows",
    "span": "time of all flows",
    "failed": "failed flows",
    "new": "first contacts",
    "new_failed": "failed first contacts",
    "payload_variation": "variation of payloads",
    "interval_mean": "mean time from flow to flow",
    "interval_variation": "variation of the time from flow to flow",
    "intervals": "times from flow to flow",
}
_ENDS = {"min": "smallest", "max": "largest", "mean": "mean", "std": "standard deviation of"}
_THINGS = {
    "payload": "payload of a packet",
    "iat": "time from packet to packet",
    "header": "packet header",
    "active": "time of activity",
    "idle": "time of silence",
}
_WAYS = {"fwd": "forward", "bwd": "backward"}
_WHOLE = {
    "is_tcp": "TCP",
    "is_udp": "UDP",
    "is_icmp": "ICMP",
    "dst_port_class": "class of the destination port",
    "usual_port": "whether the protocol is on its usual port",
    "flow_duration": "duration",
    "down_up_ratio": "packets backward for each forward",
    "fwd_iat_total": "time from first to last packet, forward",
    "bwd_iat_total": "time from first to last packet, backward",
    "short_lived": "packets whose time to live ends early",
    "out_of_window": "packets outside the receiver's window",
    "before_open": "packets before the connection is open",
}
_FLAGS = "psh|urg|rst|fin|syn|ack|cwr|ece"
_ACRONYMS = (
    "icmp|dns|http|uri|tls|quic|ssh|sip|ssdp|sql|smb|smb1|smb2|ntlm|rpc|rc4|ldap|rdp|mqtt|snmp|ntp|"
    "dhcp"
)


def in_words(column: str) -> str:
    """Return a column in plain words; one that no rule knows with blanks in its name.

    Example:
        >>> in_words("dst_10m_new_failed"), in_words("fwd_iat_max"), in_words("fwd_path_words")
        ('failed first contacts of the destination in about 10 min',
        'largest time from packet to packet, forward', 'path words, forward')
    """
    if column in _WHOLE:
        return _WHOLE[column]
    return _of_hosts(column) or _of_packets(column)


def _of_hosts(column: str) -> str:
    """Return a column of what hosts did before; nothing for another column."""
    side, _, rest = column.partition("_")
    span, _, count = rest.partition("_")
    if side in _SIDES and span in _SPANS and count in _COUNTS:
        return f"{_COUNTS[count]} {_SIDES[side]} {_SPANS[span]}"
    if side in ("pair", "beacon") and rest in _COUNTS:
        return f"{_COUNTS[rest]} {_SIDES['pair']}{_ONE_SERVICE * (side == 'beacon')}"
    return ""


def _of_packets(column: str) -> str:
    """Return a column of the packets of one flow."""
    way, _, rest = column.partition("_")
    name = rest if way in (*_WAYS, "flow") else column
    found = re.fullmatch(rf"({'|'.join(_THINGS)})_({'|'.join(_ENDS)})", name)
    words = f"{_ENDS[found[2]]} {_THINGS[found[1]]}" if found else _spelled(name)
    return f"{words}, {_WAYS[way]}" if way in _WAYS else words


def _spelled(name: str) -> str:
    """Return a name with blanks, and with flags and protocols in capitals."""
    words = re.sub(rf"^({_FLAGS})(_count)?$", r"packets with flag \1", name).split("_")
    text = " ".join(words)
    return re.sub(rf"\b({_FLAGS}|{_ACRONYMS})\b", lambda found: found[0].upper(), text)
