"""Families of attacks as classes to learn."""

from __future__ import annotations

from types import MappingProxyType

from idskit.attack_families import BENIGN, FAMILIES, UNKNOWN
from idskit.data.dataset import Labels

CLASSES: MappingProxyType[Labels, tuple[str, ...]] = MappingProxyType(
    {"binary": (BENIGN, "attack"), "family": (BENIGN, *FAMILIES)}
)


def class_index(family: str, labels: Labels) -> int:
    """Return the class of a family; -1 for an unknown one among families."""
    if family == BENIGN:
        return 0
    if labels == "binary":
        return 1
    return -1 if family == UNKNOWN else CLASSES[labels].index(family)
