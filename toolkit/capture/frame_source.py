"""Where frames come from: files, pipes and interfaces, behind one face."""

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
    """What ``FlowReader`` needs of a capture, several of them, or interfaces."""

    wait_ms: float  # how long ``frames`` may sleep, where it is live

    @property
    def name(self) -> str:
        """What is read, for people."""

    @property
    def interfaces(self) -> tuple[str, ...]:
        """Names of the interfaces that are read, which ``Frames.interface`` is an index of."""

    @property
    def is_live(self) -> bool:
        """Whether frames come as others make them: ``stop`` ends them, silence gives empty ones."""

    @property
    def dropped(self) -> int:
        """Frames lost before they could be read."""

    @property
    def truncated(self) -> str:
        """Why frames ended early, or empty."""

    @property
    def not_read(self) -> str:
        """What was passed over in folders, or empty."""

    @property
    def bytes_total(self) -> int:
        """Size on disk, 0 where there is none."""

    @property
    def bytes_read(self) -> int:
        """How far reading has come on disk."""

    def frames(self) -> Iterator[Frames]:
        """Yield the frames; each chunk is gone when the next one is asked for."""

    def now_us(self) -> int:
        """Where the clock of the frames stands, where it is live."""

    def stop(self) -> None:
        """Let ``frames`` end with what has come, where it is live."""

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
    """Tell whether all names are network interfaces and none of them is a file."""
    names = [source] if isinstance(source, str | Path) else list(source)
    if any(Path(name).exists() for name in names):
        return False
    known = interface_names()
    return bool(names) and all(str(name) in known for name in names)
