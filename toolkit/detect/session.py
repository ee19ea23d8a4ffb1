"""An onnxruntime session on the device that was asked for, or an error that says what to install.

onnxruntime goes on with the CPU when a GPU provider does not load (its issues 23372, 17801, 25145),
and its two packages overwrite each other's files (26996, 7748). Both are errors here.
"""

from __future__ import annotations

import os
import warnings
from contextlib import redirect_stdout
from importlib.metadata import PackageNotFoundError, version
from io import StringIO
from pathlib import Path
from typing import Literal

import onnxruntime

from idskit.detect.detector_options import MAX_THREADS
from idskit.errors import DeviceError, ModelError

Device = Literal["cpu", "cuda", "tensorrt"]
PROVIDERS: dict[str, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
RUNTIMES = ("onnxruntime", "onnxruntime-gpu")  # they install the same files: only one may be there
_FATAL_ONLY = 4  # errors are exceptions, and one sentence


def open_session(
    content: bytes, path: Path, *, device: str = "cpu", threads: int | None = None
) -> onnxruntime.InferenceSession:
    """Load a model's bytes on ``device``.

    Args:
        content: what ``ModelFile.canonical`` wrote, or what this process made itself: onnxruntime
            believes every word of it.
        path: where it came from, for the error messages.
        device: ``cpu``, ``cuda`` or ``tensorrt``.
        threads: of one inference; all processors this process may use when None.

    Raises:
        DeviceError: the device is unknown or its provider is not there.
        ModelError: onnxruntime refuses the model.
    """
    provider = require_provider(device)
    options = session_options(threads)
    if device != "cpu":
        preload_libraries()
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            # onnxruntime announces its own fallback as a warning, or prints it on stdout, which is
            # for data; the check below is an error
            warnings.simplefilter("ignore", UserWarning)
            session = onnxruntime.InferenceSession(content, options, providers=[provider])
    except Exception as error:  # onnxruntime's errors share no base class
        reason = " ".join(str(error).split())
        raise ModelError(
            f"{path} cannot be loaded by onnxruntime {onnxruntime.__version__} ({reason}): "
            "the file is damaged or needs a newer onnxruntime; export it again"
        ) from error
    used = session.get_providers()[0]
    if used != provider:
        raise DeviceError(
            f"device {device} was asked for, but {provider} of {_installed()} did not load and "
            f"onnxruntime chose {used}: CUDA, cuDNN or TensorRT is missing or of another version "
            "(idskit doctor says which); pip install 'onnxruntime-gpu[cuda,cudnn]', or use device "
            "cpu"
        )
    session.disable_fallback()  # an error later must not move the work to the CPU either
    return session


def preload_libraries() -> None:
    """Load CUDA and cuDNN from NVIDIA's Python packages, which the dynamic linker does not search.

    What is not there stays so: whether the provider loads is seen at the session. The function
    prints its failures; stdout is for data.
    """
    preload = getattr(onnxruntime, "preload_dlls", None)  # of onnxruntime 1.21 and newer
    if preload is not None:
        with redirect_stdout(StringIO()):
            preload()


def session_options(threads: int | None) -> onnxruntime.SessionOptions:
    """Session options: every graph optimisation, one operator at a time, ``threads`` inside it."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.inter_op_num_threads = 1
    # never 0: then onnxruntime counts the machine's cores, not those this process may use
    options.intra_op_num_threads = thread_count(threads)
    options.log_severity_level = _FATAL_ONLY
    # waiting threads sleep: on a gateway the capture and the router need the processors, and where
    # these are busy, threads that spin while they wait halve the speed
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # batches come in every size, and a remembered memory plan for each would never be freed
    options.enable_mem_pattern = False
    return options


def usable_processors() -> int:
    """Return how many processors this process may run on."""
    return len(os.sched_getaffinity(0))


def thread_count(threads: int | None) -> int:
    """Return how many threads to start: as many as asked for, else one for each usable processor.

    Raises:
        DeviceError: more than MAX_THREADS, which no processor here could run and which may take
            the machine down, or less than one.
    """
    if threads is None:
        return min(usable_processors(), MAX_THREADS)
    if not 1 <= threads <= MAX_THREADS:
        raise DeviceError(
            f"{threads} threads were asked for: choose 1 to {MAX_THREADS}; this process may use "
            f"{usable_processors()} processors"
        )
    return threads


def require_provider(device: str) -> str:
    """Return the name of the execution provider of ``device``.

    Raises:
        DeviceError: unknown device, or a provider that the installed onnxruntime lacks.
    """
    if device not in PROVIDERS:
        raise DeviceError(f"device {device!r} is not one of {', '.join(PROVIDERS)}: choose one")
    provider = PROVIDERS[device]
    if provider not in onnxruntime.get_available_providers():
        raise DeviceError(
            f"device {device} was asked for, but {_installed()} has no {provider}: "
            "pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxruntime-gpu, "
            "or use device cpu"
        )
    return provider


def installed_runtimes() -> dict[str, str]:
    """Version of each onnxruntime package that is installed."""
    found = {}
    for name in RUNTIMES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _installed() -> str:
    found = installed_runtimes()
    names = " and ".join(f"{name} {number}" for name, number in found.items())
    if len(found) > 1:
        return f"{names} (installed over each other)"
    return names or f"this build of onnxruntime {onnxruntime.__version__}"
