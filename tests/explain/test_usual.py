"""What is usual: the shipped table, and how it is measured."""

from __future__ import annotations

import numpy as np
import pytest
from tests.explain.fake_judge import column, row_of

from idskit.explain import measure_usual
from idskit.explain.usual import protocol_of, shipped_usual
from idskit.schema import Feature, Schema
from idskit.schemas.gateway_columns import GATEWAY, GATEWAY_PACKETS, PACKET_SERIES


@pytest.mark.parametrize("schema", [GATEWAY, GATEWAY_PACKETS, PACKET_SERIES])
@pytest.mark.parametrize("protocol", ["tcp", "udp", "icmp", "any"])
def test_the_shipped_table_knows_every_column(schema: Schema, protocol: str) -> None:
    row = np.zeros(len(schema), np.float32)
    if f"is_{protocol}" in schema.names:
        row[schema.names.index(f"is_{protocol}")] = 1
    usual = shipped_usual(schema, row)
    assert len(usual.p50) == len(usual.p99) == len(schema)
    assert (usual.p50 <= usual.p99).all()
    assert np.isfinite(usual.p99).all()
    assert "benign flows" in usual.about


def test_protocols_are_apart() -> None:
    tcp, udp = (shipped_usual(GATEWAY, row_of(**{name: 1})) for name in ("is_tcp", "is_udp"))
    assert (tcp.p50[column("is_tcp")], tcp.p50[column("is_udp")]) == (1, 0)
    assert (udp.p50[column("is_tcp")], udp.p50[column("is_udp")]) == (0, 1)
    assert tcp.p50[column("syn_count")] > 0
    assert udp.p99[column("syn_count")] == 0
    assert protocol_of(GATEWAY, row_of()) == "any"
    assert protocol_of(PACKET_SERIES, np.ones(96, np.float32)) == "any"


def test_the_table_holds_quantiles_that_flows_have() -> None:
    names = ("is_tcp", "is_udp", "is_icmp", "bytes")
    schema = Schema(name="toy", features=tuple(Feature(name=n, unit="1") for n in names))
    tcp = np.array([[1, 0, 0, size] for size in range(100)], np.float32)
    rest = np.array([[0, 1, 0, 1000], [0, 0, 1, 5]], np.float32)
    first, head, *lines = measure_usual.usual_table(schema, [tcp, rest]).splitlines()
    assert first == "# 102 benign flows of 2 public captures"
    table = {line.split(",")[0]: dict(zip(head.split(","), line.split(","), strict=True))
             for line in lines}  # fmt: skip
    assert list(table) == list(names)
    assert table["is_tcp"]["any_p50"] == "1"  # a flag, not a mean of flags
    assert (table["bytes"]["tcp_p50"], table["bytes"]["tcp_p99"]) == ("49", "98")
    assert (table["bytes"]["udp_p50"], table["bytes"]["icmp_p99"]) == ("1000", "5")
