"""Meanings of published labels, by any of their spellings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from idskit.data.dataset import Labels
from idskit.tables.label_column import label_key

BENIGN, ATTACK = "benign", "attack"
Meaning = Mapping[Labels, str]  # the class that a label stands for, of each kind that it states

ATTACK_LABELS = ("1", "attack", "anomaly")  # keys of labels that say no more than that


def column_key(name: str) -> str:
    """Return a column's name without what spellings differ in, such as case and ``.1``."""
    plain = re.sub(r"\.\d+$", "", name.strip()).replace("_", " ").casefold()
    return re.sub(r"\s+", " ", plain).strip()


def meanings_of(
    benign: Sequence[str], attacks: Mapping[str, Meaning], families: Mapping[str, Meaning]
) -> dict[str, Meaning]:
    """Return meanings by label key.

    Args:
        benign: spellings of the benign label.
        attacks: each attack's name and its families; the name is its class of kind ``attack``.
        families: labels that say the family only.
    """
    kinds: tuple[Labels, ...] = ("binary", "family", "family10", "attack")
    found: dict[str, Meaning] = {name: {"binary": ATTACK} for name in ATTACK_LABELS}
    found |= {label_key(name): {"binary": ATTACK, **m} for name, m in families.items()}
    found |= {
        label_key(name): {"binary": ATTACK, "attack": name, **meaning}
        for name, meaning in attacks.items()
    }
    return found | {label_key(name): dict.fromkeys(kinds, BENIGN) for name in benign}
