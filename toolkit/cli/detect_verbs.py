"""Verbs that use a model file: sign, inspect, detect."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from idskit.cli.flags import Json, ModelArgument, ModelVersion
from idskit.cli.notices import announcing_compilation, conclude, console, say, write_document
from idskit.cli.verb import verb
from idskit.errors import IdskitError

if TYPE_CHECKING:
    from idskit.detect.detector_options import DetectorOptions, ModelOptions
    from idskit.flow_input import FlowInput
    from idskit.site.site_file import SiteOptions


@verb()
def sign(
    model: Annotated[Path, typer.Argument(help="An .onnx file that idskit exported")],
    key: Annotated[
        Path, typer.Option(metavar="PEM", help="File of the ed25519 private key to sign with")
    ],
    model_version: ModelVersion = None,
) -> None:
    """Sign a model file; the signature is written next to it as MODEL.sig."""
    from idskit.modelfile.model_file import read_model
    from idskit.modelfile.signature import Signer

    signer = Signer.load(key, model_version)
    signature = signer.sign(model, read_model(model).sha256)
    conclude(f"signature of version {signer.version} written to {signature}")


@verb("idskit.detect.detector_options:ModelOptions", omit=("device", "threads"))
def inspect(
    model: ModelArgument = None,
    *,
    options: ModelOptions,
    verify: Annotated[
        bool, typer.Option("--verify", help="Replay the model's golden vectors on this machine")
    ] = False,
    json_file: Json = None,
) -> None:
    """Show what a model file states about itself."""
    from idskit.detect.inspect_model import inspect as inspect_model
    from idskit.detect.inspect_model import require_verified

    found = inspect_model(model, options, verify=verify)
    found.show(console())
    write_document(json_file, found.to_json())
    if verify:
        require_verified(found)


@verb(
    "idskit.flow_input:FlowInput",
    "idskit.detect.detector_options:DetectorOptions",
    "idskit.site.site_file:SiteOptions",
)
def detect(
    model: ModelArgument = None,
    *,
    given: FlowInput,
    alerts: Annotated[
        bool, typer.Option("--alerts", help="Write an alert for every flow of an attack, too")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="File to append lines to; stdout if omitted"
        ),
    ] = None,
    rotate_mb: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="MB",
            help="Size at which the output file is renamed to FILE.1; 0 sets no limit",
        ),
    ] = 100,
    options: DetectorOptions,
    known: SiteOptions,
) -> None:
    """Find incidents in captures, live traffic or tables, and write them as EVE (JSON lines)."""
    from idskit.detect.detect_flows import detect as detect_flows

    here = known.opened(model)
    for note in here.notes:
        say(note)
    with announcing_compilation():
        summary = detect_flows(
            model,
            given,
            options,
            alerts=alerts,
            explain=here.explained,
            output=output,
            rotate_mb=rotate_mb,
            notice=say,
            site=here.levels,
        )
    summary.show(console())
    if summary.lost:
        raise IdskitError(summary.lost)
    if summary.lines_lost:
        raise typer.Exit(1)
