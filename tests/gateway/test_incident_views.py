"""Incidents of a state folder on a terminal and as JSON, and verdicts without a service."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from idskit.cli.incident_views import found_by, found_since, moment, say_verdict
from idskit.errors import IdskitError
from idskit.flow import address_number
from idskit.gateway.journal import Journal, VerdictFile, incident_record, read_journal
from idskit.incidents.incident import Explanation, Incident

HOSTILE = "\x1b[2J\x1b]0;owned\x07[red]x[/red]\u202e<script>"
NOW = datetime.now(UTC)


def incident(number: int, age_h: float = 0, sentence: str = "it scanned") -> Incident:
    at = int((NOW - timedelta(hours=age_h)).timestamp() * 1e6)
    return Incident(
        incident_id=f"2026-{number}",
        type="new",
        family="scan",
        technique="T1046",
        severity=2,
        confidence=0.9,
        started_us=at,
        updated_us=at,
        attacker=HOSTILE,
        explanation=Explanation(sentence=sentence),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    journal = Journal(tmp_path, 4 << 20)
    incidents = [incident(10, 30), incident(11, 1), incident(12, 0, HOSTILE)]
    journal.append([incident_record(one.to_json()) for one in incidents])
    journal.close()
    return tmp_path


def verb(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "idskit", *words],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"STATE_DIRECTORY": str(folder)},
    )


def test_only_the_time_asked_for_is_listed(folder: Path) -> None:
    assert [one["incident_id"] for one in found_since(folder, "2h")] == ["2026-12", "2026-11"]
    assert len(found_since(folder, None)) == 3
    assert found_since(folder, "2999-01-01") == []


@pytest.mark.parametrize("text", ["", "1x", "h", "yesterday", "-1h", "9999999h", "2026-13-01"])
def test_what_is_no_time_is_one_sentence(text: str) -> None:
    with pytest.raises(IdskitError, match="is no time"):
        moment(text)


def test_an_identifier_may_be_cut_where_it_stays_one(folder: Path) -> None:
    assert found_by(folder, "2026-12")["incident_id"] == "2026-12"
    for beginning, words in (("2026-1", "3 incidents have"), ("x", "no incident has")):
        with pytest.raises(IdskitError, match=words):
            found_by(folder, beginning)


def test_a_terminal_obeys_nothing_that_came_from_the_network(folder: Path) -> None:
    for words in (("incidents",), ("explain", "2026-12")):
        done = verb(folder, *words)
        assert done.returncode == 0, done.stderr
        shown = done.stdout + done.stderr
        assert not {"\x1b", "\x07", "\u202e"} & set(shown)
        assert "owned" in shown


def test_a_page_of_one_incident_obeys_nothing_either(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "card.html"
    assert verb(folder, "explain", "2026-12", "--html", str(page)).returncode == 0
    text = page.read_text()
    assert len(text) < 20_000
    assert "owned" in text
    assert not {"\x1b", "\x07", "\u202e"} & set(text)
    assert "last 24 hours" not in text  # which only a running service knows


def test_json_on_stdout_is_the_whole_record(folder: Path) -> None:
    listed = json.loads(verb(folder, "incidents", "--json").stdout)
    assert Incident.from_json(listed[0]) == incident(12, 0, HOSTILE)


def test_a_verdict_without_a_service_is_kept(folder: Path) -> None:
    say_verdict(folder, "2026-11", "expected")
    assert read_journal(folder).verdicts == {"2026-11": "expected"}
    with pytest.raises(IdskitError, match="attack, expected, wrong, and not maybe"):
        say_verdict(folder, "2026-11", "maybe")


def test_what_a_verdict_changes_is_shown_and_kept_without_a_service(folder: Path) -> None:
    like = replace(incident(13), attacker="192.168.1.7", target="192.0.2.1", services=("22/tcp",))
    journal = Journal(folder, 4 << 20)
    journal.append([incident_record(like.to_json())])
    journal.close()
    assert "nothing else is like it" in verb(folder, "verdict", "2026-12", "wrong").stderr
    effect = "2026-13 was said to be wrong: scan of 192.168.1.7 at 22/tcp needs more evidence"
    assert effect in verb(folder, "verdict", "2026-13", "wrong").stderr
    assert found_by(folder, "2026-13")["effect"] == effect
    shown = " ".join(verb(folder, "explain", "2026-13").stderr.split())
    assert effect in shown
    (key,) = VerdictFile(folder).verdicts.factors()
    assert key == ("scan", address_number("192.168.1.7"), (6, 22))


def test_without_a_state_it_is_one_sentence(tmp_path: Path) -> None:
    done = verb(tmp_path / "none", "incidents")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "run the service first" in done.stderr
