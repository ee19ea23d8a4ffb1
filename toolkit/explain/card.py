"""A card for one incident or flow: why it has its score, as HTML of less than 20 kB.

Nothing is fetched and nothing runs: no script, no style attribute, no link. Whatever text comes
from the network is escaped, and long lists are cut with the number of what was cut.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log, log1p
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idskit.explain.explanation_tables import evidence_table, features_table, undoing
from idskit.explain.flow_train import flow_train
from idskit.explain.host_day import HostDay, host_day
from idskit.explain.packet_train import packet_train
from idskit.explain.share_bars import share_bars
from idskit.incidents.incident import Explanation, Incident
from idskit.incidents.sentence import sentence
from idskit.report.html_page import heading, html_page, paragraph, table
from idskit.report.section import Section
from idskit.report.svg import NOTHING, Chart
from idskit.report.text import cut
from idskit.schema import Schema

MOST_BYTES = 20_000
_ROWS = 12  # of a table
_LETTERS = 80  # of a cell
_SENTENCE = 600  # letters
_HOURS = (
    "Flows in each hour (UTC); the height grows with the root of their number. Orange: hours of "
    "this incident."
)


_TRAIN = (
    "Above: flows that began in each stretch of time. Below: how strongly they come and go, by "
    "time and frequency, fast ones on top. A frame marks a rhythm that stands out, with its period."
)


@dataclass(frozen=True, kw_only=True)
class FlowRow:
    """The features of the flow that is explained, for a picture of its packets."""

    schema: Schema
    row: NDArray[Any]  # (features,)


def card_html(
    explanation: Explanation,
    *,
    incident: Incident | None = None,
    flow: FlowRow | None = None,
    day: HostDay | None = None,
    threshold: float | None = None,
) -> str:
    """Return the card as a part of a page.

    Args:
        explanation: what ``explain_flow`` returned, or what an incident carries.
        incident: whose evidence and sentence it shows.
        flow: whose first packets it draws, where its schema has them.
        day: of the device, as ``HostDays.of`` returns it.
        threshold: score from which on there is an alert.
    """
    said = explanation.sentence or (sentence(incident) if incident else "")
    train = packet_train(flow.schema, np.asarray(flow.row)) if flow else NOTHING
    hours = host_day(day) if day else NOTHING
    parts = [
        heading(cut(said, _SENTENCE), 2) if said else "",
        _facts(incident),
        _table(evidence_table(incident)),
        _figure(
            "What raises the score",
            share_bars(explanation, threshold),
            _how(explanation, threshold),
        ),
        _table(features_table(explanation)),
        _figure("Flows of the incident by time", flow_train(incident.train), _TRAIN)
        if incident
        else "",
        _figure("The last 24 hours of the device", hours, _HOURS),
        _figure("First packets", train, "Up: from the side that began. Down: from the other side."),
    ]
    return f"<article class=why>{''.join(parts)}</article>"


def card_page(
    explanation: Explanation,
    *,
    incident: Incident | None = None,
    flow: FlowRow | None = None,
    day: HostDay | None = None,
    threshold: float | None = None,
) -> str:
    """Return the card as a page of its own; see ``card_html``."""
    part = card_html(explanation, incident=incident, flow=flow, day=day, threshold=threshold)
    return html_page(
        "Why" if incident is None else f"Why {cut(incident.incident_id, _LETTERS)}", (part,)
    )


def _facts(incident: Incident | None) -> str:
    if incident is None:
        return ""
    severity = {1: "high", 2: "medium"}.get(incident.severity, str(incident.severity))
    return paragraph(
        f"{cut(incident.family, _LETTERS)}, {cut(incident.technique, _LETTERS)} of MITRE ATT&CK, "
        f"severity {severity}, confidence {100 * incident.confidence:.0f} %, "
        f"{incident.flows:,} flow{'s' * (incident.flows != 1)}"
    )


def _how(explanation: Explanation, threshold: float | None) -> str:
    """Return how the shares came about, and which groups alone would undo an alert."""
    if threshold is None or not 0 < threshold < 1:
        return explanation.method
    alert = log(threshold) - log1p(-threshold)
    return f"{explanation.method} {undoing(explanation, alert)}".strip()


def _figure(title: str, chart: Chart, note: str) -> str:
    """Return a drawing with its heading; nothing for an empty one."""
    if not chart:
        return ""
    caption = f"<figcaption>{paragraph(cut(note, _SENTENCE))}</figcaption>" if note else ""
    return f"{heading(title, 2)}<figure>{chart.svg()}{caption}</figure>"


def _table(section: Section) -> str:
    """Return a table of which no cell and no number of rows fills the card; nothing if empty."""
    if not section.rows:
        return ""
    rows = [tuple(cut(cell, _LETTERS) for cell in row) for row in section.rows[:_ROWS]]
    more = len(section.rows) - len(rows)
    left = f"{more:,} more are not shown." if more else ""
    caption = f"{section.caption} {left}".strip()
    return table(replace(section, rows=tuple(rows), caption=caption))
