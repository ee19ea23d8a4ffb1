"""``extract``: tables that read back exactly, complete or not at all."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.flows.frames import questions, udp, write

from idskit.cli import main
from idskit.errors import CaptureError, IdskitError, MissingExtra
from idskit.flows import open_flows, schema_named
from idskit.flows.extract import extract, instant
from idskit.flows.kernel import is_compiling

SIX = "2001:db8::1"


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    six = (90, 1, udp(SIX, "2001:db8::53", 4000, 53, b"six"))
    return write(tmp_path / "dns.pcap", [*questions(12), six])


def features_of(capture: Path, schema: str) -> NDArray[np.float64]:
    with open_flows(capture, schema) as flows:
        return np.concatenate([batch.features for batch in flows.batches()])


def columns_of(path: Path) -> dict[str, list[str]]:
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    return dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))


@pytest.mark.parametrize("schema", ["gateway", "cic-fixed", "cic-original"])
def test_numbers_of_a_csv_read_back_exactly(schema: str, capture: Path, tmp_path: Path) -> None:
    extract(capture, tmp_path / "flows.csv", schema=schema)
    columns = columns_of(tmp_path / "flows.csv")
    table = np.array([columns[name] for name in schema_named(schema).names], np.float64).T
    np.testing.assert_array_equal(table, features_of(capture, schema))


@pytest.mark.parametrize("schema", ["gateway", "cic-fixed", "cic-original"])
def test_a_parquet_file_holds_the_same_columns(schema: str, capture: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    extract(capture, tmp_path / "flows.parquet", schema=schema)
    extract(capture, tmp_path / "flows.csv", schema=schema)
    table = parquet.read_table(tmp_path / "flows.parquet")
    expected = features_of(capture, schema)
    for column, name in enumerate(schema_named(schema).names):
        np.testing.assert_array_equal(table[name].to_numpy(), expected[:, column])
    columns = columns_of(tmp_path / "flows.csv")
    columns.pop("Label", None)
    assert table.column_names == list(columns)


def test_gateway_tables_begin_with_who_spoke_with_whom(capture: Path, tmp_path: Path) -> None:
    extract(capture, tmp_path / "flows.csv")
    columns = columns_of(tmp_path / "flows.csv")
    identity = "src_ip src_port dst_ip dst_port protocol start_us end_us fwd_bytes bwd_bytes end"
    assert list(columns)[:10] == identity.split()
    assert [values[-1] for values in list(columns.values())[:7]] == [
        SIX, "4000", "2001:db8::53", "53", "17", "90000001", "90000001",
    ]  # fmt: skip


def test_counts_are_written_as_integers(capture: Path, tmp_path: Path) -> None:
    extract(capture, tmp_path / "flows.csv")
    columns = columns_of(tmp_path / "flows.csv")
    assert columns["fwd_packets"][0] == "1"
    assert columns["flow_duration"][0] == "250000"


def test_without_an_output_the_table_goes_to_standard_output(
    capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    extract(capture, tmp_path / "flows.csv")
    extract(capture)
    assert capsys.readouterr().out == (tmp_path / "flows.csv").read_text()


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_capture_without_packets_gives_a_table_without_rows(ending: str, tmp_path: Path) -> None:
    empty = write(tmp_path / "none.pcap", [])
    assert extract(empty, tmp_path / f"flows.{ending}").flows == 0
    if ending == "csv":
        (header,) = (tmp_path / "flows.csv").read_text().splitlines()
        assert header.split(",")[10:] == list(schema_named("gateway").names)
    else:
        parquet = pytest.importorskip("pyarrow.parquet")
        assert parquet.read_table(tmp_path / "flows.parquet").num_rows == 0


def test_nothing_is_left_behind_when_the_capture_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CaptureError):
        extract(tmp_path / "missing.pcap", tmp_path / "flows.csv")
    assert list(tmp_path.iterdir()) == []


def test_an_older_table_stays_when_writing_fails(
    capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "flows.csv"
    table.write_text("older")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("idskit.flows.extract._csv_rows", fail)
    with pytest.raises(IdskitError, match="No space left on device"):
        extract(capture, table)
    assert table.read_text() == "older"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dns.pcap", "flows.csv"]


def test_other_endings_are_refused(capture: Path, tmp_path: Path) -> None:
    with pytest.raises(IdskitError, match=r"neither \.csv nor \.parquet"):
        extract(capture, tmp_path / "flows.xlsx")


def test_parquet_without_pyarrow_names_the_extra(
    capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"idskit\[train\]"):
        extract(capture, tmp_path / "flows.parquet")


@pytest.mark.parametrize(
    ("time_us", "text"),
    [
        (0, "1970-01-01 00:00:00"),
        (1_500_000, "1970-01-01 00:00:01.500"),
        (1_500_001, "1970-01-01 00:00:01.500001"),
        (1_461_170_590_509_491, "2016-04-20 16:43:10.509491"),
        (-1, "1969-12-31 23:59:59.999999"),
    ],
)
def test_timestamps_of_cic_fixed_are_as_short_as_java_prints_them(time_us: int, text: str) -> None:
    assert instant(time_us) == text


@pytest.mark.skipif(not is_compiling(), reason="NUMBA_DISABLE_JIT is set: nothing is compiled")
@pytest.mark.parametrize("verb", ["extract", "detect"])
def test_a_first_use_that_compiles_is_announced_once(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def compile_two(*_: object, **__: object) -> None:
        assert [numba.njit(lambda x, n=n: x + n)(1) for n in (1, 2)] == [2, 3]
        raise IdskitError("that was all")

    module = "idskit.flows.extract.extract" if verb == "extract" else "idskit.detect.run.detect"
    monkeypatch.setattr(module, compile_two)
    with pytest.raises(SystemExit):
        main([verb, "-r", "some.pcap"])
    assert capsys.readouterr().err.splitlines() == [
        "compiling the flow engine for this machine, once: about 20 s",
        "idskit: that was all",
    ]


def test_nothing_is_announced_when_nothing_is_compiled(
    capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["extract", "-r", str(capture), "-o", str(tmp_path / "flows.csv")]
    extract(capture, tmp_path / "flows.csv")  # compiles, or loads, all that is needed
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 0
    assert "compiling" not in capsys.readouterr().err
