"""Tables of flows: columns by name, and every fault named by row and column."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from idskit.alerts.alert import Flow
from idskit.detect.feature_table import BATCH, read_flow_table
from idskit.errors import MissingExtra, SchemaError
from idskit.schema import Feature, Schema

SCHEMA = Schema(
    name="kinds",
    features=(
        Feature(name="duration", unit="us"),
        Feature(name="service", unit="", categories=("http", "ssh", "7")),
        Feature(name="bytes", unit="bytes"),
    ),
)


def table(tmp_path: Path, text: str, name: str = "flows.csv") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def read(path: Path) -> np.ndarray:
    return np.concatenate(
        [np.empty((0, 3)), *(rows.features for rows in read_flow_table(path, SCHEMA))]
    )


def refusal(path: Path) -> str:
    with pytest.raises(SchemaError) as caught:
        read(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_columns_are_found_by_name_in_any_order(tmp_path) -> None:
    path = table(tmp_path, "label, bytes ,service,duration\nx,3,http,1\ny,4,http,2\n")
    np.testing.assert_array_equal(read(path), [[1, 0, 3], [2, 0, 4]])


def test_categories_become_codes(tmp_path) -> None:
    path = table(tmp_path, "duration,service,bytes\n1,ssh,0\n1,1,0\n1,7,0\n1,gopher,0\n")
    np.testing.assert_array_equal(read(path)[:, 1], [1, 1, 2, -1])


@pytest.mark.parametrize("value", ["1_000", "\uff11", "9" * 1000 + "x"])
def test_only_numbers_that_training_reads_are_read(tmp_path, value) -> None:
    text = f"duration,service,bytes\n{value},http,0\n"
    found = refusal(table(tmp_path, text)).removeprefix(str(tmp_path))
    assert "in row 1, column 'duration', where a finite number is due" in found
    assert len(found) < 200


def test_a_comma_is_no_separator_of_thousands_where_it_may_be_a_decimal_one(tmp_path) -> None:
    grouped = table(tmp_path, 'duration,service,bytes\n"1,234",http,0\n')
    np.testing.assert_array_equal(read(grouped), [[1234, 0, 0]])
    assert "'1,234' in row 1" in refusal(table(tmp_path, "duration;service;bytes\n1,234;http;0\n"))


def test_rows_of_long_lines_do_not_fill_the_memory(tmp_path) -> None:
    long = "1" + " " * 60_000
    path = table(tmp_path, "duration,service,bytes,x\n" + f"1,http,0,{long}\n" * 100)
    counts = [len(rows.features) for rows in read_flow_table(path, SCHEMA)]
    assert sum(counts) == 100
    assert max(counts) < 60  # those of a piece, of 3 MiB at most


def test_a_table_of_any_length_comes_in_batches(tmp_path) -> None:
    rows = np.arange(BATCH + 5)
    lines = "".join(f"{row},http,0\n" for row in rows)
    path = table(tmp_path, "duration,service,bytes\n" + lines)
    assert [len(rows.features) for rows in read_flow_table(path, SCHEMA)] == [BATCH, 5]
    np.testing.assert_array_equal(read(path)[:, 0], rows)


def test_a_header_alone_holds_no_flows(tmp_path) -> None:
    assert len(read(table(tmp_path, "duration,service,bytes\n"))) == 0


def test_gzip_and_byte_order_mark_are_read(tmp_path) -> None:
    path = tmp_path / "flows.csv.gz"
    path.write_bytes(gzip.compress("\ufeffduration,service,bytes\n1,http,2\n".encode()))
    np.testing.assert_array_equal(read(path), [[1, 0, 2]])


def test_parquet_gives_what_csv_gives(tmp_path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = {"service": ["ssh", "gopher"], "bytes": [1.5, 2.5], "duration": [7, 8], "x": ["", ""]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "flows.parquet")
    expected = [[7, 1, 1.5], [8, -1, 2.5]]
    np.testing.assert_array_equal(read(tmp_path / "flows.parquet"), expected)


def test_parquet_without_pyarrow_names_the_extra(tmp_path, monkeypatch) -> None:
    (tmp_path / "flows.parquet").write_bytes(b"PAR1" * 8)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"pip install 'idskit\[train\]'"):
        read(tmp_path / "flows.parquet")


def test_missing_columns_are_named(tmp_path) -> None:
    message = refusal(table(tmp_path, "duration\n1\n"))
    assert "lacks 2 of the 3 columns of schema kinds: service, bytes" in message


@pytest.mark.parametrize("value", ["nan", "inf", "-Infinity", "", "many", "1e999"])
def test_what_is_no_finite_number_is_named_by_row_and_column(tmp_path, value) -> None:
    lines = "1,http,2\n" * BATCH + f"1,http,{value}\n"
    message = refusal(table(tmp_path, "duration,service,bytes\n" + lines))
    assert f"holds {value!r} in row {BATCH + 1}, column 'bytes'" in message


def test_a_category_left_empty_is_named(tmp_path) -> None:
    message = refusal(table(tmp_path, "duration,service,bytes\n1,,2\n"))
    assert "holds '' in row 1, column 'service'" in message


def test_a_row_of_another_length_is_named(tmp_path) -> None:
    message = refusal(table(tmp_path, "duration,service,bytes\n1,http,2\n1,http\n"))
    assert "row 2 has 2 fields" in message


def test_a_missing_file(tmp_path) -> None:
    assert "cannot be read: No such file" in refusal(tmp_path / "absent.csv")


def test_an_empty_file(tmp_path) -> None:
    assert "is empty: a table with a line of column names" in refusal(table(tmp_path, ""))


@pytest.mark.parametrize("name", ["capture.pcap", "broken.csv.gz", "broken.parquet"])
def test_a_file_of_another_kind(tmp_path, name) -> None:
    path = tmp_path / name
    path.write_bytes(b"\xd4\xc3\xb2\xa1\x02\x00\x04\x00\xff\xfe" * 20)
    refusal(path)


def test_a_gzip_file_cut_short(tmp_path) -> None:
    path = tmp_path / "flows.csv.gz"
    whole = gzip.compress(b"duration,service,bytes\n" + b"1,http,2\n" * 9000)
    path.write_bytes(whole[: len(whole) // 2])
    assert "is a gzip file that is damaged or cut short" in refusal(path)


WHO = "src_ip,src_port,dst_ip,dst_port,protocol,start_us,end_us,fwd_packets,bwd_packets,fwd_bytes"
HEADER = f"duration,service,bytes,{WHO},bwd_bytes\n"
FLOW_ROW = "1,ssh,2,10.0.0.1,1234,fd00::9,22,6,1700000000000001,1700000000000009,3,4,500,600\n"


def test_rows_that_say_whose_they_are_become_flows(tmp_path) -> None:
    (rows,) = read_flow_table(table(tmp_path, HEADER + FLOW_ROW), SCHEMA)
    flow = Flow.from_record(rows.flows[0])
    assert (str(flow.src), str(flow.dst), flow.src_port, flow.dst_port) == (
        "10.0.0.1",
        "fd00::9",
        1234,
        22,
    )
    assert (flow.start_us, flow.end_us) == (1_700_000_000_000_001, 1_700_000_000_000_009)
    assert (flow.fwd_packets, flow.bwd_packets, flow.fwd_bytes, flow.bwd_bytes) == (3, 4, 500, 600)
    assert (flow.protocol, flow.icmp_type, flow.end) == (6, None, None)


@pytest.mark.parametrize(("text", "end"), [("verdict", "verdict"), ("age", "age"), ("?", None)])
def test_why_a_flow_was_given_out_is_read_where_it_is_known(tmp_path, text, end) -> None:
    lines = HEADER[:-1] + ",end\n" + FLOW_ROW[:-1] + f",{text}\n"
    (rows,) = read_flow_table(table(tmp_path, lines), SCHEMA)
    assert Flow.from_record(rows.flows[0]).end == end


@pytest.mark.parametrize("missing", [("src_ip",), ("dst_ip",), ("src_ip", "dst_ip")])
def test_rows_without_addresses_become_flows_without_them(tmp_path, missing) -> None:
    lines = HEADER + FLOW_ROW
    for name in missing:
        lines = lines.replace(name, f"hashed_{name}")
    (rows,) = read_flow_table(table(tmp_path, lines), SCHEMA)
    flow = Flow.from_record(rows.flows[0])
    assert (flow.src, flow.dst, flow.flow_id, flow.community_id) == (None,) * 4
    assert (flow.src_port, flow.protocol, flow.end_us) == (1234, 6, 1_700_000_000_000_009)


def test_rows_that_do_not_say_it_all_become_none_but_keep_their_time(tmp_path) -> None:
    lines = (HEADER + FLOW_ROW).replace("fwd_bytes", "wire_bytes")
    (rows,) = read_flow_table(table(tmp_path, lines), SCHEMA)
    assert rows.flows is None
    assert rows.ends_us is not None
    assert rows.ends_us.tolist() == [1_700_000_000_000_009]


def test_rows_without_a_time_have_none(tmp_path) -> None:
    lines = (HEADER + FLOW_ROW).replace("end_us", "ended")
    (rows,) = read_flow_table(table(tmp_path, lines), SCHEMA)
    assert (rows.flows, rows.ends_us) == (None, None)


@pytest.mark.parametrize(
    ("address", "version"), [("10.0.0.1", 4), ("::ffff:10.0.0.1", 4), ("::1", 6), ("0.0.0.1", 4)]
)
def test_the_ip_version_is_that_of_the_addresses(tmp_path, address, version) -> None:
    lines = HEADER + FLOW_ROW.replace("10.0.0.1", address).replace("fd00::9", address)
    (rows,) = read_flow_table(table(tmp_path, lines), SCHEMA)
    assert rows.flows["ip_version"].tolist() == [version]
    assert Flow.from_record(rows.flows[0]).src.version == version


@pytest.mark.parametrize(
    ("good", "bad", "column"),
    [
        ("10.0.0.1", "10.0.0.256", "src_ip"),
        ("fd00::9", "nobody", "dst_ip"),
        ("1234", "65536", "src_port"),
        ("1234", "-1", "src_port"),
        (",22,", ",22.5,", "dst_port"),
        ("1700000000000009", "9e17", "end_us"),
    ],
)
def test_an_impossible_identity_is_named(tmp_path, good, bad, column) -> None:
    lines = HEADER + FLOW_ROW + FLOW_ROW.replace(good, bad)
    assert f"in row 2, column {column!r}" in refusal(table(tmp_path, lines))
