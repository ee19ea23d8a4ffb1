"""What training and evaluation found, as tables for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

GROUPS_SHOWN = 30


def show_metrics(document: Mapping[str, Any], console: Console) -> None:
    """Print metrics.json: the network beside LightGBM on the same test rows, then the groups."""
    baseline = document["baseline"]
    title = f"{document['dataset']}, protocol {document['protocol']}: test rows"
    _show(title, {"network": document["test"], baseline["name"]: baseline["test"]}, console)
    if "seeds" in document:
        _show_seeds(document["seeds"], baseline["name"], console)
    _show_groups(document["groups"], console)
    _show_notes(document["notes"], console)
    console.print(f"stopped at epoch {document['epochs']}, best {document['best_epoch']}")


def show_evaluation(result: Mapping[str, Any], console: Console) -> None:
    """Print what ``evaluate`` returned."""
    title = f"{result['dataset']}, protocol {result['protocol']}: test rows"
    name = f"{result['model']} ({result['runtime']})"
    _show(title, {name: result["test"]}, console)
    _show_groups(result["groups"], console)
    _show_notes(result["notes"], console)


def _show(title: str, columns: Mapping[str, Mapping[str, Any]], console: Console) -> None:
    table = Table(title=escape(title), title_justify="left")
    table.add_column("measure")
    for name in columns:
        table.add_column(escape(name), justify="right")
    lines = [dict(_lines(summary)) for summary in columns.values()]
    for measure in lines[0]:
        table.add_row(measure, *(line.get(measure, "-") for line in lines))
    console.print(table)


def _show_seeds(seeds: Mapping[str, Any], baseline: str, console: Console) -> None:
    """Mean, standard deviation and range of every measure over the seeds."""
    title = f"test rows, {len(seeds['seeds'])} seeds: mean ± standard deviation (lowest to highest)"
    table = Table(title=title, title_justify="left")
    for name in ("measure", "network", escape(baseline)):
        table.add_column(name, justify="left" if name == "measure" else "right")
    for measure, network in seeds["network"].items():
        table.add_row(measure, _ranged(network), _ranged(seeds["baseline"][measure]))
    console.print(table)
    console.print(f"kept: seed {seeds['kept']}, whose validation loss is the median")


def _ranged(of_seeds: Mapping[str, float]) -> str:
    mean, std, low, high = (of_seeds[name] for name in ("mean", "std", "min", "max"))
    return f"{mean:.4f} ± {std:.4f} ({low:.4f} to {high:.4f})"


def _lines(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    at = summary["at_threshold"]
    lines = [
        ("rows", f"{summary['rows']:,}"),
        ("ROC AUC", _share(summary["roc_auc"])),
        *(
            (f"TPR at {100 * float(rate):g} % FPR", _share(value))
            for rate, value in summary["tpr_at_fpr"].items()
        ),
        ("accuracy, most probable class", _share(summary["accuracy"])),
        ("macro-F1, most probable class", _share(summary["macro_f1"])),
        ("accuracy at the threshold", _share(at["accuracy"])),
        ("macro-F1 at the threshold", _share(at["macro_f1"])),
        ("FPR at the threshold", _share(at["false_positive_rate"])),
        ("TPR at the threshold", _share(at["true_positive_rate"])),
        ("threshold", _share(summary["threshold"])),
        ("calibration error", _share(summary["calibration_error"])),
    ]
    return lines + [(f"F1 {name}", _share(value)) for name, value in summary["f1"].items()]


def _show_groups(groups: Mapping[str, Mapping[str, Any]], console: Console) -> None:
    """Attacks or captures, the largest first."""
    table = Table(title="alerts by group", title_justify="left")
    for name in ("group", "rows", "alerts", "share"):
        table.add_column(name, justify="left" if name == "group" else "right")
    largest = sorted(groups.items(), key=lambda item: -item[1]["rows"])
    mixed = any(group["trained_on"] for group in groups.values())  # else all of them are new
    for name, group in largest[:GROUPS_SHOWN]:
        new = " (not in training)" if mixed and not group["trained_on"] else ""
        table.add_row(
            escape(name) + new,
            f"{group['rows']:,}",
            f"{group['alerts']:,}",
            _share(group["alert_share"]),
        )
    console.print(table)
    if len(largest) > GROUPS_SHOWN:
        console.print(f"and {len(largest) - GROUPS_SHOWN} more groups in the JSON", style="dim")


def _show_notes(notes: list[str], console: Console) -> None:
    for note in notes:
        console.print(f"note: {escape(note)}", highlight=False)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
