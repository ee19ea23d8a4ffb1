"""Folders that hold programs: only this user's own are used, everybody else's are refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from idskit.errors import IdskitError
from idskit.files.folders import cache_home, make_private, steps_to

SOMEBODY = 1234
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of other users")


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_a_new_folder_is_for_this_user_alone(tmp_path: Path) -> None:
    folder = make_private(tmp_path / "a" / "b")
    assert (mode(folder), mode(folder.parent)) == (0o700, 0o700)


def test_a_folder_that_others_could_read_is_closed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(mode=0o755)
    assert mode(make_private(tmp_path / "a")) == 0o700


@pytest.mark.parametrize("bits", [0o777, 0o702, 0o1777])
def test_a_folder_that_others_could_write_is_refused_as_it_is(tmp_path: Path, bits: int) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    folder.chmod(bits)
    with pytest.raises(IdskitError, match=f"others may write to .*{bits:o}.*set XDG_CACHE_HOME"):
        make_private(folder)
    assert mode(folder) == bits


def test_a_parent_that_others_can_write_is_refused_unless_it_is_sticky(tmp_path: Path) -> None:
    parent = tmp_path / "shared"
    parent.mkdir()
    parent.chmod(0o777)
    with pytest.raises(IdskitError, match=r"others may write to .*shared \(mode 777\)"):
        make_private(parent / "mine", "NUMBA_CACHE_DIR")
    parent.chmod(0o1777)
    assert mode(make_private(parent / "mine")) == 0o700


@as_root
@pytest.mark.parametrize("whose", ["shared/idskit", "shared/idskit/numba", "shared"])
def test_a_folder_of_another_user_is_refused(tmp_path: Path, whose: str) -> None:
    folder = tmp_path / "shared" / "idskit" / "numba"
    folder.mkdir(parents=True)
    (tmp_path / "shared").chmod(0o1777)
    os.chown(tmp_path / whose, SOMEBODY, SOMEBODY)
    with pytest.raises(IdskitError, match=f"{whose} belongs to user {SOMEBODY}"):
        make_private(folder)


@as_root
@pytest.mark.parametrize("place", ["mine", "mine/numba"])
def test_a_link_of_another_user_is_refused_even_to_a_folder_of_ours(
    tmp_path: Path, place: str
) -> None:
    (tmp_path / "real" / "numba").mkdir(parents=True, mode=0o700)
    link = tmp_path / place
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(tmp_path / "real")
    os.lchown(link, SOMEBODY, SOMEBODY)
    with pytest.raises(IdskitError, match=f"{place} belongs to user {SOMEBODY}"):
        make_private(link / "numba")


@as_root
def test_every_link_on_the_way_counts(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "second").symlink_to("real")
    os.lchown(tmp_path / "second", SOMEBODY, SOMEBODY)
    (tmp_path / "first").symlink_to("second")
    with pytest.raises(IdskitError, match="second belongs to user"):
        make_private(tmp_path / "first")


def test_a_link_of_this_user_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    make_private(tmp_path / "link" / "a")
    assert mode(tmp_path / "real" / "a") == 0o700


def test_links_that_multiply_end(tmp_path: Path) -> None:
    for n in range(60):
        (tmp_path / f"l{n}").symlink_to(f"l{n + 1}/../l{n + 1}")
    with pytest.raises(OSError, match="Too many levels"):
        list(steps_to(tmp_path / "l0"))


@pytest.mark.parametrize("value", ["", "relative/folder"])
def test_a_relative_cache_home_is_none(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    monkeypatch.setenv("HOME", "/home/alice")
    assert cache_home() == Path("/home/alice/.cache/idskit")


# The case: numba's cache in a folder where another user could plant a pickle.


def extract(tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA")}
    return subprocess.run(
        [sys.executable, "-m", "idskit", "extract", "-r", "missing.pcap"],
        env=kept | environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )


@as_root
@pytest.mark.parametrize("variable", ["XDG_CACHE_HOME", "NUMBA_CACHE_DIR"])
def test_extract_refuses_the_cache_of_another_user_in_one_sentence(
    tmp_path: Path, variable: str
) -> None:
    planted = tmp_path / "cache" / "idskit"
    planted.mkdir(parents=True)
    planted.parent.chmod(0o1777)
    os.chown(planted, SOMEBODY, SOMEBODY)
    done = extract(tmp_path, **{variable: str(planted.parent)})
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert f"{planted}" in line
    assert f"belongs to user {SOMEBODY}" in line
    assert f"set {variable} to a folder" in line
    assert not list(planted.iterdir())


def test_a_cache_folder_asked_for_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = extract(tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "file"))
    assert done.returncode == 1
    assert "which cannot be used (Not a directory): set NUMBA_CACHE_DIR to a folder" in done.stderr
