"""Say in a sentence what an incident is: who did what to whom, how often, and what is usual.

It is plain text: a character that a terminal obeys becomes an escape, and a long name of the
network is cut. For a page it is escaped as any other text is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from idskit.incidents.incident import Evidence, Incident
from idskit.report.text import cut

_LONGEST = 60  # characters of a name from the network
_SERVICES_NAMED = 3
# What people call a service on its usual port.
_SERVICES = {
    "21/tcp": "FTP", "22/tcp": "SSH", "23/tcp": "Telnet", "25/tcp": "SMTP", "53/tcp": "DNS",
    "53/udp": "DNS", "67/udp": "DHCP", "80/tcp": "HTTP", "102/tcp": "S7", "110/tcp": "POP3",
    "123/udp": "NTP", "135/tcp": "RPC", "139/tcp": "SMB", "143/tcp": "IMAP", "161/udp": "SNMP",
    "389/tcp": "LDAP", "389/udp": "LDAP", "443/tcp": "HTTPS", "443/udp": "QUIC", "445/tcp": "SMB",
    "502/tcp": "Modbus", "554/tcp": "RTSP", "587/tcp": "SMTP", "853/tcp": "DNS over TLS",
    "993/tcp": "IMAP", "1433/tcp": "SQL Server", "1883/tcp": "MQTT", "1900/udp": "SSDP",
    "2323/tcp": "Telnet", "3306/tcp": "MySQL", "3389/tcp": "RDP", "5060/udp": "SIP",
    "5353/udp": "mDNS", "5432/tcp": "PostgreSQL", "5900/tcp": "VNC", "6379/tcp": "Redis",
    "8080/tcp": "HTTP", "8883/tcp": "MQTT", "11211/udp": "memcached", "47808/udp": "BACnet",
}  # fmt: skip
_UNITS = (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800), ("days", 86_400, float("inf")))


@dataclass(frozen=True, kw_only=True)
class _Deed:
    """What attacks of a family do: as a sentence with a count of it, and with the flows alone.

    Its blanks are the hosts ``by`` and ``to``; ``caller`` and ``called``, where the victim begins;
    ``over`` the service, ``many`` things in a time ``when``.
    """

    plain: str
    counted: str = ""
    counts: str = ""  # pattern of the names of evidence that counts it
    one: str = ""
    several: str = ""


_DEEDS = {
    "scan": (
        _Deed(
            plain="{by} scanned {to}{over} with {many}{when}",
            counted="{by} probed {many} of {to}{when}",
            counts=r"\bports?\b",
            one="port",
            several="ports",
        ),
        _Deed(
            plain="",
            counted="{by} probed {many}{over}{when}",
            counts=r"\b(hosts?|address(es)?|targets?|peers?)\b",
            one="address",
            several="addresses",
        ),
    ),
    "guessing": (
        _Deed(
            plain="{by} tried to guess a password of {to}{over} with {many}{when}",
            counted="{by} tried {many} on {to}{over}{when}",
            counts=r"passwords?|log-?ins?|guess|\btries\b|attempts?|credentials?",
            one="password",
            several="passwords",
        ),
    ),
    "flood": (
        _Deed(
            plain="{by} flooded {to}{over} with {many}{when}",
            counted="{by} flooded {to}{over} with {many}{when}",
            counts=r"\bpackets?\b",
            one="packet",
            several="packets",
        ),
    ),
    "amplification": (
        _Deed(
            plain="{by} flooded {to} with answers to forged requests{over}, in {many}{when}",
            counted="{by} flooded {to} with {many} to forged requests{over}{when}",
            counts=r"\b(answers?|repl(y|ies)|responses?)\b",
            one="answer",
            several="answers",
        ),
    ),
    "web": (
        _Deed(
            plain="{by} attacked a web application of {to}{over} with {many}{when}",
            counted="{by} attacked a web application of {to}{over} with {many}{when}",
            counts=r"\brequests?\b",
            one="request",
            several="requests",
        ),
    ),
    "malware": (
        _Deed(
            plain="{caller} called {called}{over} in {many}{when}, as malware calls its controller",
            counted="{caller} called {called} {many}{over}{when}, as malware calls its controller",
            counts=r"\b(contacts?|beacons?|calls?|repeats?)\b",
            one="time",
            several="times",
        ),
    ),
    "tunnel": (
        _Deed(
            plain="{caller} sent data to {called} through a hidden channel{over} in {many}{when}",
            counted="{caller} sent data to {called} hidden in {many}{over}{when}",
            counts=r"\b(quer(y|ies)|names?)\b",
            one="query",
            several="queries",
        ),
    ),
    "lateral": (
        _Deed(
            plain="{by} tried to take over {to}{over} with {many}{when}",
            counted="{by} tried {many} to take over {to}{over}{when}",
            counts=r"\b(tries|attempts?|exploits?)\b",
            one="time",
            several="times",
        ),
    ),
}
_UNKNOWN = (_Deed(plain="{by} sent {to} what is not usual{over}, in {many}{when}"),)
_BLIND = "The sensor is blind: attacks may pass unseen"


def sentence(incident: Incident) -> str:
    """Return what an incident is, in one sentence, or in two where its evidence needs its own.

    Example:
        >>> tried = Evidence(name="passwords", value=41, unit="in 60 s", usual=0)
        >>> sentence(Incident(
        ...     incident_id="1", type="new", family="guessing", technique="T1110", severity=1,
        ...     confidence=0.99, started_us=0, updated_us=60_000_000, attacker="192.168.1.23",
        ...     target="192.168.1.5", services=("22/tcp",), flows=41, evidence=(tried,)))
        '192.168.1.23 tried 41 passwords on 192.168.1.5 over SSH in 60 s; usual here: 0.'
    """
    if incident.family == "blind":
        return f"{_BLIND}.{_first_evidence(incident)}"
    deeds = _DEEDS.get(incident.family, _UNKNOWN)
    counted = _counted(deeds, incident.evidence)
    if counted is None:
        many = _number(incident.flows, "flow", "flows")
        text = deeds[0].plain.format(**_hosts(incident), many=many, when=_lasting(incident))
        return f"{_upper(text)}.{_first_evidence(incident)}"
    deed, evidence = counted
    many = _number(evidence.value, deed.one, deed.several)
    when = _window(evidence) or _lasting(incident)
    text = deed.counted.format(**_hosts(incident), many=many, when=when)
    usual = "" if evidence.usual is None else f"; usual here: {_plain(evidence.usual)}"
    return f"{_upper(text)}{usual}."


def _counted(
    deeds: tuple[_Deed, ...], found: tuple[Evidence, ...]
) -> tuple[_Deed, Evidence] | None:
    """Return the first evidence that counts what a family does, and how that is said."""
    fitting = (
        (deed, evidence)
        for evidence in found
        for deed in deeds
        if deed.counts
        and re.search(deed.counts, evidence.name, re.IGNORECASE)
        and _is_count(evidence, deed)
    )
    return next(fitting, None)


def _is_count(evidence: Evidence, deed: _Deed) -> bool:
    """Return whether evidence is a whole number of things, not a share, a rate or a length."""
    whole = evidence.value >= 1 and float(evidence.value).is_integer()
    return whole and (evidence.unit in ("", deed.one, deed.several) or bool(_window(evidence)))


def _window(evidence: Evidence) -> str:
    """Return the time that evidence was counted in, as its unit names it: " in 60 s"."""
    found = re.fullmatch(r"(?:[a-z]+ )?in ([0-9.,]+ [a-z]+)", evidence.unit)
    return f" in {found[1]}" if found else ""


def _lasting(incident: Incident) -> str:
    """Return how long an incident has lasted; nothing for a moment, or where clocks disagree."""
    seconds = (incident.updated_us - incident.started_us) / 1e6
    if seconds <= 0:
        return ""
    if seconds < 1:
        return " within a second"
    name, size, _ = next(unit for unit in _UNITS if seconds < unit[2])
    return f" in {seconds / size:,.0f} {name}"


def _hosts(incident: Incident) -> dict[str, str]:
    """Return the words for both sides, and for the service; a victim may be who calls."""
    by = _host(incident, incident.attacker, incident.attackers)
    to = _host(incident, incident.target, incident.targets)
    inside = incident.device is not None and incident.device == incident.attacker
    caller, called = (by, to) if inside else (to, by)
    return {
        "by": by,
        "to": to,
        "caller": caller,
        "called": called,
        "over": _over(incident.services),
    }


def _host(incident: Incident, address: str | None, count: int) -> str:
    if address is None:
        return "an unknown host" if count <= 1 else f"{count:,} unknown hosts"
    named = incident.device_name and address == incident.device
    name = f"{_safe(address)} ({_safe(incident.device_name)})" if named else _safe(address)
    return name if count <= 1 else f"{count:,} hosts ({name} first)"


def _over(services: tuple[str, ...]) -> str:
    """Return what was attacked, the busiest first: " over SSH", " over SSH, HTTP and 3 more"."""
    names = list(dict.fromkeys(_SERVICES.get(service, _safe(service)) for service in services))
    shown, more = names[:_SERVICES_NAMED], len(names) - _SERVICES_NAMED
    shown += [f"{more} more"] if more > 0 else []
    listed = " and ".join(filter(None, (", ".join(shown[:-1]), *shown[-1:])))
    return f" over {listed}" if listed else ""


def _first_evidence(incident: Incident) -> str:
    """Return the strongest evidence as a sentence of its own; nothing where there is none."""
    if not incident.evidence:
        return ""
    return f" {_upper(cut(incident.evidence[0], 3 * _LONGEST))}."


def _number(value: float, one: str, several: str) -> str:
    return f"1 {one}" if value == 1 else f"{_plain(value)} {several}"


def _plain(value: float) -> str:
    """Return a number as people write it: 1,000, 0.25, 0."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.3g}"


def _safe(name: object) -> str:
    return cut(name, _LONGEST)


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
