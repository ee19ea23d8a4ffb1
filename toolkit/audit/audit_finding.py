"""A finding of an audit: columns, evidence, meaning and advice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Severity = Literal["leak", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("leak", "warning", "note")  # worst first


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One fact that whoever reads results on this table has to know.

    ``leak``: results on these columns or this split mean nothing. ``warning``: they mean less than
    they seem to. ``note``: a fact that explains them.
    """

    check: str  # name of the check, such as linear-label
    severity: Severity
    columns: tuple[str, ...]  # empty where the finding is about rows
    evidence: str  # in numbers
    meaning: str
    advice: str
    numbers: Mapping[str, float] = field(default_factory=dict)  # the evidence, for machines

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object with the names of the fields."""
        return asdict(self)


def listed(names: tuple[str, ...] | list[str], most: int = 12) -> str:
    """Return names for a sentence, the first ``most`` of them."""
    shown = ", ".join(repr(name) if not name.isidentifier() else name for name in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")
