"""Who can change what a path leads to, and the folders that idskit keeps for itself.

What is written outside the output that a command names, and where:

    NUMBA_CACHE_DIR/idskit, else        compiled kernels of the flow engine, from the first use on
    XDG_CACHE_HOME/idskit/numba         (XDG_CACHE_HOME is ~/.cache where it is not set)
    TORCHINDUCTOR_CACHE_DIR, else       what torch.compile made; training makes
    XDG_CACHE_HOME/idskit/torch         the folder and leaves it empty
    TMPDIR, else /tmp                   folders of random names and mode 700, gone at the end

Kernels and what torch compiled are programs: whoever can write them runs his own in this process.
They are used only where nobody but this user and root could have written, and refused elsewhere.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile

from idskit.errors import IdskitError

COMPILED_TORCH = "TORCHINDUCTOR_CACHE_DIR"
_MOST_LINKS = 40  # path_resolution(7)


def cache_home() -> Path:
    """Return the folder below which idskit keeps what it can make again."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():  # the XDG specification: a relative one is ignored
        base = Path(os.path.expanduser("~"), ".cache")  # noqa: PTH111 - Path's raises without home
    return base / "idskit"


def make_private(folder: Path, setting: str = "XDG_CACHE_HOME") -> Path:
    """Make a folder that only this user can use, mode 700, or take the one that is there.

    Nobody else can reach what lies in it, so its files need no check of their own.

    Args:
        folder: absolute; what is missing above it is made too.
        setting: the variable that chooses another, for the error message.

    Raises:
        OSError: it cannot be made (no such file system, no permission, no space).
        IdskitError: another user owns it, or could have put something there.
    """
    _refuse_shared(folder, setting)
    for step in (*reversed(folder.parents), folder):
        with suppress(FileExistsError):
            step.mkdir(mode=0o700)
    _refuse_shared(folder, setting)  # what somebody made in between
    folder.chmod(0o700)
    TemporaryFile(dir=folder).close()  # permissions do not tell of a read-only mount
    return folder


def require_private(folder: Path, setting: str) -> Path:
    """Make a folder as ``make_private`` does, which somebody asked for.

    Raises:
        IdskitError: it cannot be made either.
    """
    try:
        return make_private(folder, setting)
    except OSError as error:
        raise IdskitError(
            f"compiled programs would be kept in {folder}, which cannot be used "
            f"({error.strerror}): set {setting} to a folder that only this user can write to"
        ) from error


def _refuse_shared(folder: Path, setting: str) -> None:
    problem = next(_problems(folder), None)
    if problem:
        raise IdskitError(
            f"compiled programs would be kept in {folder}, but {problem}, and who can write there "
            f"can run programs as this user: set {setting} to a folder that only this user can "
            "write to"
        )


def _problems(folder: Path) -> Iterator[str]:
    """Yield who else could have written to ``folder``, as far as it is there."""
    for step in steps_to(folder):
        with suppress(FileNotFoundError):
            found = step.lstat()
            if found.st_uid not in {os.geteuid(), 0, _root()}:
                yield f"{step} belongs to user {found.st_uid}"
            if not stat.S_ISLNK(found.st_mode) and is_shared(found) and not is_sticky(found):
                yield f"others may write to {step} (mode {stat.S_IMODE(found.st_mode):o})"
    with suppress(FileNotFoundError):
        found = folder.stat()
        if found.st_uid != os.geteuid():
            yield f"it belongs to user {found.st_uid}"
        if is_shared(found):
            yield f"others may write to it (mode {stat.S_IMODE(found.st_mode):o})"


def _root() -> int:
    """Return the number of root: another one where a container does not map it."""
    return Path("/").stat().st_uid


def is_shared(found: os.stat_result) -> bool:
    """Return whether somebody else than the owner and root may write there."""
    mode = found.st_mode
    return bool(mode & stat.S_IWOTH or (mode & stat.S_IWGRP and not _is_alone(found.st_gid)))


def is_sticky(found: os.stat_result) -> bool:
    """Return whether only the owner of an entry of that folder can rename or replace it."""
    return bool(found.st_mode & stat.S_ISVTX)


def _is_alone(group: int) -> bool:
    """Return whether this user is a group's only member, as Debian and Fedora arrange it."""
    try:
        user, found = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except KeyError:
        return False
    return found.gr_name == user.pw_name and set(found.gr_mem) <= {user.pw_name}


def steps_to(path: Path) -> Iterator[Path]:
    """Yield every folder and link that the system passes to find ``path``, and ``path`` itself.

    Raises:
        OSError: more links than the system follows.
    """
    yield from _steps(Path.cwd() / path, iter(range(_MOST_LINKS)))


def _steps(path: Path, links_left: Iterator[int]) -> Iterator[Path]:
    for step in (*reversed(path.parents), path):
        yield step
        if step.is_symlink():
            if next(links_left, None) is None:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            yield from _steps(step.parent / step.readlink(), links_left)
