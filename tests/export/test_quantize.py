"""Static int8: ranges, weights, and the recipe of each target."""

from __future__ import annotations

import collections

import numpy as np
import onnx
import onnxruntime
import pytest

from idskit.errors import IdskitError
from idskit.export.lower import lower
from idskit.export.quantize import calibrate, products, quantize
from idskit.export.target import TARGETS, target_named
from idskit.export.verify import run_onnx


@pytest.fixture(scope="module")
def floats(run):
    return lower(run.network)


@pytest.fixture(scope="module")
def ranges(run, floats):
    return calibrate(floats, run.calibration.flows)


def test_ranges_are_those_of_the_values_seen(run, floats, ranges):
    name = products(floats)[0].input[0]
    session = onnxruntime.InferenceSession(floats.model(watch=(name,)).SerializeToString())
    values = session.run([name], {"flows": run.calibration.flows})[0]
    width = float(np.ptp(values)) / 4096
    assert ranges[name].low == pytest.approx(values.min(), abs=2 * width)
    assert ranges[name].high == pytest.approx(values.max(), abs=2 * width)


def test_batches_of_calibration_give_the_same_ranges(run, floats, ranges, monkeypatch):
    monkeypatch.setattr("idskit.export.quantize.CALIBRATION_BATCH", 7)
    again = calibrate(floats, run.calibration.flows)
    for name, found in ranges.items():
        assert again[name].low == pytest.approx(found.low, rel=1e-4, abs=1e-4)
        assert again[name].high == pytest.approx(found.high, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("target", TARGETS)
def test_int8_stays_close_to_fp32_for_every_target(run, floats, ranges, target):
    integers = quantize(floats, ranges, target_named(target))
    before, after = (
        run_onnx(floats.model(), run.held.flows),
        run_onnx(integers.model(), run.held.flows),
    )
    assert np.abs(before - after).mean() < 0.02
    assert (before.argmax(1) == after.argmax(1)).mean() > 0.97


@pytest.mark.parametrize(("target", "limit"), [("x86-64", 63), ("x86-64-vnni", 127)])
def test_weights_keep_to_the_targets_range(floats, ranges, target, limit):
    constants = quantize(floats, ranges, target_named(target)).constants
    weights = [a for name, a in constants.items() if name.endswith("weight.integers")]
    assert len(weights) == len(products(floats))
    assert max(int(np.abs(w.astype(int)).max()) for w in weights) == limit


def test_weights_round_to_the_nearest_step(floats, ranges):
    name = products(floats)[0].input[1]
    constants = quantize(floats, ranges, target_named("x86-64-vnni")).constants
    restored = constants[f"{name}.integers"] * constants[f"{name}.scale"]
    error = np.abs(restored - floats.constants[name])
    assert (error <= constants[f"{name}.scale"] * 0.501).all()


@pytest.mark.parametrize("place", [0, -1])
def test_rounding_of_weights_does_not_move_the_mean_output(run, floats, ranges, place):
    """The oracle is the float graph's mean over the calibration rows."""
    product = products(floats)[place]
    source, weight, bias = product.input
    model = floats.model(watch=(source, product.output[0])).SerializeToString()
    session = onnxruntime.InferenceSession(model)
    seen, expected = session.run([source, product.output[0]], {"flows": run.calibration.flows})
    constants = quantize(floats, ranges, target_named("x86-64")).constants
    restored = constants[f"{weight}.integers"] * constants[f"{weight}.scale"].astype(np.float64)
    scale = constants[f"{bias}.scale"]
    mean = (seen @ restored + constants[f"{bias}.integers"] * scale).mean(axis=0)
    assert (np.abs(mean - expected.mean(axis=0)) <= scale + 1e-4).all()
    uncorrected = (seen @ restored + floats.constants[bias]).mean(axis=0)
    assert np.abs(uncorrected - expected.mean(axis=0)).max() > 1e-3, "nothing to correct"


@pytest.mark.parametrize("target", ["x86-64", "x86-64-vnni"])
def test_onnxruntime_runs_every_product_in_integers(floats, ranges, tmp_path, target):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(tmp_path / "fused.onnx")
    model = quantize(floats, ranges, target_named(target)).model()
    onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    kinds = collections.Counter(n.op_type for n in onnx.load(tmp_path / "fused.onnx").graph.node)
    assert kinds["QGemm"] == len(products(floats))


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
