"""Labelled captures: layouts, families, sides, caps."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from idskit.attack_families import family_of
from idskit.data import labelled_captures as captures
from idskit.data.capture_labels import Capture, FlowLabels, find_captures
from idskit.data.dataset import Dataset, Part
from idskit.data.datasets import load
from idskit.data.labelled_captures import (
    MOST_ROWS,
    Flows,
    divide,
    generated_flows,
    read_flows,
    weigh,
)
from idskit.errors import DataError
from idskit.generate import GeneratedCapture, generate
from idskit.incidents.sequential.sequential_tests import with_tested_columns
from idskit.schemas.catalog import learned

HEADER = "file,label,category\n"


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def categories(folder: Path) -> dict[str, str | None]:
    return {capture.name: capture.category for capture in find_captures(folder)}


def make_flows(name: str, family: str, rows: int = 3, unit: str = "") -> Flows:
    features = np.arange(rows * 2, dtype=np.float32).reshape(rows, 2)
    return Flows(capture=name, unit=unit or name, stratum=family, family=family, rows=features)


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> GeneratedCapture:
    path = tmp_path_factory.mktemp("generated") / "home.pcap"
    return generate(path, packets=4000, seed=3)


def test_a_table_in_the_folder_labels_what_it_lists(tmp_path: Path):
    touch(tmp_path, "a.pcap", "sub/b.pcapng", "not-listed.pcap")
    table = "a.pcap,benign,web\nsub/b.pcapng,attack,Port-Scan\n"
    (tmp_path / "labels.csv").write_text(HEADER + table)
    assert categories(tmp_path) == {"a.pcap": "benign", "sub/b.pcapng": "port-scan"}


def test_a_table_beside_the_folder_labels_what_lies_in_it(tmp_path: Path):
    touch(tmp_path, "labelled/a.pcap", "other/b.pcap")
    table = "labelled/a.pcap,benign,web\nother/b.pcap,attack,scan\n"
    (tmp_path / "labels.csv").write_text(HEADER + table)
    assert categories(tmp_path / "labelled") == {"a.pcap": "benign"}


def test_folders_name_classes(tmp_path: Path):
    touch(tmp_path, "benign/a.pcap", "syn-flood/deeper/b.pcap.gz", "syn-flood/readme.txt")
    assert categories(tmp_path) == {
        "benign/a.pcap": "benign",
        "syn-flood/deeper/b.pcap.gz": "syn-flood",
    }


def test_a_file_of_flow_labels_comes_before_the_folder(tmp_path: Path):
    touch(tmp_path, "benign/a.pcap", "benign/a.labels.csv", "scan/b.pcap")
    assert categories(tmp_path) == {"benign/a.pcap": None, "scan/b.pcap": "scan"}


def test_a_folder_without_captures_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="holds no labelled capture"):
        find_captures(tmp_path)


def test_a_capture_without_label_is_named(tmp_path: Path):
    touch(tmp_path, "a.pcap")
    with pytest.raises(DataError, match=r"a\.pcap has no label"):
        find_captures(tmp_path)


def test_a_listed_capture_that_is_absent_is_named(tmp_path: Path):
    (tmp_path / "labels.csv").write_text(HEADER + "gone.pcap,benign,web\n")
    with pytest.raises(DataError, match=r"row 1 lists gone\.pcap, which is not there"):
        find_captures(tmp_path)


def test_a_table_without_a_needed_column_names_it(tmp_path: Path):
    (tmp_path / "labels.csv").write_text("file,category\n")
    with pytest.raises(DataError, match="has no column label"):
        find_captures(tmp_path)


@pytest.mark.parametrize(
    ("category", "family"),
    [
        ("benign", "benign"),
        ("normal", "benign"),
        ("ddos-amplification-tcp", "amplification"),
        ("ddos-syn-flood", "flood"),
        ("dos-ipv6", "flood"),
        ("web-rce-scan", "web"),
        ("port-scan", "scan"),
        ("mirai-scan", "scan"),
        ("brute-force-ssh", "guessing"),
        ("telnet-guessing", "guessing"),
        ("exfiltration-dns", "tunnel"),
        ("tunnel", "tunnel"),
        ("malware-c2", "malware"),
        ("malware-download", "malware"),
        ("mining", "malware"),
        ("exploit", "lateral"),
        ("lateral", "lateral"),
        ("ics", "lateral"),
        ("ics-attack", "lateral"),
        ("mitm", "lateral"),
        ("physics", "unknown"),
        ("something-else", "unknown"),
    ],
)
def test_families(category: str, family: str):
    assert family_of(category) == family


def test_flows_get_the_label_that_the_generator_wrote(generated: GeneratedCapture):
    capture = Capture(path=generated.path, name="home", category=None, labels=generated.labels)
    found = {item.family: len(item.rows) for item in read_flows(capture)}
    lines = generated.labels.read_text().splitlines()[1:]
    fields = [line.split(",") for line in lines]
    expected: dict[str, int] = {}
    for *_, label, category in fields:
        family = "benign" if label == "benign" else family_of(category)
        expected[family] = expected.get(family, 0) + 1
    assert found.keys() == expected.keys()
    assert sum(found.values()) >= sum(expected.values())  # a long flow may be cut in several
    assert found["scan"] >= expected["scan"]  # one that is answered late is judged twice


def test_flows_that_the_labels_do_not_know_are_left_out(
    generated: GeneratedCapture, tmp_path: Path
):
    labels = tmp_path / "few.labels.csv"
    lines = generated.labels.read_text().splitlines(keepends=True)
    labels.write_text("".join([lines[0], *(line for line in lines if "ssh-guessing" in line)]))
    capture = Capture(path=generated.path, name="home", category=None, labels=labels)
    assert [item.family for item in read_flows(capture)] == ["guessing"]


def test_a_bad_line_of_flow_labels_is_named(tmp_path: Path):
    file = tmp_path / "a.labels.csv"
    header = "src_ip,src_port,dst_ip,dst_port,protocol,start_us,packets,label,category\n"
    file.write_text(header + "10.0.0.1,1,nowhere,2,6,0,1,benign,dns\n")
    with pytest.raises(DataError, match="row 1 is not a labelled flow: 'nowhere'"):
        FlowLabels.read(file)


def test_captures_of_one_device_stay_on_one_side(tmp_path: Path):
    names = [f"iot-sentinel_Cam{i}_Setup-{s}-STA.pcap" for i in (1, 2) for s in ("A-1", "C-4")]
    touch(tmp_path, *(f"benign/{name}" for name in names), "benign/iotsentinel_Cam-Setup-C-1.pcap")
    assert {capture.group for capture in find_captures(tmp_path)} == {"iotsentinel:Cam"}


@pytest.mark.parametrize(
    ("units", "expected"),
    [(1, (1, 0, 0)), (2, (1, 0, 1)), (3, (1, 1, 1)), (4, (2, 1, 1)), (40, (28, 6, 6))],
)
def test_units_of_a_stratum_are_divided_in_proportion(units: int, expected: tuple[int, int, int]):
    flows = [make_flows(f"c{i}", "scan") for i in range(units)]
    sides = list(divide(flows, np.random.default_rng(0)).values())
    assert tuple(sides.count(side) for side in ("train", "validation", "test")) == expected


def test_the_division_repeats_with_the_seed_and_not_with_the_order():
    flows = [make_flows(f"c{i}", "scan") for i in range(20)]
    first = divide(flows, np.random.default_rng(1))
    assert first == divide(flows[::-1], np.random.default_rng(1))
    assert first != divide(flows, np.random.default_rng(2))


def test_rows_of_a_capture_are_capped():
    part = captures._capped(make_flows("big", "flood", 5000), "binary", 0, np.random.default_rng(0))
    assert len(part) == MOST_ROWS


def test_captures_and_repositories_weigh_by_the_square_root_of_their_size():
    """Group 0 has 100 rows and group 1 one, of repository 0; group 2 has 16, of repository 1."""
    sizes = (100, 1, 16, 9)
    part = Part(
        rows=np.zeros((sum(sizes), 2), np.float32),
        labels=np.repeat([0, 0, 0, 2], sizes),
        weights=np.ones(sum(sizes), np.float32),
        groups=np.repeat([0, 1, 2, 2], sizes),
    )
    weights = weigh(part, np.array([0, 0, 1])).weights
    totals = [weights[(part.groups == g) & (part.labels == 0)].sum() for g in range(3)]
    assert totals[0] / totals[1] == pytest.approx(10)
    assert (totals[0] + totals[1]) / totals[2] == pytest.approx(11**0.5 / 4**0.5)
    assert weights[part.labels == 0].sum() == pytest.approx(weights[part.labels > 0].sum())
    assert weights.mean() == pytest.approx(1)


def test_whole_repositories_choose_thresholds_where_there_are_enough_of_them():
    flows = [
        replace(make_flows(f"{repository}-{kind}{i}", kind), repository=f"lab{repository}")
        for repository in range(10)
        for kind in ("benign", "scan")
        for i in range(4)
    ]
    sides = divide(flows, np.random.default_rng(0))
    of = {f"lab{r}": {sides[f.unit] for f in flows if f.repository == f"lab{r}"} for r in range(10)}
    chosen = [name for name, found in of.items() if "validation" in found]
    assert all(of[name] == {"validation"} for name in chosen)
    assert len(chosen) == 2  # of 40 benign units 15 % are six: two repositories of four
    assert {"train", "test"} == set.union(*(found for n, found in of.items() if n not in chosen))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three generated captures in class folders: two classes, labelled as a whole."""
    root = tmp_path_factory.mktemp("captures")
    for seed in range(3):
        for mix, name in (("benign", "benign"), ("flood", "syn-flood")):
            (root / name).mkdir(exist_ok=True)
            made = generate(root / name / f"{seed}.pcap", packets=400, mix=mix, seed=seed)
            made.labels.unlink()
    return root


def load_captures(folder: Path, **changes: object) -> Dataset:
    arguments: dict[str, object] = {"protocol": "honest", "labels": "binary", "seed": 0}
    return load("captures", folder, **arguments | changes)  # type: ignore[arg-type]


def test_no_capture_is_on_two_sides(folder: Path):
    dataset = load_captures(folder)
    sides = [set(part.groups) for part in (dataset.train, dataset.validation, dataset.test)]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 6
    assert all(len(side) == 2 for side in sides)


def test_rows_have_the_class_of_their_capture(folder: Path):
    dataset = load_captures(folder)
    attack = np.array([name.startswith("syn-flood") for name in dataset.groups])
    assert (dataset.train.labels == attack[dataset.train.groups]).all()


def test_generated_captures_have_the_columns_that_are_asked_for():
    columns = with_tested_columns(learned("gateway"))
    (made,) = generated_flows(1, 0, columns)
    assert made.rows.shape == (len(made.records), len(columns))
    (learned_from,) = generated_flows(1, 0, "gateway")
    np.testing.assert_array_equal(learned_from.rows, made.rows[:, : len(learned("gateway"))])


def test_generated_captures_are_added_and_named(folder: Path):
    dataset = load_captures(folder, generated=3)
    assert sum(name.startswith("generated-") for name in dataset.groups) == 12
    assert any("3 captures were generated" in note for note in dataset.notes)


def test_the_same_seed_gives_the_same_rows(folder: Path):
    first, second = load_captures(folder, generated=1), load_captures(folder, generated=1)
    assert (first.train.rows == second.train.rows).all()


def test_attacks_below_ip_are_left_out_and_named(folder: Path, tmp_path: Path):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    touch(tmp_path, "arp-scan/empty.pcap")
    dataset = load_captures(tmp_path)
    assert any("in IP flows: arp-scan/empty.pcap (arp-scan)" in note for note in dataset.notes)


def test_the_paper_protocol_is_refused(folder: Path):
    with pytest.raises(DataError, match="protocol 'paper' was asked for, but captures has honest"):
        load_captures(folder, protocol="paper")


def test_families_need_every_family(folder: Path):
    with pytest.raises(DataError, match="no training row of class web, amplification"):
        load_captures(folder, labels="family")


def test_the_public_captures_are_divided_by_device(shared: Path):
    dataset = load_captures(shared / "data" / "pcap" / "labelled", labels="family")
    names = [
        {dataset.groups[group].split("_Setup-")[0] for group in np.unique(part.groups)}
        for part in (dataset.train, dataset.validation, dataset.test)
    ]
    assert not (names[0] & names[1] | names[0] & names[2] | names[1] & names[2])
    assert not any("test8-malicious" in name or "arppoison" in name for name in dataset.groups)
    note = next(note for note in dataset.notes if note.startswith("reviewed captures"))
    assert "no flow 2" in note
    assert "unsure 1" in note
    assert len(set(dataset.repositories)) == 8
