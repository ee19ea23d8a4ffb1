"""What a table's columns, numbers and labels are, however they are written: one way for all."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from idskit.audit.run_audit import audit_tables
from idskit.data.dataset import Dataset, Reading
from idskit.data.datasets import load
from idskit.errors import DataError
from idskit.tables.lines import open_lines
from idskit.tables.numbers import number

ROWS = 80


def own(path: Path, **reading: Any) -> Dataset:
    return load(
        "table", path, protocol="honest", labels="binary", seed=0, reading=Reading(**reading)
    )


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "bytes": rng.integers(1_000, 90_000, ROWS),
            "rate": rng.normal(size=ROWS).round(6),
            "service": rng.choice(["-", "dns", "http"], ROWS),
            "Label": rng.choice(["Benign", "scan"], ROWS),
        }
    )


def csv_of(table: pd.DataFrame) -> str:
    return table.to_csv(index=False)


def values(dataset: Dataset) -> np.ndarray:
    rows = np.concatenate([p.rows for p in (dataset.train, dataset.validation, dataset.test)])
    return np.array(sorted(map(tuple, rows)))


def write(folder: Path, content: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,234.5", 1234.5),
        ("-1,234,567", -1234567),
        (" 7 ", 7),
        ("1e3", 1000),
        ("0x1F", 31),
        ("+Infinity", math.inf),
        ("-inf", -math.inf),
        ("True", 1),
        (".5", 0.5),
        *((text, math.nan) for text in ("", "-", "NA", "nan", "NULL", "None", "?", "N/A", " ")),
        *((text, None) for text in ("1,5", "12,34", "1_000", "many", "1.2.3.4", "5 %", "1" * 200)),
    ],
)
def test_numbers_as_tables_write_them(text: str, value: float | None):
    found = number(text)
    assert found == value or (found is not None and math.isnan(found) and math.isnan(value))


def test_a_comma_is_no_thousands_separator_where_semicolons_separate(tmp_path: Path):
    assert number("1,234", grouped=False) is None
    text = csv_of(frame()).replace(",", ";")
    assert np.array_equal(values(own(write(tmp_path, text))), values(own(plain(tmp_path))))


def plain(folder: Path) -> Path:
    return write(folder, csv_of(frame()), "plain.csv")


WRITTEN = {
    "a blank line first": lambda text: "\n \n" + text,
    "a line of commas first": lambda text: ",,,\n" + text,
    "comments first": lambda text: "# made by\n#\n" + text,
    "a comment in the middle": lambda text: text.replace("\n", "\n# half\n", 9),
    "blank lines in the middle": lambda text: text.replace("\n", "\n\n \n", 5),
    "the header again": lambda text: text + text.partition("\n")[0] + "\n",
    "the header again, quoted": lambda text: text + '"bytes", "rate", "service", "Label"\n',
    "the header again, with a mark": lambda text: text + "\ufeffbytes,rate,service,Label\r\n",
    "a mark": lambda text: "\ufeff" + text,
    "CRLF": lambda text: text.replace("\n", "\r\n"),
    "CR": lambda text: text.replace("\n", "\r"),
    "tabs": lambda text: text.replace(",", "\t"),
    "spaces": lambda text: text.replace(",", " , "),
}
PACKED = {
    "gzip": gzip.compress,
    "two gzip members": lambda raw: gzip.compress(raw[:100]) + gzip.compress(raw[100:]),
    "bzip2": bz2.compress,
    "two bzip2 streams": lambda raw: bz2.compress(raw[:100]) + bz2.compress(raw[100:]),
    "xz": lzma.compress,
    "two xz streams": lambda raw: lzma.compress(raw[:100]) + lzma.compress(raw[100:]),
    "UTF-16": lambda raw: raw.decode().encode("utf-16"),
    "UTF-16 without a mark": lambda raw: raw.decode().encode("utf-16-le"),
    "UTF-16, packed": lambda raw: gzip.compress(raw.decode().encode("utf-16-be")),
    "UTF-32": lambda raw: raw.decode().encode("utf-32"),
}


@pytest.mark.parametrize("way", [*WRITTEN, *PACKED])
def test_however_it_is_written_the_rows_are_the_same(tmp_path: Path, way: str):
    text = csv_of(frame())
    content = WRITTEN[way](text) if way in WRITTEN else PACKED[way](text.encode())
    path = write(tmp_path, content)
    assert np.array_equal(values(own(path)), values(own(plain(tmp_path))))
    with open_lines(path) as lines:  # and so does detection read it, without pyarrow
        rows = [r for part in lines.rows(99) for r in part if not r[0].strip().startswith("#")]
    assert len(rows) == ROWS


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
def test_what_pyarrow_unpacks_is_read(tmp_path: Path, codec: str, monkeypatch: Any):
    import pyarrow

    sink = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(sink, codec) as stream:
        stream.write(csv_of(frame()).encode())
    path = write(tmp_path, sink.getvalue().to_pybytes(), "t.bin")
    assert len(values(own(path))) == ROWS
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    unpack = rf"packed with {codec}: unpack it first \({codec} -d\)"
    with pytest.raises(DataError, match=unpack), open_lines(path):
        pass


def test_headers_between_rows_are_counted_by_train_and_audit(tmp_path: Path):
    text = csv_of(frame())
    path = write(tmp_path, text * 3)
    assert "left out: 2 repeated header lines" in own(path).notes
    report = audit_tables([path])
    assert (report.rows, report.columns) == (3 * ROWS, 3)
    assert "t.csv: left out: 2 repeated header lines" in report.to_json()["notes"]


@pytest.mark.parametrize("first", ["-", "1,234.5", "", "NULL", "n/a"])
def test_the_first_value_does_not_decide(tmp_path: Path, first: str):
    table = frame().astype({"rate": object})
    table.loc[0, "rate"] = first
    dataset = own(write(tmp_path, csv_of(table)), nonfinite="rows")
    assert not dataset.schema.features[1].categories
    left = ROWS - (0 if first == "1,234.5" else 1)
    assert len(values(dataset)) == left
    if first in ("-", "NULL"):
        assert f"{first!r} read as missing: rate 1" in dataset.notes
        assert any(
            f"{first!r} read as missing" in n for n in audit_tables([tmp_path / "t.csv"]).notes
        )


@pytest.mark.parametrize("reader", [own, lambda path: audit_tables([path])])
def test_a_few_texts_among_numbers_are_an_error_that_names_one(tmp_path: Path, reader: Any):
    table = frame().astype({"rate": object})
    table.loc[:3, "rate"] = "fast"
    with pytest.raises(DataError, match="row 1, column 'rate': a number is due, but 'fast'"):
        reader(write(tmp_path, csv_of(table)))


def test_a_column_that_is_empty_at_first_is_what_comes_later(tmp_path: Path):
    table = pd.concat([frame()] * 40, ignore_index=True).assign(bytes=range(40 * ROWS))
    table["method"] = [""] * 2_000 + ["GET", "PUT"] * 600
    dataset = own(write(tmp_path, csv_of(table)))
    assert dataset.schema.features[-1].categories == ("GET", "PUT")


def test_columns_that_nothing_can_be_learned_from_are_left_out_by_name(tmp_path: Path):
    table = frame().assign(uri=[f"/x/{i:x}" for i in range(ROWS)], nothing="", attack_cat="x")
    dataset = own(write(tmp_path, csv_of(table)))
    assert dataset.schema.names == ("bytes", "rate", "service")
    notes = " ".join(dataset.notes)
    assert "other label columns: attack_cat" in notes
    assert "without a value: nothing" in notes
    assert "nearly every row has its own: uri" in notes


INDEXED = {
    "CSV": lambda table, path: table.to_csv(path),
    "CSV twice": lambda table, path: pd.read_csv(io.StringIO(table.to_csv())).to_csv(path),
    "Parquet": lambda table, path: table.to_parquet(path),
    "Parquet, named": lambda table, path: table.rename_axis("when").to_parquet(path),
    "Parquet without metadata": lambda table, path: (
        table.rename_axis("__index_level_0__").reset_index().to_parquet(path)
    ),
}


@pytest.mark.parametrize("way", INDEXED)
def test_the_index_of_pandas_is_no_feature(tmp_path: Path, way: str):
    path = tmp_path / ("t.csv" if way.startswith("CSV") else "t.parquet")
    INDEXED[way](frame().sample(frac=1, random_state=0), path)
    dataset, report = own(path), audit_tables([path])
    assert dataset.schema.names == ("bytes", "rate", "service")
    assert report.columns == 3
    for notes in (dataset.notes, report.notes):
        assert any("number the rows" in note for note in notes)


@pytest.mark.parametrize(
    ("column", "benign", "attack"),
    [
        ("Label", "Legitimate", "DoS"),
        ("Label", False, True),
        ("Label", 0, 1),
        ("Label", 0.0, 1.0),
        ("class", "Background", "Botnet"),
        ("is_attack", "no", "yes"),
        ("is_benign", 1, 0),
        ("Normal", True, False),
        ("Label", "clean", "infected"),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_benign_rows_by_any_usual_name(
    tmp_path: Path, column: str, benign: Any, attack: Any, kind: str
):
    labels = [benign] * 50 + [attack] * 30
    table = frame().drop(columns="Label").assign(**{column: labels})
    path = tmp_path / f"t.{kind}"
    table.to_csv(path, index=False) if kind == "csv" else table.to_parquet(path)
    dataset = own(path, label_column=column)
    rows = np.concatenate([p.labels for p in (dataset.train, dataset.validation, dataset.test)])
    assert np.bincount(rows).tolist() == [50, 30]


def test_an_unknown_benign_name_is_asked_for(tmp_path: Path):
    table = frame().replace({"Benign": "ok traffic"})
    path = write(tmp_path, csv_of(table))
    with pytest.raises(DataError, match=r"'ok traffic' \(\d+ rows\).*--benign-label"):
        own(path)
    assert "label 'ok traffic' is taken for benign" in own(path, benign_labels=["OK-traffic"]).notes
    with pytest.raises(DataError, match=r"'ok trafic' was asked .* \(is it 'ok traffic'\?\)"):
        own(path, benign_labels=["ok trafic"])


def test_labels_that_may_all_be_benign_are_asked_for(tmp_path: Path):
    table = frame()
    table.loc[:9, "Label"] = "Background"
    path = write(tmp_path, csv_of(table))
    with pytest.raises(DataError, match="'Benign', 'Background' may all be benign"):
        own(path)
    assert own(path, benign_labels=["Benign", "background"]).classes == ("benign", "attack")


def test_the_label_is_found_by_its_name_and_the_nearest_is_named(tmp_path: Path):
    path = write(tmp_path, csv_of(frame().rename(columns={"Label": "class"})))
    assert len(own(path).schema) == 3
    with pytest.raises(DataError, match=r"\(is it 'class'\?\)"):
        own(path, label_column="clas")


@pytest.mark.parametrize("none", ["", "NaN", "null"])
def test_rows_without_a_label_are_left_out(tmp_path: Path, none: str):
    table = frame()
    table.loc[:4, "Label"] = none
    assert "left out: 5 rows without a label" in own(write(tmp_path, csv_of(table))).notes
