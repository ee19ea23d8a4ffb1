"""The exported file as its user meets it, and everything that must stop an export."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import onnx
import onnxruntime
import pytest
from sklearn.metrics import f1_score, recall_score, roc_auc_score
from tests.export.toy import make_run

from idskit.bench.int8_peak import count_macs
from idskit.detect.detector import Detector
from idskit.detect.inspect_model import inspect
from idskit.errors import DataError, IdskitError, RunError
from idskit.export import export
from idskit.export.gate import falls
from idskit.export.verify import compare, run_torch
from idskit.models.saved_run import LabelledRows, save_run


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
    assert report["float_products"] == ["codes", "signals", "spectrum", "mel", "image"]
    assert report["fp32_against_torch"]["max_difference"] <= 1e-4
    assert report["bytes_written"] == exported[0]["int8"].stat().st_size


def test_pairs_are_for_int8_only(run_folder, tmp_path):
    with pytest.raises(IdskitError, match=r"QDQ was asked for with quantize none.*--quantize int8"):
        export(run_folder, tmp_path / "model.onnx", qdq=True)


def test_pairs_pass_the_gate_and_replay(run_folder, tmp_path):
    file = tmp_path / "pairs.onnx"
    report = export(run_folder, file, quantize="int8", target="x86-64", max_drop=5, qdq=True)
    assert "stem" in report.int8_products
    detector = Detector.load(file)
    assert detector.verify() <= detector.card.golden.tolerance


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
    attack = held.labels > 0
    assert result.roc_auc_before == pytest.approx(roc_auc_score(attack, 1 - before[:, 0]))
    assert result.roc_auc_after == pytest.approx(roc_auc_score(attack, 1 - after[:, 0]))
    found = recall_score(attack, 1 - after[:, 0] >= 0.5)
    assert result.true_positive_rate_after == pytest.approx(found)


def test_rows_of_one_kind_have_no_roc_and_no_warning():
    benign = LabelledRows(flows=np.zeros((30, 1), np.float32), labels=np.zeros(30, np.int64))
    answers = np.full((30, 2), 0.5, np.float32)
    result = compare(benign, answers, answers, ("a", "b"), 0.5)
    assert (result.roc_auc_before, result.true_positive_rate_after) == (None, None)
    assert falls(result, 0.5) == ()


def test_a_class_of_few_rows_is_not_singled_out():
    labels = np.array([0] * 40 + [1] * 40 + [2] * 3)
    held = LabelledRows(flows=np.zeros((83, 1), np.float32), labels=labels)
    before = np.eye(3, dtype=np.float32)[labels]
    after = before.copy()
    after[-1], after[40] = [0, 1, 0], [1, 0, 0]
    result = compare(held, before, after, ("a", "b", "c"), 0.5)
    assert result.worst_class == "b"
    assert result.worst_class_f1_before == 1


def test_dry_run_writes_nothing(run_folder, tmp_path):
    report = export(run_folder, tmp_path / "model.onnx", dry_run=True)
    assert not report.written
    assert not list(tmp_path.iterdir())


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


def test_a_body_that_is_not_lowered_is_named_and_has_no_int8(tmp_path):
    save_run(make_run(model="gru", frontend="stft"), tmp_path / "run")
    report = export(tmp_path / "run", tmp_path / "model.onnx")
    assert "GRU (2)" in report.taken_over
    assert Detector.load(tmp_path / "model.onnx").verify() <= 1e-4
    with pytest.raises(IdskitError, match=r"gru, is taken over .* --quantize none"):
        export(tmp_path / "run", tmp_path / "int8.onnx", quantize="int8")
    assert not (tmp_path / "int8.onnx").exists()


def test_unknown_quantization_names_the_known(run_folder, tmp_path):
    with pytest.raises(
        IdskitError, match="quantize 'int4' was asked for, but the choices are none, int8, fp16"
    ):
        export(run_folder, tmp_path / "model.onnx", quantize="int4")


def test_no_held_rows_is_one_sentence(run, tmp_path):
    nothing = LabelledRows(flows=run.held.flows[:0], labels=run.held.labels[:0])
    save_run(dataclasses.replace(run, held=nothing), tmp_path / "run")
    with pytest.raises(RunError, match="no held rows to verify"):
        export(tmp_path / "run", tmp_path / "model.onnx")


def test_export_signs_and_the_bytes_are_stable(run_folder, tmp_path):
    serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
    key = ed25519.Ed25519PrivateKey.generate()
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    public = serialization.PublicFormat.SubjectPublicKeyInfo
    plain = serialization.NoEncryption()
    (tmp_path / "key.pem").write_bytes(key.private_bytes(pem, pkcs8, plain))
    (tmp_path / "key.pub").write_bytes(key.public_key().public_bytes(pem, public))
    file, signatures = tmp_path / "model.onnx", []
    for _ in range(2):
        report = export(run_folder, file, sign=tmp_path / "key.pem")
        Detector.load(file, public_key=tmp_path / "key.pub")
        signatures.append((tmp_path / "model.onnx.sig").read_bytes())
    assert report.extra_files == (f"{file}.sig",)
    assert signatures[0] == signatures[1]


def test_a_bad_key_is_found_before_any_work(run_folder, tmp_path):
    pytest.importorskip("cryptography")
    with pytest.raises(IdskitError, match=r"private key .* cannot be read"):
        export(tmp_path / "no-run", tmp_path / "model.onnx", sign=tmp_path / "absent.pem")
    assert not list(tmp_path.iterdir())


def test_unwritable_place_is_one_sentence(run_folder, tmp_path):
    with pytest.raises(IdskitError, match="cannot be written"):
        export(run_folder, tmp_path / "no" / "such" / "model.onnx")


@pytest.mark.parametrize("quantize", ["none", "int8"])
def test_multiply_adds_are_those_of_the_shapes_at_run_time(run, exported, quantize):
    files, reports = exported
    counted = count_macs(files[quantize].read_bytes(), run.held.flows)
    assert inspect(files[quantize]).graph.multiply_adds == counted
    assert reports[quantize].multiply_adds == counted
