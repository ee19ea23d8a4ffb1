"""Verdicts on the clock: open flows are judged at ages, exactly, whoever else sends meanwhile."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.flows.engine import Result, run
from tests.flows.packets import packet, to_array
from tests.flows.traffic import random_connections, random_packets
from tests.profiles.naive_gateway import Flow, Gateway, features

from idskit.flow import ENDS, VERDICT
from idskit.flows.flow_records import Settings, new_output
from idskit.profiles import profile_named, schema_named
from idskit.schemas.gateway_columns import FORGED

AGES_US = (1_000_000, 5_000_000, 30_000_000)
CLIENT, SERVER = "192.0.2.1", "192.0.2.2"
SYN, ACK, RST = 0x02, 0x10, 0x04


def judged(packets: list[dict[str, Any]], **more: Any) -> Result:
    return run("gateway", to_array(packets), verdict_at_us=AGES_US, **more)


def ends(result: Result) -> list[str]:
    return [ENDS[end] for end in result.flows["end"]]


def counts(result: Result) -> list[int]:
    return (result.flows["fwd_packets"] + result.flows["bwd_packets"]).tolist()


def talk(*times_s: float, **fields: Any) -> list[dict[str, Any]]:
    """Packets of one flow."""
    return [packet(time_s, CLIENT, SERVER, flags=ACK, payload=9, **fields) for time_s in times_s]


def tick(*times_s: float) -> list[dict[str, Any]]:
    """Packets of another flow, which only move the clock."""
    return [
        packet(time_s, "192.0.2.9", SERVER, protocol=17, src_port=5, window=0) for time_s in times_s
    ]


def in_order(*packets: dict[str, Any]) -> list[dict[str, Any]]:
    return sorted(packets, key=lambda each: each["time_us"])


def of_client(result: Result) -> Result:
    ours = result.flows["protocol"] == 6
    return Result(result.flows[ours], result.features[ours], result.state)


# Against the definition.


@pytest.mark.parametrize("seed", range(0, 12, 2))
def test_every_row_is_that_of_the_definition(seed: int) -> None:
    shape = {"hosts": 3 + seed % 9, "ports": 2 + seed % 5, "jitter": seed % 3 == 2}
    assert_as_defined(unhurried(random_packets(seed, 400, **shape)))


@pytest.mark.parametrize("seed", range(0, 12, 2))
def test_rows_of_forged_connections_are_those_of_the_definition(seed: int) -> None:
    assert_as_defined(random_connections(seed, 500))


@pytest.mark.parametrize("seed", range(3))
def test_bursts_are_judged_as_the_allowance_has_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    packets = []
    for burst in range(4):
        start = 3.0 * burst
        many = [
            packet(start, f"10.1.{burst}.{i}", SERVER, flags=SYN, src_port=burst + 1, window=0)
            for i in range(int(rng.integers(20, 60)))
        ]
        more = tick(*np.sort(start + rng.uniform(0.5, 3, 40)))
        packets += [*many, *many[:5], *more]
    assert_as_defined(packets)


def unhurried(packets: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Let no packet come upon more to sweep than one may: the definition has no allowance there."""
    made, latest = [], packets[0]["time_us"]
    for each in packets:
        moments = range(latest + 200_000, each["time_us"], 200_000)
        made += [*tick(*(moment / 1e6 for moment in moments)), each]
        latest = max(latest, each["time_us"])
    return made


def assert_as_defined(packets: list[dict[str, Any]]) -> None:
    result, naive = judged(packets), Gateway(AGES_US)
    for each in packets:
        naive.feed(each)
    naive.close()
    order = sorted(range(len(result.flows)), key=lambda i: key(result.flows[i]))
    expected = sorted(naive.done, key=naive_key)
    assert [key(result.flows[i]) for i in order] == [naive_key(flow) for flow in expected]
    assert {VERDICT} < set(result.flows["end"].tolist())
    wanted = np.array([features(flow) for flow in expected])
    np.testing.assert_allclose(result.features[order], wanted, rtol=1e-6, atol=1e-5)
    assert result.state.table.state["settled"][0] == naive.settled


def key(flow: np.void) -> tuple[int, ...]:
    ends = ("src_high", "src_low", "dst_high", "dst_low", "src_port", "dst_port", "protocol")
    names = ("start_us", *ends, "end_us", "fwd_packets", "bwd_packets")
    return *(int(flow[name]) for name in names), int(flow["end"] != VERDICT)


def naive_key(flow: Flow) -> tuple[int, ...]:
    forward = sum(flow.forward)
    ends = *flow.src, *flow.dst, flow.src_port, flow.dst_port, flow.protocol
    counted = forward, len(flow.forward) - forward
    return flow.start, *ends, flow.last, *counted, int(not flow.is_verdict)


# What that means.


def test_a_flow_that_goes_on_is_judged_at_each_age_by_what_it_was_then() -> None:
    own = talk(0, 0.9, 2, 4, 10, 20, 40)
    result = of_client(judged(in_order(*own, *tick(1.01, 5.01, 30.01, 50))))
    assert ends(result) == ["verdict", "verdict", "verdict", "capture_end"]
    assert counts(result) == [2, 4, 6, 7]
    for row, count in enumerate(counts(result)):
        alone = run("gateway", to_array(own[:count]))
        assert result.features[row].tobytes() == alone.features[0].tobytes()


def test_its_own_packet_moves_the_clock_and_comes_after_the_verdict() -> None:
    result = judged(talk(0, 1))
    assert (ends(result), counts(result)) == (["verdict", "capture_end"], [1, 2])


def test_a_lone_syn_is_judged_once_at_one_second_and_counted_at_its_end() -> None:
    syn = packet(0, CLIENT, SERVER, flags=SYN)
    result = of_client(judged([syn, *tick(0.99, 1.0, 6, 31, 140)]))
    assert (ends(result), counts(result)) == (["verdict"], [1])
    assert result.state.table.state["settled"][0] >= 1


def test_each_flow_of_a_flood_is_judged_within_two_seconds() -> None:
    flood = [
        packet(i / 2000, f"10.0.{i >> 8}.{i & 255}", SERVER, flags=SYN, src_port=7)
        for i in range(6000)
    ]
    result = judged(flood, close=False)
    done = result.flows["end"] == VERDICT
    assert counts(result) == [1] * len(result.flows)
    assert done.all()
    assert result.flows["start_us"].tolist() == [each["time_us"] for each in flood[: len(done)]]
    assert len(done) == 4000  # those that were a second old when the last packet came


def test_ignored_frames_change_a_row_and_are_judged() -> None:
    forged = {"flags": RST, "sequence": 10**8, "ttl": 1}
    own = [*talk(0), packet(2, CLIENT, SERVER, **forged)]
    result = of_client(judged(in_order(*own, *tick(1.5, 6, 40))))
    evidence = result.column("gateway", "short_lived")
    assert (ends(result), counts(result), evidence) == (["verdict"] * 2, [1, 1], [0, 1])


def test_a_flow_that_begins_anew_in_its_place_has_a_clock_of_its_own() -> None:
    again = [packet(t, CLIENT, SERVER, flags=SYN, sequence=10**6 * int(t + 1)) for t in (0, 0.8)]
    reset = packet(0.5, SERVER, CLIENT, flags=RST, src_port=80, dst_port=1)
    again = [each | {"src_port": 1, "dst_port": 80} for each in again]
    result = of_client(judged(in_order(*again, reset, *tick(1.5, 1.9))))
    assert ends(result) == ["replaced", "verdict"]
    assert result.flows["start_us"].tolist() == [again[0]["time_us"], again[1]["time_us"]]


def test_rows_of_a_flow_share_slot_and_serial_and_no_two_flows_do() -> None:
    result = judged(random_packets(3, 700))
    over = result.flows["end"] != VERDICT
    marks = result.flows[["slot", "serial"]].tolist()
    ended = [mark for mark, is_over in zip(marks, over, strict=True) if is_over]
    assert len(set(ended)) == len(ended)
    assert set(ended) & {mark for mark, is_over in zip(marks, over, strict=True) if not is_over}


@pytest.mark.parametrize("rows", [2, 3, 50])
def test_small_outputs_give_the_same_rows_in_the_same_order(rows: int) -> None:
    packets = random_packets(1, 800)
    few, many = judged(packets, rows=rows), judged(packets, rows=3000)
    assert few.flows.tolist() == many.flows.tolist()
    assert few.features.tobytes() == many.features.tobytes()


def test_packets_one_by_one_give_the_same_rows() -> None:
    packets = to_array(random_packets(4, 600))
    profile, width = profile_named("gateway"), len(schema_named("gateway"))
    settings = Settings(memory_bytes=32 << 20, idle_us=profile.IDLE_US, verdict_at_us=AGES_US)
    state, output = profile.make(settings), new_output(3000, width)
    for i in range(len(packets)):
        assert profile.advance(state, output, packets[i : i + 1].copy(), 0) == 1
    count = int(state.table.state["emitted"][0])
    together = judged_array(packets)
    assert output.flows[:count].tolist() == together.flows.tolist()


def judged_array(packets: NDArray[np.void]) -> Result:
    return run("gateway", packets, verdict_at_us=AGES_US, close=False)


def test_without_ages_no_flow_waits() -> None:
    result = run("gateway", to_array(random_packets(1, 300)), close=False)
    assert not result.state.table.flows["age"].any()
    assert VERDICT not in result.flows["end"]


@pytest.mark.parametrize(("now_s", "rows"), [(0.99, 0), (1.0, 1)])
def test_silence_is_judged_by_the_clock_of_the_wall(now_s: float, rows: int) -> None:
    profile = profile_named("gateway")
    result = judged([packet(0, CLIENT, SERVER, flags=SYN)], close=False)
    output = new_output(2, len(schema_named("gateway")))
    start = int(result.state.table.flows["start"][0])
    assert profile.expire(result.state, output, start + int(now_s * 1e6))
    assert result.state.table.state["emitted"][0] == rows


@pytest.mark.parametrize("seed", range(3))
def test_absurd_times_lose_no_packet(seed: int) -> None:
    rng = np.random.default_rng(seed)
    packets = to_array(random_packets(seed, 600))
    jumps = rng.choice([0, 0, 0, 0, 10**15, -(10**15), 10**9, -(10**9), 2**52], len(packets))
    packets["time_us"] += np.where(rng.random(len(packets)) < 0.2, jumps, 0)
    result = run("gateway", packets, verdict_at_us=AGES_US)
    last = {serial: row for row, serial in enumerate(result.flows["serial"].tolist())}
    others = int(result.state.table.state["late"][0])
    forged = result.features[:, [schema_named("gateway").names.index(f.name) for f in FORGED]]
    rows = list(last.values())
    # What a SYN started over had been judged before, and is counted with it again.
    assert sum(counts(result)[row] for row in rows) + forged[rows].sum() + others >= len(packets)
    assert (result.state.table.flows["age"] == 0).all()


def test_queues_hold_the_open_flows_only_when_memory_is_full() -> None:
    flood = [packet(i / 500, f"10.0.{i >> 8}.{i & 255}", SERVER, flags=SYN) for i in range(4000)]
    result = judged(flood, memory_bytes=1 << 20, close=False)
    table = result.state.table
    waiting = [slot for queue in table.ages for slot in chain(table, int(queue["head"]))]
    assert result.state.table.state["evicted"][0] > 1000
    assert sorted(waiting) == np.flatnonzero(table.flows["age"]).tolist()
    assert (table.flows["list"][waiting] >= 0).all()


def chain(table: Any, slot: int) -> list[int]:
    found = []
    while slot >= 0:
        found.append(slot)
        slot = int(table.flows["newer"][slot])
    return found
