"""Mixes: activities of a capture, their shares of the packets, and when they happen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from idskit.generate import attacks as attack
from idskit.generate import benign
from idskit.generate import endpoints as ends
from idskit.generate.conversation import SERVER, Script

_MDNS, _SSDP, _MDNS6 = 0xE00000FB, 0xEFFFFFFA, 0xFB  # RFC 6762, UPnP
_PINGED = 0xCB007101  # 203.0.113.1, RFC 5737
_HOME, _OFFICE = 0xC0A80100, 0x0A140000  # 192.168.1.0, 10.20.0.0

Writer = Callable[[Random], Script]


@dataclass(frozen=True, kw_only=True)
class Activity:
    """One kind of traffic.

    Attributes:
        category: its name in the labels.
        write: writes one conversation.
        ends: finds the two ends of its flows.
        share: of the capture's packets.
        attack: whether the label is "attack".
        standing: whether a device's conversations all belong to one flow.
        clients: how many devices do it, 0 for all.
        burst: conversations that a device begins at about the same time.
        when: parts of the capture during which it happens, as fractions.
    """

    category: str
    write: Writer
    ends: ends.Endpoints
    share: float
    attack: bool = False
    standing: bool = False
    clients: int = 0
    burst: int = 1
    when: tuple[tuple[float, float], ...] = ((0.0, 1.0),)


@dataclass(frozen=True, kw_only=True)
class Mix:
    """A named composition.

    Attributes:
        packets_per_s: on average over the capture.
        hosts: devices in the network.
        lan: first address of the network.
    """

    packets_per_s: float
    hosts: int
    lan: int
    activities: tuple[Activity, ...]


def _benign(
    category: str,
    share: float,
    write: Writer,
    ends_: ends.Endpoints,
    *,
    burst: int = 1,
    standing: bool = False,
    clients: int = 0,
) -> Activity:
    return Activity(
        category=category,
        share=share,
        write=write,
        ends=ends_,
        burst=burst,
        standing=standing,
        clients=clients,
    )


def _attack(
    category: str, share: float, write: Writer, ends_: ends.Endpoints, *when: tuple[float, float]
) -> Activity:
    return Activity(
        category=category,
        share=share,
        write=write,
        ends=ends_,
        attack=True,
        when=when or ((0.0, 1.0),),
    )


def _standing(category: str, share: float, write: Writer, ends_: ends.Endpoints) -> Activity:
    return _benign(category, share, write, ends_, standing=True)


def _daily_life(lan: int) -> tuple[Activity, ...]:
    """Return what devices do; the shares add up to one."""
    nobody = ends.nobody(68, 67)
    return (
        _benign("dns", 0.07, benign.dns, ends.gateway(53), burst=3),
        _benign("ntp", 0.016, benign.ntp, ends.servers(123, 6)),
        _benign("mqtt", 0.244, benign.mqtt, ends.servers(1883, 3)),
        _benign("https", 0.36, benign.https, ends.servers(443), burst=3),
        _benign("http", 0.14, benign.http, ends.servers(80, 40), burst=2),
        _benign("ssh", 0.03, benign.admin, ends.servers(22, 4)),
        _benign("ssdp", 0.02, benign.ssdp, ends.group(_SSDP, 1900)),
        _benign("dhcp", 0.01, benign.dhcp_join, nobody, standing=True, clients=1),
        _standing("dhcp", 0.01, benign.dhcp, ends.standing(68, 67, lan + 1)),
        _standing("mdns", 0.04, benign.mdns, ends.standing(5353, 5353, _MDNS)),
        _standing("mdns", 0.02, benign.mdns, ends.standing6(5353, 5353, _MDNS6)),
        _standing("ping", 0.03, benign.ping, ends.standing(0, 0, _PINGED, far=SERVER)),
        _standing("ping", 0.01, benign.ping6, ends.standing6(0, 0)),
    )


def _browsing() -> tuple[Activity, ...]:
    """Return what people do; the shares add up to one."""
    web, web6 = ends.servers(443), ends.servers(443, 50, ipv6=True)
    return (
        _benign("https", 0.8, benign.browse, web, burst=4),
        _benign("https", 0.2, benign.browse6, web6, burst=4),
    )


def _attacks() -> tuple[Activity, ...]:
    """Attacks on a home, one after the other; the shares add up to one."""
    return (
        _attack("port-scan", 0.13, attack.port_scan, ends.scan(2), (0.12, 0.13)),
        _attack("address-scan", 0.07, attack.sweep, ends.sweep((22, 8080, 445)), (0.2, 0.21)),
        _attack("ssh-guessing", 0.18, attack.ssh_guess, ends.guess((4,), 22), (0.27, 0.37)),
        _attack("telnet-guessing", 0.14, attack.telnet_guess, ends.guess((7, 9), 23), (0.4, 0.5)),
        _attack("mirai-scan", 0.12, attack.mirai_scan, ends.search(7), (0.55, 0.56)),
        _attack("mirai-scan", 0.05, attack.bot_scan, ends.call_strangers(9, 23), (0.6, 0.63)),
        _attack("syn-flood", 0.18, attack.syn_flood, ends.forged(1, 80), (0.7, 0.704)),
        _attack("udp-flood", 0.06, attack.udp_packet, ends.bombard(7), (0.78, 0.782)),
        _attack("udp-flood", 0.07, attack.udp_stream, ends.stream(9, 27015), (0.84, 0.85)),
    )


def _part(activities: tuple[Activity, ...], share: float) -> tuple[Activity, ...]:
    return tuple(replace(activity, share=activity.share * share) for activity in activities)


def _always(activities: tuple[Activity, ...]) -> tuple[Activity, ...]:
    return tuple(replace(activity, when=((0.0, 1.0),)) for activity in activities)


MIXES = {
    # A home on a day with every kind of attack; the sample that comes with idskit.
    "home": Mix(
        packets_per_s=12,
        hosts=12,
        lan=_HOME,
        activities=_part(_daily_life(_HOME), 0.58)
        + _part(_browsing(), 0.02)
        + _part(_attacks(), 0.4),
    ),
    # The same home on a quiet day.
    "benign": Mix(
        packets_per_s=12,
        hosts=12,
        lan=_HOME,
        activities=_part(_daily_life(_HOME), 0.9) + _part(_browsing(), 0.1),
    ),
    # A busy office under all attacks at once: a load for benchmarks.
    "mixed": Mix(
        packets_per_s=20_000,
        hosts=400,
        lan=_OFFICE,
        activities=_part(_daily_life(_OFFICE), 0.6)
        + _part(_browsing(), 0.36)
        + _part(_always(_attacks()), 0.04),
    ),
    # One-packet flows from forged sources and nothing else: the worst load for a flow table.
    "flood": Mix(
        packets_per_s=100_000,
        hosts=12,
        lan=_HOME,
        activities=(
            _attack("syn-flood", 0.8, attack.syn, ends.forged(1, 80)),
            _attack("udp-flood", 0.2, attack.udp_packet, ends.forged(1, 53)),
        ),
    ),
}
