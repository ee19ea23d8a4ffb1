"""A table of a view as text, and how it is shown on a terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table


@dataclass(frozen=True, kw_only=True)
class Section:
    """One table of a view, as text."""

    title: str
    about: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    words: int = 1  # leading columns that hold words; the others hold numbers


def show_sections(shown: Iterable[Section], console: Console) -> None:
    """Print tables."""
    for section in shown:
        console.print(f"[bold]{section.title}[/bold]: {escape(section.about)}", highlight=False)
        table = Table()
        for i, name in enumerate(section.columns):
            if i < section.words:
                words = (len(word) for row in section.rows for word in row[i].split())
                table.add_column(name, overflow="fold", min_width=min(max(words, default=0), 14))
            else:
                table.add_column(name, justify="right", no_wrap=True)
        for row in section.rows:
            table.add_row(*map(escape, row))
        console.print(table)
        if section.caption:
            console.print(f"[dim]{escape(section.caption)}[/dim]", highlight=False)


def markdown_section(section: Section) -> str:
    """One table in GitHub's Markdown."""
    rule = ["---" if i < section.words else "---:" for i in range(len(section.columns))]
    lines = [
        "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
        for row in (section.columns, rule, *section.rows)
    ]
    caption = f"\n\n{section.caption}" if section.caption else ""
    return f"**{section.title}**: {section.about}\n\n" + "\n".join(lines) + caption
