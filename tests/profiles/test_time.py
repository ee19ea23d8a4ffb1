"""Times that no clock would tell, through every profile: no packet is lost, no memory grows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.flows.capture_files import enhanced, interface, read, section
from tests.flows.effort import CHECKS_BOUNDS, at_least, examples, some
from tests.flows.frames import udp
from tests.flows.fuzz import resident_bytes

from idskit.profiles import NAMES, open_flows
from idskit.profiles.reading_statistics import FlowStatistics

LAST = 2**64 - 1  # pcapng counts ticks in 64 bits without a sign
YEAR_2100 = 4_102_444_800 * 10**9
YEAR_2023 = 1_700_000_000 * 10**9
SECOND = 10**9

# Ticks of a nanosecond, and the offset in seconds that the file adds to all of them.
JUMPS: dict[str, tuple[list[int], int]] = {
    "zero": ([0], 0),
    "backwards": ([YEAR_2023 - i * 130 * SECOND for i in range(50)], 0),
    "the end of time": ([2**63 - 1], 0),
    "beyond the end of time": ([0, LAST, 2**63], 0),
    "before 1970": ([0, 200 * SECOND], -(10**9)),
    "long before 1970": ([0, LAST, 1], -(2**63)),
    "to 2100 and back": ([YEAR_2023, YEAR_2100, YEAR_2023 + SECOND], 0),
    "to and fro": ([YEAR_2023, 0, YEAR_2023, LAST, SECOND], 0),
    "an hour to and fro": ([YEAR_2023, YEAR_2023 - 3600 * SECOND], 0),
}


def capture(path: Path, frames: list[bytes], ticks: list[int], offset_s: int) -> Path:
    """Frames with those times, over and over."""
    body = section() + interface(resolution=9, offset_s=offset_s)
    blocks = (enhanced(each, ticks[i % len(ticks)]) for i, each in enumerate(frames))
    path.write_bytes(body + b"".join(blocks))
    return path


def counted(path: Path, schema: str) -> tuple[int, FlowStatistics]:
    """Packets in all flows that were emitted."""
    packets = 0
    with open_flows(path, schema, memory_mb=1) as flows:
        for batch in flows.batches(100):
            packets += int((batch.flows["fwd_packets"] + batch.flows["bwd_packets"]).sum())
        return packets, flows.statistics


def doubled(ticks: list[int]) -> list[int]:
    """Two packets a time: ``cic-original`` never writes a flow of one packet."""
    return [tick for tick in ticks for _ in range(2)]


@pytest.mark.parametrize("schema", NAMES)
@pytest.mark.parametrize("name", JUMPS)
def test_every_packet_is_in_one_flow(name: str, schema: str, tmp_path: Path) -> None:
    ticks, offset_s = JUMPS[name]
    frames = [
        udp("10.0.0.1", "192.0.2.1", 1 + i // 2 % 7, 53, b"data") for i in range(at_least(120, 400))
    ]
    path = capture(tmp_path / "jumps.pcapng", frames, doubled(ticks), offset_s)
    packets, statistics = counted(path, schema)
    assert packets == statistics.packets == len(frames)


def as_sent(count: int) -> NDArray[np.int64]:
    rng = np.random.default_rng(7)
    jumps = rng.choice([0, SECOND, YEAR_2023, YEAR_2100, 2**62], count)
    return np.asarray(jumps + rng.integers(0, 10 * SECOND, count), np.int64)


@pytest.mark.parametrize("schema", NAMES)
def test_times_at_random_lose_no_packet(schema: str, tmp_path: Path) -> None:
    count = at_least(300, 2000)
    frames = [udp(f"10.0.0.{1 + i // 2 % 9}", "192.0.2.1", 5, 53) for i in range(count)]
    ticks = doubled(as_sent(count // 2).tolist())
    path = capture(tmp_path / "random.pcapng", frames, ticks, 0)
    packets, _ = counted(path, schema)
    assert packets == len(frames)


def source(i: int) -> str:
    return f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}"


@pytest.mark.parametrize(
    "schema", some(["gateway", "packets", "cic-fixed", "cic-original", "ciciot2023", "kdd99"])
)
def test_memory_does_not_grow_when_time_jumps(schema: str, tmp_path: Path) -> None:
    """Every pair of packets is a new flow, and no time-out can be relied upon."""
    count = 4_000 if CHECKS_BOUNDS else examples(40_000)
    frames = [udp(source(i // 2), "192.0.2.1", 5, 53) for i in range(count)]
    ticks = doubled([YEAR_2023, YEAR_2100, 0])
    path = capture(tmp_path / "many.pcapng", frames, ticks, 0)
    counted(capture(tmp_path / "few.pcapng", frames[:100], ticks, 0), schema)  # loads what it takes
    before = resident_bytes()
    packets, _ = counted(path, schema)
    assert packets == count
    assert resident_bytes() - before < 16 << 20


def test_the_captures_of_this_file_hold_the_times_meant(tmp_path: Path) -> None:
    ticks, offset_s = JUMPS["long before 1970"]
    frames = [udp("10.0.0.1", "192.0.2.1", 1, 2)] * 3
    _, records, _ = read(capture(tmp_path / "jumps.pcapng", frames, ticks, offset_s))
    limit = -((2**63 - 1) // 10**9 - 1) * 10**9
    assert records["time_ns"].tolist() == [limit, 2**63 - 1 + limit, 1 + limit]
