"""A trained network to one ONNX file: fold, lower, quantise, verify."""

from __future__ import annotations

from typing import TYPE_CHECKING

from idskit.faces import lazy

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

__getattr__ = lazy(__name__, _LAZY)
