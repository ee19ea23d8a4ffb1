"""Show incidents as a table for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE
from rich.table import Table

from idskit.alerts.eve import eve_time
from idskit.incidents.incident import Incident
from idskit.report.text import shown

MOST_SHOWN = 50
_SEVERITIES = {1: "[red]high[/red]", 2: "medium"}


def table_of_incidents(incidents: Sequence[Incident]) -> Table:
    """Return incidents as a table, the most severe first, at most MOST_SHOWN of them."""
    table = Table(box=SIMPLE, pad_edge=False, padding=(0, 0, 0, 1))
    table.add_column("incident", overflow="fold")
    table.add_column("seen (UTC)")
    table.add_column("flows", justify="right")
    table.add_column("what happened", overflow="fold", ratio=1)
    ranked = sorted(incidents, key=lambda found: (found.severity, found.started_us))
    for found in ranked[:MOST_SHOWN]:
        table.add_row(
            f"{shown(found.family)}\n[dim]{_SEVERITIES[found.severity]}[/dim]",
            _period(found),
            f"{found.flows:,}",
            "" if found.explanation is None else shown(found.explanation.sentence),
        )
    if len(ranked) > MOST_SHOWN:
        table.add_row(f"and {len(ranked) - MOST_SHOWN:,} more", "", "", "")
    return table


def counted(number: int, noun: str) -> str:
    """Return a number with its noun.

    Example:
        >>> counted(1, "incident"), counted(1200, "alert"), counted(0, "alert")
        ('1 incident', '1,200 alerts', 'no alerts')
    """
    return f"{f'{number:,}' if number else 'no'} {noun}{'' if number == 1 else 's'}"


def _period(found: Incident) -> str:
    first, last = (
        eve_time(time)[:19].replace("T", " ") for time in (found.started_us, found.updated_us)
    )
    return f"{first}\n… {last[11:] if first[:10] == last[:10] else last}"
