"""Verbs that make traffic and tables of flows: extract, generate, lab."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from idskit.cli.flags import Json
from idskit.cli.notices import announcing_compilation, conclude, console, say, write_document
from idskit.cli.verb import verb
from idskit.errors import DataError, IdskitError
from idskit.report.text import visible

if TYPE_CHECKING:
    from idskit.flow_input import FlowInput


@verb("idskit.flow_input:FlowInput", omit=("flows",), one_of=("capture", "interface"))
def extract(
    *,
    given: FlowInput,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Table to write: .csv, .csv.gz, .parquet or .arrow; CSV on stdout if omitted",
        ),
    ] = None,
    schema: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Features to compute: gateway, packets, cic-original, cic-fixed, ciciot2023 or "
            "kdd99",
        ),
    ] = "gateway",
    json_file: Json = None,
) -> None:
    """Turn captures or live traffic into a table of flow features."""
    if str(json_file) == "-" and str(output or "-") == "-":
        raise typer.BadParameter("--json - and the table both want stdout: name an output (-o)")
    from idskit.extract.extract import extract as extract_flows

    with announcing_compilation():
        statistics = extract_flows(
            given,
            output,
            schema=schema,
            progress=sys.stderr.isatty(),
            notice=say,
        )
    for line in statistics.lines():  # without rich, which takes as long to load as many captures
        typer.echo(visible(line), err=True)
    write_document(json_file, statistics.to_json())
    if statistics.lost:
        raise IdskitError(f"rows of the table were lost: {statistics.lost}")


@verb()
def generate(
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="FILE", help="Capture to write: .pcap or .pcapng"),
    ],
    packets: Annotated[
        int, typer.Option(min=1, metavar="N", help="Approximate number of packets")
    ] = 10_000,
    mix: Annotated[
        str, typer.Option(metavar="NAME", help="Traffic to generate: home, benign, mixed or flood")
    ] = "home",
    seed: Annotated[
        int, typer.Option(metavar="N", help="Random seed; the same seed gives the same bytes")
    ] = 0,
) -> None:
    """Write a synthetic capture and, next to it, the true label of every flow."""
    from idskit.generate import generate as generate_capture

    made = generate_capture(output, packets=packets, mix=mix, seed=seed)
    conclude(
        f"{made.packets:,} packets in {made.flows:,} flows over {made.duration_s:,.0f} s in "
        f"{made.path}, true labels in {made.labels}"
    )


@verb()
def lab(
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="FOLDER", help="Folder to write the captures to"),
    ] = Path("lab"),
    activity: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Activity to run (see --list); repeatable; all that can run here if omitted",
        ),
    ] = None,
    link: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            show_default="lan",
            help="Link to run over: lan, wan or lte; repeatable",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(metavar="N", help="Random seed of addresses, rates and counts")
    ] = 0,
    soak: Annotated[
        float | None,
        typer.Option(
            metavar="MINUTES",
            min=0.1,
            show_default=False,
            help="Mix benign activities at random for this time instead, to count false alarms",
        ),
    ] = None,
    list_activities: Annotated[
        bool,
        typer.Option("--list", help="List the activities and what they need, and run none"),
    ] = False,
) -> None:
    """Record real programs in network namespaces, with a label for every flow (as root)."""
    from idskit.lab.run_lab import run_lab
    from idskit.lab.show_lab import show_activities, show_report
    from idskit.lab.soak import run_soak

    if list_activities:
        show_activities(console())
        return
    if soak is not None and activity:
        raise DataError("--activity was given with --soak, which chooses activities itself")

    def announce(line: str) -> None:
        typer.echo(line, err=True)

    links = link or ("lan",)
    if soak is not None:
        report = run_soak(output, soak, links=links, seed=seed, announce=announce)
    else:
        names = activity or ()
        report = run_lab(output, names=names, links=links, seed=seed, announce=announce)
    show_report(report, console())
