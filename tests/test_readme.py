"""The README's commands, as written, in a folder that has what they name."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
SHIPPED = ROOT / "toolkit" / "shipped"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def block_with(language, word):
    return next(block for block in blocks(language) if word in block)


@pytest.fixture
def folder(tmp_path):
    """A working folder with the model and capture that the README's lines name."""
    shutil.copy(SHIPPED / "ids.int8.onnx", tmp_path / "ids.int8.onnx")
    shutil.copy(SHIPPED / "sample.pcap", tmp_path / "capture.pcap")
    return tmp_path


def test_eight_lines_of_python_print_alerts(folder):
    program = block_with("python", "open_flows")
    out = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False
    )
    assert out.returncode == 0, out.stderr
    assert all(line.startswith('{"timestamp"') for line in out.stdout.splitlines())
    assert len(out.stdout.splitlines()) > 100


SHELL_LINES = [
    line.partition("#")[0].strip()
    for line in block_with("sh", "idskit detect -r").splitlines()
    if line.startswith("idskit")
]


@pytest.mark.parametrize("line", SHELL_LINES)
def test_shell_line_runs(folder, line):
    words = line.replace("--packets 100000", "--packets 5000")  # the same command, sooner
    command = words.replace("idskit", f"{shlex.quote(sys.executable)} -m idskit", 1)
    out = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONWARNINGS": "default"},
    )
    assert out.returncode == 0, out.stderr


def test_links_lead_somewhere():
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"\bmake (\w+)", README)):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
