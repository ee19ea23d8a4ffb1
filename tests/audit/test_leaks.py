"""Each kind of leak, planted in honest tables, is found and named; honest tables pass."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pytest
from tests.audit.tables import honest

from idskit.audit.run_audit import audit_tables


@pytest.fixture
def findings(save):
    """Audit tables; findings of one check by their columns."""

    def audited(check, *tables, test=None, **options):
        paths = [save(table, f"{number}.csv") for number, table in enumerate(tables)]
        judged = [] if test is None else [save(test, "test.csv")]
        report = audit_tables(paths, test=judged, **options)
        return {f.columns: f for f in report.findings if f.check == check}

    return audited


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("classes", [2, 5])
def test_honest_tables_pass(save, seed, classes):
    table, test = honest(1500, classes, seed), honest(700, classes, seed + 100)
    report = audit_tables([save(table)], test=[save(test, "test.csv")], seed=seed)
    assert [f.check for f in report.findings] == ["constant"]
    assert report.findings[0].severity == "note"
    assert report.findings[0].columns == ("urgent",)


def test_honest_captures_pass(save):
    captures = [
        honest(300, 3, seed).assign(noise=lambda t, s=seed: t["noise"] + s) for seed in (1, 2, 3)
    ]
    paths = [save(table, f"{number}.csv") for number, table in enumerate(captures)]
    assert {f.severity for f in audit_tables(paths).findings} == {"note"}


@pytest.mark.parametrize("classes", [2, 5])
def test_a_label_mixed_into_features_is_rebuilt(findings, classes):
    table = honest(2000, classes)
    rng = np.random.default_rng(1)
    inputs = np.c_[rng.normal(size=(2000, 4)), table["label"].str[-1].astype(int)]
    mixed = inputs @ rng.normal(size=(5, 5))
    for number in range(5):
        table[f"pca_{number}"] = mixed[:, number]
    [finding] = findings("linear-label", table).values()
    assert finding.severity == "leak"
    assert set(finding.columns) == {f"pca_{number}" for number in range(5)}
    assert finding.numbers["unexplained"] < 1e-9


@pytest.mark.parametrize("numbers", [np.arange(8), np.random.default_rng(0).permutation(8)])
def test_a_label_is_rebuilt_whatever_numbers_its_classes_were_given(findings, numbers):
    rng = np.random.default_rng(2)
    label, hidden = rng.integers(8, size=3000), rng.normal(size=3000)
    table = pd.DataFrame({"a": hidden + numbers[label], "b": hidden, "label": label})
    [finding] = findings("linear-label", table).values()
    assert set(finding.columns) == {"a", "b"}


def test_a_rare_class_that_a_flag_gives_away_is_no_leak(findings):
    table = honest(3000)
    table.loc[::60, "label"] = "teardrop"
    table["wrong_fragment"] = (table["label"] == "teardrop").astype(int)
    assert not findings("linear-label", table)


def test_an_almost_linear_label_is_a_warning(findings):
    table = honest()
    noise = np.random.default_rng(3).normal(scale=1e-2, size=len(table))
    table["score"] = (table["label"] == "class 1") + noise
    [finding] = findings("linear-label", table).values()
    assert finding.severity == "warning"
    assert finding.columns[0] == "score"


def test_second_label_columns_are_labels_and_no_features(save):
    table = honest().assign(label_binary=lambda t: (t["label"] != "class 0").astype(int))
    report = audit_tables([save(table)])
    assert report.labels == ("label", "label_binary")
    assert {f.severity for f in report.findings} == {"note"}


def test_a_coarser_label_among_the_features_is_found(findings):
    table = honest(2000, 4).assign(kind=lambda t: np.where(t["label"] > "class 1", "bad", "good"))
    assert findings("capture-constant", table)[("kind",)].severity == "leak"


def test_a_finer_label_among_the_features_is_found(findings):
    table = honest(2000, 2)
    finer = np.random.default_rng(4).integers(5, size=2000) * 2
    table["scenario"] = finer + (table["label"] == "class 1")
    assert findings("label-code", table)[("scenario",)].severity == "leak"


ROWS = 2000
INDICES = {
    "plain": np.arange(ROWS),
    "shifted and scaled": 5000 - 0.25 * np.arange(ROWS),
    "to zero and one as float32": (np.arange(ROWS) / (ROWS - 1)).astype(np.float32),
    "shuffled": np.random.default_rng(5).permutation(ROWS),
    "part of a longer one": np.random.default_rng(6).permutation(5 * ROWS)[:ROWS] + 7,
}


@pytest.mark.parametrize("kind", INDICES)
def test_a_row_index_is_found(findings, kind):
    table = honest(ROWS).assign(number=INDICES[kind])
    assert findings("row-index", table).keys() == {("number",)}


@pytest.mark.parametrize(("by_label", "severity"), [(True, "leak"), (False, "warning")])
def test_a_row_index_is_a_leak_where_it_knows_the_label(findings, by_label, severity):
    table = honest(ROWS)
    table = table.sort_values("label") if by_label else table
    finding = findings("row-index", table.assign(number=np.arange(ROWS)))[("number",)]
    assert finding.severity == severity


def test_an_index_that_starts_anew_in_every_file_is_found(findings):
    tables = [honest(400, seed=seed).assign(number=np.arange(400)) for seed in range(3)]
    finding = findings("row-index", *tables)[("number",)]
    assert "counted anew in every file" in finding.evidence


def test_distinct_measurements_are_no_index(findings):
    rng = np.random.default_rng(7)
    table = honest(ROWS).assign(
        float_value=rng.uniform(size=ROWS), nanoseconds=rng.integers(10**12, size=ROWS)
    )
    assert not findings("row-index", table)


def test_irregular_times_in_row_order_are_found(findings):
    times = np.cumsum(np.random.default_rng(8).exponential(size=ROWS))
    assert findings("row-order", honest(ROWS).assign(when=times)).keys() == {("when",)}


@pytest.mark.parametrize(
    "name", ["Flow ID", "Src_IP", " Destination IP", "Timestamp", "Unnamed: 0"]
)
def test_identifiers_are_found_by_name(findings, name):
    table = honest(ROWS).assign(**{name: np.random.default_rng(9).integers(50, size=ROWS)})
    [(columns, finding)] = findings("identifier", table).items()
    assert columns == (name.strip(),)
    assert finding.severity == "warning"


def test_addresses_are_found_by_value_and_leak_where_they_know_the_label(findings):
    table = honest(ROWS)
    last = np.where(table["label"] == "class 1", 200, 10) + np.arange(ROWS) % 7
    table["peer"] = [f"192.168.0.{number}" for number in last]
    assert findings("identifier", table)[("peer",)].severity == "leak"


def test_texts_of_single_rows_are_found(findings):
    texts = [f"{number:x}-{number * 7919 % 65521:x}" for number in range(ROWS)]
    assert ("session",) in findings("identifier", honest(ROWS).assign(session=texts))


def test_a_port_is_a_note(findings):
    ports = np.random.default_rng(10).integers(1024, 65536, size=ROWS)
    table = honest(ROWS).assign(**{"Src Port": ports})
    assert findings("port", table)[("Src Port",)].severity == "note"


def windows(rows=3000):
    """Windows of 10 or of 100 packets, set by class, as in CICIoT2023."""
    table = honest(rows, 5)
    rng = np.random.default_rng(11)
    number = np.where(table["label"].isin(["class 1", "class 3"]), 100, 10)
    syn, size = rng.binomial(number, 0.4), rng.integers(60, 1500, size=rows)
    return table.assign(
        Number=number, syn_count=syn, syn_flag_number=syn / number, AVG=size, Sum=size * number
    )


def test_a_window_size_set_by_class_is_found_with_what_scales_with_it(findings):
    table = windows()
    assert findings("capture-constant", table).keys() == {("Number",)}
    scaled = findings("scales-with-constant", table)
    assert set(scaled) == {("syn_count", "Sum"), ("syn_flag_number",)}


def test_a_few_odd_windows_do_not_hide_it(findings):
    table = windows()
    table.loc[::500, "Number"] = 3
    assert findings("capture-constant", table).keys() == {("Number",)}


def test_a_constant_of_each_file_is_found(findings):
    tables = [honest(300, seed=seed).assign(ttl=[64, 128, 255][seed]) for seed in range(3)]
    finding = findings("capture-constant", *tables)[("ttl",)]
    assert "of their '(file)'" in finding.evidence


@pytest.mark.parametrize(
    ("copied", "severity"), [(0.2, "leak"), (0.02, "warning"), (0.0005, "note")]
)
def test_test_rows_from_training_are_counted(findings, copied, severity):
    table, test = honest(4000), honest(2000, seed=1)
    count = int(copied * len(test))
    test.iloc[:count] = table.iloc[:count]
    [finding] = findings("duplicates-across-split", table, test=test).values()
    assert finding.severity == severity
    assert finding.numbers["exact_share"] == pytest.approx(copied)


def test_test_rows_that_went_through_float32_are_counted(findings):
    table, test = honest(1000), honest(500, seed=1)
    test.iloc[:250] = table.iloc[:250]
    numbers = test.select_dtypes("float").columns
    test[numbers] = test[numbers].astype(np.float32).astype(float)
    [finding] = findings("duplicates-across-split", table, test=test).values()
    assert finding.numbers["exact_share"] < 0.01
    assert finding.numbers["rounded_share"] > 0.45


def test_a_row_index_does_not_hide_repeats(findings):
    table, test = honest(1000), honest(500, seed=1)
    test.iloc[:250] = table.iloc[:250]
    table["number"], test["number"] = np.arange(1000), np.arange(1000, 1500)
    [finding] = findings("duplicates-across-split", table, test=test).values()
    assert finding.numbers["exact_share"] == 0.5


def test_columns_in_another_order_do_not_hide_repeats(findings):
    table, test = honest(1000), honest(500, seed=1)
    test.iloc[:250] = table.iloc[:250]
    [finding] = findings("duplicates-across-split", table, test=test[test.columns[::-1]]).values()
    assert finding.numbers["exact_share"] == 0.5


def test_the_same_flows_in_captures_apart_are_a_note(save):
    one, two, other = honest(500), honest(500, seed=1), honest(500, seed=2)
    other.iloc[:100] = one.iloc[:100]
    train = [save(one, "one.csv"), save(two, "two.csv")]
    test = [save(other, "other.csv"), save(honest(500, seed=3), "another.csv")]
    [finding] = [
        f for f in audit_tables(train, test=test).findings if f.check == "duplicates-across-split"
    ]
    assert finding.severity == "note"
    assert finding.numbers["exact_share"] == 0.1


def test_repeated_rows_are_a_warning_where_no_split_is_given(findings):
    table = pd.concat([honest(1000), honest(1000).iloc[:100]])
    [finding] = findings("repeated-rows", table).values()
    assert finding.severity == "warning"
    assert finding.numbers["exact_share"] == pytest.approx(100 / 1100)


def test_rows_of_several_labels_are_counted(findings):
    again = honest(1000).iloc[:30].assign(label=lambda t: t["label"].map({"class 0": "class 1"}))
    table = pd.concat([honest(1000), again.dropna()])
    finding = findings("label-conflict", table)[("label",)]
    assert finding.numbers["share"] == pytest.approx(2 * len(again.dropna()) / len(table))
    assert finding.severity == "warning"


def test_classes_that_only_the_test_has_are_named(findings):
    table, test = honest(1000, 3), honest(800, 5)
    finding = findings("absent-class", table, test=test)[("label",)]
    assert finding.evidence.endswith("'class 3', 'class 4'")
    expected = test["label"].isin(["class 3", "class 4"]).mean()
    assert finding.numbers["share"] == pytest.approx(expected)


def test_permuted_labels_give_chance_on_honest_tables(save):
    table, test = save(honest(3000)), save(honest(1500, seed=1), "test.csv")
    run = audit_tables([table], test=[test], permute=True).permuted
    assert run.at_chance
    assert run.chance_low < run.auc
    assert run.split == "given"


def test_permuted_labels_betray_copied_rows(findings):
    table, test = honest(3000), honest(1500, seed=1)
    test.iloc[:450] = table.iloc[:450]
    [finding] = findings("permuted-labels", table, test=test, permute=True).values()
    assert finding.severity == "leak"
    assert finding.numbers["auc"] == pytest.approx(1 - (1 - 0.3) ** 2 / 2, abs=0.05)


def test_permuted_labels_betray_repeats_under_a_random_split(findings):
    table = pd.concat([honest(1500)] * 2)
    [finding] = findings("permuted-labels", table, permute=True).values()
    assert finding.severity == "warning"


def coded(table):
    return pd.factorize(table["label"], sort=True)[0]


def test_a_counter_of_blocks_of_rows_is_found(findings):
    table = honest(ROWS, 3).sort_values("label").assign(block=np.arange(ROWS) // 10)
    found = findings("row-index", table.sample(frac=1, random_state=0))
    assert found[("block",)].severity == "leak"


@pytest.mark.parametrize("change", [np.log1p, np.sqrt, lambda n: n + 0.1 * np.sin(7 * n)])
def test_a_bent_row_index_is_found_in_shuffled_rows(findings, change):
    table = honest(ROWS, 3).sort_values("label").assign(x=change(np.arange(ROWS, dtype=float)))
    found = findings("row-index", table.sample(frac=1, random_state=0))
    assert found[("x",)].severity == "leak"


def test_a_hundredth_of_a_row_index_is_found(findings):
    table = honest(100 * ROWS, 3).sort_values("label").assign(x=np.arange(100 * ROWS))
    found = findings("row-index", table.sample(ROWS, random_state=1))
    assert found[("x",)].severity == "leak"


def test_a_time_by_another_name_is_found_where_attacks_come_and_go(findings):
    table = honest(ROWS, 3)
    rng = np.random.default_rng(12)
    run = coded(table) + 3 * rng.integers(7, size=ROWS)
    found = findings("row-order", table.assign(x=1000.0 * run + rng.uniform(0, 900, ROWS)))
    assert found[("x",)].numbers["runs"] == 21
    assert found[("x",)].severity == "leak"


HOSTS = {
    "md5": lambda host: hashlib.md5(str(host).encode(), usedforsecurity=False).hexdigest(),
    "whole number": lambda host: int.from_bytes(hashlib.sha256(b"%d" % host).digest()[:6], "big"),
    "mac": lambda host: f"00:1b:44:11:3a:{host:02x}",
    "flow number": lambda host: f"192.168.0.{host}-10.0.0.1-80-6",
    "address as a number": lambda host: 3232235520 + host,
    "moment": lambda host: f"2017-07-0{1 + host // 6} 14:{host:02d}",
    "seconds since 1970": lambda host: 1_499_342_400 + 60 * host,
}


@pytest.mark.parametrize("kind", HOSTS)
def test_what_identifies_a_host_or_a_moment_is_found_by_value(findings, kind):
    """Few values, a tenth of the rows under another's: no code of the label."""
    table = honest(ROWS, 3)
    rng = np.random.default_rng(13)
    host = 4 * coded(table) + rng.integers(4, size=ROWS)
    host = np.where(rng.random(ROWS) < 0.1, rng.integers(12, size=ROWS), host)
    table["x"] = [HOSTS[kind](int(one)) for one in host]
    assert findings("identifier", table)[("x",)].severity == "leak"


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("joined", [lambda a, c: a * c, lambda a, c: c / a])
def test_a_constant_of_the_class_between_two_columns_is_found(findings, classes, joined):
    table = honest(ROWS, classes)
    hidden = np.random.default_rng(14).lognormal(3, 1, ROWS)
    table = table.assign(a=hidden, b=joined(hidden, 1 + coded(table)))
    [(columns, finding)] = findings("joint-constant", table).items()
    assert set(columns) == {"a", "b"}
    assert finding.severity == "leak"


def test_a_window_size_is_found_without_its_column(findings):
    table = windows().drop(columns="Number").query("Sum > 0")
    [(columns, finding)] = findings("joint-constant", table).items()
    assert {"AVG", "Sum"} <= set(columns)
    assert finding.severity == "leak"


def test_columns_that_are_always_in_proportion_are_no_leak(findings):
    table = honest(ROWS, 3).assign(bits=lambda t: 8 * t["bytes"])
    assert not findings("joint-constant", table)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_label_split_over_two_codes_is_found(findings, classes):
    """An exclusive or: neither says anything, both say all."""
    table = honest(ROWS, classes)
    share = np.random.default_rng(15).integers(classes, size=ROWS)
    table = table.assign(a=share, b=(share + coded(table)) % classes)
    assert findings("joint-code", table)[("a", "b")].severity == "leak"


@pytest.mark.parametrize("noise", [1e-9, 1e-7, 1e-6, 1e-5])
def test_test_rows_from_training_are_counted_through_noise(findings, noise):
    table, test = honest(2000), honest(1000, seed=1)
    test.iloc[:300] = table.iloc[:300]
    numbers = test.select_dtypes("number").columns
    rng = np.random.default_rng(16)
    test[numbers] = test[numbers] * (1 + rng.normal(0, noise, test[numbers].shape))
    test[numbers] = test[numbers] + rng.normal(0, noise, test[numbers].shape)
    [finding] = findings("duplicates-across-split", table, test=test).values()
    assert finding.severity == "leak"
    assert finding.numbers["near_share"] == pytest.approx(0.3, abs=0.01)


def test_repeats_are_counted_through_noise(findings):
    table = honest(1000)
    again = table.iloc[:200].copy()
    numbers = again.select_dtypes("float").columns
    again[numbers] *= 1 + 2e-5
    [finding] = findings("repeated-rows", pd.concat([table, again])).values()
    assert finding.severity == "warning"
    assert finding.numbers["near_share"] == pytest.approx(200 / 1200, abs=0.01)
