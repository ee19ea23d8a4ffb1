"""Show the lab's activities and what was recorded, for people."""

from __future__ import annotations

from rich.console import Console

from idskit.lab.activities.activity_table import ACTIVITIES
from idskit.lab.run_lab import LabReport, lack
from idskit.report.section import Section, show_sections


def show_activities(console: Console) -> None:
    """Print every activity: what it is, what it runs, what this machine lacks for it."""
    rows = ((a.name, a.category, a.command, lack(a) or "ready") for a in ACTIVITIES.values())
    columns = ("activity", "category", "command", "here")
    title = f"{len(ACTIVITIES)} activities"
    show_sections([Section(title=title, columns=columns, rows=tuple(rows), words=4)], console)


def show_report(report: LabReport, console: Console) -> None:
    """Print what was recorded and what was left out."""
    rows = (
        (one.activity, one.category, one.link, one.ended, f"{one.flows:,}", f"{one.seconds:.1f}")
        for one in report.recorded
    )
    columns = ("activity", "category", "link", "ended", "flows", "seconds")
    title = f"{len(report.recorded)} captures"
    show_sections([Section(title=title, columns=columns, rows=tuple(rows), words=4)], console)
    for name, reason in report.left_out.items():
        console.print(f"left out: {name}: {reason}", highlight=False)
