"""Counts that decay over minutes: weights by hand, disguises, and what is evicted first."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.flows.disguises import (
    Connections,
    covered,
    each,
    guesses,
    read_connections,
    slowed,
    spoofed,
    stretched,
    write_records,
)
from tests.flows.effort import examples
from tests.flows.engine import Result, run
from tests.flows.evasion import SHIPPED
from tests.flows.packets import packet, to_array, words

from idskit.flow import addresses
from idskit.profiles import open_flows, schema_named
from idskit.schemas.gateway_columns import HISTORY

SYN, SYN_ACK, ACK, RST = 0x02, 0x12, 0x10, 0x04
CLIENT, SERVER = "192.0.2.1", "192.0.2.2"
MINUTES = [feature.name for feature in HISTORY]
_FIRST = schema_named("gateway").names.index(MINUTES[0])
COLUMNS = slice(_FIRST, _FIRST + len(MINUTES))


def call(
    time_s: float, port: int, *, src: str = CLIENT, dst: str = SERVER, service: int = 22
) -> dict[str, Any]:
    return packet(time_s, src, dst, src_port=port, dst_port=service, flags=SYN)


def answer(to: dict[str, Any], after_s: float, flags: int = SYN_ACK) -> dict[str, Any]:
    """The packet that comes back."""
    swapped = {
        name: to[name.replace("src", "x").replace("dst", "src").replace("x", "dst")]
        for name in ("src_high", "src_low", "dst_high", "dst_low", "src_port", "dst_port")
    }
    return to | swapped | {"flags": flags, "time_us": to["time_us"] + round(after_s * 1e6)}


def columns(result: Result, src_port: int) -> dict[str, float]:
    """The decaying counts of the flow from a port."""
    row = result.features[result.flows["src_port"] == src_port][0]
    return dict(zip(MINUTES, row[COLUMNS].tolist(), strict=True))


def test_a_flow_weighs_half_after_its_half_life() -> None:
    found = columns(run("gateway", to_array([call(0, 1), call(60, 2), call(600, 3)])), 3)
    assert found["pair_1m_flows"] == pytest.approx(2**-10 + 2**-9)
    assert found["pair_10m_flows"] == pytest.approx(0.5 + 2 ** (-58 / 64), rel=1e-6)
    assert found["src_10m_flows"] == found["dst_10m_failed"] == found["pair_10m_flows"]
    assert found["src_10m_new"] == pytest.approx(0.5)


def test_what_is_older_than_forty_half_lives_weighs_nothing() -> None:
    found = columns(run("gateway", to_array([call(0, 1), call(1, 2), call(24_100, 3)])), 3)
    assert set(found.values()) == {0.0}


@pytest.mark.parametrize(
    ("flags", "failed"), [([], 1), ([SYN_ACK], 0), ([RST], 1), ([RST, SYN_ACK], 1), ([ACK, RST], 0)]
)
def test_a_flow_failed_unless_answered(flags: list[int], failed: int) -> None:
    """Both before and after its hosts are known for more than this flow."""
    first = call(1000, 1)
    answers = [answer(first, 0.1 + i, each) for i, each in enumerate(flags)]
    found = columns(run("gateway", to_array([first, *answers, call(1003, 2)])), 2)
    other = call(1000.01, 3, service=23)
    late = run("gateway", to_array([first, other, *answers, call(1003, 2)]))
    for row in (found, columns(late, 2)):
        assert row["pair_10m_failed"] == pytest.approx(failed, abs=0.01)
    assert columns(late, 2)["src_10m_new_failed"] == pytest.approx(1 + failed, abs=0.02)


def test_an_answer_that_comes_late_takes_the_failure_back() -> None:
    """To the last digit, whatever came in between."""
    first = call(0, 1)
    many = [call(i, 1 + i, service=1000 + i) for i in range(1, 50)]
    found = columns(run("gateway", to_array([first, *many, answer(first, 55), call(60, 99)])), 99)
    unanswered = sum(2 ** -((60 * 64 // 60 - i * 64 // 60) / 64) for i in range(1, 50))
    assert found["src_1m_failed"] == pytest.approx(unanswered, rel=1e-6)
    assert found["pair_1m_failed"] == 0


def test_regular_calls_have_no_variation_whatever_else_goes_on() -> None:
    calls = [call(30.0 * i, 100 + i, service=443) for i in range(1, 9)]
    others = [call(0.4 * i, 5000 + i, dst=f"198.51.100.{i % 250}") for i in range(1, 600)]
    packets = sorted([*calls, *others], key=lambda each: each["time_us"])
    found = columns(run("gateway", to_array(packets)), 108)
    assert found["pair_interval_mean"] == 30e6
    assert found["pair_interval_variation"] == pytest.approx(0, abs=1e-6)
    assert found["pair_10m_flows"] > 6


def test_extreme_times_leave_the_counts_finite() -> None:
    """Time jumps over millennia, before 1970 too."""
    times = [0, -(2**61), 2**61, -5_000_000, 10**15, 3]
    packets = [call(0, 1 + i) | {"time_us": time} for i, time in enumerate(times)]
    result = run("gateway", to_array(packets))
    assert np.isfinite(result.features[:, COLUMNS]).all()
    assert (result.features[:, COLUMNS][:, :20] >= 0).all()


# On the sample: what a guess knows of the guesses before it.


@pytest.fixture(scope="module")
def sample() -> Connections:
    return read_connections(SHIPPED / "sample.pcap", SHIPPED / "sample.labels.csv")


def rows(
    folder: Path, connections: Connections, chosen: Callable[[Any], bool], flood: int = 0
) -> dict[tuple[str, int, str, int], dict[str, float]]:
    """The decaying counts of the first flow of each chosen connection, by its endpoints."""
    noise = spoofed(connections, flood) if flood else ()
    write_records(folder / "sample.pcap", connections, noise)
    wanted = {one.ends for one in connections if chosen(one)}
    found: dict[tuple[str, int, str, int], dict[str, float]] = {}
    with open_flows(folder / "sample.pcap", "gateway", memory_mb=16) as flows:
        for batch in flows.batches(size=4096):
            ours = np.isin(batch.flows["src_low"], [words(ends.src)[1] for ends in wanted])
            for flow, row in zip(batch.flows[ours], batch.features[ours], strict=True):
                ends = _ends(flow)
                if ends in wanted and ends not in found:
                    found[ends] = dict(zip(MINUTES, row[COLUMNS].tolist(), strict=True))
    assert len(found) == len(wanted)
    return found


def _ends(flow: np.void) -> tuple[str, int, str, int]:
    src, dst = (
        addresses(flow[f"{side}_high"].reshape(1), flow[f"{side}_low"].reshape(1))[0]
        for side in ("src", "dst")
    )
    return src, int(flow["src_port"]), dst, int(flow["dst_port"])


def guessing(connections: Connections) -> Connections:
    return [one for one in connections if guesses(one)]


@pytest.mark.parametrize(("factor", "at_least"), [(1, 7.5), (3, 7), (10, 5.9), (30, 4)], ids=str)
@pytest.mark.parametrize("slow", [slowed, stretched])
def test_slow_guesses_still_count_each_other(
    sample: Connections, tmp_path: Path, slow: Any, factor: int, at_least: float
) -> None:
    changed = slow(factor)(guessing(sample))
    found = rows(tmp_path, changed, guesses)
    ssh = [one for one in changed if one.category == "ssh-guessing"]
    last = found[ssh[-1].ends]
    by_hand = sum(2 ** (-(ssh[-1].first - one.first) / 600e6) for one in ssh[:-1])
    assert last["pair_10m_flows"] == pytest.approx(by_hand, rel=0.01)
    assert last["pair_10m_flows"] >= at_least
    gaps = [b.first - a.first for a, b in pairwise(ssh)]
    assert last["pair_interval_mean"] == pytest.approx(np.mean(gaps), rel=0.15)


@pytest.mark.parametrize("flows", [1, 3, 10])
def test_cover_changes_nothing_about_the_guesses(
    sample: Connections, tmp_path: Path, flows: int
) -> None:
    plain = rows(tmp_path, guessing(sample), guesses)
    hidden = rows(tmp_path, each(covered(flows), guesses)(guessing(sample)), guesses)
    for ends, row in plain.items():
        for name in MINUTES:
            if name.startswith(("pair_", "dst_")) or name.endswith("failed"):
                assert hidden[ends][name] == pytest.approx(row[name], rel=1e-5, abs=1e-5), name


def test_cover_does_not_wash_out_the_failures_of_a_scan(
    sample: Connections, tmp_path: Path
) -> None:
    def scans(one: Any) -> bool:
        return bool(one.category == "port-scan")

    ours = [one for one in sample if scans(one)]
    plain = rows(tmp_path, ours, scans)
    hidden = rows(tmp_path, each(covered(3), scans)(slowed(10)(ours)), scans)
    last = max(ours, key=lambda one: one.first).ends
    assert hidden[last]["src_10m_new_failed"] > 0.9 * plain[last]["src_10m_new_failed"] > 50


def test_spoofed_flows_do_not_evict_who_is_active(sample: Connections, tmp_path: Path) -> None:
    """20,000 forged sources pass through memory for 1,200 hosts, 500 between two guesses."""
    ours = guessing(sample)
    plain = rows(tmp_path, ours, guesses)
    flooded = rows(tmp_path, ours, guesses, flood=examples(20_000))
    for ends, row in plain.items():
        for name in MINUTES:
            if name.startswith(("pair_", "src_")):
                assert flooded[ends][name] == pytest.approx(row[name], rel=1e-6), name


def test_hosts_long_silent_do_not_keep_out_who_comes_anew() -> None:
    """Hosts of many flows fill the memory; then a new one guesses among other new ones."""
    old = [
        call(0.001 * i, 1 + j, src=f"10.9.{i >> 8}.{i & 255}", service=80)
        for i in range(300)
        for j in range(4)
    ]
    new = []
    for i in range(12):
        new.append(call(10 + i, 50_000 + i))
        new += [call(10.5 + i, 7, src=f"10.{i}.1.{j}", service=80) for j in range(8)]
    result = run("gateway", to_array(old + new), memory_bytes=1 << 20)
    assert int(result.state.hosts.state["forgotten"][0]) > 250
    found = [columns(result, 50_000 + i)["pair_10m_flows"] for i in range(12)]
    assert found == pytest.approx(list(range(12)), rel=0.03)


def test_pairs_of_few_flows_are_evicted_first() -> None:
    """1,500 sources of two flows each pass through memory for 546 pairs after five guesses."""
    packets = [call(i, 50_000 + i) for i in range(5)]
    for i in range(1500):
        source = f"10.{i >> 8}.{i & 255}.1"
        packets += [call(5 + 0.001 * i, 1 + again, src=source, service=80) for again in (0, 1)]
    result = run("gateway", to_array([*packets, call(10, 50_005)]), memory_bytes=1 << 20)
    assert int(result.state.history.pairs.state["evicted"][0]) > 900
    assert columns(result, 50_005)["pair_10m_flows"] == pytest.approx(5, rel=0.02)


def test_sources_of_one_flow_enter_no_pair() -> None:
    packets = [call(0.001 * i, 1, src=f"10.{i >> 8}.{i & 255}.1") for i in range(3000)]
    result = run("gateway", to_array(packets))
    assert not result.state.history.pairs.ways["flows"].any()
    assert result.features[:, COLUMNS][-1].tolist()[8:12] == pytest.approx(
        [result.features[-1, _FIRST + MINUTES.index("dst_1m_flows")]] * 4
    )


def test_crafted_keys_do_not_meet_in_one_bucket() -> None:
    """Which pairs share a bucket depends on the secret of the hash."""
    packets = [call(0.001 * i, 1 + i, service=1 + i) for i in range(200)]
    homes = []
    for key in (b"one", b"other"):
        result = run("gateway", to_array(packets), key=key)
        homes.append(np.flatnonzero(result.state.history.pairs.ways["flows"]))
    assert len(homes[0]) == len(homes[1]) == 200
    assert not np.array_equal(*homes)
