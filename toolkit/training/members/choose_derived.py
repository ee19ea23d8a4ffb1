"""Which pairs of columns are multiplied or divided for the trees: those that a schema is known for.

A profile that averages over packets knows which of its columns undo that in pairs. Pairs chosen
by training rows alone were tried and lost (TRIED.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from idskit.errors import RunError
from idskit.models.members.derived_columns import NO_PAIRS, Pair, Pairs
from idskit.profiles.ciciot2023 import ciciot2023_windows as ciciot2023
from idskit.schema import Schema

DerivedColumns = Literal["none", "pairs"]
DERIVED: tuple[DerivedColumns, ...] = ("none", "pairs")


def pairs_of(schema: Schema, derived: DerivedColumns) -> Pairs:
    """The known pairs both of whose columns ``schema`` has, if any are asked for.

    Raises:
        RunError: there is none.
    """
    if derived == "none":
        return NO_PAIRS
    place = {feature.name: index for index, feature in enumerate(schema.features)}

    def found(names: Sequence[tuple[str, str]]) -> tuple[Pair, ...]:
        return tuple((place[a], place[b]) for a, b in names if a in place and b in place)

    pairs = Pairs(products=found(ciciot2023.PRODUCTS), quotients=found(ciciot2023.QUOTIENTS))
    if not len(pairs):
        raise RunError(
            f"derived pairs were asked for, but none is known of the columns of schema "
            f"{schema.name}: choose --derived none"
        )
    return pairs
