"""The console for people, on standard error: nothing cut, nothing obeyed that came from a file.

Lines are not wrapped where no terminal is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rich.console import (
    Console,
    ConsoleOptions,
    ConsoleRenderable,
    RenderableType,
    RenderHook,
    RenderResult,
)
from rich.segment import Segment
from rich.table import Column, Table
from rich.text import Text

from idskit.report.text import visible

_UNWRAPPED = 1 << 16  # columns: a log or a pipe takes lines of any length
_LOG = 160  # but a wider table is mostly blanks
_LONGEST = 40  # a word that is not broken, such as an IPv6 address
_BORDER = 3  # around a column at most


class PeopleConsole(Console):
    """Standard error, as wide as its terminal.

    A table that there is no room for becomes a list: rich would cut its cells.
    """

    def __init__(self) -> None:
        super().__init__(stderr=True)
        guarded(self)
        if not self.file.isatty():
            self.width = _UNWRAPPED

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as rich does, tables so that nothing of them is cut."""
        if len(objects) == 1 and isinstance(objects[0], Table):
            for part in self._fitted(objects[0]):
                super().print(part, **options)
        else:
            super().print(*objects, **options)

    def _fitted(self, table: Table) -> Iterator[RenderableType]:
        if table.title:  # a table wraps its title to its own width
            yield Text.from_markup(str(table.title), style="bold")
            table.title = None
        yield from [table] if self._fits(table) else self._list(table)

    def _fits(self, table: Table) -> bool:
        """Divide the width among the columns so that no word is broken; False if it is not enough.

        rich levels the widest columns and breaks words.
        """
        columns = table.columns
        widths = [self._widths(column) for column in columns]
        spare = self.width - sum(least + _BORDER for least, _ in widths)
        wish = sum(whole - least for least, whole in widths)
        if self.width == _UNWRAPPED:
            return sum(whole + _BORDER for _, whole in widths) <= _LOG
        if 0 <= spare < wish:
            for column, (least, whole) in zip(columns, widths, strict=True):
                column.width = least + spare * (whole - least) // wish
                column.overflow = "fold"
        return spare >= 0

    def _widths(self, column: Column) -> tuple[int, int]:
        """Return the columns of the terminal without breaking words, and without wrapping."""
        found = [self.measure(cell) for cell in (column.header, *column.cells)]
        whole = max(cell.maximum for cell in found)
        word = max(cell.minimum for cell in found)
        return whole if column.no_wrap else min(word, _LONGEST), whole

    def _list(self, table: Table) -> Iterator[RenderableType]:
        """Yield a line for each cell that holds anything, with its heading, or one for each row."""
        for row in zip(*(column.cells for column in table.columns), strict=True):
            cells = [self.render_str(cell) if isinstance(cell, str) else cell for cell in row]
            if table.show_header:
                headings = [str(column.header) for column in table.columns]
                yield from (_headed(*pair) for pair in zip(headings, cells, strict=True) if pair[1])
                yield ""
            else:
                yield Text(": ").join(cell for cell in cells if isinstance(cell, Text))


def _headed(heading: str, cell: Any) -> RenderableType:
    if not heading or not isinstance(cell, Text):
        return cell  # type: ignore[no-any-return]
    return Text.assemble((heading, "bold"), ": ", cell)


def guarded(console: Console) -> Console:
    """Return the console, with every text that it prints made visible.

    rich keeps text and its own control codes apart until it writes, so what is left in the text by
    then came with a name from a file. Names whose line breaks could forge a line are made visible
    where they are put in (``idskit.report.text.shown``).
    """
    console.push_render_hook(_Guard())
    return console


class _Guard(RenderHook):
    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Visible(renderable) for renderable in renderables]


class _Visible:
    """A renderable whose texts are made visible as they come out."""

    def __init__(self, renderable: ConsoleRenderable) -> None:
        self._renderable = renderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from _cleaned(console.render(self._renderable, options))


def _cleaned(segments: Iterable[Segment]) -> Iterable[Segment]:
    for segment in segments:
        text, style, control = segment
        yield segment if control else Segment(visible(text, lines=True), style)
