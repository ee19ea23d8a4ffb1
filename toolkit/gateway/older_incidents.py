"""Incidents that only the files of the journal have: their lines are found first, and few are read.

A person who pages through months must cost the packets nothing: nothing is parsed but what is
shown, and a place in a file is all that is held of the others.
"""

from __future__ import annotations

import os
import re
import zlib
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any

from idskit.gateway.journal import MOST_LINE, READ, files_of, record_of

# As ``journal.line_of`` writes them: quotes within texts are escaped, so no text can look like it.
_INCIDENT = re.compile(rb'"incident":\{"incident_id":"([^"\\]{1,100})"')
_VERDICT = re.compile(rb'"verdict":\{"incident_id":"([^"\\]{1,100})","verdict":"([a-z]{1,20})"')
_Place = tuple[Path, int]
Document = dict[str, Any]


class OlderIncidents:
    """The lines of a journal as they are now.

    Args:
        folder: of the state; a service may append to it meanwhile.
    """

    def __init__(self, folder: Path) -> None:
        self._places: OrderedDict[str, _Place] = OrderedDict()  # the latest sound line of each
        self._verdicts: dict[str, str] = {}
        for path in files_of(folder):
            with suppress(OSError):  # deleted meanwhile
                self._look_through(path)

    def latest_first(self, skip: int, most: int) -> list[Document]:
        """Return some incidents with their verdicts, those that were updated last first."""
        wanted = list(reversed(self._places))[skip : skip + most]
        return [found for key in wanted if (found := self.incident(key)) is not None]

    def incident(self, incident_id: str) -> Document | None:
        """Return an incident with its verdict; None if there is no such one."""
        place = self._places.get(incident_id)
        if place is None:
            return None
        try:
            found: Document = record_of(_line_at(*place))["incident"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        said = self._verdicts.get(incident_id)
        return found if said is None else found | {"verdict": said}

    def _look_through(self, path: Path) -> None:
        at = 0
        with os.fdopen(os.open(path, READ), "rb") as file:
            while line := file.readline(MOST_LINE + 1):
                if _is_sound(line):
                    self._note(line, (path, at))
                at += len(line)

    def _note(self, line: bytes, place: _Place) -> None:
        if found := _INCIDENT.search(line):
            key = found[1].decode("ascii", "replace")
            self._places[key] = place
            self._places.move_to_end(key)
        elif said := _VERDICT.search(line):
            self._verdicts[said[1].decode("ascii", "replace")] = said[2].decode()


def _is_sound(line: bytes) -> bool:
    checksum, _, text = line.rstrip(b"\n").partition(b" ")
    return line.endswith(b"\n") and checksum == b"%08x" % zlib.crc32(text)


def _line_at(path: Path, at: int) -> bytes:
    with os.fdopen(os.open(path, READ), "rb") as file:
        file.seek(at)
        return file.readline(MOST_LINE + 1)
