"""The progress bar of reading, on stderr, silent where no one looks."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from idskit.report.console import PeopleConsole
from idskit.report.text import shown


class ReadingBar:
    """How much of the files has been read, by their size."""

    def __init__(self, files: list[Path]) -> None:
        console = PeopleConsole()
        self._done = 0  # bytes of the files before the present one
        self._bar = Progress(
            TextColumn("reading {task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=sum(file.stat().st_size for file in files))

    def __enter__(self) -> ReadingBar:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def show(self, file: Path, share: float) -> None:
        """Show that ``share`` of ``file`` has been read."""
        done = self._done + share * file.stat().st_size
        self._bar.update(self._task, description=shown(file.name), completed=done)

    def finish(self, file: Path) -> None:
        """Count ``file`` as read."""
        self._done += file.stat().st_size
