"""Where lines go: files that rotate, streams, and disks without room; real files throughout."""

from __future__ import annotations

import errno
import json
import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.files.small_disk import disk_of

from idskit.alerts.eve_file import OLDER_FILES, EveFile, Period, Sink, open_sink
from idskit.errors import IdskitError

LINE = json.dumps({"event_type": "alert"}).ljust(99)  # 100 bytes with its line feed
MEGABYTE_LINES = (1 << 20) // 100


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "alerts.ndjson"


def put(sink: Sink, *lines: str) -> None:
    for line in lines:
        sink.write(line)
    sink.flush()


def numbered(first: int, count: int) -> list[str]:
    """Lines of 100 bytes that say which they are."""
    return [json.dumps({"n": n}).ljust(99) for n in range(first, first + count)]


def numbers(path: Path) -> list[int]:
    """The lines of a file that has only whole ones."""
    text = path.read_text()
    assert text == "" or text.endswith("\n")
    return [json.loads(line)["n"] for line in text.splitlines()]


def older(path: Path, number: int) -> Path:
    return Path(f"{path}.{number}")


def test_lines_are_appended_and_counted(path: Path) -> None:
    for first in (0, 2):
        sink = EveFile(path)
        put(sink, *numbered(first, 2))
        sink.close()
        assert (sink.written, sink.lost) == (2, 0)
    assert numbers(path) == [0, 1, 2, 3]


def test_only_the_owner_writes_and_only_the_group_reads(path: Path) -> None:
    before = os.umask(0o002)
    try:
        EveFile(path).close()
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_half_a_line_of_a_crash_is_ended_before_the_next(path: Path) -> None:
    path.write_text(f'{LINE}\n{{"event_type":"al')
    put(EveFile(path), LINE)
    assert path.read_text() == f'{LINE}\n{{"event_type":"al\n{LINE}\n'


def test_a_file_never_grows_over_its_limit_and_older_ones_are_kept(path: Path) -> None:
    sink = EveFile(path, rotate_mb=1)
    count = (OLDER_FILES + 2) * MEGABYTE_LINES + 5  # a file more than are kept
    for first in range(0, count, 997):  # batches that do not fit in evenly
        put(sink, *numbered(first, min(997, count - first)))
    files = [path, *(older(path, number) for number in range(1, OLDER_FILES + 1))]
    assert sorted(path.parent.iterdir()) == sorted(files)
    found = [numbers(file) for file in reversed(files)]
    assert [len(file) for file in found] == [MEGABYTE_LINES] * OLDER_FILES + [5]
    assert [n for file in found for n in file] == list(range(2 * MEGABYTE_LINES, count))
    assert (sink.written, sink.lost) == (count, 0)


def test_a_file_that_is_over_its_limit_already_is_put_aside_first(path: Path) -> None:
    path.write_text((LINE + "\n") * (MEGABYTE_LINES + 10))
    put(EveFile(path, rotate_mb=1), *numbered(0, 1))
    assert numbers(path) == [0]
    assert older(path, 1).stat().st_size == 100 * (MEGABYTE_LINES + 10)


def test_no_limit_is_no_limit(path: Path) -> None:
    put(EveFile(path, rotate_mb=0), *[LINE] * (MEGABYTE_LINES + 10))
    assert [path] == list(path.parent.iterdir())


@pytest.mark.parametrize(("period", "seconds"), [("hour", 3600), ("day", 86_400)])
def test_a_file_of_an_earlier_hour_or_day_is_put_aside(
    path: Path, period: Period, seconds: int
) -> None:
    sink = EveFile(path, rotate_mb=0, rotate_every=period, older_files=2)
    for number in range(4):
        put(sink, *numbered(number, 1))
        written_s = time.time() - seconds  # in the period before this one, whenever this is
        os.utime(path, (written_s, written_s))
    files = [path, older(path, 1), older(path, 2)]
    assert sorted(path.parent.iterdir()) == sorted(files)
    assert [numbers(file) for file in files] == [[3], [2], [1]]
    sink.close()
    put(EveFile(path, rotate_every=period, older_files=2), *numbered(4, 1))  # another process
    assert [numbers(file) for file in files] == [[4], [3], [2]]


def test_neither_the_same_day_nor_a_clock_put_back_rotates(path: Path) -> None:
    sink = EveFile(path, rotate_every="day")
    put(sink, *numbered(0, 1))
    put(sink, *numbered(1, 1))
    later_s = time.time() + 3 * 86_400
    os.utime(path, (later_s, later_s))
    put(sink, *numbered(2, 1))
    assert numbers(path)[-1] == 2
    rotated = len(list(path.parent.iterdir())) - 1
    assert rotated == 0 or numbers(path) == [1, 2]  # midnight passed between the first two


@pytest.mark.parametrize("moved", [True, False])
def test_a_file_that_was_moved_or_deleted_is_made_anew(path: Path, moved: bool) -> None:
    sink = EveFile(path)
    put(sink, *numbered(0, 1))
    if moved:
        path.rename(older(path, 1))
    else:
        path.unlink()
    put(sink, *numbered(1, 1))
    assert numbers(path) == [1]
    assert not moved or numbers(older(path, 1)) == [0]


def test_a_file_that_was_emptied_goes_on_at_its_start(path: Path) -> None:
    sink = EveFile(path)
    put(sink, *numbered(0, 3))
    os.truncate(path, 0)  # logrotate's copytruncate
    put(sink, *numbered(3, 1))
    assert numbers(path) == [3]


def test_a_folder_that_is_gone_for_a_while_loses_lines_and_says_so_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "log" / "alerts.ndjson"
    path.parent.mkdir()
    sink = EveFile(path)
    path.parent.rename(tmp_path / "away")
    put(sink, *numbered(0, 2))
    put(sink, *numbered(2, 2))
    path.parent.mkdir()
    put(sink, *numbered(4, 1))
    assert (numbers(path), sink.written, sink.lost) == ([4], 1, 4)
    [said] = capsys.readouterr().err.splitlines()
    assert said == (
        f"idskit: {path} cannot be written: No such file or directory; detection goes on, and "
        "alerts are lost until it can be written again"
    )


def make_link(path: Path) -> None:
    (path.parent / "victim").write_text(LINE + "\n")
    path.symlink_to("victim")


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (Path.mkdir, "it is neither a file, a pipe nor a character device"),
        (make_socket, "it is neither a file, a pipe nor a character device"),
        (make_link, "it is a link, which others may turn elsewhere: name the file itself"),
        (lambda path: path.symlink_to(path), "it is a link"),
        (os.mkfifo, "nobody reads this pipe: start its reader first"),
        (lambda path: path.write_bytes(b"\xd4\xc3\xb2\xa1"), "it holds something else than alerts"),
        (lambda path: path.write_text("\n" + LINE), "it holds something else than alerts"),
    ],
)
def test_what_is_not_for_alerts_is_refused_untouched(path: Path, make, sentence: str) -> None:
    make(path)
    content = [file.read_bytes() for file in path.parent.iterdir() if file.is_file()]
    with pytest.raises(IdskitError, match=f"alerts.ndjson cannot be written: {sentence}"):
        EveFile(path)
    assert content == [file.read_bytes() for file in path.parent.iterdir() if file.is_file()]


def test_a_folder_that_is_missing_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(IdskitError, match="cannot be written: No such file or directory"):
        EveFile(tmp_path / "nowhere" / "alerts.ndjson")


def test_two_programs_do_not_write_one_file(path: Path) -> None:
    sink = EveFile(path)
    with pytest.raises(IdskitError, match="another program writes alerts to it"):
        EveFile(path)
    sink.close()
    EveFile(path).close()


def test_a_link_that_takes_the_files_place_is_not_followed(path: Path) -> None:
    sink = EveFile(path)
    path.unlink()
    make_link(path)
    put(sink, *numbered(0, 1))
    assert (path.parent / "victim").read_text() == LINE + "\n"
    assert sink.lost == 1


def test_links_among_the_older_files_are_replaced_and_not_followed(path: Path) -> None:
    make_link(older(path, 1))
    put(EveFile(path, rotate_mb=1), *[LINE] * (MEGABYTE_LINES + 1))
    assert (path.parent / "victim").read_text() == LINE + "\n"
    assert older(path, 2).is_symlink()  # moved on, as whatever has that name
    assert not older(path, 1).is_symlink()


def test_a_pipe_is_written_to_until_its_reader_goes_away(path: Path) -> None:
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    sink = EveFile(path, rotate_mb=1)
    put(sink, LINE)
    assert os.read(reader, 200) == LINE.encode() + b"\n"
    os.close(reader)
    with pytest.raises(BrokenPipeError):
        put(sink, LINE, LINE)
    assert (sink.written, sink.lost) == (1, 2)
    put(sink, LINE)
    assert (sink.written, sink.lost) == (1, 3)


def test_a_stream_whose_reader_went_away_loses_what_still_comes() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        sink = open_sink(stream)
        with pytest.raises(BrokenPipeError):
            put(sink, LINE, LINE)
        put(sink, LINE)
    assert (sink.written, sink.lost) == (0, 3)


def test_a_disk_that_is_full_from_the_start_is_tried_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, "no inode left")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        sink = EveFile(path)
        put(sink, *numbered(0, 2))
    put(sink, *numbered(2, 1))
    assert (numbers(path), sink.written, sink.lost) == ([2], 1, 2)


@pytest.mark.parametrize("as_stream", [True, False])
def test_a_device_without_room_loses_every_line_and_says_so_once(
    as_stream: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    full = Path("/dev/full")
    with full.open("w") as stream:
        sink = open_sink(stream if as_stream else full)
        put(sink, LINE, LINE)
        put(sink, LINE)
        sink.close()
    assert (sink.written, sink.lost) == (0, 3)
    [said] = capsys.readouterr().err.splitlines()
    assert said.startswith("idskit: /dev/full cannot be written: No space left on device; ")


def test_a_closed_stderr_is_no_reason_to_write_to_stdout(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    put(open_sink(Path("/dev/full")), LINE)
    assert capsys.readouterr().out == ""


@contextmanager
def opened(path: Path, kind: str) -> Iterator[Sink]:
    """A sink of that kind; both shells' redirections are streams."""
    if kind == "file":
        sink = open_sink(path)
        yield sink
        sink.close()
        return
    with path.open({"> file": "w", ">> file": "a"}[kind]) as stream:
        yield open_sink(stream)


KINDS = pytest.mark.parametrize("kind", ["file", "> file", ">> file"])


@KINDS
@pytest.mark.parametrize("limit", [0, 1, 99, 100, 101, 250, 299])
def test_only_whole_lines_are_left_when_there_is_no_room(path: Path, kind: str, limit: int) -> None:
    with opened(path, kind) as sink:
        with disk_of(limit):
            put(sink, *numbered(0, 3))
            put(sink, *numbered(3, 1))
        assert (numbers(path), sink.lost) == (list(range(limit // 100)), 4 - limit // 100)
        put(sink, *numbered(4, 2))  # there is room again
        assert numbers(path) == [*range(limit // 100), 4, 5]
        assert sink.written == limit // 100 + 2


@KINDS
def test_half_a_line_that_cannot_be_taken_back_is_ended_first(
    path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, size: int) -> None:
        raise OSError("append only")

    with opened(path, kind) as sink:
        with disk_of(150), monkeypatch.context() as patch:
            patch.setattr(os, "ftruncate", refuse)  # as for a file with chattr +a
            put(sink, *numbered(0, 2))
        put(sink, *numbered(2, 1))
        assert (sink.written, sink.lost) == (2, 1)
    first, half, last = path.read_text().splitlines()
    assert (json.loads(first)["n"], len(half), json.loads(last)["n"]) == (0, 50, 2)


FILL = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
assert libc.unshare(0x00020000) == 0                          # CLONE_NEWNS: nobody else sees it
assert libc.mount(b"none", b"/", None, 0x44000, None) == 0    # MS_REC | MS_PRIVATE
folder = sys.argv[1]
assert libc.mount(b"tmpfs", folder.encode(), b"tmpfs", 0, b"size=64k") == 0
from pathlib import Path
from idskit.alerts.eve_file import EveFile
path = Path(folder, "alerts.ndjson")
sink = EveFile(path)
for n in range(3000):                                         # 300 kB
    sink.write('{"n": %d}'.ljust(99) % n)
    if n % 7 == 0: sink.flush()
sink.flush()
text = path.read_text()
assert text.endswith("}" + text.rpartition("}")[2]) and text.endswith("\\n")
before = sink.written
assert 0 < before == text.count("\\n") and sink.written + sink.lost == 3000
os.rename(path, Path(folder, "old"))
sink.write('{"n": 1}'); sink.flush()                          # even a new file finds no room
os.unlink(Path(folder, "old"))
sink.write('{"n": 2}'); sink.flush()
assert path.read_text() == '{"n": 2}\\n', path.read_text()
print(before)
"""


def test_a_full_disk_stops_the_lines_and_more_room_starts_them_again(tmp_path: Path) -> None:
    made = subprocess.run(
        [sys.executable, "-c", FILL, str(tmp_path)], capture_output=True, text=True, check=False
    )
    if "unshare" in made.stderr:
        pytest.skip("needs the right to make a mount namespace")
    assert made.returncode == 0, made.stderr
    assert int(made.stdout) > 500
    [said] = made.stderr.splitlines()
    assert "alerts.ndjson cannot be written: No space left on device; detection goes on" in said


def test_a_pipe_that_does_not_wait_is_waited_for() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b" " * 4096)
    code = (
        "import sys; from idskit.alerts.eve_file import open_sink\n"
        "sink = open_sink(sys.stdout)\n"
        "for _ in range(2000): sink.write('{\"n\": 1}')\n"
        "sink.flush(); sys.stderr.write(f'{sink.written} {sink.lost}')"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, text=True
    ) as process:
        os.close(writer)
        with os.fdopen(reader, "rb") as file:
            lines = file.read().strip().splitlines()
        assert process.stderr is not None
        assert process.stderr.read() == "2000 0"
    assert lines == [b'{"n": 1}'] * 2000
