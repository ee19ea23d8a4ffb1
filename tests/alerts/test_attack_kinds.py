"""The kind of an attack by its name: what says more comes first."""

import pytest

from idskit.alerts.attack_kinds import kind_of

TROJAN = "A Network Trojan was detected"


@pytest.mark.parametrize(
    "label",
    ["Mirai-udpflood", "mirai_greip_flood", "Okiru-DDoS", "Gafgyt scan", "worm-sweep"],
)
def test_the_name_of_malware_wins_over_what_it_does(label: str) -> None:
    assert (kind_of(label).category, kind_of(label).by_source) == (TROJAN, True)


@pytest.mark.parametrize(
    ("label", "category"),
    [
        ("mirai-c2", "Malware Command and Control Activity Detected"),
        ("UDP-Flood", "Attempted Denial of Service"),
        ("DictionaryBruteForce", "Attempted User Privilege Gain"),
        ("CommandInjection", "Web Application Attack"),
        ("u2r", "Attempted Administrator Privilege Gain"),
        ("robot arm", "Misc Attack"),
    ],
)
def test_other_names_keep_their_kind(label: str, category: str) -> None:
    assert kind_of(label).category == category
