"""Measure what learning an unseen site brings, on labelled captures joined in time.

    python -m tests.site.unseen_site CAPTURES... [--peaks FILE] [--json FILE]

Repositories of captures are left out in folds; each fold is judged by trees that were trained on
the others, so every site is unseen. The benign captures of a repository are joined in an order
drawn at random, an hour for each, half of them are learned, and the other half is counted.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idskit.incidents.incident import Incident
from idskit.incidents.site_levels import SHIPPED_LEVELS, Levels
from idskit.incidents.tracker import IncidentTracker
from idskit.schema import Schema
from idskit.site.case_peaks import HOUR_US
from idskit.site.incident_budget import HOURS_A_DAY, Budget, poisson_interval
from idskit.site.learn_site import JOINED_FROM_HOUR
from idskit.site.person_verdicts import PersonVerdicts
from idskit.site.site_drift import DriftWatch
from idskit.site.site_learner import SiteLearner
from idskit.site.site_normal import SiteNormal

LEAST_CAPTURES = 40  # of a repository that is a site
BATCH = 1024
THRESHOLD = 0.865
DRAWS = 5
BUDGETS = ("0.5/day", "1/day", "2/day", "5/day")


@dataclass(frozen=True, kw_only=True, eq=False)
class JudgedCapture:
    """A capture, judged by a model that never saw its repository."""

    name: str
    site: str
    is_attack: bool
    flows: NDArray[np.void]
    features: NDArray[np.float64]
    probabilities: NDArray[np.float32]

    def at_hour(self, hour: int, serial: int = 0) -> JudgedCapture:
        """Return the capture shifted in time to begin on an hour."""
        flows = self.flows.copy()
        shift = hour * HOUR_US - (int(flows["start_us"].min()) if len(flows) else 0)
        flows["start_us"] += shift
        flows["end_us"] = np.minimum(flows["end_us"] + shift, (hour + 1) * HOUR_US - 1_000_000)
        flows["start_us"] = np.minimum(flows["start_us"], flows["end_us"])
        flows["serial"] += serial
        return JudgedCapture(**{**vars(self), "flows": flows})

    def batches(self) -> Iterator[tuple[Any, Any, Any]]:
        """Yield flows, features and probabilities as a stream has them."""
        for start in range(0, len(self.flows), BATCH):
            part = slice(start, start + BATCH)
            yield self.flows[part], self.features[part], self.probabilities[part]


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What all measures share."""

    schema: Schema
    classes: tuple[str, ...]
    captures: tuple[JudgedCapture, ...]

    def benign(self, site: str) -> list[JudgedCapture]:
        """Return the benign captures of a site."""
        return [one for one in self.captures if one.site == site and not one.is_attack]

    @property
    def attacks(self) -> list[JudgedCapture]:
        """The captures of attacks."""
        return [one for one in self.captures if one.is_attack]

    def learned(self, joined: Sequence[JudgedCapture]) -> SiteNormal:
        """Learn captures that are joined."""
        learner = SiteLearner(self.schema, self.classes, THRESHOLD)
        for capture in joined:
            for batch in capture.batches():
                learner.observe(*batch)
        return learner.finish()

    def incidents(self, capture: JudgedCapture, levels: Levels) -> list[Incident]:
        """Return the incidents of a capture, as they ended."""
        tracker = IncidentTracker(self.schema, self.classes, THRESHOLD, levels)
        for batch in capture.batches():
            tracker.observe_flows(*batch)
        return tracker.finish()

    def count(self, captures: Sequence[JudgedCapture], levels: Levels) -> int:
        """Return the number of incidents of captures."""
        return sum(len(self.incidents(capture, levels)) for capture in captures)

    def found(self, levels: Levels) -> float:
        """Return the share of captures of attacks with an incident."""
        hits = [bool(self.incidents(capture, levels)) for capture in self.attacks]
        return float(np.mean(hits)) if hits else float("nan")


def joined(
    captures: Sequence[JudgedCapture], seed: int, first: int = JOINED_FROM_HOUR
) -> list[JudgedCapture]:
    """Return captures in an order drawn by a seed, an hour for each."""
    order = list(captures)
    random.Random(seed).shuffle(order)
    return [one.at_hour(first + n, serial=n << 20) for n, one in enumerate(order)]


def site_row(bench: Bench, site: str, budget: Budget, seed: int) -> dict[str, Any]:
    """Learn half of a site, and count the other half before and after."""
    stream = joined(bench.benign(site), seed)
    half = len(stream) // 2
    seen, unseen = stream[:half], stream[half:]
    normal = bench.learned(seen)
    levels = normal.levels(budget)
    with_verdicts = normal.levels(budget, said_expected(bench, seen, levels).factors())
    return {
        "days": len(unseen) / HOURS_A_DAY,
        "before": bench.count(unseen, SHIPPED_LEVELS),
        "after": bench.count(unseen, levels),
        "verdicts": bench.count(unseen, with_verdicts),
        "levels": levels,
        "levels_verdicts": with_verdicts,
    }


def said_expected(bench: Bench, seen: Sequence[JudgedCapture], levels: Levels) -> PersonVerdicts:
    """Return the verdicts of a person who says of every incident of learning: expected."""
    verdicts = PersonVerdicts()
    for capture in seen:
        for incident in bench.incidents(capture, levels):
            verdicts.say(incident, "expected", incident.updated_us)
    return verdicts


def poisoned(
    bench: Bench, site: str, budget: Budget, share: float, seed: int
) -> tuple[float, float]:
    """Return the share of attacks found after learning without and with attacks in it.

    Attack captures, each an hour of the same time, are added to learning until ``share`` of its
    flows are of them. The attacks that are looked for are the other ones.
    """
    stream = joined(bench.benign(site), seed)
    seen = stream[: len(stream) // 2]
    most = share * sum(len(one.flows) for one in seen)
    order = joined(bench.attacks, seed)
    added: list[JudgedCapture] = []
    for one in order:
        if sum(len(other.flows) for other in (*added, one)) <= most:
            hour = JOINED_FROM_HOUR + len(added) % max(1, len(seen))
            added.append(one.at_hour(hour, serial=(len(stream) + len(added)) << 20))
    mixed = sorted([*seen, *added], key=lambda one: int(one.flows["start_us"].min()))
    names = {one.name for one in added}
    rest = Bench(
        schema=bench.schema,
        classes=bench.classes,
        captures=tuple(one for one in bench.attacks if one.name not in names),
    )
    clean, dirty = bench.learned(seen), bench.learned(mixed)
    return rest.found(clean.levels(budget)), rest.found(dirty.levels(budget))


def drift_row(bench: Bench, site: str, other: str | None, seed: int) -> dict[str, Any]:
    """Learn half of a site, watch the other half, or captures of another site that joins."""
    stream = joined(bench.benign(site), seed)
    half = len(stream) // 2
    watch = DriftWatch(bench.learned(stream[:half]), bench.classes)
    rest = stream[half:]
    if other is not None:
        rest = joined(bench.benign(other), seed, JOINED_FROM_HOUR + half)
    alarms = []
    for capture in rest:
        for batch in capture.batches():
            alarms += watch.observe(*batch)
    alarms += watch.finish()
    hours = [alarm.hour - JOINED_FROM_HOUR - half for alarm in alarms]
    return {
        "hours": len(rest),
        "alarms": len(alarms),
        "first": min(hours, default=None),
        "said": [str(alarm) for alarm in alarms[:2]],
    }


def measure(bench: Bench, draws: int = DRAWS) -> dict[str, Any]:
    """Return every measure, as plain types."""
    sites = [
        site
        for site in sorted({one.site for one in bench.captures})
        if len(bench.benign(site)) >= LEAST_CAPTURES
    ]
    base = bench.found(SHIPPED_LEVELS)
    report: dict[str, Any] = {"found_as_shipped": base, "sites": {}, "drift": {}, "poison": {}}
    for site in sites:
        report["sites"][site] = {
            text: _means([_row(bench, site, text, seed, base) for seed in range(draws)])
            for text in BUDGETS
        }
        report["poison"][site] = [
            poisoned(bench, site, Budget.parse("1/day"), 0.01, seed) for seed in range(draws)
        ]
        report["drift"][site] = {
            str(other): [drift_row(bench, site, other, seed) for seed in range(draws)]
            for other in (None, *(one for one in sites if one != site))
        }
    return report


def _row(bench: Bench, site: str, text: str, seed: int, base: float) -> dict[str, float]:
    row = site_row(bench, site, Budget.parse(text), seed)
    levels, said = row.pop("levels"), row.pop("levels_verdicts")
    changed = levels.nats or levels.contacts
    return row | {
        "found_change": bench.found(levels) - base if changed and seed < 2 else np.nan,
        "found_change_verdicts": bench.found(said) - base if changed and seed < 2 else np.nan,
    }


def _means(rows: Sequence[dict[str, float]]) -> dict[str, Any]:
    days = sum(row["days"] for row in rows)
    found: dict[str, Any] = {"days": days / len(rows)}
    for name in ("before", "after", "verdicts"):
        total = sum(row[name] for row in rows)
        one = poisson_interval(round(total / len(rows)))
        found[name] = {
            "per_day": total / days,
            "interval": [bound * len(rows) / days for bound in one],
        }
    for name in ("found_change", "found_change_verdicts"):
        found[name] = float(np.nanmean([row[name] for row in rows]))
    return found
