"""A trained network to one ONNX file: fold, lower, quantise, verify."""

from idskit.export.exporter import ExportReport, export
from idskit.export.target import TARGETS

__all__ = ["TARGETS", "ExportReport", "export"]
