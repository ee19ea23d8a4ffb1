"""Facts about the public files that others have measured (data/README.md, reference/method.md)."""

from __future__ import annotations

import pytest

from idskit.audit.run_audit import audit_dataset, audit_tables


@pytest.fixture
def data(shared):
    return shared / "data"


def of(report, check):
    return {f.columns: f for f in report.findings if f.check == check}


def test_iotid20_published_arrays_hold_the_label_and_a_row_index(data):
    folder = data / "reference-arrays"
    names = ("iotid20_test_pca+mfcc.csv.gz", "iot20d_reshaped_test_sample_merge.csv.gz")
    report = audit_tables([folder / name for name in names])
    [(columns, finding)] = of(report, "linear-label").items()
    assert finding.severity == "leak"
    assert {f"pca_{number}" for number in range(12)} < set(columns)
    assert finding.numbers["unexplained"] < 1e-20
    index = of(report, "row-index")[("Unnamed: 0",)]
    assert index.severity == "leak"
    assert index.numbers["label_kappa"] > 0.99


@pytest.mark.parametrize("size", ["10", "34"])
def test_ciciot2023_number_was_set_by_class(data, size):
    report = audit_tables([data / f"ciciot2023/CICIoT2023_{size}class_sample.csv.gz"])
    assert of(report, "capture-constant").keys() == {("Number",)}
    carried = {name for columns in of(report, "scales-with-constant") for name in columns}
    assert {"ack_count", "Tot sum", "ack_flag_number"} <= carried


def test_iotid20_identifiers_know_the_label(data):
    report = audit_tables([data / "iotid20/IoTID20_1pct_30feat_binary.csv.gz"])
    found = of(report, "identifier")
    assert set(found) == {("Flow_ID",), ("Src_IP",), ("Dst_IP",), ("Timestamp",)}
    assert found[("Timestamp",)].numbers["label_kappa"] > 0.99


def test_repeated_rows_of_cicids2017_are_counted(data):
    report = audit_tables([data / "cicids2017/CICIDS2017_7class_77feat.csv.gz"])
    [finding] = of(report, "repeated-rows").values()
    assert finding.evidence.startswith("840 of 5,084")
    assert report.count("leak") == 0


def test_nsl_kdd_official_has_its_documented_flaws_and_no_leak(data):
    report = audit_dataset("nsl-kdd", data / "nsl-kdd", protocol="official")
    assert report.count("leak") == 0
    [duplicates] = of(report, "duplicates-across-split").values()
    assert duplicates.evidence.startswith("664 of 22,544")
    assert of(report, "absent-class")[("group",)].numbers["classes"] == 17
    assert of(report, "constant").keys() == {("num_outbound_cmds",)}


def test_labelled_captures_split_by_capture_have_no_leak(data):
    report = audit_dataset("captures", data / "pcap/labelled", protocol="honest")
    assert report.count("leak") == 0
    warned = {finding.check for finding in report.findings if finding.severity == "warning"}
    assert warned <= {"repository", "repository-label"}  # captures of one lab resemble each other
