"""Texts to numbers: how tables write them, and how they write that there is none."""

from __future__ import annotations

import math
import re

# Of a column of numbers. "-" is how CICFlowMeter's heirs, Zeek and Argus write nothing.
MISSING = frozenset(
    ("", "-", "--", "?", "na", "n/a", "#n/a", "<na>", "nan", "+nan", "-nan", "null", "none", "nil")
)
# Of a column of text, where "-" and "none" are names: UNSW-NB15 has "-" for services it lacks.
EMPTY = frozenset(("", "na", "n/a", "#n/a", "<na>", "nan", "null"))
_UNREMARKABLE = frozenset(("", "nan", "+nan", "-nan"))
_PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?inf(inity)?", re.ASCII)
_GROUPED = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?(e[+-]?\d+)?", re.ASCII)
_HEX = re.compile(r"0x[0-9a-f]{1,16}")
_LONGEST = 100  # characters of a number: what is longer takes long to match
_TRUTH = {"true": 1.0, "false": 0.0}


def number(text: str, grouped: bool = True) -> float | None:
    """Read a number; NaN where the text stands for none, None where it is something else.

    Args:
        text: of a cell.
        grouped: whether a comma separates thousands; where commas do not separate columns, it may
            be a decimal comma as well, and a number with one is none.

    Example:
        >>> number("1,234.5"), number("0x1F"), number("-"), number("many")
        (1234.5, 31.0, nan, None)
    """
    plain = text.strip().lower()
    if len(plain) > _LONGEST:
        return None
    if plain in MISSING:
        return math.nan
    if _PLAIN.fullmatch(plain):
        return float(plain)
    if grouped and _GROUPED.fullmatch(plain):
        return float(plain.replace(",", ""))
    if _HEX.fullmatch(plain):
        return float(int(plain, 16))
    return _TRUTH.get(plain)


def remark(text: str) -> str:
    """Say how a number is written where that is worth a note, else nothing."""
    plain = text.strip().lower()
    if plain in MISSING:
        return "" if plain in _UNREMARKABLE else f"{text.strip()!r} read as missing"
    if plain in _TRUTH:
        return "true and false read as 1 and 0"
    if plain.startswith("0x"):
        return "hexadecimal numbers"
    return "numbers with thousands separators" if "," in plain else ""
