"""Verbs about this machine: bench, compare, doctor."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from idskit.cli.flags import Device, Html, Json, Markdown
from idskit.cli.notices import announcing_compilation, console, write_document
from idskit.cli.verb import verb


@verb()
def bench(  # noqa: PLR0913, PLR0917 - one parameter per flag
    models: Annotated[
        list[Path] | None,
        typer.Argument(help=".onnx files and run folders; the shipped model if omitted"),
    ] = None,
    scenario: Annotated[
        list[str] | None,
        typer.Option(
            help="Scenario to measure: single-stream, offline, server, pipeline or sustained; "
            "repeatable; all but sustained if omitted"
        ),
    ] = None,
    device: Device = "cpu",
    threads: Annotated[
        list[int] | None,
        typer.Option(
            min=1, help="Number of threads; repeatable to compare counts; all usable if omitted"
        ),
    ] = None,
    batch: Annotated[
        int | None, typer.Option(help="Flows per call; several sizes if omitted")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Duration of the sustained scenario; 5 if omitted")
    ] = None,
    capture: Annotated[
        Path | None, typer.Option("-r", "--read", help="Capture that the pipeline scenario reads")
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(help="Packets per second of the pipeline scenario; full speed if omitted"),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Measure for seconds, with a wider spread")
    ] = False,
    peers: Annotated[
        bool,
        typer.Option("--peers", help="Also measure other programs that run or extract the same"),
    ] = False,
    json_file: Json = None,
    html: Html = None,
    markdown: Markdown = None,
) -> None:
    """Measure how fast models run on this machine."""
    from idskit.bench.run_bench import bench as bench_models

    peer_python = os.environ.get("IDSKIT_PEER_PYTHON")  # that has nfstream and netflower
    with announcing_compilation():
        bench_models(
            models or (),
            scenario=scenario or (),
            device=device,
            threads=threads or (),
            batch=batch,
            minutes=minutes,
            capture=capture,
            rate=rate,
            quick=quick,
            peers=peers,
            peer_python=Path(peer_python) if peer_python else None,
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
    """Compare benchmark results with the first one; exit 3 when one is slower beyond noise."""
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
