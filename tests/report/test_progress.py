"""The progress bar: seen on a terminal, silent elsewhere, and nothing obeyed that a name holds."""

from __future__ import annotations

import os
import pty
import re
import select
import sys
from collections.abc import Iterator

import pytest

from idskit.report.progress import ProgressBar


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("COLUMNS", "100")
        monkeypatch.setenv("TERM", "xterm")
        yield ours
    os.close(ours)


def read(descriptor: int) -> str:
    ready, _, _ = select.select([descriptor], [], [], 1.0)
    text = os.read(descriptor, 1 << 16).decode() if ready else ""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)


def test_work_that_is_counted_shows_its_unit_and_note(terminal: int) -> None:
    with ProgressBar("training", 20, unit="epochs") as bar:
        bar.show(5, "loss 0.25")
    text = read(terminal)
    for part in ("training", "5/20", "epochs", "loss 0.25"):
        assert part in text


def test_work_without_a_unit_shows_its_share(terminal: int) -> None:
    with ProgressBar("reading", 1000) as bar:
        bar.show(250, "a.csv")
    assert "25%" in read(terminal)


def test_work_that_is_asked_how_far_it_is(terminal: int) -> None:
    done = iter([100.0, 500.0, *[1000.0] * 1000])
    with ProgressBar("reading", 1000, done=lambda: next(done)):
        pass
    assert "%" in read(terminal)
    assert next(done) > 100  # it was asked


def test_names_are_text(terminal: int) -> None:
    with ProgressBar("reading", 10) as bar:
        bar.show(5, "\x1b]0;owned\x07[red]x[/red]\u202e.csv")
    text = read(terminal)
    assert "\\x1b]0;owned" in text
    assert "[red]x[/red]" in text
    assert "\u202e" not in text


def test_nothing_is_written_where_no_terminal_is(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBar("reading", 10, done=lambda: 3.0) as bar:
        bar.show(5, "a.csv")
    assert capsys.readouterr() == ("", "")
