"""Compare benchmark results: how many times as fast, how sure that is, and whether it got worse.

How sure a ratio is, ``idskit.bench.interval`` says.
"""

from __future__ import annotations

import json as json_text
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from idskit.bench.candidates import Key, candidate, candidate_names
from idskit.bench.interval import CONFIDENCE, ratio_interval
from idskit.bench.result import Report, Result
from idskit.bench.views.bench_page import save_page
from idskit.bench.views.section import Section, markdown_section, show_sections
from idskit.errors import GateRefused, IdskitError
from idskit.files.output import write_whole
from idskit.report.console import PeopleConsole

MIN_CHANGE = 0.05  # quiet runs of the same thing differ by some per cent from process to process
_BLOCKS = 8  # of the sustained curve's second half: neighbouring samples are no independent rounds
_MACHINE = (
    "model", "cpu", "architecture", "features", "governor", "power_mode", "affinity", "kernel",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Change:
    """One number in the first file and in another one, by what it says about speed."""

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
    unstable: bool  # one of the two said so itself

    @property
    def says(self) -> str:
        """What the interval allows to say: faster, slower, alike, or too few rounds."""
        if self.low is None or self.high is None:
            return "too few rounds"
        if self.high < 1 - MIN_CHANGE:
            return "slower"
        return "faster" if self.low > 1 + MIN_CHANGE else "alike"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Every change against the first file, and what is not alike about the files themselves."""

    files: tuple[str, ...]
    differences: tuple[str, ...]  # sentences
    changes: tuple[Change, ...]

    @property
    def regressions(self) -> tuple[Change, ...]:
        """What is slower beyond noise."""
        return tuple(change for change in self.changes if change.says == "slower")

    def to_json(self) -> str:
        """All of it as JSON."""
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
    """Compare result files with the first one, and print what changed.

    Args:
        files: two or more that ``idskit bench --json`` wrote.
        json: where the comparison goes as JSON; ``-`` is standard output.
        html: where a page with plots goes.
        markdown: where the tables go as Markdown.
        console: where the tables go; standard error when None.

    Raises:
        IdskitError: fewer than two files, one that is no result of this schema version, or files
            without a measurement in common.
    """
    if len(files) < 2:
        raise IdskitError(
            f"{len(files)} result files were given to compare: name two or more that "
            "`idskit bench --json` wrote"
        )
    reports = {name: Report.load(path) for name, path in _names(files).items()}
    comparison = compare_reports(reports)
    shown = comparison_sections(comparison)
    console = console or PeopleConsole()
    show_sections(shown, console)
    for sentence in comparison.differences:
        console.print(sentence, highlight=False, markup=False)
    if html is not None:
        save_page(html, reports, comparison=shown, differences=comparison.differences)
    if markdown is not None:
        text = "\n\n".join([*map(markdown_section, shown), *comparison.differences]) + "\n"
        write_whole(markdown, lambda partial: partial.write_text(text))
    if json is not None and str(json) == "-":
        sys.stdout.write(comparison.to_json() + "\n")
    elif json is not None:
        write_whole(json, lambda partial: partial.write_text(comparison.to_json() + "\n"))
    return comparison


def require_no_regression(comparison: Comparison) -> None:
    """Raise the gate's no where something got slower.

    Raises:
        GateRefused: an interval lies below 1 by more than ``MIN_CHANGE``.
    """
    slower = comparison.regressions
    if slower:
        worst = min(slower, key=lambda change: change.ratio)
        doubt = "; these call themselves unstable: measure again on a quiet machine"
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
            for change in _changes(file, candidate_names(base.results)[candidate(old)], old, new)
        ]
        if not found:
            raise IdskitError(
                f"{first} and {file} have no measurement in common: both need the same scenario "
                "and batch"
            )
        changes += found
    return Comparison(files=tuple(reports), differences=tuple(differences), changes=tuple(changes))


def comparison_sections(comparison: Comparison) -> list[Section]:
    """One table for each file beside the first."""
    first, *others = comparison.files
    return [
        Section(
            title=file,
            about=f"how many times as fast as {first}",
            columns=("model", "measurement", "", "ratio", "interval", "before", "after"),
            rows=tuple(_row(change) for change in comparison.changes if change.file == file),
            caption=f"interval: {CONFIDENCE:.0%} confidence, from the rounds; slower and faster "
            f"are said from {MIN_CHANGE:.0%} on; (!): a file calls its own number unstable",
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
    """A short name for each file: its stem, or its path where stems repeat."""
    stems = [path.stem for path in files]
    if len(set(stems)) == len(stems):
        return dict(zip(stems, files, strict=True))
    return {f"{i} {path}": path for i, path in enumerate(files, start=1)}


def _matches(base: Report, other: Report) -> list[tuple[Result, Result]]:
    """Pairs of results of the same candidate under the same conditions."""
    partners = _partners(base, other)
    return [
        (old, new)
        for old in base.results
        for new in other.results
        if partners.get(candidate(old)) == candidate(new) and _conditions(old) == _conditions(new)
    ]


def _partners(base: Report, other: Report) -> dict[Key, Key]:
    """Which candidate of the other file is which: by name, or in order where no name is shared.

    Of a model that was measured with several numbers of threads, the same number is compared.
    """
    olds, news = (list(candidate_names(report.results)) for report in (base, other))
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
    """What two results of the same kind say about each other."""
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
    # times are turned round, so that a ratio above 1 is always better
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
    """The numbers of a scenario that are compared, round by round."""
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
    """What makes two files less than comparable, in sentences."""
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
                f"{old[0].name} runs otherwise: {_short(asdict(old[1]))} in {first}, "
                f"{_short(asdict(new[1]))} in {file}."
            )
    return sentences


def _facts(base: Report, other: Report) -> list[tuple[str, Any, Any]]:
    """Facts about the machines, with what they are called."""
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
    return "not known" if value is None else str(value)
