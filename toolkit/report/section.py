"""A table as text, and how it is shown on a terminal and in Markdown.

Every table that idskit prints is a ``Section``: no other module makes a table of rich.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

COLOURS = {  # of a terminal, by the severity of a row
    "ok": "green",
    "note": "cyan",
    "warning": "yellow",
    "error": "red",
    "leak": "red",
}
_LONGEST = 14  # characters of a word below which a column of words is not narrowed


@dataclass(frozen=True, kw_only=True)
class Section:
    """One table of a view, as text.

    Attributes:
        title: its heading.
        about: one sentence about the whole table; may be empty.
        columns: headings; all empty for a table without them.
        rows: cells; a cell may have several lines.
        caption: what the headings mean; may be empty.
        words: number of leading columns that hold words; the others hold numbers. A heading of
            numbers may have several lines.
        severities: one of each row, which colours its first cell; empty for none.
    """

    title: str
    about: str = ""
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    words: int = 1
    severities: tuple[str, ...] = ()

    def severity(self, row: int) -> str:
        """Return the severity of a row, or nothing."""
        return self.severities[row] if self.severities else ""


def facts_section(title: str, facts: Iterable[tuple[str, str]]) -> Section:
    """Return a table of names and what they are, without headings."""
    return Section(title=title, columns=("", ""), rows=tuple(facts), words=2)


def show_sections(shown: Iterable[Section], console: Console) -> None:
    """Print tables, each between blank lines."""
    from rich.markup import escape

    for section in shown:
        about = f": {escape(section.about)}" if section.about else ""
        title = f"[bold]{escape(section.title)}[/bold]{about}" if section.title else ""
        console.print(title, highlight=False)
        console.print(_terminal_table(section))
        if section.caption:
            console.print(f"[dim]{escape(section.caption)}[/dim]", highlight=False)
        console.print()


def _terminal_table(section: Section) -> Table:
    from rich.box import SIMPLE
    from rich.markup import escape
    from rich.table import Table

    lines = any("\n" in cell for row in section.rows for cell in row)
    table = Table(
        box=SIMPLE,
        show_edge=False,
        pad_edge=False,
        padding=(0, 0, 0, 1),
        show_header=any(section.columns),
        show_lines=lines or bool(section.severities),
    )
    for column, name in enumerate(section.columns):
        if column < section.words:
            longest = max((len(word) for word in _words(section, column)), default=0)
            table.add_column(escape(name), overflow="fold", min_width=min(longest, _LONGEST))
        else:
            table.add_column(escape(name), justify="right", no_wrap=True)
    for row, cells in enumerate(section.rows):
        table.add_row(*_coloured([escape(cell) for cell in cells], section.severity(row)))
    return table


def _words(section: Section, column: int) -> Iterator[str]:
    for row in section.rows:
        yield from row[column].split()


def _coloured(cells: list[str], severity: str) -> list[str]:
    if severity and cells:
        return [f"[bold {COLOURS[severity]}]{cells[0]}[/]", *cells[1:]]
    return cells


def markdown_section(section: Section) -> str:
    """Return one table in GitHub's Markdown."""
    rule = ["---" if i < section.words else "---:" for i in range(len(section.columns))]
    lines = [
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", "<br>") for cell in row) + " |"
        for row in (section.columns, rule, *section.rows)
    ]
    about = f": {section.about}" if section.about else ""
    caption = f"\n\n{section.caption}" if section.caption else ""
    return f"**{section.title}**{about}\n\n" + "\n".join(lines) + caption
