"""One inference on a GPU, step by step: rows in, compute, probabilities out; and where nodes run.

Nobody has run this on a GPU yet. Its logic is tested on the CPU, where onnxruntime binds buffers in
the same way; what CUDA and TensorRT make of it is to be seen.
"""

from __future__ import annotations

import json
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from idskit.detect.session import preload_libraries, require_provider, session_options
from idskit.errors import DeviceError
from idskit.modelfile.model_file import INPUT, OUTPUT

REPEATS = 50
WARMUP = 5
HOST_BOUND = 0.9  # share of enqueueing in computing, from which on the GPU waits for the processor
_UNSYNCHRONISED = "disable_synchronize_execution_providers"
_GRAPH = "gpu_graph_id"  # graphs of one session are told apart by it
Rows = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Steps:
    """Median milliseconds of each step of a call."""

    rows: int
    copy_in_ms: float
    enqueue_ms: float  # the processor hands kernels to the GPU
    wait_ms: float  # then for the last of them to end
    copy_out_ms: float

    @property
    def compute_ms(self) -> float:
        """From the first kernel handed over to the end of the last."""
        return self.enqueue_ms + self.wait_ms

    def sentences(self) -> list[str]:
        """For a result's notes; a second one where the processor is what limits."""
        text = (
            f"a call of {self.rows} rows: {self.copy_in_ms:.3f} ms copy in, "
            f"{self.compute_ms:.3f} ms compute, {self.copy_out_ms:.3f} ms copy out"
        )
        if self.enqueue_ms < HOST_BOUND * self.compute_ms:
            return [text]
        return [
            text,
            f"host-bound: handing {self.rows} rows' kernels to the GPU takes {self.enqueue_ms:.3f} "
            f"of the {self.compute_ms:.3f} ms of computing, so the GPU waits for the processor: "
            "use larger batches or --cuda-graph",
        ]


class Bound:
    """A session whose rows and probabilities stay in buffers on the device (I/O binding).

    The buffers are of one shape and never move, which CUDA graphs need.

    Args:
        session: with ``enable_cuda_graph`` among its provider's options, the first ``enqueue``
            records a graph and later ones replay it.
        rows: (n, features) float32; every later ``put`` has the same shape.
        classes: columns of the probabilities.
        memory: ``cuda``, for TensorRT too, or ``cpu``.
        graph: number of the graph to record, one for each shape.
    """

    def __init__(
        self, session: Any, rows: Rows, classes: int, *, memory: str, graph: int | None = None
    ) -> None:
        value = onnxruntime.OrtValue
        self._session = session
        self._rows = value.ortvalue_from_numpy(rows, memory, 0)
        self._out = value.ortvalue_from_shape_and_type((len(rows), classes), np.float32, memory, 0)
        self._binding = session.io_binding()
        self._binding.bind_ortvalue_input(INPUT, self._rows)
        self._binding.bind_ortvalue_output(OUTPUT, self._out)
        self._options = onnxruntime.RunOptions()
        self._options.add_run_config_entry(_UNSYNCHRONISED, "1")
        if graph is not None:
            self._options.add_run_config_entry(_GRAPH, str(graph))

    def put(self, rows: Rows) -> None:
        """Copy rows into the device's buffer."""
        self._rows.update_inplace(rows)

    def enqueue(self) -> None:
        """Hand the work to the device; on the CPU this is the work itself."""
        self._session.run_with_iobinding(self._binding, self._options)

    def wait(self) -> None:
        """Return when the work is done."""
        self._binding.synchronize_outputs()

    def get(self) -> NDArray[np.float32]:
        """Copy the probabilities (n, classes) back."""
        found: NDArray[np.float32] = self._out.numpy()
        return found


class Replayed:
    """Inference by CUDA graphs: one for each number of rows, recorded at its first call.

    Args:
        session: of ``open_graph_session``.
        classes: columns of the probabilities.
        memory: ``cuda``, or ``cpu`` where there is nothing to record.
    """

    def __init__(self, session: Any, classes: int, *, memory: str = "cuda") -> None:
        self._session, self._classes, self._memory = session, classes, memory
        self._bounds: dict[int, Bound] = {}

    def bound(self, rows: Rows) -> Bound:
        """The buffers, and with them the graph, of so many rows."""
        count = len(rows)
        if count not in self._bounds:
            self._bounds[count] = Bound(
                self._session, rows, self._classes, memory=self._memory, graph=count
            )
        return self._bounds[count]

    def __call__(self, rows: Rows) -> NDArray[np.float32]:
        """Probabilities (n, classes) of rows (n, features) float32, copies included."""
        bound = self.bound(rows)
        bound.put(rows)
        bound.enqueue()
        bound.wait()
        return bound.get()


def measure_steps(bound: Bound, rows: Rows, *, repeats: int = REPEATS) -> Steps:
    """Time the steps of ``repeats`` calls, after some that do not count."""
    taken: dict[str, list[float]] = {"copy_in": [], "enqueue": [], "wait": [], "copy_out": []}
    calls: Mapping[str, Callable[[], object]] = {
        "copy_in": lambda: bound.put(rows),
        "enqueue": bound.enqueue,
        "wait": bound.wait,
        "copy_out": bound.get,
    }
    for turn in range(WARMUP + repeats):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if turn >= WARMUP:
                taken[name].append((time.perf_counter() - start) * 1e3)
    medians = {f"{name}_ms": statistics.median(times) for name, times in taken.items()}
    return Steps(rows=len(rows), **medians)


def open_graph_session(content: bytes, *, threads: int | None = None) -> Any:
    """Open a session that replays its kernels as CUDA graphs.

    Raises:
        DeviceError: no CUDA, or a node of the model has no CUDA kernel.
    """
    provider = require_provider("cuda")
    preload_libraries()
    options = [(provider, {"enable_cuda_graph": "1"})]
    try:
        session = onnxruntime.InferenceSession(content, session_options(threads), options)
    except Exception as error:  # onnxruntime's errors share no base class
        reason = " ".join(str(error).split())
        raise DeviceError(
            f"a CUDA graph was asked for, but onnxruntime refuses it ({reason}): it needs every "
            "node of the model on the GPU; measure without"
        ) from error
    if session.get_providers()[0] != provider:
        raise DeviceError(
            f"a CUDA graph was asked for, but {provider} did not load: idskit doctor says why"
        )
    return session


def placement(content: bytes, provider: str, sample: Rows) -> dict[str, int]:
    """How many nodes of a model each execution provider ran, the most first.

    A provider that lacks a kernel leaves the node to the CPU, without a word.
    """
    options = session_options(1)
    options.enable_profiling = True
    with TemporaryDirectory(prefix="idskit-bench-") as folder:
        options.profile_file_prefix = str(Path(folder, "profile"))
        session = onnxruntime.InferenceSession(content, options, providers=[provider])
        session.run([OUTPUT], {INPUT: sample[:1]})
        events = json.loads(Path(session.end_profiling()).read_text())
    ran = [event["args"]["provider"] for event in events if "provider" in event.get("args", {})]
    return dict(Counter(ran).most_common())


def describe_placement(nodes: Mapping[str, int]) -> str:
    """The provider in use, and the share of nodes where it is not alone."""
    whole = sum(nodes.values())
    if len(nodes) == 1:
        return next(iter(nodes))
    return ", ".join(f"{name} ({count} of {whole} nodes)" for name, count in nodes.items())
