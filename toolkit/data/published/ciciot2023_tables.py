"""CICIoT2023: the publisher's tables in both versions, labelled by column or by file.

E. C. P. Neto et al., "CICIoT2023: A Real-Time Dataset and Benchmark for Large-Scale Attacks in IoT
Environment", Sensors 23(13):5941, 2023. Facts and quirks: README.md of this folder.
"""

from __future__ import annotations

from idskit.data.published.label_meanings import BENIGN, Meaning, meanings_of
from idskit.data.published.publisher import Publisher, Version
from idskit.schemas import ciciot2023_columns as columns

# Attacks of each of the publisher's families, as spelled in the first version.
_FAMILIES = {
    "DDoS": "DDoS-ACK_Fragmentation DDoS-HTTP_Flood DDoS-ICMP_Flood DDoS-ICMP_Fragmentation "
    "DDoS-PSHACK_Flood DDoS-RSTFINFlood DDoS-SlowLoris DDoS-SYN_Flood DDoS-SynonymousIP_Flood "
    "DDoS-TCP_Flood DDoS-UDP_Flood DDoS-UDP_Fragmentation",
    "DoS": "DoS-HTTP_Flood DoS-SYN_Flood DoS-TCP_Flood DoS-UDP_Flood",
    "Recon": "Recon-HostDiscovery Recon-OSScan Recon-PingSweep Recon-PortScan VulnerabilityScan",
    "Web": "BrowserHijacking CommandInjection SqlInjection XSS Backdoor_Malware Uploading_Attack",
    "BruteForce": "DictionaryBruteForce",
    "Spoofing": "DNS_Spoofing MITM-ArpSpoofing",
    "Mirai": "Mirai-greeth_flood Mirai-greip_flood Mirai-udpplain",
}
_WEB10 = {"Backdoor_Malware": "Malware", "Uploading_Attack": "Uploading"}  # else WebAttack


def _family10(attack: str, family: str) -> str:
    """Ten families are the eight with Web in three parts."""
    return _WEB10.get(attack, "WebAttack") if family == "Web" else family


_ATTACKS: dict[str, Meaning] = {
    attack: {"family": family, "family10": _family10(attack, family)}
    for family, attacks in _FAMILIES.items()
    for attack in attacks.split()
}
_FAMILIES10: dict[str, Meaning] = {
    meaning["family10"]: {"family": meaning["family"], "family10": meaning["family10"]}
    for meaning in _ATTACKS.values()
}
_WEB: dict[str, Meaning] = {name: {"family": "Web"} for name in ("Web", "Web-based")}

# The publisher's windows have 100 packets in floods and 10 elsewhere; a profile has one size.
_SCALED = {
    "sums over windows whose size the publisher chose by class": (
        *("ack_count", "syn_count", "fin_count", "rst_count", "Tot sum", "Number"),
    )
}
_SCALED_FIRST = {
    "values that depend on the time of capture, or on how the scripts cut it": (
        *("IAT", "Number", "Weight", "Tot sum"),
    )
}

PUBLISHER = Publisher(
    name="ciciot2023",
    versions=(
        Version(
            features=columns.LATER,
            profiles={"ciciot2023-39": _SCALED, "ciciot2023-39-100": _SCALED},
        ),
        Version(
            features=columns.FIRST,
            profiles={"ciciot2023": _SCALED_FIRST, "ciciot2023-100": _SCALED_FIRST},
        ),
    ),
    spellings={},
    label_columns=("label", "label multiclass", "label binary"),
    classes={
        "binary": (BENIGN, "attack"),
        "family": (BENIGN, *_FAMILIES),
        "family10": (BENIGN, *sorted(_FAMILIES10)),
        "attack": (BENIGN, *_ATTACKS),
    },
    meanings=meanings_of(("Benign", "BenignTraffic", "0"), _ATTACKS, _FAMILIES10 | _WEB),
    notes=(
        "leak in the data: the window size (Number, and the counts and sums that scale with it) "
        "was chosen by class, 100 packets for floods and 10 for the rest, benign included",
        "rows are windows of packets of whatever flows, not flows",
    ),
    profile_note="rows of windows of both sizes are trained on, of which {} makes one: shares in "
    "steps of 0.01 still tell floods",
)
