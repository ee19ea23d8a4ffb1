"""Comparisons: ratios with intervals, against scipy's test of ranks, and what is said of files."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from tests.bench.sample_results import ORT, make_report, make_result, rounds
from tests.bench.test_report import SERVER, SUSTAINED

from idskit.bench.interval import ratio_interval
from idskit.bench.measure import Spread
from idskit.bench.result import RoundLatency
from idskit.bench.views.compare_results import compare, compare_reports, require_no_regression
from idskit.cli import main
from idskit.errors import GateRefused, IdskitError


def compared(*results, others=None, **machine):
    reports = {
        "before": make_report(*results),
        "after": make_report(*(others or results), machine=machine),
    }
    return compare_reports(reports)


@pytest.fixture
def saved(tmp_path):
    """Write reports and give their paths."""

    def save(*reports):
        paths = [tmp_path / f"{chr(97 + i)}.json" for i in range(len(reports))]
        for path, report in zip(paths, reports, strict=True):
            report.save(path)
        return paths

    return save


@pytest.mark.parametrize(("n", "m"), [(5, 5), (7, 7), (5, 11), (8, 6)])
def test_the_interval_holds_the_ratios_that_the_rank_test_does_not_refuse(n, m) -> None:
    stats = pytest.importorskip("scipy.stats")
    random = np.random.default_rng(n * m)
    before, after = random.lognormal(0, 0.1, n), random.lognormal(0.5, 0.1, m)
    low, high = ratio_interval(before, after)

    def p_value(ratio: float) -> float:
        return stats.mannwhitneyu(after / ratio, before, method="exact").pvalue

    assert p_value(low * 0.999) < 0.01
    assert p_value(high * 1.001) < 0.01
    assert p_value(low * 1.001) >= 0.01
    assert p_value(high * 0.999) >= 0.01


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    random = np.random.default_rng(0)
    held = 0
    for _ in range(2000):
        low, high = ratio_interval(random.lognormal(0, 0.2, 6), 2 * random.lognormal(0, 0.2, 6))
        held += low <= 2 <= high
    assert held / 2000 > 0.985


def test_too_few_rounds_give_no_interval() -> None:
    assert ratio_interval([1, 2, 3], [1, 2, 3]) is None
    (change,) = compared(make_result(1.0, 2.0, 3.0)).changes
    assert change.says == "too few rounds"


@pytest.mark.parametrize(
    ("after", "says"), [(200.0, "faster"), (98.0, "alike"), (102.0, "alike"), (50.0, "slower")]
)
def test_it_says_what_changed(after, says) -> None:
    old, new = make_result(*rounds(100.0)), make_result(*rounds(after))
    (change,) = compared(old, others=[new]).changes
    assert change.says == says
    assert change.ratio == pytest.approx(after / 100)
    assert change.low <= change.ratio <= change.high


def test_noise_hides_a_small_change() -> None:
    old = make_result(*rounds(100.0, spread=0.4))
    new = make_result(*rounds(80.0, spread=0.4))
    assert compared(old, others=[new]).changes[0].says == "alike"


def test_a_longer_time_is_slower() -> None:
    old, new = (
        make_result(
            1.0,
            scenario="single-stream",
            batch=1,
            round_latency_ms=RoundLatency(p50=Spread.of(rounds(ms)), p99=None),
        )
        for ms in (1.0, 2.0)
    )
    (change,) = compared(old, others=[new]).changes
    assert (change.measure, change.says) == ("p50 ms", "slower")
    assert change.ratio == pytest.approx(0.5)


def test_only_the_same_scenario_batch_and_bound_are_compared() -> None:
    bound = replace(SERVER, bound_ms=7.0)
    old = [
        make_result(*rounds(9.0), batch=8),
        make_result(*rounds(9.0), scenario="server", server=SERVER),
        make_result(*rounds(9.0)),
    ]
    new = [
        make_result(*rounds(9.0), batch=16),
        make_result(*rounds(9.0), scenario="server", server=bound),
        make_result(*rounds(9.0)),
    ]
    (change,) = compared(*old, others=new).changes
    assert (change.scenario, change.batch) == ("offline", 256)


def test_a_rate_of_nothing_is_a_regression_without_division_by_zero() -> None:
    old = make_result(*rounds(9.0), scenario="server", server=SERVER)
    new = make_result(*[0.0] * 7, scenario="server", server=SERVER)
    assert compared(old, others=[new]).changes[0].says == "slower"
    with pytest.raises(IdskitError, match="no measurement in common"):
        compared(new, others=[old])


def test_sustained_speed_is_that_of_the_second_half() -> None:
    first = SUSTAINED.samples[0]
    fading = [replace(first, flows_per_s=rate) for rate in (*rounds(200.0, count=40), *[50.0] * 40)]
    steady = [replace(first, flows_per_s=50.0)] * 80
    old, new = (
        make_result(1.0, scenario="sustained", sustained=replace(SUSTAINED, samples=tuple(samples)))
        for samples in (fading, steady)
    )
    assert compared(old, others=[new]).changes[0].says == "alike"


def test_subjects_are_matched_by_name() -> None:
    a, b = make_result(*rounds(1.0), name="a"), make_result(*rounds(3.0), name="b")
    assert [c.ratio for c in compared(a, b, others=[b, a]).changes] == [1.0, 1.0]


def test_models_of_other_names_are_compared_in_order_and_said_to_differ() -> None:
    old = make_result(*rounds(1.0), name="old", sha256="1" * 64)
    new = make_result(*rounds(1.0), name="new", sha256="2" * 64)
    comparison = compared(old, others=[new])
    assert len(comparison.changes) == 1
    assert "old (111111111111) in before is compared with new (222222222222)" in " ".join(
        comparison.differences
    )


def test_other_machines_versions_and_threads_are_said() -> None:
    old = make_result(*rounds(1.0))
    new = make_result(*rounds(1.0), execution=replace(ORT, threads=4))
    packages = {"packages": make_report().machine["packages"] | {"onnxruntime": "0.1"}}
    said = " ".join(compared(old, others=[new], cpu="Cortex-A76", **packages).differences)
    assert "Cortex-A76 in after" in said
    assert "Versions of onnxruntime differ" in said
    assert "threads 4 in after" in said


def test_the_same_number_of_threads_is_compared() -> None:
    one, two = (replace(ORT, threads=count) for count in (1, 2))
    results = [make_result(*rounds(speed), execution=e) for speed, e in ((1.0, one), (2.0, two))]
    assert [change.ratio for change in compared(*results).changes] == pytest.approx([1, 1])


def test_what_a_machine_does_not_tell_is_unknown() -> None:
    other = make_report(make_result(*rounds(1.0)), machine={"governor": "performance"})
    mine = make_report(make_result(*rounds(1.0)), machine={"governor": None})
    (said,) = compare_reports({"a": mine, "b": other}).differences
    assert said == "Machines differ in governor: unknown in a, performance in b."


def test_equal_files_differ_in_nothing() -> None:
    assert compared(make_result(*rounds(1.0))).differences == ()


def test_several_files_are_compared_with_the_first(saved, tmp_path) -> None:
    paths = saved(*(make_report(make_result(*rounds(speed))) for speed in (1.0, 2.0, 4.0)))
    comparison = compare(
        paths, html=tmp_path / "c.html", markdown=tmp_path / "c.md", json=tmp_path / "c.out"
    )
    assert [change.ratio for change in comparison.changes] == pytest.approx([2, 4])
    assert (tmp_path / "c.html").read_text().count("<svg") == 2
    assert "| A ids | offline, batch 256, flows/s | faster |" in (tmp_path / "c.md").read_text()
    assert json.loads((tmp_path / "c.out").read_text())["changes"][1]["says"] == "faster"


def test_files_of_one_name_are_told_apart(tmp_path) -> None:
    paths = [tmp_path / folder / "r.json" for folder in ("x", "y")]
    for path in paths:
        path.parent.mkdir()
        make_report(make_result(*rounds(1.0))).save(path)
    assert len(set(compare(paths).files)) == 2


def test_a_regression_is_refused() -> None:
    slow = make_result(*rounds(50.0))
    with pytest.raises(GateRefused, match=r"worst A ids, offline, flows/s: 0\.50 times"):
        require_no_regression(compared(make_result(*rounds(100.0)), others=[slow]))


def test_a_regression_of_unstable_numbers_says_so() -> None:
    slow = make_result(*rounds(50.0), warnings=("unstable: rounds differ by 41%",))
    with pytest.raises(GateRefused, match="are marked unstable: measure again"):
        require_no_regression(compared(make_result(*rounds(100.0)), others=[slow]))


def test_the_command_line_exits_3_on_a_regression_and_0_without(saved, capsys) -> None:
    fast, slow = (make_report(make_result(*rounds(speed))) for speed in (100.0, 50.0))
    before, after = map(str, saved(fast, slow))
    with pytest.raises(SystemExit) as stop:
        main(["compare", before, after])
    assert stop.value.code == 3
    with pytest.raises(SystemExit) as stop:
        main(["compare", after, before])
    assert stop.value.code == 0
    assert "2.00" in capsys.readouterr().err


def test_one_file_is_shown(saved, tmp_path, capsys) -> None:
    report = make_report(make_result(1234.0))
    comparison = compare(saved(report), html=tmp_path / "c.html", markdown=tmp_path / "c.md")
    assert comparison.changes == ()
    assert "1,234" in capsys.readouterr().err
    assert "- So be it." in (tmp_path / "c.md").read_text()
    assert "<li>So be it.</li>" in (tmp_path / "c.html").read_text()


def test_nothing_in_common(saved) -> None:
    reports = (make_report(make_result(1.0, batch=batch)) for batch in (1, 2))
    with pytest.raises(IdskitError, match="a and b have no measurement in common"):
        compare(saved(*reports))


def test_another_schema_version(saved) -> None:
    paths = saved(make_report(), make_report())
    paths[1].write_text(paths[1].read_text().replace('"schema_version": 2', '"schema_version": 1'))
    with pytest.raises(IdskitError, match=r"b\.json is a benchmark result of schema version 1"):
        compare(paths)
