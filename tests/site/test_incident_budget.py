"""Budgets: what is read, what is promised, and what is not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, poisson

from idskit.errors import IdskitError
from idskit.incidents.sequential.nats import OPENS
from idskit.site.case_peaks import HOUR_US, Peak
from idskit.site.incident_budget import (
    LEAST_HOURS,
    MOST_FACTOR,
    MOST_RAISED,
    Budget,
    BurnRate,
    burst_interval,
    openings_for,
    poisson_interval,
)

DAY = Budget.parse("1/day")


def peak(nats, *, family="web", device=1, hour=0, tested=False):
    return Peak(family=family, device=device, service=(6, 80), hour=hour, nats=nats, tested=tested)


def test_budgets_are_read_as_people_write_them() -> None:
    read = [Budget.parse(text).per_day for text in ("1/day", "2/week", " 0.1 / day", "1/hour")]
    assert read == pytest.approx([1, 2 / 7, 0.1, 24])


@pytest.mark.parametrize(
    "text",
    ["", "1", "day", "-1/day", "0/day", "1e9/day", "1/year", "1/day\n2/day", "nan/day"],
)
def test_what_is_no_budget_is_one_sentence(text) -> None:
    with pytest.raises(IdskitError, match="write how many false incidents"):
        Budget.parse(text)


@pytest.mark.parametrize("count", [0, 1, 2, 5, 17, 100, 1000])
def test_poisson_intervals_are_garwoods(count) -> None:
    low = chi2.ppf(0.025, 2 * count) / 2 if count else 0.0
    high = chi2.ppf(0.975, 2 * count + 2) / 2
    assert poisson_interval(count) == pytest.approx((low, high), rel=1e-6, abs=1e-6)


def test_too_few_hours_state_no_threshold_and_say_how_many_are_missing() -> None:
    openings = openings_for([peak(30.0)], LEAST_HOURS - 3, DAY)
    assert openings.nats == {}
    assert "3 more are needed" in openings.notes[0]


def test_a_budget_that_so_few_hours_cannot_promise_is_said() -> None:
    openings = openings_for([peak(30.0)], 48, Budget.parse("1/week"))
    assert "119 more hours are needed" in openings.notes[0]
    assert openings.nats["web"] > 30


def test_a_quiet_site_has_lower_thresholds_where_its_hours_allow_it() -> None:
    assert openings_for([], 24, DAY).nats == {}  # none in a day may be 3.7 a day
    assert set(openings_for([], 24 * 7, DAY).nats.values()) == {OPENS / 2}


def test_equal_peaks_are_all_let_through_or_none_is() -> None:
    hours = 24 * 10
    equal = [peak(20.0, device=n, hour=n) for n in range(50)]
    assert openings_for(equal, hours, DAY).opened(equal) == []
    few = equal[:9]
    assert len(openings_for(few, hours, DAY).opened(few)) == 9


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.floats(6, 47), st.sampled_from(["web", "malware", "scan"])), max_size=60),
    st.sampled_from(["0.5/day", "1/day", "3/day"]),
)
def test_what_was_seen_keeps_the_budget(found, text) -> None:
    hours, budget = 24 * 8, Budget.parse(text)
    peaks = [peak(nats, family=family, device=n) for n, (nats, family) in enumerate(found)]
    opened = openings_for(peaks, hours, budget).opened(peaks)
    assert len(opened) <= budget.per_day * (hours + 1) / 24


def test_the_next_days_keep_the_budget_on_average() -> None:
    rng = np.random.default_rng(1)
    hours, budget, rates = 24 * 7, DAY, []
    for _ in range(40):
        rows = [
            [peak(OPENS + rng.exponential(8), device=int(rng.integers(1 << 30)), hour=hour)]
            for hour in range(2 * hours)
            if rng.random() < 0.15  # 3.6 a day at OPENS
        ]
        seen = [one for (one,) in rows if one.hour < hours]
        later = [one for (one,) in rows if one.hour >= hours and one.nats < MOST_RAISED]
        rates.append(len(openings_for(seen, hours, budget).opened(later)) / 7)
    assert 0.5 < np.mean(rates) < 1.1


def test_what_is_like_attacks_raises_nothing() -> None:
    like = [peak(40.0, device=n, tested=True) for n in range(20)]
    like += [peak(MOST_RAISED + 1, device=n) for n in range(20)]
    openings = openings_for(like, 24 * 7, DAY)
    assert openings.opened(like) == like


def test_one_device_does_not_raise_the_level_of_others() -> None:
    noisy = [peak(30.0 + n, device=7, hour=n) for n in range(20)]
    openings = openings_for(noisy, 24 * 7, DAY)
    assert openings.of(peak(20.0, device=8)) == OPENS
    assert openings.of(peak(20.0, device=7)) > 40  # it has a level of its own


def test_a_peak_of_one_hour_is_no_habit() -> None:
    once = [peak(30.0 + n, device=7, hour=5) for n in range(20)]
    assert openings_for(once, 24 * 7, DAY).device_nats == {}


def test_a_burn_rate_is_a_multiple_of_the_budget() -> None:
    budget = Budget.parse("2/day")
    times = [int(hour * HOUR_US) for hour in (0, 10, 23.5, 23.9)]
    assert BurnRate.rates(times, 24 * HOUR_US - 1, budget) == (2 * 24 / 2, 4 / 2)
    assert BurnRate.rates(times, 30 * HOUR_US, budget) == (0, 3 / 2)
    assert BurnRate.rates(times, 90 * HOUR_US, budget) == (0, 0)
    assert BurnRate.rates(times, -HOUR_US, budget) == (0, 0)  # a clock that was put back


@pytest.mark.parametrize("per_day", ["0.1/day", "1/day", "10/day"])
def test_what_chance_may_make_of_a_budget_raises_nothing(per_day) -> None:
    budget, day = Budget.parse(per_day), 24 * HOUR_US
    burning = [n for n in range(60) if BurnRate.is_burning([day] * n, day, budget)]
    assert burning == list(range(burning[0], 60))
    tail = poisson.sf(burning[0] - 1, budget.per_day)
    assert tail <= 0.025


def test_evidence_rises_by_steps_up_to_a_bound_and_is_lowered_by_persons() -> None:
    burn, times, rises = BurnRate(), [], []
    for second in range(300):  # one incident a second
        times.append(10 * HOUR_US + 1_000_000 * second)
        rises.append(burn.watch(times, times[-1], DAY))
    assert sum(rises) == 1
    factors = []
    for hour in range(11, 20):
        times.append(hour * HOUR_US)
        burn.watch(times, times[-1], DAY)
        factors.append(burn.factor)
    assert factors == sorted(factors)
    assert burn.factor == MOST_FACTOR
    again = BurnRate(**burn.to_state())  # a restart lowers nothing
    assert not again.watch([], 10_000 * HOUR_US, DAY)
    assert again.factor == MOST_FACTOR
    burn.lower()
    assert burn.factor == 1
    with pytest.raises(ValueError, match="multiplied"):
        BurnRate(factor=MOST_FACTOR + 1)


def test_one_incident_in_a_while_raises_nothing() -> None:
    burn, times = BurnRate(), []
    for n in range(100):
        times.append(24 * n * HOUR_US)
        assert not burn.watch(times, times[-1], DAY)


def test_bursts_make_an_interval_wider_and_lonely_incidents_do_not() -> None:
    rng, hours = np.random.default_rng(3), 24 * 60
    lonely = [peak(20.0, hour=int(at)) for at in rng.integers(hours, size=60)]
    bursts = [peak(20.0, hour=int(at)) for at in rng.integers(hours, size=6) for _ in range(10)]
    exact = poisson_interval(60)
    assert burst_interval(lonely, hours) == pytest.approx(exact, rel=0.15)
    low, high = burst_interval(bursts, hours)
    assert low < exact[0] - 10
    assert high > exact[1] + 10
    assert burst_interval([], hours) == (0, 0)


def test_the_interval_of_bursts_covers_their_mean_in_most_draws() -> None:
    covered, hours = 0, 24 * 30
    for seed in range(200):  # bursts of four hours that come by chance, 20 a month
        rng = np.random.default_rng(seed)
        begin = rng.integers(hours, size=rng.poisson(20))
        found = [peak(20.0, hour=int(at + hour) % hours) for at in begin for hour in range(4)]
        low, high = burst_interval(found, hours)
        covered += low <= 80 <= high
    assert covered >= 0.85 * 200
