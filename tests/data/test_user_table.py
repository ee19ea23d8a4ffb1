"""Any table with a label column."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from idskit.cli import main
from idskit.data.dataset import Dataset, Reading
from idskit.data.datasets import load
from idskit.errors import DataError
from idskit.profiles import schema_named


def get(data: Path, *, label: str = "Label", schema: str = "own", **changes: Any) -> Dataset:
    arguments: dict[str, Any] = {"protocol": "honest", "labels": "binary", "seed": 0}
    reading = Reading(label_column=label, schema=schema)
    return load("table", data, reading=reading, **arguments | changes)


def frame(rows: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "bytes": rng.lognormal(5, 2, rows),
            "packets": range(rows),
            "service": rng.choice(["http", "dns", "ssh"], rows),
            "Label": rng.choice(["benign", "scan", "flood"], rows),
        }
    )


def write(folder: Path, table: pd.DataFrame, name: str = "my.csv") -> Path:
    path = folder / name
    table.to_parquet(path) if name.endswith("parquet") else table.to_csv(path, index=False)
    return path


def test_text_columns_become_categories(tmp_path: Path):
    table = frame()
    dataset = get(write(tmp_path, table))
    service = dataset.schema.features[2]
    assert service.categories == ("dns", "http", "ssh")
    named = dict(zip(table["packets"], table["service"], strict=True))
    for row in dataset.test.rows:
        assert service.categories[int(row[2])] == named[int(row[1])]


def test_every_label_is_a_class_where_asked(tmp_path: Path):
    assert get(write(tmp_path, frame()), labels="attack").classes == ("benign", "flood", "scan")


def test_parquet_and_csv_are_one(tmp_path: Path):
    first, second = (get(write(tmp_path, frame(), name)) for name in ("t.csv", "t.parquet"))
    assert first.schema == second.schema
    assert (first.train.rows == second.train.rows).all()


def test_the_label_column_may_have_any_name(tmp_path: Path):
    path = write(tmp_path, frame().rename(columns={"Label": "what is it"}))
    assert get(path, label="what is it").classes == ("benign", "attack")


def test_labels_may_be_numbers(tmp_path: Path):
    table = frame()
    table["Label"] = (table["Label"] != "benign").astype(int)
    dataset = get(write(tmp_path, table))
    assert dataset.classes == ("benign", "attack")
    assert "label '0' is taken for benign" in dataset.notes


def test_tables_of_a_folder_are_read_together(tmp_path: Path):
    table = frame()
    write(tmp_path, table[:40], "1.csv")
    write(tmp_path, table[40:][["Label", "service", "bytes", "packets"]], "2.parquet")
    dataset = get(tmp_path)
    assert len(dataset.train) + len(dataset.validation) + len(dataset.test) == 60
    assert list(dataset.sha256) == ["1.csv", "2.parquet"]


def test_columns_that_identify_a_flow_are_left_out_and_named(tmp_path: Path):
    table = frame().assign(**{"Src IP": "10.0.0.1", "Flow ID": range(60), "timestamp": "now"})
    table.index.name = ""
    path = tmp_path / "my.csv"
    table.to_csv(path)
    dataset = get(path)
    assert dataset.schema.names == ("bytes", "packets", "service")
    left = next(note for note in dataset.notes if "identify a flow" in note)
    assert left.endswith("(no name), Src IP, Flow ID, timestamp")


def test_columns_of_a_profile_are_found_by_name(tmp_path: Path):
    schema = schema_named("kdd99")
    table = pd.DataFrame({name: range(30) for name in reversed(schema.names)})
    table["protocol_type"], table["service"], table["flag"] = "tcp", "http", "SF"
    table["Label"], table["extra"] = ["normal", "dos", "dos"] * 10, 5
    dataset = get(write(tmp_path, table), schema="kdd99")
    assert dataset.schema == schema
    assert dataset.train.rows[0, 1] == schema.features[1].categories.index("tcp")


def test_missing_columns_of_a_profile_are_named(tmp_path: Path):
    with pytest.raises(DataError, match="lacks 86 of the 86 columns of schema cic-fixed"):
        get(write(tmp_path, frame()), schema="cic-fixed")


def test_a_missing_label_column_names_those_found(tmp_path: Path):
    with pytest.raises(DataError, match=r"label column 'class' was asked .* 'bytes', 'packets'"):
        get(write(tmp_path, frame()), label="class")


def test_a_text_among_numbers_is_named_by_row_and_column(tmp_path: Path):
    table = frame().astype({"bytes": object})
    table.loc[17, "bytes"] = "n.a."
    with pytest.raises(DataError, match=r"row 18, column 'bytes': a number is due, but 'n\.a\.'"):
        get(write(tmp_path, table))


def test_a_repeated_column_is_refused(tmp_path: Path):
    (tmp_path / "t.csv").write_text("a,a,Label\n1,2,benign\n3,4,scan\n")
    with pytest.raises(DataError, match="more than one column 'a'"):
        get(tmp_path / "t.csv")


def test_tables_of_other_columns_are_refused(tmp_path: Path):
    write(tmp_path, frame(), "1.csv")
    write(tmp_path, frame().drop(columns="packets"), "2.csv")
    with pytest.raises(DataError, match=r"2\.csv lacks the column 'packets'"):
        get(tmp_path)


def test_a_table_without_benign_rows_is_refused(tmp_path: Path):
    table = frame()
    with pytest.raises(DataError, match=r"labels 'flood' \(26 rows\), 'scan' .* --benign-label"):
        get(write(tmp_path, table[table["Label"] != "benign"]), labels="attack")


def test_a_table_of_one_class_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match=r"only rows of class benign \(60 rows of my\.csv\)"):
        get(write(tmp_path, frame().assign(Label="benign")))


def test_a_class_of_one_row_is_refused(tmp_path: Path):
    table = frame()
    table.loc[0, "Label"] = "worm"
    with pytest.raises(DataError, match="only one row of class worm"):
        get(write(tmp_path, table), labels="attack")


def test_an_empty_table_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="holds no labelled row"):
        get(write(tmp_path, frame()[:0]))


def test_a_table_of_labels_only_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="no column other than its label"):
        get(write(tmp_path, frame()[["Label"]]))


def test_a_wrong_choice_of_what_to_leave_out_is_refused(tmp_path: Path):
    reading = Reading(nonfinite="cells")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="what can be left out is rows or columns"):
        load("table", tmp_path, protocol="honest", labels="binary", seed=0, reading=reading)


def test_the_public_arrays_are_tables(shared: Path):
    for path in (shared / "data" / "reference-arrays").glob("*.csv.gz"):
        dataset = get(path, label="label", labels="attack")
        assert len(dataset.schema) in (12, 13)


def test_a_table_trains_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    table = frame(120).rename(columns={"Label": "class"})
    for column in range(12):
        table[f"n{column}"] = np.random.default_rng(column).normal(size=120)
    run, path = tmp_path / "run", write(tmp_path, table)
    words = f"train table --data {path} --label-column class --labels attack -o {run}"
    with pytest.raises(SystemExit) as end:
        main([*words.split(), "--set", "width=8", "--epochs", "1", "--threads", "1"])
    assert end.value.code == 0
    metrics = json.loads((run / "metrics.json").read_text())
    assert list(metrics["test"]["f1"]) == ["benign", "flood", "scan"]
    assert metrics["protocol"] == "honest"
    with pytest.raises(SystemExit) as end:
        main(["evaluate", str(run), "table", "--data", str(path), "--json", "-"])
    assert end.value.code == 0
    assert json.loads(capsys.readouterr().out)["test"] == metrics["test"]
