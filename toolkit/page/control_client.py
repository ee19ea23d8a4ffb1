"""Asks the service over its control socket, and reads what it answers.

Names in an answer come from the network, and any part may be missing: ``Part`` gives values of the
type that a page needs, bounded, or None.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from idskit.files.output import reason
from idskit.report.text import visible

ANSWER_S = 3.0
ANSWER = 32 << 20  # bytes
_FRESH_S = 1.0  # a snapshot is asked for at most that often
_SHARE = 0.05  # of the time that asking and reading may take
_NAME = 80  # characters that are shown of a name
_ROWS = 20_000


class ServiceAway(Exception):
    """The service did not answer; the sentence says why."""


class Part:
    """An object of a snapshot, read without trust in its types and sizes."""

    def __init__(self, found: object) -> None:
        self._found: Mapping[str, Any] = found if isinstance(found, dict) else {}

    def __bool__(self) -> bool:
        """Return whether there is anything in it."""
        return bool(self._found)

    def names(self) -> list[str]:
        """Return what the object holds, in order."""
        return list(self._found)[:_ROWS]

    def has(self, name: str) -> bool:
        """Return whether the object holds a value that is not null."""
        return self._found.get(name) is not None

    def text(self, name: str, most: int = _NAME) -> str:
        """Return a text with its first ``most`` characters, all visible; empty for none."""
        return clipped(self._found.get(name), most)

    def raw(self, name: str) -> str:
        """Return a text as it came, to compare with; never to be shown."""
        value = self._found.get(name)
        return value if isinstance(value, str) else ""

    def value(self, name: str) -> object:
        """Return whatever it is, for those who take it apart themselves."""
        return self._found.get(name)

    def number(self, name: str) -> float | None:
        """Return a finite number."""
        return _number(self._found.get(name))

    def count(self, name: str) -> int:
        """Return a whole number of at least 0; 0 for none."""
        return int(max(self.number(name) or 0, 0))

    def numbers(self, name: str, most: int = 60) -> list[float]:
        """Return the last numbers of a list; what is no number counts as 0."""
        found = self._list(name)[-most:]
        return [max(_number(value) or 0.0, 0.0) for value in found]

    def texts(self, name: str, most: int, length: int = _NAME) -> list[str]:
        """Return the first ``most`` texts of a list."""
        return [clipped(value, length) for value in self._list(name)[:most]]

    def part(self, name: str) -> Part:
        """Return an object within this one; empty for none."""
        return Part(self._found.get(name))

    def parts(self, name: str, most: int = _ROWS) -> list[Part]:
        """Return the first ``most`` objects of a list."""
        return [Part(value) for value in self._list(name)[:most] if isinstance(value, dict)]

    def moment(self, name: str) -> datetime | None:
        """Return a time of ISO 8601; one without a zone is UTC."""
        try:
            found = datetime.fromisoformat(self.raw(name)[:40])
            return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
        except (ValueError, OverflowError):
            return None

    def _list(self, name: str) -> list[Any]:
        value = self._found.get(name)
        return value if isinstance(value, list) else []


def clipped(value: object, most: int) -> str:
    """Return a value as text of at most ``most`` characters, all visible; empty for None."""
    if value is None:
        return ""
    text = value[: most + 1] if isinstance(value, str) else str(value)[: most + 1]
    text = visible(text)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


class ControlClient:
    """The service's answers; one snapshot serves all who ask within a moment."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = asyncio.Lock()
        self._snapshot = Part(None)
        self._until = 0.0  # when the snapshot is no longer fresh

    async def snapshot(self) -> Part:
        """Return what the service knows now, at most a moment old.

        Raises:
            ServiceAway: it did not answer.
        """
        async with self._lock:
            if time.monotonic() >= self._until:
                begin = time.monotonic()
                self._snapshot = await self._ask({"ask": "snapshot"})
                if self._snapshot.has("error"):
                    raise ServiceAway(f"It said: {self._snapshot.text('error', 300)}")
                end = time.monotonic()
                # A long list of incidents takes time to read: less often then.
                self._until = end + max(_FRESH_S, (end - begin) / _SHARE)
            return self._snapshot

    async def older(self, skip: int, most: int) -> list[Part]:
        """Return incidents that are not in the snapshot, without the latest ones.

        Raises:
            ServiceAway: the service did not answer, or said no.
        """
        answer = await self._ask({"ask": "older", "skip": skip, "most": most})
        if answer.has("error"):
            raise ServiceAway(f"It said: {answer.text('error', 300)}")
        return answer.parts("incidents", most)

    async def incident(self, incident_id: str) -> Part | None:
        """Return an incident that is not in the snapshot; None if there is no such one.

        Raises:
            ServiceAway: the service did not answer.
        """
        answer = await self._ask({"ask": "incident", "incident_id": incident_id})
        return answer.part("incident") or None

    async def verdict(self, incident_id: str, verdict: str) -> str:
        """Say what a person says of an incident; return why it was refused, or nothing.

        Raises:
            ServiceAway: the service did not answer.
        """
        asked = {"ask": "verdict", "incident_id": incident_id, "verdict": verdict}
        answer = await self._ask(asked)
        self._until = 0.0
        return "" if answer.has("ok") else answer.text("error", 300) or "The service said no."

    async def _ask(self, asked: Mapping[str, str | int]) -> Part:
        try:
            async with asyncio.timeout(ANSWER_S):
                line = await self._exchange(json.dumps(asked).encode() + b"\n")
        except TimeoutError:
            raise ServiceAway(f"It did not answer within {ANSWER_S:g} s.") from None
        except OSError as error:
            raise ServiceAway(f"Its control socket cannot be reached: {reason(error)}.") from error
        except asyncio.IncompleteReadError as error:
            raise ServiceAway("It ended its answer early.") from error
        except asyncio.LimitOverrunError as error:
            raise ServiceAway(f"It gave an answer of more than {ANSWER >> 20} MiB.") from error
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ServiceAway("It gave an answer that is no JSON.") from error
        if not isinstance(found, dict):
            raise ServiceAway("It gave an answer that is no JSON object.")
        return Part(found)

    async def _exchange(self, line: bytes) -> bytes:
        reader, writer = await asyncio.open_unix_connection(self._path, limit=ANSWER)
        try:
            writer.write(line)
            await writer.drain()
            return await reader.readuntil(b"\n")
        finally:
            writer.transport.abort()
