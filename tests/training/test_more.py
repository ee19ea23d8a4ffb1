"""More rows to train on: each gets one of its possible classes, and no class outweighs its own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from idskit.cli import app
from idskit.data.dataset import Dataset, MoreRows
from idskit.errors import RunError
from idskit.schemas.ciciot2023_columns import LATER
from idskit.training.evaluation.leave_attack_out import leave_each_out
from idskit.training.pseudo_labels import GROUP, with_more
from idskit.training.settings import TrainingSettings

SETTINGS = TrainingSettings(threads=1).resolved()
COLUMNS = [feature.name for feature in LATER]


def more_rows(dataset: Dataset, possible: list[bool], count: int = 150) -> MoreRows:
    """Test rows of the toy, whose labels the caller knows."""
    return MoreRows(
        rows=dataset.test.rows[:count], possible=np.tile(possible, (count, 1)), notes=("theirs",)
    )


def test_an_open_row_gets_the_likeliest_class(toy: Dataset):
    found = with_more(toy, more_rows(toy, [True, True]), SETTINGS)
    added = found.train.take(np.arange(len(toy.train), len(found.train)))
    assert (added.labels == toy.test.labels[:150]).mean() > 0.95
    assert found.validation is toy.validation
    assert found.test is toy.test
    assert found.groups[added.groups[0]] == GROUP
    assert found.notes[-2:] == (
        "theirs",
        "of the more rows 150 may be of several classes: boosted trees of the other training rows "
        "say of which",
    )


def test_a_row_gets_no_class_that_its_label_excludes(toy: Dataset):
    found = with_more(toy, more_rows(toy, [False, True]), SETTINGS)
    assert (found.train.labels[len(toy.train) :] == 1).all()


def test_of_no_class_more_weight_is_added_than_it_has(toy: Dataset):
    few = replace(toy, train=toy.train.take(np.arange(60)))
    found = with_more(few, more_rows(few, [False, True]), SETTINGS).train
    own = few.train.weights[few.train.labels == 1].sum()
    assert found.weights[60:].sum() == pytest.approx(own, rel=1e-5)
    full = with_more(toy, more_rows(toy, [False, True]), SETTINGS).train
    assert (full.weights[len(toy.train) :] == 1).all()  # 150 rows beside 300


def write_table(path: Path, labels: list[str], seed: int) -> Path:
    """Rows of a class differ from those of another by a factor."""
    rng = np.random.default_rng(seed)
    scales = {"Benign": 60, "XSS": 900, "WebAttack": 900, "SqlInjection": 2500}
    lines = [",".join([*COLUMNS, "Label"])]
    for label in labels:
        row = rng.lognormal(3, 0.2, len(COLUMNS)) * scales.get(label, 1)
        lines.append(",".join([*(f"{value:.3f}" for value in row), label]))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("more")
    fine = ["Benign", "DDoS-ICMP_Flood", "XSS", "SqlInjection"] * 40
    return (
        write_table(folder / "fine.csv", fine, 0),
        write_table(folder / "coarse.csv", ["Benign", "DDoS", "WebAttack"] * 30, 1),
    )


ARGUMENTS = ["train", "ciciot2023", "--labels", "attack", "--epochs", "1", "--width", "8"]


@pytest.fixture(scope="module")
def run(tables: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    fine, coarse = tables
    arguments = [*ARGUMENTS, "--data", str(fine), "--set", f"more={coarse}", "-o", str(folder)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return folder


def test_a_run_says_what_it_was_given(run: Path, tables: tuple[Path, Path]):
    facts = json.loads((run / "run.json").read_text())["facts"]
    assert facts["rows"]["train"] == 96 + 90
    assert set(facts["sha256"]) == {"fine.csv"}
    assert len(facts["settings"]["more"]) == 1
    assert any("more rows to train on, of coarse.csv: 90 rows" in note for note in facts["notes"])


def test_a_run_with_more_rows_is_evaluated_on_its_own_test_rows(
    run: Path, tables: tuple[Path, Path], tmp_path: Path
):
    arguments = ["evaluate", str(run), "ciciot2023", "--data", str(tables[0])]
    found = tmp_path / "found.json"
    result = CliRunner().invoke(app, [*arguments, "--json", str(found)])
    assert result.exit_code == 0, result.output
    tested = json.loads(found.read_text())
    assert tested["test"] == json.loads((run / "metrics.json").read_text())["test"]
    assert not any("not those of the training run" in note for note in tested["notes"])


def test_attacks_cannot_be_left_out_of_rows_that_do_not_name_them(toy: Dataset, tmp_path: Path):
    with pytest.raises(RunError, match="omit --teacher and --set more"):
        leave_each_out(toy, TrainingSettings(more=[tmp_path]), output=tmp_path)


def test_a_table_that_is_not_there_is_named(tables: tuple[Path, Path], tmp_path: Path):
    missing, output = tmp_path / "none.csv", tmp_path / "run"
    arguments = [
        *ARGUMENTS,
        "--data",
        str(tables[0]),
        "--set",
        f"more={missing}",
        "-o",
        str(output),
    ]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert f"asked for from {missing}, but there is no such file" in str(result.exception)
    assert not output.exists()
