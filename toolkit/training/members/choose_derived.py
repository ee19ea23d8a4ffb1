"""Choose the pairs of columns that are multiplied or divided for a committee of trees.

A profile that averages over packets knows which of its columns undo that in pairs. Pairs chosen
by training rows alone were tried and lost (DECISIONS.md).
"""

from __future__ import annotations

from collections.abc import Sequence

from idskit.models.members.derived_columns import NO_PAIRS, Pair, Pairs
from idskit.models.members.trees import TreeMember
from idskit.schema import Schema
from idskit.schemas import ciciot2023_columns as ciciot2023


def pairs_of(schema: Schema, trees: TreeMember) -> Pairs:
    """Return the known pairs both of whose columns ``schema`` has; of a committee only."""
    if trees != "committee":
        return NO_PAIRS
    place = {feature.name: index for index, feature in enumerate(schema.features)}

    def found(names: Sequence[tuple[str, str]]) -> tuple[Pair, ...]:
        return tuple((place[a], place[b]) for a, b in names if a in place and b in place)

    return Pairs(products=found(ciciot2023.PRODUCTS), quotients=found(ciciot2023.QUOTIENTS))
