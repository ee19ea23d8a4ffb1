"""Packets to flows: capture -> decode -> flow table -> profile."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from idskit.flows.profiles import NAMES, schema_named
    from idskit.flows.reader import FlowBatch, FlowReader, FlowStatistics, open_flows

__all__ = [
    "NAMES",
    "FlowBatch",
    "FlowReader",
    "FlowStatistics",
    "open_flows",
    "schema_named",
]

# Loaded when first asked for: who needs only ``idskit.flows.packet`` does not wait for numba.
_LAZY = {
    "NAMES": "idskit.flows.profiles",
    "FlowBatch": "idskit.flows.reader",
    "FlowReader": "idskit.flows.reader",
    "FlowStatistics": "idskit.flows.reader",
    "open_flows": "idskit.flows.reader",
    "schema_named": "idskit.flows.profiles",
}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
