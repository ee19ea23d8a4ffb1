"""The flow table: finding, expiring and evicting flows, whatever the packets and their times."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.flows.effort import at_least, examples
from tests.flows.engine import run
from tests.flows.packets import packet, to_array, words
from tests.flows.traffic import random_packets

from idskit.flow import ENDS
from idskit.flows.flow_key import hash_keys, is_swapped, tag_of
from idskit.flows.flow_records import Settings, Table, bytes_per_flow, make_table
from idskit.flows.flow_table import discard, find, insert
from idskit.packet import PACKET, UDP
from idskit.schemas.gateway_columns import FORGED

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
    """Mean number of places looked at to find a key, in a table of room for as many."""
    table = make_table(Settings(memory_bytes=0, key=key), len(rows))
    for row in rows:
        slot, swapped, tag = lookup(table, row)
        if slot < 0:
            insert(table, row, 17, swapped, tag)
    assert table.state["open"][0] == len(rows)
    mask = len(table.hash_index) - 1
    taken = np.flatnonzero(table.hash_index["slot"])
    return float(np.mean((taken - table.hash_index["tag"][taken]) & mask)) + 1


# Keys of someone who knows the algorithm but not the secret.

KEYS = at_least(100, 1000)


def colliding(count: int, key: bytes) -> NDArray[np.void]:
    """Keys whose homes are next to each other under ``key``."""
    rows = flood(count * 50)
    keys = hash_keys(key)
    tags = np.array([tag_of(keys, row, 17, is_swapped(row)) for row in rows])
    mask = (1 << (2 * count - 1).bit_length()) - 1
    return rows[np.argsort(tags & mask, kind="stable")[:count]]


def stepping(field: str, step: int, count: int = KEYS) -> NDArray[np.void]:
    """Keys that differ in one field only, by ``step``."""
    rows = np.repeat(flood(1), count)
    rows[field] += (np.arange(count) * step).astype(rows.dtype[field])
    return rows


def random_keys(count: int = KEYS) -> NDArray[np.void]:
    rng, rows = np.random.default_rng(0), flood(count)
    for side in ("src", "dst"):
        rows[f"{side}_high"] = rng.integers(0, 2**63, count, dtype=np.uint64)
        rows[f"{side}_low"] = rng.integers(0, 2**63, count, dtype=np.uint64)
        rows[f"{side}_port"] = rng.integers(0, 2**16, count)
    return rows


CRAFTED = {
    "consecutive addresses": lambda: flood(KEYS),
    "consecutive ports": lambda: stepping("src_port", 1),
    "ports with the same low byte": lambda: stepping("dst_port", 256, min(KEYS, 256)),
    "addresses with the same low half": lambda: stepping("src_low", 1 << 32),
    "addresses with the same low word": lambda: stepping("src_high", 1),
    "addresses with the same low 96 bits": lambda: stepping("src_high", 1 << 32),
    "multiples of the hash's prime": lambda: stepping("src_high", (1 << 31) - 1),
    "keys that collide under another secret": lambda: colliding(KEYS, b"known"),
}


@pytest.mark.parametrize("name", CRAFTED)
def test_crafted_keys_cost_at_most_twice_what_random_ones_cost(name: str) -> None:
    attack = CRAFTED[name]()
    usual = probes(random_keys(len(attack)), b"secret")
    assert all(probes(attack, bytes([seed, 1])) < 2 * usual for seed in range(examples(20)))


def test_who_knows_the_secret_piles_keys_up() -> None:
    """What the test above would see, were there no secret."""
    attack = colliding(examples(2000), b"known")
    assert probes(attack, b"known") > 5 * probes(attack, b"secret")


# Several times as many flows as the memory holds, which is 126 of gateway to 390 of cic-original.
FLOOD, MEMORY = 1250, 1 << 18


@pytest.mark.parametrize("schema", ["gateway", "cic-fixed", "cic-original"])
def test_the_table_never_holds_more_flows_than_its_memory(schema: str) -> None:
    result = run(schema, flood(FLOOD), memory_bytes=MEMORY, close=False)
    table = result.state.table
    assert table.state["open"][0] == table.state["capacity"][0]
    assert table.state["capacity"][0] * bytes_per_flow() <= MEMORY


def test_evicted_flows_are_given_out_and_counted() -> None:
    result = run("gateway", flood(FLOOD), memory_bytes=MEMORY)
    evicted = int((result.flows["end"] == ENDS.index("evicted")).sum())
    assert len(result.flows) == FLOOD
    assert evicted == result.state.table.state["evicted"][0] > FLOOD // 2


def test_flows_with_payload_outlive_a_flood_of_empty_ones() -> None:
    talks = flood(75, payload=100)
    talks["dst_port"] = 443
    result = run("gateway", np.concatenate([talks, flood(FLOOD, start=1)]), memory_bytes=MEMORY)
    evicted = result.flows["end"] == ENDS.index("evicted")
    assert evicted.sum() > FLOOD // 2
    assert not evicted[result.flows["dst_port"] == 443].any()


@pytest.mark.parametrize("schema", ["gateway", "cic-fixed"])
def test_a_flow_that_begins_is_answered_where_all_others_have_payload(schema: str) -> None:
    """Each opening waits for its answer while five others begin."""
    talks = flood(FLOOD, payload=9)
    opened = flood(300, start=10)
    opened["dst_port"] = 443
    answers = opened.copy()
    for one, other in (("src_low", "dst_low"), ("src_port", "dst_port")):
        answers[one], answers[other] = opened[other], opened[one]
    answers["time_us"] = opened["time_us"] + 5 * np.diff(opened["time_us"])[0] + 1
    rows = np.concatenate([opened, answers])
    rows = rows[np.argsort(rows["time_us"], kind="stable")]
    result = run(schema, np.concatenate([talks, rows]), memory_bytes=MEMORY)
    assert (result.flows["end"] == ENDS.index("evicted")).sum() > FLOOD // 2
    started = result.flows[result.flows["dst_port"] == 443]
    assert len(started) == 300
    assert (started["bwd_packets"] == 1).all()


def test_flows_with_payload_are_evicted_when_there_are_no_others() -> None:
    result = run("gateway", flood(FLOOD, payload=9), memory_bytes=MEMORY)
    assert (result.flows["end"] == ENDS.index("evicted")).sum() > FLOOD // 2
    assert result.flows["start_us"].tolist() == sorted(result.flows["start_us"])


def test_silent_flows_leave_the_table() -> None:
    waves = [flood(50, start=100.0 * i) for i in range(30)]
    result = run("gateway", np.concatenate(waves), close=False)
    assert result.state.table.state["open"][0] <= 150
    assert result.state.table.state["used"][0] <= 150


@pytest.mark.parametrize("schema", ["gateway", "cic-fixed"])
@pytest.mark.parametrize("seed", range(3))
def test_absurd_times_lose_no_packet(schema: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = to_array(random_packets(seed, 600))
    jumps = rng.choice([0, 0, 0, 0, 10**15, -(10**15), 10**9, -(10**9), 2**52], len(rows))
    rows["time_us"] += np.where(rng.random(len(rows)) < 0.2, jumps, 0)
    result = run(schema, rows)
    others = int(result.state.table.state["late"][0])
    if schema == "gateway":
        others += sum(sum(result.column(schema, feature.name)) for feature in FORGED)
    flows = result.flows
    assert (flows["fwd_packets"] + flows["bwd_packets"]).sum() + others == len(rows)


def test_a_clock_that_jumps_to_and_fro_does_not_grow_memory() -> None:
    rows = flood(at_least(1000, 5000))
    rows["time_us"][::2] += 10**15
    result = run("gateway", rows, close=False)
    assert result.state.table.state["used"][0] < len(rows)
    assert len(result.flows) + result.state.table.state["open"][0] == len(rows)


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


def test_kernels_do_the_same_without_compilation() -> None:
    schemas = ["gateway", "cic-fixed", "cic-original"]
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-W", "error", "-c", _PRINT, *schemas]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == str(sums(*schemas)), done.stderr
