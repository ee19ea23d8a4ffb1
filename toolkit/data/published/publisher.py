"""How a publisher spells columns and labels, and what its labels mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from idskit.data.dataset import Labels
from idskit.data.published.label_meanings import Meaning, column_key
from idskit.errors import DataError
from idskit.schema import Feature
from idskit.tables.label_column import label_key

# Columns that say whose flow a row is, or where it stood in a file, and so give the capture away.
IDENTITY = frozenset(
    (
        *("", "unnamed: 0", "index", "row", "id", "flow id", "timestamp", "start us", "end us"),
        *("src ip", "source ip", "src port", "source port"),
        *("dst ip", "destination ip", "dst port", "destination port"),
    )
)


@dataclass(frozen=True, kw_only=True)
class Version:
    """A set of columns that a publisher released."""

    features: tuple[Feature, ...]
    # Profiles that compute them, and for each why which of them are not what the profile computes.
    profiles: Mapping[str, Mapping[str, tuple[str, ...]]]
    # By profile and column: what the profile has where the tables have NaN or infinity.
    undefined: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Publisher:
    """Spelling of a published data set: its columns, its labels and what they mean."""

    name: str
    versions: tuple[Version, ...]
    spellings: Mapping[str, str]  # column keys to feature names, where they differ
    label_columns: tuple[str, ...]  # keys, the finest first; all of them are no features
    classes: Mapping[Labels, tuple[str, ...]]  # by kind, the benign one first
    meanings: Mapping[str, Meaning]  # by label key
    notes: tuple[str, ...]  # what a reader of any number has to know
    profile_note: str  # of a model for packets, with the profile's name in it


def positions_of(
    features: Sequence[Feature], spellings: Mapping[str, str], keys: Sequence[str]
) -> dict[str, int]:
    """Return the position of each feature among a file's columns; the first of two.

    Args:
        features: to find.
        spellings: column keys to feature names, where they differ.
        keys: of the file's columns.
    """
    names = {column_key(feature.name): feature.name for feature in features}
    positions: dict[str, int] = {}
    for position, key in enumerate(keys):
        spelled = spellings.get(key)
        name = spelled if spelled in names.values() else names.get(key)
        if name is not None:
            positions.setdefault(name, position)
    return positions


def meaning_of(publisher: Publisher, text: str) -> Meaning:
    """Return the classes that a label stands for.

    Raises:
        DataError: the publisher has no such label.
    """
    meaning = publisher.meanings.get(label_key(text))
    if meaning is None:
        known = sorted({m.get("attack", m.get("family", "")) for m in publisher.meanings.values()})
        raise DataError(
            f"label {text!r} is none of {publisher.name} ({', '.join(filter(None, known))}): "
            "correct it, or train on the file as a table of your own (idskit train table)"
        )
    return meaning
