"""Quantities: every column is of one, and windows of one count are of the same."""

from __future__ import annotations

from idskit.schemas.gateway_columns import GATEWAY
from idskit.schemas.quantities import quantities


def named(*names: str) -> tuple[int, ...]:
    return tuple(sorted(GATEWAY.names.index(name) for name in names))


def test_every_column_is_of_one_quantity() -> None:
    places = sorted(place for one in quantities(GATEWAY) for place in one)
    assert places == list(range(len(GATEWAY)))


def test_windows_of_a_count_are_one_quantity() -> None:
    found = quantities(GATEWAY)
    assert named("src_2s_peers", "src_10s_peers", "src_64_peers") in found
    assert named("dst_1m_failed", "dst_10m_failed") in found


def test_sources_directions_and_kinds_stay_apart() -> None:
    for one, other in (
        ("src_2s_peers", "dst_2s_peers"),
        ("src_2s_peers", "src_2s_flows"),
        ("fwd_payload_mean", "bwd_payload_mean"),
        ("src_1m_new", "src_1m_new_failed"),
    ):
        assert not any(set(named(one, other)) <= set(found) for found in quantities(GATEWAY))
