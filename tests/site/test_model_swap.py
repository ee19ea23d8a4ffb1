"""Another model is tried, promoted and taken back between batches."""

from __future__ import annotations

import hashlib
import subprocess

import numpy as np
import pytest
from tests.site.made_traffic import traffic

from idskit.detect.detector import Detector
from idskit.detect.detector_options import DetectorOptions
from idskit.errors import IdskitError, ModelError, SchemaError
from idskit.incidents.tracker import IncidentTracker
from idskit.modelfile.signature import Signer
from idskit.profiles.flow_reader import FlowBatch
from idskit.schema import Feature, Schema
from idskit.site.model_swap import ModelSwap

TOY = Schema(
    name="toy",
    features=(
        Feature(name="duration", unit="us"),
        Feature(name="bytes", unit="bytes"),
        Feature(name="packets", unit="count"),
    ),
)
BENIGN, FLOOD = [9.0, 0.0, 0.0], [0.0, 20.0, 0.0]
BLIND = np.array([[1.0, 0, 0], [1, 0, 0], [1, 0, 0]])  # says benign of everything


def batch(row: list[float], hour: float = 0, number: int = 4) -> FlowBatch:
    flows = traffic(hour, number, src="203.0.113.5", dst="192.168.1.20", port=80).flows
    return FlowBatch(schema=TOY, flows=flows, features=np.tile(row, (number, 1)))


def swap_of(path, **options) -> ModelSwap:
    detector = Detector.load(path, threads=1)
    tracker = IncidentTracker(TOY, detector.card.classes, detector.threshold)
    return ModelSwap(detector, TOY, tracker, DetectorOptions(threads=1, **options))


def test_a_shadow_says_what_it_would_have_missed(make_model) -> None:
    swap = swap_of(make_model("one.onnx"))
    swap.prepare(make_model("two.onnx", weights=BLIND))
    for found in (batch(BENIGN), batch(FLOOD, 0.1)):
        swap.observe(found)
    report = swap.report()
    assert (report.flows, report.extra) == (8, ())
    assert report.missing == (("203.0.113.5", "192.168.1.20"),)
    assert report.cost > 0
    assert report.to_json()["missing"] == [["203.0.113.5", "192.168.1.20"]]


def test_a_shadow_says_what_it_would_have_added_and_changes_nothing(make_model) -> None:
    swap = swap_of(make_model("one.onnx", weights=BLIND))
    swap.prepare(make_model("two.onnx"))
    probabilities, incidents = swap.observe(batch(FLOOD))
    assert incidents == []
    assert probabilities[0, 0] == probabilities[0].max()
    assert swap.report().extra == (("203.0.113.5", "192.168.1.20"),)


def test_an_incident_goes_on_while_models_change(make_model) -> None:
    swap = swap_of(make_model("one.onnx"))
    (new,) = swap.observe(batch(FLOOD))[1]
    swap.prepare(make_model("two.onnx", weights=np.eye(3) * 2))
    swap.promote()
    swap.observe(batch(FLOOD, 0.05, number=20))
    swap.roll_back()
    swap.observe(batch(FLOOD, 0.1))
    (end,) = swap._tracker.finish()
    assert end.incident_id == new.incident_id
    assert end.flows == 28


def test_promotion_and_rolling_back_exchange_models(make_model) -> None:
    swap = swap_of(make_model("one.onnx"))
    first = swap.detector
    swap.prepare(make_model("two.onnx", weights=BLIND, threshold=0.7))
    second = swap.promote()
    assert swap.detector is second is not first
    assert swap.observe(batch(FLOOD))[1] == []
    assert swap.roll_back() is first
    assert len(swap.observe(batch(FLOOD, 0.1))[1]) == 1
    with pytest.raises(IdskitError, match="no earlier model"):
        swap.roll_back()


def test_nothing_is_promoted_that_is_not_tried(make_model) -> None:
    swap = swap_of(make_model("one.onnx"))
    for use in (swap.promote, swap.report):
        with pytest.raises(IdskitError, match="prepare one first"):
            use()


def test_a_model_of_other_columns_is_refused(make_model) -> None:
    other = Schema(name="toy", features=(Feature(name="other", unit="1"), *TOY.features))
    swap = swap_of(make_model("one.onnx"))
    weights = np.ones((4, 3))
    with pytest.raises(SchemaError, match="restart with this model"):
        swap.prepare(make_model("two.onnx", schema=other, weights=weights))


def test_a_model_that_answers_otherwise_here_is_refused(make_model, monkeypatch) -> None:
    swap = swap_of(make_model("one.onnx"))
    monkeypatch.setattr(Detector, "verify", lambda _: 0.5)
    with pytest.raises(ModelError, match="golden vectors"):
        swap.prepare(make_model("two.onnx"))
    with pytest.raises(IdskitError, match="prepare one first"):
        swap.report()


def test_a_damaged_file_leaves_the_model_in_use(make_model, tmp_path) -> None:
    swap = swap_of(make_model("one.onnx"))
    damaged = make_model("two.onnx")
    damaged.write_bytes(damaged.read_bytes()[:-40])
    with pytest.raises(ModelError):
        swap.prepare(damaged)
    assert len(swap.observe(batch(FLOOD))[1]) == 1


def test_a_shadow_that_fails_is_said_and_not_promoted(make_model, monkeypatch) -> None:
    swap = swap_of(make_model("one.onnx"))
    swap.prepare(make_model("two.onnx"))
    tried = swap._tried().detector

    def fail(_batch):
        raise ModelError("it answers nonsense")

    monkeypatch.setattr(tried, "flow_probabilities", fail)
    assert len(swap.observe(batch(FLOOD))[1]) == 1
    assert swap.report().failed == "it answers nonsense"
    with pytest.raises(IdskitError, match="nonsense"):
        swap.promote()


def test_versions_never_go_back(make_model, tmp_path) -> None:
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    make = ["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(private)]
    subprocess.run(make, check=True, capture_output=True)
    publish = ["openssl", "pkey", "-in", str(private), "-pubout", "-out", str(public)]
    subprocess.run(publish, check=True, capture_output=True)
    models = {}
    for version in (5, 6):
        models[version] = make_model(f"v{version}.onnx")
        digest = hashlib.sha256(models[version].read_bytes()).hexdigest()
        Signer.load(private, version).sign(models[version], digest)
    swap = swap_of(make_model("one.onnx"), public_key=public, min_version=5)
    swap.prepare(models[6])
    swap.promote()
    with pytest.raises(ModelError, match="signed as version 5"):
        swap.prepare(models[5])
    with pytest.raises(ModelError, match="must be signed"):
        swap.prepare(make_model("unsigned.onnx"))
