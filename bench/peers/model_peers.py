"""What a user would run instead: the weights of a training run in other exports and runtimes.

    plain torch    the network as it is written, its convolutions as convolutions, in eager torch
    plain fp32     torch.onnx's export of that, in onnxruntime
    plain int8     that file after onnxruntime's own static quantisation: what other tools make
    openvino fp32  the plain export in OpenVINO
    openvino int8  the same with the front end left in float, which OpenVINO cannot convert
    ncnn fp32      the network behind its front end, which ncnn cannot convert: a part of the work
    lightgbm       300 trees on the raw columns, fitted on the run's calibration rows

All are made in memory from the run's folder, on the CPU; a peer that is not installed is named.
"""

from __future__ import annotations

import copy
import hashlib
import io
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from idskit.bench.subject import Execution, ModelFacts, Rows, Subject
from idskit.detect.session import open_session, thread_count
from idskit.errors import MissingExtra, require
from idskit.machine.machine_facts import cpu_features
from idskit.machine.sensors import ROOT, read_text
from idskit.modelfile.model_file import INPUT, OUTPUT

OPSET = 17
TREES = 300
CALIBRATION_PARTS = 8
_FRONT_END = ("/preparation/", "/frontend/")  # as torch.onnx names its nodes
Infer = Callable[[Rows], object]


def open_peers(folder: Path, *, threads: int | None = None) -> tuple[list[Subject], list[str]]:
    """Make every peer of the run in ``folder`` that is installed.

    Returns:
        The peers, and a sentence for each one that is missing.

    Raises:
        RunError: not a finished run.
        MissingExtra: torch or onnx is not installed.
    """
    for module in ("torch", "onnx", "safetensors"):
        require(module, "export")
    from idskit.models.saved_run import load_run

    run = load_run(folder)
    fp32 = plain_onnx(run)
    int8 = plain_int8(fp32, run)
    body_int8 = plain_int8(fp32, run, front_end=False)
    makers: dict[str, tuple[str, Callable[[], Infer], bytes]] = {
        "plain torch": ("torch eager", lambda: _in_torch(run, threads), b""),
        "plain fp32": ("onnxruntime", lambda: _in_onnxruntime(fp32, threads), fp32),
        "plain int8": ("onnxruntime", lambda: _in_onnxruntime(int8, threads), int8),
        "openvino fp32": ("openvino", lambda: _in_openvino(fp32, threads), fp32),
        "openvino int8": ("openvino", lambda: _in_openvino(body_int8, threads), body_int8),
        "ncnn fp32": ("ncnn", lambda: _in_ncnn(run, threads), b""),
        "lightgbm": ("lightgbm", lambda: _in_lightgbm(run, threads), b""),
    }
    found, missing = [], []
    for name, (backend, make, content) in makers.items():
        start = time.perf_counter()
        try:
            infer = make()
        except MissingExtra as error:
            missing.append(f"{name} was not measured: {error}")
            continue
        except (RuntimeError, subprocess.CalledProcessError) as error:  # it is there, and refuses
            reason = str(error).strip().rpartition("\n")[2]
            missing.append(f"{name} was not measured: it refuses the network ({reason})")
            continue
        init_ms = (time.perf_counter() - start) * 1e3
        found.append(_subject(name, backend, infer, content, run, threads, init_ms))
    return found, missing


def plain_onnx(run: Any) -> bytes:
    """Export a run by torch.onnx, every convolution as one, as anyone would."""
    import torch

    rows = {0: "rows"}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own deprecation
        file = Path(folder, "plain.onnx")
        torch.onnx.export(
            _plain_network(run),
            (torch.from_numpy(run.calibration.flows[:2]),),
            file,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: rows, OUTPUT: rows},
            opset_version=OPSET,
            dynamo=False,
        )
        return file.read_bytes()


def plain_int8(fp32: bytes, run: Any, *, front_end: bool = True) -> bytes:
    """Quantise a plain export by onnxruntime's own tool: static QDQ, U8S8, per channel.

    On x86 without VNNI its 8-bit products saturate, so weights have 7 bits there, as its
    documentation asks for ("Quantize ONNX models", when to use reduce_range).
    """
    import onnx
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            parts = np.array_split(run.calibration.flows, CALIBRATION_PARTS)
            self.parts: Iterator[Rows] = iter(parts)

        def get_next(self) -> dict[str, Rows] | None:
            part = next(self.parts, None)
            return None if part is None else {INPUT: part}

    with tempfile.TemporaryDirectory() as folder:
        source, prepared, target = (Path(folder, name) for name in ("a.onnx", "b.onnx", "c.onnx"))
        source.write_bytes(fp32)
        quantization.quant_pre_process(source, prepared, skip_symbolic_shape=True)
        names = [node.name for node in onnx.load(prepared).graph.node]
        left_float = [] if front_end else [n for n in names if n.startswith(_FRONT_END)]
        quantization.quantize_static(
            prepared,
            target,
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            reduce_range=_saturates(),
            nodes_to_exclude=left_float,
        )
        return target.read_bytes()


def _saturates() -> bool:
    """Return whether this processor adds 8-bit products in 16 bits: x86 without VNNI."""
    return cpu_features(read_text(ROOT / "proc/cpuinfo") or "")["vnni"] is False


def _plain_network(run: Any) -> Any:
    from idskit.models.resnet import SmallConv2d

    network = copy.deepcopy(run.network)
    network.trees = None  # torch would walk them gather by gather: they are LightGBM's to measure
    for module in network.modules():
        if isinstance(module, SmallConv2d):
            module.dense = False
    return network.eval()


def _in_torch(run: Any, threads: int | None) -> Infer:
    import torch

    torch.set_num_threads(thread_count(threads))
    network = _plain_network(run)

    def infer(rows: Rows) -> object:
        with torch.inference_mode():
            return network(torch.from_numpy(rows)).numpy()

    return infer


def _in_onnxruntime(model: bytes, threads: int | None) -> Infer:
    session = open_session(model, Path("plain.onnx"), threads=threads)
    return lambda rows: session.run([OUTPUT], {INPUT: rows})[0]


def _in_openvino(model: bytes, threads: int | None) -> Infer:
    try:
        import openvino
    except ModuleNotFoundError as error:
        raise MissingExtra("OpenVINO is not installed: pip install openvino") from error
    core = openvino.Core()
    config = {"INFERENCE_NUM_THREADS": thread_count(threads)}
    compiled = core.compile_model(core.read_model(io.BytesIO(model)), "CPU", config)
    request = compiled.create_infer_request()
    return lambda rows: request.infer({0: rows})[0]


def _in_ncnn(run: Any, threads: int | None) -> Infer:
    """Return the body alone, on images that are there already; ncnn takes one at a time."""
    try:
        import ncnn
        import pnnx
    except ModuleNotFoundError as error:
        raise MissingExtra("ncnn is not installed: pip install ncnn pnnx") from error
    import torch

    network = _plain_network(run)
    height, width = network.frontend.size
    net = ncnn.Net()
    net.opt.num_threads = thread_count(threads)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pnnx reads what torch no longer recommends
        file = Path(folder, "body.pt")
        traced: Any = torch.jit.trace(  # type: ignore[no-untyped-call]
            network.body, torch.zeros(1, height, width)
        )
        traced.save(str(file))
        command = [pnnx.EXEC_PATH, str(file), f"inputshape=[1,{height},{width}]"]
        subprocess.run(command, capture_output=True, cwd=folder, check=True)
        net.load_param(str(file.with_suffix(".ncnn.param")))
        net.load_model(str(file.with_suffix(".ncnn.bin")))
    with torch.inference_mode():
        image = network.frontend(network.preparation(torch.from_numpy(run.held.flows[:1])))[0]
    one = ncnn.Mat(image.numpy().copy())

    def infer(rows: Rows) -> object:
        answers = []
        for _ in rows:
            with net.create_extractor() as extractor:
                extractor.input("in0", one)
                answers.append(np.array(extractor.extract("out0")[1]))
        return answers

    return infer


def _in_lightgbm(run: Any, threads: int | None) -> Infer:
    lightgbm = require("lightgbm", "train")
    jobs = thread_count(threads)
    model = lightgbm.LGBMClassifier(n_estimators=TREES, verbose=-1, n_jobs=jobs)
    model.fit(run.calibration.flows, run.calibration.labels)
    booster = model.booster_
    return lambda rows: booster.predict(rows, num_threads=jobs)


def _subject(
    name: str,
    backend: str,
    infer: Infer,
    content: bytes,
    run: Any,
    threads: int | None,
    init_ms: float,
) -> Subject:
    start = time.perf_counter()
    infer(run.held.flows[:1])
    first_ms = (time.perf_counter() - start) * 1e3
    return Subject(
        model=ModelFacts(
            name=name,
            sha256=hashlib.sha256(content).hexdigest(),
            precision="int8" if name.endswith("int8") else "fp32",
            opset=OPSET if content else None,
            bytes=len(content),
        ),
        execution=Execution(
            backend=backend,
            provider_asked="cpu",
            provider_used="cpu",
            threads=thread_count(threads),
        ),
        schema=run.schema,
        infer=infer,
        sample=run.held.flows,
        detector=None,
        accuracy=None,
        init_ms=init_ms,
        first_ms=first_ms,
    )
