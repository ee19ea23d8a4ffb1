"""Exported files in the oldest onnxruntime that is supported: `make test-ort118`."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from idskit.detect.detector import Detector, shipped_model
from idskit.export import export
from idskit.export.emit import emit

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
    with shipped_model() as shipped:
        file = shutil.copy(shipped, tmp_path / "model.onnx")
    detector = Detector.load(file)
    script = emit("python", tmp_path / "model.onnx", detector.card, detector.sha256)
    assert "golden vectors differ by at most" in older(script, "--check")
