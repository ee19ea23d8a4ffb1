"""CICIoT2023, CIC-IDS2017 and IoTID20, as their publishers and those who copied them spell them."""

from __future__ import annotations

import gzip
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from idskit.data.dataset import Dataset, MoreRows, Reading
from idskit.data.datasets import load, load_more
from idskit.data.published import cic_headers as cic_columns
from idskit.data.published import cicids2017, iotid20
from idskit.data.published import ciciot2023_tables as ciciot2023
from idskit.data.published.label_meanings import column_key
from idskit.errors import DataError
from idskit.profiles import schema_named
from idskit.profiles.flow_reader import open_flows
from idskit.schema import SchemaError
from idskit.schemas.ciciot2023_columns import FIRST, LATER
from idskit.tables.label_column import label_key

IOT_COLUMNS = [feature.name for feature in LATER]
_SPELLED = [line.split("; ") for line in cic_columns._SPELLINGS.strip().split("\n")]
CIC_COLUMNS = [names[1].strip() or names[0] if names[1:] else names[0] for names in _SPELLED]
IOTID_COLUMNS = [names[-1].replace(" ", "_") for names in _SPELLED]


def get(name: str, data: Path, **changes: Any) -> Dataset:
    arguments: dict[str, Any] = {"protocol": "honest", "labels": "binary", "seed": 0}
    return load(name, data, **arguments | changes)


def write(
    path: Path, columns: Sequence[str], labels: Sequence[str], label: str = "Label", start: int = 1
) -> Path:
    """A table of distinct rows, one for each of ``labels``; no label column for label ''."""
    lines = [",".join([*columns, label] if label else columns)]
    for row, text in enumerate(labels, start=start):
        values = [str(row * (column + 1)) for column in range(len(columns))]
        lines.append(",".join([*values, text] if label else values))
    path.parent.mkdir(exist_ok=True)
    content = ("\r\n".join(lines) + "\r\n").encode("cp1252")
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def whole(dataset: Dataset) -> np.ndarray:
    return np.concatenate([dataset.train.rows, dataset.validation.rows, dataset.test.rows])


def note(dataset: Dataset, word: str) -> str:
    return next(note for note in dataset.notes if word in note)


# Spellings.


@pytest.mark.parametrize(
    ("name", "key"),
    [
        (" Flow Duration", "flow duration"),
        ("Flow_Duration", "flow duration"),
        ("Fwd Header Length.1", "fwd header length"),
        ("FLOW  DURATION ", "flow duration"),
    ],
)
def test_column_spellings_meet(name: str, key: str):
    assert column_key(name) == key


@pytest.mark.parametrize(
    "name",
    [
        "Web Attack \u2013 XSS",
        "Web Attack \ufffd XSS",
        "Web Attack - XSS",
        "web attack xss",
    ],
)
def test_label_spellings_meet(name: str):
    assert cicids2017.PUBLISHER.meanings[label_key(name)]["attack"] == "Web Attack XSS"


def test_the_three_spellings_are_those_of_cic_original():
    names = schema_named("cic-original").names
    assert tuple(row[0] for row in cic_columns.COLUMNS) == names
    assert set(cic_columns.SPELLINGS.values()) <= set(names)


def test_units_are_those_of_cic_original():
    assert schema_named("cic-original").features == cic_columns.VERSION.features[1:]


def test_the_spellings_of_the_public_files_are_all_known(shared: Path):
    for name in ("cicids2017", "iotid20", "ciciot2023"):
        dataset = get(name, shared / "data" / name)
        assert not [note for note in dataset.notes if "not the publisher's" in note]


@pytest.mark.parametrize(
    ("publisher", "sizes"),
    [
        (ciciot2023.PUBLISHER, {"binary": 2, "family": 8, "family10": 10, "attack": 34}),
        (cicids2017.PUBLISHER, {"binary": 2, "family": 7, "attack": 15}),
        (iotid20.PUBLISHER, {"binary": 2, "family": 5, "attack": 9}),
    ],
)
def test_kinds_have_the_published_numbers_of_classes(publisher: Any, sizes: dict[str, int]):
    assert {kind: len(classes) for kind, classes in publisher.classes.items()} == sizes


# CICIoT2023.


def test_the_34_classes_of_the_merged_version_are_all_known(shared: Path):
    path = shared / "data" / "ciciot2023" / "CICIoT2023_34class_sample.csv.gz"
    expected = pd.read_csv(path)["Label"].value_counts()
    dataset = get("ciciot2023", path, labels="attack", protocol="honest")
    assert len(dataset.classes) == 34
    found = sum(np.bincount(p.labels, minlength=34) for p in (dataset.train, dataset.validation))
    found = found + np.bincount(dataset.test.labels, minlength=34)
    named = {label_key(name): n for name, n in zip(dataset.classes, found, strict=True)}
    by_key = {label_key(name): n for name, n in expected.items()}
    assert named.keys() == by_key.keys()
    assert sum(named.values()) == 2675  # without repeats, as pandas counts them
    assert all(named[key] <= by_key[key] for key in named)


def test_first_and_merged_version_spell_one_class(tmp_path: Path):
    spelled = ["BenignTraffic", "DDoS-ICMP_Flood", "Mirai-greeth_flood"] * 4
    write(tmp_path / "first.csv", IOT_COLUMNS, spelled, "label")
    merged = ["BENIGN", "DDOS-ICMP_FLOOD", "MIRAI-GREETH_FLOOD"] * 4
    write(tmp_path / "merged.csv", IOT_COLUMNS, merged, start=100)
    dataset = get("ciciot2023", tmp_path, labels="attack")
    assert dataset.classes == ("benign", "DDoS-ICMP_Flood", "Mirai-greeth_flood")


def test_a_file_of_one_class_is_labelled_by_its_name(tmp_path: Path):
    for name in ("BenignTraffic1", "BenignTraffic2", "SqlInjection", "DDoS-ICMP_Flood12"):
        path = tmp_path / f"{name}.pcap.csv.gz"
        write(path, IOT_COLUMNS, [""] * 6, "", start=1000 * len(list(tmp_path.iterdir())) + 1)
    dataset = get("ciciot2023", tmp_path, labels="attack")
    assert dataset.classes == ("benign", "DDoS-ICMP_Flood", "SqlInjection")


def test_files_of_one_class_stay_on_one_side(tmp_path: Path):
    for number in range(6):
        for name in ("BenignTraffic", "XSS"):
            path = tmp_path / f"{name}{number}.pcap.csv"
            start = 1000 * number + 500 * (name == "XSS") + 1
            write(path, IOT_COLUMNS, [""] * 20, "", start=start)
    dataset = get("ciciot2023", tmp_path)
    sides = [set(p.rows[:, 0] // 500) for p in (dataset.train, dataset.validation, dataset.test)]
    assert all(sides)
    assert sum(map(len, sides)) == len(set.union(*sides)) == 12
    assert "divided by file or minute: XSS, benign" in note(dataset, "divided")


def test_ten_families_and_eight(shared: Path):
    path = shared / "data" / "ciciot2023" / "CICIoT2023_10class_sample.csv.gz"
    ten, eight = (get("ciciot2023", path, labels=kind) for kind in ("family10", "family"))
    assert (len(ten.classes), len(eight.classes)) == (10, 8)
    web = [ten.classes.index(name) for name in ("Malware", "Uploading", "WebAttack")]
    assert np.isin(ten.test.labels, web).sum() == (eight.test.labels == 4).sum() > 0


def test_other_label_columns_are_no_features(shared: Path):
    dataset = get("ciciot2023", shared / "data" / "ciciot2023")
    assert dataset.schema.names == tuple(IOT_COLUMNS)


def test_a_file_whose_labels_do_not_tell_the_classes_is_left_out(shared: Path):
    dataset = get("ciciot2023", shared / "data" / "ciciot2023", labels="attack")
    assert "10class_sample" in note(dataset, "left out, labels that do not state the attack")
    assert len(dataset.classes) == 34
    assert set(dataset.groups) == set(dataset.classes)


def test_the_infinite_short_window_is_left_out(shared: Path):
    dataset = get("ciciot2023", shared / "data" / "ciciot2023")
    assert "1 rows that hold NaN or infinity (Rate 1, Std 1, Variance 1)" in note(dataset, "NaN")


def test_columns_with_nan_can_be_left_out_instead(shared: Path):
    reading = Reading(nonfinite="columns")
    dataset = get("ciciot2023", shared / "data" / "ciciot2023", reading=reading)
    assert set(IOT_COLUMNS) - set(dataset.schema.names) == {"Rate", "Std", "Variance"}


def test_the_first_version_has_46_columns(tmp_path: Path):
    columns = [feature.name for feature in FIRST]
    path = write(tmp_path / "part-0.csv", columns, ["BenignTraffic", "XSS"] * 12, "label")
    assert get("ciciot2023", path).schema.names == tuple(columns)


def test_two_versions_in_one_folder_are_refused(tmp_path: Path):
    write(tmp_path / "a.csv", [feature.name for feature in FIRST], ["XSS"] * 3)
    write(tmp_path / "b.csv", IOT_COLUMNS, ["BENIGN"] * 3)
    with pytest.raises(DataError, match=r"a\.csv and b\.csv are of two versions"):
        get("ciciot2023", tmp_path)


def test_the_leak_of_the_window_size_is_named(shared: Path):
    dataset = get("ciciot2023", shared / "data" / "ciciot2023")
    assert "leak in the data: the window size (Number" in note(dataset, "leak")


# CIC-IDS2017.


def test_the_raw_format_reads_by_its_faulty_header(shared: Path, tmp_path: Path):
    path = next((shared / "data" / "cicids2017").glob("raw-format*"))
    text = path.read_bytes()
    attack = text.splitlines()[1].replace(b"BENIGN", b"DDoS")
    more = [
        attack.replace(b"54865", str(i).encode()).replace(b",3,", b",%d," % i, 1)
        for i in range(9, 13)
    ]
    (tmp_path / "raw.csv").write_bytes(text + b"\n".join(more) + b"\n")
    dataset = get("cicids2017", tmp_path)
    frame = pd.read_csv(path, skipinitialspace=True)
    frame.columns = frame.columns.str.strip()
    assert dataset.schema.names == schema_named("cic-original").names
    column = dataset.schema.names.index("Bwd Segment Size Avg")
    expected = set(frame["Avg Bwd Segment Size"].astype(np.float32))
    assert expected <= set(whole(dataset)[:, column])


@pytest.mark.parametrize("dash", [b"\x96", "\ufffd".encode(), b"-"])
def test_the_dash_of_web_attacks_is_any(tmp_path: Path, dash: bytes):
    path = write(tmp_path / "t.csv", CIC_COLUMNS, ["BENIGN", "Web Attack ? XSS"] * 12, " Label")
    path.write_bytes(path.read_bytes().replace(b"?", dash))
    assert get("cicids2017", path, labels="attack").classes == ("benign", "Web Attack XSS")


def test_infinity_and_nan_as_text_leave_rows_out(tmp_path: Path):
    path = write(tmp_path / "t.csv", CIC_COLUMNS, ["BENIGN", "DDoS"] * 12)
    lines = path.read_text().splitlines()
    place = CIC_COLUMNS.index("Flow Bytes/s")
    for number, text in ((3, "Infinity"), (4, "NaN")):
        fields = lines[number].split(",")
        fields[place] = text
        lines[number] = ",".join(fields)
    path.write_text("\n".join(lines))
    dataset = get("cicids2017", path)
    assert len(whole(dataset)) == 22
    assert "2 rows that hold NaN or infinity (Flow Bytes/s 2)" in note(dataset, "NaN")


def test_the_second_column_of_a_name_is_passed_over(tmp_path: Path):
    path = tmp_path / "t.csv"
    columns = [*CIC_COLUMNS, " Fwd Header Length"]
    write(path, columns, ["BENIGN", "DDoS"] * 12)
    dataset = get("cicids2017", path)
    column = dataset.schema.names.index("Fwd Header Length")
    row = CIC_COLUMNS.index("Fwd Header Length") + 1
    assert set(whole(dataset)[:, column]) == {row * (i + 1) for i in range(24)}


def flows_variant(folder: Path) -> Path:
    """The 85 columns of GeneratedLabelledFlows: 40 minutes of three flows, and lines of commas."""
    identity = "Flow ID, Source IP, Source Port, Destination IP, Destination Port, Timestamp"
    header = f"{identity},{','.join(CIC_COLUMNS)}, Label"
    lines = [header]
    for minute in range(40):
        label = "BENIGN" if minute % 2 else "Infiltration"
        for second in range(3):
            flow = f"10.0.0.1-{minute},10.0.0.1,1,10.0.0.2,2,6/7/2017 9:{minute:02}:{second:02}"
            number = minute * 3 + second + 1
            values = ",".join(str(number * (i + 1)) for i in range(len(CIC_COLUMNS)))
            lines.append(f"{flow},{values},{label}")
    lines += ["," * (len(CIC_COLUMNS) + 6)] * 50
    (folder / "Thursday.csv").write_text("\n".join(lines))
    return folder


def test_addresses_ports_and_times_are_no_features(tmp_path: Path):
    dataset = get("cicids2017", flows_variant(tmp_path))
    assert dataset.schema.names == schema_named("cic-original").names


def test_lines_of_commas_are_left_out(tmp_path: Path):
    dataset = get("cicids2017", flows_variant(tmp_path))
    assert len(whole(dataset)) == 120
    assert "50 rows without a label" in note(dataset, "without a label")


def test_rows_of_a_minute_stay_on_one_side(tmp_path: Path):
    dataset = get("cicids2017", flows_variant(tmp_path))
    parts = (dataset.train, dataset.validation, dataset.test)
    sides = [set((part.rows[:, 0] - 1) // 3) for part in parts]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 40
    assert 6 <= len(sides[2]) <= 18


def test_seven_families_of_the_public_sample(shared: Path):
    path = shared / "data" / "cicids2017" / "CICIDS2017_7class_77feat.csv.gz"
    frame = pd.read_csv(path).replace([np.inf, -np.inf], np.nan).dropna()
    dataset = get("cicids2017", path, labels="family")
    assert len(dataset.classes) == 7
    expected = frame.drop(columns="Label").astype(np.float32).drop_duplicates()
    assert len(whole(dataset)) == len(expected)


def test_two_class_labels_as_codes(shared: Path):
    path = shared / "data" / "cicids2017" / "CICIDS2017_1pct_19feat_binary.csv.gz"
    frame = pd.read_csv(path)
    columns = list(frame.columns[:19])
    once = frame.astype(dict.fromkeys(columns, np.float32)).drop_duplicates(columns)
    dataset = get("cicids2017", path)
    assert len(dataset.schema) == 19
    attacks = sum(p.labels.sum() for p in (dataset.train, dataset.validation, dataset.test))
    assert attacks == once["Labelb"].sum()


# IoTID20.


def test_identifying_codes_are_no_features(shared: Path):
    dataset = get("iotid20", shared / "data" / "iotid20")
    assert len(dataset.schema) == 25
    assert len(whole(dataset)) == 3617  # method.md, 3


@pytest.mark.parametrize(
    ("column", "labels", "classes"),
    [
        ("Label", "binary", ("benign", "attack")),
        ("Cat", "family", ("benign", "DoS", "Mirai")),
        ("Sub_Cat", "attack", ("benign", "DoS-Synflooding", "Mirai-UDP Flooding")),
        ("Sub_Cat", "family", ("benign", "DoS", "Mirai")),
    ],
)
def test_label_category_and_sub_category(
    tmp_path: Path, column: str, labels: str, classes: tuple[str, ...]
):
    spelled = {
        "Label": ["Normal", "Anomaly", "Anomaly"],
        "Cat": ["Normal", "DoS", "Mirai"],
        "Sub_Cat": ["Normal", "DoS-Synflooding", "Mirai-UDP Flooding"],
    }[column]
    path = write(tmp_path / "t.csv", ["Flow_ID", *IOTID_COLUMNS], spelled * 12, column)
    dataset = get("iotid20", path, labels=labels)
    assert dataset.classes == classes
    assert dataset.schema.names == schema_named("cic-original").names


# Columns that packets give.


@pytest.mark.parametrize("profile", ["cic-original", "cic-fixed"])
def test_columns_of_a_profile_hold_what_the_table_holds(tmp_path: Path, profile: str):
    path = write(tmp_path / "t.csv", CIC_COLUMNS, ["BENIGN", "DDoS"] * 12)
    dataset = get("cicids2017", path, reading=Reading(schema=profile))
    assert dataset.schema == schema_named(profile)
    left = {n for names in cic_columns.OTHERWISE[profile].values() for n in names}
    originals = schema_named("cic-original").names
    row = whole(dataset)[0]
    factor = row[dataset.schema.names.index("Flow Duration")]
    for column, name in enumerate(dataset.schema.names):
        mapped = name in originals and name not in left
        assert row[column] == (factor * (originals.index(name) + 1) if mapped else 0), name


def test_rates_over_no_time_are_those_of_the_profile(tmp_path: Path):
    path = write(tmp_path / "t.csv", CIC_COLUMNS, ["BENIGN", "DDoS"] * 12)
    lines = path.read_text().splitlines()
    fields = lines[3].split(",")
    fields[CIC_COLUMNS.index("Flow Bytes/s")] = "Infinity"
    path.write_text("\n".join([*lines[:3], ",".join(fields), *lines[4:]]))
    dataset = get("cicids2017", path, reading=Reading(schema="cic-fixed"))
    rates = whole(dataset)[:, dataset.schema.names.index("Flow Bytes/s")]
    assert (rates == -1).sum() == 1
    assert len(rates) == 24


def test_columns_that_cannot_be_mapped_are_listed(tmp_path: Path):
    path = write(tmp_path / "t.csv", CIC_COLUMNS, ["BENIGN", "DDoS"] * 12)
    dataset = get("cicids2017", path, reading=Reading(schema="cic-fixed"))
    assert "FIN Flag Count" in note(dataset, "from the first packet only")
    assert "ICMP Code" in note(dataset, "columns that the data do not have")


def test_windows_lose_the_columns_that_tell_their_size(shared: Path):
    reading = Reading(schema="ciciot2023-39")
    dataset = get("ciciot2023", shared / "data" / "ciciot2023", reading=reading)
    assert dataset.schema == schema_named("ciciot2023-39")
    assert not whole(dataset)[:, dataset.schema.names.index("Number")].any()


def test_a_profile_of_the_other_version_is_refused(shared: Path):
    with pytest.raises(DataError, match="can only be those of own, ciciot2023-39"):
        get("ciciot2023", shared / "data" / "ciciot2023", reading=Reading(schema="ciciot2023"))


def test_packets_cannot_give_the_columns_of_a_table(shared: Path):
    schema = get("iotid20", shared / "data" / "iotid20").schema
    with pytest.raises(SchemaError, match="columns of iotid20, which packets cannot give"):
        open_flows("any.pcap", schema)


# Protocols.


@pytest.mark.parametrize("name", ["ciciot2023", "cicids2017", "iotid20"])
def test_honest_parts_share_no_row(shared: Path, name: str):
    dataset = get(name, shared / "data" / name)
    parts = (dataset.train, dataset.validation, dataset.test)
    rows = [{row.tobytes() for row in part.rows} for part in parts]
    assert sum(map(len, rows)) == sum(map(len, parts)) == len(set.union(*rows))


@pytest.mark.parametrize("name", ["ciciot2023", "cicids2017", "iotid20"])
def test_paper_parts_are_balanced_and_their_leaks_named(shared: Path, name: str):
    dataset = get(name, shared / "data" / name, protocol="paper")
    assert len(set(np.bincount(dataset.test.labels))) == 1
    assert sum(note.startswith("leak, as published") for note in dataset.notes) == 2
    rows = [{row.tobytes() for row in part.rows} for part in (dataset.train, dataset.test)]
    assert rows[0] & rows[1]


@pytest.mark.parametrize("name", ["ciciot2023", "cicids2017", "iotid20"])
def test_the_same_seed_gives_the_same_parts(shared: Path, name: str):
    first, second = (get(name, shared / "data" / name, seed=3) for _ in range(2))
    assert (first.train.rows == second.train.rows).all()
    other = get(name, shared / "data" / name, seed=4)
    assert first.test.rows.tobytes() != other.test.rows.tobytes()


def test_a_limit_on_rows_is_kept(shared: Path):
    dataset = get("cicids2017", shared / "data" / "cicids2017", reading=Reading(rows=1000))
    assert 700 < len(whole(dataset)) <= 1000


# What is refused.


def test_there_is_no_publishers_split(shared: Path):
    with pytest.raises(DataError, match="protocol 'official' was asked for, but iotid20 has hone"):
        get("iotid20", shared / "data" / "iotid20", protocol="official")


def test_labels_that_the_data_set_lacks_are_refused(tmp_path: Path):
    with pytest.raises(DataError, match="labels 'family10' were asked for, but iotid20 has binary"):
        get("iotid20", tmp_path, labels="family10")


def test_labels_that_the_files_do_not_tell_are_refused(shared: Path):
    with pytest.raises(DataError, match="only state binary"):
        get("iotid20", shared / "data" / "iotid20", labels="attack")


def test_an_unknown_label_is_named(tmp_path: Path):
    path = write(tmp_path / "t.csv", CIC_COLUMNS, ["BENIGN", "Zero Day"])
    with pytest.raises(DataError, match="label 'Zero Day' is none of cicids2017"):
        get("cicids2017", path)


def test_a_file_without_label_or_class_name_is_refused(tmp_path: Path):
    path = write(tmp_path / "monday.csv", CIC_COLUMNS, ["BENIGN"], "Class")
    with pytest.raises(DataError, match=r"has no label: none of its columns \(Flow Duration, .*"):
        get("cicids2017", path)


def test_a_foreign_table_is_refused(tmp_path: Path):
    path = write(tmp_path / "t.csv", ["colour", "taste"], ["BENIGN"] * 3)
    with pytest.raises(DataError, match="has none of its columns"):
        get("cicids2017", path)


def test_one_class_only_is_refused(tmp_path: Path):
    path = write(tmp_path / "t.csv", CIC_COLUMNS, ["BENIGN"] * 10)
    with pytest.raises(DataError, match="has only rows of class benign"):
        get("cicids2017", path)


def test_files_left_out_are_named_where_too_little_is_left(shared: Path):
    with pytest.raises(DataError, match=r"only rows of class benign .* CICIDS2017_7class"):
        get("cicids2017", shared / "data" / "cicids2017", labels="attack")


def test_attacks_only_are_refused(tmp_path: Path):
    path = write(tmp_path / "t.csv", CIC_COLUMNS, ["DDoS", "Bot"] * 5)
    with pytest.raises(DataError, match="has no benign rows"):
        get("cicids2017", path, labels="family")


def test_a_class_of_one_row_is_refused(tmp_path: Path):
    path = write(tmp_path / "t.csv", CIC_COLUMNS, ["BENIGN", "DDoS"] * 9 + ["Heartbleed"])
    with pytest.raises(DataError, match="has only one row of class Heartbleed"):
        get("cicids2017", path, labels="attack")


def test_text_where_a_number_is_due_is_named(tmp_path: Path):
    path = write(tmp_path / "t.csv", CIC_COLUMNS, ["BENIGN", "DDoS"] * 5)
    path.write_text(path.read_text().replace("\n3,", "\nthree,"))
    with pytest.raises(DataError, match="row 3, column 'Flow Duration': a number is due, but 'thr"):
        get("cicids2017", path)


# More rows to train on.


def more(dataset: Dataset, *files: Path, labels: Any = "attack") -> MoreRows:
    return load_more(dataset, files, labels=labels, reading=Reading())


@pytest.fixture
def three_attacks(tmp_path: Path) -> Dataset:
    labels = ["BenignTraffic", "DDoS-ICMP_Flood", "XSS", "SqlInjection"] * 6
    path = write(tmp_path / "own" / "a.csv", IOT_COLUMNS, labels)
    return get("ciciot2023", path, labels="attack")


def allowed(dataset: Dataset, found: MoreRows) -> list[set[str]]:
    names = np.array(dataset.classes)
    return [set(names[row].tolist()) for row in found.possible]


def test_a_coarse_label_leaves_the_classes_of_its_family(tmp_path: Path, three_attacks: Dataset):
    labels = ["Benign", "DDoS", "Web", "WebAttack", "XSS", "attack"]
    path = write(tmp_path / "more.csv", IOT_COLUMNS, labels, start=500)
    web = {"SqlInjection", "XSS"}
    assert allowed(three_attacks, more(three_attacks, path)) == [
        *({"benign"}, {"DDoS-ICMP_Flood"}, web, web, {"XSS"}),
        {"DDoS-ICMP_Flood", *web},
    ]


def test_more_rows_are_no_rows_of_the_data_nor_repeated(tmp_path: Path, three_attacks: Dataset):
    own = write(tmp_path / "more" / "a.csv", IOT_COLUMNS, ["XSS"] * 30, start=20)
    write(own.parent / "b.csv", IOT_COLUMNS, ["XSS"], start=40)
    found = more(three_attacks, own.parent)
    assert len(found.rows) == 25  # 20 to 24 are in the data, 40 comes twice
    assert not set(map(bytes, found.rows)) & set(map(bytes, whole(three_attacks)))
    assert found.notes == (
        "more rows to train on, of a.csv, b.csv: 25 rows; left out: 0 of classes that the data "
        "lack, 5 that the data have themselves, 1 that repeat another",
    )


def test_the_families_of_the_public_sample_are_more_rows_of_its_attacks(shared: Path):
    folder = shared / "data/ciciot2023"
    fine, coarse = (folder / f"CICIoT2023_{n}class_sample.csv.gz" for n in (34, 10))
    dataset = get("ciciot2023", fine, labels="attack")
    found = more(dataset, coarse)
    assert len(found.rows) == 15217
    sizes, counts = np.unique(found.possible.sum(axis=1), return_counts=True)
    assert sizes.tolist() == [1, 2, 3, 4, 5, 12]  # ..., spoofing, Mirai, DoS and web, recon, DDoS
    assert counts.sum() == 15217


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["DoS"], "none of the 1 is new (1 of classes that the data lack, 0 that"),
        (["DDoS-Nothing"], "label 'DDoS-Nothing' is none of ciciot2023"),
    ],
)
def test_more_rows_of_no_use_are_refused(
    tmp_path: Path, three_attacks: Dataset, labels: list[str], said: str
):
    path = write(tmp_path / "more.csv", IOT_COLUMNS, labels, start=500)
    with pytest.raises(DataError, match=re.escape(said)):
        more(three_attacks, path)


def test_more_rows_of_the_other_version_are_refused(tmp_path: Path, three_attacks: Dataset):
    columns = [feature.name for feature in FIRST]
    path = write(tmp_path / "more.csv", columns, ["XSS"], label="label")
    with pytest.raises(DataError, match=r"lacks 2 of the 39 columns in use \(Time_To_Live, IGMP"):
        more(three_attacks, path)


def test_only_tables_take_more_rows(three_attacks: Dataset, tmp_path: Path):
    with pytest.raises(DataError, match="more rows were given for nsl-kdd, but only tables of"):
        more(replace(three_attacks, name="nsl-kdd"), tmp_path)
