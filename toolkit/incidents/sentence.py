"""Say in a sentence what an incident is: who did what to whom, how often, and what is usual.

It is plain text: a character that a terminal obeys becomes an escape, and a long name of the
network is cut. For a page it is escaped as any other text is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from idskit.incidents.incident import FLOWS, SUSPECTED, Evidence, Incident
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
_HOST_FLOWS = 64  # of a host, in which the engine counts what it did within 10 s
_LEAST_PORTS = 3  # of one host, from which on its ports are what was probed
_MEASURED = r"/|%|byte|share|rate|nats|^([mu]?s|min|h)$"  # units of what is no count


@dataclass(frozen=True, kw_only=True)
class _Deed:
    """What attacks of a family do, as a sentence: with the flows, and with a count of it.

    Its blanks are the hosts ``by`` and ``to``, ``over`` the service, ``many`` things, and their
    time ``when``.
    """

    plain: str
    counted: str = ""
    counts: str = ""  # pattern of the names of evidence that counts it
    one: str = ""
    several: str = ""
    least: int = 1  # fewer are not what it is about
    shows: str = ""  # words in the name of evidence that is worth showing


_SCAN = _Deed(
    plain="{by} scanned {to}{over} with {many}{when}",
    counted="{by} probed {many} of {to}{when}",
    counts=r"\b(ports?|services)\b",
    one="port",
    several="ports",
    least=_LEAST_PORTS,
    shows="failed",
)
_SWEEP = "{by} probed {many}{over}{when}"
_DEEDS = {
    "scan": _SCAN,
    "guessing": _Deed(
        plain="{by} tried to guess a password of {to}{over} with {many}{when}",
        counted="{by} tried {many} on {to}{over}{when}",
        counts=r"passwords?|log-?ins?|guess|\btries\b|attempts?|credentials?",
        one="password",
        several="passwords",
        shows="login",
    ),
    "flood": _Deed(
        plain="{by} flooded {to}{over} with {many}{when}",
        counted="{by} flooded {to}{over} with {many}{when}",
        counts=r"\bpackets?\b",
        one="packet",
        several="packets",
        shows="to the target",
    ),
    "amplification": _Deed(
        plain="{by} flooded {to} with answers to forged requests{over}, in {many}{when}",
        counted="{by} flooded {to} with {many} to forged requests{over}{when}",
        counts=r"\b(answers?|repl(y|ies)|responses?)\b",
        one="answer",
        several="answers",
        shows="to the target",
    ),
    "web": _Deed(
        plain="{by} attacked a web application of {to}{over} with {many}{when}",
        counted="{by} attacked a web application of {to}{over} with {many}{when}",
        counts=r"\brequests?\b",
        one="request",
        several="requests",
    ),
    "malware": _Deed(
        plain="{to} called {by}{over} in {many}{when}, as malware calls its controller",
        counted="{to} called {by} {many}{over}{when}, as malware calls its controller",
        counts=r"^(contacts?|calls?|beacons?)\b",
        one="time",
        several="times",
        shows="interval",
    ),
    "tunnel": _Deed(
        plain="{to} sent data to {by} through a hidden channel{over} in {many}{when}",
        counted="{to} sent data to {by} hidden in {many}{over}{when}",
        counts=r"\bquer(y|ies)\b",
        one="query",
        several="queries",
    ),
    "spoofing": _Deed(
        plain="{by} claimed the address of {to} by ARP{when}, to get what is sent there",
        shows="claims",
    ),
    "lateral": _Deed(
        plain="{by} tried to take over {to}{over} with {many}{when}",
        counted="{by} tried {many} to take over {to}{over}{when}",
        counts=r"\b(tries|attempts?|exploits?)\b",
        one="time",
        several="times",
    ),
}
_UNKNOWN = _Deed(plain="{by} sent {to} what is not usual{over}, in {many}{when}")
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
    deed = _DEEDS.get(incident.family, _UNKNOWN)
    evidence = _counting(deed, incident)
    if incident.family == "blind":
        return f"{_BLIND}.{_shown(deed, incident.evidence)}"
    if evidence is not None:
        many = _least(evidence) + _number(evidence.value, deed.one, deed.several)
        when = _window(evidence) or _lasting(incident)
        usual = "" if evidence.usual is None else f"; usual here: {_plain(evidence.usual)}"
        return f"{_filled(deed.counted, incident, many, when)}{usual}."
    if deed is _SCAN and incident.targets > 1:
        plain, many = _SWEEP, _number(incident.targets, "address", "addresses")
    else:
        plain, many = deed.plain, _number(incident.flows, "flow", "flows")
    text = _filled(plain, incident, many, _lasting(incident))
    return f"{text}.{_shown(deed, incident.evidence)}"


def _filled(blanks: str, incident: Incident, many: str, when: str) -> str:
    return _upper(
        blanks.format(
            by=_host(incident, incident.attacker, incident.attackers),
            to=_host(incident, incident.target, incident.targets),
            over=_over(incident.services),
            many=many,
            when=when,
        )
    )


def _counting(deed: _Deed, incident: Incident) -> Evidence | None:
    """Return the first evidence that counts what a family does; none for ports of many hosts."""
    if not deed.counts or (deed is _SCAN and incident.targets > 1):
        return None
    fitting = (
        found
        for found in incident.evidence
        if re.search(deed.counts, found.name, re.IGNORECASE) and _is_count(found, deed.least)
    )
    return next(fitting, None)


def _is_count(evidence: Evidence, least: int) -> bool:
    """Return whether evidence is a number of things, not a share, a rate or a length."""
    return least <= evidence.value < float("inf") and not re.search(_MEASURED, evidence.unit)


def _window(evidence: Evidence) -> str:
    """Return the time that evidence was counted in, as its unit names it: " in 60 s"."""
    found = re.fullmatch(r"(?:[a-z]+ )?in ([0-9.,]+ [a-z]+)", evidence.unit)
    return f" in {found[1]}" if found else ""


def _lasting(incident: Incident) -> str:
    """Return how long an incident has lasted; nothing for a moment, or where clocks disagree."""
    seconds = (incident.updated_us - incident.started_us) / 1e6
    return f" in {_span(seconds)}" if seconds >= 0.001 else ""


def _span(seconds: float) -> str:
    """Return a time in the unit that suits it: 20 ms, 41 s, 10 min, 3 h, 2 days."""
    if seconds < 1:
        return f"{1000 * seconds:,.0f} ms"
    fitting = (unit for unit in _UNITS if seconds < unit[2])
    name, size, _ = next(fitting, _UNITS[-1])
    return f"{seconds / size:,.{1 if seconds / size < 10 else 0}f} {name}".replace(".0 ", " ")


def _host(incident: Incident, address: str | None, count: int) -> str:
    if address is None:
        return "an unknown host" if count <= 1 else f"{count:,} unknown hosts"
    named = incident.device_name and address == incident.device
    name = f"{_safe(address)} ({_safe(incident.device_name)})" if named else _safe(address)
    return name if count <= 1 else f"{count:,} hosts ({name} the busiest)"


def _over(services: tuple[str, ...]) -> str:
    """Return what was attacked, the busiest first: " over SSH", " over SSH, HTTP and 3 more"."""
    names = list(dict.fromkeys(_SERVICES.get(service, _safe(service)) for service in services))
    shown, more = names[:_SERVICES_NAMED], len(names) - _SERVICES_NAMED
    shown += [f"{more} more"] if more > 0 else []
    listed = " and ".join(filter(None, (", ".join(shown[:-1]), *shown[-1:])))
    return f" over {listed}" if listed else ""


def _shown(deed: _Deed, found: tuple[Evidence, ...]) -> str:
    """Return evidence as a sentence of its own; nothing where there is none."""
    said = (one for one in found if one.name != SUSPECTED)  # the sentence before says how many
    known = (one for one in said if one.value > 1 or one.usual is not None or one.unit == FLOWS)
    evidence = next((one for one in known if deed.shows in one.name), None)
    if evidence is None:
        return ""
    is_time = evidence.unit == "us"
    unit = "" if is_time else f" {evidence.counted_in}"
    value, usual = (
        "" if number is None else _span(number / 1e6) if is_time else _plain(number)
        for number in (evidence.value, evidence.usual)
    )
    usual = usual and f", usual here {usual}"
    text = f"{evidence.name}: {_least(evidence)}{value}{unit}{usual}"
    return f" {_upper(cut(text, 3 * _LONGEST))}."


def _least(evidence: Evidence) -> str:
    """Return whether more than was counted may have been there."""
    is_full = evidence.value == _HOST_FLOWS and evidence.unit == "in 10 s"
    return "at least " if is_full else ""


def _number(value: float, one: str, several: str) -> str:
    return f"1 {one}" if round(value) == 1 else f"{round(value):,} {several}"


def _plain(value: float) -> str:
    """Return a number as people write it: 1,000, 0.25, 0."""
    whole = float(value).is_integer() or 10 <= abs(value) < float("inf")
    return f"{value:,.0f}" if whole else f"{value:,.3g}"


def _safe(name: object) -> str:
    return cut(name, _LONGEST)


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
