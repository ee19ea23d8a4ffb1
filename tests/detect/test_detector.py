"""The detector on tiny models whose answers are known."""

import hashlib
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from idskit.detect.detector import CHUNK, Detector
from idskit.errors import IdskitError, ModelError, SchemaError
from idskit.flow import FLOW
from idskit.modelfile import model_path
from idskit.profiles.flow_reader import FlowBatch
from idskit.schema import Feature


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def test_probabilities_are_those_of_the_graph(make_model) -> None:
    weights = np.array([[1, 2, 0], [0, -1, 1], [0.5, 0, 0]])
    rows = np.random.default_rng(0).normal(size=(5, 3))
    found = Detector.load(make_model(weights=weights)).probabilities(rows)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, softmax(rows @ weights), rtol=1e-5)


def test_no_flows_give_no_probabilities(make_model) -> None:
    found = Detector.load(make_model()).probabilities(np.empty((0, 3)))
    assert (found.shape, found.dtype) == ((0, 3), np.float32)


def test_many_flows_give_the_same_as_few(make_model) -> None:
    detector = Detector.load(make_model())
    rows = np.random.default_rng(1).normal(size=(2 * CHUNK + 7, 3))
    one_by_one = np.concatenate([detector.probabilities(row[None]) for row in rows[:: CHUNK - 1]])
    np.testing.assert_allclose(detector.probabilities(rows)[:: CHUNK - 1], one_by_one, rtol=1e-5)


@pytest.mark.parametrize("shape", [(4, 2), (4, 4), (3,)])
def test_another_width_is_refused(make_model, shape) -> None:
    with pytest.raises(SchemaError, match=re.escape(f"has shape {shape}")):
        Detector.load(make_model()).probabilities(np.zeros(shape))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_what_is_not_finite_is_refused_by_row_and_column(make_model, value) -> None:
    rows = np.zeros((4, 3))
    rows[2, 1] = value
    with pytest.raises(SchemaError, match="in row 2, column 'bytes'"):
        Detector.load(make_model()).probabilities(rows)


def test_a_flow_that_cannot_be_judged_stops_no_other(make_model) -> None:
    detector = Detector.load(make_model())
    features = np.array([[9, 0, 0], [0, np.inf, 0], [0, 9, 0], [0, 0, np.nan], [1e300, 0, 0]])
    batch = FlowBatch(schema=detector.schema, flows=np.zeros(5, FLOW), features=features)
    found = detector.flow_probabilities(batch)
    assert np.isnan(found).all(axis=1).tolist() == [False, True, False, True, True]
    np.testing.assert_array_equal(found[[0, 2]], detector.probabilities(features[[0, 2]]))
    assert [alert.row for alert in detector.alerts(batch)] == [2]


def test_a_batch_may_have_columns_that_the_model_does_not_read(make_model) -> None:
    detector = Detector.load(make_model())
    wider = replace(
        detector.schema, features=(Feature(name="new", unit="1"), *detector.schema.features)
    )
    rows = np.array([[9.0, 0, 0], [0, 9, 0]])
    batch = FlowBatch(
        schema=wider, flows=np.zeros(2, FLOW), features=np.hstack([[[7.0], [7.0]], rows])
    )
    np.testing.assert_array_equal(detector.flow_probabilities(batch), detector.probabilities(rows))


def test_rows_of_alerts_count_on_over_batches(make_model) -> None:
    detector = Detector.load(make_model())
    batch = FlowBatch(
        schema=detector.schema,
        flows=np.zeros(2, FLOW),
        features=np.array([[9.0, 0, 0], [0, 9, 0]]),
        first_row=64,
    )
    assert [alert.row for alert in detector.alerts(batch)] == [65]


def test_the_card_and_hash_are_those_of_the_file(make_model) -> None:
    path = make_model(facts={"data": "toy"})
    detector = Detector.load(path)
    assert detector.card.facts == {"data": "toy"}
    assert detector.schema.names == ("duration", "bytes", "packets")
    assert detector.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_threshold_is_the_models_unless_one_is_given(make_model) -> None:
    path = make_model(threshold=0.25)
    assert Detector.load(path).threshold == 0.25
    assert Detector.load(path, threshold=0.75).threshold == 0.75


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_an_impossible_threshold_is_refused(make_model, threshold) -> None:
    with pytest.raises(IdskitError, match="choose one in"):
        Detector.load(make_model(), threshold=threshold)


def test_without_a_path_the_shipped_model_is_loaded(make_model, monkeypatch, tmp_path) -> None:
    made = make_model()
    monkeypatch.setattr(model_path, "files", lambda package: tmp_path)
    monkeypatch.setattr(model_path, "SHIPPED", made.name)
    assert Detector.load().sha256 == hashlib.sha256(made.read_bytes()).hexdigest()


def test_verify_finds_no_difference_where_there_is_none(make_model) -> None:
    assert Detector.load(make_model()).verify() < 1e-6


def test_verify_measures_the_difference(make_model) -> None:
    detector = Detector.load(make_model())
    golden = detector.card.golden
    other = golden.probabilities.copy()
    other[1, 2] += 0.125
    detector.card = replace(detector.card, golden=replace(golden, probabilities=other))
    assert detector.verify() == pytest.approx(0.125, abs=1e-6)


def test_a_model_without_golden_vectors_cannot_be_verified(make_model) -> None:
    detector = Detector.load(make_model(golden=np.empty((0, 3))))
    with pytest.raises(ModelError, match="0 golden inputs"):
        detector.verify()


@pytest.mark.parametrize(
    ("shapes", "names"),
    [
        ((["n", 3], ["n", 3]), ("rows", "probabilities")),
        ((["n", 3], ["n", 3]), ("flows", "output")),
        ((["n", 4], ["n", 3]), ("flows", "probabilities")),
        ((["n", 3], ["n", 2]), ("flows", "probabilities")),
        (([8, 3], [8, 3]), ("flows", "probabilities")),
    ],
    ids=["input name", "output name", "features", "classes", "fixed batch"],
)
def test_a_graph_that_belies_its_card_is_refused(tmp_path, make_model, shapes, names) -> None:
    into, out = shapes
    card = Detector.load(make_model()).card
    weights = np.zeros((into[1], out[1]), np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", [names[0], "w"], [names[1]])],
        "foreign",
        [helper.make_tensor_value_info(names[0], TensorProto.FLOAT, into)],
        [helper.make_tensor_value_info(names[1], TensorProto.FLOAT, out)],
        [onnx.numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, card.to_metadata())
    path = tmp_path / "foreign.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"but its card says flows \(flows, 3\) to prob"):
        Detector.load(path)


def test_loading_a_model_needs_neither_torch_nor_onnx(make_model) -> None:
    code = (
        "import sys; from idskit import Detector; "
        f"Detector.load({str(make_model())!r}).verify(); "
        "print([m for m in ('torch', 'onnx', 'pandas', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
