"""Measure what learning an unseen site brings, on labelled captures joined in time.

    python -m tests.site.unseen_site CAPTURES... [--draws N] [--peaks FILE] [--save FILE]

It takes half an hour for two thousand captures on one core. Repositories of captures are left out
in folds; each fold is judged by trees that were trained on the others, so every site is unseen. The
benign captures of a repository are joined in an order drawn at random, an hour for each, half of
them are learned, and the other half is counted.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.site.site_rows import table

from idskit.data.capture_labels import find_captures
from idskit.data.dataset import Dataset
from idskit.data.families import CLASSES
from idskit.data.labelled_captures import LabelledFlows, generated_flows, read_capture
from idskit.flow_input import VERDICT_AT_S, FlowInput
from idskit.incidents.incident import Incident
from idskit.incidents.tracker import SHIPPED_LEVELS, IncidentTracker, Levels
from idskit.profiles.flow_reader import open_input
from idskit.schema import Schema
from idskit.schemas.gateway_columns import GATEWAY
from idskit.site.case_peaks import HOUR_US
from idskit.site.incident_budget import HOURS_A_DAY, Budget, poisson_interval
from idskit.site.learn_site import JOINED_FROM_HOUR
from idskit.site.person_verdicts import PersonVerdicts
from idskit.site.site_drift import DriftWatch
from idskit.site.site_file import write_site
from idskit.site.site_learner import SiteLearner
from idskit.site.site_normal import SiteNormal
from idskit.training.evaluation.leave_captures_out import FOLDS, _without, divided_into
from idskit.training.members.cautious_trees import fit_cautious, fit_families
from idskit.training.settings import TrainingSettings

LEAST_CAPTURES = 40  # of a repository that is a site
BATCH = 256
THRESHOLD = 0.95  # of models of captures, as they are trained
DRAWS = 2
BUDGETS = ("0.5/day", "1/day")
PARTS = ("sites", "poison", "drift", "replay")
MOST_WATCHED = 160  # hours of a replay
COMMAND = "python -m tests.site.unseen_site DIR/wild DIR/labelled DIR/tools LAB"


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
        """Return the capture shifted in time to begin on an hour; what is longer is squeezed."""
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

    def is_found(self, capture: JudgedCapture, levels: Levels) -> bool:
        """Return whether a capture has an incident."""
        tracker = IncidentTracker(self.schema, self.classes, THRESHOLD, levels)
        return any(tracker.observe_flows(*batch) for batch in capture.batches())

    def count(self, captures: Sequence[JudgedCapture], levels: Levels) -> int:
        """Return the number of incidents of captures."""
        return sum(len(self.incidents(capture, levels)) for capture in captures)

    @cached_property
    def base(self) -> float:
        """The share of captures of attacks with an incident as shipped."""
        return self.found(SHIPPED_LEVELS)

    def found(self, levels: Levels) -> float:
        """Return the share of captures of attacks with an incident."""
        hits = [self.is_found(capture, levels) for capture in self.attacks]
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


def drift_rows(
    bench: Bench, site: str, others: Sequence[str | None], seed: int
) -> Iterator[dict[str, Any]]:
    """Learn half of a site, and watch the other half (None), or another site that joins."""
    stream = joined(bench.benign(site), seed)
    half = len(stream) // 2
    normal, first = bench.learned(stream[:half]), JOINED_FROM_HOUR + half
    for other in others:
        rest = stream[half:] if other is None else joined(bench.benign(other), seed, first)
        yield _watched(bench, normal, rest, first)


def replay_rows(
    bench: Bench, site: str, others: Sequence[str | None], seed: int
) -> Iterator[dict[str, Any]]:
    """Learn a site twice over, and watch it again, perhaps with the captures of another site.

    The devices come back, as those of a home do. Those of the other site join on the second day.
    """
    own, day = bench.benign(site), HOURS_A_DAY
    twice = joined(own, seed) + joined(own, seed + 1, JOINED_FROM_HOUR + len(own))
    normal, first = bench.learned(twice), JOINED_FROM_HOUR + len(twice)
    rest = joined(own, seed + 2, first)[:MOST_WATCHED]
    for other in others:
        if other is None:
            yield _watched(bench, normal, rest, first)
        else:
            joining = joined(bench.benign(other), seed, first + day)[:day]
            mixed = [*rest[:day], *_with(joining, rest[day : 2 * day])]
            yield _watched(bench, normal, mixed, first + day)


def _watched(
    bench: Bench, normal: SiteNormal, stream: Sequence[JudgedCapture], first: int
) -> dict[str, Any]:
    """Return the alarms of a stream, by hours after ``first``."""
    watch = DriftWatch(normal, bench.classes)
    alarms = [alarm for one in stream for batch in one.batches() for alarm in watch.observe(*batch)]
    alarms += watch.finish()
    hours = [alarm.hour - first for alarm in alarms]
    return {
        "hours": len(stream),
        "alarms": len(alarms),
        "first": min((hour for hour in hours if hour >= 0), default=None),
        "said": [str(alarm) for alarm in alarms[:2]],
    }


def _with(joining: Sequence[JudgedCapture], own: Sequence[JudgedCapture]) -> list[JudgedCapture]:
    """Return the captures of both, in the order of their hours."""
    moved = [
        JudgedCapture(**{**vars(one), "flows": _numbered(one.flows, 1 << 50)}) for one in joining
    ]
    return sorted([*own, *moved], key=lambda one: int(one.flows["start_us"].min(initial=1 << 62)))


def _numbered(flows: NDArray[np.void], from_serial: int) -> NDArray[np.void]:
    found = flows.copy()
    found["serial"] += from_serial
    return found


def measure(
    bench: Bench, draws: int = DRAWS, parts: Sequence[str] = PARTS
) -> dict[str, dict[str, Any]]:
    """Return the measures that are asked for, as plain types: by part and site."""
    sites = [
        site
        for site in sorted({one.site for one in bench.captures})
        if len(bench.benign(site)) >= LEAST_CAPTURES
    ]
    of_site = {"sites": _budgets, "poison": _poison, "drift": _joining, "replay": _joining}
    return {
        part: {site: of_site[part](bench, part, (site, *sites), draws) for site in sites}
        for part in parts
    }


def _budgets(bench: Bench, _part: str, sites: Sequence[str], draws: int) -> dict[str, Any]:
    base = bench.base
    return {
        text: _means([_row(bench, sites[0], text, seed, base) for seed in range(draws)])
        for text in BUDGETS
    }


def _poison(bench: Bench, _part: str, sites: Sequence[str], draws: int) -> list[Any]:
    budget = Budget.parse("1/day")
    return [poisoned(bench, sites[0], budget, 0.01, seed) for seed in range(draws)]


def _joining(bench: Bench, part: str, sites: Sequence[str], draws: int) -> dict[str, Any]:
    rows = {"drift": drift_rows, "replay": replay_rows}[part]
    site, *others = sites
    watched = (None, *(one for one in others if one != site))
    drawn = [list(rows(bench, site, watched, seed)) for seed in range(draws)]
    return dict(zip(map(str, watched), zip(*drawn, strict=True), strict=True))


def _row(bench: Bench, site: str, text: str, seed: int, base: float) -> dict[str, float]:
    row = site_row(bench, site, Budget.parse(text), seed)
    levels, said = row.pop("levels"), row.pop("levels_verdicts")
    is_looked_for = seed == 0
    return row | {
        "found_change": bench.found(levels) - base if is_looked_for else np.nan,
        "found_change_verdicts": bench.found(said) - base if is_looked_for else np.nan,
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


def judged_captures(folders: Sequence[Path]) -> Bench:
    """Read captures, and judge each by trees that never saw its repository."""
    settings = TrainingSettings(labels="family", threads=1).resolved()
    read = [read_capture(capture, GATEWAY) for capture in find_captures(folders)]
    read = [item for item in read if len(item.rows) and not item.is_probe]
    made = generated_flows(settings.generated, settings.split_seed, GATEWAY)
    folds = divided_into(read, "repositories", FOLDS)
    captures: list[JudgedCapture] = []
    for number, fold in enumerate(folds):
        dataset = _without(read, made, folds, number, settings)
        trees = fit_cautious(dataset, seed=1, threads=1), fit_families(dataset, seed=1, threads=1)
        for item in read:
            if item.capture.group in fold.units:
                captures.append(_judged(item, trees, dataset))
        print(f"{number + 1} of {len(folds)} folds judged", file=sys.stderr)
    return Bench(schema=GATEWAY, classes=CLASSES["family"], captures=tuple(captures))


def _judged(item: LabelledFlows, trees: Any, dataset: Dataset) -> JudgedCapture:
    rows, classes = item.rows[:, : len(dataset.schema)], dataset.classes
    attack = trees[0].predict_proba(rows)[:, 1:]
    known = np.hstack([1 - attack, attack * trees[1].predict_proba(rows)])
    probabilities = np.zeros((len(known), len(CLASSES["family"])), np.float32)
    probabilities[:, [CLASSES["family"].index(name) for name in classes]] = known
    given = FlowInput(capture=(item.capture.path,))
    with open_input(given, GATEWAY, verdict_at_s=VERDICT_AT_S) as reader:
        flows = np.concatenate([batch.flows for batch in reader.batches()])
    return JudgedCapture(
        name=item.capture.name,
        site=item.capture.repository,
        is_attack=item.is_attack,
        flows=flows,
        features=item.rows.astype(np.float64),
        probabilities=probabilities,
    )


def main() -> None:
    """Measure the folders named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("captures", nargs="+", type=Path)
    parser.add_argument("--peaks", type=Path, help="write what idskit ships of other networks")
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--part", action="append", choices=PARTS, help="measure this only")
    parser.add_argument("--json", type=Path, help="write all that was measured")
    parser.add_argument("--save", type=Path, help="write the rows of results")
    given = parser.parse_args()
    bench = judged_captures(given.captures)
    if given.peaks:
        write_peaks(bench, given.peaks)
    parts = given.part or PARTS
    report = measure(bench, given.draws, parts)
    asked = "".join(f" --part {part}" for part in given.part or ())
    command = f"{COMMAND} --draws {given.draws}{asked} --save bench/results/unseen_site.json"
    rows = table(report, command)
    for row in rows.rows:
        print(": ".join(filter(None, row.cells())))
    if given.json:
        given.json.write_text(json.dumps(report, indent=1, default=str), encoding="utf-8")
    if given.save:
        rows.save(given.save)


def write_peaks(bench: Bench, output: Path) -> None:
    """Write the peaks of all benign captures, joined, as idskit ships them."""
    benign = [one for one in bench.captures if not one.is_attack]
    write_site(bench.learned(joined(benign, seed=0)).anonymous(), output)


if __name__ == "__main__":
    main()
