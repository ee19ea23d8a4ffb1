"""Find category, severity and attacking side of an attack by its name.

Categories and severities are those of Suricata's classification.config (1 is worst).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of attack."""

    category: str  # Suricata's name for it
    severity: int  # 1 is worst, 3 least
    by_source: bool = True  # whether the attacker opens the flow; else its target does


_TROJAN, _GUESSING = "A Network Trojan was detected", "Attempted User Privilege Gain"
# Families in IoT-23, CTU-13 and CICIoT2023, and kinds of malware.
_MALWARE = (
    "mirai|gafgyt|gagfyt|bashlite|okiru|torii|hajime|hakai|muhstik|kenjiro|ircbot|ransom|spyware"
)
_WEB, _DENIAL = "Web Application Attack", "Attempted Denial of Service"

# The first match counts. A name often has two parts ("Mirai-udpflood", "CommandInjection",
# "malware-c2"): more specific patterns come first.
_KINDS = tuple(
    (
        re.compile(pattern, re.IGNORECASE),
        Kind(category=category, severity=severity, by_source=by_source),
    )
    for pattern, category, severity, by_source in (
        # An infected device opens the flow, and the host that it calls is the attacker.
        (
            r"(?<![a-z\d])c(2|&c)(?![a-z\d])|command.?(and|&).?control|beacon",
            "Malware Command and Control Activity Detected",
            1,
            False,
        ),
        ("exfil|leak|theft|tunnel", "Large Scale Information Leak", 2, False),
        # The names of malware before what it does: "Okiru-DDoS" is of an infected device.
        (f"{_MALWARE}|(?<![a-z])bot|trojan|worm|backdoor|infiltration", _TROJAN, 1, True),
        ("xss|sql|inject|exploit|overflow|shellcode", _WEB, 1, True),
        ("guess|brute|passw|patator|r2l", _GUESSING, 1, True),
        ("dos|flood|amplif|reflect|smurf|neptune|slow.?(loris|http)", _DENIAL, 2, True),
        ("u2r|root|lateral", "Attempted Administrator Privilege Gain", 1, True),
        ("scan|sweep|probe|recon|nmap|satan", "Detection of a Network Scan", 3, True),
        ("web", _WEB, 1, True),
        # Unqualified, it is the family of C2 and exfiltration, as in the shipped model.
        ("malware", _TROJAN, 1, False),
    )
)
_UNKNOWN = Kind(category="Misc Attack", severity=2)


@lru_cache(maxsize=1 << 10)
def kind_of(label: str) -> Kind:
    """Find the kind of an attack by its name.

    Example:
        >>> kind_of("Mirai-udpflood").category
        'A Network Trojan was detected'
    """
    return next((kind for pattern, kind in _KINDS if pattern.search(label)), _UNKNOWN)
