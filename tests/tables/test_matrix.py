"""Tables of any length: what pandas reads, piece by piece, and what is refused."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from idskit.errors import DataError
from idskit.tables import lines, matrix, pieces
from idskit.tables.matrix import MISSING, Source, Table, read_tables, table_files, words_of
from idskit.tables.pieces import header_of

TABLES = (
    "ciciot2023/BrowserHijacking.pcap.csv.gz",
    "ciciot2023/CICIoT2023_10class_sample.csv.gz",
    "ciciot2023/CICIoT2023_34class_sample.csv.gz",
    "ciciot2023/SqlInjection.pcap.csv.gz",
    "iotid20/IoTID20_1pct_30feat_binary.csv.gz",
    "cicids2017/CICIDS2017_1pct_19feat_binary.csv.gz",
    "cicids2017/CICIDS2017_7class_77feat.csv.gz",
    "cicids2017/raw-format-excerpt.Friday-WorkingHours-Afternoon-DDos.pcap_ISCX.csv",
    "reference-arrays/nsl_kdd_test_mfccpca.csv.gz",
    "reference-arrays/iotid20_test_pca+mfcc.csv.gz",
    "reference-arrays/iot20d_reshaped_test_sample_merge.csv.gz",
    "reference-arrays/cic_2023_test_mfcc_pca.csv.gz",
)


def source(path: Path, positions: list[int | None], **more: object) -> Source:
    arguments: dict[str, object] = {
        "path": path,
        "header": header_of(path),
        "positions": tuple(positions),
        "label_text": "benign",
    }
    return Source(**arguments | more)  # type: ignore[arg-type]


def write(folder: Path, text: str | bytes, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def read(path: Path, positions: list[int | None], **more: object) -> Table:
    return read_tables([source(path, positions, **more)], finite=False)


@pytest.mark.parametrize("name", TABLES)
def test_the_public_tables_read_as_pandas_reads_them(shared: Path, name: str):
    path = shared / "data" / name
    expected = pd.read_csv(path)
    numbers = [i for i, kind in enumerate(expected.dtypes) if kind.kind in "if"]
    found = read(path, list(numbers))
    assert np.array_equal(
        found.rows, expected.iloc[:, numbers].to_numpy(np.float64).astype(np.float32), True
    )


def test_pieces_make_the_same_rows_as_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    values = np.random.default_rng(0).integers(0, 1000, (5000, 3))
    path = write(tmp_path, "a,b,c\n" + "".join(f"{a},{b},{c}\n" for a, b, c in values))
    monkeypatch.setattr(lines, "PIECE_BYTES", 1000)
    found = read(path, [0, 2], label=1)
    assert (found.rows == values[:, [0, 2]]).all()
    assert [found.names[code] for code in found.labels] == [str(b) for b in values[:, 1]]


def test_parquet_reads_as_csv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pieces, "STORED_PIECE_ROWS", 7)
    frame = pd.DataFrame({"a": [1.5, np.nan, 3] * 10, "b": range(30), "l": list("xyz") * 10})
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_csv(tmp_path / "t.csv", index=False)
    first, second = (read(tmp_path / f"t.{kind}", [0, 1], label=2) for kind in ("parquet", "csv"))
    assert np.array_equal(first.rows, second.rows, True)
    assert first.labels.tolist() == second.labels.tolist() == [0, 1, 2] * 10


@pytest.mark.parametrize(
    "content",
    [
        b"a,b\n1,2\n3,4\n",
        b"a,b\r\n1,2\r\n3,4\r\n",
        b"\xef\xbb\xbfa,b\n1,2\n3,4",
        b" a, b \n 1, 2\n3,4\n\n",
        b'"a","b"\n"1","2"\n3,4\n',
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_line_ends_marks_spaces_and_quotes_do_not_matter(
    tmp_path: Path, content: bytes, zipped: bool
):
    name = "table.csv.gz" if zipped else "table.csv"
    path = write(tmp_path, gzip.compress(content) if zipped else content, name)
    assert header_of(path) == ("a", "b")
    assert read(path, [0, 1]).rows.tolist() == [[1, 2], [3, 4]]


def test_a_column_that_occurs_twice_is_found_by_its_place(tmp_path: Path):
    path = write(tmp_path, "a,a,b\n1,2,3\n")
    assert read(path, [1, 2]).rows.tolist() == [[2, 3]]


def test_a_column_that_is_nowhere_is_zero(tmp_path: Path):
    assert read(write(tmp_path, "a\n5\n"), [None, 0]).rows.tolist() == [[0, 5]]


def test_a_label_that_is_no_utf8_is_windows_1252(tmp_path: Path):
    path = write(tmp_path, b"a,l\n1,Web Attack \x96 XSS\n2,Web Attack \xef\xbf\xbd XSS\n")
    assert read(path, [0], label=1).names == ("Web Attack \u2013 XSS", "Web Attack \ufffd XSS")


def test_nan_and_infinity_stand_as_they_are(tmp_path: Path):
    path = write(tmp_path, "a,b\n1,Infinity\n2,NaN\n3,\n4,-inf\n5,1e99\n6,0\n")
    found = read(path, [0, 1])
    expected = np.array([np.inf, np.nan, np.nan, -np.inf, np.inf, 0], np.float32)
    assert np.array_equal(found.rows[:, 1], expected, True)
    assert found.nonfinite == {1: 5}


def test_rows_with_nan_or_infinity_are_left_out_and_counted(tmp_path: Path):
    path = write(tmp_path, "a,b\n1,inf\n2,2\nnan,nan\n4,4\n")
    found = read_tables([source(path, [0, 1])], finite=True)
    assert found.rows.tolist() == [[2, 2], [4, 4]]
    assert (found.incomplete, dict(found.nonfinite)) == (2, {0: 1, 1: 2})


def test_lines_of_commas_only_are_left_out_and_counted(tmp_path: Path):
    path = write(tmp_path, "a,l\n1,x\n,\n,\n2,y\n")
    found = read(path, [0], label=1)
    assert found.rows.tolist() == [[1], [2]]
    assert found.unlabelled == 2
    assert not found.nonfinite


def test_text_columns_become_codes(tmp_path: Path):
    path = write(tmp_path, "a,p\n1,tcp\n2,udp\n3,tcp\n4,\n")
    found = read(path, [0, 1], texts=frozenset([1]))
    assert found.rows[:, 1].tolist() == [0, 1, 0, MISSING]
    assert found.texts == {1: ("tcp", "udp")}


def test_moments_are_minutes(tmp_path: Path):
    path = write(tmp_path, "a,t\n1,3/7/2017 8:55:58\n2,3/7/2017 8:55:59\n3,3/7/2017 8:56\n4,77\n")
    assert read(path, [0], moment=1).moments.tolist() == [0, 0, 1, MISSING]


def test_files_follow_each_other(tmp_path: Path):
    first, second = (
        write(tmp_path, text, name)
        for text, name in (("a,b\n1,2\n", "1.csv"), ("b,a\n4,3\n", "2.csv"))
    )
    sources = [source(first, [0, 1]), source(second, [1, 0], label_text="attack")]
    found = read_tables(sources, finite=False)
    assert found.rows.tolist() == [[1, 2], [3, 4]]
    assert found.files.tolist() == [0, 1]
    assert found.names == ("benign", "attack")
    assert list(found.sha256) == ["1.csv", "2.csv"]


def test_words_of_a_column_are_its_different_texts(tmp_path: Path):
    path = write(tmp_path, "a,l\n1,x\n2,y\n3,x\n4,\n")
    assert words_of(path, ("a", "l"), 1) == ["x", "y"]


def write_numbers(folder: Path, rows: int, columns: int) -> Path:
    values = np.arange(rows * columns).reshape(rows, columns)
    frame = pd.DataFrame(values, columns=[f"c{i}" for i in range(columns)])
    frame.to_csv(folder / "numbers.csv", index=False)
    return folder / "numbers.csv"


def test_memory_is_the_matrix_and_a_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lines, "PIECE_BYTES", 1 << 16)
    wanted = source(write_numbers(tmp_path, 60_000, 20), list(range(20)))
    tracemalloc.start()
    try:
        found = read_tables([wanted], finite=True)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.rows.nbytes == 60_000 * 20 * 4
    assert peak < 1.5 * found.rows.nbytes


def test_a_limit_on_rows_keeps_a_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lines, "PIECE_BYTES", 4096)
    wanted = source(write_numbers(tmp_path, 10_000, 2), [0, 1])
    found = read_tables([wanted], finite=True, most=500, seed=1)
    assert found.rows.shape == (500, 2)
    assert len(np.unique(found.rows[:, 0])) == 500
    assert (found.rows[:, 1] == found.rows[:, 0] + 1).all()
    assert abs(found.rows[:, 0].mean() / 10_000 - 1) < 0.12  # 5 standard errors
    again = read_tables([wanted], finite=True, most=500, seed=1)
    assert (again.rows == found.rows).all()


def test_a_limit_above_the_rows_keeps_all(tmp_path: Path):
    wanted = source(write_numbers(tmp_path, 10, 2), [0, 1])
    assert len(read_tables([wanted], finite=True, most=500).rows) == 10


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a,b\n1,2\n3,many\n", r"row 2, column 'b': a number is due, but 'many' was found"),
        ("a,b\n1,2\n3\n", "has 2 columns, but row 2 has 1 fields"),
        ("a,b\n", "holds no labelled row"),
    ],
)
def test_rows_that_cannot_be_used_are_named(tmp_path: Path, text: str, sentence: str):
    with pytest.raises(DataError, match=sentence):
        read(write(tmp_path, text), [0, 1])


def test_text_far_into_a_large_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lines, "PIECE_BYTES", 1000)
    path = write(tmp_path, "a,b\n" + "1,2\n" * 3000 + "1,x\n" + "1,2\n" * 3000)
    with pytest.raises(DataError, match="row 3001, column 'b'"):
        read(path, [0, 1])


def test_text_in_parquet_is_named(tmp_path: Path):
    pd.DataFrame({"a": ["1", "2", "x"]}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match="row 3, column 'a': a number is due, but 'x'"):
        read(tmp_path / "t.parquet", [0])


def test_a_column_of_too_many_texts_is_no_category(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(matrix, "MOST_TEXTS", 3)
    with pytest.raises(DataError, match="column 'p' holds more than 3 different texts"):
        read(write(tmp_path, "p\na\nb\nc\nd\n"), [0], texts=frozenset([0]))


@pytest.mark.parametrize("content", [b"", b"\n\n", b",,\n"])
def test_an_empty_table_is_refused(tmp_path: Path, content: bytes):
    with pytest.raises(DataError, match="is empty: a table with a line of column names"):
        header_of(write(tmp_path, content))


def test_a_cut_gzip_file_is_refused(tmp_path: Path):
    whole = gzip.compress(("a\n" + "".join(f"{i}\n" for i in range(50_000))).encode())
    path = write(tmp_path, whole[: len(whole) // 2], "t.csv.gz")
    with pytest.raises(DataError, match="damaged or cut short"):
        read_tables([Source(path=path, header=("a",), positions=(0,))], finite=True)


def test_a_parquet_file_that_is_none_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        header_of(write(tmp_path, "a,b\n1,2\n", "t.parquet"))


def test_a_folder_gives_its_tables_by_name(tmp_path: Path):
    for name in ("b.csv", "a.parquet", "c.csv.gz", "readme.md"):
        (tmp_path / name).touch()
    assert [p.name for p in table_files(tmp_path)] == ["a.parquet", "b.csv", "c.csv.gz"]


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"gone\.csv, but there is no such file or folder"):
        table_files(tmp_path / "gone.csv")


def test_a_folder_without_tables_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="it holds no such file"):
        table_files(tmp_path)
