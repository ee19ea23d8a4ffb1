"""Open any source of frames: files, pipes and interfaces have the same interface."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from idskit.capture.af_packet import interface_names
from idskit.capture.capture_files import open_captures
from idskit.capture.interfaces import open_interfaces
from idskit.flow_input import FlowInput
from idskit.packet import Frames


class FrameSource(Protocol):
    """The interface that ``FlowReader`` needs of captures and network interfaces."""

    wait_ms: float  # how long ``frames`` may sleep, where it is live

    @property
    def name(self) -> str:
        """Return what is read, for people."""

    @property
    def interfaces(self) -> tuple[str, ...]:
        """Return the names of the interfaces; ``Frames.interface`` is an index of these."""

    @property
    def is_live(self) -> bool:
        """Return whether frames come in real time, with empty chunks in silence, until ``stop``."""

    @property
    def dropped(self) -> int:
        """Return the number of frames lost before they could be read."""

    @property
    def truncated(self) -> str:
        """Return why frames ended early, or an empty text."""

    @property
    def not_read(self) -> str:
        """Return what was passed over in folders, or an empty text."""

    @property
    def bytes_total(self) -> int:
        """Return the size on disk, 0 where there is none."""

    @property
    def bytes_read(self) -> int:
        """Return the bytes on disk that were read."""

    def frames(self) -> Iterator[Frames]:
        """Yield the frames; each chunk is gone when the next one is asked for."""

    def now_us(self) -> int:
        """Return the time by the frames' clock, where the source is live."""

    def stop(self) -> None:
        """End ``frames`` after what has come, where the source is live."""

    def close(self) -> None:
        """Close what is open."""


def open_source(given: FlowInput) -> FrameSource:
    """Open the captures or the interfaces of an input.

    Raises:
        CaptureError: one of them cannot be read.
    """
    if given.interface:
        return open_interfaces(given.interface, filter=given.filter)
    return open_captures([Path(name) for name in given.capture])


def are_interfaces(source: str | Path | Sequence[str | Path]) -> bool:
    """Return whether all names are network interfaces and none of them is a file."""
    names = [source] if isinstance(source, str | Path) else list(source)
    if any(Path(name).exists() for name in names):
        return False
    known = interface_names()
    return bool(names) and all(str(name) in known for name in names)
