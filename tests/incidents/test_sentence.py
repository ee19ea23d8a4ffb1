"""Sentences about incidents: a table of them, missing values, one and many, hostile names."""

from __future__ import annotations

from typing import Any

import pytest

from idskit.attack_families import FAMILIES
from idskit.incidents.incident import Evidence, Incident
from idskit.incidents.sentence import sentence

A, B = "192.0.2.7", "192.168.1.5"


def incident(family: str, **more: Any) -> Incident:
    return Incident(
        **{
            "incident_id": "1",
            "type": "new",
            "family": family,
            "technique": "T1110",
            "severity": 1,
            "confidence": 0.9,
            "started_us": 1_000_000_000_000_000,
            "updated_us": 1_000_000_060_000_000,
            "attacker": A,
            "target": B,
        }
        | more
    )


def count(name: str, value: float, unit: str = "in 60 s", usual: float | None = 0) -> Any:
    return (Evidence(name=name, value=value, unit=unit, usual=usual),)


CASES = [
    (
        incident("guessing", services=("22/tcp",), evidence=count("passwords", 41)),
        f"{A} tried 41 passwords on {B} over SSH in 60 s; usual here: 0.",
    ),
    (
        incident("guessing", services=("22/tcp",), evidence=count("login refusals", 1, "")),
        f"{A} tried 1 password on {B} over SSH in 60 s; usual here: 0.",
    ),
    (
        incident("guessing", evidence=count("failed SSH logins", 6, "flows", None)),
        f"{A} tried 6 passwords on {B} in 60 s.",
    ),
    (
        incident("guessing", services=("8123/tcp",), flows=1),
        f"{A} tried to guess a password of {B} over 8123/tcp with 1 flow in 60 s.",
    ),
    (
        incident("scan", evidence=count("distinct ports", 1000, "ports in 10 s", 2)),
        f"{A} probed 1,000 ports of {B} in 10 s; usual here: 2.",
    ),
    (
        incident(
            "scan",
            evidence=(
                Evidence(name="failed first contacts", value=900, unit="flows"),
                Evidence(name="addresses contacted", value=1, unit="in 10 s"),
                Evidence(name="services contacted", value=64, unit="in 10 s"),
            ),
        ),
        f"{A} probed at least 64 ports of {B} in 10 s.",
    ),
    (
        incident(
            "scan",
            targets=254,
            services=("445/tcp",),
            evidence=(
                Evidence(name="services contacted", value=64, unit="in 10 s"),
                Evidence(name="failed first contacts", value=200.4, unit="in 10 min"),
            ),
        ),
        f"{A} probed 254 addresses over SMB in 60 s. Failed first contacts: 200 in 10 min.",
    ),
    (
        incident("scan", flows=41, evidence=count("failed first contacts", 41, "in 10 min")),
        f"{A} scanned {B} with 41 flows in 60 s. "
        "Failed first contacts: 41 in 10 min, usual here 0.",
    ),
    (
        incident("scan", flows=1, evidence=count("services contacted", 2, "in 10 s")),
        f"{A} scanned {B} with 1 flow in 60 s.",
    ),
    (
        incident("flood", attackers=2311, services=("80/tcp",), flows=100_000),
        f"2,311 hosts ({A} the busiest) flooded {B} over HTTP with 100,000 flows in 60 s.",
    ),
    (
        incident("amplification", attacker=None, attackers=12, services=("123/udp",), flows=400),
        f"12 unknown hosts flooded {B} with answers to forged requests over NTP, in 400 flows in "
        "60 s.",
    ),
    (
        incident("web", services=("80/tcp", "443/tcp", "8443/tcp", "81/tcp"), flows=3),
        f"{A} attacked a web application of {B} over HTTP, HTTPS, 8443/tcp and 1 more with 3 flows "
        "in 60 s.",
    ),
    (
        incident(
            "malware", services=("443/tcp",), evidence=count("contacts", 20, "in 10 min", None)
        ),
        f"{B} called {A} 20 times over HTTPS in 10 min, as malware calls its controller.",
    ),
    (
        incident(
            "malware",
            device=B,
            device_name="camera",
            flows=1,
            evidence=(
                Evidence(name="failed first contacts", value=12, unit="in 10 min"),
                Evidence(name="interval of contacts", value=60_400_000, unit="us", usual=2e5),
            ),
        ),
        f"{B} (camera) called {A} in 1 flow in 60 s, as malware calls its controller. "
        "Interval of contacts: 60 s, usual here 200 ms.",
    ),
    (
        incident(
            "tunnel",
            services=("53/udp",),
            evidence=(
                Evidence(name="data in names", value=7, unit="flows"),
                Evidence(name="name queries", value=100, unit="queries"),
            ),
        ),
        f"{B} sent data to {A} hidden in 100 queries over DNS in 60 s.",
    ),
    (
        incident("lateral", services=("445/tcp", "135/tcp"), flows=2),
        f"{A} tried to take over {B} over SMB and RPC with 2 flows in 60 s.",
    ),
    (
        incident("unknown", flows=2),
        f"{A} sent {B} what is not usual, in 2 flows in 60 s.",
    ),
    (
        incident("a family of tomorrow", attacker=None, target=None, flows=1),
        "An unknown host sent an unknown host what is not usual, in 1 flow in 60 s.",
    ),
    (
        incident("blind", attacker=None, target=None, evidence=count("packets", 0, "in 60 s", 900)),
        "The sensor is blind: attacks may pass unseen. Packets: 0 in 60 s, usual here 900.",
    ),
    (
        incident("blind", attacker=None, target=None),
        "The sensor is blind: attacks may pass unseen.",
    ),
]


@pytest.mark.parametrize(("found", "expected"), CASES)
def test_sentences(found: Incident, expected: str) -> None:
    assert sentence(found) == expected


@pytest.mark.parametrize("family", [*FAMILIES, "unknown", "blind"])
@pytest.mark.parametrize("value", [0, 1, 2.5, 1e12, float("nan"), float("inf"), -3])
def test_any_family_and_any_value_make_a_sentence(family: str, value: float) -> None:
    for name in ("passwords", "ports", "hosts", "packets", "answers", "queries", "contacts", ""):
        for more in ({}, {"attacker": None}, {"target": None}, {"updated_us": 0}):
            said = sentence(incident(family, evidence=count(name, value, "in 60 s", value), **more))
            assert said[0].isupper() or said[0].isdigit()
            assert said.endswith(".")
            assert not any(wrong in said for wrong in ("{", "}", "None", "  ", ".."))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "with 1 flow."),
        (-5, "with 1 flow."),  # the clock was set back
        (0.25, "with 1 flow in 250 ms."),
        (3.81, "with 1 flow in 3.8 s."),
        (119, "with 1 flow in 119 s."),
        (600, "with 1 flow in 10 min."),
        (36_000, "with 1 flow in 10 h."),
        (864_000, "with 1 flow in 10 days."),
    ],
)
def test_times(seconds: float, words: str) -> None:
    ended = 1_000_000_000_000_000 + int(seconds * 1e6)
    assert sentence(incident("flood", updated_us=ended)) == f"{A} flooded {B} {words}"


def test_shares_and_rates_are_no_counts() -> None:
    for value, unit in ((0.5, "in 60 s"), (3, "/s"), (12, "% of ports"), (4, "bytes")):
        said = sentence(incident("scan", evidence=count("ports", value, unit)))
        assert "probed" not in said


@pytest.mark.parametrize(
    "name",
    [
        "\x1b]0;owned\x07",
        "a\nforged line",
        "\u202egnp.exe",
        "x" * 10_000,
        "{by}{0.__class__}",
        "%s",
    ],
)
def test_hostile_names_are_escaped_and_cut(name: str) -> None:
    found = incident(
        "flood", attacker=name, device=name, device_name=name, services=(name,) * 3,
        evidence=count(name, 3, name),
    )  # fmt: skip
    said = sentence(found)
    assert said.isprintable()
    assert len(said) < 600
