"""The progress bar of training, on stderr, silent where no one looks."""

from __future__ import annotations

from types import TracebackType

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from idskit.report.console import PeopleConsole


class EpochBar:
    """Epochs done, and the last losses."""

    def __init__(self, name: str, epochs: int) -> None:
        console = PeopleConsole()
        self._bar = Progress(
            TextColumn(name),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("epochs, loss {task.fields[loss]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(name, total=epochs, loss="")

    def __enter__(self) -> EpochBar:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def show(self, done: int, loss: str) -> None:
        """Show the state after an epoch."""
        self._bar.update(self._task, completed=done, loss=loss)
