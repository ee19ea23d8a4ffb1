"""What can be measured: an exported file in onnxruntime, or a training run in torch.

All backends take raw rows and give probabilities, so the same weights can be compared in each.
"""

from __future__ import annotations

import hashlib
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idskit.bench.gpu import (
    Bound,
    Replayed,
    Steps,
    describe_placement,
    measure_steps,
    open_graph_session,
    placement,
)
from idskit.detect.detector import Detector
from idskit.detect.session import PROVIDERS, thread_count
from idskit.errors import DeviceError, IdskitError, require
from idskit.files.folders import COMPILED_TORCH, require_private
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
    opset: int | None  # None where there is no ONNX graph
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Execution:
    """What ran it: asked for and used are the same, or there would have been an error."""

    backend: str
    provider_asked: str
    provider_used: str
    threads: int


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """What the exporter saw on held rows; benchmarks do not measure it again."""

    macro_f1: float
    delta: float  # against the model before lowering or quantisation


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A loaded model that is ready to be measured."""

    model: ModelFacts
    execution: Execution
    schema: Schema
    infer: Infer
    sample: Rows  # real rows that the model file or the run carries
    detector: Detector | None  # None for backends that cannot detect
    accuracy: Accuracy | None  # None where the model does not say
    init_ms: float  # from the file to a session
    first_ms: float  # first inference, one row
    steps: Callable[[Rows], Steps] | None = None  # of a call on a GPU; None elsewhere

    @property
    def name(self) -> str:
        """Model and backend, for tables."""
        return f"{self.model.name} ({self.execution.backend})"


def open_candidate(
    path: Path | None,
    *,
    device: str = "cpu",
    threads: int | None = None,
    compiled: bool = False,
    half: bool = False,
    cuda_graph: bool = False,
) -> Candidate:
    """Load what is to be measured.

    Args:
        path: an ONNX file, the folder of a training run (measured in torch), or None for the
            shipped model.
        device: ``cpu``, ``cuda`` or, for ONNX files, ``tensorrt``.
        threads: of one inference; all usable processors when None.
        compiled: run what torch.compile makes of the network behind its preparation, instead of
            eager torch; for training runs only.
        half: let torch choose half precision where it holds (autocast); for training runs only.
        cuda_graph: replay the kernels of a call as one CUDA graph; for ONNX files on ``cuda`` only.

    Raises:
        ModelError, RunError, DeviceError, MissingExtra: as loading says.
        IdskitError: something was asked for that this kind of model or device does not have.
    """
    if path is not None and path.is_dir():
        return _torch_candidate(path, device=device, threads=threads, compiled=compiled, half=half)
    if compiled or half:
        raise IdskitError(
            f"{'torch.compile' if compiled else 'half precision in torch'} was asked for with "
            f"{path}, an ONNX file: name the folder of the run"
        )
    if cuda_graph and device != "cuda":
        raise DeviceError(
            f"a CUDA graph was asked for on device {device}: add --device cuda, or measure without"
        )
    with model_path(path) as file:
        return _onnx_candidate(file, device=device, threads=threads, cuda_graph=cuda_graph)


def realistic_rows(sample: Rows, schema: Schema, count: int, *, seed: int) -> Rows:
    """Rows (count, features) drawn from real ones, their numbers varied by some per cent.

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


def _onnx_candidate(path: Path, *, device: str, threads: int | None, cuda_graph: bool) -> Candidate:
    start = time.perf_counter()
    file = read_model(path)
    content = file.canonical
    detector = Detector.from_file(file, device=device, threads=threads)
    infer, steps = _inference(detector, content, device=device, cuda_graph=cuda_graph)
    init_ms = (time.perf_counter() - start) * 1e3
    facts = graph_facts(file.graph)
    return Candidate(
        model=ModelFacts(
            name=path.stem,
            sha256=detector.sha256,
            precision=facts.precision,
            opset=facts.opset,
            bytes=file.size,
        ),
        execution=Execution(
            backend="onnxruntime, CUDA graph" if cuda_graph else "onnxruntime",
            provider_asked=device,
            provider_used=_provider_used(detector, content),
            threads=detector.threads,
        ),
        schema=detector.schema,
        infer=infer,
        sample=detector.card.golden.flows,
        detector=detector,
        accuracy=_accuracy(detector.card.facts.get("export")),
        init_ms=init_ms,
        first_ms=_first_ms(infer, detector.card.golden.flows),
        steps=steps,
    )


def _inference(
    detector: Detector, content: bytes, *, device: str, cuda_graph: bool
) -> tuple[Infer, Callable[[Rows], Steps] | None]:
    """How a model file is run, and on a GPU how a call is timed step by step."""
    classes = len(detector.card.classes)
    if cuda_graph:
        replayed = Replayed(open_graph_session(content, threads=detector.threads), classes)
        return replayed, lambda rows: measure_steps(replayed.bound(rows), rows)
    session = detector.session

    def infer(rows: Rows) -> object:
        return session.run([OUTPUT], {INPUT: rows})[0]

    def steps(rows: Rows) -> Steps:
        return measure_steps(Bound(session, rows, classes, memory="cuda"), rows)

    return infer, None if device == "cpu" else steps


def _provider_used(detector: Detector, content: bytes) -> str:
    """On the CPU every node runs there; another provider may have left some to it."""
    if detector.provider == PROVIDERS["cpu"]:
        return detector.provider
    return describe_placement(placement(content, detector.provider, detector.card.golden.flows))


def _accuracy(report: Any) -> Accuracy | None:
    """Read the exporter's report in a model's card."""
    try:
        smaller = report["int8_against_fp32"] or report.get("fp16_against_fp32")
        seen = smaller or report["fp32_against_torch"]
        before, after = float(seen["macro_f1_before"]), float(seen["macro_f1_after"])
    except (KeyError, TypeError, ValueError):
        return None
    return Accuracy(macro_f1=after, delta=after - before)


def _torch_candidate(
    folder: Path, *, device: str, threads: int | None, compiled: bool, half: bool
) -> Candidate:
    torch = require("torch", "train")
    require("safetensors", "train")
    from idskit.models.saved_run import load_run, torch_device

    where, count = torch_device(device), thread_count(threads)
    start = time.perf_counter()
    torch.set_num_threads(count)
    run = load_run(folder)
    network = run.network.to(where)
    if compiled:
        _compile(torch, network)
    init_ms = (time.perf_counter() - start) * 1e3

    def infer(rows: Rows) -> object:
        with torch.inference_mode(), torch.autocast(device, torch.float16, enabled=half):
            return network(torch.from_numpy(rows).to(device)).float().cpu().numpy()

    weights = (folder / "model.safetensors").read_bytes()
    return Candidate(
        model=ModelFacts(
            name=folder.name,
            sha256=hashlib.sha256(weights).hexdigest(),
            precision="fp16" if half else "fp32",
            opset=None,
            bytes=len(weights),
        ),
        execution=Execution(
            backend="torch compiled" if compiled else "torch eager",
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
        first_ms=_first_compiled_ms(infer, run.held.flows)
        if compiled
        else _first_ms(infer, run.held.flows),
    )


def _compile(torch: Any, network: Any) -> None:
    """Put one program for all batch sizes behind the preparation, whose branch torch cannot follow.

    Anything else that it cannot follow is an error: no part may go back to eager torch unasked.
    Convolutions stay convolutions: what makes them dense matrices takes minutes to compile.
    """
    from idskit.models.resnet import SmallConv2d

    # what was compiled before is run, so nobody else may have put it there
    require_private(Path(os.environ[COMPILED_TORCH]).absolute(), COMPILED_TORCH)
    for module in network.modules():
        if isinstance(module, SmallConv2d):
            module.dense = False
    network.logits = torch.compile(network.logits, dynamic=True, fullgraph=True)


def _first_compiled_ms(infer: Infer, sample: Rows) -> float:
    """Compile for one row, which torch treats apart, and then for any number of them.

    Raises:
        DeviceError: there is no compiler, or it refuses the network.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of its own deprecations
            return _first_ms(infer, sample) + _first_ms(infer, sample, rows=2)
    except Exception as error:  # torch's errors share no base class
        reason = str(error).strip().partition("\n")[0]
        raise DeviceError(
            f"torch.compile was asked for and failed ({reason}): it needs a C++ compiler (apt "
            "install g++) on the CPU and triton on CUDA; install it, or measure eager torch"
        ) from error


def _first_ms(infer: Infer, sample: Rows, *, rows: int = 1) -> float:
    start = time.perf_counter()
    infer(sample[:rows])
    return (time.perf_counter() - start) * 1e3
