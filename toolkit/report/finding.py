"""A finding: one thing that a check found, what it means, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from idskit.report.section import Section

Severity = Literal["leak", "error", "warning", "note", "ok"]
SEVERITIES: tuple[Severity, ...] = ("leak", "error", "warning", "note", "ok")  # worst first


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that a check found.

    Attributes:
        check: name of the check, such as ``linear-label`` or ``memory``.
        severity: ``leak``: results on these columns or this split mean nothing; ``error``:
            ``idskit detect`` cannot run; ``warning``: it works, but results mean less or speed is
            lower; ``note``: a fact that explains results; ``ok``: nothing to do.
        columns: of a table, that it is about; empty if it is about rows or about the machine.
        evidence: what was found, in numbers where there are any.
        meaning: what that means.
        advice: what to do; empty if nothing is to be done.
        numbers: the evidence, for machines.
    """

    check: str
    severity: Severity
    columns: tuple[str, ...] = ()
    evidence: str
    meaning: str
    advice: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object with the names of the fields."""
        return asdict(self)


def finding_counts(findings: Iterable[Finding]) -> dict[str, int]:
    """Count the findings of each severity, the worst first."""
    seen = [finding.severity for finding in findings]
    return {severity: seen.count(severity) for severity in SEVERITIES}


def findings_section(findings: Iterable[Finding], title: str = "") -> Section:
    """Return findings as a table, with a column of columns where any finding names some."""
    shown = list(findings)
    named = any(finding.columns for finding in shown)
    return Section(
        title=title,
        columns=("severity", "check", *(["columns"] * named), "found", "what it means, what to do"),
        rows=tuple(_row(finding, named) for finding in shown),
        words=5,
        severities=tuple(finding.severity for finding in shown),
    )


def _row(finding: Finding, named: bool) -> tuple[str, ...]:
    advice = f"\n→ {finding.advice}" if finding.advice else ""
    columns = [listed(finding.columns)] if named else []
    return (
        finding.severity,
        finding.check,
        *columns,
        finding.evidence,
        f"{finding.meaning}{advice}",
    )


def listed(names: tuple[str, ...] | list[str], most: int = 12) -> str:
    """Return names for a sentence, the first ``most`` of them."""
    shown = ", ".join(repr(name) if not name.isidentifier() else name for name in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")
