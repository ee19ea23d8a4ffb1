"""How `train` and `evaluate` are told what to read, and what their help says."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
from typer.testing import CliRunner

from idskit.cli import app
from idskit.data.datasets import located
from idskit.errors import DataError
from idskit.training.settings import TrainingSettings


def test_a_table_needs_no_folder_and_a_data_set_does(tmp_path: Path):
    table = tmp_path / "my.csv"
    table.touch()
    assert located(str(table), []) == ("table", table)
    assert located(str(tmp_path), []) == ("table", tmp_path)
    assert located("nsl-kdd", [tmp_path]) == ("nsl-kdd", tmp_path)


@pytest.mark.parametrize(
    ("dataset", "data", "sentence"),
    [
        ("nsl-kdd", [], "nsl-kdd was asked for without its files: name their folder with --data"),
        ("gone.csv", [], r"gone\.csv is no data set by name \(nsl-kdd, .* there is no such file"),
        (".", [Path()], r"a table of your own, and --data \. was given as well: leave out one"),
        ("nsl-kdd", [Path(), Path()], "only captures are read from several: give one --data"),
    ],
)
def test_what_cannot_be_located_says_what_to_do(dataset: str, data: list[Path], sentence: str):
    with pytest.raises(DataError, match=sentence):
        located(dataset, data)


def test_help_shows_the_default_of_every_setting():
    """Of those with a flag in ``--help``, of the advanced ones in ``--set help``."""
    shown = CliRunner().invoke(app, ["train", "--help"], env={"COLUMNS": "400"}).stdout
    listed = CliRunner().invoke(app, ["train", "x", "--set", "help"], env={"COLUMNS": "400"})
    advanced = " ".join((listed.stdout + listed.stderr).split())
    options = re.split(r"\n  (?=-)", re.sub(r"\x1b\[[0-9;]*m", "", shown))
    for field in fields(TrainingSettings):
        if field.name in ("dataset", "model") or f" {field.name}=" in f" {advanced}":
            continue
        name = {"benign_labels": "benign-label"}.get(field.name, field.name.replace("_", "-"))
        [option] = [option for option in options if re.match(rf"--{name}\s", option)]
        assert "[default:" in option, name
    assert "default: 256; nsl-kdd: 512" in advanced
