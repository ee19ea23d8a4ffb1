"""What training and evaluation found, as tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from idskit.metrics import false_alerts_per_hour
from idskit.training.views.capture_tables import show_wild

GROUPS_SHOWN = 30
ONE_SEED = (
    "one seed: how far other seeds are from these numbers is not known (--seeds 5, or --html, "
    "which trains five)"
)
MEASURE_NAMES = {
    "roc_auc": "ROC AUC",
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "calibration_error": "calibration error",
    "false_positive_rate_at_threshold": "FPR at threshold",
    "true_positive_rate_at_threshold": "TPR at threshold",
    "accuracy_at_threshold": "accuracy at thr.",
    "macro_f1_at_threshold": "macro-F1 at thr.",
    "named_accuracy_at_threshold": "accuracy, named at thr.",
    "named_macro_f1_at_threshold": "macro-F1, named at thr.",
}
LEFT_OUT = (
    "attacks left out: trained again without each, its rows judged at the threshold of the rest"
)


def show_metrics(document: Mapping[str, Any], console: Console) -> None:
    """Print metrics.json: the network beside LightGBM on the same test rows, then the groups."""
    baseline = document["baseline"]
    title = f"{document['dataset']}, protocol {document['protocol']}: test rows"
    _show(title, {"network": document["test"], baseline["name"]: baseline["test"]}, console)
    if "seeds" in document:
        _show_seeds(document["seeds"], baseline["name"], console)
    else:
        console.print(ONE_SEED, highlight=False)
    if "left_out" in document:
        _show_left_out(document["left_out"], console)
    _show_groups(document["groups"], console)
    _show_notes(document["notes"], console)
    console.print(f"stopped at epoch {document['epochs']}, best {document['best_epoch']}")
    effort = document["training"]
    console.print(
        f"training steps: {effort['records_per_second']:,.0f} records/s on {effort['device']}, "
        f"{effort['precision']}, {effort['threads']} threads, {effort['processes']} processes",
        highlight=False,
    )


def show_evaluation(result: Mapping[str, Any], console: Console) -> None:
    """Print what ``evaluate`` returned."""
    if "wild" in result:
        show_wild(result, console)
        return
    rows = f"transfer from {result['trained_on']}" if result["transfer"] else "test rows"
    title = f"{result['dataset']}, protocol {result['protocol']}: {rows}"
    name = f"{result['model']} ({result['runtime']})"
    _show(title, {name: result["test"]}, console)
    _show_groups(result["groups"], console)
    _show_notes(result["notes"], console)


def _show(title: str, columns: Mapping[str, Mapping[str, Any]], console: Console) -> None:
    table = Table(title=escape(title), title_justify="left")
    table.add_column("measure")
    for name in columns:
        table.add_column(escape(name), justify="right")
    found = [dict(lines(summary)) for summary in columns.values()]
    for measure in found[0]:
        table.add_row(measure, *(line.get(measure, "-") for line in found))
    console.print(table)
    for remark in unresolved(columns.values()):
        console.print(remark, highlight=False)


def unresolved(summaries: Iterable[Mapping[str, Any]]) -> list[str]:
    """What the rows are too few for, in words: rates marked with an asterisk."""
    for summary in summaries:
        if any(_is_unresolved(summary, rate) for rate in summary["tpr_at_fpr"]):
            least = 100 * summary["least_false_positive_rate"]
            return [
                f"* {summary['benign_rows']:,} benign rows cannot resolve this rate: no false "
                f"positive among them bounds it by 3 / n, {least:.2g} %, and no lower"
            ]
    return []


def _is_unresolved(summary: Mapping[str, Any], rate: str) -> bool:
    least = summary["least_false_positive_rate"]
    return least is not None and float(rate) < least


def _show_seeds(seeds: Mapping[str, Any], baseline: str, console: Console) -> None:
    """Mean, standard deviation and range of every measure over the seeds."""
    title = f"test rows, {len(seeds['seeds'])} seeds: mean ± standard deviation (lowest to highest)"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for name in ("measure", "network", escape(baseline)):
        table.add_column(name, justify="left" if name == "measure" else "right")
    for row in spread_rows(seeds):
        table.add_row(*map(escape, row))
    console.print(table)
    console.print(f"kept: seed {seeds['kept']}, whose validation loss is the {seeds['kept_loss']}")


def _show_left_out(left_out: Mapping[str, Any], console: Console) -> None:
    table = Table(title=LEFT_OUT, title_justify="left")
    for name in ("attack", "rows", "found", "FPR", "AUC"):
        table.add_column(name, justify="left" if name == "attack" else "right")
    for cells in left_out_rows(left_out):
        table.add_row(*map(escape, cells))
    console.print(table)
    _show_notes(left_out["notes"], console)


def left_out_rows(left_out: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Attack, rows, share found, false positives and AUC of each attack left out, and the mean."""
    rows = [
        (
            name,
            f"{found['rows']:,}",
            _share(found["found"]),
            _share(found["false_positive_rate"]),
            _share(found["roc_auc"]),
        )
        for name, found in left_out["attacks"].items()
    ]
    means = (_share(left_out["mean"][name]) for name in ("found", "false_positive_rate", "roc_auc"))
    return [*rows, ("mean, every attack alike", "", *means)]


def ranged(of_seeds: Mapping[str, float] | None) -> str:
    """Mean, standard deviation and range; shares with four decimals, counts with none."""
    if of_seeds is None:
        return "-"
    of_numbers = [of_seeds[name] for name in ("mean", "std", "min", "max")]
    high = of_seeds["max"]
    digits = 4 if high <= 1 else 0
    numbers = (f"{value:,.{digits}f}".removeprefix("0" * (high <= 1)) for value in of_numbers)
    return "{} ± {} ({} to {})".format(*numbers)


def spread_rows(seeds: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Every measure over the seeds: its name for people, the network's and the baseline's."""
    return [
        (measure_name(name), ranged(network), ranged(seeds["baseline"].get(name)))
        for name, network in seeds["network"].items()
    ]


def measure_name(name: str) -> str:
    """The name for people of a measure of ``seeds.measures``."""
    kind, _, rest = name.partition("tpr_at_fpr_")
    if rest and not kind:
        return f"TPR at {100 * float(rest):g} % FPR"
    kind, _, rest = name.partition("false_alerts_per_hour_")
    if rest and not kind:
        return f"false alerts/h, {int(rest):,}/s"
    return MEASURE_NAMES.get(name) or name.replace("f1_", "F1 ", 1)


def lines(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Every number of a ``metrics.summary`` by its name for people."""
    at = summary["at_threshold"]
    found = [
        ("rows", f"{summary['rows']:,}"),
        ("ROC AUC", _share(summary["roc_auc"])),
        *(
            (
                f"TPR at {100 * float(rate):g} % FPR",
                _share(value) + "*" * _is_unresolved(summary, rate),
            )
            for rate, value in summary["tpr_at_fpr"].items()
        ),
        ("accuracy, most probable class", _share(summary["accuracy"])),
        ("macro-F1, most probable class", _share(summary["macro_f1"])),
        ("accuracy at the threshold", _share(at["accuracy"])),
        ("macro-F1 at the threshold", _share(at["macro_f1"])),
        *_named(summary),
        ("FPR at the threshold", _share(at["false_positive_rate"])),
        ("TPR at the threshold", _share(at["true_positive_rate"])),
        *_alerts(summary),
        ("threshold", _share(summary["threshold"])),
        ("expected calibration error", _share(summary["calibration_error"])),
    ]
    return found + [(f"F1 {name}", _share(value)) for name, value in summary["f1"].items()]


def _named(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Of alerts that name their class, where there is more than one to name."""
    if len(summary["f1"]) == 2:
        return []
    measures = {"accuracy": "named_accuracy", "macro-F1": "named_macro_f1"}
    at = summary["at_threshold"]
    return [(f"{name}, alerts named", _share(at[key])) for name, key in measures.items()]


def _alerts(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """False alerts an hour; where none was seen, what that bounds them by."""
    found = summary["at_threshold"]["false_alerts_per_hour"] or {}
    bound = false_alerts_per_hour(summary["least_false_positive_rate"] or 0)
    return [
        (
            f"false alerts an hour at {int(flows):,} flows/s",
            f"{count:,.0f}" if count else f"none seen: below {bound[flows]:,.0f}",
        )
        for flows, count in found.items()
    ]


def _show_groups(groups: Mapping[str, Mapping[str, Any]], console: Console) -> None:
    """Attacks or captures, the largest first."""
    table = Table(title="alerts by group", title_justify="left")
    for name in ("group", "rows", "alerts", "share"):
        table.add_column(name, justify="left" if name == "group" else "right")
    rows = group_rows(groups)
    for cells in rows[:GROUPS_SHOWN]:
        table.add_row(*map(escape, cells))
    console.print(table)
    if len(rows) > GROUPS_SHOWN:
        console.print(f"and {len(rows) - GROUPS_SHOWN} more groups in the JSON", style="dim")


def group_rows(groups: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Name, rows, alerts and their share of every group, the largest first."""
    mixed = any(group["trained_on"] for group in groups.values())  # else all of them are new
    return [
        (
            name + (" (not in training)" if mixed and not group["trained_on"] else ""),
            f"{group['rows']:,}",
            f"{group['alerts']:,}",
            _share(group["alert_share"]),
        )
        for name, group in sorted(groups.items(), key=lambda item: -item[1]["rows"])
    ]


def _show_notes(notes: list[str], console: Console) -> None:
    for note in notes:
        console.print(f"note: {escape(note)}", highlight=False)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
