"""Every table that people see is a Section, and rich is used for tables and bars in one place."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from idskit.report.section import Section, facts_section, markdown_section, show_sections

ROOT = Path(__file__).resolve().parents[2]


def printed(section: Section, width: int = 80) -> str:
    text = io.StringIO()
    show_sections([section], Console(file=text, width=width, color_system=None))
    return text.getvalue()


TABLE = Section(
    title="models",
    columns=("name", "what [it] is", "flows\na second"),
    rows=(("first", "[red]small[/red]", "1,234"), ("second\nline", "large | wide", "5")),
    words=2,
    severities=("error", ""),
)


def test_cells_are_text_and_not_markup():
    shown = printed(TABLE)
    assert "[red]small[/red]" in shown
    assert "what [it] is" in shown


def test_numbers_are_aligned_at_their_last_digit():
    lines = printed(TABLE).splitlines()
    ends = {line.rstrip().rfind(end) for line in lines for end in ("1,234", " 5") if end in line}
    first, second = sorted(ends)
    assert first + len("1,234") == second + len(" 5")


def test_facts_have_no_heading():
    lines = [line.split() for line in printed(facts_section("", [("size", "3 MB")])).splitlines()]
    assert [line for line in lines if line] == [["size", "3", "MB"]]


def test_markdown_keeps_bars_and_breaks_inside_their_cells():
    rows = markdown_section(TABLE).splitlines()[2:]
    assert rows[0] == "| name | what [it] is | flows<br>a second |"
    assert rows[1] == "| --- | --- | ---: |"
    assert rows[3] == r"| second<br>line | large \| wide | 5 |"


@pytest.mark.parametrize("what", ["rich.table", "rich.box", "rich.progress"])
def test_only_the_report_room_makes_tables_and_bars(what):
    rooms = [ROOT / name for name in ("toolkit", "export", "bench")]
    files = [path for room in rooms for path in room.rglob("*.py")]
    users = [path for path in files if re.search(rf"(from|import) {what}\b", path.read_text())]
    assert {path.parent for path in users} == {ROOT / "toolkit" / "report"}
