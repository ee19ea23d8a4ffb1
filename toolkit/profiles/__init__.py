"""Feature profiles: what a row is, and the reader that makes rows of packets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from idskit.faces import lazy

if TYPE_CHECKING:
    from idskit.profiles.flow_reader import FlowBatch, FlowReader, open_flows
    from idskit.profiles.reading_statistics import FlowStatistics
    from idskit.profiles.registry import Profile, profile_named
    from idskit.schemas.catalog import NAMES, schema_named

__all__ = [
    "NAMES",
    "FlowBatch",
    "FlowReader",
    "FlowStatistics",
    "Profile",
    "open_flows",
    "profile_named",
    "schema_named",
]

# Loaded when first asked for: who needs only ``idskit.packet`` does not wait for numba.
_LAZY = {
    "NAMES": "idskit.schemas.catalog",
    "Profile": "idskit.profiles.registry",
    "profile_named": "idskit.profiles.registry",
    "FlowBatch": "idskit.profiles.flow_reader",
    "FlowReader": "idskit.profiles.flow_reader",
    "FlowStatistics": "idskit.profiles.reading_statistics",
    "open_flows": "idskit.profiles.flow_reader",
    "schema_named": "idskit.schemas.catalog",
}

__getattr__ = lazy(__name__, _LAZY)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
