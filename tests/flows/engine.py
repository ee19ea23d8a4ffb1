"""The flow engine on PACKET rows, without a capture around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idskit.flow import CAPTURE_END
from idskit.flows.flow_records import Settings, new_output, open_slots
from idskit.profiles import profile_named


@dataclass
class Result:
    flows: NDArray[np.void]  # (n,) FLOW
    features: NDArray[np.float64]  # (n, features)
    state: Any  # the profile's arrays

    def column(self, profile: str, name: str) -> list[float]:
        return self.features[:, profile_named(profile).SCHEMA.names.index(name)].tolist()


def run(
    name: str,
    packets: NDArray[np.void],
    *,
    memory_bytes: int = 32 << 20,
    rows: int = 1000,
    close: bool = True,
    contents: Sequence[NDArray[np.uint8]] = (),
    **settings: Any,
) -> Result:
    """Feed all packets, then end the open flows unless ``close`` is false.

    ``contents`` are the bytes of frames and of datagrams that payloads lie in.
    """
    profile = profile_named(name)
    settings = {"idle_us": profile.IDLE_US} | settings
    state = profile.make(Settings(memory_bytes=memory_bytes, **settings))
    if contents:
        state = profile.look_at(state, *contents)
    width, chunks = len(profile.SCHEMA), []

    def drain(step: Any, end: int) -> None:
        nonlocal state
        first = 0
        while first < end:
            output = new_output(rows, width)
            before, first = first, step(output, first)
            count = int(state.table.state["emitted"][0])
            state.table.state["emitted"] = 0
            chunks.append((output.flows[:count], output.features.reshape(rows, -1)[:count]))
            if first == before and not count:
                state = profile.grow(state)

    packets = packets.copy()  # profiles may rewrite them
    drain(lambda output, first: profile.advance(state, output, packets, first), len(packets))
    if close:
        slots = open_slots(state.table)
        drain(
            lambda output, first: profile.finish(state, output, slots, first, CAPTURE_END),
            len(slots),
        )
    empty = new_output(1, width)
    flows = [empty.flows[:0], *(flows for flows, _ in chunks)]
    features = [empty.features.reshape(1, -1)[:0], *(rows for _, rows in chunks)]
    return Result(np.concatenate(flows), np.concatenate(features), state)
