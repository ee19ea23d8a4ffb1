"""Report what an audit found: on a terminal, as JSON and as a page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.console import Console

from idskit.audit.checks.permuted_labels import PermutedRun
from idskit.report.finding import Finding, Severity, findings_section, listed
from idskit.report.html_page import heading, html_page, paragraph, table
from idskit.report.section import show_sections

_SEVERITIES: tuple[Severity, ...] = ("leak", "warning", "note")  # of an audit, worst first


@dataclass(frozen=True, kw_only=True)
class AuditReport:
    """What an audit examined, and what it found."""

    train: str  # name of the table, or of the training rows
    rows: int
    rows_looked_at: int  # rows seen by checks of columns; checks of rows see all
    columns: int  # features
    labels: tuple[str, ...]
    test: str | None
    test_rows: int | None
    seed: int
    findings: tuple[Finding, ...]  # worst first
    permuted: PermutedRun | None  # None if it was not asked for
    notes: tuple[str, ...] = ()  # notes on what was read, and of the data set

    def count(self, severity: str) -> int:
        """Return the number of findings of one severity."""
        return sum(finding.severity == severity for finding in self.findings)

    def show(self, console: Console) -> None:
        """Print the counts, the notes and the findings."""
        for line in self._lines():
            console.print(line, highlight=False, markup=False)
        if self.findings:
            show_sections([findings_section(self.findings)], console)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object with the names of the fields."""
        return {
            "train": self.train,
            "rows": self.rows,
            "rows_looked_at": self.rows_looked_at,
            "columns": self.columns,
            "labels": list(self.labels),
            "test": self.test,
            "test_rows": self.test_rows,
            "seed": self.seed,
            "counts": {severity: self.count(severity) for severity in _SEVERITIES},
            "findings": [finding.to_json() for finding in self.findings],
            "permuted": None if self.permuted is None else self.permuted.to_json(),
            "notes": list(self.notes),
        }

    def to_html(self) -> str:
        """Return the report as a page that needs no other file."""
        title = f"Audit of {self.train}"
        lines = map(paragraph, self._lines())
        found = [table(findings_section(self.findings))] if self.findings else []
        return html_page(title, [heading(title), *lines, *found])

    def _lines(self) -> list[str]:
        looked = (
            f" (columns examined on {self.rows_looked_at:,} of them, drawn with seed {self.seed})"
            if self.rows_looked_at < self.rows
            else ""
        )
        test = f"; test {self.test}: {self.test_rows:,} rows" if self.test else ""
        counts = ", ".join(_counted(self.count(severity), severity) for severity in _SEVERITIES)
        return [
            f"{self.train}: {self.rows:,} rows{looked}, {self.columns} features, label "
            f"{listed(self.labels)}{test}",
            counts,
            *([] if self.permuted is None else [_permuted_line(self.permuted)]),
            *(f"note: {note}" for note in self.notes),
        ]


def _counted(count: int, severity: str) -> str:
    return f"{count or 'no'} {severity}{'' if count == 1 else 's'}"


def _permuted_line(run: PermutedRun) -> str:
    verdict = "at chance" if run.at_chance else "ABOVE CHANCE"
    return (
        f"permuted labels: AUC {run.auc:.4f}, {verdict} ({run.chance_low:.4f} to "
        f"{run.chance_high:.4f}; split {run.split}, {run.train_records:,} training and "
        f"{run.test_records:,} test records)"
    )
