"""How many incidents benign traffic makes a day, at which evidence, and what other budgets lose."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from rich.console import Console

from idskit.detect.detector import Detector
from idskit.flow_input import FlowInput
from idskit.incidents.family_facts import FAMILY_FACTS
from idskit.incidents.sequential.nats import OPENS
from idskit.incidents.tracker import IncidentTracker
from idskit.options import option
from idskit.report.section import Section, show_sections
from idskit.report.text import shown
from idskit.site.case_peaks import LEAST_NATS, Peak, PeakWatcher
from idskit.site.incident_budget import (
    DEFAULT_BUDGET,
    HOURS_A_DAY,
    MOST_RAISED,
    Budget,
    Openings,
    burst_interval,
    poisson_interval,
)
from idskit.site.learn_site import ReadSoFar, capture_paths, judged_flows, learner_for
from idskit.site.site_normal import SiteNormal

SHOWN_NATS = (LEAST_NATS, 8.0, 10.0, OPENS, 16.0, 24.0, 36.0, MOST_RAISED)
_SAMPLE = "shipped/sample.pcap"
SHOWN_BUDGETS = ("10/day", "3/day", "1/day", "2/week", "1/week", "1/month")


@dataclass(frozen=True, kw_only=True)
class BudgetOptions:
    """What a budget is measured with."""

    budget: str = option(
        DEFAULT_BUDGET.text, "False incidents to accept, as 1/day, 2/week", metavar="N/PERIOD"
    )
    attacks: tuple[Path, ...] = option(
        (), "Captures of attacks, to say how many are found; the shipped sample if omitted"
    )
    join: bool = option(
        False, "Shift each capture in time to begin on the hour after the one before it"
    )


@dataclass(frozen=True, kw_only=True)
class BudgetReport:
    """What benign traffic makes, and what is found at several thresholds.

    Attributes:
        normal: what was learned of the benign traffic.
        budget: that was asked for.
        attacks: peaks of every capture of attacks, or of every case of a single one.
        attacks_are: what ``attacks`` is a list of, for people.
    """

    normal: SiteNormal
    budget: Budget
    attacks: tuple[tuple[Peak, ...], ...]
    attacks_are: str
    notes: tuple[str, ...] = ()

    def rate(self, openings: Openings) -> tuple[int, float, tuple[float, float]]:
        """Return incidents, incidents a day, and its 95 % interval.

        The interval covers the exact one, of incidents that know nothing of each other, and that of
        a bootstrap of blocks of hours.
        """
        opened = openings.opened(self.normal.peaks)
        days = self.normal.hours / HOURS_A_DAY
        exact, burst = poisson_interval(len(opened)), burst_interval(opened, self.normal.hours)
        low, high = min(exact[0], burst[0]), max(exact[1], burst[1])
        return len(opened), len(opened) / days, (low / days, high / days)

    def found(self, openings: Openings) -> float:
        """Return the share of the attacks that make an incident."""
        hits = sum(bool(openings.opened(peaks)) for peaks in self.attacks)
        return hits / len(self.attacks) if self.attacks else float("nan")

    def to_json(self) -> dict[str, Any]:
        """Return the same as plain types."""
        openings = self.normal.openings(self.budget)
        by_nats = {f"{nats:g}": self._row(_common(nats)) for nats in SHOWN_NATS}
        by_budget = {text: self._row(self._within(text)) for text in SHOWN_BUDGETS}
        return {
            "hours": self.normal.hours,
            "flows": self.normal.flows,
            "shipped": self._row(Openings()),
            "by_family": dict(self._families()),
            "budget": self.budget.text,
            "at_budget": self._row(openings) | {"nats": openings.nats},
            "by_nats": by_nats,
            "by_budget": by_budget,
            "notes": [*self.notes, *openings.notes],
        }

    def show(self, console: Console) -> None:
        """Print the tables."""
        count, rate, (low, high) = self.rate(Openings())
        console.print(
            f"[bold]{rate:.3g} false incidents a day[/bold] (95 %: {low:.2g} to {high:.2g}): "
            f"{count} in {self.normal.hours:,} hours and {self.normal.flows:,} flows of benign "
            "traffic, as shipped",
            highlight=False,
        )
        for note in (*self.notes, *self.normal.openings(self.budget).notes):
            console.print(f"[yellow]{shown(note)}[/yellow]", highlight=False)
        show_sections(self._sections(), console)

    def _row(self, openings: Openings) -> dict[str, Any]:
        count, rate, interval = self.rate(openings)
        return {
            "incidents": count,
            "per_day": rate,
            "interval": list(interval),
            "found": self.found(openings),
        }

    def _families(self) -> Iterator[tuple[str, int]]:
        yield from Counter(peak.family for peak in Openings().opened(self.normal.peaks)).items()

    def _within(self, text: str) -> Openings:
        return self.normal.openings(Budget.parse(text))

    def _sections(self) -> Iterator[Section]:
        families = tuple(self._families())
        if families:
            yield Section(
                title="by family",
                columns=("family", "incidents"),
                rows=tuple((family, f"{count:,}") for family, count in families),
            )
        heads = ("false incidents a day", "95 %", f"{self.attacks_are} found")
        yield Section(
            title="by evidence",
            about="the same nats for all families",
            columns=("nats to open", *heads),
            rows=tuple((f"{nats:g}", *self._cells(_common(nats))) for nats in SHOWN_NATS),
        )
        yield Section(
            title="by budget",
            about="nats by family, chosen by this traffic and counted on the same",
            columns=("budget", *heads),
            rows=tuple((text, *self._cells(self._within(text))) for text in SHOWN_BUDGETS),
        )

    def _cells(self, openings: Openings) -> tuple[str, str, str]:
        _, rate, (low, high) = self.rate(openings)
        return f"{rate:.3g}", f"{low:.2g} to {high:.2g}", f"{100 * self.found(openings):.1f} %"


def measure_budget(
    model: str | Path | None,
    given: FlowInput,
    options: BudgetOptions = BudgetOptions(),
) -> BudgetReport:
    """Count what benign traffic makes, and what is found of attacks.

    Args:
        model: the ONNX file; None for the shipped one.
        given: benign traffic.
        options: see ``BudgetOptions``.

    Raises:
        CaptureError, SchemaError, ModelError: the input or the model cannot be used.
        IdskitError: the budget is none, or there was no traffic.
    """
    budget = Budget.parse(options.budget)
    detector = Detector.load(model)
    learner, so_far = learner_for(detector), ReadSoFar()
    for found in judged_flows(detector, given, so_far, join=options.join):
        learner.observe(found.flows, found.features, found.probabilities)
    attacks, are = _attacks(detector, options.attacks)
    return BudgetReport(
        normal=learner.finish(),
        budget=budget,
        attacks=tuple(map(tuple, attacks)),
        attacks_are=are,
        notes=tuple(so_far.notes),
    )


def attack_peaks(detector: Detector, given: FlowInput, so_far: ReadSoFar) -> dict[str, list[Peak]]:
    """Return the peaks of every capture of attacks, by its path."""
    peaks: dict[str, list[Peak]] = {str(path): [] for path in capture_paths(given)}
    watchers: dict[str, PeakWatcher] = defaultdict(PeakWatcher)
    trackers: dict[str, IncidentTracker] = {}
    for found in judged_flows(detector, given, so_far, join=True):
        watcher = watchers[found.capture]
        tracker = trackers.get(found.capture) or detector.tracker(detector.schema, watcher)
        trackers = {found.capture: tracker}
        watcher.signed.clear()
        tracker.observe_flows(found.flows, found.features, found.probabilities)
    return peaks | {capture: watcher.peaks for capture, watcher in watchers.items()}


def _attacks(detector: Detector, captures: Sequence[Path]) -> tuple[list[list[Peak]], str]:
    so_far = ReadSoFar()
    if captures:
        given = FlowInput(capture=tuple(captures))
        return list(attack_peaks(detector, given, so_far).values()), "attack captures"
    with as_file(files("idskit") / _SAMPLE) as path:
        cases = attack_peaks(detector, FlowInput(capture=(path,)), so_far)
    return [[peak] for peaks in cases.values() for peak in peaks], "attacks of the sample"


def _common(nats: float) -> Openings:
    return Openings(nats=dict.fromkeys(FAMILY_FACTS, nats))
