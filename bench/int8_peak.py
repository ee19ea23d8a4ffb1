"""How much of the machine a model uses: its multiply-adds compared with the fastest int8 product.

The machine's rate is that of MatMulInteger of two 1024 x 1024 matrices in the same onnxruntime, on
as many threads: no model made of int8 matrix products can be faster.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnxruntime

from idskit.bench.measure import Plan, Spread, measure
from idskit.bench.onnx_profile import CPU, node_shapes
from idskit.bench.result import Int8Rate
from idskit.bench.subject import Rows
from idskit.detect.session import session_options, thread_count
from idskit.modelfile.onnx_file import INT8, INT32, UINT8, Node, OnnxFile, Port, Tensor

SIZE = 1024
PLAN = Plan(rounds=5, round_s=0.1, warmup_s=0.1)
_TYPES = {"U8S8": np.uint8, "S8S8": np.int8}  # of the left matrix; the right one is int8
_OPSET, _IR = 17, 8


def int8_rate(contents: Mapping[str, bytes], sample: Rows, *, threads: int | None) -> Int8Rate:
    """Measure the machine's int8 rate, and count the multiply-adds of each model file.

    Args:
        contents: ONNX files by their SHA-256.
        sample: (n, features) float32 rows that the files take.
        threads: of one product; None for all usable processors.
    """
    timings = measure({types: product_call(types, threads) for types in _TYPES}, PLAN)
    rates = {
        types: Spread.of([rate * SIZE**3 / 1e9 for rate in timing.per_second(1).values])
        for types, timing in timings.items()
    }
    best = max(rates, key=lambda types: rates[types].median)
    return Int8Rate(
        gmac_per_s=rates[best],
        types=best,
        threads=thread_count(threads),
        macs_per_flow={sha256: count_macs(file, sample) for sha256, file in contents.items()},
    )


def count_macs(content: bytes, sample: Rows) -> int:
    """Count the multiply-adds of matrix products and convolutions for one flow.

    onnxruntime runs the graph once as it is written, and its profile states every shape; so the
    count holds for any ONNX file, lowered or not.
    """
    return sum(map(_macs_of, node_shapes(content, sample)))


def _macs_of(node: Mapping[str, Any]) -> int:
    """Count the multiply-adds of one node: output elements times the products summed in each."""
    shapes = [next(iter(tensor.values())) for tensor in node["input_type_shape"]]
    out = math.prod(next(iter(node["output_type_shape"][0].values())))
    kind = node["op_name"]
    if "MatMul" in kind or "Gemm" in kind:  # whatever onnxruntime fused with it
        return int(out * shapes[0][-1])
    if kind in {"Conv", "FusedConv", "ConvInteger", "QLinearConv"}:
        weights = shapes[3] if kind == "QLinearConv" else shapes[1]
        return int(out * math.prod(weights[1:]))
    return 0


def product_call(types: str, threads: int | None) -> Callable[[], object]:
    """Return a call that multiplies two matrices of random int8 numbers."""
    random = np.random.default_rng(0)
    left = random.integers(0, 100, (SIZE, SIZE)).astype(_TYPES[types])
    right = random.integers(-100, 100, (SIZE, SIZE)).astype(np.int8)
    session = onnxruntime.InferenceSession(
        product_model(left.dtype, right),
        session_options(threads),
        providers=[CPU],
    )
    return lambda: session.run(None, {"left": left})


def product_model(left: np.dtype[Any], right: np.ndarray[Any, np.dtype[np.int8]]) -> bytes:
    """Write an ONNX file of one MatMulInteger by the constant ``right`` (rows, columns) int8."""
    rows, columns = right.shape
    return OnnxFile(
        ir_version=_IR,
        opsets={"": _OPSET},
        name="product",
        nodes=(
            Node(
                kind="MatMulInteger",
                inputs=("left", "right"),
                outputs=("product",),
                attributes={},
            ),
        ),
        tensors={"right": Tensor.of("right", right)},
        inputs=(Port(name="left", type=_ELEMENTS[left.name], shape=("rows", rows)),),
        outputs=(Port(name="product", type=INT32, shape=("rows", columns)),),
        metadata={},
    ).to_bytes()


_ELEMENTS = {"uint8": UINT8, "int8": INT8}
