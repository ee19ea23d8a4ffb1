"""Whatever file there is, through every profile: no crash, no hang, every frame accounted for."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from tests.flows.capture_files import decoded, in_memory, read
from tests.flows.effort import CHECKS_BOUNDS, some

from idskit.errors import CaptureError
from idskit.profiles import open_flows
from idskit.profiles.reading_statistics import FlowStatistics

PROFILES = ["gateway", "cic-fixed", "cic-original", "ciciot2023", "kdd99"]
HANG_S = 30.0  # of processor time, also on a slow machine


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
def test_edge_captures_through_every_profile(shared: Path, schema: str) -> None:
    """All of them through each profile where bounds are checked, else each through one."""
    captures = edge_captures(shared)
    assert len(captures) == 2469
    mine = some(captures if CHECKS_BOUNDS else captures[PROFILES.index(schema) :: len(PROFILES)])
    statistics_of(shared / "data/pcap/golden/a_client_fin.pcap", schema)  # compiles: no hang
    refused, frames = [], 0
    for path in mine:
        began = time.process_time()  # of a busy machine the clock on the wall says nothing
        try:
            frames += statistics_of(path, schema).frames
        except CaptureError:
            refused.append(path.name)
        assert time.process_time() - began < HANG_S, path
    assert set(refused) <= {"ExamplesTest__pcap_examples__solaris.snoop"}
    assert frames > 5 * len(mine)


def goldens(shared: Path) -> list[Path]:
    found = sorted((shared / "data/pcap/golden").glob("*.pcap"))
    assert len(found) == 20
    return found


def ends_of(golden: Path) -> list[int]:
    """Where each record of a capture ends."""
    _, records, _ = read(golden)
    ends: list[int] = (records["offset"] + records["captured"]).tolist()
    return ends


def test_golden_captures_cut_at_every_byte(shared: Path, tmp_path: Path) -> None:
    """A cut capture has the frames before the cut, and says that it was cut."""
    for golden in some(goldens(shared)):
        path, ends = tmp_path / golden.name, ends_of(golden)
        path.write_bytes(golden.read_bytes())
        for size in range(path.stat().st_size - 1, 23, -1):
            os.truncate(path, size)
            frames, _, truncated = read(path)
            assert len(frames) == sum(end <= size for end in ends)
            assert bool(truncated) == (size not in (24, *ends))


@pytest.mark.parametrize("schema", PROFILES)
def test_golden_captures_cut_at_every_record(shared: Path, schema: str, tmp_path: Path) -> None:
    """Between two ends of records a profile is given the same frames, wherever the cut is."""
    for golden in some(goldens(shared)):
        path, ends = tmp_path / golden.name, ends_of(golden)
        path.write_bytes(golden.read_bytes())
        near = {end + beyond for end in (24, *ends) for beyond in (-1, 0, 1, 8, 17)}
        for size in sorted((size for size in near if 24 <= size < ends[-1]), reverse=True):
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
    for golden in goldens(shared):
        for frame in some(read(golden)[0]):
            rows, skipped = decoded(in_memory([frame[:size] for size in range(len(frame))]))
            assert len(rows) + sum(skipped.values()) == len(frame)
