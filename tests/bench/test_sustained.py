"""The sustained scenario: its curve, its drift, and whether it came to rest."""

from __future__ import annotations

import pytest

from idskit.bench.measure import Plan
from idskit.bench.scenarios import sustained as module
from idskit.bench.scenarios.inference import Settings
from idskit.bench.scenarios.sustained import drift, sustained, unsteady
from idskit.bench.subject import open_subject
from idskit.machine.sensors import Reading

PLAN = Plan(rounds=1, round_s=0.0, warmup_s=0.0)
SETTINGS = Settings(plan=PLAN, batches=(1,), rss_start_mib=None, server_batch=4)


def test_drift_is_the_last_quarter_against_the_first() -> None:
    assert drift([100, 100, 90, 80, 70, 70, 60, 60]) == pytest.approx(-0.4)


def test_a_curve_that_came_to_rest_is_steady() -> None:
    assert unsteady([100, 90, 80, 80, 80, 80, 80, 80], 1.0) == []


def test_a_curve_that_still_falls_is_not() -> None:
    (said,) = unsteady([100, 100, 90, 90, 80, 80, 60, 60], 2.0)
    assert "no steady state within 2 minutes: speed still fell by 25%" in said


def test_too_few_samples_are_said() -> None:
    assert "only 3 samples within 1 minutes" in unsteady([1.0, 1.0, 1.0], 1.0)[0]


def test_every_sample_holds_the_sensors(make_model, monkeypatch) -> None:
    reading = Reading(temperature_c=61.5, clock_hz=1.5e9, throttled=False, power_w=4.0)
    monkeypatch.setattr(module, "read_sensors", lambda: reading)
    models = [open_subject(make_model(name)) for name in ("a.onnx", "b.onnx")]
    results = sustained(models, SETTINGS, minutes=0.002)
    assert [result.model.name for result in results] == ["a", "b"]
    for result in results:
        first = result.sustained.samples[0]
        assert (first.temperature_c, first.frequency_mhz, first.power_w) == (61.5, 1500, 4)
        assert result.power_w == 4
        moments = [sample.at_s for sample in result.sustained.samples]
        assert moments == sorted(moments)
        assert result.run.scenario == "sustained"
