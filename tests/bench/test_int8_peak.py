"""The int8 product and the count of multiply-adds, against numpy and counts by hand."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from idskit.bench import int8_peak as ceiling
from idskit.bench.int8_peak import count_macs, int8_rate, product_model
from idskit.bench.measure import Plan

onnx = pytest.importorskip("onnx")


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
def test_the_hand_written_file_multiplies(kind) -> None:
    random = np.random.default_rng(0)
    left = random.integers(0, 100, (3, 300)).astype(kind)
    right = random.integers(-100, 100, (300, 5)).astype(np.int8)
    content = product_model(left.dtype, right)
    onnx.checker.check_model(onnx.load_from_string(content), full_check=True)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (product,) = session.run(None, {"left": left})
    np.testing.assert_array_equal(product, left.astype(int) @ right.astype(int))


def test_products_of_a_model_are_counted(make_model) -> None:
    assert count_macs(make_model().read_bytes(), np.zeros((4, 3), np.float32)) == 3 * 3


def test_convolutions_are_counted() -> None:
    weights = np.ones((6, 2, 3, 3), np.float32)
    helper = onnx.helper
    graph = helper.make_graph(
        [
            helper.make_node("Reshape", ["flows", "shape"], ["image"]),
            helper.make_node("Conv", ["image", "weights"], ["probabilities"], group=2),
        ],
        "toy",
        [helper.make_tensor_value_info("flows", onnx.TensorProto.FLOAT, ["n", 100])],
        [helper.make_tensor_value_info("probabilities", onnx.TensorProto.FLOAT, None)],
        [
            onnx.numpy_helper.from_array(weights, "weights"),
            onnx.numpy_helper.from_array(np.array([-1, 4, 5, 5]), "shape"),
        ],
    )
    opset = helper.make_opsetid("", 17)
    content = helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()
    by_hand = 6 * 3 * 3 * (2 * 3 * 3)  # places of the output, channels of a group, taps
    assert count_macs(content, np.zeros((2, 100), np.float32)) == by_hand


def test_the_faster_kind_of_product_is_the_machines(monkeypatch, make_model) -> None:
    monkeypatch.setattr(ceiling, "SIZE", 64)
    monkeypatch.setattr(ceiling, "PLAN", Plan(rounds=3, round_s=0.001, warmup_s=0.0))
    content = make_model().read_bytes()
    rate = int8_rate({"sha": content}, np.zeros((1, 3), np.float32), threads=1)
    assert rate.types in {"U8S8", "S8S8"}
    assert rate.gmac_per_s.min > 0
    assert (rate.threads, rate.macs_per_flow) == (1, {"sha": 9})
