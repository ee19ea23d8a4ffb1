"""Labelled rows in three parts: what every data set is when training gets it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from idskit.errors import DataError
from idskit.schema import Schema

Labels = Literal["binary", "family", "family10", "attack"]
Protocol = Literal["official", "honest", "paper"]
Nonfinite = Literal["rows", "columns"]
LABELS: tuple[Labels, ...] = ("binary", "family", "family10", "attack")
PROTOCOLS: tuple[Protocol, ...] = ("official", "honest", "paper")
NONFINITE: tuple[Nonfinite, ...] = ("rows", "columns")
OWN = "own"


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Options of reading tables into rows."""

    schema: str = OWN  # the data set's own columns, or those of a profile of the flow engine
    label_column: str | None = None  # of a table that is no known data set; None: by its name
    benign_labels: Sequence[str] = ()  # of it; none: by their usual names
    rows: int = 0  # at most this many, drawn at random; 0: all
    nonfinite: Nonfinite = "rows"  # what is left out where it holds NaN or infinity


@dataclass(frozen=True, kw_only=True)
class Request:
    """Kind of classes, division and reading that are asked of tables."""

    protocol: Protocol
    labels: Labels
    seed: int
    reading: Reading


@dataclass(frozen=True, kw_only=True)
class Part:
    """Labelled rows of one purpose."""

    rows: NDArray[np.float32]  # (n, features), raw, nominal columns as codes
    labels: NDArray[np.int64]  # (n,) index into Dataset.classes
    weights: NDArray[np.float32]  # (n,) how much a row counts, mean about 1
    groups: NDArray[np.int64]  # (n,) index into Dataset.groups

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: NDArray[np.integer] | NDArray[np.bool_]) -> Part:
        """Return the rows chosen by position or by mask."""
        return Part(
            rows=self.rows[index],
            labels=self.labels[index],
            weights=self.weights[index],
            groups=self.groups[index],
        )


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Rows to fit on, rows to choose on, and rows that only the final evaluation sees.

    ``groups`` are what rows belong to beyond their class: the attack's name in a table, the capture
    among captures.
    """

    name: str
    protocol: Protocol
    schema: Schema
    classes: tuple[str, ...]  # the first is the benign one
    groups: tuple[str, ...]
    train: Part
    validation: Part
    test: Part
    notes: tuple[str, ...]  # what a reader of the numbers has to know: leaks, rows left out
    sha256: Mapping[str, str]  # of the files read, by name
    unlabelled: NDArray[np.float32] | None = None  # (n, features) further rows, to pre-train on
    repositories: tuple[str, ...] = ()  # of captures: who published each of ``groups``
    units: tuple[str, ...] = ()  # of captures: the scenario that each of ``groups`` shows


@dataclass(frozen=True, kw_only=True)
class MoreRows:
    """Rows to train on whose class is only narrowed down to some classes."""

    rows: NDArray[np.float32]  # (n, features), raw; none is a row of the data set
    possible: NDArray[np.bool_]  # (n, classes), at least one true per row
    notes: tuple[str, ...]  # where they come from, and what was left out


def join(parts: list[Part]) -> Part:
    """Return one part with the rows of all, in order."""
    return Part(
        rows=np.concatenate([part.rows for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        weights=np.concatenate([part.weights for part in parts]),
        groups=np.concatenate([part.groups for part in parts]),
    )


def check_dataset(dataset: Dataset) -> Dataset:
    """Return ``dataset`` if a detector can be trained on it.

    Raises:
        DataError: a part without rows, classes without a training row, a class of one row.
        SchemaError: NaN or infinity in a row.
    """
    for name in ("train", "validation", "test"):
        part: Part = getattr(dataset, name)
        if not len(part):
            raise DataError(
                f"{dataset.name} ({dataset.protocol}) leaves no row for its {name} part: more "
                "labelled data are needed"
            )
        dataset.schema.check(part.rows)
    counts = _counts(dataset, "train")
    total = counts + _counts(dataset, "validation") + _counts(dataset, "test")
    single = [name for name, count in zip(dataset.classes, total, strict=True) if count == 1]
    if single:
        raise DataError(
            f"{dataset.name} ({dataset.protocol}) has only one row of class {', '.join(single)}, "
            "which cannot be both trained on and tested: add rows of it or remove that one"
        )
    missing = [name for name, count in zip(dataset.classes, counts, strict=True) if not count]
    if missing:
        raise DataError(
            f"{dataset.name} ({dataset.protocol}) has no training row of class "
            f"{', '.join(missing)}: every one of {', '.join(dataset.classes)} needs rows"
        )
    return dataset


def _counts(dataset: Dataset, name: str) -> NDArray[np.int64]:
    """Return the number of rows of each class in a part."""
    part: Part = getattr(dataset, name)
    return np.bincount(part.labels, minlength=len(dataset.classes))
