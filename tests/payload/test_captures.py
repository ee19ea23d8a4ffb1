"""Payload columns of whole captures against the reference, flow by flow and column by column.

The packets are the engine's own; what lies in them, which flow they are of, what it means and how
it adds up are computed anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tests.profiles.naive_gateway import Flow, Gateway, features

from idskit.capture.capture_file import open_capture
from idskit.decode.datagrams import make_datagrams
from idskit.decode.layers import SKIP_REASONS
from idskit.decode.reassembly import give_up, reassemble
from idskit.packet import PACKET
from idskit.profiles import open_flows
from idskit.schemas.payload_columns import PAYLOAD

ROOT = Path(__file__).resolve().parents[2]
NAMES = [feature.name for feature in PAYLOAD]
CHUNK = 500  # packets decoded at once


def packets_of(path: Path) -> Iterator[dict[str, Any]]:
    """The packets of a capture with the bytes of their payloads."""
    datagrams, skipped = make_datagrams(1 << 24, None), np.zeros(len(SKIP_REASONS), np.int64)
    rows = np.zeros(CHUNK, PACKET)
    with open_capture(path) as capture:
        for frames in capture.frames():
            first = 0
            while first < len(frames.records):
                first, count = reassemble(frames, first, rows, skipped, datagrams)
                yield from (named(row, frames.data, datagrams.kept) for row in rows[:count])
    count = give_up(datagrams, rows, skipped)
    yield from (named(row, rows.view(np.uint8), rows.view(np.uint8)) for row in rows[:count])


def named(row: np.void, frames: Any, kept: Any) -> dict[str, Any]:
    values = {name: row[name].item() for name in PACKET.names or ()}
    data, at = kept if values["payload_kept"] else frames, values["payload_at"]
    return values | {"content": data[at : at + values["payload_held"]].tobytes()}


def key_of(flow: Flow) -> tuple[int, ...]:
    ports = (0, 0) if flow.protocol in (1, 58) else (flow.src_port, flow.dst_port)
    forward = sum(flow.forward)
    counts = forward, len(flow.forward) - forward
    return flow.start, flow.last, *flow.src, *flow.dst, *ports, flow.protocol, *counts


def expected(path: Path) -> list[tuple[tuple[int, ...], list[float]]]:
    reference = Gateway()
    for packet in packets_of(path):
        reference.feed(packet)
    reference.close()
    made = [(key_of(flow), features(flow)[-len(NAMES) :]) for flow in reference.done]
    return sorted(made)


def found(path: Path) -> list[tuple[tuple[int, ...], list[float]]]:
    names = ("start_us", "end_us", "src_high", "src_low", "dst_high", "dst_low")
    names += ("src_port", "dst_port", "protocol", "fwd_packets", "bwd_packets")
    made = []
    with open_flows(path, "gateway") as flows:
        for batch in flows.batches():
            keys = zip(*(batch.flows[name].tolist() for name in names), strict=True)
            made += zip(keys, batch.features[:, -len(NAMES) :].tolist(), strict=True)
    return sorted(made)


def assert_as_reference(path: Path) -> None:
    ours, theirs = found(path), expected(path)
    assert [key for key, _ in ours] == [key for key, _ in theirs]
    for (key, row), (_, right) in zip(ours, theirs, strict=True):
        wrong = [
            f"{name} is {value}, not {each}"
            for name, value, each in zip(NAMES, row, right, strict=True)
            if abs(value - each) > 1e-6 * max(1, each)
        ]
        assert not wrong, f"{key}: {wrong}"
