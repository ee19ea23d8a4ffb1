"""The journal of incidents and verdicts: lines that are only appended, in files of bounded size.

    journal-000007   checksum {"n": 812, "incident": {...}}
                     checksum {"n": 813, "verdict": {"incident_id": ..., "verdict": "wrong"}}
                     checksum {"n": 814, "offered": 812}     sinks have got what is up to 812

Every line has its own checksum, and an incident has a line for each state of its life: where one is
damaged, the one before it counts. The oldest file is deleted when all are too large; verdicts in it
are appended again first. Nothing is ever rewritten, which spares flash memory.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from idskit.errors import IdskitError
from idskit.files.output import reason
from idskit.gateway.state_folder import CheckedFile, give_to_owner
from idskit.incidents.family_facts import BLIND
from idskit.incidents.incident import Incident
from idskit.site.incident_budget import Budget, BurnRate
from idskit.site.person_verdicts import PersonVerdicts

RECENT = 500  # incidents in memory, the latest updated; files have the others
MOST_VERDICTS = 2_000
MOST_PENDING = 200  # incidents that sinks may not have got before a kill
MOST_LINE = 64 << 10  # bytes
FILES = 8  # that the bytes to keep are divided into
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
Document = dict[str, Any]


class ByteBudget:
    """How many bytes may be written: 50 MB in any 24 hours, of which 20 MB at once."""

    BURST, PER_DAY = 20 << 20, 28 << 20

    def __init__(self, now_s: float | None = None) -> None:
        self.left = float(self.BURST)
        self._since = time.monotonic() if now_s is None else now_s

    def take(self, count: int, now_s: float | None = None) -> bool:
        """Take bytes from what is left; False, and take none, where that is not enough."""
        now = time.monotonic() if now_s is None else now_s
        self.left = min(self.left + (now - self._since) * self.PER_DAY / 86_400, self.BURST)
        self._since = now
        if count > self.left:
            return False
        self.left -= count
        return True


@dataclass(kw_only=True)
class Entries:
    """What a journal says in the end: the latest of every incident, and the verdicts.

    Attributes:
        incidents: by identifier, the latest written last; at most ``most`` of them.
        verdicts: by identifier.
        number: of the last line.
        offered: of the last line that sinks have got.
        pending: incidents of later lines by their numbers, at most MOST_PENDING.
        damaged: lines that could not be used.
    """

    most: int | None = RECENT
    incidents: OrderedDict[str, Document] = field(default_factory=OrderedDict)
    verdicts: OrderedDict[str, str] = field(default_factory=OrderedDict)
    number: int = 0
    offered: int = 0
    pending: dict[int, Document] = field(default_factory=dict)
    damaged: int = 0

    def add(self, record: Mapping[str, Any]) -> None:
        """Take a record of a line.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        self.number = max(self.number, int(record["n"]))
        if "offered" in record:
            self.note_offered(int(record["offered"]))
        if "incident" in record:
            self._note_pending(int(record["n"]), record["incident"])
            self._put(self.incidents, record["incident"]["incident_id"], record["incident"])
            if self.most is not None and len(self.incidents) > self.most:
                self.incidents.popitem(last=False)
        elif "verdict" in record:
            said = record["verdict"]
            self._put(self.verdicts, said["incident_id"], said["verdict"])
            if len(self.verdicts) > MOST_VERDICTS:
                self.verdicts.popitem(last=False)

    def note_offered(self, number: int) -> None:
        """Take down that sinks have got the incidents up to a line."""
        self.offered = max(self.offered, number)
        self.pending = {n: one for n, one in self.pending.items() if n > self.offered}

    def _note_pending(self, number: int, incident: Document) -> None:
        self.pending[number] = incident
        while len(self.pending) > MOST_PENDING:
            del self.pending[next(iter(self.pending))]

    @staticmethod
    def _put(where: OrderedDict[str, Any], key: object, value: Any) -> None:
        where[str(key)] = value
        where.move_to_end(str(key))

    def shown(self) -> list[Document]:
        """Return the incidents with their verdicts, those that were updated last first."""
        return [self.with_verdict(one) for one in reversed(self.incidents.values())]

    def with_verdict(self, incident: Document) -> Document:
        """Return an incident with what a person said of it."""
        said = self.verdicts.get(incident["incident_id"])
        return incident if said is None else incident | {"verdict": said}


class Journal:
    """An open journal, which one process appends to.

    Attributes:
        folder: where its files are.
        entries: what it says.
        refused: records that were not written, because the day's bytes were spent.
        unsynced: bytes written since the last fsync.
    """

    def __init__(self, folder: Path, keep_bytes: int, budget: ByteBudget | None = None) -> None:
        self.folder, self._each = folder, max(keep_bytes // FILES, MOST_LINE)
        self._budget = ByteBudget() if budget is None else budget
        self.entries = read_journal(folder)
        self.refused = 0
        self.unsynced = 0
        self._written_offered = self.entries.offered
        self._open()

    @property
    def size(self) -> int:
        """Return the size of all files."""
        return sum(path.stat().st_size for path in files_of(self.folder))

    def append(self, records: Iterable[Document], *, durable: bool = False) -> None:
        """Append records, which get their numbers here; with one fsync if they must be durable.

        Raises:
            OSError: they could not be written, or only some of them; ``entries`` has them.
        """
        lines = []
        for record in records:
            numbered = {"n": self.entries.number + 1, "offered": self.entries.offered} | record
            self.entries.add(numbered)
            lines.append(line_of(numbered))
        content = b"".join(lines)
        if not self._budget.take(len(content)):
            self.refused += len(lines)
            return
        self._write(content)
        self._written_offered = self.entries.offered
        if durable:
            self.sync()
        if self._size >= self._each:
            self._next_file()

    def sync(self) -> None:
        """Wait until all lines are on the disk.

        Raises:
            OSError: the disk failed.
        """
        os.fdatasync(self._fd)
        self.unsynced = 0

    def close(self) -> None:
        """Write what sinks have got, sync and close."""
        with suppress(OSError):
            if self._written_offered < self.entries.offered:
                self.append([{}])
            self.sync()
        os.close(self._fd)

    def _open(self) -> None:
        """Open the latest file, and end a line that was cut in its middle."""
        files = files_of(self.folder)
        path = files[-1] if files else self.folder / "journal-000001"
        self._fd = os.open(path, _APPEND, 0o600)
        give_to_owner(self._fd, self.folder)
        self._size = os.fstat(self._fd).st_size
        if self._size and not _ends_line(path):
            with suppress(OSError):
                self._size += os.write(self._fd, b"\n")

    def _write(self, content: bytes) -> None:
        done = 0
        try:
            while done < len(content):
                done += os.write(self._fd, content[done:])
        except OSError:
            with suppress(OSError):  # half a line must not spoil the next one
                os.ftruncate(self._fd, self._size)
                done = 0
            raise
        finally:
            self._size += done
            self.unsynced += done

    def _next_file(self) -> None:
        """Begin a file, delete the oldest ones, and keep their verdicts."""
        files = files_of(self.folder)
        number = int(files[-1].name[-6:]) + 1
        os.close(self._fd)  # without a sync: what had to be durable is
        self._fd = os.open(self.folder / f"journal-{number:06d}", _APPEND, 0o600)
        give_to_owner(self._fd, self.folder)
        self._size = 0
        for path in files[: max(len(files) - FILES + 2, 0)]:
            self._keep_verdicts(path)
            path.unlink()

    def _keep_verdicts(self, path: Path) -> None:
        found = Entries()
        _read_file(path, found)
        kept = [
            key for key, said in found.verdicts.items() if self.entries.verdicts.get(key) == said
        ]
        if kept:
            self.append(
                [verdict_record(key, self.entries.verdicts[key]) for key in kept], durable=True
            )


class VerdictFile:
    """What verdicts change, in ``verdicts.state``: it outlives the incidents of the journal.

    Attributes:
        verdicts: those in force.
        problem: why the latest file could not be used; empty if it could.
    """

    def __init__(self, folder: Path) -> None:
        self._file = CheckedFile(folder, "verdicts")
        found, self.problem = self._file.read(), self._file.problem
        self.verdicts = PersonVerdicts()
        try:
            if found is not None:
                self.verdicts = PersonVerdicts.from_state(found)
        except (KeyError, TypeError, ValueError) as error:
            self.problem = f"what persons said is damaged, and changes nothing: {error!r}"

    def say(self, incident: Document, verdict: str) -> str:
        """Keep what a verdict changes, in place of an earlier one on the same incident.

        Returns:
            What it changes, in a sentence; empty where nothing can be like the incident.

        Raises:
            OSError: it holds until the end of this process, but cannot be written.
        """
        try:
            said = self.verdicts.say(Incident.from_json(incident), verdict, time.time_ns() // 1000)
        except (IdskitError, KeyError, TypeError, ValueError):
            return ""
        try:
            self.verdicts.factors()
        except (KeyError, ValueError):  # a service that no site knows
            self.verdicts.revoke(said.incident_id)
            return ""
        self._file.write(self.verdicts.to_state())
        return str(said)

    def effect(self, incident_id: str) -> str:
        """Return what the verdict on an incident changes, in a sentence; empty if nothing."""
        listed = self.verdicts.listed()
        return next((str(one) for one in listed if one.incident_id == incident_id), "")


class BurnFile:
    """What a burning budget raised, in ``burn.state``: a restart does not lower it.

    Attributes:
        burn: the factor of all evidence.
        problem: why the latest file could not be used or written; empty if it could.
    """

    def __init__(self, folder: Path) -> None:
        self._file = CheckedFile(folder, "burn")
        found, self.problem = self._file.read(), self._file.problem
        self.burn = BurnRate()
        try:
            if found is not None:
                self.burn = BurnRate(float(found["factor"]), int(found["raised_us"]))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            self.problem = f"what a burning budget raised is damaged, and is 1 again: {error!r}"

    def watch(self, times_us: list[int], budget: Budget) -> bool:
        """Return whether the factor rises because incidents opened at some times, and keep it."""
        is_raised = self.burn.watch(times_us, time.time_ns() // 1000, budget)
        if is_raised:
            self._write()
        return is_raised

    def said(self, budget: Budget) -> str:
        """Return that more evidence is asked for, in a sentence; empty if it is not."""
        factor = self.burn.factor
        raised = f"more incidents opened than {budget.text}: each needs {factor:.3g} times the "
        return "" if factor == 1 else f"{raised}evidence, until a person runs idskit lower"

    def lower(self) -> None:
        """Let the factor be 1 again, and keep it."""
        self.burn.lower()
        self._write()

    def _write(self) -> None:
        self.problem = ""
        try:
            self._file.write(self.burn.to_state())
        except OSError as error:
            self.problem = f"what a burning budget raised cannot be kept: {reason(error)}"


def opened_us(incidents: Iterable[Document]) -> list[int]:
    """Return when incidents began that may be false.

    What a person called an attack is not, and neither is an interface that was away.
    """
    false = (one for one in incidents if one.get("verdict") != "attack" and one["label"] != BLIND)
    times = (datetime.fromisoformat(one["started"]) for one in false)
    return [int(time.timestamp() * 1e6) for time in times]


def incident_record(incident: Document) -> Document:
    """Return the record of an incident."""
    return {"incident": incident}


def verdict_record(incident_id: str, verdict: str) -> Document:
    """Return the record of what a person said of an incident."""
    return {"verdict": {"incident_id": incident_id, "verdict": verdict}}


def line_of(record: Document) -> bytes:
    """Return a record as a line; one that is too long loses its explanation and its evidence."""
    text = _encoded(record)
    if len(text) > MOST_LINE - 10:
        few: Document = {"explanation": None, "evidence": [], "flow_ids": [], "services": []}
        incident = record.get("incident", {})
        text = _encoded(record | {"incident": incident | few})
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _encoded(record: Document) -> bytes:
    return json.dumps(record, separators=(",", ":"), allow_nan=False).encode()


def files_of(folder: Path) -> list[Path]:
    """Return the files of a journal, the oldest first."""
    return sorted(folder.glob("journal-[0-9][0-9][0-9][0-9][0-9][0-9]"))


def read_journal(folder: Path, most: int | None = RECENT) -> Entries:
    """Read a journal, also while a service appends to it.

    Args:
        folder: of the state.
        most: incidents to keep in memory, the latest; all if None.
    """
    found = Entries(most=most)
    for path in files_of(folder):
        with suppress(OSError):  # deleted meanwhile
            _read_file(path, found)
    return found


def _read_file(path: Path, found: Entries) -> None:
    with os.fdopen(os.open(path, READ), "rb") as file:
        for line in _lines(file):
            try:
                found.add(record_of(line))
            except (ValueError, KeyError, TypeError, RecursionError):
                found.damaged += 1


def _lines(file: Any) -> Iterator[bytes]:
    """Yield lines; one that is too long to be ours is yielded in parts, which are damaged."""
    while line := file.readline(MOST_LINE + 1):
        yield line


def record_of(line: bytes) -> Document:
    """Return the record of a line.

    Raises:
        ValueError: it is damaged.
    """
    checksum, _, text = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n") or int(checksum, 16) != zlib.crc32(text):
        raise ValueError
    record: Document = json.loads(text)
    return record


def _ends_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
