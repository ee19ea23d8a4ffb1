"""Model files that must not be loaded, and what a good one says."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from idskit.detect.detector import Detector
from idskit.errors import ModelError
from idskit.modelfile import model_file
from idskit.modelfile.model_file import ModelCard
from idskit.schema import Feature, Schema


def refusal(path) -> str:
    with pytest.raises(ModelError) as caught:
        Detector.load(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_a_card_survives_its_file(make_model, tmp_path) -> None:
    schema = Schema(
        name="names",
        features=(
            Feature(name="protocol", unit="", categories=("tcp", "udp")),
            Feature(name="größe", unit="bytes"),
        ),
    )
    path = make_model(schema=schema, classes=("benign", "other"), facts={"a": [1, None]})
    strings = {p.key: p.value for p in onnx.load(path).metadata_props}
    card = ModelCard.from_metadata(strings, path)
    assert card.schema == schema
    assert card.classes == ("benign", "other")
    assert card.facts == {"a": [1, None]}
    np.testing.assert_array_equal(card.golden.flows, np.eye(2))
    assert card.to_metadata() == strings


def test_a_missing_file(tmp_path) -> None:
    assert "cannot be read: No such file" in refusal(tmp_path / "absent.onnx")


def test_a_folder(tmp_path) -> None:
    assert "cannot be read: Is a directory" in refusal(tmp_path)


@pytest.mark.parametrize("content", [b"hello, world", b"\xd4\xc3\xb2\xa1" * 99, b"a,b\n1,2\n"])
def test_a_file_that_is_no_model(tmp_path, content) -> None:
    path = tmp_path / "text.onnx"
    path.write_bytes(content)
    assert "not an ONNX file" in refusal(path)


def test_an_empty_file(tmp_path) -> None:
    path = tmp_path / "empty.onnx"
    path.touch()
    refusal(path)


def test_every_truncation_is_refused(make_model) -> None:
    path = make_model()
    whole = path.read_bytes()
    for size in range(0, len(whole), 97):
        path.write_bytes(whole[:size])
        refusal(path)


def test_a_model_without_metadata(make_model) -> None:
    assert "without idskit metadata" in refusal(make_model(card=False))


def test_another_format(make_model) -> None:
    assert "model format 99" in refusal(make_model(metadata={"idskit.format": "99"}))


def test_an_altered_schema(make_model) -> None:
    other = Schema(name="toy", features=tuple(Feature(name=n, unit="") for n in "abc"))
    path = make_model(metadata={"idskit.schema": other.to_json()})
    assert "another schema hash" in refusal(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("idskit.schema", "[]"),
        ("idskit.schema", None),
        ("idskit.schema_sha256", None),
        ("idskit.classes", '["one"]'),
        ("idskit.classes", "7"),
        ("idskit.threshold", "nan"),
        ("idskit.threshold", "much"),
        ("idskit.card", "{"),
        ("idskit.golden", json.dumps({"flows": "####", "probabilities": "", "tolerance": 1})),
        ("idskit.golden", json.dumps({"flows": "AAA=", "probabilities": "", "tolerance": 1})),
    ],
)
def test_damaged_metadata(make_model, key, value) -> None:
    refusal(make_model(metadata={key: value}))


def test_data_in_other_files(make_model, tmp_path) -> None:
    path = make_model()
    model = onnx.load(path)
    tensor = model.graph.initializer[0]
    onnx.external_data_helper.set_external_data(tensor, "../secret")
    tensor.ClearField("raw_data")
    path.write_bytes(model.SerializeToString())
    assert "keeps tensor data in other files" in refusal(path)


def test_data_in_other_files_of_an_attribute_in_a_subgraph(make_model) -> None:
    hidden = TensorProto(name="t", data_type=TensorProto.FLOAT, dims=[1])
    hidden.data_location = TensorProto.EXTERNAL
    hidden.external_data.add(key="location", value="/etc/passwd")
    inner = helper.make_graph([helper.make_node("Constant", [], ["c"], value=hidden)], "in", [], [])
    path = make_model()
    model = onnx.load(path)
    model.graph.node.append(helper.make_node("If", ["x"], ["y"], then_branch=inner))
    path.write_bytes(model.SerializeToString())
    assert "it has a graph within a node, which idskit never loads" in refusal(path)


def test_a_file_that_is_too_large(make_model, monkeypatch) -> None:
    monkeypatch.setattr(model_file, "MAX_MODEL_BYTES", 10)
    assert "more than the 10 bytes that it may have" in refusal(make_model())
