"""Show the lab's activities and what was recorded, for people."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from idskit.lab.activities.activity_table import ACTIVITIES
from idskit.lab.run_lab import LabReport, lack


def show_activities(console: Console) -> None:
    """Print every activity: what it is, what it runs, what this machine lacks for it."""
    table = Table(title=f"{len(ACTIVITIES)} activities", title_justify="left")
    for name in ("activity", "category", "command", "here"):
        table.add_column(name)
    for activity in ACTIVITIES.values():
        here = lack(activity) or "ready"
        table.add_row(activity.name, activity.category, escape(activity.command), here)
    console.print(table)


def show_report(report: LabReport, console: Console) -> None:
    """Print what was recorded and what was left out."""
    table = Table(title=f"{len(report.recorded)} captures", title_justify="left")
    for name in ("activity", "category", "link", "flows", "seconds", "ended"):
        table.add_column(name, justify="right" if name in ("flows", "seconds") else "left")
    for item in report.recorded:
        numbers = f"{item.flows:,}", f"{item.seconds:.1f}"
        table.add_row(item.activity, item.category, item.link, *numbers, item.ended)
    console.print(table)
    for name, reason in report.left_out.items():
        console.print(f"left out: {name}: {reason}", highlight=False)
