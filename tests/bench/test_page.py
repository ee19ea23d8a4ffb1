"""The page of benchmark results: complete, self-contained, and every name escaped."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from tests.bench.sample_results import make_report, make_result, rounds
from tests.bench.test_report import SERVER, SUSTAINED

from idskit.bench.views.bench_page import page, save_page
from idskit.errors import IdskitError

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
        "Throughput by batch size",
        "Latency by rate of arrivals",
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
    assert "Flows judged per second, at best" in text
    assert "pi: A ids" in text
    assert "jetson: A ids" in text


def test_a_page_that_cannot_be_written(tmp_path) -> None:
    with pytest.raises(IdskitError, match="cannot be written"):
        save_page(tmp_path / "absent" / "page.html", {"": FULL})


def test_what_differs_between_files_is_on_the_page() -> None:
    text = page({"pi": FULL, "jetson": FULL}, differences=["Machines: their kernel <differs>."])
    assert "<li>Machines: their kernel &lt;differs&gt;.</li>" in text
