"""A budget of false incidents, and the thresholds that keep it by what benign traffic showed.

Hours are exchangeable, flows are not: one program makes a burst of them. So incidents are counted
over hours. Of H hours, the next one exceeds what at most k of them did with a probability of at
most (k + 1) / (H + 1), which is the conformal bound (Vovk et al., 2005; Angelopoulos et al.,
"Conformal Risk Control", ICLR 2024). Intervals of rates are exact (F. Garwood, Biometrika 1936),
and as wide as those of a bootstrap of blocks of hours where incidents come in bursts.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from idskit.errors import IdskitError
from idskit.incidents.family_facts import FAMILY_FACTS
from idskit.incidents.sequential.nats import OPENS
from idskit.site.case_peaks import HOUR_US, LEAST_NATS, Peak

HOURS_A_DAY = 24
LEAST_HOURS = 24  # with fewer, no threshold is stated
MOST_RAISED = 4 * OPENS  # what looks that much like an attack opens an incident everywhere
RAISES_AT = 2.0  # times the budget, over an hour and over a day
MOST_FACTOR = 2.0  # of the nats that open an incident
_RAISE = 1.25  # at most once an hour
_BY_CHANCE = 0.025  # probability of a day's incidents, above which they raise nothing
MOST_OF_DEVICE = 3  # peaks of one device and family that decide on the levels of others
_HABIT = 4  # hours in which a device has a peak before it gets a level of its own
_RESAMPLED = 2_000  # times, for a bootstrap
_PERIODS = {"hour": 1 / 24, "day": 1.0, "week": 7.0, "month": 30.0}  # days
_FORM = re.compile(r"\s*([0-9]{1,6}(?:\.[0-9]{1,6})?)\s*/\s*(hour|day|week|month)\s*")
_LOWER = (LEAST_NATS, 8.0, 10.0)  # candidates for a threshold below OPENS


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The number of false incidents that people put up with.

    Example:
        >>> Budget.parse("2/week").per_day
        0.2857142857142857
    """

    per_day: float
    text: str

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read a budget such as ``1/day``, ``2/week`` or ``0.1/day``.

        Raises:
            IdskitError: it is none.
        """
        found = _FORM.fullmatch(text)
        per_day = float(found[1]) / _PERIODS[found[2]] if found else 0.0
        if not 1e-3 <= per_day <= 1e3:
            raise IdskitError(
                f"budget {text!r} was asked for: write how many false incidents you accept, as "
                "1/day, 2/week or 0.1/day; from 0.001 to 1,000 a day"
            )
        return cls(per_day=per_day, text="".join(text.split()))


DEFAULT_BUDGET = Budget.parse("1/day")


@dataclass(frozen=True, kw_only=True)
class Openings:
    """The nats that open an incident.

    Attributes:
        nats: by family; OPENS where a family has none.
        device_nats: by device and family.
        notes: sentences on what could not be promised, or was changed.
    """

    nats: dict[str, float] = field(default_factory=dict)
    device_nats: dict[tuple[int, str], float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def of(self, peak: Peak) -> float:
        """Return the nats that a peak had to reach."""
        general = self.nats.get(peak.family, OPENS)
        return self.device_nats.get((peak.device, peak.family), general)

    def opened(self, peaks: Sequence[Peak]) -> list[Peak]:
        """Return the peaks that are incidents."""
        return [peak for peak in peaks if peak.nats >= self.of(peak)]


class BurnRate:
    """The evidence that is asked for while more incidents open than a budget allows.

    Two windows are watched, as site reliability engineers do (Beyer et al., "The Site Reliability
    Workbook", 2018, chapter 5): the day says that it matters, the hour that it goes on. Where both
    burn at RAISES_AT or more, and the budget would make the day's number once in forty days at
    most, evidence is multiplied by up to MOST_FACTOR. Only a person lowers it.

    Attributes:
        factor: of the nats that open an incident.
    """

    def __init__(self, factor: float = 1.0, raised_us: int = 0) -> None:
        if not 1 <= factor <= MOST_FACTOR:
            raise ValueError(f"evidence cannot be multiplied by {factor}")
        self.factor = factor
        self._raised_us = raised_us

    def watch(self, times_us: Sequence[int], now_us: int, budget: Budget) -> bool:
        """Return whether the factor rises because of incidents that opened at some times."""
        if not self.is_burning(times_us, now_us, budget):
            return False
        if 0 <= now_us - self._raised_us < HOUR_US or self.factor >= MOST_FACTOR:
            return False
        self.factor, self._raised_us = min(MOST_FACTOR, self.factor * _RAISE), now_us
        return True

    def lower(self) -> None:
        """Use the thresholds of the budget again, because a person asks for it."""
        self.factor = 1.0

    def to_state(self) -> dict[str, float]:
        """Return what makes it again, as plain types."""
        return {"factor": self.factor, "raised_us": self._raised_us}

    @staticmethod
    def rates(times_us: Sequence[int], now_us: int, budget: Budget) -> tuple[float, float]:
        """Return incidents of the last hour and of the last 24 by what a budget allows."""
        hour, day = (
            sum(0 <= now_us - time < hours * HOUR_US for time in times_us)
            for hours in (1, HOURS_A_DAY)
        )
        return hour * HOURS_A_DAY / budget.per_day, day / budget.per_day

    @classmethod
    def is_burning(cls, times_us: Sequence[int], now_us: int, budget: Budget) -> bool:
        """Return whether more incidents open than a budget allows, and not by chance."""
        rates = cls.rates(times_us, now_us, budget)
        chance = 1 - _below(round(rates[1] * budget.per_day), budget.per_day)
        return min(rates) >= RAISES_AT and chance <= _BY_CHANCE


def openings_for(peaks: Sequence[Peak], hours: int, budget: Budget) -> Openings:
    """Return the thresholds that keep a budget, by the peaks of benign traffic.

    A threshold rises to at most MOST_RAISED. Below OPENS it goes only where the upper bound of the
    rate there is within the budget. What a sequential test found, and peaks of MOST_RAISED and
    more, are like attacks: no threshold rises because of them.

    Args:
        peaks: of benign traffic.
        hours: in which there was traffic.
        budget: what is asked for.
    """
    if hours < LEAST_HOURS:
        return Openings(notes=(_too_short(hours),))
    allowed = math.floor(budget.per_day * (hours + 1) / HOURS_A_DAY + 1e-9) - 1
    notes = () if allowed >= 0 else (_too_tight(hours, budget),)
    learnable = [peak for peak in peaks if not peak.tested and peak.nats < MOST_RAISED]
    floor = _floor(peaks, hours, budget)
    ranked = _ranked(learnable, floor)
    shares = _shares({family: len(found) for family, found in ranked.items()}, max(0, allowed))
    nats = {family: _above(found, shares[family], floor) for family, found in ranked.items()}
    if floor < OPENS:
        nats = dict.fromkeys(FAMILY_FACTS, floor) | nats
    quarter = max(0, math.floor(budget.per_day / 4 * hours / HOURS_A_DAY))
    own = _own_levels(learnable, nats, quarter)
    return Openings(nats=nats, device_nats=own, notes=notes)


def hours_needed(budget: Budget) -> int:
    """Return the hours of traffic after which a budget can be kept and stated."""
    return max(LEAST_HOURS, math.ceil(HOURS_A_DAY / budget.per_day) - 1)


def poisson_interval(count: int, confidence: float = 0.95) -> tuple[float, float]:
    """Bound the mean behind a count exactly.

    Example:
        >>> [round(bound, 3) for bound in poisson_interval(0)]
        [0.0, 3.689]
    """
    tail = (1 - confidence) / 2
    low = 0.0 if not count else _solved(lambda mean: 1 - _below(count, mean) > tail, count)
    return low, _solved(lambda mean: _below(count + 1, mean) < tail, count)


def burst_interval(peaks: Sequence[Peak], hours: int) -> tuple[float, float]:
    """Bound the number of incidents that so many hours bring, 95 %, although they come in bursts.

    It is a circular bootstrap of blocks of hours (Politis and Romano, 1992); their length is the
    third root of the hours. Few incidents make it too narrow: use ``poisson_interval`` as well.
    """
    at = np.array([peak.hour for peak in peaks], np.int64)
    counts = np.bincount((at - at.min(initial=0)) % hours, minlength=hours)
    length = max(1, round(hours ** (1 / 3)))
    until = np.concatenate([[0], np.cumsum(np.tile(counts, 2))])
    blocks = math.ceil(hours / length)
    first = np.random.default_rng(0).integers(hours, size=(_RESAMPLED, blocks))
    totals = (until[first + length] - until[first]).sum(axis=1) * hours / (blocks * length)
    low, high = np.percentile(totals, [2.5, 97.5])
    return float(low), float(high)


def _solved(is_beyond: Callable[[float], bool], count: int) -> float:
    low, high = 0.0, 2.0 * count + 20.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if is_beyond(middle) else (middle, high)
    return high


def _below(count: int, mean: float) -> float:
    """Return the probability of less than ``count``."""
    if not mean:
        return 1.0
    numbers = np.arange(count)
    logs = numbers * math.log(mean) - mean - np.array([math.lgamma(n + 1) for n in numbers])
    return float(np.exp(logs).sum())


def _floor(peaks: Sequence[Peak], hours: int, budget: Budget) -> float:
    """Return the lowest threshold whose rate is surely within the budget, OPENS at most.

    Peaks that are like attacks open incidents anyway, so they do not speak against it.
    """
    days = hours / HOURS_A_DAY
    decided = [
        peak.nats
        for peak in peaks
        if peak.nats < MOST_RAISED and not (peak.tested and peak.nats >= OPENS)
    ]
    for nats in _LOWER:
        count = sum(found >= nats for found in decided)
        if poisson_interval(count)[1] / days <= budget.per_day:
            return nats
    return OPENS


def _ranked(peaks: Sequence[Peak], floor: float) -> dict[str, list[float]]:
    """Return the nats of peaks by family, the highest first, a few of any device."""
    taken: Counter[tuple[str, int]] = Counter()
    ranked: dict[str, list[float]] = defaultdict(list)
    for peak in sorted(peaks, key=lambda peak: -peak.nats):
        taken[peak.family, peak.device] += 1
        if peak.nats >= floor and taken[peak.family, peak.device] <= MOST_OF_DEVICE:
            ranked[peak.family].append(peak.nats)
    return dict(ranked)


def _shares(wanted: dict[str, int], allowed: int) -> dict[str, int]:
    """Divide exceedances among families: who needs less than an equal share leaves the rest."""
    shares = {}
    for left, (family, count) in zip(
        range(len(wanted), 0, -1), sorted(wanted.items(), key=lambda item: item[1]), strict=True
    ):
        shares[family] = min(count, allowed // left)
        allowed -= shares[family]
    return shares


def _above(ranked: list[float], exceeding: int, floor: float) -> float:
    """Return the threshold that so many of the ranked peaks exceed."""
    if exceeding >= len(ranked):
        return floor
    return min(MOST_RAISED, max(floor, ranked[exceeding] * (1 + 1e-9)))


def _own_levels(
    peaks: Sequence[Peak], nats: dict[str, float], exceeding: int
) -> dict[tuple[int, str], float]:
    """Return levels of devices that go beyond those of all, hour after hour."""
    beyond: dict[tuple[int, str], list[Peak]] = defaultdict(list)
    for peak in peaks:
        if peak.nats >= nats.get(peak.family, OPENS):
            beyond[peak.device, peak.family].append(peak)
    return {
        key: _above(sorted((peak.nats for peak in found), reverse=True), exceeding, OPENS)
        for key, found in beyond.items()
        if len({peak.hour for peak in found}) >= _HABIT
    }


def _too_short(hours: int) -> str:
    return (
        f"{hours} hours of traffic state no threshold: {LEAST_HOURS - hours} more are needed; "
        f"incidents open at {OPENS:g} nats, as shipped"
    )


def _too_tight(hours: int, budget: Budget) -> str:
    least = HOURS_A_DAY / (hours + 1)
    return (
        f"{hours} hours of traffic can promise {least:.2g} false incidents a day at best, and not "
        f"{budget.text}: {hours_needed(budget) - hours} more hours are needed; until then the "
        "thresholds are those above all that was seen"
    )
