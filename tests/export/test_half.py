"""fp16 for CUDA, checked where every machine can: onnxruntime's CPU runs it through casts."""

from __future__ import annotations

import collections

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from idskit.detect.detector import Detector
from idskit.detect.inspect_model import inspect
from idskit.errors import GateRefused, IdskitError
from idskit.export import export
from idskit.export.lower.lower_model import lower
from idskit.export.precision.fp16 import halve
from idskit.export.verify import TOLERANCE, run_onnx


@pytest.fixture(scope="module")
def exported(run_folder, tmp_path_factory):
    file = tmp_path_factory.mktemp("half") / "model.onnx"
    return file, export(run_folder, file, quantize="fp16", target="cuda")


def test_fp16_stays_close_to_fp32(run, exported):
    flows = run.held.flows
    found = Detector.load(exported[0]).probabilities(flows)
    np.testing.assert_allclose(
        found, run_onnx(lower(run.network).model(), flows), atol=TOLERANCE["fp16"]
    )
    assert exported[1].precision.against_fp32.same_class > 0.99


def test_every_product_of_the_network_is_in_halves_and_the_front_end_is_not(run):
    floats = lower(run.network)
    halved = halve(floats).model()
    onnx.checker.check_model(halved, full_check=True)
    kinds = {t.name: numpy_helper.to_array(t).dtype for t in halved.graph.initializer}
    for node in floats.nodes:
        if node.op_type in ("Gemm", "Conv"):
            front_end = node.name in ("codes", "signals", "spectrum", "mel", "image")
            assert kinds[node.input[1]] == (np.float32 if front_end else np.float16), node.name
    added = collections.Counter(n.op_type for n in halved.graph.node)
    added -= collections.Counter(n.op_type for n in floats.nodes)
    assert added == {"Cast": 2}


def test_the_file_is_smaller_and_says_what_it_is(exported):
    file, report = exported
    assert file.stat().st_size < 0.75 * report.bytes_fp32
    found = inspect(file, verify=True)
    assert found.verification.passed
    assert found.graph.precision == "fp16"
    assert (found.card.facts["precision"], found.card.facts["target"]) == ("fp16", "cuda")


def test_same_run_gives_the_same_bytes(run_folder, exported, tmp_path):
    again = tmp_path / "again.onnx"
    export(run_folder, again, quantize="fp16", target="cuda")
    assert again.read_bytes() == exported[0].read_bytes()


def test_what_reads_raw_values_beside_the_network_stays_in_fp32(run):
    """A branch whose values pass the largest half, added to the logits."""
    floats = lower(run.network)
    softmax = floats.nodes.pop()
    floats.gemm("clipped", np.full((22, 3), 1e6), None, "branch")
    floats.node("Add", [softmax.input[0], "branch"], "sum")
    floats.node("Softmax", ["sum"], "probabilities", axis=1)
    halved = halve(floats).model()
    kinds = {t.name: numpy_helper.to_array(t).dtype for t in halved.graph.initializer}
    assert kinds["branch.weight"] == np.float32
    assert np.isfinite(run_onnx(halved, run.held.flows)).all()


@pytest.mark.parametrize(
    ("quantize", "target", "sentence"),
    [
        ("fp16", "x86-64-vnni", "slower than fp32: choose --quantize int8, or a target of jetson"),
        ("fp16", "rpi5", "slower than fp32"),
        ("int8", "cuda", "slower than fp32: choose --quantize fp16, or a target of x86-64"),
    ],
)
def test_a_precision_that_only_costs_is_refused(run_folder, tmp_path, quantize, target, sentence):
    with pytest.raises(IdskitError, match=sentence):
        export(run_folder, tmp_path / "model.onnx", quantize=quantize, target=target)
    assert not list(tmp_path.iterdir())


def test_overflow_is_refused(run_folder, tmp_path, monkeypatch):
    def overflowing(graph):
        halved = halve(graph)
        halved.constants["stem.weight"] = halved.constants["stem.weight"] * np.float16(6e4)
        return halved

    monkeypatch.setattr("idskit.export.precision.reduce_precision.halve", overflowing)
    with np.errstate(over="ignore"), pytest.raises(GateRefused, match=r"no number|loses more"):
        export(run_folder, tmp_path / "model.onnx", quantize="fp16", target="cuda")
    assert not list(tmp_path.iterdir())
