"""The report of a run as one HTML page: tables and pictures, nothing fetched from afar."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from idskit.files.output import write_whole
from idskit.training.views.training_tables import (
    LEFT_OUT,
    ONE_SEED,
    group_rows,
    left_out_rows,
    lines,
    spread_rows,
    unresolved,
)

SEEDS = 5  # of a report, where none are asked for
PICTURES = {
    "seeds.png": "Spread over the seeds",
    "roc.png": "ROC of the run that was kept",
    "reliability.png": "Reliability: does a probability mean what it says?",
    "confusion.png": "Confusion",
    "loss.png": "Training",
    "filter-bank.png": "Mel filter bank",
}
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #22272e; background: #fff; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .3rem; }
p { margin: .3rem 0; } .about { color: #57606a; } .leak { color: #a40e26; }
table { border-collapse: collapse; margin: .5rem 0; display: block; overflow-x: auto; }
th, td { padding: .2rem .7rem; border-bottom: 1px solid #d8dee4; }
th { text-align: left; font-weight: 600; } .n { text-align: right; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
img { max-width: 100%; height: auto; display: block; }
"""

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
    text = page(document, folder)
    write_whole(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def page(document: Document, folder: Path) -> str:
    """The page's text."""
    title = f"{document['dataset']}, protocol {document['protocol']}"
    parts = [
        f"<h1>Intrusion detection: {escape(title)}</h1>",
        *_about(document),
        *_spread(document),
        *_measures(document),
        *_left_out(document),
        *(_picture(folder / name, heading) for name, heading in PICTURES.items()),
        *_groups(document),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body>{''.join(parts)}</body></html>\n"
    )


def _about(document: Document) -> list[str]:
    rows, effort = document["rows"], document["training"]
    counts = ", ".join(f"{count:,} {name}" for name, count in rows.items())
    said = [
        f"Rows: {counts}. Classes: {', '.join(document['classes'])}. Thresholds were chosen on "
        "validation rows; nothing in this run was chosen by its test rows.",
        f"Training: {effort['records_per_second']:,.0f} records/s on {effort['device']}, "
        f"{effort['precision']}, {effort['threads']} threads, {effort['processes']} processes; "
        f"epoch {document['best_epoch']} of {document['epochs']} kept.",
        *document["notes"],
    ]
    return [_said(line) for line in said]


def _said(line: str) -> str:
    return f"<p class={'leak' if line.startswith('leak') else 'about'}>{escape(line)}</p>"


def _spread(document: Document) -> list[str]:
    if "seeds" not in document:
        return [_said(ONE_SEED)]
    seeds, baseline = document["seeds"], document["baseline"]["name"]
    about = (
        f"Seeds {', '.join(map(str, seeds['seeds']))} on one division of the data: mean ± standard "
        f"deviation (lowest to highest). Kept: seed {seeds['kept']}, whose validation loss is the "
        f"{seeds['kept_loss']}."
    )
    columns = ("measure", "network", baseline)
    return [_table("Test rows, all seeds", columns, spread_rows(seeds), about)]


def _measures(document: Document) -> list[str]:
    kept = f", seed {document['seeds']['kept']}" if "seeds" in document else ""
    baseline = document["baseline"]
    ours, theirs = dict(lines(document["test"])), dict(lines(baseline["test"]))
    rows = [(name, value, theirs.get(name, "-")) for name, value in ours.items()]
    remarks = " ".join(unresolved([document["test"]]))
    return [_table(f"Test rows{kept}", ("measure", "network", baseline["name"]), rows, remarks)]


def _left_out(document: Document) -> list[str]:
    if "left_out" not in document:
        return []
    columns = ("attack", "rows", "found", "false positives", "AUC")
    about = " ".join([f"{LEFT_OUT.capitalize()}.", *document["left_out"]["notes"]])
    return [_table("Leave one attack out", columns, left_out_rows(document["left_out"]), about)]


def _groups(document: Document) -> list[str]:
    rows = group_rows(document["groups"])
    return [_table("Alerts by group", ("group", "rows", "alerts", "share"), rows, "")]


def _picture(file: Path, heading: str) -> str:
    if not file.is_file():
        return ""
    data = b64encode(file.read_bytes()).decode()
    return (
        f"<h2>{escape(heading)}</h2>"
        f'<img alt="{escape(heading)}" src="data:image/png;base64,{data}">'
    )


def _table(heading: str, columns: Sequence[str], rows: Iterable[Sequence[str]], about: str) -> str:
    def row(cells: Iterable[str], tag: str) -> str:
        made = (
            f"<{tag}{' class=n' if index else ''}>{escape(cell)}</{tag}>"
            for index, cell in enumerate(cells)
        )
        return f"<tr>{''.join(made)}</tr>"

    body = "".join(row(cells, "td") for cells in rows)
    return (
        f"<h2>{escape(heading)}</h2><p class=about>{escape(about)}</p>"
        f"<table><thead>{row(columns, 'th')}</thead><tbody>{body}</tbody></table>"
    )
