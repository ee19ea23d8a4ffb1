"""Incidents that are no longer in memory: the same as whole files say, at little cost."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from tests.sinks.parts import HOSTILE, incident

from idskit.gateway.journal import (
    Journal,
    files_of,
    incident_record,
    read_journal,
    verdict_record,
)
from idskit.gateway.keeper import Keeper
from idskit.gateway.older_incidents import OlderIncidents
from idskit.gateway.state_folder import CheckedFile

KEEP = 4 << 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A journal of 700 incidents that came, changed and ended in any order, some with verdicts."""
    numbers = random.Random(5)
    journal = Journal(tmp_path, KEEP)
    kinds = ("new", "update", "end")
    for _ in range(1500):
        one = incident(numbers.randrange(700), type=numbers.choice(kinds), flows=numbers.random())
        journal.append([incident_record(one.to_json())])
        if numbers.random() < 0.1:
            said = numbers.choice(("attack", "expected", "wrong"))
            journal.append([verdict_record(one.incident_id, said)])
    for number, text in enumerate((*HOSTILE, '"incident":{"incident_id":"forged"', '"verdict":{')):
        journal.append([incident_record(incident(800 + number, device_name=text).to_json())])
    journal.close()
    return tmp_path


def test_they_are_what_the_whole_journal_says(folder: Path) -> None:
    expected = read_journal(folder, most=None).shown()
    assert len(files_of(folder)) > 1
    found = OlderIncidents(folder)
    pages = [found.latest_first(skip, 25) for skip in range(0, len(expected) + 25, 25)]
    assert [one for page in pages for one in page] == expected
    assert found.latest_first(10_000, 25) == []
    assert found.incident(expected[300]["incident_id"]) == expected[300]
    assert found.incident("forged") is None


def test_of_a_damaged_line_the_state_before_counts(folder: Path) -> None:
    numbers = random.Random(6)
    for path in files_of(folder):
        content = bytearray(path.read_bytes())
        for _ in range(30):
            content[numbers.randrange(len(content))] ^= 1 << numbers.randrange(8)
        path.write_bytes(content[:-7])
    expected = read_journal(folder, most=None)
    assert expected.damaged > 20
    assert OlderIncidents(folder).latest_first(0, 10_000) == expected.shown()


def test_a_verdict_on_one_that_is_not_in_memory_is_kept(folder: Path) -> None:
    keeper = Keeper(Journal(folder, KEEP), CheckedFile(folder, "tracker"), lambda _: None)
    shown = read_journal(folder, most=None).shown()
    old: dict[str, Any] = shown[600]
    assert old["incident_id"] not in {one["incident_id"] for one in keeper.incidents(10_000)}
    assert keeper.incident(old["incident_id"]) == old
    assert keeper.say_verdict(old["incident_id"], "wrong") == old
    assert keeper.say_verdict("none", "wrong") is None
    assert keeper.older(600, 1) == [old | {"verdict": "wrong"}]
    keeper.close(5)
    known = {one["incident_id"]: one for one in read_journal(folder, most=None).shown()}
    assert known[old["incident_id"]] == old | {"verdict": "wrong"}
    assert json.dumps(known)
