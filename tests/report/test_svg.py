"""The page and its charts: complete, self-contained, and drawn where the numbers say."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from tests.bench.sample_results import make_report, make_result, rounds
from tests.bench.test_report import SERVER, SUSTAINED

from idskit.bench.views.bench_page import page, save_page
from idskit.errors import IdskitError
from idskit.report.svg import (
    COLORS,
    Key,
    Scale,
    Series,
    compact,
    line_chart,
)
from idskit.report.svg_rows import Bar, bar_chart

FULL = make_report(
    make_result(10.0, scenario="single-stream", batch=1, quantiles_ms=((0.0, 0.1), (90.0, 0.2))),
    make_result(*rounds(50.0), batch=8, name="<b>&"),
    make_result(*rounds(90.0), batch=64, name="<b>&", warnings=("unstable: very",)),
    make_result(700.0, scenario="server", server=SERVER),
    make_result(90.0, scenario="sustained", sustained=SUSTAINED),
)


class Balance(HTMLParser):
    """Counts tags that are opened and not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag, _attributes) -> None:
        if tag not in {"meta"}:
            self.open.append(tag)

    def handle_startendtag(self, _tag, _attributes) -> None:
        """Nothing stays open."""

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag


def charts(text: str) -> list[ET.Element]:
    return [ET.fromstring(found) for found in re.findall(r"<svg.*?</svg>", text)]  # noqa: S314


def test_every_scenario_has_its_chart() -> None:
    text = page({"": FULL})
    titles = re.findall(r"<h2>([^<]*)</h2><figure>", text)
    assert titles == [
        "Latency of one flow",
        "Throughput against batch",
        "Waiting time by rate of arrivals (dashed: the bound)",
        "Throughput under full load",
        "Temperature under full load",
        "Clock under full load",
    ]  # no power was read
    assert len(charts(text)) == len(titles)


def test_tags_are_closed_and_names_are_escaped() -> None:
    text = page({"": FULL})
    balance = Balance()
    balance.feed(text)
    assert balance.open == []
    assert "<b>&<" not in text
    assert "&lt;b&gt;&amp;" in text


def test_nothing_is_fetched() -> None:
    text = page({"": FULL}).replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?:|src=|href=|@import|url\(|<script", text)


def test_every_doubt_is_on_the_page() -> None:
    assert "unstable: very" in page({"": FULL})


def test_several_files_are_set_side_by_side() -> None:
    text = page({"pi": FULL, "jetson": FULL})
    assert "Most flows judged a second" in text
    assert "pi: A ids" in text
    assert "jetson: A ids" in text


def test_a_page_that_cannot_be_written(tmp_path) -> None:
    with pytest.raises(IdskitError, match="cannot be written"):
        save_page(tmp_path / "absent" / "page.html", {"": FULL})


def test_a_line_is_drawn_in_proportion() -> None:
    series = Series(name="a", points=((1, 10), (10, 20), (100, 30)))
    (chart,) = charts(line_chart([series], Scale(label="x", kind="log"), Scale(label="y")).svg())
    dots = [dot.attrib for dot in chart.iter() if dot.tag.endswith("circle")]
    xs, ys = ([float(dot[name]) for dot in dots] for name in ("cx", "cy"))
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1])
    assert ys[0] - ys[1] == pytest.approx(ys[1] - ys[2], abs=0.11)
    assert ys[0] > ys[2]


def test_nines_are_equally_far_apart() -> None:
    nines = Scale(label="per cent", kind="nines")
    assert nines.position(99) - nines.position(90) == pytest.approx(
        nines.position(99.9) - nines.position(99)
    )


def test_bars_are_as_long_as_their_values() -> None:
    bars = [Bar(name=str(v), value=v, low=v, high=v, text="") for v in (1.0, 3.0)]
    (chart,) = charts(bar_chart(bars, "flows/s").svg())
    widths = [float(bar.attrib["width"]) for bar in chart.iter() if bar.tag.endswith("rect")]
    assert widths[1] / widths[0] == pytest.approx(3, abs=0.01)


def test_points_that_are_not_joined_are_dots() -> None:
    series = Series(name="a", points=tuple((i, i) for i in range(50)), joined=False)
    chart = line_chart([series], Scale(label="x"), Scale(label="y")).body
    assert chart.count("<circle") == 50
    assert 'stroke-width="2"' not in chart


@pytest.mark.parametrize("kind", ["linear", "log"])
@pytest.mark.parametrize(("low", "high"), [(0.003, 0.9), (1, 2), (10, 10_000_000)])
def test_ticks_are_round_and_within(kind, low, high) -> None:
    ticks = Scale(label="", kind=kind).ticks(low, high)
    assert 1 <= len(ticks) <= 16
    assert all(low <= tick * (1 + 1e-9) and tick <= high * (1 + 1e-9) for tick in ticks)
    assert {f"{tick:e}"[0] for tick in ticks if tick} <= set("123456789")


def test_a_chart_of_nothing_is_nothing() -> None:
    assert not line_chart([], Scale(label="x"), Scale(label="y"))
    assert not bar_chart([], "y")


def test_a_single_point_is_drawn() -> None:
    one = Series(name="a", points=((5, 5),))
    assert "<circle" in line_chart([one], Scale(label="x"), Scale(label="y", kind="log")).body


@pytest.mark.parametrize(("kind", "tick"), [("log", ">200<"), ("linear", ">256<")])
def test_the_axis_of_a_single_point_has_ticks(kind, tick) -> None:
    one = Series(name="a", points=((256, 5),))
    chart = line_chart([one], Scale(label="x", kind=kind), Scale(label="y")).body
    assert tick in chart
    assert 'cx="343.0"' in chart  # in the middle


@pytest.mark.parametrize(
    ("value", "text"), [(0.25, "0.25"), (999, "999"), (1500, "1.5k"), (2_000_000, "2M")]
)
def test_numbers_of_an_axis(value, text) -> None:
    assert compact(value) == text


def test_what_differs_between_files_is_on_the_page() -> None:
    text = page({"pi": FULL, "jetson": FULL}, differences=["Machines: their kernel <differs>."])
    assert "<li>Machines: their kernel &lt;differs&gt;.</li>" in text


def test_marks_of_the_legend_are_as_their_lines_and_all_differ() -> None:
    keys = [Key(name="a", color=index).background for index in range(2 * len(COLORS))]
    assert len(set(keys)) == len(keys)
    for index, key in enumerate(keys):
        line = Series(name="a", points=((0, 1), (1, 2)), color=index)
        chart = line_chart([line], Scale(label="x"), Scale(label="y")).body
        assert ("dasharray" in chart) == ("repeating" in key)
