"""The stage between detection and the sinks: incidents are kept, then handed on.

    loop of packets ──put──> queue ──thread──> journal, fsync of new ones ──> sinks, page

The loop never waits for a disk. A new incident is on the disk before a sink gets it. Where the
queue is full, updates are shed first, then ends, then the oldest new ones; each is counted.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from idskit.alerts.eve import eve_time
from idskit.files.output import reason
from idskit.gateway.journal import Document, Journal, incident_record, verdict_record
from idskit.gateway.older_incidents import OlderIncidents
from idskit.gateway.state_folder import CheckedFile
from idskit.incidents.incident import Evidence, Incident

ROOM = 1_000  # incidents in the queue
HOLD_S = 120.0  # that incidents wait for a clock which was not set yet
SYNC_S = 300.0  # between two fsyncs, but for those of new incidents
STATE_S = 600.0  # between two copies of the tracker's state, where nothing begins
URGENT_S = 10.0  # the same after an incident began
STATE_PER_DAY = 8 << 20  # bytes of such copies: large ones are written less often
_SET_US = 1_767_225_600_000_000  # 2026-01-01: before that, nobody has set the clock


class HostClock:
    """The clock of a machine that may not know the date before NTP answers.

    Attributes:
        jump_us: by how much the clock was put forward when it was set.
    """

    def __init__(
        self,
        now_ns: Callable[[], int] = time.time_ns,
        elapsed_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._now_ns, self._elapsed_ns = now_ns, elapsed_ns
        self._start_ns = elapsed_ns()
        self._offset_us, self._was_set = self._offset(), self.is_set
        self.jump_us = 0

    def _offset(self) -> int:
        return (self._now_ns() - self._elapsed_ns()) // 1000

    @property
    def is_set(self) -> bool:
        """Return whether the date can be right."""
        return self._now_ns() // 1000 >= _SET_US

    @property
    def holds(self) -> bool:
        """Return whether incidents should wait for the date: for HOLD_S after the start."""
        waited_s = (self._elapsed_ns() - self._start_ns) / 1e9
        return not self.is_set and waited_s < HOLD_S

    def problem(self) -> str:
        """Return what is wrong with the date, in a sentence; empty if nothing is."""
        if self.is_set:
            return ""
        shown = eve_time(self._now_ns() // 1000)[:10]
        return f"the clock says {shown}: times are wrong until it is set (by NTP)"

    def corrected(self, incident: Incident) -> Incident:
        """Return an incident with the times that it would have had with the clock set."""
        offset = self._offset()
        if self.is_set and not self._was_set:
            self._was_set, self.jump_us = True, offset - self._offset_us
        if incident.started_us >= _SET_US:
            return incident
        if self.jump_us:
            ended = incident.ended_us
            return replace(
                incident,
                started_us=self._moved(incident.started_us),
                updated_us=self._moved(incident.updated_us),
                ended_us=None if ended is None else self._moved(ended),
            )
        if self.is_set:  # of a capture made long ago
            return incident
        since_s = (self._elapsed_ns() - self._start_ns) / 1e9
        mark = Evidence(name="the clock was not set: times are wrong", value=since_s, unit="s")
        return replace(incident, evidence=(*incident.evidence, mark))

    def _moved(self, time_us: int) -> int:
        return time_us if time_us >= _SET_US else time_us + self.jump_us


class IncidentQueue:
    """Incidents on their way, at most ``room``; see ``Keeper`` for what is shed.

    It is not safe for threads: the keeper locks it.

    Attributes:
        shed: incidents that were dropped, by type.
    """

    def __init__(self, room: int = ROOM) -> None:
        self._room = room
        self._waiting: deque[Incident] = deque()
        self.shed: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, incident: Incident) -> None:
        """Add an incident, in place of a less important one where there is no room."""
        if len(self._waiting) >= self._room:
            waiting = [one.type for one in self._waiting]
            kind = next(kind for kind in ("update", "end", "new") if kind in waiting)
            del self._waiting[waiting.index(kind)]
            self.shed[kind] += 1
        self._waiting.append(incident)

    def take(self, most: int) -> list[Incident]:
        """Take the oldest ones."""
        return [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]


class Keeper:
    """The thread that keeps incidents and hands them to sinks.

    Attributes:
        open_incidents: how many have not ended, of those in memory.
        problem: why the state cannot be written now; empty if it can.
        unkept: incidents that sinks got although they could not be written.
    """

    def __init__(
        self,
        journal: Journal,
        tracker_file: CheckedFile,
        tell: Callable[[Incident], object],
        clock: HostClock | None = None,
    ) -> None:
        """Start; incidents that sinks may not have got before a kill are sent again."""
        self._journal, self._file, self._tell = journal, tracker_file, tell
        self.clock = HostClock() if clock is None else clock
        self._changed = threading.Condition()  # guards the queue and the state
        self._lock = threading.Lock()  # guards the journal
        self._reading = threading.Lock()  # held while its files are read: one reader at a time
        self._queue = IncidentQueue()
        self._state: Mapping[str, Any] | None = None
        self._sync_due_s = time.monotonic() + SYNC_S
        self._state_due_s = time.monotonic() + STATE_S
        self._state_written_s = 0.0
        self._is_urgent = self._is_closing = False
        self.problem = ""
        self.unkept = 0
        self.open_incidents = self._count_open()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        self._thread.start()

    # Called at the start.

    def earlier_state(self) -> tuple[dict[str, Any] | None, str]:
        """Return the tracker's state of the last run, and what was wrong with it."""
        return self._file.read(), self._file.problem

    def interrupted(self, known: Collection[str]) -> list[Incident]:
        """Return the ends of incidents that were open in the last run and are not known now."""
        with self._lock:
            documents = list(self._journal.entries.incidents.values())
        ends = []
        for document in documents:
            with suppress(KeyError, TypeError, ValueError):
                found = Incident.from_json(document)
                if found.type != "end" and found.incident_id not in known:
                    ends.append(found.as_type("end", ended_us=found.updated_us))
        return ends

    # Called by the loop of packets: nothing here waits for a disk.

    def put(self, incidents: Iterable[Incident]) -> None:
        """Take incidents to keep and to hand on."""
        found = list(incidents)
        if found:
            with self._changed:
                for incident in found:
                    self._queue.put(incident)
                self._changed.notify()

    def wants_state(self, *, is_urgent: bool) -> bool:
        """Return whether it is time for a copy of the tracker's state.

        It is urgent after incidents began, which a kill should not cut in two.
        """
        now_s = time.monotonic()
        self._is_urgent |= is_urgent
        if self._is_urgent and now_s - self._state_written_s >= URGENT_S:
            return True
        return now_s >= max(self._state_due_s, self._sync_due_s)

    def put_state(self, state: Mapping[str, Any], *, is_last: bool = False) -> None:
        """Take a copy of the tracker's state to write; the last one is durable at once."""
        with self._changed:
            self._is_urgent = False
            self._state_written_s = time.monotonic()
            if is_last:
                self._sync_due_s = 0.0
            self._state = state
            self._changed.notify()

    # Called by the control socket.

    def incidents(self, most: int) -> list[Document]:
        """Return the incidents that were updated last, with their verdicts."""
        with self._lock:
            return self._journal.entries.shown()[:most]

    def older(self, skip: int, most: int) -> list[Document]:
        """Return incidents of the files, without those that were updated last."""
        with self._reading:
            return OlderIncidents(self._journal.folder).latest_first(skip, most)

    def incident(self, incident_id: str) -> Document | None:
        """Return an incident with its verdict, from the files where it is old; None if unknown."""
        with self._lock:
            entries = self._journal.entries
            if incident_id in entries.incidents:
                return entries.with_verdict(entries.incidents[incident_id])
        with self._reading:
            return OlderIncidents(self._journal.folder).incident(incident_id)

    def say_verdict(self, incident_id: str, verdict: str) -> Document | None:
        """Keep what a person says of an incident, and return it; None if there is no such one.

        Raises:
            OSError: it could not be written.
        """
        found = self.incident(incident_id)
        if found is not None:
            with self._lock:
                self._journal.append([verdict_record(incident_id, verdict)], durable=True)
        return found

    def counters(self) -> dict[str, int]:
        """Return what was lost or is waiting, by name."""
        with self._lock, self._changed:
            return {
                "incidents_waiting": len(self._queue),
                **{f"incidents_shed_{kind}": n for kind, n in self._queue.shed.items()},
                "incidents_not_kept": self.unkept + self._journal.refused,
                "state_lines_damaged": self._journal.entries.damaged,
                "state_bytes": self._journal.size,
            }

    def close(self, seconds: float) -> None:
        """Keep and hand on what waits, write the state, and end."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join(seconds)
        with self._lock:
            self._journal.close()

    def _run(self) -> None:
        self._hand_on_pending()
        while not self._is_closing:
            with self._changed:
                self._changed.wait_for(self._is_due, 1.0)
            self._turn_safely()
        while self._turn_safely():
            pass

    def _turn_safely(self) -> bool:
        """Take a turn; an error that nobody foresaw costs its incidents, and not the thread."""
        try:
            return self._turn()
        except Exception as error:
            self.unkept += 1
            self.problem = f"incidents were lost by an error, report it: {error!r}"
            return True

    def _is_due(self) -> bool:
        has_incidents = len(self._queue) > 0 and not self.clock.holds
        return self._is_closing or has_incidents or self._state is not None

    def _turn(self) -> bool:
        """Keep and hand on some incidents, and a state; return whether there were incidents."""
        with self._changed:
            is_held = self.clock.holds and not self._is_closing
            taken = [] if is_held else self._queue.take(100)
            state, self._state = self._state, None
        incidents = [self.clock.corrected(one) for one in taken]
        if incidents:
            self._keep(incidents)
            for incident in incidents:
                self._tell(incident)
            with self._lock:
                self._journal.entries.note_offered(self._journal.entries.number)
            self.open_incidents = self._count_open()
        if state is not None:
            self._write_state(state)
        elif time.monotonic() >= self._sync_due_s:
            self._sync()
        return bool(incidents)

    def _count_open(self) -> int:
        with self._lock:
            return sum(one["type"] != "end" for one in self._journal.entries.incidents.values())

    def _sync(self) -> None:
        with self._lock, suppress(OSError):
            if self._journal.unsynced:
                self._journal.sync()
        self._sync_due_s = time.monotonic() + SYNC_S

    def _keep(self, incidents: list[Incident]) -> None:
        """Write incidents; new ones are on the disk when this returns, unless it failed."""
        records = [incident_record(one.to_json()) for one in incidents]
        is_new = any(one.type == "new" and one.severity <= 2 for one in incidents)
        try:
            with self._lock:
                self._journal.append(records, durable=is_new)
        except OSError as error:  # sinks get them all the same: who fills the disk blinds nobody
            self.unkept += len(incidents)
            self.problem = f"the state cannot be written: {reason(error)}"
        else:
            self.problem = ""

    def _hand_on_pending(self) -> None:
        with self._lock:
            pending = list(self._journal.entries.pending.values())
        for document in pending:
            with suppress(KeyError, TypeError, ValueError):
                self._tell(Incident.from_json(document))
        with self._lock:
            self._journal.entries.note_offered(self._journal.entries.number)

    def _write_state(self, state: Mapping[str, Any]) -> None:
        written, is_durable = 0, time.monotonic() >= self._sync_due_s
        try:
            written = self._file.write(state, durable=is_durable)
        except (OSError, ValueError) as error:
            why = reason(error) if isinstance(error, OSError) else str(error)
            self.problem = f"the state of open incidents cannot be written: {why}"
        pause_s = 86_400 * written / STATE_PER_DAY
        self._state_written_s = time.monotonic() + max(pause_s - URGENT_S, 0)
        if is_durable:
            self._sync_due_s = time.monotonic() + SYNC_S
        self._state_due_s = time.monotonic() + max(STATE_S, pause_s)
