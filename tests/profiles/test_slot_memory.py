"""Memory of flows that ended goes back to the system, and the flows that follow are the same."""

from __future__ import annotations

from mmap import PAGESIZE
from pathlib import Path

import numpy as np

from idskit.generate import generate
from idskit.profiles.flow_reader import FlowBatch, open_flows
from idskit.profiles.slot_memory import _free_runs, release_slots


def resident_kb(array: np.ndarray) -> int:
    """Return the resident memory of the pages that an array lies in, by their bit 63."""
    first, last = array.ctypes.data // PAGESIZE, (array.ctypes.data + array.nbytes) // PAGESIZE
    with Path("/proc/self/pagemap").open("rb") as pages:
        pages.seek(8 * first)
        found = np.frombuffer(pages.read(8 * (last + 1 - first)), np.uint64)
    return int((found >> np.uint64(63)).sum()) * PAGESIZE // 1024


def test_free_slots_are_found_as_runs():
    is_open = np.array([0, 0, 1, 0, 1, 1, 0, 0, 0], bool)
    assert _free_runs(is_open).tolist() == [[0, 2], [3, 4], [6, 9]]
    assert _free_runs(np.ones(3, bool)).tolist() == []
    assert _free_runs(np.zeros(2, bool)).tolist() == [[0, 2]]


def read(capture: Path, *, release: bool) -> list[FlowBatch]:
    """Return all batches; between them, pages of free slots may go back."""
    found = []
    with open_flows(capture, memory_mb=32, idle_timeout_s=1, hash_key=b"k" * 32) as flows:
        for batch in flows.batches(64):
            found.append(batch)
            if release:
                release_slots(flows._state)
    return found


def test_flows_are_the_same_with_pages_given_back_all_the_time(tmp_path):
    generate(tmp_path / "home.pcap", packets=20_000, mix="mixed", seed=5)
    kept, released = (read(tmp_path / "home.pcap", release=one) for one in (False, True))
    assert len(kept) == len(released) > 10
    for one, other in zip(kept, released, strict=True):
        assert one.flows.tobytes() == other.flows.tobytes()
        assert one.features.tobytes() == other.features.tobytes()


def test_the_pages_of_a_flood_go_back(tmp_path):
    generate(tmp_path / "flood.pcap", packets=60_000, mix="flood", seed=5)
    sizes = []
    with open_flows(tmp_path / "flood.pcap", memory_mb=64, idle_timeout_s=30) as flows:
        contents = flows._state.contents
        for _ in flows.batches():
            flows.memory.look()
            sizes.append(resident_kb(contents))
        flows.memory.look()
        sizes.append(resident_kb(contents))
        assert not flows.memory.look()
    assert max(sizes) > 8_000
    assert sizes[-1] < 0.1 * max(sizes)
