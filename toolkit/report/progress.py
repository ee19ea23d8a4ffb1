"""The progress bar: one class for everything that takes a while; drawn on a terminal alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

from rich.console import RenderableType
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from idskit.report.console import PeopleConsole
from idskit.report.text import visible


class ProgressBar:
    """How much of some work is done, on standard error; nothing where that is no terminal.

    Args:
        work: what is being done, such as ``reading``.
        total: the amount of work.
        unit: what is counted, such as ``epochs``; with none, only the share is shown.
        done: returns the amount that is done, and is called at each drawing; for work that does not
            call ``show``.
    """

    def __init__(
        self,
        work: str,
        total: float,
        *,
        unit: str = "",
        done: Callable[[], float] | None = None,
    ) -> None:
        console = PeopleConsole()
        counts: list[Any] = [MofNCompleteColumn(), TextColumn(unit)]
        self._bar = _Polling(
            TextColumn(escape(work)),
            BarColumn(),
            *(counts if unit else [TaskProgressColumn()]),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=done is not None,
        )
        self._task = self._bar.add_task(work, total=total, note="")
        if done is not None:
            self._bar.before_drawing = lambda: self._bar.update(self._task, completed=done())

    def __enter__(self) -> ProgressBar:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def show(self, done: float, note: str = "") -> None:
        """Show that ``done`` of the total is done, and a note, such as the file or the loss."""
        self._bar.update(self._task, completed=done, note=escape(visible(note)))


class _Polling(Progress):
    """A bar that asks how far the work is before it is drawn, in a thread of its own."""

    before_drawing: Callable[[], None] | None = None

    def get_renderables(self) -> Iterable[RenderableType]:
        if self.before_drawing is not None:
            self.before_drawing()
        return super().get_renderables()
