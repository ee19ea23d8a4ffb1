"""Fixtures that every room of the tests shares."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from idskit.modelfile.model_file import MAX_GOLDEN, GoldenVectors, ModelCard
from idskit.schema import Feature, Schema

# Before torch and LightGBM load OpenMP: the tests run in parallel, and threads that wait for each
# other in a loop only keep the other worker from its processor.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Under nohup a hangup is ignored, and behind a shell's ampersand an interrupt, by every process
# that a test starts too.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
# A process may stand still for seconds on a busy machine: how long an example takes says nothing.
# Examples are the same each time: nobody's change fails by chance; `make fuzz` takes others.
settings.register_profile(
    "same", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("same")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of public data beside the checkout; tests that need it skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the data folder {SHARED.name}/ beside the checkout")
    return SHARED


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Compile what ``extract`` and ``detect`` need: a signal that comes meanwhile ends them."""
    sample = Path(__file__).resolve().parents[1] / "toolkit" / "shipped" / "sample.pcap"
    table = tmp_path_factory.mktemp("compiled") / "flows.csv"
    words = ["extract", "-r", str(sample), "-o", str(table)]
    subprocess.run([sys.executable, "-m", "idskit", *words], check=True, capture_output=True)


TOY_SCHEMA = Schema(
    name="toy",
    features=(
        Feature(name="duration", unit="us"),
        Feature(name="bytes", unit="bytes"),
        Feature(name="packets", unit="count"),
    ),
)
TOY_CLASSES = ("benign", "syn flood", "port scan")


@pytest.fixture
def make_model(tmp_path: Path) -> Callable[..., Path]:
    """Write a tiny model file: probabilities = softmax(flows @ weights).

    ``weights`` (features, classes) decides what it says; ``metadata`` replaces or, as None,
    removes single entries of the card; ``card=False`` leaves all of them out.
    """
    onnx = pytest.importorskip("onnx")

    def make(
        name: str = "toy.onnx",
        *,
        schema: Schema = TOY_SCHEMA,
        classes: tuple[str, ...] = TOY_CLASSES,
        threshold: float = 0.5,
        weights: Any = None,
        golden: Any = None,
        facts: dict[str, Any] | None = None,
        card: bool = True,
        metadata: dict[str, str | None] | None = None,
        shapes: tuple[Any, Any] | None = None,
        names: tuple[str, str] = ("flows", "probabilities"),
        opset: int = 17,
    ) -> Path:
        size = len(schema), len(classes)
        matrix = np.eye(*size) if weights is None else np.asarray(weights)
        matrix = matrix.astype(np.float32)
        golden = np.eye(len(schema))[:MAX_GOLDEN] if golden is None else np.asarray(golden)
        logits = golden.astype(np.float32) @ matrix
        powers = np.exp(logits - logits.max(axis=1, keepdims=True, initial=0))
        made = ModelCard(
            schema=schema,
            classes=classes,
            threshold=threshold,
            facts={} if facts is None else facts,
            golden=GoldenVectors(
                flows=golden.astype(np.float32),
                probabilities=(powers / powers.sum(axis=1, keepdims=True)).astype(np.float32),
                tolerance=1e-5,
            ),
        )
        into, out = names
        shape_in, shape_out = shapes or (["n", size[0]], ["n", size[1]])
        graph = onnx.helper.make_graph(
            [
                onnx.helper.make_node("MatMul", [into, "weights"], ["logits"]),
                onnx.helper.make_node("Softmax", ["logits"], [out], axis=1),
            ],
            "toy",
            [onnx.helper.make_tensor_value_info(into, onnx.TensorProto.FLOAT, shape_in)],
            [onnx.helper.make_tensor_value_info(out, onnx.TensorProto.FLOAT, shape_out)],
            [onnx.numpy_helper.from_array(matrix, "weights")],
        )
        model = onnx.helper.make_model(
            graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=8
        )
        strings = (made.to_metadata() if card else {}) | (metadata or {})
        kept = {key: value for key, value in strings.items() if value is not None}
        onnx.helper.set_model_props(model, kept)
        path = tmp_path / name
        path.write_bytes(model.SerializeToString())
        return path

    return make
