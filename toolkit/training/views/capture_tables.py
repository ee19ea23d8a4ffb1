"""What was found of captures that a model never saw, as tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from idskit.report.section import Section, show_sections

if TYPE_CHECKING:
    from rich.console import Console

NAMES = {"network": "network and trees", "trees": "trees alone", "lightgbm": "LightGBM"}


def show_wild(result: Mapping[str, Any], console: Console) -> None:
    """Print what ``evaluate`` found on captures that the model never saw."""
    found = result["wild"]
    about = f"{result['model']} at threshold {result['threshold']:.4g}"
    summary = _measures("captures never seen", about, {result["model"]: found})
    show_sections([summary, *_details(found)], console)
    _show_notes(found, result["notes"], console)


def show_left_out(found: Mapping[str, Any], console: Console) -> None:
    """Print what ``leave_captures_out`` found, each kind of what was left out."""
    for kind, result in found.items():
        models = {NAMES[name]: result[name] for name in NAMES if name in result}
        first = next(iter(models.values()))
        summary = _measures(f"{kind} left out in turn", f"{len(result['folds'])} folds", models)
        show_sections([summary, *_details(first)], console)
        _show_notes(first, result["notes"], console)


def _show_notes(found: Mapping[str, Any], notes: Iterable[str], console: Console) -> None:
    console.print(f"{len(found['wrong']):,} captures are judged wrongly: --json names them")
    for note in notes:
        console.print(f"note: {note}", highlight=False, markup=False)


def _measures(title: str, about: str, models: Mapping[str, Any]) -> Section:
    """Return a table of the models, each with its intervals."""
    columns = [wild_rows(found) for found in models.values()]
    headings = [(name, "95 % interval") for name in models]
    return Section(
        title=title,
        about=about,
        columns=("measure", *(heading for pair in headings for heading in pair)),
        rows=tuple(
            (cells[0][0], *(cell for row in cells for cell in row[1:]))
            for cells in zip(*columns, strict=True)
        ),
    )


def _details(found: Mapping[str, Any]) -> list[Section]:
    """Return tables by kind of attack, by what shows the attack and by repository."""
    return [
        Section(
            title=f"by {title}",
            columns=("name", "anything raised", "95 % interval", "above 5 % of benign captures"),
            rows=tuple(
                (name, *_counted(share), f"{share['found']:,}")
                for name, share in found[title].items()
            ),
        )
        for title in ("categories", "where", "repositories", "probes")
        if found[title]
    ]


def wild_rows(found: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return measure, value and interval of what ``unseen_captures.report`` gives."""
    shares = {
        "benign captures with anything raised": found["captures"]["benign"],
        "attack captures with anything raised": found["captures"]["attack"],
        "benign flows flagged": found["benign_flows"],
        "benign captures with an incident": found["incidents"]["benign"],
        "attack captures with an incident": found["incidents"]["attack"],
        "the same without the model, by tests alone": found["incidents"]["attack_by_tests"],
        "benign ones without the model": found["incidents"]["benign_by_tests"],
        "attacks found by flow scores at that rate": found["incidents"]["attack_by_flows"],
    }
    return [
        *((name, *_counted(share)) for name, share in shares.items()),
        *_ranked_rows("evidence of incidents", found["incidents"]),
        *_ranked_rows("flow scores", found),
    ]


def _ranked_rows(by: str, found: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return the rows of captures that are ranked by something."""
    area, interval = found["roc_auc"], found["roc_auc_interval"]
    between = f"{interval[0]:.3f} to {interval[1]:.3f}" if interval else "one repository"
    return [
        (f"AUC over captures, by {by}", f"{area:.3f}", between),
        *(
            (f"attacks found by {by} at {float(rate):.0%} of benign captures", *_counted(share))
            for rate, share in found["found_at"].items()
        ),
    ]


def _counted(share: Mapping[str, Any]) -> tuple[str, str]:
    if not share["of"]:
        return "none", ""
    low, high = share["interval"]
    text = f"{share['raised']:,} of {share['of']:,} ({share['share']:.1%})"
    return text, f"{low:.1%} to {high:.1%}"
