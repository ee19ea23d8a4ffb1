"""Peers answer as the run's own network does, so that only their speed is compared."""

from __future__ import annotations

import numpy as np
import pytest
from tests.bench.measured import measure
from tests.export.toy import make_run

from idskit.bench.peers.model_peers import open_peers, plain_int8, plain_onnx
from idskit.detect.session import open_session
from idskit.errors import IdskitError
from idskit.export.verify import run_torch
from idskit.models.saved_run import save_run


@pytest.fixture(scope="module")
def run():
    return make_run()


@pytest.fixture(scope="module")
def folder(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("peers") / "run"
    save_run(run, folder)
    return folder


def test_plain_export_gives_torchs_probabilities(run, tmp_path):
    session = open_session(plain_onnx(run), tmp_path / "plain.onnx")
    got = session.run(["probabilities"], {"flows": run.held.flows})[0]
    np.testing.assert_allclose(got, run_torch(run.network, run.held.flows), atol=1e-4)


def test_plain_int8_is_int8_and_related(run, tmp_path):
    quantized = plain_int8(plain_onnx(run), run)
    session = open_session(quantized, tmp_path / "plain.onnx")
    got = session.run(["probabilities"], {"flows": run.held.flows})[0]
    expected = run_torch(run.network, run.held.flows)
    assert (got.argmax(1) == expected.argmax(1)).mean() > 0.5  # it quantises the front end too
    assert b"QuantizeLinear" in quantized


def test_every_peer_is_measured_or_named(folder):
    found, missing = open_peers(folder, threads=1)
    names = {subject.model.name for subject in found}
    assert {"plain torch", "plain fp32", "plain int8", "lightgbm"} <= names
    for peer in ("openvino fp32", "openvino int8", "ncnn fp32"):
        assert (peer in names) != any(peer in sentence for sentence in missing)


def test_peers_need_one_training_run(make_model):
    with pytest.raises(IdskitError, match="0 training runs"):
        measure(make_model(), peers=True)
