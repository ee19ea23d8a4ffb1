"""Incidents of the state folder for people and programs, and verdicts on them.

The folder is read as it is, whether a service runs or not. Names and addresses in it came from the
network: nothing of them is obeyed by a terminal.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from idskit.errors import IdskitError
from idskit.explain.host_day import HostDay
from idskit.gateway.control_socket import ask
from idskit.gateway.journal import Entries, Journal, VerdictFile, read_journal, verdict_record
from idskit.gateway.state_folder import StateLock, is_locked
from idskit.incidents.incident import VERDICTS, Explanation, Incident
from idskit.incidents.incident_table import SEVERITIES, TONES
from idskit.report.section import COLOURS, Section, show_sections
from idskit.report.text import shown, visible

if TYPE_CHECKING:
    from rich.console import Console

KEEP_BYTES = 16 << 20  # of the journal, when a verdict is added without a service
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
Document = dict[str, Any]


def found_since(folder: Path, since: str | None) -> list[Document]:
    """Return the incidents of a state folder, the latest first.

    Args:
        folder: of the state.
        since: only those updated since: ``2h``, ``3d``, or a time of ISO 8601; all if None.

    Raises:
        IdskitError: ``since`` is no such time, or the state cannot be read.
    """
    found = _entries(folder).shown()
    if since is None:
        return found
    limit = moment(since)
    return [one for one in found if datetime.fromisoformat(one["updated"]) >= limit]


def found_by(folder: Path, beginning: str) -> Document:
    """Return the incident whose identifier is, or begins with, a text.

    Raises:
        IdskitError: none has it, or several.
    """
    found = [one for one in _entries(folder).shown() if one["incident_id"].startswith(beginning)]
    exact = [one for one in found if one["incident_id"] == beginning]
    if len(exact or found) != 1:
        count = f"{len(found)} incidents have" if found else "no incident has"
        raise IdskitError(
            f"{count} an identifier that begins with {beginning}: idskit incidents lists them"
        )
    one = (exact or found)[0]
    effect = VerdictFile(folder).effect(one["incident_id"])
    return one | {"effect": effect} if effect else one


def say_verdict(folder: Path, incident_id: str, verdict: str) -> str:
    """Keep a verdict: through the service if one runs, else in its state folder.

    Returns:
        What it changes, in a sentence; empty where nothing can be like the incident.

    Raises:
        IdskitError: there is no such verdict, or it cannot be kept.
    """
    if verdict not in VERDICTS:
        raise IdskitError(f"a verdict is one of {', '.join(VERDICTS)}, and not {verdict}")
    if is_locked(folder):
        answer = ask(folder, {"ask": "verdict", "incident_id": incident_id, "verdict": verdict})
        return str(answer.get("effect", ""))
    try:
        lock = StateLock(folder)
        journal = Journal(folder, KEEP_BYTES)
        journal.append([verdict_record(incident_id, verdict)], durable=True)
        incident = journal.entries.incidents.get(incident_id) or _known(folder, incident_id)
        journal.close()
        effect = VerdictFile(folder).say(incident, verdict)
        lock.release()
    except OSError as error:
        raise IdskitError(f"the verdict cannot be kept in {folder}: {error.strerror}") from error
    return effect


def _known(folder: Path, incident_id: str) -> Document:
    """Return an incident of long ago; an empty document if there is none."""
    return _entries(folder).incidents.get(incident_id, {})


def _entries(folder: Path) -> Entries:
    if not os.access(folder, os.R_OK | os.X_OK):
        raise IdskitError(
            f"the state in {folder} is of another user: run this as that user, or as root"
        )
    return read_journal(folder, most=None)


def moment(text: str, now: datetime | None = None) -> datetime:
    """Return the time that a text means: ``2h`` ago, or a time of ISO 8601.

    Raises:
        IdskitError: it means none.

    Example:
        >>> str(moment("90m", datetime(2026, 11, 30, 12, tzinfo=UTC)))
        '2026-11-30 10:30:00+00:00'
    """
    ago = re.fullmatch(r"(\d{1,6})([mhdw])", text)
    try:
        if ago:
            count, unit = ago.groups()
            return (now or datetime.now(UTC)) - timedelta(**{_UNITS[unit]: int(count)})
        found = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise IdskitError(
            f"--since {text} is no time: write 30m, 2h, 3d, 1w, or 2026-11-30T08:00"
        ) from None
    return found.astimezone(UTC)  # without a zone: the time of this machine


def show_incidents(found: list[Document], console: Console) -> None:
    """Print a table of incidents."""
    if not found:
        console.print("no incidents")
        return
    section = Section(
        title="",
        columns=("incident", "attack", "what happened", "seen (UTC)", "state", "flows"),
        rows=tuple(map(_row, found)),
        words=5,
        severities=tuple(TONES.get(one.get("severity", 0), "") for one in found),
    )
    show_sections([section], console)


def _row(one: Document) -> tuple[str, ...]:
    severity = SEVERITIES.get(one.get("severity", 0), "")
    state = "ended" if one.get("type") == "end" else "open"
    said = (one.get("explanation") or {}).get("sentence")
    return (
        visible(one["incident_id"]),
        f"{visible(one.get('label', ''))}\n{severity}",
        visible(said or f"{one.get('attacker') or ''} to {one.get('target') or ''}"),
        f"{_time(one.get('started'))}\n{_time(one.get('updated'))}",
        "\n".join(filter(None, (state, visible(one.get("verdict") or "")))),
        f"{one.get('flows', 0):,}",
    )


def _time(text: object) -> str:
    return visible(str(text)[:19].replace("T", " "))


def show_incident(one: Document, console: Console) -> None:
    """Print all that is known of one incident: its facts, its evidence, and why there is one."""
    from idskit.explain.terminal import to_text

    for line in _facts(one):
        console.print(line, highlight=False)
    incident = Incident.from_json(one)
    explanation = incident.explanation or Explanation(sentence="")
    console.print(to_text(explanation, incident), highlight=False, markup=False, end="")


def card_of(folder: Path, one: Document) -> str:
    """Return an incident as a page; with the day of its device if the service runs.

    Raises:
        IdskitError: the service runs and does not answer.
    """
    from idskit.explain.card import card_page

    incident = Incident.from_json(one)
    explanation = incident.explanation or Explanation(sentence="")
    return card_page(explanation, incident=incident, day=_day(folder, incident.incident_id))


def _day(folder: Path, incident_id: str) -> HostDay | None:
    """Return what the service knows of the last 24 hours of the device of an incident."""
    if not is_locked(folder):
        return None
    day = ask(folder, {"ask": "incident", "incident_id": incident_id}).get("day")
    return None if day is None else HostDay.from_json(day)


def _facts(one: Document) -> Iterator[str]:
    number = one.get("severity", 0)
    colour = COLOURS.get(TONES.get(number, ""), "default")
    yield f"[bold]{shown(one.get('label', ''))}[/bold] [{colour}]{SEVERITIES.get(number, '')}[/]"
    for name in ("incident_id", "attacker", "attackers", "target", "targets", "services", "flows"):
        if one.get(name) not in (None, []):
            yield f"{name:<12} {shown(_plain(one[name]))}"
    started, updated = (shown(_time(one.get(name))) for name in ("started", "updated"))
    yield f"{'seen':<12} {started} to {updated} UTC"
    if one.get("ended"):
        yield f"{'ended':<12} {shown(_time(one['ended']))} UTC"
    yield f"{'technique':<12} {shown(one.get('technique', ''))} (MITRE ATT&CK)"
    yield f"{'confidence':<12} {one.get('confidence', 0):.2f}"
    yield f"{'verdict':<12} {shown(one.get('verdict') or 'none yet: idskit verdict ID attack')}"
    if one.get("effect"):
        yield f"{'':<12} {shown(one['effect'])}"


def _plain(value: object) -> object:
    return ", ".join(map(str, value)) if isinstance(value, list) else value
