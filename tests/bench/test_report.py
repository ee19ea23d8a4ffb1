"""The verdict in words, and the tables, from sample results."""

import io
from dataclasses import replace

import pytest
from rich.console import Console
from tests.bench.sample_results import ORT, TORCH, make_report, make_result

from idskit.bench.measure import Spread
from idskit.bench.result import Int8Rate, Probe, Result, Sample, Server, Split, Sustained
from idskit.bench.verdict import verdict
from idskit.bench.views.bench_report import markdown_report, show_report
from idskit.bench.views.bench_tables import sections

SPLIT = Split(extract=60.0, infer=30.0, post=10.0)
SERVER = Server(
    bound_ms=5.0,
    max_batch=256,
    probes=(
        Probe(rate_per_s=700.0, p50_ms=1.0, p99_ms=4.0, met=True),
        Probe(rate_per_s=900.0, p50_ms=3.0, p99_ms=9.0, met=False),
    ),
)


def sample(at_s: float, flows_per_s: float) -> Sample:
    return Sample(
        at_s=at_s,
        flows_per_s=flows_per_s,
        temperature_c=40 + at_s,
        frequency_mhz=1500.0,
        throttled=False,
        power_w=None,
    )


SUSTAINED = Sustained(samples=(sample(0.0, 100.0), sample(30.0, 80.0)), drift=-0.2)


def cells(report, title: str) -> list[dict[str, str]]:
    (section,) = (section for section in sections(report) if section.title == title)
    return [dict(zip(section.columns, row, strict=True)) for row in section.rows]


def words(*results: Result) -> str:
    return "\n".join(verdict(results))


@pytest.mark.parametrize(
    ("int8", "says"),
    [
        (
            300.0,
            "Use int8: it has 3.00 times the speed of fp32 on this machine (offline, batch 256)",
        ),
        (80.0, "Use fp32: int8 has only 0.80 times"),
        (101.0, "int8 and fp32 are equally fast: int8 has 1.01 times"),
    ],
)
def test_it_says_whether_int8_pays(int8, says) -> None:
    assert says in words(make_result(100.0), make_result(int8, precision="int8"))


def test_one_flow_at_a_time_is_compared_by_its_median_latency() -> None:
    fp32 = make_result(1.0, scenario="single-stream", batch=1)
    int8 = make_result(
        1.0,
        precision="int8",
        scenario="single-stream",
        batch=1,
        latency_ms=fp32.latency_ms | {"p50": fp32.latency_ms["p50"] / 2},
    )
    assert "2.00 times the speed of fp32 on this machine (single-stream)" in words(fp32, int8)


def test_it_says_what_more_threads_bring() -> None:
    results = [
        make_result(speed, execution=replace(ORT, threads=count))
        for count, speed in ((1, 50.0), (4, 150.0))
    ]
    assert "ids is 3.00 times as fast with 4 threads as with 1 (offline, batch 256)" in words(
        *results
    )


def test_half_precision_is_compared_within_a_backend() -> None:
    results = [
        make_result(speed, precision=precision, execution=e)
        for e, precision, speed in (
            (ORT, "fp32", 100.0), (TORCH, "fp32", 10.0), (TORCH, "fp16", 30.0),
        )
    ]  # fmt: skip
    said = words(*results)
    assert "Use fp16: it has 3.00 times the speed of fp32 in torch eager" in said
    assert said.count("Use fp16") == 1


def test_one_precision_alone_says_nothing_of_int8() -> None:
    assert "int8" not in words(make_result(100.0), make_result(90.0, name="other"))


def test_the_fastest_of_each_kind_is_compared() -> None:
    results = [make_result(speed, execution=e) for e, speed in ((ORT, 50.0), (TORCH, 10.0))]
    faster = make_result(100.0, name="faster")
    assert "faster in onnxruntime has 10.0 times" in words(*results, faster)


def test_it_compares_torch_with_onnxruntime() -> None:
    eager = make_result(10.0, name="run", execution=TORCH)
    assert "ids in onnxruntime has 10.0 times the speed of run in torch" in words(
        make_result(100.0), eager
    )


def test_it_names_the_best_batch() -> None:
    results = [make_result(speed, batch=batch) for batch, speed in ((1, 10.0), (64, 90.0))]
    assert "90 flows/s in batches of 64" in words(*results)


def test_it_gives_latency_in_microseconds() -> None:
    found = words(make_result(10.0, scenario="single-stream", batch=1))
    assert "a single flow takes 12.3 µs (99 % within 456 µs)" in found


def test_it_names_what_limits_a_pipeline() -> None:
    split = Split(extract=60.0, infer=30.0, post=10.0)
    found = words(
        make_result(
            10.0, scenario="pipeline", split_ms=split, packets_per_s=Spread.of([2_000_000.0])
        )
    )
    assert "2,000,000 packets/s; extraction limits it, with 60% of the time" in found


def test_it_says_aloud_what_is_unstable() -> None:
    found = words(make_result(10.0, warnings=("unstable: rounds differ by 41%",)))
    assert "1 of 1 measurements have a warning" in found
    assert "rounds differ by 41%" in found


def test_it_says_when_all_is_stable() -> None:
    assert "All measurements are stable." in words(make_result(10.0))


def test_tables_hold_every_scenario() -> None:
    report = make_report(
        make_result(1234.0),
        make_result(10.0, scenario="single-stream", batch=1),
        make_result(
            10.0, scenario="pipeline", split_ms=SPLIT, packets_per_s=Spread.of([2_000_000.0])
        ),
        make_result(700.0, scenario="server", server=SERVER),
        make_result(90.0, scenario="sustained", sustained=SUSTAINED),
    )
    text = io.StringIO()
    show_report(report, Console(file=text, width=120))
    for part in ("1,234", "12.3", "2,000,000", "60%", "700", "-20%", "40 to 70", "So be it."):
        assert part in text.getvalue()


def test_the_first_subject_is_what_the_others_are_compared_with() -> None:
    report = make_report(
        make_result(580.0, name="lowered", precision="int8"),
        make_result(100.0, name="run", execution=TORCH),
        make_result(100.0, name="other", batch=8),
    )
    offline = {row["model"]: row["A faster"] for row in cells(report, "offline")}
    assert offline == {"A lowered": "", "B run": "5.80x", "C other": ""}


def test_latency_is_compared_by_its_median() -> None:
    slow = make_result(1.0, scenario="single-stream", batch=1)
    fast = replace(slow, model=replace(slow.model, name="fast"))
    fast = replace(fast, latency_ms=slow.latency_ms | {"p50": slow.latency_ms["p50"] / 4})
    rows = cells(make_report(fast, slow), "single-stream")
    assert [row["A faster"] for row in rows] == ["", "4.00x"]


def test_one_subject_is_compared_with_nobody() -> None:
    assert "A faster" not in cells(make_report(make_result(1.0)), "offline")[0]


def test_a_doubtful_number_is_marked() -> None:
    report = make_report(make_result(1.0, warnings=("unstable: rounds differ by 41%",)))
    assert cells(report, "offline")[0]["model"] == "A ids (!)"


def test_share_of_the_machine_is_multiply_adds_over_the_fastest_product() -> None:
    rate = Int8Rate(
        gmac_per_s=Spread.of([400.0]), types="U8S8", threads=2, macs_per_flow={"0" * 64: 5_000_000}
    )
    report = make_report(make_result(10_000.0), make_result(8_000.0, batch=8), int8_rate=rate)
    (row,) = cells(report, "share of the machine")
    assert (row["batch"], row["GMAC/s"], row["share"]) == ("256", "50.0", "12%")


def test_it_says_what_arrivals_it_bears() -> None:
    found = words(make_result(700.0, scenario="server", server=SERVER))
    assert "ids keeps up with 700 flows/s that arrive at random" in found
    assert "within 5 ms" in found


def test_it_says_what_is_left_after_minutes_of_load() -> None:
    found = words(make_result(90.0, scenario="sustained", sustained=SUSTAINED))
    assert "ids judges 80 flows/s: -20% from the start" in found


def test_it_says_when_the_machine_slows_itself_down() -> None:
    found = words(make_result(1.0, throttled={"now": True, "occurred": True}))
    assert "slowed itself down" in found


def test_markdown_tables_have_as_many_cells_in_every_line() -> None:
    report = make_report(make_result(1234.0, name="a|b"), make_result(5.0, execution=ORT))
    tables = [
        block.splitlines()
        for block in markdown_report(report).split("\n\n")
        if block.startswith("|")
    ]
    assert len(tables) == 2
    for lines in tables:
        bars = {line.replace("\\|", "").count("|") for line in lines}
        assert len(bars) == 1
    assert "- So be it." in markdown_report(report)
