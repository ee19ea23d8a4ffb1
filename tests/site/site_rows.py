"""The report of ``unseen_site`` as rows of results: budget, what it costs, poisoning, drift."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from idskit.bench.views.measured_table import PERCENT, Measure, MeasuredTable, Number, checked_out
from idskit.metrics import exact_interval
from idskit.site.incident_budget import Budget, poisson_interval

WITHIN = 2.0  # times the budget
DAY_HOURS = 24


def table(report: Mapping[str, Any], command: str) -> MeasuredTable:
    """Return the report as a table of results."""
    return MeasuredTable(
        title="A site that was never seen",
        about=(
            "Repositories left out; the benign captures of each joined in random order, an hour "
            "for each: half of them learned, the other half counted. Replayed: the same captures "
            "come again and again in other orders, so devices come back."
        ),
        commands=(command,),
        revision=checked_out(),
        machine="AMD EPYC",
        rows=tuple(
            row
            for part, rows in (
                ("sites", budget_rows),
                ("poison", poison_rows),
                ("replay", partial(drift_rows, "replayed devices")),
                ("drift", partial(drift_rows, "ever new devices")),
            )
            if part in report
            for row in rows(report[part])
        ),
        notes=(
            "Orders of the same captures are not independent: intervals of rates are those of one "
            "order, and the shares of joined sites are of pairs of sites in several orders.",
        ),
    )


def budget_rows(sites: Mapping[str, Any]) -> Iterator[Measure]:
    """Yield false incidents a day of each site, and on how many they are within the goal."""
    for text in sorted({text for found in sites.values() for text in found}):
        within, most = 0, WITHIN * Budget.parse(text).per_day
        for site, found in sites.items():
            after = found[text]["after"]
            within += after["per_day"] <= most
            yield Measure(
                measure=f"{site}, budget {text}: false incidents a day after learning",
                unit="a day",
                idskit=_rate(after),
                others={
                    "before learning": _rate(found[text]["before"]),
                    "with verdicts": _rate(found[text]["verdicts"]),
                },
            )
            yield Measure(
                measure=f"{site}, budget {text}: change of the attack captures found",
                unit="points",
                idskit=Number(value=round(100 * found[text]["found_change"], 2)),
            )
        yield share(f"budget {text}: sites within a factor 2 of it", within, len(sites))


def poison_rows(poison: Mapping[str, Sequence[Sequence[float]]]) -> Iterator[Measure]:
    """Yield what 1 % attack flows in learning cost, at the worst site."""
    lost = [100 * (clean - dirty) for pairs in poison.values() for clean, dirty in pairs]
    for name, value in (("mean", np.mean(lost)), ("worst", np.max(lost))):
        yield Measure(
            measure=f"1 % attack flows in learning: attack captures lost, {name} of {len(lost)}",
            unit="points",
            idskit=Number(value=round(float(value), 2)),
        )


def drift_rows(name: str, found: Mapping[str, Any]) -> Iterator[Measure]:
    """Yield false alarms of drift, and joining devices that were told within a day."""
    quiet, joined = [], []
    for others in found.values():
        for other, runs in others.items():
            (quiet if other == "None" else joined).extend(runs)
    alarms, days = sum(run["alarms"] for run in quiet), _days(quiet)
    low, high = (round(30 * bound / days, 3) for bound in poisson_interval(alarms))
    yield Measure(
        measure=f"drift, {name}: false alarms in 30 days ({days:,.0f} days watched)",
        unit="",
        idskit=Number(value=round(30 * alarms / days, 3), low=low, high=high),
    )
    told = sum(run["first"] is not None and run["first"] < DAY_HOURS for run in joined)
    yield share(f"drift, {name}: other devices that join are told in a day", told, len(joined))


def _days(runs: Sequence[Mapping[str, Any]]) -> float:
    return sum(run["hours"] for run in runs) / DAY_HOURS


def _rate(found: Mapping[str, Any]) -> Number:
    low, high = found["interval"]
    return Number(value=round(found["per_day"], 3), low=round(low, 3), high=round(high, 3))


def share(measure: str, hits: int, of: int) -> Measure:
    """Return a share with its exact interval."""
    low, high = (round(bound, 4) for bound in exact_interval(hits, of))
    number = Number(value=round(hits / of, 4), low=low, high=high, hits=hits, of=of)
    return Measure(measure=measure, unit=PERCENT, idskit=number)
