"""Verbs about this machine: bench, compare, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from idskit.cli.flags import Html, Json, Markdown
from idskit.cli.notices import announcing_compilation, console, write_document
from idskit.cli.verb import verb

if TYPE_CHECKING:
    from idskit.bench.bench_options import BenchOptions


@verb("idskit.bench.bench_options:BenchOptions")
def bench(
    models: Annotated[
        list[Path] | None,
        typer.Argument(help=".onnx files and run folders; the shipped model if omitted"),
    ] = None,
    *,
    options: BenchOptions,
    json_file: Json = None,
    html: Html = None,
    markdown: Markdown = None,
) -> None:
    """Measure how fast models run on this machine."""
    from idskit.bench.run_bench import bench as bench_models

    with announcing_compilation():
        bench_models(
            options,
            models or (),
            json=json_file,
            html=html,
            markdown=markdown,
            console=console(),
        )


@verb()
def compare(
    files: Annotated[list[Path], typer.Argument(help="Result files of idskit bench --json")],
    json_file: Json = None,
    html: Html = None,
    markdown: Markdown = None,
) -> None:
    """Show a benchmark result, or compare several with the first; exit 3 when one is slower."""
    from idskit.bench.views.compare_results import compare as compare_files
    from idskit.bench.views.compare_results import require_no_regression

    comparison = compare_files(
        files, json=json_file, html=html, markdown=markdown, console=console()
    )
    require_no_regression(comparison)


@verb()
def doctor(
    warm: Annotated[
        bool, typer.Option("--warm", help="Compile the flow engine ahead of its first use")
    ] = False,
    json_file: Json = None,
) -> None:
    """Show what works on this machine, what does not, and how to fix it."""
    from idskit.machine.doctor import doctor as examine
    from idskit.machine.doctor import require_detection

    diagnosis = examine(warm=warm)
    diagnosis.show(console())
    write_document(json_file, diagnosis.to_json())
    require_detection(diagnosis)
