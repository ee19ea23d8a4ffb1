"""The gate: what may fall, what is left in float for it, and what it says when it refuses."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import onnx
import pytest

from idskit.detect.detector import Detector
from idskit.detect.inspect_model import inspect
from idskit.errors import GateRefused
from idskit.export import export
from idskit.export.gate import falls
from idskit.export.lower.lower_model import lower
from idskit.export.precision.quantize import calibrate, quantize
from idskit.export.precision.reduce_precision import layer_costs
from idskit.export.target import target_named
from idskit.export.verify import Agreement, run_onnx

SAME = Agreement(
    rows=1000,
    max_difference=0.0,
    macro_f1_before=0.9,
    macro_f1_after=0.9,
    same_class=1.0,
    same_verdict=1.0,
    roc_auc_before=0.95,
    roc_auc_after=0.95,
    true_positive_rate_before=0.8,
    true_positive_rate_after=0.8,
    worst_class="scan",
    worst_class_f1_before=0.7,
    worst_class_f1_drop=0.0,
)


def spoil(monkeypatch, names=None) -> None:
    """Make calibration of the named values, or all, useless."""

    def narrow(graph, flows):
        spoiled = set(graph.ranged) if names is None else names
        return {
            name: replace(found, low=found.low / 200, high=found.high / 200)
            if name in spoiled
            else found
            for name, found in calibrate(graph, flows).items()
        }

    monkeypatch.setattr("idskit.export.precision.reduce_precision.calibrate", narrow)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"macro_f1_after": 0.894}, "macro-F1 90.00 to 89.40 (0.60 points, 0.5 allowed)"),
        ({"roc_auc_after": 0.944}, "ROC AUC 95.00 to 94.40 (0.60 points, 0.5 allowed)"),
        (
            {"true_positive_rate_after": 0.77},
            "attacks found at the threshold 80.00 to 77.00 (3.00 points, 2 allowed)",
        ),
        (
            {"same_verdict": 0.97},
            "rows with the same verdict 100.00 to 97.00 (3.00 points, 2 allowed)",
        ),
        (
            {"worst_class_f1_drop": 0.06},
            "F1 of class 'scan' 70.00 to 64.00 (6.00 points, 5 allowed)",
        ),
    ],
)
def test_each_measure_can_fall_alone(change, sentence):
    assert [str(fall) for fall in falls(replace(SAME, **change), 0.5)] == [sentence]


def test_what_stays_or_rises_has_not_fallen():
    better = replace(SAME, macro_f1_after=0.99, roc_auc_after=0.99, worst_class_f1_drop=-0.1)
    assert falls(SAME, 0.0) == falls(better, 0.0) == ()


def test_what_is_no_number_has_fallen():
    assert len(falls(replace(SAME, macro_f1_after=float("nan")), 0.5)) == 1


@pytest.fixture(scope="module")
def left_in_float(run_folder, tmp_path_factory):
    """File and report of an export whose first layer would cost too much."""
    file = tmp_path_factory.mktemp("left") / "model.onnx"
    with pytest.MonkeyPatch.context() as patch:
        spoil(patch, {"image"})
        return file, export(run_folder, file, quantize="int8", target="x86-64", max_drop=3)


def test_the_layer_that_costs_is_left_in_float(left_in_float):
    file, report = left_in_float
    assert report.precision.left_float == ("stem",)
    assert report.precision.layer_costs[0].layer == "stem"
    assert "stem" in report.float_products
    assert "block0.conv2" in report.int8_products
    assert report.precision.against_fp32.drop_points <= 3
    assert inspect(file, verify=True).verification.passed
    weights = {tensor.name for tensor in onnx.load(file).graph.initializer}
    assert "stem.weight" in weights
    assert "block0.conv2.weight.integers" in weights
    assert Detector.load(file).card.facts["export"]["left_float"] == ["stem"]


def test_leaving_layers_in_float_is_byte_stable(left_in_float, run_folder, tmp_path, monkeypatch):
    spoil(monkeypatch, {"image"})
    again = tmp_path / "again.onnx"
    export(run_folder, again, quantize="int8", target="x86-64", max_drop=3)
    assert again.read_bytes() == left_in_float[0].read_bytes()


def test_no_layer_is_measured_when_the_gate_is_content(run_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("idskit.export.precision.reduce_precision.layer_costs", None)
    report = export(
        run_folder, tmp_path / "m.onnx", quantize="int8", target="x86-64", max_drop=5, dry_run=True
    )
    assert report.precision.layer_costs == report.precision.left_float == ()


def test_cost_of_a_layer_is_what_it_moves_alone(run, monkeypatch):
    monkeypatch.setattr("idskit.export.precision.reduce_precision.COST_ROWS", 100)
    floats, target = lower(run.network), target_named("x86-64")
    ranges, flows = calibrate(floats, run.calibration.flows), run.held.flows
    costs = layer_costs(partial(quantize, run.network, ranges, target), floats, flows)
    assert {cost.layer for cost in costs} == set(floats.layers)
    assert [c.difference for c in costs] == sorted((c.difference for c in costs), reverse=True)
    rows = flows[::3]
    alone = run_onnx(quantize(run.network, ranges, target, {costs[0].layer}).model(), rows)
    moved = np.abs(alone - run_onnx(floats.model(), rows)).sum(axis=1) / 2
    assert costs[0].difference == pytest.approx(moved.mean(), rel=1e-6)


def test_the_gate_refuses_and_writes_nothing(run_folder, tmp_path, monkeypatch):
    spoil(monkeypatch)
    with pytest.raises(GateRefused) as refusal:
        export(run_folder, tmp_path / "m.onnx", quantize="int8", target="x86-64", max_drop=0.1)
    said = str(refusal.value)
    assert "int8 loses more than --max-drop 0.1 allows on 300 held rows: macro-F1 " in said
    assert "the layers that move probabilities most are " in said
    assert "\n" not in said
    assert refusal.value.exit_code == 3
    assert not list(tmp_path.iterdir())
