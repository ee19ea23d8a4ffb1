"""Compile the flow engine ahead of its first use, or find out whether that is still to do."""

from __future__ import annotations

import struct
import tempfile
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np

from idskit.capture.packet_ring import BLOCK_BYTES, release, ring_over, walk
from idskit.decode.datagrams import make_datagrams
from idskit.decode.layers import SKIP_REASONS, decode
from idskit.decode.reassembly import reassemble
from idskit.errors import IdskitError
from idskit.extract.csv_rows import CsvRows
from idskit.extract.text_fields import fields_of, texts
from idskit.flows.flow_records import Settings, new_output
from idskit.kernels.compile import cache_folder, on_first_compilation
from idskit.packet import FRAME, PACKET, Frames
from idskit.profiles.flow_reader import FlowBatch, open_flows
from idskit.profiles.registry import Profile, profile_named

PROFILES = ("gateway", "cic-fixed", "cic-original", "ciciot2023", "kdd99")  # others share kernels
_ETHERNET = 1  # link type of pcap
_SAMPLE = "shipped/sample.pcap"  # of the generator


class _Compiles(Exception):
    """A kernel is about to be compiled: raised to get out before that happens."""


def precompile() -> float:
    """Compile the flow engine for all profiles, formats and interfaces; return the seconds.

    Raises:
        IdskitError: no folder can keep the result.
    """
    if cache_folder() is None:
        raise IdskitError(
            "compiling ahead was asked for, but no folder for the result can be written: set "
            "NUMBA_CACHE_DIR to one that can, now and when idskit runs"
        )
    start = time.perf_counter()
    for schema in PROFILES:
        _run(schema)
    return time.perf_counter() - start


def uncompiled_profiles() -> list[str]:
    """Return the profiles whose first use would compile, by using each up to that point."""
    return [schema for schema in PROFILES if _would_compile(partial(_run, schema))]


def needs_compiling(schema: str) -> bool:
    """Return whether reading a capture with this profile would compile."""
    return _would_compile(partial(_read_sample, schema))


def make_ready(schema: str) -> None:
    """Load all kernels that reading an interface with this profile needs, or compile them."""
    _read_sample(schema)
    profile = profile_named(schema)
    _expire(profile)
    _read_ring(profile)


def _would_compile(use: Callable[[], None]) -> bool:
    try:
        with on_first_compilation(_stop):
            use()
    except _Compiles:
        return True
    return False


def _stop() -> None:
    raise _Compiles


def _run(schema: str) -> None:
    """Use all that a profile needs: both capture formats, tables, the clock, an interface."""
    with as_file(files("idskit") / _SAMPLE) as sample, tempfile.TemporaryDirectory() as folder:
        again = Path(folder) / "one.pcapng"
        again.write_bytes(_pcapng(_first_frame(sample)))
        for capture in (sample, again):
            with open_flows(capture, schema, memory_mb=16) as flows:
                flows.on_claims = len
                for batch in flows.batches():
                    _print(batch)
    profile = profile_named(schema)
    _expire(profile)
    _read_ring(profile)


def _read_sample(schema: str) -> None:
    with (
        as_file(files("idskit") / _SAMPLE) as sample,
        open_flows(sample, schema, memory_mb=16) as flows,
    ):
        deque(flows.batches(), maxlen=0)


def _print(batch: FlowBatch) -> None:
    """Write a batch as CSV, and the fields that other tables hold as text."""
    fields = fields_of(batch.schema)
    deque(CsvRows(batch.schema, fields, ()).lines(batch), maxlen=0)
    texts(batch.flows, fields[0].kind)


def _expire(profile: Profile) -> None:
    if profile.IDLE_US:
        state = profile.make(Settings(memory_bytes=16 << 20, idle_us=profile.IDLE_US))
        profile.expire(state, new_output(2, len(profile.SCHEMA)), 0)


def _read_ring(profile: Profile) -> None:
    """Read a ring without frames in ordinary memory: an interface needs rights that few have."""
    ring = ring_over(np.zeros(BLOCK_BYTES, np.uint8))
    records, packets = np.zeros(1, FRAME), np.zeros(1, PACKET)
    count, held, _ = walk(ring, 0, 1, _ETHERNET, records)
    frames = Frames(data=ring.octets, records=records[:count])
    skipped = np.zeros(len(SKIP_REASONS), np.int64)
    if profile.REASSEMBLES:
        reassemble(frames, 0, packets, skipped, make_datagrams(0, None))
    else:
        profile.reread(frames, packets[: decode(frames, packets, skipped)])
    release(ring, 0, held)


def _first_frame(pcap: Path) -> bytes:
    """Return the first frame of a little-endian pcap: 24 bytes of header, 16 before each frame."""
    data = pcap.read_bytes()
    (size,) = struct.unpack_from("<I", data, 24 + 8)
    return data[40 : 40 + size]


def _pcapng(frame: bytes) -> bytes:
    """Write a capture of one Ethernet frame: section, interface and enhanced packet block."""
    padded = frame + b"\0" * (-len(frame) % 4)
    size = len(padded) + 32
    section = struct.pack("<IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28)
    interface = struct.pack("<IIHHII", 1, 20, 1, 0, 0, 20)
    head = struct.pack("<IIIIIII", 6, size, 0, 0, 0, len(frame), len(frame))
    return section + interface + head + padded + struct.pack("<I", size)
