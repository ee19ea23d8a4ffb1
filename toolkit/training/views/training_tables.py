"""What training and evaluation found, as tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape

from idskit.metrics import false_alerts_per_hour
from idskit.report.section import Section, show_sections
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
LEFT_OUT = "trained again without each attack; its rows are judged at the threshold of the rest"


def show_metrics(document: Mapping[str, Any], console: Console) -> None:
    """Print metrics.json: the network next to LightGBM on the same test rows, then the groups."""
    baseline = document["baseline"]
    title = f"{document['dataset']}, protocol {document['protocol']}: test rows"
    found = {"network": document["test"], baseline["name"]: baseline["test"]}
    show_sections([measures_section(title, found)], console)
    if "seeds" in document:
        show_sections([seeds_section(document["seeds"], baseline["name"])], console)
    else:
        console.print(ONE_SEED, highlight=False)
    if "left_out" in document:
        show_sections([left_out_section(document["left_out"])], console)
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
    show_sections([measures_section(title, {name: result["test"]})], console)
    _show_groups(result["groups"], console)
    _show_notes(result["notes"], console)


def measures_section(title: str, columns: Mapping[str, Mapping[str, Any]]) -> Section:
    """Return every measure of summaries by name as a table."""
    found = [dict(lines(summary)) for summary in columns.values()]
    return Section(
        title=title,
        columns=("measure", *columns),
        rows=tuple((measure, *(line.get(measure, "-") for line in found)) for measure in found[0]),
        caption=" ".join(unresolved(columns.values())),
    )


def unresolved(summaries: Iterable[Mapping[str, Any]]) -> list[str]:
    """Say which rates, marked with an asterisk, the rows are too few for."""
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


def seeds_section(seeds: Mapping[str, Any], baseline: str) -> Section:
    """Return mean, standard deviation and range of every measure over the seeds."""
    return Section(
        title=f"Test rows, {len(seeds['seeds'])} seeds",
        about="mean ± standard deviation (lowest to highest), on one division of the data",
        columns=("measure", "network", baseline),
        rows=tuple(spread_rows(seeds)),
        caption=f"Seeds: {', '.join(map(str, seeds['seeds']))}. Kept: seed {seeds['kept']}, whose "
        f"validation loss is the {seeds['kept_loss']}.",
    )


def left_out_section(left_out: Mapping[str, Any]) -> Section:
    """Return what training without each attack found of it."""
    return Section(
        title="Leave one attack out",
        about=LEFT_OUT,
        columns=("attack", "rows", "found", "FPR", "AUC"),
        rows=tuple(left_out_rows(left_out)),
        caption=" ".join(left_out["notes"]),
    )


def left_out_rows(left_out: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return rows, share found, FPR and AUC of each attack left out, and the mean."""
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
    return [*rows, ("mean over attacks", "", *means)]


def ranged(of_seeds: Mapping[str, float] | None) -> str:
    """Write mean, standard deviation and range; shares with four decimals, counts with none."""
    if of_seeds is None:
        return "-"
    of_numbers = [of_seeds[name] for name in ("mean", "std", "min", "max")]
    high = of_seeds["max"]
    digits = 4 if high <= 1 else 0
    numbers = (f"{value:,.{digits}f}".removeprefix("0" * (high <= 1)) for value in of_numbers)
    return "{} ± {} ({} to {})".format(*numbers)


def spread_rows(seeds: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return every measure over the seeds: its name, the network's and the baseline's values."""
    return [
        (measure_name(name), ranged(network), ranged(seeds["baseline"].get(name)))
        for name, network in seeds["network"].items()
    ]


def measure_name(name: str) -> str:
    """Return how a measure of ``seeds.measures`` is called in tables."""
    kind, _, rest = name.partition("tpr_at_fpr_")
    if rest and not kind:
        return f"TPR at {100 * float(rest):g} % FPR"
    kind, _, rest = name.partition("false_alerts_per_hour_")
    if rest and not kind:
        return f"false alerts/h, {int(rest):,}/s"
    return MEASURE_NAMES.get(name) or name.replace("f1_", "F1 ", 1)


def lines(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return every number of a ``metrics.summary`` by its name in tables."""
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
    """Return measures of alerts that name their class, if there are several classes to name."""
    if len(summary["f1"]) == 2:
        return []
    measures = {"accuracy": "named_accuracy", "macro-F1": "named_macro_f1"}
    at = summary["at_threshold"]
    return [(f"{name}, alerts named", _share(at[key])) for name, key in measures.items()]


def _alerts(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return false alerts per hour; if none was seen, the bound that follows from that."""
    found = summary["at_threshold"]["false_alerts_per_hour"] or {}
    bound = false_alerts_per_hour(summary["least_false_positive_rate"] or 0)
    return [
        (
            f"false alerts an hour at {int(flows):,} flows/s",
            f"{count:,.0f}" if count else f"none seen: below {bound[flows]:,.0f}",
        )
        for flows, count in found.items()
    ]


def groups_section(groups: Mapping[str, Mapping[str, Any]], most: int | None = None) -> Section:
    """Return attacks or captures, the largest first, at most ``most`` of them."""
    return Section(
        title="Alerts by group",
        columns=("group", "rows", "alerts", "share"),
        rows=tuple(group_rows(groups)[:most]),
    )


def _show_groups(groups: Mapping[str, Mapping[str, Any]], console: Console) -> None:
    show_sections([groups_section(groups, GROUPS_SHOWN)], console)
    if len(groups) > GROUPS_SHOWN:
        console.print(f"and {len(groups) - GROUPS_SHOWN} more groups in the JSON", style="dim")


def group_rows(groups: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Return name, rows, alerts and their share for every group, the largest first."""
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
