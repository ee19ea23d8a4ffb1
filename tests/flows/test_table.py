"""The flow table: finding, expiring and evicting flows, whatever the packets and their times."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.flows.engine import run
from tests.flows.packets import packet, to_array, words
from tests.flows.traffic import random_packets

from idskit.flows.packet import PACKET, UDP
from idskit.flows.table import (
    ENDS,
    Settings,
    Table,
    bytes_per_flow,
    discard,
    find,
    hash_keys,
    insert,
    is_swapped,
    make_table,
    tag_of,
)

SERVER = "192.0.2.2"


def flood(count: int, *, payload: int = 0, start: float = 0) -> NDArray[np.void]:
    """One UDP packet from each of ``count`` hosts."""
    rows = np.zeros(count, PACKET)
    rows[:] = to_array([packet(start, "10.0.0.0", SERVER, protocol=UDP, payload=payload)])[0]
    rows["src_low"] += np.arange(count, dtype=np.uint64)
    rows["time_us"] += np.arange(count)
    return rows


def lookup(table: Table, row: np.void) -> tuple[int, bool, int]:
    swapped = is_swapped(row)
    tag = tag_of(table.keys, row, int(row["protocol"]), swapped)
    return find(table, row, int(row["protocol"]), swapped, tag), swapped, tag


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 40), st.booleans()), max_size=120))
def test_a_table_finds_what_a_dict_finds(steps: list[tuple[bool, int, bool]]) -> None:
    table = make_table(Settings(memory_bytes=0, key=b"k"), 64)
    expected: dict[int, int] = {}
    for add, number, turned in steps:
        ends = [("10.0.0.1", number), (SERVER, 53)]
        (src, src_port), (dst, dst_port) = ends[::-1] if turned else ends
        row = to_array([packet(0, src, dst, src_port=src_port, dst_port=dst_port)])[0]
        slot, swapped, tag = lookup(table, row)
        assert slot == expected.get(number, -1)
        if add and slot < 0:
            expected[number] = insert(table, row, 6, swapped, tag)
        elif not add and slot >= 0:
            discard(table, slot)
            del expected[number]
    assert table.state["open"][0] == len(expected)


def test_both_directions_of_a_flow_have_one_tag() -> None:
    keys = hash_keys(b"secret")
    there = to_array([packet(0, "10.0.0.1", SERVER, src_port=1, dst_port=2)])[0]
    back = to_array([packet(0, SERVER, "10.0.0.1", src_port=2, dst_port=1)])[0]
    assert tag_of(keys, there, 6, is_swapped(there)) == tag_of(keys, back, 6, is_swapped(back))


def probes(rows: NDArray[np.void], key: bytes) -> float:
    """Mean number of places looked at to find a key, with the table half full."""
    table = make_table(Settings(memory_bytes=0, key=key), len(rows))
    for row in rows:
        slot, swapped, tag = lookup(table, row)
        if slot < 0:
            insert(table, row, 17, swapped, tag)
    mask = len(table.places) - 1
    taken = np.flatnonzero(table.places["slot"])
    return float(np.mean((taken - table.places["tag"][taken]) & mask)) + 1


def crafted(count: int, key: bytes) -> NDArray[np.void]:
    """Keys that collide under ``key``: what someone who knew the secret could send."""
    rows = flood(count * 200)
    keys = hash_keys(key)
    tags = np.array([tag_of(keys, row, 17, is_swapped(row)) for row in rows])
    return rows[np.argsort(tags & 4095, kind="stable")[:count]]


def test_keys_crafted_for_another_secret_cost_no_more_than_random_ones() -> None:
    rng = np.random.default_rng(0)
    random_rows = flood(400)
    random_rows["src_low"] = rng.integers(0, 2**48, 400, dtype=np.uint64)
    attack = crafted(400, b"known")
    assert probes(attack, b"known") > 20
    assert probes(attack, b"secret") < 2 * probes(random_rows, b"secret")


def test_consecutive_addresses_spread_like_random_ones() -> None:
    assert all(probes(flood(500), bytes([seed, 1])) < 2 for seed in range(8))


@pytest.mark.parametrize("schema", ["gateway", "cic-fixed", "cic-original"])
def test_the_table_never_holds_more_flows_than_its_memory(schema: str) -> None:
    result = run(schema, flood(5000), memory_bytes=1 << 20, close=False)
    table = result.state.table
    assert table.state["open"][0] == table.state["capacity"][0]
    assert table.state["capacity"][0] * bytes_per_flow() <= 1 << 20


def test_evicted_flows_are_given_out_and_counted() -> None:
    result = run("gateway", flood(5000), memory_bytes=1 << 20)
    evicted = int((result.flows["end"] == ENDS.index("evicted")).sum())
    assert len(result.flows) == 5000
    assert evicted == result.state.table.state["evicted"][0] > 3000


def test_flows_with_payload_outlive_a_flood_of_empty_ones() -> None:
    talks = flood(300, payload=100)
    talks["dst_port"] = 443
    result = run("gateway", np.concatenate([talks, flood(5000, start=1)]), memory_bytes=1 << 20)
    evicted = result.flows["end"] == ENDS.index("evicted")
    assert evicted.sum() > 3000
    assert not evicted[result.flows["dst_port"] == 443].any()


def test_flows_with_payload_are_evicted_when_there_are_no_others() -> None:
    result = run("gateway", flood(5000, payload=9), memory_bytes=1 << 20)
    assert (result.flows["end"] == ENDS.index("evicted")).sum() > 3000
    assert result.flows["start_us"].tolist() == sorted(result.flows["start_us"])


def test_silent_flows_leave_the_table() -> None:
    waves = [flood(200, start=100.0 * i) for i in range(30)]
    result = run("gateway", np.concatenate(waves), close=False)
    assert result.state.table.state["open"][0] <= 600
    assert result.state.table.state["used"][0] <= 600


@pytest.mark.parametrize("schema", ["gateway", "cic-fixed"])
@pytest.mark.parametrize("seed", range(3))
def test_absurd_times_lose_no_packet(schema: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = to_array(random_packets(seed, 600))
    jumps = rng.choice([0, 0, 0, 0, 10**15, -(10**15), 10**9, -(10**9), 2**52], len(rows))
    rows["time_us"] += np.where(rng.random(len(rows)) < 0.2, jumps, 0)
    flows = run(schema, rows).flows
    assert (flows["fwd_packets"] + flows["bwd_packets"]).sum() == len(rows)


def test_a_clock_that_jumps_to_and_fro_does_not_grow_memory() -> None:
    rows = flood(20_000)
    rows["time_us"][::2] += 10**15
    result = run("gateway", rows, close=False)
    assert result.state.table.state["used"][0] < 20_000
    assert len(result.flows) + result.state.table.state["open"][0] == 20_000


def test_a_flow_is_first_found_at_its_own_endpoint_order() -> None:
    high, low = words("2001:db8::2")
    assert (high, low) == (0x20010DB800000000, 2)
    assert words("192.0.2.2") == (0, 0xFFFF_C000_0202)


_PRINT = "import sys; from tests.flows.test_table import sums; print(sums(*sys.argv[1:]))"


def sums(*schemas: str) -> list[str]:
    """Sum of all features of some traffic, to the last bit."""
    rows = to_array(random_packets(5, 300, jitter=True))
    results = [run(each, rows, rows=7, memory_bytes=1 << 18, key=b"k") for each in schemas]
    return [np.nan_to_num(each.features).sum().hex() for each in results]


@pytest.mark.parametrize(
    ("switch", "schemas"),
    [
        ("NUMBA_DISABLE_JIT", ["gateway", "cic-fixed", "cic-original"]),
        ("NUMBA_BOUNDSCHECK", ["gateway"]),  # compiles anew: one is enough
    ],
)
def test_kernels_do_the_same_without_compilation_and_with_checked_bounds(
    switch: str, schemas: list[str], tmp_path: Path
) -> None:
    environment = os.environ | {switch: "1", "NUMBA_CACHE_DIR": str(tmp_path), "NUMBA_OPT": "1"}
    command = [sys.executable, "-W", "error", "-c", _PRINT, *schemas]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == str(sums(*schemas)), done.stderr
