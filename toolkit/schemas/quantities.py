"""Columns that measure one quantity: the same count over several windows, a mean and its range.

An explanation that names all of them says one thing five times, and leaves no place for others.
"""

from __future__ import annotations

import re
from functools import cache

from idskit.schema import Schema

_WINDOW = re.compile(r"(src|dst|pair)_(?:2s|10s|64|1m|10m)_(\w+)")
_RANGE = re.compile(r"(\w+)_(?:mean|std|max|min|total|variance|variation)")


@cache
def quantities(schema: Schema) -> tuple[tuple[int, ...], ...]:
    """Divide the columns of a schema by what they measure; each holds places in the schema.

    Example:
        >>> from idskit.schemas.gateway_columns import GATEWAY
        >>> [[GATEWAY.names[at] for at in one] for one in quantities(GATEWAY)
        ...  if "src_2s_peers" in [GATEWAY.names[at] for at in one]]
        [['src_2s_peers', 'src_10s_peers', 'src_64_peers']]
    """
    found: dict[str, list[int]] = {}
    for place, name in enumerate(schema.names):
        found.setdefault(_quantity(name), []).append(place)
    return tuple(map(tuple, found.values()))


def _quantity(name: str) -> str:
    """Return a name that columns of one quantity share."""
    stem = _WINDOW.sub(r"\1_\2", name)
    return _RANGE.sub(r"\1", stem)
