"""The NSL-KDD reader and its protocols."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from idskit.data.dataset import Dataset, Reading
from idskit.data.datasets import load
from idskit.data.published import nsl_kdd
from idskit.errors import DataError
from idskit.profiles import schema_named
from idskit.schemas import kdd99_columns as kdd_columns

Write = Callable[..., Path]
Lines = Callable[..., list[str]]
Line = Callable[..., str]


def load_nsl(folder: Path, protocol: str = "official", labels: str = "binary") -> Dataset:
    return load("nsl-kdd", folder, protocol=protocol, labels=labels, seed=0)  # type: ignore[arg-type]


def test_schema_has_the_41_published_features():
    assert len(nsl_kdd.SCHEMA) == 41
    assert [len(feature.categories) for feature in nsl_kdd.SCHEMA.features[1:4]] == [3, 70, 11]


def test_values_land_in_their_columns(write_nsl: Write, nsl_line: Line):
    row = nsl_line(duration=7, protocol_type="udp", service="domain_u", flag="S0", count=511)
    records = nsl_kdd.read(write_nsl([row]) / "KDDTrain+.txt")
    named = dict(zip(nsl_kdd.SCHEMA.names, records.rows[0].tolist(), strict=True))
    assert named["duration"] == 7
    assert kdd_columns.PROTOCOL_TYPES[int(named["protocol_type"])] == "udp"
    assert kdd_columns.SERVICES[int(named["service"])] == "domain_u"
    assert kdd_columns.FLAGS[int(named["flag"])] == "S0"
    assert named["count"] == 511


def test_gzip_and_plain_files_read_the_same(write_nsl: Write, nsl_lines: Lines):
    rows = nsl_lines("normal", 5)
    plain = nsl_kdd.read(write_nsl(rows) / "KDDTrain+.txt")
    zipped = nsl_kdd.read(write_nsl(rows, zipped=True) / "KDDTrain+.txt.gz")
    assert (plain.rows == zipped.rows).all()


def test_validation_part_shares_no_row_with_training(write_nsl: Write, nsl_lines: Lines):
    train = [*nsl_lines("normal", 60), *nsl_lines("normal", 60), *nsl_lines("neptune", 60, 1000)]
    dataset = load_nsl(write_nsl(train, nsl_lines("normal", 5)))
    shared_rows = set(map(tuple, dataset.train.rows)) & set(map(tuple, dataset.validation.rows))
    assert not shared_rows
    assert len(dataset.train) + len(dataset.validation) == 180


def test_validation_part_is_stratified_by_attack(write_nsl: Write, nsl_lines: Lines):
    train = [*nsl_lines("normal", 100), *nsl_lines("neptune", 40, 1000), *nsl_lines("spy", 2, 5000)]
    dataset = load_nsl(write_nsl(train, nsl_lines("normal", 5)))
    counts = np.bincount(dataset.validation.groups, minlength=len(dataset.groups))
    assert dict(zip(dataset.groups, counts.tolist(), strict=True)) == {
        "neptune": 6,
        "normal": 15,
        "spy": 0,
    }


def test_honest_removes_repeats_and_test_rows_seen_in_training(write_nsl: Write, nsl_lines: Lines):
    train = [*nsl_lines("normal", 30), *nsl_lines("normal", 10), *nsl_lines("neptune", 30, 1000)]
    test = [*nsl_lines("normal", 4, 28), *nsl_lines("smurf", 3, 2000), *nsl_lines("smurf", 1, 2000)]
    dataset = load_nsl(write_nsl(train, test), "honest")
    assert len(dataset.train) + len(dataset.validation) == 60
    assert len(dataset.test) == 5
    assert any("removed 10 repeated training rows, 1 repeated" in note for note in dataset.notes)


def test_official_keeps_every_test_row(write_nsl: Write, nsl_lines: Lines):
    train = [*nsl_lines("normal", 30), *nsl_lines("neptune", 30, 1000)]
    dataset = load_nsl(write_nsl(train, nsl_lines("normal", 8)))
    assert len(dataset.test) == 8


def test_paper_takes_balanced_rows_of_the_training_file_and_names_its_leaks(
    write_nsl: Write, nsl_lines: Lines
):
    dataset = load_nsl(write_nsl([*nsl_lines("normal", 90), *nsl_lines("back", 30, 1000)]), "paper")
    assert np.bincount(dataset.test.labels).tolist() == [24, 24]
    assert sum(note.startswith("leak") for note in dataset.notes) == 2


def test_families_are_the_published_four(write_nsl: Write, nsl_lines: Lines):
    names = ["normal", "neptune", "satan", "spy", "perl"]
    train = [row for i, name in enumerate(names) for row in nsl_lines(name, 4, 100 * i)]
    dataset = load_nsl(write_nsl(train, nsl_lines("mscan", 2)), labels="family")
    assert dataset.classes == ("benign", "dos", "probe", "r2l", "u2r")
    assert dataset.test.labels.tolist() == [2, 2]


def test_an_unlisted_attack_counts_as_attack_and_is_reported(write_nsl: Write, nsl_lines: Lines):
    train = [*nsl_lines("normal", 10), *nsl_lines("neptune", 10, 1000)]
    test = [*nsl_lines("normal", 2), *nsl_lines("zero_day", 3, 50)]
    dataset = load_nsl(write_nsl(train, test))
    assert dataset.test.labels.tolist() == [0, 0, 1, 1, 1]
    assert any("counted as attack: zero_day 3" in note for note in dataset.notes)


def test_an_unlisted_attack_is_left_out_of_families_aloud(write_nsl: Write, nsl_lines: Lines):
    names = ["normal", "neptune", "satan", "spy", "perl"]
    train = [row for i, name in enumerate(names) for row in nsl_lines(name, 4, 100 * i)]
    folder = write_nsl(train, [*nsl_lines("normal", 2), *nsl_lines("zero_day", 3, 50)])
    dataset = load_nsl(folder, labels="family")
    assert len(dataset.test) == 2
    assert any("left out: their family is not known: zero_day 3" in note for note in dataset.notes)


def test_an_unlisted_service_is_coded_unknown_and_counted(write_nsl: Write, nsl_line: Line):
    records = nsl_kdd.read(write_nsl([nsl_line(service="quic")]) / "KDDTrain+.txt")
    assert records.rows[0, 2] == -1
    assert dict(records.unlisted) == {"service quic": 1}


def test_the_same_seed_gives_the_same_parts(write_nsl: Write, nsl_lines: Lines):
    train = [*nsl_lines("normal", 50), *nsl_lines("neptune", 50, 1000)]
    folder = write_nsl(train, nsl_lines("normal", 5))
    first, second = load_nsl(folder), load_nsl(folder)
    assert (first.train.rows == second.train.rows).all()
    assert first.sha256 == second.sha256


def load_kdd99(folder: Path, schema: str = "kdd99") -> Dataset:
    reading = Reading(schema=schema)
    return load("nsl-kdd", folder, protocol="honest", labels="binary", seed=0, reading=reading)


def test_columns_of_kdd99_hold_what_the_file_holds(write_nsl: Write, nsl_line: Line):
    values = {"hot": 1, "wrong_fragment": 3, "dst_host_srv_rerror_rate": 0.25}
    normal = [nsl_line("normal", duration=i, **values) for i in range(40)]
    attack = [nsl_line("pod", duration=i, src_bytes=1480, **values) for i in range(40)]
    folder = write_nsl([*normal, *attack], [nsl_line("normal", duration=99)])
    dataset = load_kdd99(folder)
    assert dataset.schema == schema_named("kdd99")
    row = dict(zip(dataset.schema.names, dataset.test.rows[0].tolist(), strict=True))
    assert row["duration"] == 99
    assert kdd_columns.SERVICES[int(row["service"])] == "http"
    trained = dict(zip(dataset.schema.names, dataset.train.rows[0].tolist(), strict=True))
    assert trained["dst_host_srv_rerror_rate"] == 0.25
    assert trained["wrong_fragment"] == 0
    assert any("wrong_fragment is left out" in note for note in dataset.notes)


def test_rows_that_packets_cannot_tell_apart_are_repeats(write_nsl: Write, nsl_line: Line):
    rows = [
        nsl_line(name, duration=i, hot=hot)
        for i in range(30)
        for hot in (0, 1)
        for name in ("normal",)
    ]
    rows += [nsl_line("back", duration=100 + i) for i in range(30)]
    dataset = load_kdd99(write_nsl(rows, [nsl_line("normal", duration=99)]))
    assert len(dataset.train) + len(dataset.validation) == 60


def test_a_profile_of_other_columns_is_refused(write_nsl: Write, nsl_lines: Lines):
    with pytest.raises(DataError, match="can only be those of own, kdd99, kdd99-100"):
        load_kdd99(write_nsl(nsl_lines("normal", 3)), schema="cic-fixed")


def test_rows_cannot_be_limited(tmp_path: Path):
    reading = Reading(rows=5)
    with pytest.raises(DataError, match="nsl-kdd is always read whole"):
        load("nsl-kdd", tmp_path, protocol="official", labels="binary", seed=0, reading=reading)


def test_the_arff_file_reads_as_the_text_file(shared: Path):
    folder = shared / "data" / "nsl-kdd"
    arff, text = (nsl_kdd.read(folder / f"KDDTest-21.{kind}.gz") for kind in ("arff", "txt"))
    assert (arff.rows == text.rows).all()
    assert ((arff.attacks == "normal") == (text.attacks == "normal")).all()


def test_families_of_an_arff_file_are_refused(shared: Path, write_nsl: Write, nsl_lines: Lines):
    folder = write_nsl([*nsl_lines("normal", 30), *nsl_lines("neptune", 30, 1000)], [])
    (folder / "KDDTest+.txt").unlink()
    shutil.copy(shared / "data" / "nsl-kdd" / "KDDTest-21.arff.gz", folder)
    assert load_nsl(folder).test.labels.sum() == 11_850 - 2_152
    with pytest.raises(
        DataError, match=r"family labels .* KDDTest-21\.arff only states normal and"
    ):
        load_nsl(folder, labels="family")


def test_files_in_place_of_others_are_named(write_nsl: Write, nsl_lines: Lines):
    train = [*nsl_lines("normal", 30), *nsl_lines("neptune", 30, 1000)]
    folder = write_nsl(train, nsl_lines("normal", 8))
    (folder / "KDDTrain+.txt").rename(folder / "KDDTrain+_20Percent.txt")
    (folder / "KDDTest+.txt").rename(folder / "KDDTest-21.txt")
    dataset = load_nsl(folder)
    assert set(dataset.sha256) == {"KDDTrain+_20Percent.txt", "KDDTest-21.txt"}
    assert sum("was read, as the folder has no" in note for note in dataset.notes) == 2


def test_the_other_public_files_hold_what_is_published(shared: Path):
    folder = shared / "data" / "nsl-kdd"
    part = nsl_kdd.read(folder / "KDDTrain+_20Percent.txt.gz")
    assert len(part.rows) == 25_192
    assert (part.attacks == "normal").sum() == 13_449
    assert len(set(part.attacks)) == 22


def test_missing_files_are_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"neither KDDTrain\+.txt nor KDDTrain\+.txt.gz"):
        load_nsl(tmp_path)


def test_a_folder_that_is_none_is_named(tmp_path: Path):
    with pytest.raises(DataError, match="not a folder"):
        load_nsl(tmp_path / "absent")


def test_an_unknown_data_set_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="data set 'kdd98' was asked for, but there are nsl-kdd"):
        load("kdd98", tmp_path, protocol="official", labels="binary", seed=0)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (["1,2,3"], "row 1 has 3, so flag, src_bytes"),
        ([""], "row 1 has 1"),
        ([",".join("0" * 44)], "row 1 has 44"),
        ([], "holds no rows"),
    ],
)
def test_a_wrong_number_of_columns_is_named(write_nsl: Write, rows: list[str], sentence: str):
    with pytest.raises(DataError, match=sentence):
        load_nsl(write_nsl(rows))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"src_bytes": "many"}, "row 2, column 'src_bytes': a number is due, but 'many'"),
        ({"src_bytes": ""}, "row 2, column 'src_bytes': a number is due, but ''"),
        ({"duration": "nan"}, "row 2, column 'duration': a finite number is due, but 'nan'"),
        ({"hot": "1e99"}, "row 2, column 'hot': a finite number is due, but '1e99'"),
        ({"count": "-inf"}, "row 2, column 'count': a finite number is due"),
        ({"service": "80"}, "row 2, column 'service': a name is due, but '80'"),
        ({"flag": ""}, "row 2, column 'flag': a name is due, but ''"),
        ({"attack": "21"}, "row 2, column 'attack': an attack's name is due, but '21'"),
        ({"difficulty": "x"}, "row 2, column 'difficulty': a number is due"),
    ],
)
def test_a_misplaced_value_is_named_by_row_and_column(
    write_nsl: Write, nsl_line: Line, values: dict[str, str], sentence: str
):
    with pytest.raises(DataError, match=sentence):
        load_nsl(write_nsl([nsl_line(), nsl_line(**values)]))


def test_a_file_without_benign_rows_is_refused(write_nsl: Write, nsl_lines: Lines):
    with pytest.raises(DataError, match="no training row of class benign"):
        load_nsl(write_nsl(nsl_lines("normal.", 30), nsl_lines("normal", 3)))


def test_a_training_file_of_one_class_is_refused(write_nsl: Write, nsl_lines: Lines):
    with pytest.raises(DataError, match="no training row of class attack"):
        load_nsl(write_nsl(nsl_lines("normal", 20), nsl_lines("normal", 3)))


def test_a_binary_file_is_refused(tmp_path: Path):
    (tmp_path / "KDDTrain+.txt").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(DataError, match="byte 0 is not plain text"):
        load_nsl(tmp_path)


def test_a_bomb_of_gzip_is_refused(tmp_path: Path):
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(b"0," * (1 << 22)) * 10)
    with pytest.raises(DataError, match="unpacks to more than 67,108,864 bytes"):
        nsl_kdd.read(tmp_path / "bomb.gz")


def test_a_cut_gzip_file_is_refused(tmp_path: Path):
    whole = gzip.compress(b"0,tcp,http\n" * 100)
    (tmp_path / "KDDTrain+.txt.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="damaged or cut short"):
        load_nsl(tmp_path)


def test_official_files_read_as_pandas_reads_them(shared: Path):
    file = shared / "data" / "nsl-kdd" / "KDDTest+.txt.gz"
    table = pd.read_csv(file, header=None, names=list(nsl_kdd.HEADER))
    records = nsl_kdd.read(file)
    numbers = [f.name for f in nsl_kdd.SCHEMA.features if not f.categories]
    columns = [nsl_kdd.SCHEMA.names.index(name) for name in numbers]
    assert (records.rows[:, columns] == table[numbers].to_numpy(np.float32)).all()
    assert records.attacks.tolist() == table["attack"].tolist()
    assert not records.unlisted


def test_official_files_hold_only_listed_attacks(shared: Path):
    dataset = load_nsl(shared / "data" / "nsl-kdd", labels="family")
    assert len(dataset.train) + len(dataset.validation) == 125_973
    assert len(dataset.test) == 22_544
    assert dataset.notes == ("3750 of 22544 test rows are attacks absent from training (17 names)",)
