"""What a program connects to and writes, seen by strace in an empty network namespace."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from idskit.kernels.compile import cache_folder

_CALLS = (
    "%network,?open,openat,?openat2,?creat,?mkdir,mkdirat,?mknod,mknodat,?rename,?renameat,renameat2,"
    "?link,linkat,?symlink,symlinkat,?unlink,unlinkat,?rmdir,truncate"
)
_HARMLESS = ("/dev/null", "/dev/tty", "/proc/self/")
_NAME = re.compile(r'"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Seen:
    """What a program did, and how it ended."""

    status: int
    errors: str
    sockets: tuple[str, ...]  # every network call, whatever became of it
    written: frozenset[Path]  # files and folders made, changed or removed


class Watched:
    """A home, a cache and a temporary folder of its own, all of them empty.

    Attributes:
        folders: where a program has no business to leave anything.
        kernels: the folder of compiled kernels, which it may write to.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        names = {"HOME": "home", "XDG_CACHE_HOME": "cache", "TMPDIR": "tmp", "XDG_CONFIG_HOME": "c"}
        self.folders = {name: root / folder for name, folder in names.items()}
        for folder in (*self.folders.values(), root / "work", root / "numba"):
            folder.mkdir()
        kept = cache_folder()
        self.kernels = kept or root
        if kept:  # compiled already: numba takes half a minute
            (root / "numba" / "idskit").symlink_to(kept)

    def run(self, *words: str | Path, **environment: str) -> Seen:
        """Run Python with ``words`` in a network namespace of its own."""
        trace = self.root / "trace"
        done = subprocess.run(
            [*_namespace(), *_strace(trace), sys.executable, *map(str, words)],
            env={
                "PATH": os.environ["PATH"],
                "NUMBA_CACHE_DIR": str(self.root / "numba"),
                "PYTHONDONTWRITEBYTECODE": "1",
                **{name: str(folder) for name, folder in self.folders.items()},
                **environment,
            },
            cwd=self.root / "work",
            capture_output=True,
            text=True,
            check=False,
        )
        calls = [line.partition(" ")[2].strip() for line in trace.read_text().splitlines()]
        return Seen(
            status=done.returncode,
            errors=done.stderr,
            sockets=tuple(call for call in calls if _is_network(call)),
            written=frozenset(self._written(calls)),
        )

    def left(self) -> list[Path]:
        """What lies in the folders that should be empty."""
        return [path for folder in self.folders.values() for path in folder.iterdir()]

    def outside(self, seen: Seen) -> list[Path]:
        """Everything written that is neither temporary, nor a kernel, nor in the current folder."""
        allowed = (self.folders["TMPDIR"], self.kernels, self.root / "numba", self.root / "work")
        return [path for path in seen.written if not any(path.is_relative_to(a) for a in allowed)]

    def _written(self, calls: Sequence[str]) -> Iterator[Path]:
        for call in calls:
            is_open = call.startswith(("open", "creat"))
            reads = is_open and not re.search(r"O_(WRONLY|RDWR|CREAT)|^creat", call)
            if _is_network(call) or reads or re.search(r"= -1 E(EXIST|NOENT)", call):
                continue
            for name in _NAME.findall(call):
                if not name.startswith(_HARMLESS):
                    yield self.root / "work" / name


def require_tracing() -> None:
    """Skip where namespaces or tracing are not permitted."""
    for tool in ("unshare", "strace"):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}")
    words = [*_namespace(), *_strace(Path(os.devnull)), "true"]
    tried = subprocess.run(words, capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"may not make a network namespace or trace in it: {tried.stderr.strip()}")


def _strace(trace: Path) -> list[str]:
    return ["strace", "-f", "-qq", "-s", "4096", "-e", f"trace={_CALLS}", "-o", str(trace)]


def _namespace() -> list[str]:
    return ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]


def _is_network(call: str) -> bool:
    return re.match(r"(socket|connect|bind|send|recv|getsockname|accept|listen)", call) is not None
