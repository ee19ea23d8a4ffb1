"""CIC-IDS2017: the publisher's tables of flows, in both variants, and samples of them.

I. Sharafaldin, A. Habibi Lashkari, A. Ghorbani, "Toward Generating a New Intrusion Detection
Dataset and Intrusion Traffic Characterization", ICISSP 2018. Facts and quirks: README.md of this
folder.
"""

from __future__ import annotations

from idskit.data.published.cic_headers import ENDS, SPELLINGS, VERSION
from idskit.data.published.label_meanings import BENIGN, Meaning, meanings_of
from idskit.data.published.publisher import Publisher

# Seven families with the benign one; the published samples that have them name them so.
_FAMILIES = {
    "Bot": ("Bot",),
    "BruteForce": ("FTP-Patator", "SSH-Patator"),
    "DoS": (
        *("DoS Hulk", "DoS GoldenEye", "DoS slowloris", "DoS Slowhttptest", "DDoS"),
        "Heartbleed",
    ),
    "Infiltration": ("Infiltration",),
    "PortScan": ("PortScan",),
    "WebAttack": ("Web Attack Brute Force", "Web Attack XSS", "Web Attack Sql Injection"),
}
_ATTACKS: dict[str, Meaning] = {
    attack: {"family": family} for family, attacks in _FAMILIES.items() for attack in attacks
}
_ONLY_FAMILY: dict[str, Meaning] = {
    family: {"family": family} for family in ("BruteForce", "DoS", "WebAttack")
}

PUBLISHER = Publisher(
    name="cicids2017",
    versions=(VERSION,),
    spellings=SPELLINGS,
    label_columns=("label", "labelb"),
    classes={
        "binary": (BENIGN, "attack"),
        "family": (BENIGN, *_FAMILIES),
        "attack": (BENIGN, *_ATTACKS),
    },
    meanings=meanings_of(("BENIGN", "0"), _ATTACKS, _ONLY_FAMILY),
    notes=(
        "flaws in the data: flows end at the first FIN, attempted attacks have the attack's label, "
        "window sizes tell hosts (Engelen et al. 2021, Liu et al. 2022)",
    ),
    profile_note=ENDS,
)
