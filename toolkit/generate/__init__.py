"""Captures made by code: benign traffic and attacks, with the true label of every flow."""

from idskit.generate.generate_capture import LABEL_COLUMNS, GeneratedCapture, generate
from idskit.generate.mixes import MIXES

__all__ = ["LABEL_COLUMNS", "MIXES", "GeneratedCapture", "generate"]
