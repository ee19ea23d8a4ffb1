"""Pages, pictures and findings: one file each, every text escaped, the same facts everywhere."""

from __future__ import annotations

import io
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from idskit.errors import IdskitError
from idskit.report.finding import SEVERITIES, Finding, finding_counts, findings_section
from idskit.report.html_page import figure, heading, html_page, image, paragraph, save_html, table
from idskit.report.picture import picture, save_picture
from idskit.report.section import Section, markdown_section, show_sections
from idskit.report.svg import NOTHING, Scale, Series, line_chart

EVIL = '<script>alert("1")</script>&\u202e'
CHART = line_chart([Series(name=EVIL, points=((1, 1), (2, 2)))], Scale(label="x"), Scale(label="y"))
LEAK = Finding(
    check="linear-label",
    severity="leak",
    columns=("duration",),
    evidence="one column says the label",
    meaning="results mean nothing",
    advice="drop the column",
    numbers={"auc": 1.0},
)
FINE = Finding(check="memory", severity="ok", evidence="8 GiB", meaning="enough")


class Elements(HTMLParser):
    """The elements of a page, and whether each is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in {"meta", "img"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def everything(tmp_path: Path) -> str:
    """A page of every kind of part, all of hostile text."""
    save_picture(tmp_path / "p.svg", EVIL, [CHART])
    words = Section(title=EVIL, about=EVIL, columns=(EVIL, EVIL), rows=((EVIL, EVIL),), words=2)
    numbers = Section(title="n", columns=("name", "n"), rows=((EVIL, EVIL),), caption=EVIL)
    parts = [heading(EVIL), paragraph(EVIL, bold=EVIL), table(words), table(numbers)]
    return html_page(EVIL, [*parts, figure(EVIL, CHART, EVIL), image(EVIL, tmp_path / "p.svg")])


def test_hostile_text_is_text(tmp_path: Path) -> None:
    page = everything(tmp_path)
    elements = Elements(page)
    assert elements.open == []
    assert "script" not in {tag for tag, _ in elements.found}
    assert "\u202e" not in page
    assert "alert(" in unescape(re.sub(r"<[^>]*>", "", page))


def test_nothing_is_fetched_and_a_phone_is_told_its_width(tmp_path: Path) -> None:
    page = everything(tmp_path)
    for tag, attributes in Elements(page).found:
        assert tag not in {"script", "link", "iframe", "object"}
        assert not any(name.startswith("on") for name in attributes)
        if "src" in attributes:
            assert str(attributes["src"]).startswith("data:image/svg+xml;base64,")
        assert "href" not in attributes
    assert "url(" not in page
    assert "@import" not in page
    assert 'name="viewport" content="width=device-width' in page
    assert "prefers-color-scheme: dark" in page


def test_cells_of_words_carry_their_headings_to_a_phone() -> None:
    labels = [
        attributes.get("data-label")
        for tag, attributes in Elements(table(findings_section([LEAK]))).found
        if tag == "td"
    ]
    assert labels == [None, "check", "columns", "found", "what it means, what to do"]


def test_numbers_stand_to_the_right() -> None:
    section = Section(title="t", columns=("name", "n"), rows=(("a", "1"),))
    cells = [a.get("class") for tag, a in Elements(table(section)).found if tag == "td"]
    assert cells == [None, "n"]


def test_what_is_empty_is_not_shown(tmp_path: Path) -> None:
    assert figure("title", NOTHING) == ""
    assert image("title", tmp_path / "absent.svg") == ""


def test_files_that_cannot_be_written(tmp_path: Path) -> None:
    for save in (
        lambda: save_html(tmp_path / "absent" / "a.html", "t", []),
        lambda: save_picture(tmp_path / "absent" / "a.svg", "t", [CHART]),
    ):
        with pytest.raises(IdskitError, match="cannot be written"):
            save()


def test_a_picture_is_one_svg_with_its_legends_below_each_other() -> None:
    root = ET.fromstring(picture("title", [CHART, NOTHING, CHART]))  # noqa: S314
    assert root.tag.endswith("svg")
    words = ["".join(element.itertext()) for element in root.iter() if element.tag.endswith("text")]
    assert words[0] == "title"
    assert sum("alert(" in word for word in words) == 2  # a legend for each chart
    assert int(root.attrib["height"]) > 2 * CHART.height


def test_a_finding_is_the_same_on_a_terminal_in_markdown_json_and_html() -> None:
    section, text = findings_section([LEAK, FINE]), io.StringIO()
    show_sections([section], Console(file=text, width=200))
    views = (text.getvalue(), markdown_section(section), unescape(table(section)))
    for view in views:
        for fact in ("leak", "linear-label", "duration", "results mean nothing", "→ drop the"):
            assert fact in view
    assert LEAK.to_json()["numbers"] == {"auc": 1.0}
    assert set(LEAK.to_json()) == {
        "check", "severity", "columns", "evidence", "meaning", "advice", "numbers",
    }  # fmt: skip


def test_findings_about_a_machine_have_no_column_of_columns() -> None:
    assert "columns" in findings_section([LEAK, FINE]).columns
    assert "columns" not in findings_section([FINE]).columns


def test_findings_are_counted_the_worst_first() -> None:
    counts = finding_counts([FINE, LEAK, FINE])
    assert tuple(counts) == SEVERITIES
    assert (counts["leak"], counts["ok"], counts["error"]) == (1, 2, 0)
