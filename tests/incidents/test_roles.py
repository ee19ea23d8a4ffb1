"""Who attacks whom, also where the target sent the first packet or its answers are all there is."""

from __future__ import annotations

import pytest
from tests.incidents.judged_flows import Judged, incidents_of

BOT, MASTER = "192.168.1.23", "203.0.113.7"
REFLECTOR, VICTIM = "203.0.113.53", "192.168.1.5"


def roles(*flows: Judged) -> tuple[str | None, str | None, str | None]:
    last = incidents_of(list(flows))[-1]
    return last.attacker, last.target, last.device


def test_a_scanner_is_the_source() -> None:
    assert roles(Judged(src=MASTER, dst=BOT)) == (MASTER, BOT, BOT)


def test_a_device_that_scans_outside_is_the_attacker_and_ours() -> None:
    assert roles(Judged(src=BOT, dst=MASTER)) == (BOT, MASTER, BOT)


@pytest.mark.parametrize("label", ["malware", "tunnel"])
def test_a_device_that_calls_home_is_the_target(label: str) -> None:
    assert roles(Judged(src=BOT, dst=MASTER, label=label)) == (MASTER, BOT, BOT)


def test_a_shell_that_is_opened_from_outside_is_of_who_opens_it() -> None:
    assert roles(Judged(src=MASTER, dst=BOT, label="malware")) == (MASTER, BOT, BOT)


def test_reflected_answers_come_from_the_reflector() -> None:
    answer = Judged(
        src=REFLECTOR, dst=VICTIM, sport=53, dport=4000, protocol=17, label="amplification"
    )
    assert roles(answer)[:2] == (REFLECTOR, VICTIM)


def test_at_the_reflector_the_forged_source_is_the_target() -> None:
    flow = Judged(
        src=VICTIM, dst=REFLECTOR, sport=4000, dport=53, protocol=17, label="amplification"
    )
    last = incidents_of([flow])[-1]
    assert (last.attacker, last.target) == (VICTIM, REFLECTOR)  # as many bytes back: no reflector
    assert last.family == "amplification"


def test_answers_of_the_target_name_it_although_it_sent_them() -> None:
    unreachable = Judged(
        src=VICTIM, dst=MASTER, protocol=1, icmp_type=3, sport=0, dport=0, label="scan"
    )
    assert roles(unreachable)[:2] == (MASTER, VICTIM)


@pytest.mark.parametrize(
    ("changed", "family"),
    [
        ({"protocol": 6, "sport": 443, "dport": 50_000}, "flood"),  # an answered download
        ({"protocol": 6, "sport": 443, "dport": 50_000, "answered": False}, "amplification"),
        ({"protocol": 6, "sport": 50_000, "dport": 80, "answered": False}, "flood"),
        ({"protocol": 17, "sport": 40_000, "dport": 30_000, "answered": False}, "flood"),
        ({"protocol": 17, "sport": 123, "dport": 30_000, "answered": False}, "amplification"),
        ({"protocol": 47, "sport": 0, "dport": 0, "answered": False}, "flood"),
        ({"protocol": 1, "icmp_type": 8, "sport": 0, "dport": 0, "answered": False}, "flood"),
        ({"protocol": 1, "icmp_type": 0, "sport": 0, "dport": 0}, "amplification"),
    ],
)
def test_nothing_is_amplified_without_a_service_that_does(
    changed: dict[str, int], family: str
) -> None:
    assert incidents_of([Judged(label="amplification", **changed)])[-1].family == family


@pytest.mark.parametrize(("dport", "family"), [(53, "flood"), (161, "guessing")])
def test_nobody_guesses_passwords_of_a_name_server(dport: int, family: str) -> None:
    assert incidents_of([Judged(label="guessing", protocol=17, dport=dport)])[-1].family == family


def test_a_flow_without_addresses_names_nobody() -> None:
    last = incidents_of([Judged(src="::", dst="::")])[-1]
    assert (last.attacker, last.target, last.device) == (None, None, None)
