"""An explanation as text for a terminal."""

from __future__ import annotations

from io import StringIO

from idskit.explain.explanation_tables import evidence_table, features_table, groups_table
from idskit.incidents.incident import Explanation, Incident
from idskit.incidents.sentence import sentence


def to_text(explanation: Explanation, incident: Incident | None = None, *, width: int = 100) -> str:
    """Return the sentence, the evidence, the shares of groups and the leading features."""
    from rich.console import Console

    from idskit.report.console import guarded
    from idskit.report.section import show_sections
    from idskit.report.text import shown

    out = StringIO()
    console = guarded(Console(file=out, width=width, color_system=None))
    said = explanation.sentence or (sentence(incident) if incident else "")
    if said:
        console.print(shown(said), highlight=False)
    tables = (evidence_table(incident), groups_table(explanation), features_table(explanation))
    show_sections([table for table in tables if table.rows], console)
    return out.getvalue()
