"""What was found of captures that a model never saw, as tables for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

NAMES = {"network": "network", "lightgbm": "LightGBM"}  # of models, as they are shown


def show_wild(result: Mapping[str, Any], console: Console) -> None:
    """Print what ``evaluate`` found on captures that the model never saw."""
    found = result["wild"]
    title = f"captures never seen, by {result['model']} at {result['threshold']:.4g}"
    _show_measures(title, {result["model"]: found}, console)
    _show_details(found, console)
    for note in result["notes"]:
        console.print(f"note: {escape(note)}", highlight=False)


def show_left_out(found: Mapping[str, Any], console: Console) -> None:
    """Print what ``leave_captures_out`` found, each kind of what was left out."""
    for kind, result in found.items():
        models = {NAMES[name]: result[name] for name in NAMES if name in result}
        title = f"{kind} left out in turn, {len(result['folds'])} folds"
        _show_measures(title, models, console)
        _show_details(next(iter(models.values())), console)
    for note in next(iter(found.values()))["notes"]:
        console.print(f"note: {escape(note)}", highlight=False)


def _show_measures(title: str, models: Mapping[str, Any], console: Console) -> None:
    """Print a table of the models, each with its intervals."""
    table = Table(title=escape(title), title_justify="left")
    table.add_column("measure")
    for name in models:
        table.add_column(escape(name), justify="right")
        table.add_column("95 % interval", justify="right")
    columns = [wild_rows(found) for found in models.values()]
    for rows in zip(*columns, strict=True):
        table.add_row(rows[0][0], *(cell for row in rows for cell in row[1:]))
    console.print(table)


def _show_details(found: Mapping[str, Any], console: Console) -> None:
    """Print by kind of attack, by repository and by what shows the attack."""
    for title in ("categories", "where", "repositories", "probes"):
        if found[title]:
            _show_shares(title, found[title], console)
    console.print(f"{len(found['wrong']):,} captures are judged wrongly: --json names them")


def wild_rows(found: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return measure, value and interval of what ``unseen_captures.report`` gives."""
    shares = {
        "benign captures with anything raised": found["captures"]["benign"],
        "attack captures with anything raised": found["captures"]["attack"],
        "benign flows flagged": found["benign_flows"],
    }
    area, interval = found["roc_auc"], found["roc_auc_interval"]
    between = f"{interval[0]:.3f} to {interval[1]:.3f}" if interval else "one repository"
    return [
        *((name, *_counted(share)) for name, share in shares.items()),
        ("AUC over captures", f"{area:.3f}", between),
        *(
            (f"attacks found, {float(rate):.0%} of benign captures flagged", *_counted(share))
            for rate, share in found["found_at"].items()
        ),
    ]


def _counted(share: Mapping[str, Any]) -> tuple[str, str]:
    if not share["of"]:
        return "none", ""
    low, high = share["interval"]
    text = f"{share['raised']:,} of {share['of']:,} ({share['share']:.1%})"
    return text, f"{low:.1%} to {high:.1%}"


def _show_shares(title: str, shares: Mapping[str, Any], console: Console) -> None:
    table = Table(title=f"by {title}", title_justify="left")
    for name in ("name", "anything raised", "95 % interval", "above 5 % of benign captures"):
        table.add_column(name, justify="left" if name == "name" else "right")
    for name, share in shares.items():
        table.add_row(escape(name), *_counted(share), f"{share['found']:,}")
    console.print(table)
