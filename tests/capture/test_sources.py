"""Where captures come from: several files, folders, patterns, pipes, compressed files."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.flows.capture_files import enhanced, interface, pcap, read, section
from tests.flows.frames import questions, udp, write

from idskit.capture.buffered_file import Source
from idskit.capture.capture_file import open_capture
from idskit.errors import CaptureError, IdskitError, MissingExtra
from idskit.profiles import open_flows
from idskit.profiles.flow_reader import FlowStatistics

FRAMES = [bytes([n]) * (60 + n) for n in range(5)]
RECORDS = [(1_700_000_000 + n, n, frame) for n, frame in enumerate(FRAMES)]
RECORDS_OF_A_PIPE = pcap(RECORDS[:1])[24:]  # few enough to be written whole or not at all


def statistics_of(source: Any, **settings: Any) -> FlowStatistics:
    with open_flows(source, **settings) as flows:
        for _ in flows.batches():
            pass
        return flows.statistics


# Several captures.


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two halves of the same ten flows, the later one first by name."""
    made = tmp_path / "captures"
    made.mkdir()
    ends = [("10.0.0.1", "192.0.2.1", 1000 + n, 53) for n in range(10)]
    write(made / "a-later.pcap", [(20, n, udp(*end)) for n, end in enumerate(ends)])
    write(made / "b-earlier.pcap", [(10, n, udp(*end)) for n, end in enumerate(ends)])
    return made


@pytest.mark.parametrize(
    "named",
    [
        lambda folder: folder,
        lambda folder: [folder / "a-later.pcap", folder / "b-earlier.pcap"],
        lambda folder: [folder / "b-earlier.pcap", folder / "a-later.pcap"],
        lambda folder: f"{folder}/*.pcap",
        lambda folder: str(folder / "?-*"),
    ],
)
def test_captures_are_read_in_time_order_and_flows_go_on_across_them(
    folder: Path, named: Callable[[Path], Any]
) -> None:
    with open_flows(named(folder)) as flows:
        (batch,) = flows.batches()
        found = flows.statistics
    assert batch.flows["fwd_packets"].tolist() == [2] * 10
    assert set((batch.flows["end_us"] - batch.flows["start_us"]).tolist()) == {10_000_000}
    assert found.source == (
        f"{folder}/b-earlier.pcap and {folder}/a-later.pcap, in the order of their first packets"
    )


def test_what_is_no_capture_in_a_folder_is_named_and_passed_over(folder: Path) -> None:
    (folder / "notes.txt").write_text("no capture\n")
    (folder / "below").mkdir()
    (folder / ".hidden").write_text("")
    found = statistics_of(folder)
    assert found.packets == 20
    assert found.not_read == f"{folder}/below and {folder}/notes.txt"
    assert f"not read, as they are no readable captures: {found.not_read}" in list(found.lines())


def test_a_long_list_of_files_is_short_in_the_statistics(tmp_path: Path) -> None:
    for number in range(30):
        write(tmp_path / f"{number:02}.pcap", questions(1))
    assert statistics_of(tmp_path).source == (
        f"{tmp_path}/00.pcap, {tmp_path}/01.pcap, {tmp_path}/02.pcap and 27 more, in the order of "
        "their first packets"
    )


def test_each_damaged_file_of_several_is_named(folder: Path) -> None:
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:-3])
    found = statistics_of(folder)
    assert found.packets == 18
    assert found.truncated.count("ends inside a packet record") == 2
    assert "a-later.pcap" in found.truncated


@pytest.mark.parametrize(
    ("named", "words"),
    [
        (["a-later.pcap", "a-later.pcap"], "is named twice"),
        (["a-later.pcap", "./a-later.pcap"], "is named twice"),
        (["a-later.pcap", "missing.pcap"], "cannot read missing.pcap: no such file"),
        (["a-later.pcap", "notes.txt"], "notes.txt is not a capture"),
        (["a-later.pcap", "-"], "- is a pipe"),
        (["a-later.pcap", "fifo"], "fifo is a pipe"),
        (["*.cap"], r"\*.cap: no file has such a name"),
        (["empty"], "empty is a folder without captures"),
    ],
)
def test_what_cannot_be_read_together_is_refused(
    folder: Path, named: list[str], words: str, monkeypatch: Any
) -> None:
    (folder / "notes.txt").write_text("no capture\n")
    (folder / "empty").mkdir()
    os.mkfifo(folder / "fifo")
    monkeypatch.chdir(folder)
    with pytest.raises(CaptureError, match=words):
        open_flows(named, live=False)


def test_an_empty_list_of_captures_is_refused() -> None:
    with pytest.raises(IdskitError, match="none was named"):
        open_flows([], live=False)


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    path = write(tmp_path / "day[1].pcap", questions(2))
    assert statistics_of(path).packets == 4


# Compressed captures.


def zstd(data: bytes) -> bytes:
    return pytest.importorskip("backports.zstd").compress(data)  # type: ignore[no-any-return]


def lz4(data: bytes) -> bytes:
    return pytest.importorskip("lz4.frame").compress(data)  # type: ignore[no-any-return]


def in_parts(compress: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """Several streams, one after the other, of which one is empty."""
    return lambda data: b"".join(map(compress, (data[:50], b"", data[50:99], data[99:])))


def xz(data: bytes) -> bytes:
    return lzma.compress(data, preset=0)


def bzip2(data: bytes) -> bytes:
    return bz2.compress(data, 1)  # blocks of 100 kB


COMPRESSIONS = {"gz": gzip.compress, "xz": xz, "bz2": bzip2}
COMPRESSIONS |= {"zst": zstd, "lz4": lz4}


@pytest.mark.parametrize("parts", [False, True])
@pytest.mark.parametrize("name", COMPRESSIONS)
def test_a_compressed_capture_gives_its_frames(tmp_path: Path, name: str, parts: bool) -> None:
    path, compress = tmp_path / "named.pcap", COMPRESSIONS[name]
    plain = pcap(RECORDS * 10_000)
    path.write_bytes((in_parts(compress) if parts else compress)(plain))
    frames, _, truncated = read(path)
    assert frames == FRAMES * 10_000
    assert not truncated


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_a_cut_compressed_capture_gives_what_was_before(tmp_path: Path, name: str) -> None:
    rng, path = random.Random(1), tmp_path / "cut"
    noise = [rng.randbytes(1000) for _ in range(1000)]
    whole = COMPRESSIONS[name](pcap([(0, 0, frame) for frame in noise]))
    path.write_bytes(whole[: len(whole) // 2])
    frames, _, truncated = read(path)
    assert 300 < len(frames) <= 500
    assert frames == noise[: len(frames)]
    assert truncated == "its compressed data is damaged: it is cut off"


@pytest.mark.parametrize("name", ["gz", "xz", "bz2"])  # the others need not have a checksum
def test_damage_inside_a_compressed_capture_is_said(tmp_path: Path, name: str) -> None:
    rng, path = random.Random(1), tmp_path / "damaged"
    body = bytearray(COMPRESSIONS[name](pcap([(0, 0, rng.randbytes(1000)) for _ in range(300)])))
    body[-500] ^= 1  # in the last frame, which is as random as its checksum
    path.write_bytes(body)
    assert "its compressed data is damaged" in read(path)[2]


def test_something_behind_a_compressed_capture_is_said(tmp_path: Path) -> None:
    path = tmp_path / "more"
    path.write_bytes(gzip.compress(pcap(RECORDS)) + b"and something else")
    frames, _, truncated = read(path)
    assert frames == FRAMES
    assert truncated == "its compressed data is damaged: something else follows it"


def test_zeros_behind_a_compressed_capture_are_padding(tmp_path: Path) -> None:
    path = tmp_path / "padded"
    path.write_bytes(gzip.compress(pcap(RECORDS)) + bytes(1000))
    assert read(path)[2] == ""


def test_a_bomb_is_read_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    huge = section() + (0xBAD).to_bytes(4, "little") + (3 << 30).to_bytes(4, "little")
    made = bz2.BZ2Compressor()
    path.write_bytes(made.compress(huge) + made.compress(bytes(64 << 20)) + made.flush())
    assert path.stat().st_size < 1000
    resource = (
        "import resource, sys; from idskit.capture.capture_file import open_capture\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "with open_capture(sys.argv[1]) as c: list(c.frames()); print(c.truncated)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", resource, path], capture_output=True, text=True, check=True
    )
    why, grown_kb = done.stdout.splitlines()
    assert why == "the file ends inside a block"
    assert int(grown_kb) < 40_000


def test_a_hostile_xz_dictionary_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "dictionary"
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 20}]
    body = bytearray(lzma.compress(pcap(RECORDS), filters=filters, check=lzma.CHECK_NONE))
    body[16] = 40  # LZMA2 property: a dictionary of 4 GiB
    body[20:24] = (__import__("zlib").crc32(body[12:20])).to_bytes(4, "little")
    path.write_bytes(body)
    with pytest.raises(CaptureError, match=r"begins as a xz file, but .*[Mm]emory"):
        open_capture(path)


@pytest.mark.parametrize("name", ["zst", "lz4"])
def test_a_missing_package_is_one_sentence_with_the_commands_that_help(
    tmp_path: Path, name: str, monkeypatch: Any
) -> None:
    magic = {"zst": b"\x28\xb5\x2f\xfd", "lz4": b"\x04\x22\x4d\x18"}[name]
    for module in ("backports", "backports.zstd", "lz4", "lz4.frame"):
        monkeypatch.setitem(sys.modules, module, None)
    path = tmp_path / "x"
    path.write_bytes(magic + bytes(20))
    with pytest.raises(MissingExtra) as refused:
        open_flows(tmp_path)  # not passed over
    command = {"zst": "zstd -dc", "lz4": "lz4 -dc"}[name]
    assert "pip install 'idskit[compress]'" in str(refused.value)
    assert f"{command} {path} | idskit" in str(refused.value)


@pytest.mark.parametrize(
    ("magic", "words"),
    [
        (b"PK\x03\x04", "unzip -p"),
        (b"7z\xbc\xaf\x27\x1c", "7z x -so"),
        (b"LZIP", "lzip -dc"),
        (b"\x1f\x9d", "gzip -dc"),
        (b"\x02\x21\x4c\x18", "lz4 -dc"),
        (b"GMBU", "editcap -F pcap"),
    ],
)
def test_a_foreign_container_is_answered_with_the_command_that_helps(
    tmp_path: Path, magic: bytes, words: str
) -> None:
    path = tmp_path / "x"
    path.write_bytes(magic + bytes(50))
    with pytest.raises(CaptureError, match=words):
        open_capture(path)


def test_the_cases_are_read(shared: Path) -> None:
    folder = shared / "cases" / "compressed"
    found = [statistics_of(folder / f"ok.pcap.{name}").packets for name in ("bz2", "xz")]
    assert found == [10, 10]


def test_the_cases_of_packages_are_read(shared: Path) -> None:
    pytest.importorskip("backports.zstd")
    pytest.importorskip("lz4.frame")
    folder = shared / "cases" / "compressed"
    found = [statistics_of(folder / f"ok.pcap.{name}").packets for name in ("zst", "lz4")]
    assert found == [10, 10]


# Pipes.


@contextmanager
def pipe() -> Iterator[tuple[Path, Any]]:
    """The reading end as a path, the writing end as a file."""
    ours, theirs = os.pipe()
    with os.fdopen(ours), os.fdopen(theirs, "wb", buffering=0) as writer:
        yield Path(f"/proc/self/fd/{ours}"), writer


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress])
def test_flows_of_a_pipe_come_while_it_stays_open(compress: Callable[[bytes], bytes]) -> None:
    records = [(n * 200, 0, udp("10.0.0.1", "192.0.2.1", 9, 9)) for n in range(3)]
    with pipe() as (path, writer):
        writer.write(compress(pcap(records)))
        with open_flows(path) as flows:
            batches = flows.batches(max_wait_ms=20)
            assert flows.is_live
            assert next(batches).flows["start_us"].tolist() == [0, 200_000_000]
            flows.stop()
            (last,) = batches
    assert last.flows["start_us"].tolist() == [400_000_000]
    assert flows.statistics.truncated == ""


def test_what_a_pipe_holds_when_it_is_stopped_is_read(tmp_path: Path) -> None:
    """A writer that is ended by the same Ctrl-C writes its last packets then."""
    with pipe() as (path, writer):
        writer.write(pcap(RECORDS[:1]))
        with open_capture(path) as capture:
            frames = capture.frames()
            assert len(next(frames).records) == 1
            capture.stop()
            writer.write(pcap(RECORDS[1:])[24:])
            assert sum(len(more.records) for more in frames) == 4


def test_what_a_pipe_held_is_read_also_by_a_process_that_stood_still(monkeypatch: Any) -> None:
    with pipe() as (path, writer):
        writer.write(pcap(RECORDS[:1]))
        with open_capture(path) as capture:
            frames = capture.frames()
            assert len(next(frames).records) == 1
            writer.write(pcap(RECORDS[1:])[24:])
            capture.stop()
            late_s = time.monotonic() + 1000
            monkeypatch.setattr("time.monotonic", lambda: late_s)
            assert sum(len(more.records) for more in frames) == 4


def test_a_pipe_that_never_rests_ends_when_it_is_stopped() -> None:
    with pipe() as (path, writer):
        is_over = threading.Event()

        def flood() -> None:
            while not is_over.is_set():
                writer.write(RECORDS_OF_A_PIPE)

        writer.write(pcap([]))
        os.set_blocking(writer.fileno(), False)
        flooding = threading.Thread(target=flood)
        flooding.start()
        with open_capture(path) as capture:
            for _ in capture.frames():
                if capture.seen > 1000:
                    capture.stop()
                    break
            for _ in capture.frames():
                continue
        is_over.set()
        flooding.join()


def test_a_pipe_cut_inside_a_block_can_be_stopped() -> None:
    with pipe() as (path, writer):
        writer.write(section() + interface() + enhanced(FRAMES[0])[:-30])
        with open_capture(path) as capture:
            frames = capture.frames()
            assert len(next(frames).records) == 0  # silence
            capture.stop()
            assert list(frames)[-1:] != [None]
            assert capture.truncated == ""


def test_a_present_pipe_has_the_present_clock_and_an_old_one_its_own(monkeypatch: Any) -> None:
    now_s = 1_800_000_000
    monkeypatch.setattr("time.time_ns", lambda: now_s * 10**9)
    for lag_s, expected_s in ((2, now_s + 98), (1000, now_s - 1000)):
        with pipe() as (path, writer):
            monkeypatch.setattr("time.time_ns", lambda: now_s * 10**9)
            writer.write(pcap([(now_s - lag_s, 0, FRAMES[0])]))
            with open_capture(path) as capture:
                next(capture.frames())
                monkeypatch.setattr("time.time_ns", lambda: (now_s + 100) * 10**9)
                assert capture.now_us() == expected_s * 10**6


def test_a_present_pipe_expires_flows_by_the_clock(monkeypatch: Any) -> None:
    now_s = int(time.time())
    with pipe() as (path, writer):
        writer.write(pcap([(now_s, 0, udp("10.0.0.1", "192.0.2.1", 9, 9))]))
        with open_flows(path) as flows:
            batches = flows.batches(max_wait_ms=10)
            real = time.time_ns
            calls = iter([0])
            monkeypatch.setattr(
                "time.time_ns", lambda: real() if next(calls, 1) == 0 else real() + 300 * 10**9
            )
            assert next(batches).flows["end"].tolist() == [1]  # idle
            flows.stop()
            assert list(batches) == []


def test_standard_input_is_a_capture(tmp_path: Path, monkeypatch: Any) -> None:
    path = write(tmp_path / "x.pcap", questions(3))
    code = (
        "from idskit import open_flows\n"
        "with open_flows('-') as flows:\n"
        "    print(sum(map(len, flows.batches())), flows.statistics.source, flows.is_live)"
    )
    command = [sys.executable, "-c", code]
    with path.open("rb") as file:
        done = subprocess.run(command, stdin=file, capture_output=True, text=True, check=True)
    assert done.stdout == "3 standard input False\n"
    piped = subprocess.run(command, input=path.read_bytes(), capture_output=True, check=True)
    assert piped.stdout == b"3 standard input True\n"


def test_a_terminal_is_no_capture(monkeypatch: Any) -> None:
    class Terminal(io.FileIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("io.FileIO", Terminal)
    with pytest.raises(CaptureError, match="standard input is a terminal"):
        Source(Path("-"))


def test_an_interface_is_never_read_where_a_file_is_asked_for() -> None:
    with pytest.raises(CaptureError, match="cannot read lo: no such file"):
        open_flows("lo", live=False)
