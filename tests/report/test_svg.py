"""Charts: drawn where the numbers say, with ticks, legends and nothing that a name could break."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree as ET

import pytest

from idskit.report.svg import COLORS, Chart, Key, Scale, Series, compact, line_chart
from idskit.report.svg_rows import Bar, Dots, bar_chart, dot_chart, matrix_chart


def charts(text: str) -> list[ET.Element]:
    return [ET.fromstring(found) for found in re.findall(r"<svg.*?</svg>", text)]  # noqa: S314


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


def test_marks_of_the_legend_are_as_their_lines_and_all_differ() -> None:
    keys = [Key(name="a", color=index).background for index in range(2 * len(COLORS))]
    assert len(set(keys)) == len(keys)
    for index, key in enumerate(keys):
        line = Series(name="a", points=((0, 1), (1, 2)), color=index)
        chart = line_chart([line], Scale(label="x"), Scale(label="y")).body
        assert ("dasharray" in chart) == ("repeating" in key)


LINEAR, LOG = Scale(label="x"), Scale(label="y", kind="log")


def parsed(chart: Chart) -> ET.Element:
    return ET.fromstring(chart.svg())  # noqa: S314


def texts(chart: Chart) -> list[str]:
    return [text for element in parsed(chart).iter() if (text := element.text)]


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_points_that_an_axis_has_no_place_for_are_left_out(bad: float) -> None:
    series = Series(name="loss", points=((1, 0.5), (2, bad), (3, 0.1)))
    chart = line_chart([series], LINEAR, LOG)
    assert chart.body.count("<circle") == 2
    assert "nan" not in chart.body
    assert not line_chart([Series(name="a", points=((1, bad),))], LINEAR, LOG)


def test_a_limit_is_drawn_and_named() -> None:
    series = Series(name="a", points=((1, 4), (2, 9)))
    chart = line_chart([series], LINEAR, Scale(label="y", low=0, high=10), limit=("bound", 5.0))
    assert chart.keys[-1] == Key(name="bound", color=None, dashed=True)
    assert "144.0H616" in chart.body  # half way between 276 and 12


def test_counts_have_no_ticks_between_them() -> None:
    assert Scale(label="epoch", whole=True).ticks(1, 3) == [1, 2, 3]
    assert Scale(label="epoch").ticks(1, 3) == [1, 1.5, 2, 2.5, 3]


def test_dots_that_stand_apart_do_not_touch_the_edges() -> None:
    apart = Series(name="a", points=((10, 1), (1000, 2)), joined=False)
    chart = parsed(line_chart([apart], LOG, Scale(label="y")))
    xs = [float(dot.attrib["cx"]) for dot in chart.iter() if dot.tag.endswith("circle")]
    assert 75 < xs[0] < xs[1] < 611


def test_axes_are_named() -> None:
    chart = line_chart([Series(name="a", points=((1, 2), (2, 3)))], LINEAR, LOG)
    assert {"x", "y"} <= set(texts(chart))
    assert chart.label == "y against x"


@pytest.mark.parametrize("name", ['<script>"&', "a\u202eb", "c\x1b[2J"])
def test_names_break_nothing(name: str) -> None:
    line = Series(name=name, points=((1, 1), (2, 2)))
    charts_of_it = (
        line_chart([line], Scale(label=name), Scale(label="y")),
        bar_chart([Bar(name=name, value=1, low=1, high=1, text=name)], name),
        dot_chart([name], [Dots(name=name, values=((0.5,),))], name),
        matrix_chart([name, "b"], [[1, 2], [3, 4]], rows=name, columns=name),
    )
    for chart in charts_of_it:
        assert len(texts(chart)) >= 3
        assert all(text.isprintable() for text in texts(chart))
        assert not any(element.tag.endswith("script") for element in parsed(chart).iter())


def test_dots_lie_at_their_shares() -> None:
    chart = parsed(dot_chart(["one"], [Dots(name="a", values=((0.0, 0.5, 1.0),))], "share"))
    xs = [float(dot.attrib["cx"]) for dot in chart.iter() if dot.tag.endswith("circle")]
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.11)


def test_a_matrix_shows_counts_and_shares_of_rows() -> None:
    chart = matrix_chart(["a", "b"], [[3, 1], [0, 2000]], rows="true", columns="found")
    assert {"3", "75.0 %", "1", "25.0 %", "0", "0.0 %", "2,000", "100.0 %"} <= set(texts(chart))
    shades = [
        float(cell.attrib["fill-opacity"])
        for cell in parsed(chart).iter()
        if cell.tag.endswith("rect")
    ]
    assert shades[0] > shades[1] > shades[2] == 0
