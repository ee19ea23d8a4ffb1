"""Subjects of a benchmark: an exported file in onnxruntime, or a training run in torch.

Every subject takes raw rows and returns probabilities, so the same weights can be compared in each.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idskit.bench.onnx_profile import placement, placement_text
from idskit.detect.detector import Detector
from idskit.detect.session import PROVIDERS, thread_count
from idskit.errors import IdskitError, require
from idskit.modelfile.graph_facts import graph_facts
from idskit.modelfile.model_file import INPUT, OUTPUT, read_model
from idskit.modelfile.model_path import model_path
from idskit.schema import Schema

Rows = NDArray[np.float32]
Infer = Callable[[Rows], object]  # (n, features) float32 -> probabilities (n, classes)
NOISE = 0.05  # standard deviation of the factor that numbers are multiplied by


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """Which model was measured."""

    name: str
    sha256: str
    precision: str
    opset: int | None  # None without an ONNX graph
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Execution:
    """What ran the model; a provider that is not the one asked for would have been an error."""

    backend: str
    provider_asked: str
    provider_used: str
    threads: int


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """What the exporter measured on held-out rows; benchmarks do not measure it again."""

    macro_f1: float
    delta: float  # from the model before lowering or quantisation


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A loaded model that is ready to be measured."""

    model: ModelFacts
    execution: Execution
    schema: Schema
    infer: Infer
    sample: Rows  # real rows that the model file or the run carries
    detector: Detector | None  # None for backends that cannot detect
    accuracy: Accuracy | None  # None if the model does not state it
    init_ms: float  # from the file to a session
    first_ms: float  # first inference, one row

    @property
    def name(self) -> str:
        """Model and backend, for tables."""
        return f"{self.model.name} ({self.execution.backend})"


def open_subject(path: Path | None, *, device: str = "cpu", threads: int | None = None) -> Subject:
    """Load what is to be measured.

    Args:
        path: an ONNX file, the folder of a training run (measured in eager torch), or None for the
            shipped model.
        device: ``cpu``, ``cuda`` or, for ONNX files, ``tensorrt``.
        threads: of one inference; None for all usable processors.

    Raises:
        ModelError, RunError, DeviceError, MissingExtra: the model cannot be loaded so.
    """
    if path is not None and path.is_dir():
        return _torch_subject(path, device=device, threads=threads)
    with model_path(path) as file:
        return _onnx_subject(file, device=device, threads=threads)


def realistic_rows(sample: Rows, schema: Schema, count: int, *, seed: int) -> Rows:
    """Draw rows (count, features) from real ones and vary their numbers by some per cent.

    Zeros stay zero, signs stay, and a nominal column keeps its codes.

    Raises:
        IdskitError: ``sample`` is empty.
    """
    if not len(sample):
        raise IdskitError(
            "the model carries no golden vectors to make input rows from: export it again"
        )
    random = np.random.default_rng(seed)
    rows = sample[random.integers(len(sample), size=count)]
    factors = np.exp(random.normal(0, NOISE, rows.shape))
    nominal = [i for i, feature in enumerate(schema.features) if feature.categories]
    factors[:, nominal] = 1
    return (rows * factors).astype(np.float32)


def _onnx_subject(path: Path, *, device: str, threads: int | None) -> Subject:
    start = time.perf_counter()
    file = read_model(path)
    detector = Detector.from_file(file, device=device, threads=threads)
    session = detector.session
    init_ms = (time.perf_counter() - start) * 1e3

    def infer(rows: Rows) -> object:
        return session.run([OUTPUT], {INPUT: rows})[0]

    facts = graph_facts(file.graph)
    return Subject(
        model=ModelFacts(
            name=path.stem,
            sha256=detector.sha256,
            precision=facts.precision,
            opset=facts.opset,
            bytes=file.size,
        ),
        execution=Execution(
            backend="onnxruntime",
            provider_asked=device,
            provider_used=_provider_used(detector, file.canonical),
            threads=detector.threads,
        ),
        schema=detector.schema,
        infer=infer,
        sample=detector.card.golden.flows,
        detector=detector,
        accuracy=_accuracy(detector.card.facts.get("export")),
        init_ms=init_ms,
        first_ms=_first_ms(infer, detector.card.golden.flows),
    )


def _provider_used(detector: Detector, content: bytes) -> str:
    """On the CPU every node runs there; another provider may have left some to it."""
    if detector.provider == PROVIDERS["cpu"]:
        return detector.provider
    return placement_text(placement(content, detector.provider, detector.card.golden.flows))


def _accuracy(report: Any) -> Accuracy | None:
    """Read the exporter's report in a model's card."""
    try:
        smaller = report["int8_against_fp32"] or report.get("fp16_against_fp32")
        seen = smaller or report["fp32_against_torch"]
        before, after = float(seen["macro_f1_before"]), float(seen["macro_f1_after"])
    except (KeyError, TypeError, ValueError):
        return None
    return Accuracy(macro_f1=after, delta=after - before)


def _torch_subject(folder: Path, *, device: str, threads: int | None) -> Subject:
    torch = require("torch", "train")
    require("safetensors", "train")
    from idskit.models.saved_run import load_run, torch_device

    where, count = torch_device(device), thread_count(threads)
    start = time.perf_counter()
    torch.set_num_threads(count)
    run = load_run(folder)
    network = run.network.to(where)
    init_ms = (time.perf_counter() - start) * 1e3

    def infer(rows: Rows) -> object:
        with torch.inference_mode():
            return network(torch.from_numpy(rows).to(device)).cpu().numpy()

    weights = (folder / "model.safetensors").read_bytes()
    return Subject(
        model=ModelFacts(
            name=folder.name,
            sha256=hashlib.sha256(weights).hexdigest(),
            precision="fp32",
            opset=None,
            bytes=len(weights),
        ),
        execution=Execution(
            backend="torch eager",
            provider_asked=device,
            provider_used=str(next(network.parameters()).device),
            threads=torch.get_num_threads(),
        ),
        schema=run.schema,
        infer=infer,
        sample=run.held.flows,
        detector=None,
        accuracy=None,
        init_ms=init_ms,
        first_ms=_first_ms(infer, run.held.flows),
    )


def _first_ms(infer: Infer, sample: Rows) -> float:
    start = time.perf_counter()
    infer(sample[:1])
    return (time.perf_counter() - start) * 1e3
