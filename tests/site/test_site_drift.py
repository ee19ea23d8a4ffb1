"""Drift: said when devices change or join, and hardly ever otherwise."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import kstest, nbinom, rankdata
from tests.site.made_traffic import CLASSES, FIRST_HOUR, THRESHOLD, Traffic, traffic

from idskit.schemas.gateway_columns import GATEWAY
from idskit.site.device_normal import DeviceHour
from idskit.site.site_drift import ERROR, DriftWatch, _Joins, _p_value, _Stream
from idskit.site.site_learner import SiteLearner
from idskit.site.site_levels import Contact
from idskit.site.site_normal import SiteNormal

WEEK = 24 * 7


def everyday(hour: int, rng: np.random.Generator, **more: float) -> Traffic:
    """Return an hour of a device whose flows and scores vary."""
    given = {"score": float(rng.beta(2, 60)), **more}
    return traffic(hour, int(rng.integers(2, 9)), **given)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def normal() -> SiteNormal:
    """A site of one device that was learned for two days."""
    learner, rng = SiteLearner(GATEWAY, CLASSES, THRESHOLD), np.random.default_rng(1)
    for hour in range(48):
        learner.observe(*everyday(hour, rng).parts)
    return learner.finish()


def alarms(watch: DriftWatch, hours: range, **more: float) -> list:
    rng = np.random.default_rng(2)
    found = [watch.observe(*everyday(hour, rng, **more).parts) for hour in hours]
    return [alarm for some in (*found, watch.finish()) for alarm in some]


def test_a_device_that_goes_on_as_before_is_no_drift(normal) -> None:
    assert alarms(DriftWatch(normal, CLASSES), range(48, 48 + 60)) == []


def test_a_device_whose_flows_look_otherwise_is_drift_within_a_day(normal) -> None:
    (alarm,) = alarms(DriftWatch(normal, CLASSES), range(48, 48 + 24), score=0.3)
    assert alarm.device == "192.168.1.20"
    assert alarm.measure.startswith("likeness of its flows")
    assert alarm.value > alarm.usual
    assert alarm.hour < FIRST_HOUR + 48 + 24


def test_an_alarm_says_what_is_new(normal) -> None:
    watch = DriftWatch(normal, CLASSES)
    rng, found = np.random.default_rng(3), []
    for hour in range(48, 48 + 40):
        new = traffic(hour + 0.2, 30, dst="203.0.113.9", port=8883, dns_queries=5.0)
        found += watch.observe(*(everyday(hour, rng) + new).parts)
    (alarm,) = found
    assert alarm.contacts == ("to 8883/tcp 203.0.113.0",)
    assert "name queries" in [name for name, _, _ in alarm.facts]
    assert "192.168.1.20 is not as learned" in str(alarm)


def test_there_is_one_alarm_a_week(normal) -> None:
    first = -FIRST_HOUR % WEEK + WEEK  # weeks are counted since the epoch
    found = alarms(DriftWatch(normal, CLASSES), range(first, first + 2 * WEEK), score=0.3)
    assert len(found) == 2
    assert found[0].hour // WEEK + 1 == found[1].hour // WEEK


def test_what_looks_like_an_attack_is_no_drift(normal) -> None:
    assert alarms(DriftWatch(normal, CLASSES), range(48, 48 + 48), score=0.99) == []


def test_an_unset_clock_is_no_drift(normal) -> None:
    watch = DriftWatch(normal, CLASSES)
    assert alarms(watch, range(-FIRST_HOUR, 24 - FIRST_HOUR), score=0.3) == []


def test_a_restart_changes_nothing(normal) -> None:
    hours, rng = range(48, 48 + 20), np.random.default_rng(4)
    batches = [everyday(hour, rng, score=0.2).parts for hour in hours]
    whole, first = DriftWatch(normal, CLASSES), DriftWatch(normal, CLASSES)
    expected = [str(one) for batch in batches for one in whole.observe(*batch)]
    assert expected
    for batch in batches[:3]:
        assert first.observe(*batch) == []
    first.finish()
    second = DriftWatch(normal, CLASSES)
    second.restore(json.loads(json.dumps(first.to_state())))
    later = [one for batch in batches[3:] for one in second.observe(*batch)]
    assert len(later) == len(expected)


@pytest.mark.parametrize("damage", [{"streams": 3}, {"streams": {"x": {}}}, {}, {"joined": ["?"]}])
def test_a_damaged_state_is_refused(normal, damage) -> None:
    watch = DriftWatch(normal, CLASSES)
    state = watch.to_state() | damage if damage else {}
    with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
        watch.restore(state)


def test_devices_that_join_are_drift_if_they_are_unlike_the_learned(normal) -> None:
    learner, rng = SiteLearner(GATEWAY, CLASSES, THRESHOLD), np.random.default_rng(5)
    for number in range(40):
        parts = traffic(number, 4, src=f"192.168.1.{number + 1}", score=float(rng.beta(2, 60)))
        learner.observe(*parts.parts)
    site = learner.finish()
    for score, count in ((None, 0), (0.3, 1)):
        watch, found = DriftWatch(site, CLASSES), []
        for number in range(24):
            given = float(rng.beta(2, 60)) if score is None else score
            parts = traffic(50 + number, 4, src=f"192.168.2.{number + 1}", score=given)
            found += watch.observe(*parts.parts)
        assert len(found) == count
        assert all(alarm.device is None for alarm in found)


def test_false_alarms_are_as_rare_as_promised() -> None:
    rng, weeks, opened = np.random.default_rng(6), 60, 0
    threshold = 1 / ERROR
    for week in range(weeks):
        stream = _Stream(week=week, reference=rng.normal(size=(48, 3)).tolist())
        highest = 0.0
        for hour in range(48):
            stream.bet(rng.normal(size=3).tolist(), (week, hour))
            highest = max(highest, float(stream.wealth.mean()))
        opened += highest >= threshold
    assert opened <= 2 * ERROR * weeks  # Ville: at most ERROR of them on average


def test_p_values_of_exchangeable_hours_are_uniform() -> None:
    rng = np.random.default_rng(7)
    values = [
        _p_value(row[0], row[1:], (number,))
        for number, row in enumerate(np.round(rng.normal(size=(2000, 30)), 1))  # with ties
    ]
    assert kstest(values, "uniform").pvalue > 0.01


def test_a_p_value_is_a_rank_without_ties() -> None:
    row = np.random.default_rng(8).normal(size=50)
    for at, rank in enumerate(rankdata(-row)):
        p = _p_value(row[at], np.delete(row, at), (at,))
        assert (rank - 1) / 50 <= p <= rank / 50


def test_contacts_are_bounded() -> None:
    stream = _Stream(week=0, reference=[[0.0, 0.0, 0.0]])
    for number in range(3000):
        hour = DeviceHour()
        contact = Contact(inbound=False, service=(6, number), network=1)
        hour.add(contact, failed=False, sent=True, score=0.0)
        stream.count({}, hour)
    assert len(stream.contacts) <= 1024


def several(hour: int, addresses: range, rng: np.random.Generator) -> Traffic:
    """Return an hour of several devices that do the same."""
    first, *others = (everyday(hour, rng, src=f"192.168.1.{number}") for number in addresses)
    return sum(others, first)


@pytest.fixture(scope="module")
def home() -> SiteNormal:
    """A site of ten devices that was learned for four days; one joined on the third."""
    learner, rng = SiteLearner(GATEWAY, CLASSES, THRESHOLD), np.random.default_rng(4)
    for hour in range(96):
        learner.observe(*several(hour, range(20, 29 + (hour >= 60)), rng).parts)
    return learner.finish()


def alarms_of_home(home: SiteNormal, hours: range, joining: int) -> list[str]:
    watch, rng, found = DriftWatch(home, CLASSES), np.random.default_rng(5), []
    for hour in hours:
        traffic_of_hour = several(hour, range(20, 30), rng)
        if joining:
            traffic_of_hour += several(hour, range(60, 60 + joining), rng)
        found += watch.observe(*traffic_of_hour.parts)
    found += watch.finish()
    return [str(alarm) for alarm in found if alarm.device is None]


def test_a_set_of_devices_that_joins_together_is_drift_in_its_first_hours(home) -> None:
    (said,) = alarms_of_home(home, range(96, 99), joining=12)
    assert said == "12 devices joined in a day, learned 0.5 a day"


def test_a_device_that_joins_now_and_then_is_none(home) -> None:
    assert alarms_of_home(home, range(96, 120), joining=1) == []
    assert alarms_of_home(home, range(96, 120), joining=0) == []


def test_how_likely_so_many_join_is_a_negative_binomial(home) -> None:
    joins = _Joins(home)
    shape, stays = 1 + 0.5, 48 / (48 + 24)
    for number in (0, 1, 3, 8):
        expected = nbinom.sf(number - 1, shape, stays)
        assert joins._chance(number) == pytest.approx(expected, abs=1e-12)


def test_the_day_of_those_that_joined_survives_a_restart(home) -> None:
    watch, rng = DriftWatch(home, CLASSES), np.random.default_rng(6)
    watch.observe(*several(96, range(60, 64), rng).parts)
    watch.observe(*several(97, range(20, 30), rng).parts)
    again = DriftWatch(home, CLASSES)
    again.restore(json.loads(json.dumps(watch.to_state())))
    found = again.observe(*several(98, range(64, 70), rng).parts) + again.finish()
    assert [alarm.value for alarm in found if alarm.device is None] == [10]
