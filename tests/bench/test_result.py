"""Result files read back, and what is said of those that cannot be."""

from __future__ import annotations

import json
from importlib.resources import files

import jsonschema
import pytest
from tests.bench.sample_results import make_report, make_result
from tests.bench.test_report import SERVER, SPLIT, SUSTAINED

from idskit.bench.measure import Spread
from idskit.bench.result import Int8Rate, Report, RoundLatency
from idskit.bench.subject import Accuracy
from idskit.errors import IdskitError


@pytest.fixture
def report():
    """One that uses every field."""
    spread = Spread.of([1.0, 2.5, 3.0])
    return make_report(
        make_result(
            1.0,
            2.0,
            accuracy=Accuracy(macro_f1=0.9, delta=-0.01),
            quantiles_ms=((0.0, 1.0), (50.0, 2.0)),
            round_latency_ms=RoundLatency(p50=spread, p99=None),
            throttled={"now": False, "occurred": True},
            warnings=("unstable",),
        ),
        make_result(1.0, scenario="pipeline", split_ms=SPLIT, packets_per_s=spread),
        make_result(1.0, scenario="server", server=SERVER),
        make_result(1.0, scenario="sustained", sustained=SUSTAINED),
        int8_rate=Int8Rate(gmac_per_s=spread, types="U8S8", threads=1, macs_per_flow={"a": 7}),
    )


def damaged(tmp_path, **changed):
    path = tmp_path / "result.json"
    document = json.loads(make_report(make_result(1.0)).to_json()) | changed
    path.write_text(json.dumps(document))
    return path


def test_a_saved_result_is_read_back_as_it_was(report, tmp_path) -> None:
    report.save(tmp_path / "result.json")
    assert Report.load(tmp_path / "result.json") == report


def test_a_result_with_every_field_obeys_the_published_schema(report) -> None:
    published = json.loads((files("idskit.bench") / "result.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(published)
    jsonschema.validate(json.loads(report.to_json()), published)


@pytest.mark.parametrize("steps", [None, {"rows": 8}])
def test_a_field_that_earlier_versions_wrote_is_ignored(report, tmp_path, steps) -> None:
    document = json.loads(report.to_json())
    for result in document["results"]:
        result["gpu_steps"] = steps
    (tmp_path / "old.json").write_text(json.dumps(document))
    assert Report.load(tmp_path / "old.json") == report


def test_another_schema_version(tmp_path) -> None:
    with pytest.raises(IdskitError, match=r"schema version 1, this idskit reads version 2"):
        Report.load(damaged(tmp_path, schema_version=1))


@pytest.mark.parametrize("text", ["no json", "[]", "{}", '{"results": []}'])
def test_something_else(tmp_path, text) -> None:
    path = tmp_path / "result.json"
    path.write_text(text)
    with pytest.raises(IdskitError, match="given as a benchmark result, but it is none"):
        Report.load(path)


def test_a_missing_file(tmp_path) -> None:
    with pytest.raises(IdskitError, match="cannot be read"):
        Report.load(tmp_path / "absent.json")


@pytest.mark.parametrize(
    "changed",
    [
        {"results": [{}]},
        {"results": 5},
        {"created": "yesterday"},
        {"verdict": [1]},
        {"surprise": 1},
        {"machine": {}},
        {"machine": 5},
    ],
)
def test_a_damaged_result(tmp_path, changed) -> None:
    with pytest.raises(IdskitError, match="damaged benchmark result"):
        Report.load(damaged(tmp_path, **changed))


def test_a_result_without_a_part(tmp_path) -> None:
    path = damaged(tmp_path)
    document = json.loads(path.read_text())
    del document["verdict"]
    path.write_text(json.dumps(document))
    with pytest.raises(IdskitError, match="verdict missing or unknown"):
        Report.load(path)


def test_earlier_versions_find_every_field_that_they_require() -> None:
    (result,) = json.loads(make_report(make_result(1.0)).to_json())["results"]
    assert result["gpu_steps"] is None
