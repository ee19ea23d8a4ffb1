"""The spool: nothing accepted is lost by kill -9, nothing grows, damage is skipped and counted."""

from __future__ import annotations

import os
import random
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from idskit.errors import IdskitError
from idskit.sinks.spool import Spool


def waiting(spool: Spool) -> list[bytes]:
    """Take everything out."""
    taken = []
    while (first := spool.first()) is not None:
        taken.append(first[1])
        spool.done(first[0])
    return taken


def test_what_waits_is_read_again_in_order_and_what_is_done_is_not(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "x.spool")
    for text in (b"one", b"two", b"three"):
        spool.append(text)
    spool.done(1)
    spool.close()
    again = Spool(tmp_path / "x.spool")
    again.append(b"four")
    assert waiting(again) == [b"two", b"three", b"four"]
    assert again.damaged == again.dropped == 0


def test_an_empty_spool_leaves_an_empty_file_that_others_may_not_read(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "x.spool")
    spool.append(b"one")
    waiting(spool)
    found = (tmp_path / "x.spool").stat()
    assert (found.st_size, stat.S_IMODE(found.st_mode)) == (0, 0o600)


ACCEPTING = """
import sys
from pathlib import Path
from idskit.sinks.spool import Spool
spool = Spool(Path(sys.argv[1]))
number = int(sys.argv[2])
while True:
    spool.append(b"%d" % number)
    print(number, flush=True)  # accepted
    number += 1
"""


def test_kill_9_loses_nothing_that_was_accepted(tmp_path: Path) -> None:
    path, accepted, chance = tmp_path / "x.spool", 0, random.Random(5)
    for _ in range(4):
        words = [sys.executable, "-c", ACCEPTING, str(path), str(accepted + 1)]
        with subprocess.Popen(words, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            for _ in range(chance.randrange(1, 400)):
                child.stdout.readline()
            child.send_signal(signal.SIGKILL)
            seen = [line for line in child.stdout.read().split(b"\n") if line]
        accepted = int(seen[-1]) if seen else accepted
        spool = Spool(path)
        kept = [int(text) for text in spool._older.values()]
        kept += [int(text) for text in spool._newer.values()]
        spool.close()
        assert kept[:accepted] == list(range(1, accepted + 1))
        assert spool.damaged == 0
        accepted = kept[-1]  # one that was written and not said


def test_damaged_lines_are_skipped_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "x.spool"
    spool = Spool(path)
    for number in range(5):
        spool.append(b"incident %d" % number)
    spool.close()
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b"incident", b"accident")  # the checksum is of other text
    lines[3] = b"\x00\xff garbage\n"
    path.write_bytes(b"".join(lines) + lines[0][:9])  # half a line at the end
    again = Spool(path)
    again.append(b"later")
    again.close()
    last = Spool(path)
    assert (again.damaged, last.damaged) == (3, 3)
    assert waiting(last) == [b"incident 0", b"incident 2", b"incident 4", b"later"]


def test_any_damage_is_survived(tmp_path: Path) -> None:
    chance = random.Random(7)
    path = tmp_path / "x.spool"
    for _ in range(60):
        spool = Spool(path)
        for number in range(5):
            spool.append(b"incident %d" % number)
        spool.close()
        content = bytearray(path.read_bytes())
        for _ in range(chance.randrange(1, 6)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        path.write_bytes(content[: chance.randrange(len(content) + 1)])
        again = Spool(path)
        assert all(text.startswith(b"incident ") for text in waiting(again))
        again.close()


def test_a_full_spool_drops_the_oldest_and_says_how_many(tmp_path: Path) -> None:
    path = tmp_path / "x.spool"
    spool = Spool(path, half=2_000)
    for number in range(500):
        spool.append(b"incident %d" % number)
        assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 4_000
    kept = len(spool)
    spool.close()
    again = Spool(path, half=2_000)
    assert waiting(again) == [b"incident %d" % number for number in range(500 - kept, 500)]
    assert (spool.dropped, kept > 40) == (500 - kept, True)


def test_one_that_never_is_empty_stays_bounded_and_loses_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "x.spool", half=2_000)
    spool.append(b"0")
    for number in range(1, 2_000):
        spool.append(b"%d" % number)
        first = spool.first()
        assert first is not None
        assert first[1] == b"%d" % (number - 1)
        spool.done(first[0])
    assert spool.dropped == 0
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 4_100


def test_one_that_is_dropped_while_it_is_delivered_counts_once(tmp_path: Path) -> None:
    spool = Spool(None, half=40)
    spool.append(b"first")
    first = spool.first()
    assert first is not None
    for _ in range(4):
        spool.append(b"x" * 20)
    before = spool.dropped
    spool.done(first[0])
    assert (before, spool.dropped, len(spool)) == (4 - 1, 3 - 1, 2)


def test_a_full_disk_costs_safety_and_nothing_else(tmp_path: Path) -> None:
    """The size of files is limited, so that a write ends in the middle of a line."""
    code = """
import resource, sys
from pathlib import Path
from idskit.sinks.spool import Spool
spool = Spool(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
for number in range(10):
    spool.append(b"incident %d" % number)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
spool.append(b"there is room")
print(len(spool), spool.unsaved)
"""
    path = tmp_path / "x.spool"
    words = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    count, unsaved = map(int, done.stdout.split())
    again = Spool(path)
    assert (count, again.damaged) == (11, 0)
    assert 0 < unsaved < 10
    assert waiting(again) == [b"incident %d" % n for n in range(10 - unsaved)] + [b"there is room"]


def test_a_folder_that_cannot_be_changed_leaves_the_spool_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.spool"
    spool = Spool(path, half=2_000)

    def refused(*_: object) -> None:
        raise PermissionError(13, "no")

    monkeypatch.setattr(Path, "replace", refused)
    for number in range(500):
        spool.append(b"incident %d" % number)
        assert path.stat().st_size <= 2_000
    assert len(spool) + spool.dropped == 500


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_no_file_of_ours_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.spool"
    if kind == "link":
        path.symlink_to(tmp_path / "elsewhere")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(IdskitError, match=r"x\.spool.*cannot be used"):
        Spool(path)
    assert not (tmp_path / "elsewhere").exists()
