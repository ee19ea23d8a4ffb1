"""Show incidents as a table for people."""

from __future__ import annotations

from collections.abc import Sequence

from idskit.alerts.eve import eve_time
from idskit.incidents.incident import Incident
from idskit.report.section import Section
from idskit.report.text import visible

MOST_SHOWN = 50
SEVERITIES = {1: "high", 2: "medium"}
TONES = {1: "error", 2: "warning"}  # of a table's row, by the severity of an incident


def incidents_section(incidents: Sequence[Incident]) -> Section:
    """Return incidents as a table, the most severe first, at most MOST_SHOWN of them."""
    ranked = sorted(incidents, key=lambda found: (found.severity, found.started_us))
    more = len(ranked) - MOST_SHOWN
    return Section(
        title="",
        columns=("incident", "seen (UTC)", "what happened", "flows"),
        rows=tuple(map(_row, ranked[:MOST_SHOWN])),
        caption=f"and {more:,} more" if more > 0 else "",
        words=3,
        severities=tuple(TONES[found.severity] for found in ranked[:MOST_SHOWN]),
    )


def _row(found: Incident) -> tuple[str, str, str, str]:
    return (
        f"{visible(found.family)}\n{SEVERITIES[found.severity]}",
        _period(found),
        "" if found.explanation is None else visible(found.explanation.sentence),
        f"{found.flows:,}",
    )


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
