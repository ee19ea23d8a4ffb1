"""Compare benchmark results: the ratio of speeds, how sure it is, and whether any got worse.

``idskit.bench.interval`` computes how sure a ratio is.
"""

from __future__ import annotations

import json as json_text
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from idskit.bench.grouping import Key, subject_names, subject_of
from idskit.bench.interval import CONFIDENCE, ratio_interval
from idskit.bench.result import Report, Result
from idskit.bench.views.bench_page import save_page
from idskit.bench.views.bench_report import write_text, write_views
from idskit.errors import GateRefused, IdskitError
from idskit.report.console import PeopleConsole
from idskit.report.section import Section, markdown_section, show_sections

MIN_CHANGE = 0.05  # the same model differs by some per cent from process to process
_BLOCKS = 8  # of the second half of a sustained curve: neighbouring samples are not independent
_MACHINE = (
    "model", "cpu", "architecture", "features", "governor", "power_mode", "affinity", "kernel",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Change:
    """One number in the first file and in another one, as a ratio of speeds."""

    file: str
    model: str
    scenario: str
    batch: int
    measure: str  # flows/s, packets/s, p50 ms, p99 ms
    before: float
    after: float
    ratio: float  # how many times as fast the other file is: above 1 is better
    low: float | None  # of the interval; None where there are too few rounds for one
    high: float | None
    unstable: bool  # one of the two has a warning

    @property
    def says(self) -> str:
        """Return what the interval shows: faster, slower, alike, or too few rounds."""
        if self.low is None or self.high is None:
            return "too few rounds"
        if self.high < 1 - MIN_CHANGE:
            return "slower"
        return "faster" if self.low > 1 + MIN_CHANGE else "alike"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Every change from the first file, and how the files themselves differ."""

    files: tuple[str, ...]
    differences: tuple[str, ...]  # sentences
    changes: tuple[Change, ...]

    @property
    def regressions(self) -> tuple[Change, ...]:
        """Return the changes that are slower beyond noise."""
        return tuple(change for change in self.changes if change.says == "slower")

    def to_json(self) -> str:
        """Return all of it as JSON."""
        changes = [asdict(change) | {"says": change.says} for change in self.changes]
        document = {"files": self.files, "differences": self.differences, "changes": changes}
        return json_text.dumps(document, indent=2)


def compare(
    files: Sequence[Path],
    *,
    json: Path | None = None,
    html: Path | None = None,
    markdown: Path | None = None,
    console: Console | None = None,
) -> Comparison:
    """Compare result files with the first one, and print what changed; show a single file.

    Args:
        files: those that ``idskit bench --json`` wrote.
        json: where the comparison goes as JSON; ``-`` is standard output.
        html: where a page with plots goes.
        markdown: where the tables go as Markdown.
        console: where the tables go; standard error if None.

    Raises:
        IdskitError: one that is no result of this schema version, files without a measurement in
            common, or an output that cannot be written.
    """
    console = console or PeopleConsole()
    reports = {name: Report.load(path) for name, path in _names(files).items()}
    comparison = compare_reports(reports)
    if json is not None:
        write_text(json, comparison.to_json() + "\n")
    if len(reports) == 1:
        (report,) = reports.values()
        write_views(report, console, html=html, markdown=markdown)
        return comparison
    shown = comparison_sections(comparison)
    if html is not None:
        save_page(html, reports, comparison=shown, differences=comparison.differences)
    if markdown is not None:
        parts = [*map(markdown_section, shown), *comparison.differences]
        write_text(markdown, "\n\n".join(parts) + "\n")
    show_sections(shown, console)
    for sentence in comparison.differences:
        console.print(sentence, highlight=False, markup=False)
    return comparison


def require_no_regression(comparison: Comparison) -> None:
    """Refuse a comparison in which something got slower.

    Raises:
        GateRefused: an interval lies below 1 by more than ``MIN_CHANGE``.
    """
    slower = comparison.regressions
    if slower:
        worst = min(slower, key=lambda change: change.ratio)
        doubt = "; all of these are marked unstable: measure again on a quiet machine"
        raise GateRefused(
            f"{len(slower)} of {len(comparison.changes)} measurements are slower than in "
            f"{comparison.files[0]} beyond noise, worst {worst.model}, {worst.scenario}, "
            f"{worst.measure}: {worst.ratio:.2f} times the speed in {worst.file} "
            f"({worst.low:.2f} to {worst.high:.2f})"
            f"{doubt if all(change.unstable for change in slower) else ''}"
        )


def compare_reports(reports: dict[str, Report]) -> Comparison:
    """Compare every report with the first one.

    Raises:
        IdskitError: two reports have no measurement in common.
    """
    (first, base), *others = reports.items()
    changes: list[Change] = []
    differences: list[str] = []
    for file, report in others:
        differences += _differences(first, base, file, report)
        found = [
            change
            for old, new in _matches(base, report)
            for change in _changes(file, subject_names(base.results)[subject_of(old)], old, new)
        ]
        if not found:
            raise IdskitError(
                f"{first} and {file} have no measurement in common: both need the same scenario "
                "and batch"
            )
        changes += found
    return Comparison(files=tuple(reports), differences=tuple(differences), changes=tuple(changes))


def comparison_sections(comparison: Comparison) -> list[Section]:
    """Return a table for each file after the first."""
    first, *others = comparison.files
    return [
        Section(
            title=file,
            about=f"how many times as fast as {first}",
            columns=("model", "measurement", "", "ratio", "interval", "before", "after"),
            rows=tuple(_row(change) for change in comparison.changes if change.file == file),
            caption=f"interval: {CONFIDENCE:.0%} confidence, from the rounds; slower, faster: all "
            f"of it differs by {MIN_CHANGE:.0%} or more; (!): a number marked unstable",
            words=3,
        )
        for file in others
    ]  # fmt: skip


def _row(change: Change) -> tuple[str, ...]:
    known = change.low is not None and change.high is not None
    batch = f", batch {change.batch}" if change.scenario == "offline" else ""
    return (
        change.model + (" (!)" if change.unstable else ""),
        f"{change.scenario}{batch}, {change.measure}",
        change.says,
        f"{change.ratio:.2f}",
        f"{change.low:.2f}-{change.high:.2f}" if known else "",
        _rounded(change.before),
        _rounded(change.after),
    )


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def _names(files: Sequence[Path]) -> dict[str, Path]:
    """Name each file by its stem, or by its path where stems repeat."""
    stems = [path.stem for path in files]
    if len(set(stems)) == len(stems):
        return dict(zip(stems, files, strict=True))
    return {f"{i} {path}": path for i, path in enumerate(files, start=1)}


def _matches(base: Report, other: Report) -> list[tuple[Result, Result]]:
    """Pair the results of the same subject under the same conditions."""
    partners = _partners(base, other)
    return [
        (old, new)
        for old in base.results
        for new in other.results
        if partners.get(subject_of(old)) == subject_of(new) and _conditions(old) == _conditions(new)
    ]


def _partners(base: Report, other: Report) -> dict[Key, Key]:
    """Match the subjects of both files by name, or in order where no name is shared.

    Where a model was measured with several thread counts, the same count is compared.
    """
    olds, news = (list(subject_names(report.results)) for report in (base, other))
    named = [(old, new) for old in olds for new in news if _label(old) == _label(new)]
    alike = [(old, new) for old, new in named if old[1].threads == new[1].threads]
    return dict(alike or named or zip(olds, news, strict=False))


def _label(key: Key) -> tuple[str, str, str]:
    model, execution = key
    return model.name, model.precision, execution.backend


def _conditions(result: Result) -> tuple[str, int, float | None]:
    bound_ms = result.server.bound_ms if result.server else None
    return result.run.scenario, result.run.batch, bound_ms


def _changes(file: str, model: str, old: Result, new: Result) -> list[Change]:
    """Return every number that two results of the same kind share, as a change."""
    after = _measures(new)
    return [
        _change(file, model, old, new, measure, values, after[measure])
        for measure, values in _measures(old).items()
        if measure in after and min(values) > 0
    ]


def _change(
    file: str,
    model: str,
    old: Result,
    new: Result,
    measure: str,
    before: Sequence[float],
    after: Sequence[float],
) -> Change:
    # times are inverted, so that a ratio above 1 is always better
    interval = ratio_interval(after, before) if _is_time(measure) else ratio_interval(before, after)
    middles = statistics.median(before), statistics.median(after)
    return Change(
        file=file,
        model=model,
        scenario=old.run.scenario,
        batch=old.run.batch,
        measure=measure,
        before=middles[0],
        after=middles[1],
        ratio=middles[0] / middles[1] if _is_time(measure) else middles[1] / middles[0],
        low=interval[0] if interval else None,
        high=interval[1] if interval else None,
        unstable=bool(old.warnings or new.warnings),
    )


def _is_time(measure: str) -> bool:
    return measure.endswith("ms")


def _measures(result: Result) -> dict[str, Sequence[float]]:
    """Return the numbers of a scenario that are compared, round by round."""
    if result.sustained is not None:
        rates = [sample.flows_per_s for sample in result.sustained.samples]
        blocks = np.array_split(rates[len(rates) // 2 :], _BLOCKS)
        return {"flows/s": [statistics.median(block) for block in blocks if len(block)]}
    if result.run.scenario == "single-stream" and result.round_latency_ms is not None:
        rounds = {"p50 ms": result.round_latency_ms.p50, "p99 ms": result.round_latency_ms.p99}
        return {name: spread.values for name, spread in rounds.items() if spread is not None}
    if result.packets_per_s is not None:
        return {"packets/s": result.packets_per_s.values}
    return {"flows/s": result.flows_per_s.values}


def _differences(first: str, base: Report, file: str, other: Report) -> list[str]:
    """State in sentences what makes two files less comparable."""
    sentences = [
        f"{what}: {_short(old)} in {first}, {_short(new)} in {file}."
        for what, old, new in _facts(base, other)
        if old != new
    ]
    for old, new in _partners(base, other).items():
        if old[0].sha256 != new[0].sha256:
            sentences.append(
                f"Models differ: {old[0].name} ({old[0].sha256[:12]}) in {first} is compared with "
                f"{new[0].name} ({new[0].sha256[:12]}) in {file}."
            )
        if old[1] != new[1]:
            sentences.append(
                f"{old[0].name} was run by {_short(asdict(old[1]))} in {first}, by "
                f"{_short(asdict(new[1]))} in {file}."
            )
    return sentences


def _facts(base: Report, other: Report) -> list[tuple[str, Any, Any]]:
    """Return facts about both machines, with their names."""
    facts = [
        (
            f"Machines differ in {name.replace('_', ' ')}",
            base.machine.get(name),
            other.machine.get(name),
        )
        for name in _MACHINE
    ]
    names = base.machine["packages"] | other.machine["packages"]
    return facts + [
        (f"Versions of {name} differ", *(r.machine["packages"].get(name) for r in (base, other)))
        for name in names
    ]


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {item}" for name, item in value.items() if item is not None)
    return "unknown" if value is None else str(value)
