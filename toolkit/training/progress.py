"""The progress bar of training, on stderr, silent where no one looks."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from idskit.training import checkpoint


class EpochBar:
    """Epochs done, and the last losses."""

    def __init__(self, epochs: int) -> None:
        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("epochs, loss {task.fields[loss]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("training", total=epochs, loss="")

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

    def show(self, progress: checkpoint.Progress) -> None:
        """Show the state after an epoch."""
        last = progress.history[-1]
        loss = f"{last.train_loss:.4f}, validation {last.validation_loss:.4f}"
        self._bar.update(self._task, completed=len(progress.history), loss=loss)
