"""Text of others, as terminals get it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import unicodedata

import pytest
from rich.console import Console
from rich.table import Table

from idskit.detect.inspect_model import inspect
from idskit.modelfile.model_path import model_path
from idskit.report.console import guarded
from idskit.report.text import shown, visible

HOSTILE = "a\x1b]0;pwned\x07\x1b[2J\nforged\r\x9b31m\u202e\u2028[red]b[/red][link=http://c]d[/link]"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain, größe, 日本", "plain, größe, 日本"),
        ("\x1b[31m", r"\x1b[31m"),
        ("a\nb\rc\td", r"a\nb\rc\td"),
        ("\x9b\x7f\x00\x85", r"\x9b\x7f\x00\x85"),
        ("\u202e\u2066\u200f", r"\u202e\u2066\u200f"),
        ("\u2028\u2029\ufeff\u200b", r"\u2028\u2029\ufeff\u200b"),
        ("\udc80\ud800", r"\udc80\ud800"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_what_would_not_be_seen_is_an_escape(text, expected) -> None:
    assert visible(text) == expected


def test_no_character_that_a_terminal_obeys_is_left() -> None:
    """Of all of Unicode, by Python's own table of categories."""
    left = {unicodedata.category(c) for c in map(chr, range(sys.maxunicode + 1)) if visible(c) == c}
    assert not left & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def test_lines_of_idskit_itself_are_kept() -> None:
    assert visible("a\n\x1bb", lines=True) == "a\n\\x1bb"


def test_a_console_prints_its_own_codes_only() -> None:
    console = guarded(Console(file=io.StringIO(), force_terminal=True, width=200))
    table = Table(title=shown(HOSTILE))
    table.add_row(shown(HOSTILE), "[bold]ours[/bold]")
    console.print(table)
    console.print(HOSTILE.replace("\n", ""), markup=False)  # nobody thought of it
    printed = console.file.getvalue()
    assert "\x1b[1mours" in printed
    for code in ("\x1b]0;", "\x1b[2J", "\x07", "\x9b", "\u202e", "\u2028", "\x1b[31m"):
        assert code not in printed
    assert "[link=http://c]d" in printed
    assert not [line for line in printed.splitlines() if line.strip().startswith("forged")]


def test_a_card_cannot_forge_what_inspect_says(make_model) -> None:
    path = make_model(facts={HOSTILE: HOSTILE, "verified": [HOSTILE], "half": "\ud800"})
    text = io.StringIO()
    inspect(path, verify=True).show(Console(file=text, width=400))
    lines = text.getvalue().splitlines()
    assert all(line.replace("│", "").isprintable() for line in lines)
    assert not [line for line in lines if line.strip("│ ").startswith("forged")]
    assert r"a\x1b]0;pwned\x07\x1b[2J\nforged" in text.getvalue()
    assert "[red]b" in text.getvalue()


def test_names_of_files_are_shown_and_not_sent(tmp_path) -> None:
    """By detect and inspect: what is there, what is not, and a summary."""
    name = "b\x1b]0;pwned\x07\nforged [red]c.onnx"
    with model_path() as model:
        (tmp_path / name).write_bytes(model.read_bytes())
    for arguments in (
        ["inspect", name],
        ["inspect", f"no{name}"],
        ["detect", name, "-r", f"no{name}"],
        ["--debug", "inspect", f"no{name}"],
        ["sign", name, "--key", f"no{name}"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "idskit", *arguments],
            capture_output=True,
            check=False,
            cwd=tmp_path,
            env=os.environ | {"COLUMNS": "400"},
        )
        said = done.stderr.decode()
        assert "\x1b" not in said + done.stdout.decode()
        assert r"b\x1b]0;pwned\x07\nforged [red]c.onnx" in said
        assert "\nforged" not in said
