"""Static int8: ranges, weights, and the recipe of each target."""

from __future__ import annotations

import collections

import numpy as np
import onnxruntime
import pytest
from onnx.reference import ReferenceEvaluator
from onnx.version_converter import convert_version

from idskit.errors import IdskitError
from idskit.export.lower.lower_model import lower
from idskit.export.precision.quantize import calibrate, quantize
from idskit.export.target import TARGETS, target_named
from idskit.export.verify import run_onnx


@pytest.fixture(scope="module")
def floats(run):
    return lower(run.network)


@pytest.fixture(scope="module")
def ranges(run, floats):
    return calibrate(floats, run.calibration.flows)


def test_ranges_are_those_of_the_values_seen(run, floats, ranges):
    name = "image"
    session = onnxruntime.InferenceSession(floats.model(watch=(name,)).SerializeToString())
    values = session.run([name], {"flows": run.calibration.flows})[0]
    width = float(np.ptp(values)) / 4096
    assert ranges[name].low == pytest.approx(values.min(), abs=2 * width)
    assert ranges[name].high == pytest.approx(values.max(), abs=2 * width)


def test_batches_of_calibration_give_the_same_ranges(run, floats, ranges, monkeypatch):
    monkeypatch.setattr("idskit.export.precision.quantize.CALIBRATION_BATCH", 7)
    again = calibrate(floats, run.calibration.flows)
    for name, found in ranges.items():
        assert again[name].low == pytest.approx(found.low, rel=1e-4, abs=1e-4)
        assert again[name].high == pytest.approx(found.high, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("target", TARGETS)
def test_int8_stays_close_to_fp32_for_every_target(run, floats, ranges, target):
    integers = quantize(run.network, ranges, target_named(target))
    before, after = (
        run_onnx(floats.model(), run.held.flows),
        run_onnx(integers.model(), run.held.flows),
    )
    assert np.abs(before - after).mean() < 0.02
    assert (before.argmax(1) == after.argmax(1)).mean() > 0.97


def products_of(floats):
    """Return the layers that multiply by a matrix of weights."""
    return [name for name in floats.layers if f"{name}.weight" in floats.constants]


@pytest.mark.parametrize(("target", "limit"), [("x86-64", 63), ("x86-64-vnni", 127)])
def test_weights_keep_to_the_targets_range(run, floats, ranges, target, limit):
    constants = quantize(run.network, ranges, target_named(target)).constants
    weights = [a for name, a in constants.items() if name.endswith("weight.integers")]
    assert len(weights) == len(products_of(floats))
    assert max(int(np.abs(w.astype(int)).max()) for w in weights) == limit


def test_weights_round_to_the_nearest_step(run, floats, ranges):
    constants = quantize(run.network, ranges, target_named("x86-64-vnni")).constants
    scale = constants["block7.conv1.weight.scale"]
    restored = constants["block7.conv1.weight.integers"][:, :, 0, 0].T * scale
    error = np.abs(restored - floats.constants["block7.conv1.weight"])
    assert (error <= scale * 0.501).all()


def test_a_convolution_over_rows_is_the_dense_matrix(run, floats, ranges):
    """Each row of maps times the taps that reach it, against the matrix that pads nothing."""
    constants = quantize(run.network, ranges, target_named("x86-64-vnni")).constants
    kernel = constants["block0.conv1.weight.integers"][:, :, 0].transpose(2, 1, 0)  # (3, in, out)
    kernel = kernel * constants["block0.conv1.weight.scale"]
    dense = floats.constants["block0.conv1.weight"]
    rows = len(dense) // kernel.shape[1]
    blocks = dense.reshape(rows, kernel.shape[1], rows, kernel.shape[2])
    for source in range(rows):
        for made in range(rows):
            tap = source - made + 1
            expected = kernel[tap] if 0 <= tap < 3 else np.zeros(kernel.shape[1:])
            atol = constants["block0.conv1.weight.scale"].max() * 0.501
            np.testing.assert_allclose(blocks[source, :, made], expected, atol=atol)


@pytest.mark.parametrize("made", ["block0.conv2", "block0.conv1.relu", "block7.conv2"])
def test_rounding_of_weights_does_not_move_the_mean_output(run, floats, ranges, made):
    """The oracle is the float graph's mean over the calibration rows."""
    name = made.removesuffix(".relu")
    chosen = quantize(run.network, ranges, target_named("x86-64"), {name})
    seen = []
    for graph, watched in ((floats, made), (chosen, f"{made}.dequantized")):
        model = graph.model(watch=(watched,)).SerializeToString()
        session = onnxruntime.InferenceSession(model)
        seen.append(session.run([watched], {"flows": run.calibration.flows})[0])
    before, after = (value.reshape(len(run.calibration.flows), -1) for value in seen)
    channels = 8 if name.startswith("block0") else before.shape[1]
    moved = (after - before).reshape(-1, channels).mean(axis=0)
    assert np.abs(moved).max() < 0.5 * float(chosen.constants[f"{made}.scale"])


@pytest.mark.parametrize("target", ["x86-64", "x86-64-vnni", "arm64"])
def test_nothing_is_converted_between_the_image_and_the_logits(run, ranges, target):
    graph = quantize(run.network, ranges, target_named(target))
    kinds = collections.Counter(node.op_type for node in graph.nodes)
    assert kinds["QuantizeLinear"] == 1
    assert kinds["DequantizeLinear"] == 0
    assert kinds["Gemm"] == 3  # category codes, signals and DCT
    assert kinds["Conv"] == 2  # DFT and mel bank


def test_pairs_need_no_operator_of_onnxruntimes_own(run, floats, ranges):
    """The oracle is onnx's reference implementation, which knows ONNX's operators alone."""
    pairs = quantize(run.network, ranges, target_named("x86-64"), qdq=True).model()
    assert [opset.domain for opset in pairs.opset_import] == [""]
    rows = run.held.flows[::10]
    newer = convert_version(pairs, 19)  # it has no older DequantizeLinear
    expected = ReferenceEvaluator(newer).run(None, {"flows": rows})[0]
    found = run_onnx(pairs, rows)
    assert (found.argmax(1) == expected.argmax(1)).mean() > 0.95  # a tie of roundings may fall
    assert np.abs(found - expected).mean() < 5e-3
    assert np.abs(found - run_onnx(floats.model(), rows)).mean() < 0.02


def test_pairs_hold_every_product_of_the_network_in_bytes(run, floats, ranges):
    graph = quantize(run.network, ranges, target_named("x86-64"), qdq=True)
    made = {node.output[0]: node for node in graph.nodes}
    for name in products_of(floats):
        values, weight, bias = (made[source] for source in made[name].input)
        values = made.get(values.input[0]) if values.op_type == "Reshape" else values
        kinds = {node.op_type for node in (values, weight, bias)}
        assert kinds == {"DequantizeLinear"}, name
        assert graph.constants[weight.input[0]].dtype == np.int8


def test_a_layer_left_out_of_the_pairs_is_in_float(run, ranges):
    chosen = quantize(run.network, ranges, target_named("x86-64"), {"logits"}, qdq=True)
    integers = [n for n, a in chosen.constants.items() if a.dtype == np.int8 and a.ndim == 2]
    assert integers == ["logits.weight.integers"]


def test_unknown_target_names_the_known_ones():
    with pytest.raises(IdskitError, match=r"'z80' is not known.*x86-64.*rpi5"):
        target_named("z80")


@pytest.mark.parametrize(
    ("machine", "cpuinfo", "expected"),
    [
        ("aarch64", "", "arm64"),
        ("x86_64", "flags: avx2 avx512_vnni", "x86-64-vnni"),
        ("x86_64", "flags: avx2", "x86-64-avx2"),
    ],
)
def test_auto_reads_the_machine(monkeypatch, machine, cpuinfo, expected):
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr("pathlib.Path.exists", lambda self: True)
    monkeypatch.setattr("pathlib.Path.read_text", lambda self, **_: cpuinfo)
    assert target_named("auto").name == expected
