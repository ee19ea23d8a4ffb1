"""What an audit accepts, how it bounds itself, and its one sentence for bad input."""

from __future__ import annotations

import gzip
import html.parser
import json
import zipfile

import numpy as np
import pandas as pd
import pytest
from tests.audit.tables import honest

from idskit.audit.gather_tables import ReadOptions, read_tables
from idskit.audit.run_audit import audit_dataset, audit_tables
from idskit.cli import main
from idskit.errors import DataError
from idskit.tables import lines


def leaking(rows=500):
    return honest(rows).sort_values("label", ignore_index=True).assign(number=np.arange(rows))


def test_parquet_and_csv_give_the_same_findings(save):
    found = [
        json.dumps(audit_tables([save(leaking(), name)]).to_json())
        for name in ("table.csv", "table.parquet")
    ]
    assert found[0].replace("table.csv", "table.parquet") == found[1]


def test_pieces_give_the_same_table_as_a_whole(save, monkeypatch):
    path = save(honest(1000, 4))
    whole = read_tables([path], ReadOptions())
    monkeypatch.setattr(lines, "PIECE_BYTES", 9000)
    pieces = read_tables([path], ReadOptions())
    assert (whole.exact == pieces.exact).all()
    assert (whole.labels[0].codes == pieces.labels[0].codes).all()
    for one, other in zip(whole.columns, pieces.columns, strict=True):
        np.testing.assert_array_equal(one.values, other.values)


def test_big_tables_are_sampled_in_their_order(save, monkeypatch):
    monkeypatch.setattr(lines, "PIECE_BYTES", 9000)
    table = honest(1000).assign(place=np.arange(1000))
    read_in = read_tables([save(table)], ReadOptions(most_rows=200, seed=3))
    place = next(c.values for c in read_in.columns if c.name == "place")
    assert len(read_in) == 1000
    assert len(place) == 200
    assert (np.diff(place) > 0).all()
    assert place.mean() == pytest.approx(500, abs=60)


def test_leaks_are_found_in_a_sample(save):
    report = audit_tables([save(leaking(3000))], most_rows=500)
    assert ("number",) in [f.columns for f in report.findings if f.check == "row-index"]
    assert report.rows_looked_at == 500


def test_files_without_a_label_are_classes_of_their_own(save):
    tables = [save(honest(100, seed=s).drop(columns="label"), f"{s}.csv") for s in (1, 2)]
    assert audit_tables(tables).labels == ("(file)",)


def test_features_and_labels_in_files_of_their_own_are_put_together(save):
    table = leaking()
    features = save(table.drop(columns="label"), "x.csv")
    report = audit_tables([features, save(table[["label"]], "y.csv")])
    assert report.labels == ("label",)
    assert [f.check for f in report.findings if f.severity == "leak"] == ["row-index"]


def test_labels_of_one_number_in_two_spellings_are_one(save):
    table = honest(200).assign(label=lambda t: t["label"].str[-1].astype(int))
    other = pd.DataFrame({"extra": np.random.default_rng(0).normal(size=200)})
    other["label"] = table["label"].astype(float)
    joined = read_tables([save(table), save(other, "other.csv")], ReadOptions())
    assert joined.labels[0].names == ("0", "1")
    assert [c.name for c in joined.columns][-1] == "extra"


def test_infinite_and_missing_values_are_no_error(save):
    table = honest(300)
    table.loc[:5, "rate"] = np.inf
    table.loc[6:9, "strong"] = np.nan
    table.loc[3:8, "service"] = None
    assert audit_tables([save(table)]).rows == 300


def test_one_class_is_audited(save):
    assert audit_tables([save(honest(300).assign(label="benign"))]).count("leak") == 0


BAD = {
    "no such file": (lambda save: save(honest(100)).with_name("gone.csv"), "no such file"),
    "no label": (lambda save: save(honest(100).drop(columns="label")), "name it with --label"),
    "too few rows": (lambda save: save(honest(20)), "holds 20 rows, and an audit needs 50"),
    "no rows": (lambda save: save(honest(0)), "holds no rows"),
    "another format": (lambda save: zipped(save(honest(100))), r"x\.xlsx is no table but a zip"),
}


def zipped(path):
    with zipfile.ZipFile(path.with_name("x.xlsx"), "w") as archive:
        archive.write(path)
    return path.with_name("x.xlsx")


def test_text_among_many_numbers_is_named(save):
    table = honest(300).astype({"bytes": object})
    table.loc[7, "bytes"] = "bytes"  # a header line in the middle of a file
    with pytest.raises(DataError, match="row 8, column 'bytes': a number is due"):
        audit_tables([save(table)])


@pytest.mark.parametrize("case", BAD)
def test_bad_tables_are_refused_in_a_sentence(save, tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    make, sentence = BAD[case]
    with pytest.raises(DataError, match=sentence):
        audit_tables([make(save)])


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "cut.csv.gz"
    path.write_bytes(gzip.compress(honest(300).to_csv().encode())[:500])
    with pytest.raises(DataError, match=r"cut.csv.gz is a gzip file that is damaged"):
        audit_tables([path])


def test_text_where_numbers_are_due_is_named(save, monkeypatch):
    monkeypatch.setattr(lines, "PIECE_BYTES", 5000)
    table = honest(300).astype({"bytes": object})
    table.loc[250, "bytes"] = "many"
    with pytest.raises(DataError, match=r"row 251, column 'bytes': a number is due.*'many'"):
        audit_tables([save(table)])


def test_a_label_that_is_not_there_is_refused(save):
    with pytest.raises(DataError, match="has no column kind, which was asked for as label"):
        audit_tables([save(honest(100))], labels=["kind"])


def test_tables_that_do_not_fit_together_are_refused(save):
    tables = [save(honest(100)), save(honest(90).assign(extra=1), "other.csv")]
    with pytest.raises(DataError, match="100 and 90 rows; audit them one by one"):
        audit_tables(tables)


def test_rows_of_other_labels_are_not_put_side_by_side(save):
    other = honest(100).assign(extra=1)
    other["label"] = other["label"].iloc[::-1].to_numpy()
    with pytest.raises(DataError, match="their label 'label' differs in"):
        audit_tables([save(honest(100)), save(other, "other.csv")])


def test_a_test_table_of_other_columns_is_refused(save):
    with pytest.raises(DataError, match=r"do not have the same columns \(noise\)"):
        audit_tables([save(honest(100))], test=[save(honest(100).drop(columns="noise"), "t.csv")])


def test_a_data_set_by_name_needs_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="name its folder with --data"):
        audit_tables([tmp_path.joinpath("nsl-kdd").relative_to(tmp_path)])


def test_permuted_labels_need_two_classes(save):
    with pytest.raises(DataError, match="permuted labels need rows of two classes"):
        audit_tables([save(honest(300).assign(label="benign"))], permute=True)


def test_the_command_exits_3_on_a_leak_and_writes_what_it_found(save, tmp_path, capsys):
    page = tmp_path / "audit.html"
    with pytest.raises(SystemExit) as stop:
        main(["audit", str(save(leaking())), "--json", "-", "--html", str(page)])
    out, error = capsys.readouterr()
    assert stop.value.code == 3
    assert json.loads(out)["counts"]["leak"] == 1
    assert "1 leak found in table.csv (row-index)" in error
    html.parser.HTMLParser().feed(page.read_text())
    assert "number" in page.read_text()


def test_the_command_exits_0_on_an_honest_table(save, capsys):
    main_exit(["audit", str(save(honest(500))), "--label-column", "label"])
    assert "no leaks, no warnings, 1 note" in capsys.readouterr().err


def main_exit(arguments):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert not stop.value.code


def test_markup_in_column_names_is_only_text(save, capsys):
    main_exit(["audit", str(save(honest(200).assign(**{"[/red]": 0})))])
    assert "[/red]" in capsys.readouterr().err


def test_an_unknown_data_set_is_refused(tmp_path):
    with pytest.raises(DataError, match="nonsense"):
        audit_dataset("nonsense", tmp_path)
