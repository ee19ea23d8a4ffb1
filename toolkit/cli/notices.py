"""What a verb tells people on stderr, and the documents that it writes for programs."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from idskit.report.text import visible

if TYPE_CHECKING:
    from rich.console import Console

_COMPILING = "compiling the flow engine for this machine, once: one to two minutes"


def say(sentence: str) -> None:
    """Print a sentence to stderr while work goes on."""
    typer.echo(f"idskit: {visible(sentence)}", err=True)


def console() -> Console:
    """Open the console for people, which is stderr."""
    from idskit.report.console import PeopleConsole

    return PeopleConsole()


def conclude(sentence: str) -> None:
    """Print the last sentence of a verb to stderr."""
    console().print(visible(sentence), highlight=False, markup=False)


def announcing_compilation() -> AbstractContextManager[None]:
    """Explain, within this context, the long wait of a first use once, as it begins."""
    from idskit.kernels.compile import on_first_compilation

    return on_first_compilation(lambda: typer.echo(_COMPILING, err=True))


def write_document(file: Path | None, document: Any) -> None:
    """Write a text as it is, anything else as JSON, to ``file``, or to stdout for ``-``."""
    if file is None:
        return
    text = document if isinstance(document, str) else json.dumps(document, indent=2)
    if str(file) == "-":
        print(text)
        return
    from idskit.files.output import write_whole

    write_whole(file, lambda path: path.write_text(text + "\n"))
