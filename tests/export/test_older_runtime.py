"""Exported files in the oldest onnxruntime that is supported: `make test-ort118`."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from tests.modelfile.hostile_models import write_hostile
from tests.modelfile.test_hostile_models import CASES, loaded_in_a_child, require_refused

from idskit.detect.detector import Detector
from idskit.export import export
from idskit.export.emit import emit
from idskit.modelfile.model_path import model_path

PYTHON = os.environ.get("IDSKIT_ORT118_PYTHON", "")
pytestmark = pytest.mark.skipif(
    not PYTHON, reason="IDSKIT_ORT118_PYTHON names no Python with onnxruntime 1.18"
)


def older(*arguments) -> str:
    done = subprocess.run([PYTHON, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_is_an_older_runtime():
    assert older("-c", "import onnxruntime; print(onnxruntime.__version__)").startswith("1.18.")


@pytest.mark.parametrize(
    ("quantize", "target"),
    [("none", "x86-64"), ("int8", "x86-64"), ("int8", "arm64"), ("fp16", "cuda")],
)
def test_golden_vectors_replay(run_folder, tmp_path, quantize, target):
    file = tmp_path / "model.onnx"
    export(run_folder, file, quantize=quantize, target=target, max_drop=5, emit=["python"])
    assert "golden vectors differ by at most" in older(tmp_path / "model.py", "--check")


def test_the_shipped_model_replays_its_own(tmp_path):
    with model_path() as shipped:
        file = shutil.copy(shipped, tmp_path / "model.onnx")
    detector = Detector.load(file)
    script = emit("python", tmp_path / "model.onnx", detector.card, detector.sha256)
    assert "golden vectors differ by at most" in older(script, "--check")


def test_hostile_models_are_refused_there_too(make_model, tmp_path):
    words = write_hostile(make_model, tmp_path)
    (tmp_path / "good.onnx").write_bytes(make_model().read_bytes())
    found = loaded_in_a_child(tmp_path, PYTHON)
    assert found.pop("good") == []
    require_refused(found, words)


def test_the_cases_are_refused_there_too(shared, tmp_path):
    for name in CASES:
        (tmp_path / f"{name}.onnx").symlink_to(shared / "cases" / "models" / f"{name}.onnx")
    require_refused(loaded_in_a_child(tmp_path, PYTHON), CASES)


def test_what_is_loaded_there_is_the_canonical_file(run_folder, tmp_path):
    """idskit itself on the older runtime: an exported file answers as its exporter's did."""
    export(run_folder, tmp_path / "model.onnx", quantize="int8", target="x86-64", max_drop=5)
    found = loaded_in_a_child(tmp_path, PYTHON)
    assert found == {"model": []}
