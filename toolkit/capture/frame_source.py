"""Where frames come from: files, pipes and interfaces, behind one face."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from idskit.capture.af_packet import interface_names
from idskit.capture.capture_files import open_captures
from idskit.capture.interfaces import open_interfaces
from idskit.errors import CaptureError, IdskitError
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


def open_source(
    source: str | Path | Sequence[str | Path], *, live: bool | None, filter: str | None
) -> FrameSource:
    """Open captures or interfaces; see ``idskit.profiles.flow_reader.open_flows``.

    Raises:
        CaptureError: it cannot be read, or nothing was named.
        IdskitError: ``filter`` was given for a file.
    """
    names = [source] if isinstance(source, str | Path) else list(source)
    if not names:
        raise CaptureError("no capture was named: name at least one")
    if live or (live is None and _are_interfaces(names)):
        return open_interfaces([str(name) for name in names], filter=filter)
    if filter is not None:
        raise IdskitError(
            f"filter is {filter!r}, but {names[0]} is a file: only interfaces have one"
        )
    return open_captures([Path(name) for name in names])


def _are_interfaces(names: Sequence[str | Path]) -> bool:
    if any(Path(name).exists() for name in names):
        return False
    known = interface_names()
    return all(str(name) in known for name in names)
