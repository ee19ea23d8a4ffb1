"""The progress bar: seen on a terminal, silent elsewhere, and nothing obeyed that a name holds."""

from __future__ import annotations

import os
import pty
import re
import sys
from typing import Any

import pytest

from idskit.report.progress import ProgressBar


def drawn(monkeypatch: pytest.MonkeyPatch, *shown: Any, **options: Any) -> str:
    """What a terminal shows of a bar."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("COLUMNS", "100")
        monkeypatch.setenv("TERM", "xterm")
        with ProgressBar("reading", 20, **options) as bar:
            if shown:
                bar.show(*shown)
        stream.write("the end")
        stream.flush()
        text = ""
        while "the end" not in text:
            text += os.read(ours, 1 << 16).decode()
    os.close(ours)
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)


def test_work_that_is_counted_shows_its_unit_and_note(monkeypatch: pytest.MonkeyPatch) -> None:
    text = drawn(monkeypatch, 5, "loss 0.25", unit="epochs")
    for part in ("reading", "5/20", "epochs", "loss 0.25"):
        assert part in text


def test_work_without_a_unit_shows_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "25%" in drawn(monkeypatch, 5, "a.csv")


def test_work_is_asked_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "75%" in drawn(monkeypatch, done=lambda: 15)


def test_names_are_text(monkeypatch: pytest.MonkeyPatch) -> None:
    text = drawn(monkeypatch, 5, "\x1b]0;owned\x07[red]x[/red]\u202e.csv")
    assert r"\x1b]0;owned" in text
    assert "[red]x[/red]" in text
    assert "\u202e" not in text


def test_nothing_is_written_where_no_terminal_is(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBar("reading", 10, done=lambda: 3.0) as bar:
        bar.show(5, "a.csv")
    assert capsys.readouterr() == ("", "")
