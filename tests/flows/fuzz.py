"""Capture files and frames made to break their readers: ``make fuzz MINUTES=10``.

    strategy (valid, then damaged) ──> outcome, compiled ──┐
                                   └─> outcome, as Python ─┴─> the same, or a counterexample

An outcome is everything that was made of the bytes: frames, flows, features, counters, and the
sentence of a CaptureError. Any other exception ends the run, as does memory that keeps growing.
Hypothesis makes a counterexample as small as it can before it prints it.

``NUMBA_DISABLE_JIT=1 python -m tests.flows.fuzz --guided --minutes 10`` goes by the coverage of the
readers and the decoder, where atheris is installed (``pip install atheris``).
"""

from __future__ import annotations

import argparse
import ast
import gzip
import os
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.flows.capture_files import (
    block,
    decoded,
    enhanced,
    in_memory,
    interface,
    old_packet,
    order,
    pcap,
    read,
    section,
    simple,
)
from tests.flows.headers import SEEDS

from idskit.capture import capture_file as capture_reader
from idskit.capture import pcap as pcap_reader
from idskit.capture import pcapng as pcapng_reader
from idskit.decode import layers as decoder
from idskit.errors import CaptureError
from idskit.profiles import open_flows

PROFILES = ["gateway", "cic-fixed", "cic-original", "ciciot2023", "kdd99"]
LINK_TYPES = sorted({link_type for link_type, _ in SEEDS} | {104, 147, 2**32 - 1})
GROWTH_BYTES = 64 << 20

Case = tuple[str, int, bytes]  # name of a profile and a file, or "frame", link type and its bytes

# Strategies.

_EDGES = [0, 1, 4, 8, 11, 12, 16, 28, 32, 2**16, 2**18, 2**18 + 1, 2**31 - 1, 2**31, 2**32 - 1]
_words = st.sampled_from(_EDGES) | st.integers(0, 2**32 - 1)
_ticks = st.integers(0, 2**64 - 1) | st.sampled_from([0, 2**63 - 1, 2**63, 10**15])


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """Cut somewhere, or not, and with up to six other bytes."""
    data = bytearray(whole[: draw(st.none() | st.integers(0, len(whole)))])
    places = st.tuples(st.integers(0, max(len(data) - 1, 0)), st.integers(0, 255))
    for at, value in draw(st.lists(places, max_size=6)) if data else ():
        data[at] = value
    return bytes(data)


def packets(link_type: int) -> st.SearchStrategy[bytes]:
    """Frames of a link layer, the same damaged, or noise."""
    seeds = [seed for known, seed in SEEDS if known == link_type]
    whole = st.sampled_from(seeds or [SEEDS[0][1]])
    return whole | whole.flatmap(damaged) | st.binary(max_size=120)


@st.composite
def pcap_files(draw: st.DrawFn) -> bytes:
    big = draw(st.booleans())
    magic = draw(st.sampled_from([0xA1B2C3D4, 0xA1B23C4D, 0xA1B2CD34]))
    link_type = draw(st.sampled_from(LINK_TYPES))
    made = pcap([], big=big, magic=magic, link_type=link_type)
    for _ in range(draw(st.integers(0, 6))):
        frame = draw(packets(link_type))
        claimed = draw(_words) if draw(st.integers(0, 9)) == 9 else len(frame)
        made += struct.pack(f"{order(big)}4I", draw(_words), draw(_words), claimed, draw(_words))
        made += (bytes(8) if magic == 0xA1B2CD34 else b"") + frame
    return made


@st.composite
def _interfaces(draw: st.DrawFn, big: bool, link_type: int) -> bytes:
    if draw(st.booleans()):
        options = draw(st.binary(max_size=40))
        head = struct.pack(f"{order(big)}HHI", link_type & 0xFFFF, 0, 0)
        return block(1, head + options, big=big)
    return interface(
        big=big,
        link_type=link_type & 0xFFFF,
        resolution=draw(st.none() | st.integers(0, 255)),
        offset_s=draw(st.none() | st.integers(-(2**63), 2**63 - 1)),
        snap=draw(st.sampled_from([0, 0, 40, 2**32 - 1])),
    )


@st.composite
def _packet_blocks(draw: st.DrawFn, big: bool, link_type: int) -> bytes:
    frame, number = draw(packets(link_type)), draw(st.sampled_from([0, 0, 0, 1, 2**16 - 1]))
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return simple(frame, draw(st.none() | _words), big=big)
    if kind == 1:
        return old_packet(frame, draw(_ticks), number=number, big=big)
    return enhanced(frame, draw(_ticks), number=number, big=big)


@st.composite
def pcapng_files(draw: st.DrawFn) -> bytes:
    made, big, link_type = b"", False, draw(st.sampled_from(LINK_TYPES))
    for kind in "si" + draw(st.text("ippppupsl", max_size=8)):
        if kind == "s":
            big = draw(st.booleans())
            made += section(big=big)
        elif kind == "i":
            made += draw(_interfaces(big, link_type))
        elif kind == "u":
            made += block(draw(_words), draw(st.binary(max_size=30)), big=big)
        else:
            found = draw(_packet_blocks(big, link_type))
            size = struct.pack(f"{order(big)}I", draw(_words)) if kind == "l" else found[4:8]
            made += found[:4] + size + found[8:]
    return made


@st.composite
def files(draw: st.DrawFn) -> Case:
    """Captures through a profile: as they should be, damaged, or compressed and then damaged."""
    content = draw(pcap_files() | pcapng_files())
    if draw(st.integers(0, 9)) == 0:
        content = gzip.compress(content, mtime=0)
    if draw(st.booleans()):
        content = draw(damaged(content))
    return draw(st.sampled_from(PROFILES)), 0, content


@st.composite
def frames(draw: st.DrawFn) -> Case:
    """Frames behind their own link layer or another."""
    link_type, seed = draw(st.sampled_from(SEEDS))
    if draw(st.integers(0, 4)) == 0:
        link_type, seed = draw(st.sampled_from(LINK_TYPES)), draw(st.binary(max_size=120))
    return "frame", link_type, draw(damaged(seed))


# Oracles.


def outcome(case: Case) -> str:
    """All that is made of the bytes, as text."""
    name, link_type, content = case
    with np.errstate(all="ignore"):  # Python warns where compiled code does not
        if name == "frame":
            return _of_frame(content, link_type)
        return _of_file(content, name)


def _of_frame(frame: bytes, link_type: int) -> str:
    rows, skipped = decoded(in_memory([frame], link_type))  # asserts that the counters add up
    assert all(is_sane(row) for row in rows)
    return repr((rows.tolist(), skipped))


def is_sane(row: np.void) -> bool:
    """What every PACKET row fulfils."""
    return bool(
        row["payload_bytes"] <= row["captured_bytes"]
        and row["ip_version"] in (4, 6)
        and row["header_bytes"] in (0, 8, 12, *range(20, 61, 4))
        and row["fragment"] <= 2
        and row["vlan"] <= 4096
    )


def _of_file(content: bytes, schema: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "capture"
        path.write_bytes(content)
        try:
            found = _read(path, schema)
        except CaptureError as error:
            return str(error).replace(folder, "")
    return repr(found)


def _read(path: Path, schema: str) -> Any:
    seen, records, truncated = read(path)  # asserts that frames lie inside the buffer
    with open_flows(path, schema, memory_mb=1, hash_key=b"fuzz") as flows:
        batches = list(flows.batches(3))
        statistics = flows.statistics
    assert statistics.frames == len(seen) == statistics.packets + sum(statistics.skipped.values())
    assert statistics.flows == sum(map(len, batches))
    rows = [(b.flows.tolist(), np.nan_to_num(b.features).tolist()) for b in batches]
    return seen, records.tolist(), truncated, statistics.skipped, rows


class Twin:
    """The same in another process, where nothing is compiled and Python checks every index."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.flows.fuzz", "--twin"],
            env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def outcome(self, case: Case) -> str:
        """One case a line, one outcome a line."""
        assert self._process.stdin
        assert self._process.stdout
        print(repr(case), file=self._process.stdin, flush=True)
        return str(ast.literal_eval(self._process.stdout.readline()))

    def close(self) -> None:
        self._process.communicate()


def _serve() -> None:
    for line in sys.stdin:
        print(repr(outcome(ast.literal_eval(line))), flush=True)


def check(case: Case, twin: Twin) -> None:
    """Fail where a case does not go as it must."""
    assert outcome(case) == twin.outcome(case)


# By hand.


def resident_bytes() -> int:
    """Memory of this process that is in use, Linux proc(5)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def run(minutes: float, examples: int = 1000) -> int:
    """Try cases for so long; how many were tried."""
    twin, tried, before = Twin(), 0, 0
    until = time.monotonic() + 60 * minutes

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(files() | frames())
    def some(case: Case) -> None:
        nonlocal tried
        tried += 1
        check(case, twin)

    while time.monotonic() < until:
        some()
        before = before or resident_bytes()
        grown = resident_bytes() - before
        print(f"{tried:,} cases, none broken; memory grew by {grown / 1e6:.1f} MB", flush=True)
        assert grown < GROWTH_BYTES
    twin.close()
    return tried


def guide(minutes: float) -> None:
    """Let atheris look for cases that reach lines not yet reached; ends the process."""
    import atheris

    @settings(deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(files() | frames())
    def one(case: Case) -> None:
        outcome(case)

    for module in (pcap_reader, pcapng_reader, capture_reader, decoder):
        for name, made in vars(module).items():
            if isinstance(made, FunctionType) and made.__module__ == module.__name__:
                setattr(module, name, atheris.instrument_func(made))
    words = [
        sys.argv[0],
        f"-max_total_time={round(60 * minutes)}",
        "-max_len=4096",
        "-len_control=0",
    ]
    atheris.Setup(words, one.hypothesis.fuzz_one_input)
    atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.flows.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--guided", action="store_true", help="by coverage, with atheris")
    parser.add_argument("--twin", action="store_true", help=argparse.SUPPRESS)
    given_ = parser.parse_args()
    if given_.twin:
        _serve()
    elif given_.guided:
        guide(given_.minutes)
    else:
        run(given_.minutes)


if __name__ == "__main__":
    main()
