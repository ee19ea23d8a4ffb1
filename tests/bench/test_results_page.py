"""The page of results and the README's table are made from the files in bench/results."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from idskit.bench.views.measured_table import Measure, MeasuredTable, Number
from idskit.bench.views.results_page import (
    IN_README,
    load_tables,
    readme_table,
    results_page,
    with_table,
)
from idskit.bench.views.unseen_results import MODELS, unseen_tables
from idskit.errors import DataError
from idskit.training.evaluation.unseen_captures import Judged, report
from idskit.training.views.capture_tables import NAMES

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "bench" / "results"
README = (ROOT / "README.md").read_text()


def test_the_committed_page_is_what_the_files_make():
    assert (ROOT / "bench" / "RESULTS.md").read_text() == results_page(load_tables(RESULTS))


def test_the_readme_has_the_table_that_the_files_make():
    assert with_table(README, readme_table(load_tables(RESULTS))) == README


def numbers(text):
    """The numbers of a cell, each with half a unit of its last digit."""
    for found in re.findall(r"\d[\d,]*(?:\.\d+)?", text):
        plain = found.replace(",", "")
        digits = len(plain.partition(".")[2])
        yield float(plain), 0.5 * 10**-digits + 1e-9


def is_stored(value, tolerance, stored):
    return any(abs(scale * one - value) <= tolerance for one in stored for scale in (1, 100))


def readme_rows():
    table = README.partition("| measure | idskit | best rival |\n")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.split("\n")[1:]]


@pytest.mark.parametrize(("file", "measure"), IN_README)
def test_each_number_of_the_readme_stands_in_its_result_file(file, measure):
    found = json.loads((RESULTS / f"{file}.json").read_text())["rows"]
    stored = next(row for row in found if row["measure"] == measure)
    _, ours, rival = next(row for row in readme_rows() if row[0] == measure)
    assert all(is_stored(*one, stored["idskit"].values()) for one in numbers(ours))
    others = stored.get("others", {})
    name = next((name for name in others if rival.startswith(name)), None)
    assert (name is None) == (rival == "")
    if name is not None:
        shown = list(numbers(rival.removeprefix(name)))
        assert shown
        assert all(is_stored(*one, others[name].values()) for one in shown)


def test_the_readme_shows_networks_never_seen_first():
    assert readme_rows()[0][0].startswith("public repositories")


def test_every_file_names_its_commands_revision_and_machine():
    for name, table in load_tables(RESULTS).items():
        assert table.commands, name
        assert all(re.match(r"(\w+=\S+ )?(idskit|python|make) ", one) for one in table.commands)
        assert re.fullmatch(r"[0-9a-f]{7,}", table.revision), name
        assert table.machine, name
        assert len({row.measure for row in table.rows}) >= len(table.rows) - 2, name


def test_a_file_that_the_page_does_not_know_is_refused(tmp_path):
    for path in RESULTS.glob("*.json"):
        (tmp_path / path.name).write_text(path.read_text())
    (tmp_path / "more.json").write_text("{}")
    with pytest.raises(DataError, match="more"):
        load_tables(tmp_path)


def test_a_table_comes_back_as_it_was_saved(tmp_path):
    row = Measure(
        measure="found",
        unit="%",
        idskit=Number(value=0.5, hits=1, of=2),
        others={"x": Number(value=0.25)},
    )
    table = MeasuredTable(
        title="t", about="a", commands=("idskit x",), revision="abc", machine="m", rows=(row,)
    )
    table.save(tmp_path / "t.json")
    assert MeasuredTable.load(tmp_path / "t.json") == table


@pytest.mark.parametrize(
    ("number", "unit", "text"),
    [
        (Number(value=40 / 1193, low=0.024, high=0.0453, hits=40, of=1193), "%",
         "3.4 % (2.4 to 4.5), 40 of 1,193"),
        (Number(value=0.0016, spread=0.0007), "%", "0.16 ± 0.07 %"),
        (Number(value=0.929, spread=0.001), "score", "0.929 ± 0.001"),
        (Number(value=104921), "flows/s", "104,921 flows/s"),
        (Number(value=2.25), "x", "2.25x"),
        (Number(value=5), "", "5"),
    ],
)  # fmt: skip
def test_numbers_are_written_with_their_units(number, unit, text):
    assert number.text(unit) == text


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"rows": [{"measure": 1}]}'])
def test_a_damaged_file_is_one_sentence(tmp_path, text):
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(DataError, match=r"t\.json cannot be read as a table of measures"):
        MeasuredTable.load(tmp_path / "t.json")


def judged(repository, category, flagged, incidents, probe=""):
    name = f"{repository}-{category}-{flagged}-{incidents}"
    counts = {"flows": 10, "flagged": flagged, "score": flagged / 10, "incidents": incidents}
    counts["by_tests"] = incidents * (category != "benign")
    return Judged(capture=name, repository=repository, category=category, probe=probe, **counts)


@pytest.fixture
def left_out():
    """A result in the form of idskit train --json: trees, and a rival that finds nothing."""
    kinds = {"benign": (0, 0), "scan": (5, 1), "flood": (3, 0)}
    found = [
        judged(repository, category, *counts)
        for repository in ("a/one", "b/two", "tools", "lab")
        for category, counts in kinds.items()
    ]
    found.append(judged("a/one", "benign", 7, 1))
    found.append(judged("a/one", "scan", 9, 1, probe="unsure"))
    nothing = [judged(one.repository, one.category, 0, 0, one.probe) for one in found]
    models = {"trees": found, "lightgbm": nothing}
    made = {
        name: {**report(items), "judged": [vars(item) for item in items]}
        for name, items in models.items()
    }
    return {"repositories": {"folds": [["a/one"], ["b/two"]], "notes": [], **made}}


def test_parts_are_counted_apart(left_out):
    tables = unseen_tables(left_out, "idskit train captures", "abc1234")
    incidents = {row.measure: row for row in tables["incidents_unseen"].rows}
    flows = {row.measure: row for row in tables["flows_unseen"].rows}

    def counted(rows, measure):
        return rows[measure].idskit.hits, rows[measure].idskit.of

    assert counted(incidents, "public repositories: attack captures with an incident") == (2, 4)
    assert counted(incidents, "public repositories: benign captures with an incident") == (1, 3)
    assert counted(incidents, "real tools: attack captures with an incident") == (1, 2)
    assert counted(incidents, "lab: benign captures with an incident") == (0, 1)
    assert counted(incidents, "all: attack captures with an incident") == (4, 8)
    alone = "public repositories: {} captures with an incident without the model, by tests alone"
    assert counted(incidents, alone.format("attack")) == (2, 4)
    assert counted(incidents, alone.format("benign")) == (0, 3)
    assert counted(flows, "public repositories: attack captures with a flow flagged") == (4, 4)
    assert counted(flows, "all: benign flows flagged") == (7, 50)
    rival = incidents["all: attack captures with an incident"].others["LightGBM"]
    assert (rival.hits, rival.of) == (0, 8)
    assert "13 captures (5 benign, 8 attacks) of 2 public" in tables["flows_unseen"].about


def test_the_rival_comes_before_the_trees_of_our_own_network(left_out):
    left_out["repositories"]["network"] = left_out["repositories"]["trees"]
    table = unseen_tables(left_out, "idskit train captures", "abc1234")["incidents_unseen"]
    assert table.about.endswith("The column idskit is: network and trees.")
    assert [list(row.others) for row in table.rows] == [["LightGBM", "trees alone"]] * 19


def test_models_have_the_names_that_training_gives_them():
    assert MODELS == NAMES


def test_a_result_of_another_kind_is_refused():
    with pytest.raises(DataError, match="--leave-out repositories"):
        unseen_tables({"macro_f1": 0.5}, "idskit train", "abc1234")
