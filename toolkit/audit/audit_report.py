"""Report what an audit found: for people, for machines and as a page."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape as html_escape
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from idskit.audit.audit_finding import SEVERITIES, Finding, listed
from idskit.audit.checks.permuted_labels import PermutedRun

_COLOURS = {"leak": "red", "warning": "yellow", "note": "cyan"}
_PAGE = """<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><title>Audit of {title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 70em; margin: 2em auto; padding: 0 1em }}
table {{ border-collapse: collapse }} td, th {{ padding: .4em .8em; border-bottom: 1px solid #ccc;
text-align: left; vertical-align: top }} .leak {{ color: #b00020 }} .warning {{ color: #8a5a00 }}
.note {{ color: #00609a }}
</style>
<h1>Audit of {title}</h1>
{lines}
<table><tr><th>severity</th><th>check</th><th>columns</th><th>evidence</th><th>what it means</th>
<th>what to do</th></tr>
{rows}
</table></html>
"""


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
        """Print the report."""
        for line in self._lines():
            console.print(escape(line), highlight=False)
        if self.findings:
            console.print(self._table())

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
            "counts": {severity: self.count(severity) for severity in SEVERITIES},
            "findings": [finding.to_json() for finding in self.findings],
            "permuted": None if self.permuted is None else self.permuted.to_json(),
            "notes": list(self.notes),
        }

    def to_html(self) -> str:
        """Return the report as a page that needs no other file."""
        return _PAGE.format(
            title=html_escape(self.train),
            lines="\n".join(f"<p>{html_escape(line)}</p>" for line in self._lines()),
            rows="\n".join(map(_html_row, self.findings)),
        )

    def _lines(self) -> list[str]:
        looked = (
            f", columns judged by {self.rows_looked_at:,} of them drawn with seed {self.seed}"
            if self.rows_looked_at < self.rows
            else ""
        )
        test = f"; test {self.test}: {self.test_rows:,} rows" if self.test else ""
        counts = ", ".join(_counted(self.count(severity), severity) for severity in SEVERITIES)
        return [
            f"{self.train}: {self.rows:,} rows{looked}, {self.columns} features, label "
            f"{listed(self.labels)}{test}",
            counts,
            *([] if self.permuted is None else [_permuted_line(self.permuted)]),
            *(f"note: {note}" for note in self.notes),
        ]

    def _table(self) -> Table:
        table = Table(box=SIMPLE, pad_edge=False, show_lines=True)
        table.add_column("check", no_wrap=True)
        table.add_column("columns", overflow="fold", ratio=1)
        table.add_column("evidence, meaning, what to do", overflow="fold", ratio=3)
        for finding in self.findings:
            colour = _COLOURS[finding.severity]
            table.add_row(
                f"[bold {colour}]{finding.severity}[/]\n{finding.check}",
                escape(listed(finding.columns)),
                f"{escape(finding.evidence)}\n{escape(finding.meaning)}\n"
                f"[dim]→ {escape(finding.advice)}[/dim]",
            )
        return table


def _counted(count: int, severity: str) -> str:
    return f"{count or 'no'} {severity}{'' if count == 1 else 's'}"


def _permuted_line(run: PermutedRun) -> str:
    verdict = "at chance" if run.at_chance else "ABOVE CHANCE"
    return (
        f"permuted labels: AUC {run.auc:.4f}, {verdict} ({run.chance_low:.4f} to "
        f"{run.chance_high:.4f}; split {run.split}, {run.train_records:,} training and "
        f"{run.test_records:,} test records)"
    )


def _html_row(finding: Finding) -> str:
    cells = (
        finding.check,
        ", ".join(finding.columns),
        finding.evidence,
        finding.meaning,
        finding.advice,
    )
    rest = "".join(f"<td>{html_escape(cell)}</td>" for cell in cells)
    return f'<tr><td class="{finding.severity}">{finding.severity}</td>{rest}</tr>'
