"""The ``packets`` and ``gateway-packets`` profiles against their definitions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.flows.effort import at_least, some
from tests.flows.engine import Result, run
from tests.flows.packets import packet, to_array
from tests.flows.traffic import random_packets
from tests.profiles import naive_series
from tests.profiles.naive_gateway import Flow
from tests.profiles.test_gateway import key, naive, naive_key

from idskit.flow import ENDS
from idskit.flows.flow_records import Settings
from idskit.profiles import profile_named, schema_named
from idskit.profiles.gateway import packet_series as series
from idskit.schemas.gateway_columns import SERIES

ROOT = Path(__file__).resolve().parents[2]
ACK, SYN_ACK = 0x10, 0x12
CLIENT, SERVER = "192.0.2.1", "192.0.2.2"


def ordered(result: Result) -> NDArray[np.int64]:
    return np.array(sorted(range(len(result.flows)), key=lambda i: key(result.flows[i])))


def talk(seed: int) -> list[dict[str, Any]]:
    """More packets than a series has, some of them late, of one conversation."""
    rng = np.random.default_rng(seed)
    times = 900 + rng.normal(0.1, 0.1, naive_series.PACKETS + 10).cumsum()
    ends = [(CLIENT, SERVER, 5, 53), (SERVER, CLIENT, 53, 5)]
    made = []
    for time_s in times:
        src, dst, src_port, dst_port = ends[rng.integers(2)]
        fields = {"protocol": 17, "src_port": src_port, "dst_port": dst_port}
        made.append(packet(time_s, src, dst, payload=int(rng.integers(1400)), **fields))
    return made


def twin_of(seed: int) -> tuple[list[dict[str, Any]], list[Flow]]:
    shape = {"hosts": 3 + seed % 9, "ports": 2 + seed % 5, "jitter": seed % 3 == 2}
    packets = [*talk(seed), *random_packets(seed, 1000, **shape)]
    return packets, sorted(naive(packets), key=naive_key)


def series_of(result: Result, name: str, row: int = 0) -> list[float]:
    names = [feature.name for feature in SERIES]
    places = [at for at, each in enumerate(names) if each.startswith(f"{name}_")]
    return result.features[row, places].tolist()


@pytest.mark.parametrize("seed", some(range(6)))
def test_every_series_equals_the_naive_twin(seed: int) -> None:
    packets, twin = twin_of(seed)
    result = run("packets", to_array(packets))
    order = ordered(result)
    assert [key(result.flows[i]) for i in order] == [naive_key(flow) for flow in twin]
    expected = [naive_series.features(flow) for flow in twin]
    assert result.features[order].tolist() == expected
    assert max(len(flow.packets) for flow in twin) > naive_series.PACKETS  # some are cut
    assert min(len(flow.packets) for flow in twin) < naive_series.PACKETS


def test_gateway_packets_are_the_columns_of_both_side_by_side() -> None:
    packets = to_array(random_packets(3, at_least(300, 1500)))
    both, gateway, alone = (run(n, packets) for n in ("gateway-packets", "gateway", "packets"))
    assert both.flows.tolist() == gateway.flows.tolist() == alone.flows.tolist()
    assert both.features.tobytes() == np.hstack([gateway.features, alone.features]).tobytes()


def test_a_conversation_by_hand() -> None:
    ports, back = {"src_port": 50000, "dst_port": 80}, {"src_port": 80, "dst_port": 50000}
    packets = [
        packet(10.0, CLIENT, SERVER, flags=0x02, payload=0, **ports),
        packet(10.25, SERVER, CLIENT, flags=SYN_ACK, payload=0, **back),
        packet(10.2, CLIENT, SERVER, flags=ACK, payload=100, **ports),  # late by the clock
    ]
    result = run("packets", to_array(packets))
    assert series_of(result, "direction")[:4] == [1, -1, 1, 0]
    assert series_of(result, "iat")[:4] == [0, 250_000, -50_000, 0]
    assert series_of(result, "size")[:4] == [p["ip_bytes"] for p in packets] + [0]
    assert packets[2]["ip_bytes"] == packets[0]["ip_bytes"] + 100


def test_a_flow_cut_by_its_age_begins_its_series_anew() -> None:
    packets = [packet(10.0 * i, CLIENT, SERVER, src_port=5, dst_port=6) for i in range(14)]
    result = run("packets", to_array(packets))
    assert [ENDS[end] for end in result.flows["end"]] == ["age", "capture_end"]
    assert series_of(result, "iat", 0)[:3] == [0, 10e6, 10e6]
    assert series_of(result, "iat", 1)[:2] == [0, 0]


@pytest.mark.parametrize("gap_s", [3_000, -3_000])
def test_a_gap_beyond_32_bits_is_the_longest_one(gap_s: int) -> None:
    packets = [packet(5_000, CLIENT, SERVER), packet(8_000, CLIENT, SERVER)]
    if gap_s < 0:
        packets.reverse()
    hour = 3_600_000_000
    result = run("packets", to_array(packets), idle_us=hour)
    gaps = series_of(result, "iat", len(result.flows) - 1)
    # Forwards, the flow's age cuts it first.
    assert gaps[1] == (0 if gap_s > 0 else -series.LONGEST_US)


def test_a_slot_used_again_shows_nothing_of_the_flow_before() -> None:
    long = [packet(0.01 * i, CLIENT, SERVER, src_port=5, payload=50) for i in range(20)]
    short = [packet(300.0, CLIENT, SERVER, src_port=7), packet(301.0, CLIENT, SERVER, src_port=7)]
    result = run("packets", to_array([*long, *short]))
    assert result.state.table.state["used"][0] == 1
    assert series_of(result, "size", 1)[2:] == [0.0] * 30


def test_verdicts_have_the_packets_so_far() -> None:
    packets = to_array([packet(0.3 * i, CLIENT, SERVER, src_port=5) for i in range(6)])
    result = run("packets", packets, verdict_at_us=(1_000_000,))
    assert result.features[0].tobytes() == run("packets", packets[:4]).features[0].tobytes()


@pytest.mark.parametrize("name", ["packets", "gateway-packets"])
def test_memory_stays_within_the_budget_and_evictions_are_counted(name: str) -> None:
    budget = 1 << 20
    state = profile_named(name).make(Settings(memory_bytes=budget))
    arrays = [*state.table, *state.hosts, state.contexts, state.windows, state.places]
    assert sum(array.nbytes for array in arrays) < 1.1 * budget
    flood = [packet(0.001 * i, CLIENT, SERVER, src_port=i, dst_port=80) for i in range(1, 2500)]
    result = run(name, to_array(flood), memory_bytes=budget)
    assert len(result.flows) == 2499
    evicted = int(result.state.table.state["evicted"][0])
    assert evicted == (result.flows["end"] == ENDS.index("evicted")).sum() > 1400


def test_every_column_is_documented() -> None:
    text = (ROOT / "toolkit" / "flows" / "README.md").read_text()
    for name in schema_named("packets").names:
        assert f"`{re.sub('[0-9]+$', 'N', name)}`" in text, name
