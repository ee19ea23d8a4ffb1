"""A console for people through which nothing of others reaches the terminal as a command."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
from rich.segment import Segment

from idskit.text import visible


def stderr_console() -> Console:
    """Return the console of what is for people."""
    return guarded(Console(stderr=True))


def guarded(console: Console) -> Console:
    """Return the console, with every text that it prints made visible.

    rich keeps text and its own control codes apart until it writes, so what is left in the text by
    then came with a name from a file. Names whose line breaks could forge a line are made visible
    where they are put in (``idskit.text.shown``).
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
