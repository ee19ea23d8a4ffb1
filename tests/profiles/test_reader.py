"""``open_flows``: batches, statistics, settings and their errors."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from tests.flows.frames import frame, questions, udp, write

from idskit.errors import IdskitError, SchemaError
from idskit.profiles import open_flows, schema_named
from idskit.profiles.reading_statistics import FlowStatistics
from idskit.schema import Feature


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    return write(tmp_path / "dns.pcap", questions(25))


def statistics_of(path: Path, **settings: object) -> FlowStatistics:
    with open_flows(path, **settings) as flows:  # type: ignore[arg-type]
        for _ in flows.batches():
            pass
        return flows.statistics


@pytest.mark.parametrize("name", ["gateway", "cic-fixed", "cic-original"])
def test_flows_say_who_spoke_with_whom_and_how_much(name: str, capture: Path) -> None:
    with open_flows(capture, name) as flows:
        (batch,) = flows.batches()
    first = batch.flows[0]
    assert batch.sources()[0] == "10.0.0.1"
    assert batch.destinations()[0] == "192.0.2.53"
    assert (first["src_port"], first["dst_port"], first["protocol"]) == (5000, 53, 17)
    assert (first["start_us"], first["end_us"]) == (250_000, 500_000)
    assert (first["fwd_packets"], first["bwd_packets"]) == (1, 1)
    wire = 7  # bytes that each record claims beyond those captured
    assert (first["fwd_bytes"], first["bwd_bytes"]) == (14 + 28 + 8 + wire, 14 + 28 + 15 + wire)
    assert batch.features.shape == (25, len(schema_named(name)))


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_batches_have_the_size_asked_for(size: int, capture: Path) -> None:
    with open_flows(capture) as flows:
        sizes = [len(batch) for batch in flows.batches(size)]
    assert sum(sizes) == 25
    assert sizes[:-1] == [size] * (len(sizes) - 1)


def test_a_batch_belongs_to_its_reader(capture: Path) -> None:
    with open_flows(capture) as flows:
        kept, copies = [], []
        for batch in flows.batches(3):
            kept.append(batch.features)
            copies.append(batch.features.copy())
    np.testing.assert_array_equal(np.concatenate(kept), np.concatenate(copies))


def test_frames_seen_are_packets_and_skipped_ones_exactly(tmp_path: Path) -> None:
    arp = frame("10.0.0.1", "10.0.0.2", 0, b"", ethertype=0x0806)
    records = [*questions(3), (9, 0, arp), (9, 1, b"short"), (9, 2, arp)]
    found = statistics_of(write(tmp_path / "mixed.pcap", records))
    assert (found.frames, found.packets) == (9, 6)
    assert found.skipped == {"truncated_link": 1, "arp": 2}
    assert found.flows == 3


def test_a_cut_capture_yields_the_flows_before_the_cut(tmp_path: Path, capture: Path) -> None:
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(capture.read_bytes()[:-5])
    found = statistics_of(cut)
    assert found.packets == 49
    assert found.flows == 25
    assert "ends inside a packet record" in found.truncated


def test_a_capture_without_packets_has_no_flows(tmp_path: Path) -> None:
    with open_flows(write(tmp_path / "none.pcap", [])) as flows:
        assert list(flows.batches()) == []
        assert flows.statistics.frames == 0


def test_a_small_memory_evicts_and_says_so(tmp_path: Path) -> None:
    many = [(0, i, udp(f"10.0.{i >> 8}.{i & 255}", "192.0.2.1", 9, 9)) for i in range(4000)]
    found = statistics_of(write(tmp_path / "many.pcap", many), memory_mb=1)
    assert found.flows == 4000
    assert found.evicted > 2000


def test_the_idle_time_out_can_be_chosen(tmp_path: Path) -> None:
    records = [(t, 0, udp("10.0.0.1", "192.0.2.1", 9, 9)) for t in (0, 20, 40)]
    path = write(tmp_path / "slow.pcap", records)
    assert statistics_of(path).flows == 1
    assert statistics_of(path, idle_timeout_s=15).flows == 3


def test_the_schema_of_a_model_is_taken_if_it_is_the_same(capture: Path) -> None:
    with open_flows(capture, schema_named("gateway")) as flows:
        assert flows.schema == schema_named("gateway")


def test_a_model_gets_the_columns_that_it_reads_in_its_own_order(capture: Path) -> None:
    ours = schema_named("gateway")
    few = replace(ours, features=(ours.features[9], ours.features[0]))
    with open_flows(capture, ours) as flows:
        (whole,) = flows.batches()
    with open_flows(capture, few) as flows:
        (chosen,) = flows.batches()
    assert chosen.schema == few
    np.testing.assert_array_equal(chosen.features, whole.features[:, [9, 0]])


def test_batches_count_their_flows_from_the_beginning(capture: Path) -> None:
    with open_flows(capture) as flows:
        starts = [(batch.first_row, len(batch)) for batch in flows.batches(size=1)]
    assert starts == [(row, 1) for row in range(len(starts))]
    assert len(starts) > 1


def test_the_schema_of_another_version_is_refused(capture: Path) -> None:
    ours = schema_named("gateway")
    other = replace(ours, features=(*ours.features, Feature(name="more", unit="1")))
    with pytest.raises(SchemaError, match=r"1 columns of gateway .*\(first more\)"):
        open_flows(capture, other)


def test_an_unknown_schema_is_answered_with_the_known_ones(capture: Path) -> None:
    with pytest.raises(SchemaError, match="'netflow': choose one of gateway, packets"):
        open_flows(capture, "netflow")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"memory_mb": 0}, "memory_mb is 0"),
        ({"idle_timeout_s": 0.5}, "choose 1 to 86,400"),
        ({"idle_timeout_s": 60, "schema": "cic-fixed"}, "never idle out"),
        ({"verdict_at_s": [-1]}, "choose 0 to 119"),
        ({"verdict_at_s": [1, 10**30]}, "choose 0 to 119"),
        ({"verdict_at_s": [1, 5], "schema": "cic-fixed"}, "verdict_at_s is 1, 5, but rows of cic"),
        ({"verdict_at_s": [1], "schema": "kdd99"}, "complete only at their end: omit it"),
        ({"verdict_at_s": [1], "schema": "ciciot2023"}, "complete only at their end: omit it"),
        ({"memory_mb": 10**12}, "all of this machine's"),
    ],
)
def test_settings_out_of_range_are_refused(
    settings: dict[str, object], message: str, capture: Path
) -> None:
    with pytest.raises(IdskitError, match=message):
        open_flows(capture, **settings)  # type: ignore[arg-type]


def test_a_batch_of_no_flows_is_refused(capture: Path) -> None:
    with open_flows(capture) as flows, pytest.raises(IdskitError, match="at least one"):
        next(flows.batches(0))


def test_statistics_are_shown_in_full_sentences(tmp_path: Path) -> None:
    path = write(tmp_path / "x.pcap", [*questions(2), (9, 1, b"short")])
    console = Console(file=StringIO(), width=200)
    statistics_of(path).show(console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "2 flows of 4 packets in" in text
    assert "frames not decoded: 1 truncated_link" in text


def test_statistics_are_plain_types_in_json(capture: Path) -> None:
    document = statistics_of(capture).to_json()
    assert document["skipped"] == {}
    assert {type(value) for value in document.values()} == {int, str, dict}


def test_the_engine_loads_nothing_of_the_training_half(capture: Path) -> None:
    script = (
        "import sys; from idskit.profiles import open_flows\n"
        f"flows = open_flows({str(capture)!r})\n"
        "print(sorted({'torch', 'onnx', 'pandas', 'sklearn', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
