"""The progress bar of a capture being read; loaded only where someone looks."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import RenderableType
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from idskit.profiles.flow_reader import FlowReader
from idskit.report.console import PeopleConsole


class ReadingBar(Progress):
    """Bytes of the capture read, asked for each time that the bar is drawn; gone at the end."""

    def __init__(self, flows: FlowReader) -> None:
        columns = TextColumn("reading"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
        super().__init__(*columns, console=PeopleConsole(), transient=True)
        self._flows = flows
        self.add_task("", total=flows.progress[1])

    def get_renderables(self) -> Iterable[RenderableType]:
        """What is drawn, by a thread of the bar's own."""
        for task in self.tasks:
            self.update(task.id, completed=self._flows.progress[0])
        return super().get_renderables()
