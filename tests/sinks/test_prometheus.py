"""The numbers in Prometheus' format: promtool is the judge of the text, and of the names."""

from __future__ import annotations

import re
import subprocess
import threading

import pytest
from tests.sinks.parts import HOSTILE, need

from idskit.sinks.prometheus import FAMILIES, MOST_SERIES, Family, Metrics


def filled() -> Metrics:
    """Return numbers with a value of every name."""
    metrics = Metrics()
    for family in FAMILIES:
        labels = {label: f"some {label}" for label in family.labels}
        if family.kind == "histogram":
            for value in (0.0001, 0.3, 7.0, 1e9):
                metrics.observe(family.name, value)
        elif family.kind == "counter":
            metrics.add(family.name, 3, **labels)
        else:
            metrics.put(family.name, 0.25, **labels)
    return metrics


NUMBERS = (Family(name="idskit_number", kind="gauge", help="A number."),)


def series(text: str) -> dict[str, float]:
    """Read the lines of values."""
    pairs = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def judged(text: str) -> str:
    """Return what promtool has against a text."""
    need("promtool")
    words = ["promtool", "check", "metrics"]
    done = subprocess.run(words, input=text.encode(), capture_output=True, check=False)
    return (done.stdout + done.stderr).decode()


def test_promtool_finds_no_fault() -> None:
    assert judged(filled().text()) == ""


@pytest.mark.parametrize("text", HOSTILE)
def test_promtool_reads_hostile_labels(text: str) -> None:
    metrics = Metrics()
    label = text.encode(errors="replace").decode()
    metrics.add("idskit_alerts_total", label=label)
    assert judged(metrics.text()) == ""
    assert metrics.text().count("\n") == 3 + 4


def test_promtool_would_find_a_fault() -> None:
    assert judged("# TYPE idskit_x counter\nidskit_x 1\n") != ""


def test_every_name_has_help_and_type_once() -> None:
    text = filled().text()
    for family in FAMILIES:
        assert text.count(f"# HELP {family.name} {family.help}\n") == 1
        assert text.count(f"# TYPE {family.name} {family.kind}\n") == 1
        assert family.help.endswith(".")
        assert re.fullmatch(r"idskit_[a-z_]+", family.name)


def test_a_histogram_is_cumulative() -> None:
    found = series(filled().text())
    name = "idskit_detection_delay_seconds"
    buckets = [value for key, value in found.items() if key.startswith(f"{name}_bucket")]
    assert buckets == sorted(buckets)
    assert found[f'{name}_bucket{{le="0.1"}}'] == 1
    assert found[f'{name}_bucket{{le="0.5"}}'] == 2
    assert found[f'{name}_bucket{{le="+Inf"}}'] == found[f"{name}_count"] == 4
    assert found[f"{name}_sum"] == pytest.approx(1e9 + 7.3001)


def test_what_was_never_counted_is_not_there_but_incidents_begin_at_none() -> None:
    assert series(Metrics().text()) == {
        'idskit_incidents_total{severity="1"}': 0,
        'idskit_incidents_total{severity="2"}': 0,
    }


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1", "00:11:22:aa:bb:cc", "::1"])
def test_no_label_is_an_address(address: str) -> None:
    with pytest.raises(ValueError, match="address"):
        Metrics().add("idskit_alerts_total", label=address)


def test_names_and_labels_are_those_that_are_declared() -> None:
    metrics = Metrics()
    with pytest.raises(KeyError):
        metrics.add("idskit_bananas_total")
    for labels in ({}, {"flavour": "sweet"}, {"label": "scan", "flavour": "sweet"}):
        with pytest.raises(ValueError, match="labels"):
            metrics.add("idskit_alerts_total", **labels)


def test_the_number_of_series_is_bounded_and_their_sum_is_right() -> None:
    metrics = Metrics()
    for number in range(10 * MOST_SERIES):
        metrics.add("idskit_alerts_total", label=f"label {number}")
    found = {key: n for key, n in series(metrics.text()).items() if "alerts" in key}
    assert len(found) == MOST_SERIES + 1
    assert sum(found.values()) == 10 * MOST_SERIES
    assert found['idskit_alerts_total{label="other"}'] == 9 * MOST_SERIES


def test_a_number_that_replaces_others() -> None:
    metrics = Metrics()
    metrics.put_only("idskit_model_info", 1, sha256="aa", version="1")
    metrics.put_only("idskit_model_info", 1, sha256="bb", version="2")
    found = [line for line in metrics.text().splitlines() if line.startswith("idskit_model_info")]
    assert found == ['idskit_model_info{sha256="bb",version="2"} 1']


def test_many_threads_count_every_time() -> None:
    metrics = Metrics()

    def count() -> None:
        for _ in range(2_000):
            metrics.add("idskit_flows_total")
            metrics.observe("idskit_inference_seconds", 0.002)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = series(metrics.text())
    assert found["idskit_flows_total"] == found["idskit_inference_seconds_count"] == 16_000


def test_numbers_are_written_whole() -> None:
    metrics = Metrics(NUMBERS)
    for value, text in ((1e9, "1000000000"), (0.1, "0.1"), (float("nan"), "NaN"),
                        (float("inf"), "+Inf"), (-float("inf"), "-Inf"), (True, "1"),
                        (1e300, "1e+300"), (-3, "-3")):  # fmt: skip
        metrics.put("idskit_number", value)
        assert metrics.text().endswith(f"idskit_number {text}\n")
