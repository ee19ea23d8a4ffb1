"""The state survives whatever happens to it: kills, cuts, damage, full disks, two services."""

from __future__ import annotations

import json
import os
import random
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from idskit.errors import IdskitError
from idskit.gateway.journal import (
    MOST_LINE,
    ByteBudget,
    Journal,
    files_of,
    incident_record,
    read_journal,
    verdict_record,
)
from idskit.gateway.state_folder import (
    CheckedFile,
    SlowFile,
    StateLock,
    is_locked,
    make_state_folder,
    packed,
    state_folder,
    unpacked,
)

KEEP = 4 << 20
WRITER = Path(__file__).with_name("state_writer.py")


def incident(number: int, **more: Any) -> dict[str, Any]:
    return {"incident_id": f"i{number}", "flows": number, "verdict": None} | more


def filled(folder: Path, count: int) -> Path:
    journal = Journal(folder, KEEP)
    journal.append([incident_record(incident(number)) for number in range(count)])
    journal.append([verdict_record("i1", "wrong")])
    journal.close()
    return files_of(folder)[0]


def test_what_was_appended_is_read_with_its_verdicts(tmp_path: Path) -> None:
    filled(tmp_path, 4)
    found = read_journal(tmp_path)
    assert [one["incident_id"] for one in found.shown()] == ["i3", "i2", "i1", "i0"]
    assert {one["incident_id"]: one["verdict"] for one in found.shown()}["i1"] == "wrong"
    assert (found.number, found.damaged) == (5, 0)


def test_a_cut_at_every_byte_loses_the_last_line_at_most(tmp_path: Path) -> None:
    path = filled(tmp_path, 3)
    whole = path.read_bytes()
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        found = read_journal(tmp_path)
        complete = whole[:length].count(b"\n")
        assert len(found.incidents) == min(complete, 3)
        assert found.damaged == (not whole[:length].endswith(b"\n") and length > 0)


def test_writing_goes_on_after_a_cut(tmp_path: Path) -> None:
    path = filled(tmp_path, 3)
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        journal = Journal(tmp_path, KEEP)
        journal.append([incident_record(incident(99))])
        journal.close()
        found = read_journal(tmp_path)
        assert "i99" in found.incidents
        complete = min(whole[: length + 1].count(b"\n"), 3)  # of a whole line, only the end is lost
        assert len(found.incidents) == complete + 1


def test_damage_of_any_byte_costs_its_line_and_the_one_before_counts(tmp_path: Path) -> None:
    journal = Journal(tmp_path, KEEP)
    for flows in (1, 10, 100):
        journal.append([incident_record(incident(7, flows=flows))])
    journal.close()
    (path,) = files_of(tmp_path)
    whole = path.read_bytes()
    last = whole.rindex(b"\n", 0, len(whole) - 1) + 1
    for at in range(last, len(whole)):
        spoilt = bytearray(whole)
        spoilt[at] ^= 1 + random.Random(at).randrange(255)
        path.write_bytes(spoilt)
        assert read_journal(tmp_path).incidents["i7"]["flows"] == 10
    path.write_bytes(b"\x00\xff not ours \n" * 3 + b"z" * (3 * MOST_LINE) + b"\n" + whole)
    found = read_journal(tmp_path)
    assert found.incidents["i7"]["flows"] == 100
    assert found.damaged >= 4


def test_the_journal_is_bounded_and_verdicts_outlive_their_files(tmp_path: Path) -> None:
    budget = ByteBudget()
    budget.left = float("inf")
    budget.BURST = 1 << 40
    journal = Journal(tmp_path, KEEP, budget)
    journal.append([incident_record(incident(0)), verdict_record("i0", "expected")])
    for number in range(1, 3_000):
        filling = "x" * 4_000
        journal.append([incident_record(incident(number, filling=filling))])
        assert journal.size <= KEEP * 1.05
    assert len(files_of(tmp_path)) <= 8
    assert read_journal(tmp_path).verdicts == {"i0": "expected"}
    assert len(journal.entries.incidents) <= 500


def test_a_line_has_bounded_bytes(tmp_path: Path) -> None:
    journal = Journal(tmp_path, KEEP)
    journal.append([incident_record(incident(1, explanation={"sentence": "x" * 100_000}))])
    journal.close()
    assert files_of(tmp_path)[0].stat().st_size < 1_000
    assert read_journal(tmp_path).damaged == 0


def test_a_day_has_at_most_50_megabytes() -> None:
    budget, written = ByteBudget(0.0), 0
    for second in range(86_400):
        written += 10_000 * budget.take(10_000, float(second))
    assert 45e6 < written < 50 * (1 << 20)


def test_what_the_day_has_no_bytes_for_is_counted(tmp_path: Path) -> None:
    budget = ByteBudget()
    budget.left, budget.PER_DAY = 0.0, 0
    journal = Journal(tmp_path, KEEP, budget)
    journal.append([incident_record(incident(1))])
    assert (journal.refused, journal.size) == (1, 0)
    assert "i1" in journal.entries.incidents  # the page shows it all the same


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path, KEEP)
    journal.append([incident_record(incident(1))])
    real, left = os.write, 40

    def write(descriptor: int, data: bytes) -> int:
        nonlocal left
        if not left:
            raise OSError(28, "No space left on device")
        left, count = left - min(left, len(data)), min(left, len(data))
        return real(descriptor, data[:count])

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(OSError, match="No space"):
        journal.append([incident_record(incident(2))])
    monkeypatch.undo()
    journal.append([incident_record(incident(3))])
    found = read_journal(tmp_path)
    assert (list(found.incidents), found.damaged) == (["i1", "i3"], 0)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("precious\n")
    (tmp_path / "journal-000001").symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match="symbolic"):
        Journal(tmp_path, KEEP)
    assert (tmp_path / "other").read_text() == "precious\n"


def test_files_are_for_this_user_only(tmp_path: Path) -> None:
    folder = make_state_folder(tmp_path / "state")
    StateLock(folder).release()
    path = filled(folder, 1)
    CheckedFile(folder, "tracker").write({})
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(one.stat().st_mode) for one in folder.iterdir()} == {0o600}
    assert path.exists()


def test_a_second_service_is_refused_and_the_first_is_named(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
    lock = StateLock(tmp_path)
    assert is_locked(tmp_path)
    with pytest.raises(IdskitError, match=rf"process {os.getpid()}\): end that one"):
        StateLock(tmp_path)
    lock.release()
    assert not is_locked(tmp_path)
    StateLock(tmp_path).release()


def test_what_root_adds_to_a_folder_of_another_user_belongs_to_that_user(tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("needs root")
    os.chown(tmp_path, 4321, 4322)
    StateLock(tmp_path).release()
    filled(tmp_path, 1)
    owners = {(one.stat().st_uid, one.stat().st_gid) for one in tmp_path.iterdir()}
    assert owners == {(4321, 4322)}


def test_a_checked_file_falls_back_on_the_one_before(tmp_path: Path) -> None:
    checked = CheckedFile(tmp_path, "tracker")
    assert checked.read() is None
    checked.write({"at": 1})
    checked.write({"at": 2})
    assert (checked.read(), checked.problem) == ({"at": 2}, "")
    whole = (tmp_path / "tracker.state").read_bytes()
    for length in range(len(whole)):
        (tmp_path / "tracker.state").write_bytes(whole[:length])
        assert checked.read() == {"at": 1}
        assert "tracker.state is damaged" in checked.problem
    (tmp_path / "tracker.state").unlink()  # killed between both renames
    assert (checked.read(), checked.problem) == ({"at": 1}, "")


def test_a_bomb_in_the_state_is_refused() -> None:
    bomb = packed({"x": "0" * (64 << 20)})
    with pytest.raises(ValueError, match="too large"):
        unpacked(bomb)


def test_the_folder_is_systemds_or_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/idskit:/other")
    assert state_folder() == Path("/var/lib/idskit")
    assert state_folder(Path("/chosen")) == Path("/chosen")
    monkeypatch.delenv("STATE_DIRECTORY")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_STATE_HOME", "/home/x/.s")
    assert state_folder() == Path("/home/x/.s/idskit")


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(IdskitError, match=r"state folder .* cannot be used \(Not a directory"):
        make_state_folder(tmp_path / "file" / "state")


def test_killed_at_any_moment_nothing_that_was_said_is_lost(tmp_path: Path) -> None:
    moments, latest = random.Random(5), 0
    for _ in range(20):
        with subprocess.Popen(
            [sys.executable, str(WRITER), str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
            for _ in range(moments.randrange(1, 60)):
                latest = int(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
        found = read_journal(tmp_path)
        assert found.damaged <= 20  # a line of each kill at most
        assert found.number >= latest
        assert found.incidents[f"{latest % 50:03d}"]["flows"] >= latest
        state = CheckedFile(tmp_path, "tracker")
        assert latest < 40 or (state.read() or {})["number"] > latest - 40
        assert state.problem == ""
    assert json.dumps(found.shown())


def test_a_slow_file_has_the_latest_document_and_says_what_fails(tmp_path: Path) -> None:
    slow = SlowFile(CheckedFile(tmp_path, "week"))
    for number in range(200):
        slow.write({"n": number}.copy)
    slow.close()
    assert (slow.file.read(), slow.problem) == ({"n": 199}, "")
    (tmp_path / "week.partial").mkdir()
    slow.write({"n": 200}.copy)
    slow.close()
    assert slow.problem.startswith("week.state cannot be kept: ")
    assert slow.file.read() == {"n": 199}
