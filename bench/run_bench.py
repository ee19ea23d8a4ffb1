"""Measure models on this machine: what ``idskit bench`` does."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from idskit.bench.backends import Candidate
from idskit.bench.int8_peak import int8_rate
from idskit.bench.measure import FULL, QUICK
from idskit.bench.peers.flow_extractors import extractors
from idskit.bench.result import Extraction, Int8Rate, Report, Result
from idskit.bench.scenarios.extraction import FULL_EXTRACTION, QUICK_EXTRACTION, measure_extraction
from idskit.bench.scenarios.inference import (
    BATCHES,
    QUICK_BATCHES,
    SCENARIOS,
    SERVER_BATCH,
    UNASKED,
    Settings,
    offline,
    require_room,
    single_stream,
)
from idskit.bench.scenarios.pipeline import Passes, obstacle, paced_pipeline, pipeline
from idskit.bench.scenarios.server_load import BOUND_MS, server
from idskit.bench.scenarios.sustained import MINUTES, sustained
from idskit.bench.variants import Ways
from idskit.bench.verdict import verdict
from idskit.bench.views.bench_page import save_page
from idskit.bench.views.bench_report import markdown as markdown_of
from idskit.bench.views.bench_report import show
from idskit.bench.views.extraction_report import extraction_verdict
from idskit.errors import IdskitError, SchemaError
from idskit.files.output import require_place, write_whole
from idskit.machine.machine_facts import machine_facts, rss_mib
from idskit.machine.precompile import is_cold
from idskit.modelfile.model_file import read_model
from idskit.modelfile.model_path import model_path
from idskit.report.console import PeopleConsole

COMPILED_FIRST = (
    "The flow engine had to be compiled first, so everything was measured as with --quick; measure "
    "again for more rounds."
)
QUICK_PASSES = Passes(count=5, packets=100_000, paced_s=2.0)
FULL_PASSES = Passes(count=5, packets=200_000)


def bench(  # noqa: PLR0913 - one argument a flag
    models: Sequence[Path] = (),
    *,
    scenario: Sequence[str] = (),
    device: str = "cpu",
    threads: Sequence[int] = (),
    compiled: bool = False,
    half: bool = False,
    cuda_graph: bool = False,
    batch: int | None = None,
    bound_ms: float | None = None,
    minutes: float | None = None,
    capture: Path | None = None,
    rate: float | None = None,
    quick: bool = False,
    peers: bool = False,
    peer_python: Path | None = None,
    json: Path | None = None,
    html: Path | None = None,
    markdown: Path | None = None,
    console: Console | None = None,
) -> Report:
    """Measure models side by side, print tables, and return the result.

    Args:
        models: ONNX files and folders of training runs (measured in eager torch), all of one
            schema; when empty the shipped model.
        scenario: some of ``SCENARIOS``; ``UNASKED`` when empty.
        device: ``cpu`` or ``cuda``; what is asked for is what is measured.
        threads: of one inference; with several counts every ONNX file is measured with each. All
            usable processors when empty.
        compiled: measure what torch.compile makes of each run beside eager torch.
        half: measure each run in half precision too (torch.autocast), on ``cuda``.
        cuda_graph: measure each ONNX file with its kernels replayed as a CUDA graph too.
        batch: rows a call of the offline scenario, several sizes when None; the most rows a call
            of the server and the sustained scenario, 256 when None.
        bound_ms: p99 that the server scenario allows, 10 when None.
        minutes: of the sustained scenario, 5 when None.
        capture: what the pipeline reads; a generated one when None.
        rate: packets a second that arrive at the pipeline; as fast as they are read when None.
        quick: seconds instead of minutes, with wider spread. Where no scenario is asked for and
            the flow engine has to be compiled first, this is what happens too, so that all is done
            within two minutes; the verdict says so.
        peers: also measure what a user would run instead: of the training run among ``models``
            (``model_peers``), and in the pipeline scenario of idskit's flow engine
            (``flow_extractors``).
        peer_python: interpreter that has those of the second kind that are Python packages; this
            one when None.
        json: where the result file goes; ``-`` is standard output.
        html: where one page with plots goes.
        markdown: where the tables go as Markdown.
        console: where the tables go; standard error when None.

    Raises:
        IdskitError: unknown scenario, a setting of a scenario that is not measured, a batch, bound
            or time out of range, not enough memory, or models of different schemas.
        ModelError, RunError, DeviceError, MissingExtra: a model cannot be measured.
    """
    wanted = _checked(scenario, batch, bound_ms, minutes, rate)
    ways = Ways(
        device=device,
        threads=tuple(threads),
        compiled=compiled,
        half=half,
        cuda_graph=cuda_graph,
    )
    ways.check(models, wanted)
    for file in (json, html, markdown):
        if file is not None:
            require_place(file)
    console = console or PeopleConsole()
    rss_start_mib = rss_mib()
    infers = peers and wanted != ("pipeline",)
    with ExitStack() as stack:
        paths = list(models) or [stack.enter_context(model_path())]
        for path in paths:
            require_room(path)
        opened = list(ways.open(paths))
        candidates = [candidate for _, candidate in opened]
        rivals, missing = _peers(models, device, ways.first_threads) if infers else ([], [])
        _check_schemas(candidates + rivals)
        everyone = candidates + rivals
        able, left_out = _able(candidates, wanted, required=bool(scenario))
        compiles = not quick and not scenario and minutes is None and _compiles(able)
        quick = quick or compiles
        passes = QUICK_PASSES if quick else FULL_PASSES
        settings = Settings(
            plan=QUICK if quick else FULL,
            batches=(batch,) if batch else QUICK_BATCHES if quick else BATCHES,
            rss_start_mib=rss_start_mib,
            server_batch=batch or SERVER_BATCH,
        )
        measurements: dict[str, Callable[[], list[Result]]] = {
            "single-stream": lambda: single_stream(everyone, settings),
            "offline": lambda: offline(everyone, settings),
            "server": lambda: server(candidates, settings, bound_ms or BOUND_MS),
            "pipeline": lambda: _pipeline(able, settings, capture, passes, rate),
            "sustained": lambda: sustained(candidates, settings, minutes or MINUTES),
        }
        results: list[Result] = []
        ceiling = None
        for name in wanted:
            with console.status(f"measuring {name}"), _enough_memory(name):
                results += measurements[name]()
                if name == "offline" and device == "cpu" and any(map(Path.is_file, paths)):
                    ceiling = _int8_rate(paths, candidates[0])
        extraction: list[Extraction] = []
        if peers and "pipeline" in wanted:
            plan = QUICK_EXTRACTION if quick else FULL_EXTRACTION
            with console.status("measuring extraction"):
                extraction = measure_extraction(capture, plan, extractors(peer_python))
    report = Report(
        machine=machine_facts(),
        results=tuple(results),
        verdict=(
            *verdict(results),
            *extraction_verdict(extraction),
            *left_out,
            *missing,
            *([COMPILED_FIRST] if compiles else []),
        ),
        created=datetime.now(UTC),
        int8_rate=ceiling,
        extraction=tuple(extraction),
    )
    deliver(report, console, json=json, html=html, markdown=markdown)
    return report


def show_file(
    file: Path,
    *,
    html: Path | None = None,
    markdown: Path | None = None,
    console: Console | None = None,
) -> Report:
    """Show an earlier result file as if it had just been measured.

    Raises:
        IdskitError: no result file of this schema version, or a view cannot be written.
    """
    report = Report.load(file)
    deliver(report, console or PeopleConsole(), html=html, markdown=markdown)
    return report


def deliver(
    report: Report,
    console: Console,
    *,
    json: Path | None = None,
    html: Path | None = None,
    markdown: Path | None = None,
) -> None:
    """Write the result file and every view that was asked for, then print the tables.

    Raises:
        IdskitError: a file cannot be written.
    """
    if json is not None and str(json) == "-":
        sys.stdout.write(report.to_json() + "\n")
    elif json is not None:
        report.save(json)
    if html is not None:
        save_page(html, {"": report})
    if markdown is not None:
        text = markdown_of(report)
        write_whole(markdown, lambda partial: partial.write_text(text))
    show(report, console)


def _checked(
    scenario: Sequence[str],
    batch: int | None,
    bound_ms: float | None,
    minutes: float | None,
    rate: float | None,
) -> tuple[str, ...]:
    """The scenarios to measure, in their order, when all that was asked for makes sense."""
    unknown = [name for name in scenario if name not in SCENARIOS]
    if unknown:
        raise IdskitError(
            f"scenario {unknown[0]!r} was asked for: choose among {', '.join(SCENARIOS)}"
        )
    if batch is not None and batch < 1:
        raise IdskitError(f"a batch of {batch} rows was asked for: at least 1 is needed")
    asked = set(scenario or UNASKED) | ({"sustained"} if minutes and not scenario else set())
    for flag, value, name in (
        ("bound-ms", bound_ms, "server"),
        ("minutes", minutes, "sustained"),
        ("rate", rate, "pipeline"),
    ):
        if value is not None and name not in asked:
            raise IdskitError(
                f"--{flag} was given without the scenario it belongs to: add --scenario {name}"
            )
        if value is not None and not 0 < value < math.inf:
            raise IdskitError(f"--{flag} {value:g} was asked for: more than 0 is needed")
    return tuple(name for name in SCENARIOS if name in asked)


def _pipeline(
    able: Sequence[Candidate],
    settings: Settings,
    capture: Path | None,
    passes: Passes,
    rate: float | None,
) -> list[Result]:
    if not able:
        return []
    if rate is None:
        return pipeline(able, settings, capture, passes)
    return paced_pipeline(able, settings, capture, passes, rate)


@contextmanager
def _enough_memory(scenario: str) -> Iterator[None]:
    """Turn what numpy, onnxruntime and torch say when memory ends into one sentence."""
    try:
        yield
    except IdskitError:
        raise
    except Exception as error:  # they share no base class
        words = " ".join(str(error).split())
        if not isinstance(error, MemoryError) and not re.search(_NO_MEMORY, words, re.IGNORECASE):
            raise
        raise IdskitError(
            f"scenario {scenario} does not fit the memory of this machine ({words[:200]}): choose "
            "a smaller --batch or a smaller model"
        ) from error


_NO_MEMORY = r"bad.?alloc|out of memory|failed to allocate|can't allocate"


def _int8_rate(paths: Sequence[Path], first: Candidate) -> Int8Rate:
    """The machine's int8 product beside what each ONNX file needs of it."""
    files = [read_model(path) for path in paths if path.is_file()]
    contents = {file.sha256: file.canonical for file in files}
    return int8_rate(contents, first.sample, threads=first.execution.threads)


def _compiles(able: Sequence[Candidate]) -> bool:
    """Whether a pipeline would have to compile the flow engine first."""
    return any(is_cold(name) for name in {candidate.schema.name for candidate in able})


def _peers(
    models: Sequence[Path], device: str, threads: int | None
) -> tuple[list[Candidate], list[str]]:
    runs = [path for path in models if path.is_dir()]
    if len(runs) != 1 or device != "cpu":
        raise IdskitError(
            f"peers were asked for with {len(runs)} training runs on device {device}: they are "
            "made from the folder of one run, on the CPU; name it beside the exported file, or "
            "ask for --scenario pipeline alone, whose peers are other flow extractors"
        )
    from idskit.bench.peers.model_peers import open_peers

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
