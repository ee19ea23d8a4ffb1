"""The ``gateway`` profile against its definitions."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.flows.effort import CHECKS_BOUNDS, at_least, some
from tests.flows.engine import Result, run
from tests.flows.packets import lay_out, packet, to_array
from tests.flows.traffic import random_connections, random_packets
from tests.payload.messages import MESSAGES
from tests.profiles.naive_connection import payload_of
from tests.profiles.naive_gateway import Flow, Gateway, features

from idskit.flow import ENDS
from idskit.profiles import schema_named

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTED = ("flows", "payload")  # rooms whose README defines columns

SYN, SYN_ACK, ACK, FIN_ACK, RST = 0x02, 0x12, 0x10, 0x11, 0x04
ENDS_OF = ("src_port", "dst_port")
CLIENT, SERVER = "192.0.2.1", "192.0.2.2"
SEEDS = some(range(12) if CHECKS_BOUNDS else range(0, 12, 2))


def naive(packets: list[dict[str, Any]]) -> list[Flow]:
    twin = Gateway()
    for each in packets:
        twin.feed(each)
    twin.close()
    return twin.done


def naive_key(flow: Flow) -> tuple[int, ...]:
    forward = sum(flow.forward)
    ports = flow.src_port, flow.dst_port, flow.protocol
    counts = forward, len(flow.forward) - forward
    return flow.start, *flow.src, *flow.dst, *ports, flow.last, *counts


def key(flow: np.void) -> tuple[int, ...]:
    ends = ("src_high", "src_low", "dst_high", "dst_low", "src_port", "dst_port", "protocol")
    names = ("start_us", *ends, "end_us", "fwd_packets", "bwd_packets")
    return tuple(int(flow[name]) for name in names)


def tcp(time_s: float, flags: int, *, back: bool = False, **fields: Any) -> dict[str, Any]:
    src, dst, ports = CLIENT, SERVER, (50000, 80)
    if back:
        src, dst, ports = dst, src, ports[::-1]
    return packet(time_s, src, dst, src_port=ports[0], dst_port=ports[1], flags=flags, **fields)


def ends(result: Result) -> list[str]:
    return [ENDS[end] for end in result.flows["end"]]


@pytest.mark.parametrize("seed", SEEDS)
def test_every_feature_equals_the_naive_twin(seed: int) -> None:
    shape = {"hosts": 3 + seed % 9, "ports": 2 + seed % 5, "jitter": seed % 3 == 2}
    assert_as_naive(random_packets(seed, 1000, **shape))


@pytest.mark.parametrize("seed", SEEDS)
def test_forged_connections_equal_the_naive_twin(seed: int) -> None:
    assert_as_naive(random_connections(seed, 600))


@pytest.mark.parametrize("seed", SEEDS)
def test_what_payloads_mean_equals_the_naive_twin(seed: int) -> None:
    made = random_connections(seed, 400) if seed % 2 else random_packets(seed, 800, ports=4)
    assert_as_naive(with_contents(made, seed))


PORTS = [22, 23, 53, 80, 88, 102, 123, 135, 161, 389, 443, 445, 502, 1883, 2404, 5060, 44818, 47808]


def with_contents(packets: list[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    """The same packets with messages in them, cut or joined to their sizes, at known ports."""
    rng = random.Random(seed)
    ports = dict(zip((1, 2, 3, 80), rng.sample(PORTS, 4), strict=True))
    pool = [message.data for message in MESSAGES]
    made = []
    for each in packets:
        size = payload_of(each) if each["header_bytes"] else max(each["ip_bytes"] - 28, 0)
        held = rng.choice([size, size, size, size // 2])  # the capture cut some
        content = b"".join(rng.choices(pool, k=rng.choice([1, 1, 2, 30])))[:held]
        ends = {end: ports.get(each.get(end, 0), each.get(end, 0)) for end in ENDS_OF}
        kept = rng.random() < 0.1 and len(content) <= 248
        made.append(each | ends | {"content": content, "payload_kept": int(kept)})
    return made


def assert_as_naive(packets: list[dict[str, Any]]) -> None:
    rows, contents = lay_out(packets)
    result, twin = run("gateway", rows, contents=contents), naive(packets)
    order = sorted(range(len(result.flows)), key=lambda i: key(result.flows[i]))
    twin.sort(key=naive_key)
    assert [key(result.flows[i]) for i in order] == [naive_key(flow) for flow in twin]
    expected = np.array([features(flow) for flow in twin])
    found = result.features[order]
    minutes = schema_named("gateway").names.index("src_1m_flows")  # from there on kept as float32
    np.testing.assert_allclose(found[:, :minutes], expected[:, :minutes], rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(found[:, minutes:], expected[:, minutes:], rtol=1e-6, atol=1e-5)


def test_the_schema_names_every_column_once() -> None:
    names = schema_named("gateway").names
    assert len(set(names)) == len(names)


def test_every_column_is_documented() -> None:
    text = "".join((ROOT / "toolkit" / room / "README.md").read_text() for room in DOCUMENTED)
    for name in schema_named("gateway").names:
        common = re.sub("^(src|dst)_(2s|10s|64|1m|10m)_", "X_", name)
        common = re.sub("^(fwd|bwd)_(.*_(bytes|words|packets))$", r"S_\2", common)
        assert f"`{name}`" in text or f"`{common}`" in text, name


@pytest.mark.parametrize("rows", [2, 3, 50])
def test_small_outputs_give_the_same_flows_in_the_same_order(rows: int) -> None:
    packets = to_array(random_packets(1, at_least(300, 800)))
    few, many = run("gateway", packets, rows=rows), run("gateway", packets, rows=2000)
    assert few.flows.tolist() == many.flows.tolist()
    assert few.features.tobytes() == many.features.tobytes()


def test_results_do_not_depend_on_the_secret_of_the_hash() -> None:
    packets = to_array(random_packets(2, 800))
    one, other = run("gateway", packets, key=b"one"), run("gateway", packets, key=b"other")
    assert one.features.tobytes() == other.features.tobytes()


def test_a_silent_flow_ends_without_another_packet_of_its_own() -> None:
    others = [packet(t, "192.0.2.9", SERVER, protocol=17, src_port=5) for t in (60, 130)]
    result = run("gateway", to_array([tcp(0, SYN), *others]), close=False)
    assert ends(result) == ["idle"]


def test_a_closed_connection_ends_after_its_linger_time() -> None:
    close = [tcp(0, SYN), tcp(1, FIN_ACK), tcp(2, FIN_ACK, back=True), tcp(2.1, ACK)]
    others = [packet(t, "192.0.2.9", SERVER, protocol=17, src_port=5) for t in (6, 13)]
    result = run("gateway", to_array([*close, *others]), close=False)
    assert ends(result) == ["close"]
    assert result.flows["fwd_packets"].tolist() == [3]


def test_a_straggler_within_the_linger_time_belongs_to_the_closed_connection() -> None:
    result = run("gateway", to_array([tcp(0, SYN), tcp(1, RST, back=True), tcp(4, ACK)]))
    assert result.flows["fwd_packets"].tolist() == [2]


def test_a_syn_after_a_reset_begins_another_flow() -> None:
    result = run("gateway", to_array([tcp(0, SYN), tcp(1, RST, back=True), tcp(2, SYN)]))
    assert ends(result) == ["replaced", "capture_end"]


def test_a_long_connection_is_cut_every_120_s_and_keeps_its_context() -> None:
    scan = [packet(0.1 * i, CLIENT, f"198.51.100.{i}", flags=SYN, dst_port=9) for i in range(5)]
    long = [tcp(10.0 * i, ACK, back=i == 14) for i in range(1, 20)]
    result = run("gateway", to_array([*scan, *long]))
    ours = result.flows["dst_port"] == 80
    assert ends(result)[:6].count("age") == 1
    peers = np.array(result.column("gateway", "src_64_peers"))
    assert peers[ours].tolist() == [6, 6]


def test_flows_of_a_scan_see_each_other() -> None:
    scan = [packet(0.01 * i, CLIENT, SERVER, flags=SYN, dst_port=i) for i in range(1, 31)]
    result = run("gateway", to_array(scan))
    assert result.column("gateway", "src_2s_services") == list(range(1, 31))
    assert result.column("gateway", "dst_2s_peers") == [1] * 30
    assert result.column("gateway", "src_2s_unanswered") == [0.0] + [1.0] * 29


def test_a_reset_as_the_first_answer_counts_as_refused() -> None:
    packets = []
    for i in range(3):
        ports = {"src_port": 1000 + i, "dst_port": 23}
        packets.append(packet(i, CLIENT, SERVER, flags=SYN, **ports))
        ports = {"src_port": 23, "dst_port": 1000 + i}
        packets.append(packet(i + 0.1, SERVER, CLIENT, flags=RST, **ports))
    result = run("gateway", to_array(packets))
    assert result.column("gateway", "src_64_refused") == [0.0, 1.0, 1.0]
    assert result.column("gateway", "src_64_unanswered") == [0.0, 0.0, 0.0]


def test_an_unreachable_message_refuses_the_flow_it_answers() -> None:
    probe = {"protocol": 17, "dst_port": 161}
    packets = [
        packet(0, CLIENT, SERVER, src_port=1, **probe),
        packet(0.1, SERVER, CLIENT, protocol=1, icmp_type=3, icmp_code=3),
        packet(1, CLIENT, SERVER, src_port=2, **probe),
    ]
    result = run("gateway", to_array(packets))
    refused = dict(
        zip(result.flows["src_port"], result.column("gateway", "src_64_refused"), strict=True)
    )
    assert refused[2] == 1.0


def test_regular_flows_to_one_service_look_like_a_beacon() -> None:
    calls = [
        packet(30.0 * i, CLIENT, SERVER, flags=SYN, src_port=1000 + i, dst_port=443)
        for i in range(5)
    ]
    result = run("gateway", to_array(calls))
    assert result.column("gateway", "beacon_intervals") == [0, 1, 2, 3, 4]
    assert result.column("gateway", "beacon_interval_mean")[-1] == 30e6
    assert result.column("gateway", "beacon_interval_variation") == [-1, -1, 0, 0, 0]


def test_a_small_host_memory_forgets_quiet_hosts_first() -> None:
    busy = [packet(0.01 * i, CLIENT, SERVER, flags=SYN, dst_port=i) for i in range(1, 11)]
    many = [
        packet(1 + 0.001 * i, f"198.51.{i // 250}.{i % 250}", SERVER, flags=SYN, dst_port=80)
        for i in range(400)
    ]
    last = packet(1.9, CLIENT, SERVER, flags=SYN, dst_port=99)
    result = run("gateway", to_array([*busy, *many, last]), memory_bytes=1 << 20)
    assert result.state.hosts.state["forgotten"][0] > 200
    scans = result.flows["dst_port"] == 99
    assert np.array(result.column("gateway", "src_2s_flows"))[scans].tolist() == [11]
