"""A trained network to one ONNX file: fold, lower, quantise, verify."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from idskit.export.export_options import ExportOptions
    from idskit.export.exporter import ExportReport, export

__all__ = ["ExportOptions", "ExportReport", "export"]

# Loaded when first asked for: help of the command line needs the options alone, and no torch.
_LAZY = {
    "ExportOptions": "idskit.export.export_options",
    "ExportReport": "idskit.export.exporter",
    "export": "idskit.export.exporter",
}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
