"""Feature schemas: what each column of a feature matrix is, and a hash that travels with it.

A schema is the contract between the flow engine, the data sets and a model: the same names in the
same order with the same units. Its hash is stored in every exported model and compared before any
probability is computed, so a model can never be fed the columns of another profile.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idskit.errors import SchemaError

_COLUMNS_KEPT = 16  # answers of ``columns_in``


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One column: its name, unit, and, for a nominal column, the category of each code.

    A nominal column holds the index of its category as a number, and -1 for a category that the
    schema does not list.
    """

    name: str
    unit: str
    categories: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Schema:
    """An ordered list of features under a name.

    Example:
        >>> schema = Schema(name="toy", features=(Feature(name="duration", unit="us"),))
        >>> schema.names
        ('duration',)
    """

    name: str
    features: tuple[Feature, ...]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Column names, in order."""
        return tuple(feature.name for feature in self.features)

    @cached_property
    def sha256(self) -> str:
        """Hash of the canonical JSON: same hash, same columns in the same order and units."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.features)

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no spaces."""
        columns = [
            {"name": f.name, "unit": f.unit}
            | ({"categories": list(f.categories)} if f.categories else {})
            for f in self.features
        ]
        document = {"name": self.name, "features": columns}
        return json.dumps(document, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Schema:
        """Read what ``to_json`` wrote.

        Raises:
            SchemaError: the text is not a schema.
        """
        try:
            document: dict[str, Any] = json.loads(text)
            features = tuple(
                Feature(
                    name=str(column["name"]),
                    unit=str(column["unit"]),
                    categories=tuple(map(str, column.get("categories", ()))),
                )
                for column in document["features"]
            )
            return cls(name=str(document["name"]), features=features)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SchemaError(
                f"a feature schema was expected, but the text is not one: {error}"
            ) from error

    def columns_in(self, wider: Schema) -> NDArray[np.intp] | slice | None:
        """Return where the columns stand in a schema of the same name that may have more.

        Returns:
            An index for each column; all of them as a slice, which copies nothing, where both are
            the same; None where ``wider`` is another schema or lacks one.
        """
        known = self._columns_known.get(id(wider))
        if known is None:
            if len(self._columns_known) >= _COLUMNS_KEPT:
                self._columns_known.clear()
            known = self._columns_known[id(wider)] = wider, self._columns_in(wider)
        return known[1]

    @cached_property
    def _columns_known(self) -> dict[int, tuple[Schema, NDArray[np.intp] | slice | None]]:
        """What ``columns_in`` found, by identity: every batch of flows asks for the same."""
        return {}

    def _columns_in(self, wider: Schema) -> NDArray[np.intp] | slice | None:
        if wider == self:
            return slice(None)
        places = {feature: place for place, feature in enumerate(wider.features)}
        if wider.name != self.name or not places.keys() >= set(self.features):
            return None
        return np.array([places[feature] for feature in self.features], np.intp)

    def as_rows(self, matrix: NDArray[Any]) -> NDArray[np.float32]:
        """Return ``matrix`` as (n, features) float32; what is beyond float32 becomes infinite.

        Raises:
            SchemaError: wrong number of dimensions or columns.
        """
        if matrix.ndim != 2 or matrix.shape[1] != len(self):
            raise SchemaError(
                f"schema {self.name} has {len(self)} features a flow, but the matrix has shape "
                f"{matrix.shape}: pass (flows, {len(self)}) in the order of schema.names"
            )
        with np.errstate(over="ignore"):
            return matrix.astype(np.float32)

    def check(self, matrix: NDArray[Any]) -> NDArray[np.float32]:
        """Return ``matrix`` as (n, features) float32 if it fits this schema.

        Raises:
            SchemaError: wrong number of dimensions or columns, or a value that is NaN or infinite
                (the first such row and column are named).
        """
        narrow = self.as_rows(matrix)
        bad = np.argwhere(~np.isfinite(narrow))
        if len(bad):
            row, column = bad[0]
            raise SchemaError(
                f"{len(np.unique(bad[:, 0]))} of {len(matrix)} rows hold NaN or infinity, first "
                f"{matrix[row, column]} in row {row}, column {self.names[column]!r}: remove or "
                "repair those rows"
            )
        return narrow
