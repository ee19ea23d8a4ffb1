"""``extract``: tables that read back exactly, complete or not at all."""

from __future__ import annotations

import csv
import gzip
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.files.small_disk import disk_of
from tests.flows.frames import questions, udp, write

from idskit.cli import main
from idskit.errors import CaptureError, IdskitError, MissingExtra
from idskit.extract import extract as extract_module
from idskit.extract.extract import extract
from idskit.flow_input import FlowInput
from idskit.generate import generate
from idskit.kernels.compile import is_compiling
from idskit.profiles import FlowReader, open_flows, schema_named

SIX = "2001:db8::1"


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    six = (90, 1, udp(SIX, "2001:db8::53", 4000, 53, b"six"))
    return write(tmp_path / "dns.pcap", [*questions(12), six])


def features_of(capture: Path, schema: str) -> NDArray[np.float64]:
    with open_flows(capture, schema) as flows:
        return np.concatenate([batch.features for batch in flows.batches()])


def read_arrow(path: Path) -> Any:
    import pyarrow.ipc
    import pyarrow.parquet

    if path.suffix == ".parquet":
        return pyarrow.parquet.read_table(path)
    with pyarrow.ipc.open_file(path) as file:
        return file.read_all()


def columns_of(path: Path) -> dict[str, list[str]]:
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    return dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))


@pytest.mark.parametrize("schema", ["gateway", "cic-fixed", "cic-original"])
def test_numbers_of_a_csv_read_back_exactly(schema: str, capture: Path, tmp_path: Path) -> None:
    extract(FlowInput(capture=capture), tmp_path / "flows.csv", schema=schema)
    columns = columns_of(tmp_path / "flows.csv")
    table = np.array([columns[name] for name in schema_named(schema).names], np.float64).T
    np.testing.assert_array_equal(table, features_of(capture, schema))


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
@pytest.mark.parametrize("schema", ["gateway", "cic-fixed", "cic-original"])
def test_a_parquet_or_arrow_file_holds_the_same_columns(
    schema: str, ending: str, capture: Path, tmp_path: Path
) -> None:
    pytest.importorskip("pyarrow")
    extract(FlowInput(capture=capture), tmp_path / f"flows.{ending}", schema=schema)
    extract(FlowInput(capture=capture), tmp_path / "flows.csv", schema=schema)
    table = read_arrow(tmp_path / f"flows.{ending}")
    expected = features_of(capture, schema)
    for column, name in enumerate(schema_named(schema).names):
        np.testing.assert_array_equal(table[name].to_numpy(), expected[:, column])
    columns = columns_of(tmp_path / "flows.csv")
    columns.pop("Label", None)
    assert table.column_names == list(columns)
    for name in (*table.column_names[:7], "end") if schema == "gateway" else columns:
        if name not in schema_named(schema).names:
            assert list(map(str, table[name].to_pylist())) == columns[name]


def test_gateway_tables_begin_with_who_spoke_with_whom(capture: Path, tmp_path: Path) -> None:
    extract(FlowInput(capture=capture), tmp_path / "flows.csv")
    columns = columns_of(tmp_path / "flows.csv")
    identity = "src_ip src_port dst_ip dst_port protocol start_us end_us fwd_bytes bwd_bytes end"
    assert list(columns)[:10] == identity.split()
    assert [values[-1] for values in list(columns.values())[:7]] == [
        SIX, "4000", "2001:db8::53", "53", "17", "90000001", "90000001",
    ]  # fmt: skip


def test_whole_numbers_are_written_as_integers(capture: Path, tmp_path: Path) -> None:
    extract(FlowInput(capture=capture), tmp_path / "flows.csv")
    columns = columns_of(tmp_path / "flows.csv")
    assert columns["fwd_packets"][0] == "1"
    assert columns["flow_duration"][0] == "250000"
    assert (columns["flow_packet_rate"][0], columns["fwd_payload_mean"][0]) == ("8", "8")


@pytest.mark.parametrize("output", [None, "-"])
def test_without_an_output_the_table_goes_to_standard_output(
    output: str | None, capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    extract(FlowInput(capture=capture), tmp_path / "flows.csv")
    extract(FlowInput(capture=capture), output)
    assert capsys.readouterr().out == (tmp_path / "flows.csv").read_text()


@pytest.mark.parametrize("ending", ["csv", "parquet", "arrow"])
def test_a_capture_without_packets_gives_a_table_without_rows(ending: str, tmp_path: Path) -> None:
    empty = write(tmp_path / "none.pcap", [])
    assert extract(FlowInput(capture=empty), tmp_path / f"flows.{ending}").flows == 0
    if ending == "csv":
        (header,) = (tmp_path / "flows.csv").read_text().splitlines()
        assert header.split(",")[10:] == list(schema_named("gateway").names)
    else:
        pytest.importorskip("pyarrow")
        assert read_arrow(tmp_path / f"flows.{ending}").num_rows == 0


def test_nothing_is_left_behind_when_the_capture_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CaptureError):
        extract(FlowInput(capture=tmp_path / "missing.pcap"), tmp_path / "flows.csv")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet", "arrow"])
def test_a_full_disk_leaves_an_older_table_as_it_was(
    ending: str, capture: Path, tmp_path: Path
) -> None:
    if not ending.startswith("csv"):
        pytest.importorskip("pyarrow")
    table = tmp_path / f"flows.{ending}"
    table.write_text("older")
    with disk_of(100), pytest.raises(IdskitError, match="cannot be written: File too large"):
        extract(FlowInput(capture=capture), table)
    assert table.read_text() == "older"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dns.pcap", table.name]


def test_a_full_disk_keeps_what_an_interface_had_given(
    capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "flows.csv"
    monkeypatch.setattr(FlowReader, "is_live", True)
    monkeypatch.setattr(extract_module, "_BATCH", 1)
    with disk_of(12_000), pytest.raises(IdskitError, match="it holds the flows before that"):
        extract(FlowInput(capture=capture), table)
    whole = tmp_path / "whole.csv"
    extract(FlowInput(capture=capture), whole)
    lines = table.read_text().splitlines()
    assert 2 < len(lines) < 14
    assert lines == whole.read_text().splitlines()[: len(lines)]


def test_a_full_device_is_one_sentence_and_stays_a_device(capture: Path) -> None:
    with pytest.raises(IdskitError, match=r"^/dev/full cannot be written: No space left"):
        extract(FlowInput(capture=capture), "/dev/full")
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)


def test_a_pipe_is_written_to(capture: Path, tmp_path: Path) -> None:
    pipe, table = tmp_path / "pipe", tmp_path / "flows.csv"
    os.mkfifo(pipe)
    extract(FlowInput(capture=capture), table)
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE) as reader:
        extract(FlowInput(capture=capture), pipe)
        assert reader.communicate()[0] == table.read_bytes()


def test_a_link_still_points_to_the_table(capture: Path, tmp_path: Path) -> None:
    link, table = tmp_path / "latest.csv", tmp_path / "flows.csv"
    link.symlink_to(table)
    extract(FlowInput(capture=capture), link)
    assert link.is_symlink()
    assert len(columns_of(table)["src_ip"]) == 13


@pytest.mark.parametrize("name", ["no/such/flows.csv", "folder.csv", f"{300 * 'a'}.csv"])
def test_a_place_that_cannot_be_written_is_one_sentence(
    name: str, capture: Path, tmp_path: Path
) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(IdskitError, match=r"cannot be written: .* (directory|too long);"):
        extract(FlowInput(capture=capture), tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dns.pcap", "folder.csv"]


# The command line as a process of its own.

IDSKIT = [sys.executable, "-m", "idskit"]


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of which the table does not fit into a pipe."""
    return generate(tmp_path_factory.mktemp("home") / "home.pcap", packets=3000, seed=1).path


def test_a_reader_that_goes_away_is_an_error_of_one_sentence(busy: Path) -> None:
    command = [*IDSKIT, "extract", "-r", str(busy)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"src_ip,")
        process.stdout.close()
        said = process.stderr.read().decode()
    assert process.returncode == 1
    assert "Traceback" not in said
    assert said.endswith("idskit: rows of the table were lost: its reader went away\n")


def test_standard_output_that_is_full_is_one_sentence(capture: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*IDSKIT, "extract", "-r", str(capture)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == (
        "idskit: standard output cannot be written: No space left on device; choose another place\n"
    )


def test_a_gzip_table_is_the_table(capture: Path, tmp_path: Path) -> None:
    for name in ("flows.csv", "flows.csv.gz", "again.csv.gz"):
        extract(FlowInput(capture=capture), tmp_path / name)
    found = (tmp_path / "flows.csv.gz").read_bytes()
    assert gzip.decompress(found) == (tmp_path / "flows.csv").read_bytes()
    assert found == (tmp_path / "again.csv.gz").read_bytes()  # no time, no name
    tool = subprocess.run(["gzip", "-dc"], input=found, capture_output=True, check=True)
    assert tool.stdout == gzip.decompress(found)


def test_every_member_of_a_gzip_table_is_whole(
    capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extract_module, "_GZIP_BYTES", 100)  # less than a line
    extract(FlowInput(capture=capture), tmp_path / "flows.csv.gz")
    extract(FlowInput(capture=capture), tmp_path / "flows.csv")
    found = (tmp_path / "flows.csv.gz").read_bytes()
    assert found.count(b"\x1f\x8b\x08") > 2
    assert gzip.decompress(found) == (tmp_path / "flows.csv").read_bytes()


def test_table_and_statistics_cannot_share_standard_output(capture: Path) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["extract", "-r", str(capture), "--json", "-"])
    assert stop.value.code == 2


def test_statistics_as_json(
    capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["extract", "-r", str(capture), "-o", str(tmp_path / "x.csv"), "--json", "-"])
    statistics = json.loads(capsys.readouterr().out)
    assert (statistics["frames"], statistics["packets"], statistics["flows"]) == (25, 25, 13)


# A verdict before the end.


def test_verdicts_are_rows_of_their_own_and_the_last_row_of_a_flow_is_all_of_it(
    busy: Path, tmp_path: Path
) -> None:
    plain, early = tmp_path / "plain.csv", tmp_path / "early.csv"
    extract(FlowInput(capture=busy), plain)
    statistics = extract(FlowInput(capture=busy, verdict_at_s=(0.5, 2)), early)
    with plain.open() as file, early.open() as both:
        ended, rows = list(csv.DictReader(file)), list(csv.DictReader(both))
    last = {flow_of(row): row for row in rows}
    assert without_end(last.values()) == without_end(ended)
    verdicts = sum(row["end"] == "verdict" for row in rows)
    assert (statistics.flows, statistics.verdicts) == (len(ended), verdicts)
    assert len(ended) < len(rows) < len(ended) + verdicts


def flow_of(row: dict[str, str]) -> tuple[str, ...]:
    return tuple(row[name] for name in (*list(row)[:5], "start_us"))


def without_end(rows: Iterable[dict[str, str]]) -> list[list[tuple[str, str]]]:
    return sorted([item for item in row.items() if item[0] != "end"] for row in rows)


def test_a_verdict_is_what_the_packets_until_then_give(tmp_path: Path) -> None:
    packets = [(i, i * i, udp("10.0.0.1", "10.0.0.2", 1, 2, b"x" * i)) for i in range(9)]
    whole, cut = write(tmp_path / "a.pcap", packets), write(tmp_path / "b.pcap", packets[:4])
    extract(FlowInput(capture=whole, verdict_at_s=(4,)), tmp_path / "a.csv")
    extract(FlowInput(capture=cut), tmp_path / "b.csv")
    early, ended = columns_of(tmp_path / "a.csv"), columns_of(tmp_path / "b.csv")
    assert (early.pop("end"), ended.pop("end")) == (["verdict", "capture_end"], ["capture_end"])
    assert {name: values[0] for name, values in early.items()} == {
        name: values[0] for name, values in ended.items()
    }


# A bar for people.


def test_a_terminal_sees_how_far_a_capture_is_read(
    capture: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(extract_module, "_BAR_BYTES", 0)
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes that for a terminal
    extract(FlowInput(capture=capture), tmp_path / "flows.csv", progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "reading" in err


def test_others_see_no_bar(
    capture: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(extract_module, "_BAR_BYTES", 0)
    with pytest.raises(SystemExit):
        main(["extract", "-r", str(capture), "-o", str(tmp_path / "flows.csv")])
    assert capsys.readouterr().err == f"13 flows of 25 packets in {capture} (gateway)\n"


def test_other_endings_are_refused(capture: Path, tmp_path: Path) -> None:
    with pytest.raises(IdskitError, match=r"\.xlsx ends in none of \.csv, \.csv\.gz, \.parq"):
        extract(FlowInput(capture=capture), tmp_path / "flows.xlsx")


def test_parquet_without_pyarrow_names_the_extra(
    capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"idskit\[train\]"):
        extract(FlowInput(capture=capture), tmp_path / "flows.parquet")


@pytest.mark.skipif(not is_compiling(), reason="NUMBA_DISABLE_JIT is set: nothing is compiled")
@pytest.mark.parametrize("verb", ["extract", "detect"])
def test_a_first_use_that_compiles_is_announced_once(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def compile_two(*_: object, **__: object) -> None:
        assert [numba.njit(lambda x, n=n: x + n)(1) for n in (1, 2)] == [2, 3]
        raise IdskitError("that was all")

    module = (
        "idskit.extract.extract.extract"
        if verb == "extract"
        else "idskit.detect.detect_flows.detect"
    )
    monkeypatch.setattr(module, compile_two)
    with pytest.raises(SystemExit):
        main([verb, "-r", "some.pcap"])
    assert capsys.readouterr().err.splitlines() == [
        "compiling the flow engine for this machine, once: one to two minutes",
        "idskit: that was all",
    ]


def test_nothing_is_announced_when_nothing_is_compiled(
    capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["extract", "-r", str(capture), "-o", str(tmp_path / "flows.csv")]
    # compiles, or loads, all that is needed
    extract(FlowInput(capture=capture), tmp_path / "flows.csv")
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 0
    assert "compiling" not in capsys.readouterr().err
