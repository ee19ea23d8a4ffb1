"""Sinks on this machine: the EVE file, and a Unix socket that another program reads lines from."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from idskit.alerts.eve_file import OLDER_FILES, ROTATE_MB, EveFile, Period
from idskit.errors import IdskitError
from idskit.incidents.incident import Incident
from idskit.options import option
from idskit.sinks.connections import connected_to, require_open
from idskit.sinks.outbox import Away, Destination, Refused, SocketDestination

LinesOf = Callable[[Incident], list[str]]  # an incident as EVE lines
_ROOM = 20  # a disk with less than 1/_ROOM free is left to others


@dataclass(frozen=True, kw_only=True)
class EveOptions:
    """A file of EVE lines, as Suricata writes eve.json."""

    path: Path | None = option(None, "File that lines are appended to; none is written if omitted")
    rotate_mb: int = option(
        ROTATE_MB, "Size in MB at which it becomes FILE.1, FILE.1 becomes FILE.2 ...; 0: no limit",
        low=0, high=1_000_000,
    )  # fmt: skip
    rotate_every: Period = option("never", "Time after which it is rotated as well, in UTC")
    older_files: int = option(OLDER_FILES, "Rotated files that are kept", low=1, high=1000)

    @property
    def is_on(self) -> bool:
        """Return whether it is configured."""
        return self.path is not None


@dataclass(frozen=True, kw_only=True)
class UnixOptions:
    """A Unix socket of another program that reads EVE lines, as Suricata's unix_stream."""

    path: Path | None = option(None, "Socket to connect to; none if omitted")
    kind: Literal["stream", "datagram"] = option("stream", "Kind of the socket")

    @property
    def is_on(self) -> bool:
        """Return whether it is configured."""
        return self.path is not None


class EveOutput(Destination):
    """An EVE file: rotated, opened again when it was moved, and never the last of a disk.

    Raises:
        IdskitError: the file cannot be written now.
    """

    name = "eve"
    takes_lines = True

    def __init__(self, options: EveOptions, lines_of: LinesOf) -> None:
        if options.path is None:
            raise IdskitError("the EVE file has no path: set path")
        self._path, self._options, self._lines_of = options.path, options, lines_of
        self._file: EveFile | None = self._made()

    def deliver(self, incident: Incident) -> None:
        """Append the lines of an incident."""
        self.send_lines(self._lines_of(incident))

    def send_lines(self, lines: list[str]) -> None:
        """Append lines.

        Raises:
            Away: the disk is nearly full, or the file cannot be written.
        """
        self._require_room()
        file = self._opened()
        lost = file.lost
        for line in lines:
            file.write(line)
        file.flush()
        if file.lost > lost:
            raise Away(f"{self._path} cannot be written")

    def reopen(self) -> None:
        """Open the file by its name again."""
        self.close()
        self._opened()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
        self._file = None

    def _opened(self) -> EveFile:
        if self._file is None:
            try:
                self._file = self._made()
            except IdskitError as error:
                raise Away(str(error)) from error
        return self._file

    def _made(self) -> EveFile:
        options = self._options
        return EveFile(
            self._path,
            rotate_mb=options.rotate_mb,
            rotate_every=options.rotate_every,
            older_files=options.older_files,
        )

    def _require_room(self) -> None:
        found = os.statvfs(self._path.parent)
        if found.f_bavail * _ROOM < found.f_blocks:
            raise Away(f"the disk of {self._path} has less than {100 // _ROOM} % free: make room")


class UnixSocket(SocketDestination):
    """A Unix socket that somebody else made and reads."""

    name = "unix"
    takes_lines = True

    def __init__(self, options: UnixOptions, lines_of: LinesOf) -> None:
        if options.path is None:
            raise IdskitError("the Unix socket has no path: set path")
        self._path, self._lines_of = options.path, lines_of
        self._is_stream = options.kind == "stream"
        super().__init__()

    def deliver(self, incident: Incident) -> None:
        """Send the lines of an incident."""
        self.send_lines(self._lines_of(incident))

    def send_lines(self, lines: list[str]) -> None:
        """Send lines: one after another in a stream, each with its line feed, or one a datagram.

        Raises:
            OSError: nobody reads them.
            Refused: a line is larger than a datagram may be.
        """
        data = [line.encode() + b"\n" for line in lines]
        try:
            connection = self._connected()
            if self._is_stream:
                require_open(connection)
                connection.sendall(b"".join(data))
            else:
                for one in data:
                    connection.send(one)
        except OSError as error:
            self.close()
            if error.errno == errno.EMSGSIZE:
                raise Refused("a line is larger than a datagram may be") from error
            raise

    def _connect(self) -> socket.socket:
        kind = socket.SOCK_STREAM if self._is_stream else socket.SOCK_DGRAM
        return connected_to(socket.socket(socket.AF_UNIX, kind), str(self._path))
