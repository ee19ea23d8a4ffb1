"""Measure models on this machine: what ``idskit bench`` does, in order."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from idskit.bench.bench_options import BenchOptions
from idskit.bench.int8_peak import int8_rate
from idskit.bench.measure import FULL, QUICK
from idskit.bench.peers.flow_extractors import extractors
from idskit.bench.result import Extraction, Int8Rate, Report, Result
from idskit.bench.scenarios.extraction import FULL_EXTRACTION, QUICK_EXTRACTION, measure_extraction
from idskit.bench.scenarios.inference import (
    BATCHES,
    QUICK_BATCHES,
    SERVER_BATCH,
    Settings,
    offline,
    require_room,
    single_stream,
)
from idskit.bench.scenarios.pipeline import Passes, obstacle, paced_pipeline, pipeline
from idskit.bench.scenarios.server_load import server
from idskit.bench.scenarios.sustained import sustained
from idskit.bench.subject import Subject, open_subject
from idskit.bench.verdict import verdict
from idskit.bench.views.bench_report import write_views
from idskit.bench.views.extraction_report import extraction_verdict
from idskit.errors import IdskitError, SchemaError
from idskit.files.output import require_place
from idskit.machine.machine_facts import machine_facts, rss_mib
from idskit.machine.precompile import needs_compiling
from idskit.modelfile.model_file import read_model
from idskit.modelfile.model_path import model_path
from idskit.report.console import PeopleConsole

COMPILED_FIRST = (
    "The flow engine had to be compiled first, so everything was measured as with --quick; measure "
    "again for more rounds."
)
QUICK_PASSES = Passes(count=5, packets=100_000, paced_s=2.0)
FULL_PASSES = Passes(count=5, packets=200_000)
_NO_MEMORY = r"bad.?alloc|out of memory|failed to allocate|can't allocate"


def bench(
    options: BenchOptions | None = None,
    models: Sequence[Path] = (),
    *,
    json: Path | None = None,
    html: Path | None = None,
    markdown: Path | None = None,
    console: Console | None = None,
) -> Report:
    """Measure models in turn, print tables, and return the result.

    Where no scenario is named and the flow engine has to be compiled first, everything is measured
    as with ``quick``, so that all is done within two minutes; the verdict says so.

    Args:
        options: what is measured, and how; the defaults if None.
        models: ONNX files and folders of training runs (measured in eager torch), all of one
            schema; the shipped model if empty.
        json: where the result file goes; ``-`` is standard output.
        html: where one page with plots goes.
        markdown: where the tables go as Markdown.
        console: where the tables go; standard error if None.

    Raises:
        IdskitError: an option that cannot be measured, not enough memory, an output that cannot be
            written, or models of different schemas.
        ModelError, RunError, DeviceError, MissingExtra: a model cannot be measured.
    """
    options = options or BenchOptions()
    options.check(models)
    for file in (json, html, markdown):
        if file is not None:
            require_place(file)
    console = console or PeopleConsole()
    rss_start_mib = rss_mib()
    with ExitStack() as stack:
        paths = list(models) or [stack.enter_context(model_path())]
        for path in paths:
            require_room(path)
        loaded = _load(paths, options)
        able, left_out = _able(loaded.own, options)
        compiles = _compiles_first(able, options)
        quick = options.quick or compiles
        passes = QUICK_PASSES if quick else FULL_PASSES
        settings = _settings(options, quick, rss_start_mib)
        measuring = _Measuring(options, loaded, able, settings, passes)
        results: list[Result] = []
        peak = None
        for name in options.scenarios():
            with console.status(f"measuring {name}"), _enough_memory(name):
                results += measuring.run(name)
                if name == "offline" and options.device == "cpu" and any(map(Path.is_file, paths)):
                    peak = _int8_rate(paths, loaded.own[0])
        with console.status("measuring extraction"):
            extraction = _extraction(options, quick)
    report = Report(
        machine=machine_facts(),
        results=tuple(results),
        verdict=(
            *verdict(results),
            *extraction_verdict(extraction),
            *left_out,
            *loaded.missing,
            *([COMPILED_FIRST] if compiles else []),
        ),
        created=datetime.now(UTC),
        int8_rate=peak,
        extraction=tuple(extraction),
    )
    write_views(report, console, json=json, html=html, markdown=markdown)
    return report


@dataclass(frozen=True, kw_only=True)
class _Loaded:
    """The models that were asked for, and their peers."""

    own: list[Subject]
    peers: list[Subject]
    missing: list[str]  # a sentence for each peer that cannot be measured


def _load(paths: Sequence[Path], options: BenchOptions) -> _Loaded:
    """Load every model with every thread count, and their peers."""
    own = [
        open_subject(path, device=options.device, threads=threads)
        for path in paths
        for threads in options.threads or (None,)
    ]
    infers = options.peers and options.scenarios() != ("pipeline",)
    peers, missing = _peers(paths, options) if infers else ([], [])
    _check_schemas(own + peers)
    return _Loaded(own=own, peers=peers, missing=missing)


def _peers(paths: Sequence[Path], options: BenchOptions) -> tuple[list[Subject], list[str]]:
    runs = [path for path in paths if path.is_dir()]
    if len(runs) != 1 or options.device != "cpu":
        raise IdskitError(
            f"--peers was given with {len(runs)} training runs on device {options.device}: peers "
            "are made from the folder of one run, on the CPU; name it next to the exported file, "
            "or ask for --scenario pipeline alone, whose peers are other flow extractors"
        )
    from idskit.bench.peers.model_peers import open_peers

    return open_peers(runs[0], threads=options.first_threads)


def _check_schemas(subjects: Sequence[Subject]) -> None:
    first = subjects[0]
    for other in subjects[1:]:
        if other.schema.sha256 != first.schema.sha256:
            raise SchemaError(
                f"{first.name} reads schema {first.schema.name} and {other.name} another, "
                f"{other.schema.name}: measure them in separate runs"
            )


def _able(subjects: Sequence[Subject], options: BenchOptions) -> tuple[list[Subject], list[str]]:
    """Select those that can take part in a pipeline, with a sentence about each of the others."""
    if "pipeline" not in options.scenarios():
        return [], []
    able, sentences = [], []
    for subject in subjects:
        reason = obstacle(subject)
        if reason is None:
            able.append(subject)
        elif options.scenario:
            raise SchemaError(reason)
        else:
            sentences.append(f"No pipeline was measured: {reason}.")
    return able, sentences


def _compiles_first(able: Sequence[Subject], options: BenchOptions) -> bool:
    """Return whether a run without special wishes would have to compile the flow engine."""
    if options.quick or options.scenario or options.minutes is not None:
        return False
    return any(needs_compiling(name) for name in {subject.schema.name for subject in able})


def _settings(options: BenchOptions, quick: bool, rss_start_mib: float | None) -> Settings:
    return Settings(
        plan=QUICK if quick else FULL,
        batches=(options.batch,) if options.batch else QUICK_BATCHES if quick else BATCHES,
        rss_start_mib=rss_start_mib,
        server_batch=options.batch or SERVER_BATCH,
    )


class _Measuring:
    """One scenario after the other, on the subjects that it is for."""

    def __init__(
        self,
        options: BenchOptions,
        loaded: _Loaded,
        able: list[Subject],
        settings: Settings,
        passes: Passes,
    ) -> None:
        self._options, self._loaded, self._able = options, loaded, able
        self._settings, self._passes = settings, passes

    def run(self, scenario: str) -> list[Result]:
        """Measure one scenario."""
        loaded, settings = self._loaded, self._settings
        match scenario:
            case "single-stream":
                return single_stream(loaded.own + loaded.peers, settings)
            case "offline":
                return offline(loaded.own + loaded.peers, settings)
            case "server":
                return server(loaded.own, settings)
            case "sustained":
                return sustained(loaded.own, settings, self._options.duration_min)
        return self._pipeline()

    def _pipeline(self) -> list[Result]:
        capture, rate = self._options.capture, self._options.rate
        if not self._able:
            return []
        if rate is None:
            return pipeline(self._able, self._settings, capture, self._passes)
        return paced_pipeline(self._able, self._settings, capture, self._passes, rate)


def _extraction(options: BenchOptions, quick: bool) -> list[Extraction]:
    if not options.peers or "pipeline" not in options.scenarios():
        return []
    plan = QUICK_EXTRACTION if quick else FULL_EXTRACTION
    return measure_extraction(options.capture, plan, extractors())


def _int8_rate(paths: Sequence[Path], first: Subject) -> Int8Rate:
    """Measure the machine's int8 product, and count what each ONNX file needs of it."""
    files = [read_model(path) for path in paths if path.is_file()]
    contents = {file.sha256: file.canonical for file in files}
    return int8_rate(contents, first.sample, threads=first.execution.threads)


@contextmanager
def _enough_memory(scenario: str) -> Iterator[None]:
    """Turn what numpy, onnxruntime and torch raise when memory ends into one sentence."""
    try:
        yield
    except IdskitError:
        raise
    except Exception as error:  # they share no base class
        text = " ".join(str(error).split())
        if not isinstance(error, MemoryError) and not re.search(_NO_MEMORY, text, re.IGNORECASE):
            raise
        raise IdskitError(
            f"scenario {scenario} does not fit the memory of this machine ({text[:200]}): choose "
            "a smaller --batch or a smaller model"
        ) from error
