"""The exported file as its user meets it, and everything that must stop an export."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import onnx
import onnxruntime
import pytest
from sklearn.metrics import f1_score

from idskit.detect.detector import Detector
from idskit.errors import DataError, GateRefused, IdskitError, RunError
from idskit.export import export
from idskit.export.quantize import Range, calibrate
from idskit.export.verify import compare, run_torch
from idskit.training.run import LabelledRows, save_run


@pytest.fixture(scope="module")
def exported(run_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    files = {name: folder / f"{name}.onnx" for name in ("none", "int8")}
    reports = {
        name: export(run_folder, file, quantize=name, target="x86-64", max_drop=5)
        for name, file in files.items()
    }
    return files, reports


def test_onnxruntime_alone_gives_torchs_probabilities(run, exported):
    session = onnxruntime.InferenceSession(exported[0]["none"])
    got = session.run(["probabilities"], {"flows": run.held.flows})[0]
    np.testing.assert_allclose(got, run_torch(run.network, run.held.flows), atol=1e-4)


@pytest.mark.parametrize("quantize", ["none", "int8"])
def test_file_carries_its_card(run, exported, quantize):
    card = Detector.load(exported[0][quantize]).card
    assert card.schema == run.schema
    assert card.classes == run.classes
    assert card.threshold == run.threshold
    assert card.facts["dataset"] == "toy"
    assert card.facts["precision"] == {"none": "fp32", "int8": "int8"}[quantize]


@pytest.mark.parametrize("quantize", ["none", "int8"])
def test_golden_vectors_replay(exported, quantize):
    detector = Detector.load(exported[0][quantize])
    assert detector.verify() <= detector.card.golden.tolerance
    assert set(detector.card.golden.probabilities.argmax(1)) == {0, 1, 2}


def test_int8_file_is_smaller(exported):
    sizes = {name: file.stat().st_size for name, file in exported[0].items()}
    assert sizes["int8"] < 0.6 * sizes["none"]


def test_report_is_json_and_counts_products(exported):
    report = json.loads(json.dumps(exported[1]["int8"].to_json()))
    assert report["written"]
    assert "stem" in report["int8_products"]
    assert "logits" in report["float_products"]
    assert report["fp32_against_torch"]["max_difference"] <= 1e-4
    assert report["bytes_written"] == exported[0]["int8"].stat().st_size


def test_same_run_gives_the_same_bytes(run_folder, exported, tmp_path):
    again = tmp_path / "again.onnx"
    export(run_folder, again, quantize="int8", target="x86-64", max_drop=5)
    assert again.read_bytes() == exported[0]["int8"].read_bytes()


def test_no_tensor_lies_outside_the_file(exported):
    model = onnx.load(exported[0]["int8"], load_external_data=False)
    assert all(not tensor.external_data for tensor in model.graph.initializer)


def test_agreement_is_scikit_learns_macro_f1():
    rng = np.random.default_rng(0)
    held = LabelledRows(flows=np.zeros((200, 1), np.float32), labels=rng.integers(0, 3, 200))
    before, after = (rng.dirichlet([1, 1, 1], 200).astype(np.float32) for _ in range(2))
    result = compare(held, before, after, ("a", "b", "c"), 0.5)
    assert result.macro_f1_before == pytest.approx(
        f1_score(held.labels, before.argmax(1), average="macro")
    )
    assert result.macro_f1_after == pytest.approx(
        f1_score(held.labels, after.argmax(1), average="macro")
    )
    assert result.same_class == pytest.approx((before.argmax(1) == after.argmax(1)).mean())


def test_dry_run_writes_nothing(run_folder, tmp_path):
    report = export(run_folder, tmp_path / "model.onnx", dry_run=True)
    assert not report.written
    assert not list(tmp_path.iterdir())


def test_gate_refuses_and_writes_nothing(run_folder, tmp_path, monkeypatch):
    def narrow(*arguments):
        found = calibrate(*arguments)
        return {k: Range(low=r.low / 200, high=r.high / 200) for k, r in found.items()}

    monkeypatch.setattr("idskit.export.exporter.calibrate", narrow)
    with pytest.raises(GateRefused, match=r"int8 lowers macro-F1 .* lost most") as refusal:
        export(run_folder, tmp_path / "model.onnx", quantize="int8", max_drop=0.1)
    assert refusal.value.exit_code == 3
    assert not list(tmp_path.glob("*.onnx"))


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [([0] * 40, "none of flood, scan"), ([0, 1, 2], "has 3")],
)
def test_calibration_rows_are_checked(run, tmp_path, labels, sentence):
    rows = LabelledRows(
        flows=run.calibration.flows[: len(labels)], labels=np.array(labels, np.int64)
    )
    save_run(dataclasses.replace(run, calibration=rows), tmp_path / "run")
    with pytest.raises(DataError, match=sentence):
        export(tmp_path / "run", tmp_path / "model.onnx", quantize="int8")


def test_graph_that_is_not_torchs_is_refused(run, run_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "idskit.export.exporter.run_torch", lambda network, flows: run_torch(network, flows) + 0.01
    )
    with pytest.raises(IdskitError, match="differs from torch"):
        export(run_folder, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["model.safetensors", "rows.safetensors"])
def test_half_written_run_is_one_sentence(run_folder, tmp_path, name):
    damaged = shutil.copytree(run_folder, tmp_path / "run")
    (damaged / name).write_bytes((damaged / name).read_bytes()[:100])
    with pytest.raises(RunError, match="damaged or half written"):
        export(damaged, tmp_path / "model.onnx")


def test_missing_run_says_what_to_do(tmp_path):
    with pytest.raises(RunError, match="train first"):
        export(tmp_path / "nothing", tmp_path / "model.onnx")


def test_unknown_quantization_names_the_known(run_folder, tmp_path):
    with pytest.raises(IdskitError, match="choose none or int8"):
        export(run_folder, tmp_path / "model.onnx", quantize="int4")


def test_unwritable_place_is_one_sentence(run_folder, tmp_path):
    with pytest.raises(IdskitError, match="cannot be written"):
        export(run_folder, tmp_path / "no" / "such" / "model.onnx")
