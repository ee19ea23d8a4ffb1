"""The report of a run as one HTML page: tables and pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from idskit.report.html_page import heading, html_page, image, paragraph, save_html, table
from idskit.training.views.training_tables import (
    ONE_SEED,
    groups_section,
    left_out_section,
    measures_section,
    seeds_section,
)

SEEDS = 5  # of a report, unless another number is asked for
PICTURES = {
    "seeds.svg": "Spread over the seeds",
    "roc.svg": "ROC of the run that was kept",
    "reliability.svg": "Reliability: does a probability mean what it says?",
    "confusion.svg": "Confusion",
    "loss.svg": "Training",
    "filter-bank.svg": "Mel filter bank",
}

Document = Mapping[str, Any]


def save_page(path: Path, document: Document, folder: Path) -> None:
    """Write the page; it appears under its name only when complete.

    Args:
        path: the HTML file.
        document: what the run's metrics.json holds.
        folder: of the run, whose pictures are put into the page.

    Raises:
        IdskitError: the file cannot be written.
    """
    save_html(path, _title(document), _parts(document, folder))


def page(document: Document, folder: Path) -> str:
    """Return the text of the page."""
    return html_page(_title(document), _parts(document, folder))


def _title(document: Document) -> str:
    return f"{document['dataset']}, protocol {document['protocol']}"


def _parts(document: Document, folder: Path) -> list[str]:
    baseline = document["baseline"]
    found = {"network": document["test"], baseline["name"]: baseline["test"]}
    seeds, left_out = document.get("seeds"), document.get("left_out")
    kept = f", seed {seeds['kept']}" if seeds else ""
    return [
        heading(f"Intrusion detection: {_title(document)}"),
        *_about(document),
        table(seeds_section(seeds, baseline["name"])) if seeds else paragraph(ONE_SEED),
        table(measures_section(f"Test rows{kept}", found)),
        *([table(left_out_section(left_out))] if left_out else []),
        *(image(title, folder / name) for name, title in PICTURES.items()),
        table(groups_section(document["groups"])),
    ]


def _about(document: Document) -> list[str]:
    rows, effort = document["rows"], document["training"]
    counts = ", ".join(f"{count:,} {name}" for name, count in rows.items())
    sentences = [
        f"Rows: {counts}. Classes: {', '.join(document['classes'])}. Thresholds were chosen on "
        "validation rows; nothing in this run was chosen by its test rows.",
        f"Training: {effort['records_per_second']:,.0f} records/s on {effort['device']}, "
        f"{effort['precision']}, {effort['threads']} threads, {effort['processes']} processes; "
        f"epoch {document['best_epoch']} of {document['epochs']} kept.",
        *document["notes"],
    ]
    return [
        paragraph(text, severity="leak" if text.startswith("leak") else "about")
        for text in sentences
    ]
