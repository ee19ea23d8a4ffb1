"""The entry: the list of verbs, and how every run of the program ends.

stdout is data, stderr is for people. Exit 0 fine, 1 error (one sentence), 2 usage, 3 a gate said
no; a traceback only with --debug. Imports stay inside the verbs, so that each loads what it needs.
"""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Sequence
from traceback import format_exception
from typing import Annotated, ClassVar

import typer

from idskit.cli.detect_verbs import detect, inspect, sign
from idskit.cli.flow_verbs import extract, generate, lab
from idskit.cli.machine_verbs import bench, compare, doctor
from idskit.cli.service_verbs import drill, explain, incidents, lower, run, service, verdict
from idskit.cli.site_verbs import budget, learn
from idskit.cli.train_verbs import audit, evaluate, export, train
from idskit.cli.verb import PLAIN, Verbs
from idskit.errors import IdskitError
from idskit.process.streams import standard_streams
from idskit.report.text import visible

VERBS = (
    *(extract, generate, lab),
    *(audit, train, evaluate, export),
    *(sign, inspect, detect),
    *(learn, budget),
    *(run, incidents, explain, verdict, lower, service, drill),
    *(bench, compare, doctor),
)


class _AllVerbs(Verbs):
    verbs: ClassVar = {verb.name: verb for verb in VERBS}


app = typer.Typer(
    name="idskit",
    help="Learned network-intrusion detection on edge gateways.",
    cls=_AllVerbs,
    no_args_is_help=True,
    **PLAIN,
)


@app.callback(invoke_without_command=True)
def _options(
    show_version: Annotated[
        bool, typer.Option("--version", is_eager=True, help="Print the version and exit")
    ] = False,
    debug: Annotated[  # noqa: ARG001 - read by main
        bool, typer.Option("--debug", help="Show a traceback for every error")
    ] = False,
) -> None:
    if show_version:
        from idskit import __version__

        typer.echo(__version__)
        raise typer.Exit


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; every error meant for people is one sentence on stderr."""
    _relieve_collector()
    given = list(sys.argv[1:] if arguments is None else arguments)
    words = [word for word in given if word != "--debug"]  # allowed anywhere
    try:
        with standard_streams():
            app(words)
    except Exception as error:
        typer.echo(_traceback(error) if "--debug" in given else _sentence(error), err=True)
        sys.exit(error.exit_code if isinstance(error, IdskitError) else 1)
    except KeyboardInterrupt:
        sys.exit(130)  # 128 + SIGINT, as shells report it


def _sentence(error: Exception) -> str:
    """Return the one sentence that people read of an error."""
    if isinstance(error, IdskitError):
        return f"idskit: {visible(str(error))}"
    what = visible(f"unexpected {type(error).__name__}: {error}")
    return f"idskit: {what} (run again with --debug and report it)"


def _traceback(error: Exception) -> str:
    """Return the traceback of an error; text that may come from others is escaped."""
    ours = "  ", "\n", "Traceback"  # the beginnings of parts that Python itself writes
    parts = [visible(part, lines=part.startswith(ours)) for part in format_exception(error)]
    return "".join(part.removesuffix("\\n") for part in parts)


def _relieve_collector() -> None:
    """Let the garbage collector look less often, and not at all when the process ends.

    Loading the flow engine makes some 200,000 objects that stay: going through them again and again
    took 0.1 s of a start, and once more at the end 0.2 s.
    """
    gc.set_threshold(300_000, 20, 20)
    atexit.register(gc.freeze)
