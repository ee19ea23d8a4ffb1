"""Rates, hosts and devices: counted once, bounded, and by the clock."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gateway.test_incident_views import incident

from idskit.flow import FLOW, IDLE, VERDICT
from idskit.gateway import gateway_view
from idskit.gateway.gateway_view import (
    HOSTS,
    GatewayView,
    RecentSeconds,
    Totals,
    hardware_addresses,
    host_names,
)
from idskit.profiles.flow_reader import FlowBatch
from idskit.schemas.catalog import schema_named

NOW_US = 1_800_000_000_000_000
HOME, AWAY = 0xC0A80100, 0x08080800  # 192.168.1.0, 8.8.8.0


def batch(*rows: dict[str, int]) -> FlowBatch:
    flows = np.zeros(len(rows), FLOW)
    for flow, row in zip(flows, rows, strict=True):
        given = {"src_low": 0xFFFF << 32 | HOME | 5, "dst_low": 0xFFFF << 32 | AWAY | 8}
        given |= {"start_us": NOW_US, "end_us": NOW_US, "protocol": 6, "dst_port": 443, **row}
        for name, value in given.items():
            flow[name] = value
    schema = schema_named("gateway")
    return FlowBatch(schema=schema, flows=flows, features=np.zeros((len(rows), len(schema))))


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(1, 9)), max_size=80))
def test_recent_seconds_are_those_of_a_plain_list(events: list[tuple[int, int]]) -> None:
    recent, latest = RecentSeconds(), 0
    counted = [0] * 400
    for second, count in events:
        latest = max(latest, second)
        recent.add(second, count)
        if latest - second <= 60:
            counted[second] += count
    expected = [counted[n] if n >= 0 else 0 for n in range(latest - 59, latest + 1)]
    assert recent.until(latest) == expected
    assert recent.until(latest + 1000) == [0] * 60


def test_packets_of_a_flow_that_is_judged_early_count_once() -> None:
    view = GatewayView(8)
    for packets, end in ((10, VERDICT), (25, VERDICT), (30, IDLE)):
        row = {"slot": 3, "serial": 7, "fwd_packets": packets - 5, "bwd_packets": 5, "end": end}
        view.add_flows(batch(row), NOW_US)
    traffic, devices = view.hosts({"192.168.1.5": 2})
    assert [one["address"] for one in traffic] == ["192.168.1.5"]  # 8.8.8.8 is not of this network
    assert sum(traffic[0]["packets"]) == 30
    (device,) = devices
    assert (device["services"], device["peers"], device["incidents"]) == (["443/tcp"], 1, 2)
    assert device["first_seen"].startswith("2027-01-15T08:00:00")


def test_a_flow_counts_once_in_its_device_s_day_from_its_first_row_on() -> None:
    view = GatewayView(8)
    ends = {"end": VERDICT, "fwd_packets": 3}
    view.add_flows(batch({"slot": 3, "serial": 7, **ends}, {"slot": 3, "serial": 7}), NOW_US)
    view.add_flows(batch({"slot": 3, "serial": 7}, {"slot": 3, "serial": 8, **ends}), NOW_US)
    found = incident(1)
    day = view.day_of(replace(found, device="192.168.1.5"))
    assert day is not None
    assert day.flows == (2,)
    assert view.day_of(replace(found, device="192.168.1.6")) is None


def test_hosts_are_bounded_and_the_latest_stay() -> None:
    view = GatewayView(8)
    for number in range(HOSTS + 50):
        view.add_flows(batch({"src_low": 0xFFFF << 32 | HOME + number, "serial": number}), NOW_US)
    _, devices = view.hosts({})
    assert len(devices) == HOSTS
    assert devices[0]["address"] == "192.168.2.49"
    assert view.counters()["hosts_evicted"] == 50


def test_rates_are_those_of_whole_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    second = 1_000
    monkeypatch.setattr(gateway_view, "_second", lambda: second)
    view = GatewayView(8)
    for second in range(1_000, 1_003):
        view.note(Totals(packets=10 * (second - 999), bytes=0, flows=0, dropped=second - 1_000))
    assert view.rates()["packets_per_s"][-3:] == [0, 10, 10]
    assert {len(row) for row in view.rates().values()} == {60}
    assert view.dropped_lately == 2


def test_neighbours_and_names_are_read_where_they_are(tmp_path: Path) -> None:
    arp, leases = tmp_path / "arp", tmp_path / "leases"
    arp.write_text(
        "IP address HW type Flags HW address Mask Device\n"
        "192.168.1.5 0x1 0x2 aa:bb:cc:dd:ee:ff * eth0\n"
        "192.168.1.6 0x1 0x0 00:00:00:00:00:00 * eth0\nshort\n"
    )
    leases.write_text(
        f"{int(time.time())} aa:bb 192.168.1.5 {'n' * 300} *\n1 2 192.168.1.6 * *\nx\n"
    )
    assert hardware_addresses(arp) == {"192.168.1.5": "aa:bb:cc:dd:ee:ff"}
    assert host_names((leases, tmp_path / "none")) == {"192.168.1.5": "n" * 64}
    assert hardware_addresses(tmp_path / "none") == {}
