"""Whatever file there is, through every profile: no crash, no hang, every frame accounted for."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from tests.flows.capture_files import decoded, in_memory, read
from tests.flows.effort import some

from idskit.errors import CaptureError
from idskit.profiles import open_flows
from idskit.profiles.flow_reader import FlowStatistics

PROFILES = ["gateway", "cic-fixed", "cic-original", "ciciot2023", "kdd99"]
HANG_S = 5.0


def statistics_of(path: Path, schema: str) -> FlowStatistics:
    """Read a capture to its end; the counters must add up, and what is given out is counted."""
    with open_flows(path, schema, memory_mb=1) as flows:
        given = sum(len(batch) for batch in flows.batches())
        found = flows.statistics
    assert found.frames == found.packets + sum(found.skipped.values()), path
    assert found.flows == given, path
    return found


def edge_captures(shared: Path) -> list[Path]:
    folder = shared / "data/pcap/edge"
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "index.csv")


@pytest.mark.parametrize("schema", PROFILES)
def test_every_edge_capture_through_every_profile(shared: Path, schema: str) -> None:
    captures = edge_captures(shared)
    assert len(captures) == 2469
    statistics_of(shared / "data/pcap/golden/a_client_fin.pcap", schema)  # compiles: no hang
    refused, frames = [], 0
    for path in some(captures):
        began = time.monotonic()
        try:
            frames += statistics_of(path, schema).frames
        except CaptureError:
            refused.append(path.name)
        assert time.monotonic() - began < HANG_S, path
    assert set(refused) <= {"ExamplesTest__pcap_examples__solaris.snoop"}
    assert frames > 10 * len(some(captures))


@pytest.mark.parametrize("schema", PROFILES)
def test_golden_captures_cut_at_every_byte(shared: Path, schema: str, tmp_path: Path) -> None:
    """A cut capture has the frames before the cut, and says that it was cut."""
    goldens = sorted((shared / "data/pcap/golden").glob("*.pcap"))
    assert len(goldens) == 20
    for golden in some(goldens):
        whole, path = golden.read_bytes(), tmp_path / golden.name
        _, records, _ = read(golden)
        ends = (records["offset"] + records["captured"]).tolist()
        path.write_bytes(whole)
        for size in range(len(whole) - 1, 23, -1):
            os.truncate(path, size)
            found = statistics_of(path, schema)
            assert found.frames == sum(end <= size for end in ends)
            assert bool(found.truncated) == (size not in (24, *ends))


def test_golden_captures_cut_inside_the_file_header(shared: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.pcap"
    golden = min((shared / "data/pcap/golden").glob("*.pcap"))
    for size in range(24):
        path.write_bytes(golden.read_bytes()[:size])
        with pytest.raises(CaptureError):
            open_flows(path)


def test_frames_of_golden_captures_cut_at_every_byte(shared: Path) -> None:
    """As a snapshot length does: ``decoded`` compares what was decoded and what was skipped."""
    for golden in sorted((shared / "data/pcap/golden").glob("*.pcap")):
        for frame in some(read(golden)[0]):
            rows, skipped = decoded(in_memory([frame[:size] for size in range(len(frame))]))
            assert len(rows) + sum(skipped.values()) == len(frame)
