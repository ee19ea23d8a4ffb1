"""Measure models on this machine: what ``idskit bench`` does."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from idskit.bench.backends import Candidate, open_candidate
from idskit.bench.machine import machine_facts, rss_mib
from idskit.bench.measure import FULL, QUICK
from idskit.bench.pipeline import FULL_PASSES, QUICK_PASSES, obstacle, pipeline
from idskit.bench.report import show, verdict
from idskit.bench.result import Report, Result
from idskit.bench.scenarios import (
    BATCHES,
    QUICK_BATCHES,
    SCENARIOS,
    Settings,
    offline,
    single_stream,
)
from idskit.errors import IdskitError, SchemaError


def bench(  # noqa: PLR0913 - one argument a flag
    models: Sequence[Path] = (),
    *,
    scenario: Sequence[str] = (),
    device: str = "cpu",
    threads: int | None = None,
    batch: int | None = None,
    capture: Path | None = None,
    quick: bool = False,
    peers: bool = False,
    json: Path | None = None,
    console: Console | None = None,
) -> Report:
    """Measure models side by side, print tables, and return the result.

    Args:
        models: ONNX files and folders of training runs (measured in eager torch), all of one
            schema; the shipped model when empty.
        scenario: some of ``SCENARIOS``; all that the models allow when empty.
        device: ``cpu`` or ``cuda``; what is asked for is what is measured.
        threads: of one inference; all usable processors when None.
        batch: rows a call of the offline scenario; several sizes when None.
        capture: what the pipeline reads; a generated one when None.
        quick: seconds instead of minutes, with wider spread.
        peers: also measure what a user would run instead of each training run among ``models``,
            see ``idskit.bench.peers``.
        json: where the result file goes; ``-`` is standard output.
        console: where the tables go; standard error when None.

    Raises:
        IdskitError: unknown scenario, a batch below one, or models of different schemas.
        ModelError, RunError, DeviceError, MissingExtra: a model cannot be measured.
    """
    wanted = _checked(scenario, batch)
    console = console or Console(stderr=True)
    settings = Settings(
        plan=QUICK if quick else FULL,
        batches=(batch,) if batch else QUICK_BATCHES if quick else BATCHES,
        rss_start_mib=rss_mib(),
    )
    candidates = [
        open_candidate(path, device=device, threads=threads) for path in models or (None,)
    ]
    rivals, missing = _peers(models, device, threads) if peers else ([], [])
    candidates += rivals
    _check_schemas(candidates)
    able, left_out = _able(candidates, wanted, required=bool(scenario))
    passes = QUICK_PASSES if quick else FULL_PASSES
    measurements: dict[str, Callable[[], list[Result]]] = {
        "single-stream": lambda: single_stream(candidates, settings),
        "offline": lambda: offline(candidates, settings),
        "pipeline": lambda: pipeline(able, settings, capture, passes) if able else [],
    }
    results: list[Result] = []
    for name, measurement in measurements.items():
        if name in wanted:
            with console.status(f"measuring {name}"):  # nothing where nobody watches
                results += measurement()
    report = Report(
        machine=machine_facts(),
        results=tuple(results),
        verdict=(*verdict(results), *left_out, *missing),
        created=datetime.now(UTC),
    )
    _deliver(report, json)
    show(report, console)
    return report


def _checked(scenario: Sequence[str], batch: int | None) -> tuple[str, ...]:
    unknown = [name for name in scenario if name not in SCENARIOS]
    if unknown:
        raise IdskitError(
            f"scenario {unknown[0]!r} was asked for: choose among {', '.join(SCENARIOS)}"
        )
    if batch is not None and batch < 1:
        raise IdskitError(f"a batch of {batch} rows was asked for: at least 1 is needed")
    return tuple(scenario) or SCENARIOS


def _peers(
    models: Sequence[Path], device: str, threads: int | None
) -> tuple[list[Candidate], list[str]]:
    runs = [path for path in models if path.is_dir()]
    if len(runs) != 1 or device != "cpu":
        raise IdskitError(
            f"peers were asked for with {len(runs)} training runs on device {device}: they are "
            "made from the folder of one run, on the CPU; name it beside the exported file"
        )
    from idskit.bench.peers import open_peers

    return open_peers(runs[0], threads=threads)


def _check_schemas(candidates: Sequence[Candidate]) -> None:
    first = candidates[0]
    for other in candidates[1:]:
        if other.schema.sha256 != first.schema.sha256:
            raise SchemaError(
                f"{first.name} reads schema {first.schema.name} and {other.name} another, "
                f"{other.schema.name}: measure them in separate runs"
            )


def _able(
    candidates: Sequence[Candidate], wanted: Sequence[str], *, required: bool
) -> tuple[list[Candidate], list[str]]:
    """Those that can take part in a pipeline, and sentences about the others."""
    if "pipeline" not in wanted:
        return [], []
    able, sentences = [], []
    for candidate in candidates:
        reason = obstacle(candidate)
        if reason is None:
            able.append(candidate)
        elif required:
            raise SchemaError(reason)
        else:
            sentences.append(f"No pipeline was measured: {reason}.")
    return able, sentences


def _deliver(report: Report, json: Path | None) -> None:
    if json is None:
        return
    if str(json) == "-":
        sys.stdout.write(report.to_json() + "\n")
    else:
        report.save(json)
