"""What an operator needs to know of a family of attacks, and which end of a flow attacks.

Techniques are those of MITRE ATT&CK (enterprise, version 15).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from idskit.attack_families import UNKNOWN
from idskit.local_network import are_local
from idskit.packet import ICMP, ICMPV6, TCP, UDP

HIGH, MEDIUM = 1, 2
BLIND = "blind"  # no attack: the sensor sees nothing
SPOOFING = "spoofing"  # of addresses, which no flow shows
_REGISTERED = 1024  # ports below are those of services (RFC 6335)
_WITHOUT_LOGIN = (53, 123)
_ANSWERS = {ICMP: (0, 3, 11), ICMPV6: (1, 3, 129)}  # types that answer somebody else's packet
# Ports of services that answer many bytes to few (CISA alert TA14-017A, and Memcached's).
_AMPLIFIERS = frozenset(
    (17, 19, 53, 69, 111, 123, 137, 161, 389, 427, 520, 1900, 3283, 3702, 5353, 11211, 27015)
)


@dataclass(frozen=True, kw_only=True)
class FamilyFacts:
    """What is known of every incident of a family."""

    technique: str
    severity: int
    # Whether the device that was taken over opens the flow, so that its peer is the attacker.
    from_inside: bool = False
    # Whether many sources of it on one target are one attack.
    from_many: bool = False


FAMILY_FACTS = {
    "scan": FamilyFacts(technique="T1046", severity=MEDIUM, from_many=True),
    "guessing": FamilyFacts(technique="T1110", severity=HIGH, from_many=True),
    "flood": FamilyFacts(technique="T1498.001", severity=MEDIUM, from_many=True),
    "amplification": FamilyFacts(technique="T1498.002", severity=MEDIUM, from_many=True),
    "web": FamilyFacts(technique="T1190", severity=HIGH),
    "lateral": FamilyFacts(technique="T1210", severity=HIGH),
    "malware": FamilyFacts(technique="T1071", severity=HIGH, from_inside=True),
    "tunnel": FamilyFacts(technique="T1048", severity=HIGH, from_inside=True),
    UNKNOWN: FamilyFacts(technique="T1190", severity=MEDIUM, from_many=True),
    BLIND: FamilyFacts(technique="T1562", severity=HIGH),
    SPOOFING: FamilyFacts(technique="T1557.002", severity=HIGH),
}


class FlowEnds(NamedTuple):
    """The fields of a flow that say who attacks whom; addresses are numbers, 0 if unknown."""

    src: int
    dst: int
    src_is_local: bool
    dst_is_local: bool
    src_port: int
    dst_port: int
    protocol: int
    icmp_type: int
    fwd_bytes: int
    bwd_bytes: int


_COPIED = ("src_port", "dst_port", "protocol", "icmp_type", "fwd_bytes", "bwd_bytes")


def ends_of(flows: NDArray[np.void]) -> list[FlowEnds]:
    """Return the ends of (n,) FLOW records."""
    words = [flows[f"{end}_{part}"].tolist() for end in ("src", "dst") for part in ("high", "low")]
    copied = [flows[name].tolist() for name in _COPIED]
    return [
        FlowEnds(src_high << 64 | src_low, dst_high << 64 | dst_low, *local, *rest)
        for src_high, src_low, dst_high, dst_low, local, *rest in zip(
            *words, are_local(flows).tolist(), *copied, strict=True
        )
    ]


def is_attacked_by_source(family: str, ends: FlowEnds) -> bool:
    """Return whether the source of a flow is the attacker, and its destination the target."""
    if FAMILY_FACTS[family].from_inside:
        return ends.dst_is_local and not ends.src_is_local
    if ends.icmp_type in _ANSWERS.get(ends.protocol, ()):
        return False  # the target answers: its packets are all that was seen of the attack
    if family == "amplification" and ends.protocol != TCP:
        # At the reflector the target seems to ask, and gets more than it sent.
        asks = ends.dst_port in _AMPLIFIERS and ends.src_port not in _AMPLIFIERS
        return not (asks and ends.bwd_bytes > ends.fwd_bytes)
    return True


def owner_and_shared(family: str, attacker: int, target: int) -> tuple[int, int]:
    """Return the end whose evidence adds up, and the one that several owners may have in common."""
    return (target, attacker) if FAMILY_FACTS[family].from_inside else (attacker, target)


def named_family(family: str, ends: FlowEnds) -> str:
    """Return the family, or ``flood`` where the protocol contradicts it.

    Nothing is amplified without a service that amplifies; over TCP that is one whose answers to
    forged SYNs nobody answers, over ICMP what answers requests. Nobody guesses passwords of name
    servers, clocks or echo requests.
    """
    if family == "amplification":
        return family if _may_be_amplified(ends) else "flood"
    if family == "guessing" and (ends.protocol in _ANSWERS or ends.dst_port in _WITHOUT_LOGIN):
        return "flood"
    return family


def _may_be_amplified(ends: FlowEnds) -> bool:
    if ends.protocol == TCP:
        return ends.src_port < _REGISTERED <= ends.dst_port and not ends.bwd_bytes
    if ends.protocol == UDP:
        return bool({ends.src_port, ends.dst_port} & _AMPLIFIERS)
    return ends.icmp_type in _ANSWERS.get(ends.protocol, ())
