"""The README's commands, as written, in a folder that has what they name."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
SHIPPED = ROOT / "toolkit" / "shipped"


SHARED = ROOT.parent / "shared"
LONG = "trains for minutes: it has no --epochs, which a line that a reader tries first should have"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def lines_of(block):
    """The lines that call idskit: the command, and what its comment says."""
    parts = (line.partition("#") for line in block.splitlines() if line.startswith("idskit"))
    return [(command.strip(), comment) for command, _, comment in parts]


BLOCKS = [lines for lines in map(lines_of, blocks("sh")) if lines]


@pytest.fixture
def folder(tmp_path):
    """A working folder with what the README's lines name: sample, table, ../shared."""
    work = tmp_path / "work"
    work.mkdir()
    (work / "toolkit").mkdir()
    (work / "toolkit" / "shipped").symlink_to(SHIPPED)
    rows = (f"{10 + i % 7},{i % 50 * (i % 2)},{'scan' if i % 2 else 'benign'}" for i in range(600))
    (work / "flows.csv").write_text("duration,packets,label\n" + "\n".join(rows) + "\n")
    if SHARED.is_dir():
        (tmp_path / "shared").symlink_to(SHARED)
    return work


def obstacle(command, folder):
    """Why a line cannot run here; None if it can."""
    missing = [word for word in shlex.split(command) if word.startswith("../")]
    missing = [word for word in missing if not (folder / word).exists()]
    if missing:
        return f"needs {missing[0]}"
    is_named = command.startswith("idskit train") and "../shared" in command
    return LONG if is_named and "--epochs" not in command else None


def run(command, folder):
    words = command.replace("--packets 100000", "--packets 5000")  # the same command, sooner
    words = words.replace("idskit", f"{shlex.quote(sys.executable)} -m idskit", 1)
    return subprocess.run(
        ["/bin/sh", "-c", words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONWARNINGS": "default"},
    )


@pytest.mark.timeout(600)
@pytest.mark.parametrize("lines", BLOCKS, ids=lambda lines: " ".join(lines[0][0].split()[:2]))
def test_the_lines_of_a_block_run_one_after_the_other(folder, lines):
    """Each exits with 0; with 3 as well where its comment says so."""
    for command, comment in lines:
        reason = obstacle(command, folder)
        if reason is not None:
            pytest.skip(f"{command}: {reason}")
        out = run(command, folder)
        allowed = {0, 3} if "exit 3" in comment else {0}
        assert out.returncode in allowed, f"{command}\n{out.stderr}"


def test_the_readme_shows_how_to_detect_and_how_to_train():
    verbs = {command.split()[1] for lines in BLOCKS for command, _ in lines}
    assert {"detect", "train", "evaluate", "export"} <= verbs


def test_the_lines_of_python_print_incidents(folder):
    program = next(block for block in blocks("python") if "open_flows" in block)
    out = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False
    )
    assert out.returncode == 0, out.stderr
    said = out.stdout.splitlines()
    assert {line.split()[0] for line in said} == {"new", "update", "end"}
    assert any("192.0.2.66 probed" in line for line in said)


def test_the_output_that_is_shown_is_real(folder):
    """Its words, in their order: how wide a terminal is decides where lines end."""
    command = next(command for lines in BLOCKS for command, _ in lines if "detect" in command)
    shown = blocks("text")[0].split("─")[-1].partition("\n ...")[0]
    real = run(command, folder).stderr
    assert len(shown.split()) > 20
    assert [word for word in shown.split() if word not in real.split()] == []
    counts = r"\d+ incidents: [\d,]+ packets in [\d,]+ flows"
    assert re.findall(counts, README) == re.findall(counts, real)


def test_it_is_short_enough_for_a_newcomer():
    lines = README.splitlines()
    assert len(lines) <= 95
    assert [line for line in lines if len(line) > 150] == []


def test_the_size_of_the_shipped_model_is_right():
    said = re.search(r"model of (\d+\.\d) MB", README)
    assert float(said[1]) == round((SHIPPED / "ids.int8.onnx").stat().st_size / 1e6, 1)


def test_links_lead_somewhere():
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"\bmake (\w+)", README)):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
