"""IoTID20: the publisher's table of flows, and samples of it.

I. Ullah, Q. H. Mahmoud, "A Scheme for Generating a Dataset for Anomalous Activity Detection in IoT
Networks", Canadian AI 2020. Facts and quirks: README.md of this folder.
"""

from __future__ import annotations

from idskit.data.published.cic_headers import ENDS, SPELLINGS, VERSION
from idskit.data.published.label_meanings import BENIGN, Meaning, meanings_of
from idskit.data.published.publisher import Publisher

# Attacks (Sub_Cat) of each category (Cat).
_FAMILIES = {
    "DoS": ("DoS-Synflooding",),
    "MITM ARP Spoofing": ("MITM ARP Spoofing",),
    "Mirai": (
        *("Mirai-Ackflooding", "Mirai-HTTP Flooding", "Mirai-Hostbruteforceg"),
        "Mirai-UDP Flooding",
    ),
    "Scan": ("Scan Hostport", "Scan Port OS"),
}
_ATTACKS: dict[str, Meaning] = {
    attack: {"family": family} for family, attacks in _FAMILIES.items() for attack in attacks
}
_ONLY_FAMILY: dict[str, Meaning] = {
    family: {"family": family} for family in ("DoS", "Mirai", "Scan")
}

PUBLISHER = Publisher(
    name="iotid20",
    versions=(VERSION,),
    spellings=SPELLINGS,
    label_columns=("sub cat", "cat", "label"),
    classes={
        "binary": (BENIGN, "attack"),
        "family": (BENIGN, *_FAMILIES),
        "attack": (BENIGN, *_ATTACKS),
    },
    meanings=meanings_of(("Normal", "0"), _ATTACKS, _ONLY_FAMILY),
    notes=(
        "flaws in the data: many repeated rows, and addresses, ports and time stamps that identify "
        "the attack, which are left out",
    ),
    profile_note=ENDS,
)
