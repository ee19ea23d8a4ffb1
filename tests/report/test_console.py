"""What people read: nothing cut in a narrow terminal, nothing wrapped where there is none."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

import pytest
from rich.table import Table

from idskit.report.console import PeopleConsole

PATH = "/srv/captures/2026/11/a-rather-long-name-of-a-capture-that-somebody-made.pcap"
ADDRESS = "2001:db8:1234:5678:9abc:def0:1234:5678"


def table(**options: bool) -> Table:
    made = Table(title=f"model {PATH}", **options)
    for number, name in enumerate(("attack", "who", "file", "alerts", "rate", "score")):
        made.add_column(name, no_wrap=number > 2)
    for row in range(2):
        made.add_row("brute-force", f"{ADDRESS} and others", PATH, f"{row},234,567", "1.5", "0.99")
    return made


def pieces(stream: IO[bytes]) -> Iterator[bytes]:
    with suppress(OSError):  # a terminal that nobody has open any more
        while piece := stream.read(4096):
            yield piece


def shown(monkeypatch: pytest.MonkeyPatch, width: int | None) -> list[str]:
    """The lines of a terminal of that width, or of a log."""
    ours, theirs = pty.openpty() if width else os.pipe()
    with os.fdopen(theirs, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("COLUMNS", str(width or 40))
        PeopleConsole().print(table())
    with os.fdopen(ours, "rb", buffering=0) as read:
        printed = b"".join(pieces(read))
    text = re.sub(r"\x1b\[[0-9;]*m", "", printed.decode())
    return [line.rstrip("\r") for line in text.split("\n")]


@pytest.mark.parametrize("width", [20, 40, 80, 120, 200, None])
def test_nothing_is_cut(monkeypatch: pytest.MonkeyPatch, width: int | None) -> None:
    lines = shown(monkeypatch, width)
    everything = "".join(lines)
    assert "…" not in everything
    assert max(len(line) for line in lines) <= (width or 1 << 16)
    letters = [letter for letter in everything if letter.isalnum() or letter in ".-:/"]
    for number in ("0,234,567", "1,234,567"):
        assert number in everything
    assert len(letters) >= 2 * (len(ADDRESS) + len(PATH) + len("brute-force1234567"))


@pytest.mark.parametrize("width", [80, 120, 200, None])
def test_addresses_stay_whole(monkeypatch: pytest.MonkeyPatch, width: int | None) -> None:
    assert sum(ADDRESS in line for line in shown(monkeypatch, width)) == 2


def test_a_log_has_paths_whole_whatever_columns_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sum(PATH in line for line in shown(monkeypatch, None)) == 3  # title and both rows


def test_commands_write_whole_paths_to_a_log(tmp_path: Path) -> None:
    model = tmp_path / ("a" * 100) / ("b" * 100 + ".onnx")
    model.parent.mkdir()
    source = Path(__file__).parents[2] / "toolkit" / "shipped" / "ids.int8.onnx"
    model.write_bytes(source.read_bytes())
    done = subprocess.run(
        [sys.executable, "-m", "idskit", "inspect", str(model)],
        env=os.environ | {"COLUMNS": "40"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.splitlines()[0] == str(model)


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["bench", "--help"]])
def test_help_in_a_narrow_terminal_has_every_word(words: list[str]) -> None:
    def text(columns: int) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "idskit", *words],
            env=os.environ | {"COLUMNS": str(columns)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert "…" not in done.stdout
        return "".join(done.stdout.split())

    narrow = text(40)
    assert narrow == text(200)
    assert "--version" in narrow or "--json" in narrow
