"""What every sink has in common: a bounded queue, a thread of its own, retries, and counts.

    service ──offer──> spool, lines, states ──thread──> destination ──> file, socket, broker

``offer`` and its like never wait for a receiver. Incidents are sent at least once, in order, and
wait on disk while a receiver is away. Lines and states are of the moment: lines wait in memory, the
oldest are dropped when there are too many; of a state only the latest value is sent.
"""

from __future__ import annotations

import random
import socket
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from idskit.incidents.incident import Incident
from idskit.report.text import visible
from idskit.sinks.connections import cause
from idskit.sinks.incident_text import decoded
from idskit.sinks.spool import Spool

Topic = Literal["open", "stats", "model"]
MOST_LINES = 10_000
TRIES = 3  # of an incident that a receiver refuses
FIRST_DELAY_S, LAST_DELAY_S = 0.5, 8.0  # before the next try, while a receiver is away
MOST_DELAY_S = 3600.0  # that a receiver may ask for
_BATCH = 500  # lines sent at once
_RANDOM = random.SystemRandom()


class Away(OSError):
    """A receiver that takes nothing now; it may say for how long."""

    def __init__(self, sentence: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(sentence)
        self.retry_after_s = retry_after_s


class Refused(OSError):
    """A receiver that is there and does not want this incident."""


class Destination(ABC):
    """Where a sink sends to. Its methods run in the sink's thread and may take seconds.

    They raise ``OSError`` (``Away``) where the receiver cannot be reached, and the same is sent
    again later; ``Refused`` where it says no.
    """

    name: str  # of the sink, in messages and metrics
    takes_lines = False  # EVE lines that are no incidents
    takes_states = False
    tick_s: float | None = None  # how often ``keep_up`` is called when nothing is to be sent

    @abstractmethod
    def deliver(self, incident: Incident) -> None:
        """Send one event in the life of an incident."""

    def send_lines(self, lines: list[str]) -> None:
        """Send EVE lines, none of which has a line feed."""
        raise NotImplementedError

    def publish(self, topic: Topic, state: str) -> None:
        """Send the latest value of a state, as JSON."""
        raise NotImplementedError

    def keep_up(self) -> None:  # noqa: B027 - most need nothing
        """Connect again where a connection was lost."""

    def reopen(self) -> None:  # noqa: B027 - most need nothing
        """Open files anew: they may have been moved."""

    def close(self) -> None:  # noqa: B027 - most need nothing
        """Close files and connections."""


class SocketDestination(Destination):
    """A destination behind one socket, which is connected when something is to be sent."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None

    @abstractmethod
    def _connect(self) -> socket.socket:
        """Return a new connection."""

    def _connected(self) -> socket.socket:
        if self._socket is None:
            self._socket = self._connect()
        return self._socket

    def reopen(self) -> None:
        """Connect again."""
        self.close()

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.close()
        self._socket = None


@dataclass(frozen=True, kw_only=True)
class SinkHealth:
    """The state of a sink; what it was offered is written, dropped, failed, damaged or waiting."""

    name: str
    waiting: int  # incidents and lines
    written: int  # incidents and lines
    dropped: int  # because there was no room
    failed: int  # refused by the receiver
    damaged: int  # lines of the spool that could not be read
    unsaved: int  # incidents that were kept in memory only, because the spool could not be written
    last_success_s: float | None  # since the epoch
    away: str | None  # why nothing can be sent now


class IncidentSink:
    """A queue and a thread in front of a destination; see the top of this file."""

    def __init__(self, destination: Destination, spool: Spool) -> None:
        self.name = destination.name
        self._destination, self._spool = destination, spool
        self._changed = threading.Condition()  # guards all that follows
        self._lines: deque[str] = deque()
        self._states: dict[Topic, str] = {}
        self._written = self._lines_dropped = self._failed = self._unreadable = 0
        self._last_success_s: float | None = None
        self._away: str | None = None
        self._is_closing = self._is_reopening = False
        self._tries = 0  # of the oldest incident
        self._thread = threading.Thread(target=self._run, name=f"sink {self.name}", daemon=True)
        self._thread.start()

    def offer(self, incident: bytes) -> None:
        """Accept an incident, as ``encoded`` writes it: it is sent later if we are killed."""
        with self._changed:
            self._spool.append(incident)
            self._changed.notify()

    def offer_line(self, line: str) -> None:
        """Accept an EVE line, if this sink takes lines."""
        if not self._destination.takes_lines:
            return
        with self._changed:
            if len(self._lines) == MOST_LINES:
                self._lines.popleft()
                self._lines_dropped += 1
            self._lines.append(line)
            self._changed.notify()

    def offer_state(self, topic: Topic, state: str) -> None:
        """Accept the latest value of a state, if this sink takes states."""
        if not self._destination.takes_states:
            return
        with self._changed:
            self._states[topic] = state
            self._changed.notify()

    def reopen(self) -> None:
        """Open files anew before the next line, and try a receiver that is away at once."""
        with self._changed:
            self._is_reopening = True
            self._changed.notify()

    def close_soon(self) -> None:
        """Send what can be sent at once, and nothing after it."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()

    def close(self, timeout_s: float) -> None:
        """Wait for that; incidents that remain wait for the next start."""
        self.close_soon()
        self._thread.join(timeout_s)
        if not self._thread.is_alive():
            self._spool.close()

    def health(self) -> SinkHealth:
        """Return how it does now."""
        with self._changed:
            return SinkHealth(
                name=self.name,
                waiting=len(self._spool) + len(self._lines),
                written=self._written,
                dropped=self._spool.dropped + self._lines_dropped,
                failed=self._failed,
                damaged=self._spool.damaged + self._unreadable,
                unsaved=self._spool.unsaved,
                last_success_s=self._last_success_s,
                away=self._away,
            )

    def _run(self) -> None:
        failures = 0
        while not self._is_closing:
            with self._changed:
                self._changed.wait_for(self._is_due, self._destination.tick_s)
            failures = 0 if self._turn(failures) else failures + 1
        if failures == 0:
            self._turn(0)
        with suppress(OSError):
            self._destination.close()

    def _is_due(self) -> bool:
        ended = self._is_closing or self._is_reopening
        return ended or len(self._spool) > 0 or bool(self._lines) or bool(self._states)

    def _turn(self, failures: int) -> bool:
        """Send all that waits; where that fails, wait for the next try and return False."""
        try:
            self._send_all()
        except Exception as error:  # a sink that fails in any way is said, and goes on
            self._note_away(error)
            self._pause(delay_s(failures, error))
            return False
        self._note_back()
        return True

    def _pause(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._is_closing or self._is_reopening, seconds)

    def _send_all(self) -> None:
        if self._is_reopening:
            self._is_reopening = False
            self._destination.reopen()
        self._destination.keep_up()
        while (waiting := self._first()) is not None:
            self._deliver(*waiting)
        self._send_states()
        self._send_lines()

    def _first(self) -> tuple[int, bytes] | None:
        with self._changed:
            return self._spool.first()

    def _deliver(self, number: int, text: bytes) -> None:
        """Send an incident, or give it up after some tries where the receiver refuses it."""
        try:
            incident = decoded(text)
        except ValueError:
            self._end(number, unreadable=1)
            return
        try:
            self._destination.deliver(incident)
        except Exception as error:
            if isinstance(error, OSError) and not isinstance(error, Refused):
                raise  # it is away
            self._tries += 1
            if self._tries < TRIES:
                raise
            self._say(f"an incident was refused {TRIES} times and is lost: {_why(error)}")
            self._end(number, failed=1)
        else:
            self._end(number, written=1)

    def _end(self, number: int, *, written: int = 0, failed: int = 0, unreadable: int = 0) -> None:
        self._tries = 0
        with self._changed:
            self._spool.done(number)
            self._failed += failed
            self._unreadable += unreadable
            self._note_written(written)

    def _send_states(self) -> None:
        while self._states:
            with self._changed:
                topic, state = next(iter(self._states.items()))
            self._destination.publish(topic, state)
            with self._changed:
                if self._states.get(topic) == state:
                    del self._states[topic]

    def _send_lines(self) -> None:
        while self._lines:
            with self._changed:
                batch = [self._lines.popleft() for _ in range(min(_BATCH, len(self._lines)))]
            refused = 0
            try:
                self._destination.send_lines(batch)
            except Refused:
                refused = len(batch)
            except OSError:
                self._put_back(batch)
                raise
            with self._changed:
                self._failed += refused
                self._note_written(len(batch) - refused)

    def _put_back(self, batch: list[str]) -> None:
        with self._changed:
            room = MOST_LINES - len(self._lines)
            kept = batch[max(0, len(batch) - room) :]
            self._lines_dropped += len(batch) - len(kept)
            self._lines.extendleft(reversed(kept))

    def _note_written(self, number: int) -> None:
        if number:
            self._written += number
            self._last_success_s = time.time()

    def _note_away(self, error: Exception) -> None:
        if self._away is None:
            self._say(f"nothing can be sent: {_why(error)}; incidents wait and are sent later")
        self._away = _why(error)

    def _note_back(self) -> None:
        if self._away is not None:
            self._say("what waited was sent")
        self._away = None

    def _say(self, sentence: str) -> None:
        with suppress(OSError, ValueError, AttributeError):  # stderr may be gone
            print(f"idskit: sink {self.name}: {sentence}", file=sys.stderr, flush=True)


def _why(error: Exception) -> str:
    return visible(cause(error))[:300]


def delay_s(failures: int, error: Exception) -> float:
    """Return how long to wait after a number of failures: what was asked for, or twice as long.

    A random part of it is taken away, so that many gateways do not come back at one moment.
    """
    asked = getattr(error, "retry_after_s", None)
    if asked is not None:
        return min(float(asked), MOST_DELAY_S)
    longest = min(LAST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(failures, 10))
    return longest * _RANDOM.uniform(0.5, 1.0)
