"""The fp32 twin of an int8 file has the same shapes, and floats only."""

from __future__ import annotations

import collections

import numpy as np
import onnx
import onnxruntime
import pytest
from tests.export.toy import make_run

from idskit.bench.int8_peak import count_macs
from idskit.bench.twin import in_floats
from idskit.export.lower.lower_model import lower
from idskit.export.precision.quantize import calibrate, quantize
from idskit.export.target import target_named
from idskit.modelfile.onnx_file import read_onnx


@pytest.mark.parametrize("attention", ["both", "squeeze"])
@pytest.mark.parametrize("target", ["x86-64", "arm64"])
def test_the_twin_does_the_work_of_the_fp32_export(attention, target):
    run = make_run(attention=attention)
    floats = lower(run.network)
    ranges = calibrate(floats, run.calibration.flows)
    int8 = quantize(run.network, ranges, target_named(target)).model().SerializeToString()
    twin = in_floats(read_onnx(int8)).to_bytes()
    onnx.checker.check_model(twin)
    session = onnxruntime.InferenceSession(twin)
    found = session.run(["probabilities"], {"flows": run.held.flows[:7]})[0]
    assert found.shape == (7, 3)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    kinds = collections.Counter(node.op_type for node in onnx.load_from_string(twin).graph.node)
    assert not [kind for kind in kinds if "Linear" in kind or "QGemm" in kind]
    rows = run.held.flows
    assert count_macs(twin, rows) == count_macs(floats.model().SerializeToString(), rows)
