"""A model's card, for people and as JSON."""

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from idskit.detect.inspect_model import inspect, require_verified
from idskit.errors import GateRefused, ModelError


def shown(inspection) -> str:
    text = io.StringIO()
    inspection.show(Console(file=text, width=120))
    return text.getvalue()


def test_json_says_what_the_file_is(make_model) -> None:
    path = make_model(facts={"data": {"name": "toy"}}, threshold=0.25)
    card = json.loads(inspect(path).to_json())
    assert card["bytes"] == path.stat().st_size
    assert card["precision"] == "fp32"
    assert (card["opset"], card["operators"]) == (17, 2)
    assert card["nodes"] == {"MatMul": 1, "Softmax": 1}
    assert card["multiply_adds"] == 9
    assert card["products"] == [{"name": "logits", "weights": 9, "multiply_adds": 9}]
    assert card["classes"] == ["benign", "syn flood", "port scan"]
    assert card["threshold"] == 0.25
    assert [f["name"] for f in card["schema"]["features"]] == ["duration", "bytes", "packets"]
    assert card["facts"] == {"data": {"name": "toy"}}
    assert card["golden"]["vectors"] == 3
    assert card["verification"] is None


def test_verify_replays_the_golden_vectors(make_model) -> None:
    checked = json.loads(inspect(make_model(), verify=True).to_json())["verification"]
    assert checked["passed"] is True
    assert checked["max_difference"] < 1e-6


def test_people_read_facts_and_verdict(make_model) -> None:
    inspection = inspect(make_model(facts={"data": {"rows": 7}, "by": "[me]"}), verify=True)
    text = shown(inspection)
    for part in ("data.rows", "[me]", "syn flood", "verified: 3 golden vectors"):
        assert part in text


def test_a_machine_that_answers_otherwise_is_told_so(make_model) -> None:
    inspection = inspect(make_model(), verify=True)
    off = replace(inspection, verification=replace(inspection.verification, max_difference=0.5))
    assert "not verified" in shown(off)
    with pytest.raises(GateRefused, match=r"differs by 0\.5 .* more than the 1e-05 allowed"):
        require_verified(off)


def test_an_answer_that_is_no_number_does_not_pass(make_model) -> None:
    inspection = inspect(make_model(), verify=True)
    assert not replace(inspection.verification, max_difference=float("nan")).passed


def test_a_verified_model_passes_the_gate(make_model) -> None:
    require_verified(inspect(make_model(), verify=True))


def test_a_foreign_model_is_refused(make_model) -> None:
    with pytest.raises(ModelError, match="without idskit metadata"):
        inspect(make_model(card=False))
