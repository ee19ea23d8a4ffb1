"""What a user would run instead: the same weights through other exports and runtimes.

    plain fp32    torch.onnx's export of the network as it is written, in onnxruntime
    plain int8    that file after onnxruntime's own static quantisation, what other tools make
    openvino      the plain int8 file in OpenVINO
    torch eager   the network in torch, convolutions as convolutions
    lightgbm      300 trees on the raw columns, fitted on the run's calibration rows

Everything is made from a training run in memory; nothing is kept.
"""

from __future__ import annotations

import copy
import io
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idskit.detect.model_file import INPUT, OUTPUT
from idskit.detect.session import session_options
from idskit.errors import MissingExtra, require
from idskit.training.run import Run

Rows = NDArray[np.float32]
Infer = Callable[[Rows], object]
TREES = 300


def plain_network(run: Run) -> Any:
    """The run's network with every convolution run as one, as anyone would write it."""
    from idskit.models.resnet import SmallConv2d

    network = copy.deepcopy(run.network)
    for module in network.modules():
        if isinstance(module, SmallConv2d):
            module.dense = False
    return network.eval()


def plain_onnx(run: Run) -> bytes:
    """torch.onnx's export, unchanged."""
    torch = require("torch", "export")
    buffer = io.BytesIO()
    example = torch.from_numpy(run.calibration.flows[:2])
    rows = {0: "rows"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own deprecation
        torch.onnx.export(
            plain_network(run),
            (example,),
            buffer,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: rows, OUTPUT: rows},
            opset_version=17,
            dynamo=False,
        )
    return buffer.getvalue()


def plain_int8(fp32: bytes, run: Run) -> bytes:
    """onnxruntime's static quantisation (QDQ, U8S8, per channel) of a plain export."""
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.parts: Iterator[Rows] = iter(np.array_split(run.calibration.flows, 8))

        def get_next(self) -> dict[str, Rows] | None:
            part = next(self.parts, None)
            return None if part is None else {INPUT: part}

    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "fp32.onnx"), Path(folder, "int8.onnx")
        prepared = Path(folder, "prepared.onnx")
        source.write_bytes(fp32)
        quantization.quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantization.quantize_static(
            prepared,
            target,
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
        )
        return target.read_bytes()


def in_onnxruntime(model: bytes, threads: int | None) -> Infer:
    """Run a model in onnxruntime on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(
        model, session_options(threads), providers=["CPUExecutionProvider"]
    )
    return lambda rows: session.run([OUTPUT], {INPUT: rows})[0]


def in_openvino(model: bytes, threads: int | None) -> Infer:
    """Run a model in OpenVINO on the CPU.

    Raises:
        MissingExtra: OpenVINO is not installed.
    """
    try:
        import openvino
    except ModuleNotFoundError as error:
        raise MissingExtra("OpenVINO is not installed: pip install openvino") from error
    core = openvino.Core()
    config: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads or 0}
    compiled = core.compile_model(core.read_model(io.BytesIO(model)), "CPU", config)
    request = compiled.create_infer_request()
    return lambda rows: request.infer({0: rows})[0]


def in_torch(run: Run, threads: int | None) -> Infer:
    """Run the network as written in eager torch on the CPU."""
    torch = require("torch", "train")
    if threads:
        torch.set_num_threads(threads)
    network = plain_network(run)

    def infer(rows: Rows) -> object:
        with torch.inference_mode():
            return network(torch.from_numpy(rows)).numpy()

    return infer


def in_lightgbm(run: Run, threads: int | None) -> Infer:
    """Predict with LightGBM on the raw columns."""
    lightgbm = require("lightgbm", "train")
    model = lightgbm.LGBMClassifier(n_estimators=TREES, verbose=-1, n_jobs=threads or -1)
    model.fit(run.calibration.flows, run.calibration.labels)
    booster = model.booster_
    return lambda rows: booster.predict(rows, num_threads=threads or 0)
