"""The ``packets`` features by their definitions, of the flows that ``gateway``'s twin makes."""

from __future__ import annotations

import itertools

from tests.profiles.naive_gateway import Flow

PACKETS = 32


def features(flow: Flow) -> list[float]:
    first = flow.packets[:PACKETS]
    sizes = [packet["ip_bytes"] for packet in first]
    directions = [1 if forward else -1 for forward in flow.forward[:PACKETS]]
    times = [packet["time_us"] for packet in first]
    gaps = [0, *(later - earlier for earlier, later in itertools.pairwise(times))]
    rest = [0] * (PACKETS - len(first))
    return [float(value) for value in [*sizes, *rest, *directions, *rest, *gaps, *rest]]
