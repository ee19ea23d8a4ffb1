"""Verbs that use a model file: sign, inspect, detect."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from idskit.cli.flags import (
    Captures,
    Device,
    Filter,
    IdleTimeout,
    Interfaces,
    Json,
    MemoryMb,
    MinVersion,
    ModelArgument,
    ModelVersion,
    PublicKey,
    Threads,
    VerdictAfter,
)
from idskit.cli.notices import announcing_compilation, conclude, console, say, write_document
from idskit.cli.verb import verb
from idskit.errors import IdskitError


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


@verb()
def inspect(
    model: ModelArgument = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Replay the model's golden vectors on this machine")
    ] = False,
    public_key: PublicKey = None,
    min_version: MinVersion = None,
    json_file: Json = None,
) -> None:
    """Show what a model file states about itself."""
    from idskit.detect.inspect_model import inspect as inspect_model
    from idskit.detect.inspect_model import require_verified

    found = inspect_model(model, verify=verify, public_key=public_key, min_version=min_version)
    found.show(console())
    write_document(json_file, found.to_json())
    if verify:
        require_verified(found)


@verb()
def detect(  # noqa: PLR0913, PLR0917 - one parameter per flag
    model: ModelArgument = None,
    capture: Captures = None,
    interface: Interfaces = None,
    flows: Annotated[
        Path | None,
        typer.Option(
            metavar="TABLE", help="CSV or Parquet table of the model's features to read instead"
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="File to append alerts to; stdout if omitted"
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
    threshold: Annotated[
        float | None,
        typer.Option(
            metavar="SCORE", help="Lowest score that raises an alert; the model's own if omitted"
        ),
    ] = None,
    verdict_after: VerdictAfter = 0,
    filter: Filter = None,
    memory_mb: MemoryMb = 256,
    idle_timeout: IdleTimeout = None,
    device: Device = "cpu",
    threads: Threads = None,
    public_key: PublicKey = None,
    min_version: MinVersion = None,
) -> None:
    """Write an alert (EVE, one JSON object per line) for every flow that looks like an attack."""
    from idskit.detect.detect_flows import detect as detect_flows

    with announcing_compilation():
        summary = detect_flows(
            model,
            capture=capture,
            interface=interface,
            flows_table=flows,
            output=output,
            rotate_mb=rotate_mb,
            device=device,
            threads=threads,
            threshold=threshold,
            verdict_after=verdict_after,
            filter=filter,
            memory_mb=memory_mb,
            idle_timeout_s=idle_timeout,
            public_key=public_key,
            notice=say,
            min_version=min_version,
        )
    summary.show(console())
    if summary.lost:
        raise IdskitError(summary.lost)
    if summary.lines_lost:
        raise typer.Exit(1)
