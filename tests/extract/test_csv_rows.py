"""Tables' text from kernels, beside the standard library's."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from ipaddress import IPv6Address
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from idskit.extract import csv_rows
from idskit.extract.csv_rows import CsvRows
from idskit.extract.text_fields import (
    CLOCK,
    DST_IP,
    END,
    FLOW_ID,
    INSTANT,
    SRC_IP,
    START_US,
    fields_of,
    tail_of,
    texts,
)
from idskit.flow import ENDS, FLOW
from idskit.profiles import schema_named
from idskit.profiles.flow_reader import FlowBatch
from idskit.schema import Feature, Schema

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def random_flows(count: int) -> NDArray[np.void]:
    """Flows with every kind of address: IPv4, and IPv6 with few and with many zeros."""
    rng = np.random.default_rng(1)
    flows = np.zeros(count, FLOW)
    for name in FLOW.names or ():
        limits = np.iinfo(FLOW[name])
        flows[name] = rng.integers(max(limits.min, 0), limits.max, count, FLOW[name].base)
    flows["end"] %= len(ENDS)
    flows["reversed_id"] %= 2
    flows["start_us"] = rng.integers(-(10**16), 9 * 10**15, count)
    flows["start_us"][::3] -= flows["start_us"][::3] % 1000
    flows["start_us"][::5] -= flows["start_us"][::5] % 1_000_000
    for name in ("src_high", "src_low", "dst_high", "dst_low"):
        groups = rng.integers(0, 2**16, (count, 4), np.uint64) * (rng.random((count, 4)) < 0.5)
        small = groups >> rng.integers(0, 16, (count, 4), np.uint64)
        flows[name] = (small << np.array([48, 32, 16, 0], np.uint64)).sum(axis=1)
    flows["src_high"][::2] = 0
    flows["src_low"][::2] = (0xFFFF << 32) | rng.integers(0, 2**32, len(flows[::2]))
    return flows


def text_of(flows: NDArray[np.void], kind: int) -> list[str]:
    text, starts = texts(flows, kind)
    return [text[a:b].tobytes().decode() for a, b in pairwise(starts)]


def address(flow: np.void, end: str) -> str:
    number = IPv6Address(int(flow[f"{end}_high"]) << 64 | int(flow[f"{end}_low"]))
    return str(number.ipv4_mapped or number)


def time_of(flow: np.void) -> datetime:
    return EPOCH + timedelta(microseconds=int(flow["start_us"]))


def instant(flow: np.void) -> str:
    time = time_of(flow)
    fraction = f".{time.microsecond:06d}".removesuffix("000") if time.microsecond else ""
    return f"{time:%Y-%m-%d %H:%M:%S}{fraction}"


def flow_id(flow: np.void) -> str:
    ends = [("src", "dst"), ("dst", "src")][flow["reversed_id"]]
    hosts = [address(flow, end) for end in ends]
    return "-".join([*hosts, *(str(flow[f"{end}_port"]) for end in ends), str(flow["protocol"])])


@pytest.mark.parametrize(
    ("kind", "naive"),
    [
        (SRC_IP, lambda flow: address(flow, "src")),
        (DST_IP, lambda flow: address(flow, "dst")),
        (START_US, lambda flow: str(flow["start_us"])),
        (END, lambda flow: ENDS[flow["end"]]),
        (FLOW_ID, flow_id),
        (INSTANT, instant),
        (CLOCK, lambda flow: f"{time_of(flow):%d/%m/%Y %I:%M:%S %p}"),
    ],
)
def test_fields_are_what_the_standard_library_prints(kind: int, naive: Any) -> None:
    flows = random_flows(500)
    assert text_of(flows, kind) == [naive(flow) for flow in flows]


@pytest.mark.parametrize(
    ("time_us", "text"),
    [
        (0, "1970-01-01 00:00:00"),
        (1_500_000, "1970-01-01 00:00:01.500"),
        (1_500_001, "1970-01-01 00:00:01.500001"),
        (1_461_170_590_509_491, "2016-04-20 16:43:10.509491"),
        (951_782_400_000_000, "2000-02-29 00:00:00"),
        (-1, "1969-12-31 23:59:59.999999"),
    ],
)
def test_timestamps_of_cic_fixed_are_as_short_as_java_prints_them(time_us: int, text: str) -> None:
    flows = np.zeros(1, FLOW)
    flows["start_us"] = time_us
    assert text_of(flows, INSTANT) == [text]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((0, 0), "::"),
        ((0, 1), "::1"),
        ((0x20010DB8 << 32, 1), "2001:db8::1"),
        ((0x20010DB8 << 32 | 1, 0), "2001:db8:0:1::"),
        ((0x20010DB8_00000001, 0x00010001_00010001), "2001:db8:0:1:1:1:1:1"),
        ((0x20010000_00000001, 0x00000000_00000001), "2001:0:0:1::1"),
        ((0, 0xFFFF_7F000001), "127.0.0.1"),
    ],
)
def test_addresses_are_compressed_as_rfc_5952_has_it(words: tuple[int, int], text: str) -> None:
    flows = np.zeros(1, FLOW)
    flows["src_high"], flows["src_low"] = words
    assert text_of(flows, SRC_IP) == [text]


NOMINAL = Schema(
    name="toy",
    features=(
        Feature(name="size", unit="bytes"),
        Feature(name="service", unit="category", categories=("http", "ssh")),
        Feature(name="flag", unit="category", categories=("S0",)),
    ),
)


def printed(schema: Schema, features: list[list[float]]) -> list[str]:
    flows = np.zeros(len(features), FLOW)
    rows = CsvRows(schema, (), ())
    batch = FlowBatch(schema=schema, flows=flows, features=np.array(features, np.float64))
    return b"".join(bytes(lines) for lines in rows.lines(batch)).decode().splitlines()


def test_categories_are_written_by_name() -> None:
    assert printed(NOMINAL, [[1.5, 0, 0], [2, 1, -1], [3, -1, 0]]) == [
        "1.5,http,S0",
        "2,ssh,unlisted",
        "3,unlisted,S0",
    ]


def test_a_code_that_no_schema_has_is_unlisted() -> None:
    assert printed(NOMINAL, [[0, 7, -9]]) == ["0,unlisted,unlisted"]


@pytest.mark.parametrize("schema", ["gateway", "cic-fixed", "cic-original"])
def test_a_small_buffer_gives_the_same_lines(schema: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = schema_named(schema)
    features = np.random.default_rng(3).random((50, len(wanted))) * -1e-300  # as long as can be
    batch = FlowBatch(schema=wanted, flows=random_flows(50), features=features)
    layout = wanted, fields_of(wanted), tail_of(wanted)
    whole = [bytes(lines) for lines in CsvRows(*layout).lines(batch)]
    monkeypatch.setattr(csv_rows, "_BUFFER_BYTES", 1)
    pieces = [bytes(lines) for lines in CsvRows(*layout).lines(batch)]
    assert (len(whole), b"".join(pieces)) == (1, whole[0])
    assert len(pieces) > 10
    assert all(piece.endswith(b"\n") for piece in pieces)


def digest() -> str:
    """Of a table of random flows and random doubles of every kind."""
    schema = schema_named("cic-fixed")
    bits = np.random.default_rng(4).integers(-(2**63), 2**63 - 1, (30, len(schema)))
    batch = FlowBatch(schema=schema, flows=random_flows(30), features=bits.view(np.float64))
    rows = CsvRows(schema, fields_of(schema), tail_of(schema))
    return hashlib.sha256(b"".join(map(bytes, rows.lines(batch)))).hexdigest()


_PRINT = "from tests.extract.test_csv_rows import digest; print(digest())"


def test_the_same_without_compilation() -> None:
    """``make test-boundscheck`` compares it with checked bounds too."""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", _PRINT],
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=True,
        text=True,
    )
    assert run.stdout.strip() == digest()
