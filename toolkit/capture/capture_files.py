"""Read several captures as one: files, folders and patterns, by their first packets."""

from __future__ import annotations

import glob
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from idskit.capture.buffered_file import STDIN
from idskit.capture.capture_file import WAIT_MS, Capture, open_capture
from idskit.errors import CaptureError
from idskit.packet import Frames

SHOWN = 3  # names that a message lists


def open_captures(sources: Sequence[Path]) -> Capture | CaptureFiles:
    """Open captures to be read as one, in the order of their first packets.

    Args:
        sources: files; folders, whose captures are all read; patterns such as ``day-*.pcap`` where
            no file has that name. A pipe, or ``-`` for standard input, is read alone.

    Raises:
        CaptureError: one of the files cannot be read, is named twice, or is a pipe among others; a
            folder holds no capture, or no file matches a pattern.
    """
    named = [path for source in sources for path in _matching(source)]
    folders = [path for path in named if path != STDIN and path.is_dir()]
    if len(named) == 1 and not folders:
        return open_capture(named[0])
    for path in named:
        _refuse_pipe(path)
    _refuse_twice(named)
    starts = {path: _first_time_ns(path) for path in named if path not in folders}
    not_read: list[str] = []
    for folder in folders:
        starts |= _captures_in(folder, not_read)
    return CaptureFiles(sorted(starts, key=lambda path: (starts[path], path)), _listed(not_read))


class CaptureFiles:
    """Capture files read one after the other; each is opened when its turn comes.

    Attributes:
        paths: the files, in the order in which they are read.
        seen: frames yielded so far.
        truncated: empty while all is well; else which files ended early, and why.
        not_read: what lies in the folders and is no capture.
        wait_ms: not used; files do not wait.
        dropped: 0, nothing is lost.
        interfaces: none.
    """

    dropped = 0
    interfaces: tuple[str, ...] = ()
    is_live = False

    def __init__(self, paths: Sequence[Path], not_read: str = "") -> None:
        self.paths, self.not_read = tuple(paths), not_read
        self.seen = self.bytes_read = 0
        self.wait_ms = WAIT_MS
        self._damaged: list[str] = []
        self._sizes = [path.stat().st_size for path in paths]
        self._current: Capture | None = None

    @property
    def name(self) -> str:
        """Return what is read, for people."""
        return f"{_listed([str(path) for path in self.paths])}, in the order of their first packets"

    @property
    def truncated(self) -> str:
        """Return why frames are missing that the files should hold, or an empty text."""
        return "; ".join(_shortened(self._damaged))

    @property
    def bytes_total(self) -> int:
        """Return the size of the files on disk."""
        return sum(self._sizes)

    def close(self) -> None:
        """Close the file that is being read."""
        if self._current is not None:
            self._current.close()

    def stop(self) -> None:
        """Do nothing: files end by themselves."""

    def now_us(self) -> int:
        """Return 0: nothing waits for a clock; see ``Capture.now_us``."""
        return 0

    def frames(self) -> Iterator[Frames]:
        """Yield the frames of one file after the other; see ``Capture.frames``.

        Raises:
            CaptureError: a file has disappeared or changed, or the disk failed to deliver it.
        """
        for path, size in zip(self.paths, self._sizes, strict=True):
            before = self.bytes_read
            with open_capture(path) as self._current:
                for frames in self._current.frames():
                    self.seen += len(frames.records)
                    self.bytes_read = before + self._current.bytes_read
                    yield frames
                if self._current.truncated:
                    self._damaged.append(f"{path}: {self._current.truncated}")
            self.bytes_read = before + size


def _matching(source: Path) -> list[Path]:
    """Return the files that a pattern matches; else what was named."""
    if source == STDIN or not glob.has_magic(str(source)) or source.exists():
        return [source]
    found = sorted(glob.glob(str(source)))  # noqa: PTH207 - Path.glob takes no absolute patterns
    if not found:
        raise CaptureError(f"cannot read {source}: no file has such a name")
    return [Path(path) for path in found]


def _refuse_pipe(path: Path) -> None:
    try:
        is_pipe = path == STDIN or stat.S_ISFIFO(path.stat().st_mode)
    except (OSError, ValueError):
        return  # opening it will say why
    if is_pipe:
        raise CaptureError(
            f"{path} is a pipe, which cannot be put in order with other captures: read it alone"
        )


def _refuse_twice(paths: Sequence[Path]) -> None:
    seen: set[Path] = set()
    for path in paths:
        if path.resolve() in seen:
            raise CaptureError(f"{path} is named twice: its packets would count twice")
        seen.add(path.resolve())


def _captures_in(folder: Path, not_read: list[str]) -> dict[Path, int]:
    """Return the captures in a folder, not in folders below it, and when each begins."""
    starts: dict[Path, int] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if not path.is_file():
            not_read.append(str(path))
            continue
        try:
            starts[path] = _first_time_ns(path)
        except CaptureError:
            not_read.append(str(path))
    if not starts:
        raise CaptureError(f"{folder} is a folder without captures: name one that has some")
    return starts


def _first_time_ns(path: Path) -> int:
    with open_capture(path) as capture:
        first = next(capture.frames(), None)
    return 0 if first is None else int(first.records["time_ns"][0])


def _shortened(names: Sequence[str]) -> list[str]:
    more = len(names) - SHOWN
    return list(names) if more <= 0 else [*names[:SHOWN], f"{more:,} more"]


def _listed(names: Sequence[str]) -> str:
    shown = _shortened(names)
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)
