"""Files appear whole, under names that nobody could have prepared, with the right permissions."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from idskit.errors import IdskitError
from idskit.files.output import whole_file, write_whole

SOMEBODY = 1234
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of other users")


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def write(path: Path, text: str = "new") -> None:
    write_whole(path, lambda partial: partial.write_text(text))


@pytest.mark.parametrize("name", ["flows.csv", "ä" * 120, "-"])
def test_a_file_is_there_when_it_is_whole(tmp_path: Path, name: str) -> None:
    with whole_file(tmp_path / name) as file:
        file.write(b"new")
        assert [path.suffix for path in tmp_path.iterdir()] == [".partial"]
    assert (tmp_path / name).read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("error", [OSError(28, "full"), KeyboardInterrupt(), SystemExit()])
def test_whatever_ends_it_early_leaves_the_older_file(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "flows.csv"
    path.write_text("older")

    def fail(partial: Path) -> None:
        partial.write_text("new")
        raise error

    with pytest.raises((IdskitError, type(error))):
        write_whole(path, fail)
    assert path.read_text() == "older"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("mask", "expected"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_new_file_has_the_permissions_of_any_new_file(
    tmp_path: Path, mask: int, expected: int
) -> None:
    before = os.umask(mask)
    try:
        write(tmp_path / "new.csv")
    finally:
        os.umask(before)
    assert mode(tmp_path / "new.csv") == expected


@pytest.mark.parametrize("bits", [0o600, 0o640, 0o444, 0o666])
def test_a_replaced_file_keeps_its_permissions(tmp_path: Path, bits: int) -> None:
    path = tmp_path / "flows.csv"
    path.write_text("older")
    path.chmod(bits)
    write(path)
    assert (path.read_text(), mode(path)) == ("new", bits)


def test_nobody_reads_it_before_it_has_the_permissions_of_its_name(tmp_path: Path) -> None:
    with whole_file(tmp_path / "a"):
        (partial,) = tmp_path.iterdir()
        assert mode(partial) == 0o600


@as_root
def test_permissions_of_another_users_file_are_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "flows.csv"
    path.touch()
    path.chmod(0o666)
    os.chown(path, SOMEBODY, SOMEBODY)
    write(path)
    assert (mode(path) & 0o022, path.stat().st_uid) == (0, os.geteuid())


# Planted names


@pytest.mark.parametrize("planted", ["link", "fifo"])
def test_what_others_planted_under_the_temporary_name_is_not_opened(
    tmp_path: Path, planted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where its random part could be guessed: it is made, never opened."""
    monkeypatch.setattr("idskit.files.output.token_hex", lambda _: "guessed")
    trap, victim = tmp_path / ".flows.csv.guessed.partial", tmp_path / "victim"
    victim.write_text("precious")
    trap.symlink_to(victim) if planted == "link" else os.mkfifo(trap)
    with pytest.raises(IdskitError, match="cannot be written: File exists"):
        write(tmp_path / "flows.csv")
    assert victim.read_text() == "precious"
    assert not (tmp_path / "flows.csv").exists()


def test_the_old_predictable_name_is_nothing_special(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / f".flows.csv.{os.getpid()}.partial").symlink_to(victim)
    write(tmp_path / "flows.csv")
    assert victim.read_text() == "precious"
    assert (tmp_path / "flows.csv").read_text() == "new"


def test_who_swaps_the_temporary_file_gets_nothing_else_overwritten(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")

    def swap(partial: Path) -> None:
        (name,) = tmp_path.glob(".*.partial")
        name.unlink()
        name.symlink_to(victim)
        partial.write_text("new")

    write_whole(tmp_path / "flows.csv", swap)
    assert victim.read_text() == "precious"


def test_a_link_of_this_user_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "link.csv"
    link.symlink_to("real/flows.csv")
    for text in ("first", "second"):
        write(link, text)
        assert (tmp_path / "real" / "flows.csv").read_text() == text
        assert link.is_symlink()


@as_root
@pytest.mark.parametrize("exists", [True, False])
def test_a_link_that_another_user_planted_in_a_shared_folder_is_refused(
    tmp_path: Path, exists: bool
) -> None:
    shared, victim = tmp_path / "shared", tmp_path / "victim"
    shared.mkdir()
    shared.chmod(0o1777)
    if exists:
        victim.write_text("precious")
    (shared / "flows.csv").symlink_to(victim)
    os.lchown(shared / "flows.csv", SOMEBODY, SOMEBODY)
    with pytest.raises(IdskitError, match=f"flows.csv is a link of user {SOMEBODY}"):
        write(shared / "flows.csv")
    assert (victim.read_text() if exists else victim.exists()) == ("precious" if exists else False)
    assert len(list(shared.iterdir())) == 1


def test_links_in_a_circle_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(IdskitError, match="a cannot be written: Too many levels"):
        write(tmp_path / "a")


def test_a_pipe_is_written_to_as_it_is(tmp_path: Path) -> None:
    pipe, found = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: found.append(pipe.read_text()))
    reader.start()
    write(pipe)
    reader.join(10)
    assert found == ["new"]
    assert pipe.is_fifo()


def test_a_device_is_written_to_as_it_is() -> None:
    with pytest.raises(IdskitError, match="/dev/full cannot be written: No space left"):
        write(Path("/dev/full"))
    assert Path("/dev/full").is_char_device()
