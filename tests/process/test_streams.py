"""Standard streams that are closed or full: one sentence, exit 1, no file in their place."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from idskit.generate import generate

CLOSED = "idskit: standard output is closed: send it to a file or to a program"
FULL = "standard output cannot be written: No space left on device"


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(tmp_path_factory.mktemp("home") / "home.pcap", packets=2000, seed=4).path


def shell(words: str, **where: str | Path) -> subprocess.CompletedProcess[str]:
    """Run ``idskit`` with redirections."""
    command = f'exec "$PYTHON" -m idskit {words}'
    return subprocess.run(
        ["sh", "-c", command],
        env={"PYTHON": sys.executable, "PATH": "/usr/bin:/bin", **_home(), **_texts(where)},
        capture_output=True,
        text=True,
        check=False,
    )


def _home() -> dict[str, str]:
    kept = ("HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR", "NUMBA_DISABLE_JIT")
    return {name: os.environ[name] for name in kept if name in os.environ}


def _texts(where: dict[str, str | Path]) -> dict[str, str]:
    return {name: str(value) for name, value in where.items()}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("extract -r $C >&-", CLOSED),
        ("inspect --json - >&-", CLOSED),
        ("--help >&-", CLOSED),
        ("extract -r $C > /dev/full", FULL),
        ("detect -r $C > /dev/full", "No space left on device"),
        ("inspect --json - > /dev/full", FULL),
        ("--version > /dev/full", FULL),  # less than a buffer
        ("train --help > /dev/full", FULL),  # more
    ],
)
def test_output_that_is_lost_is_one_sentence(capture: Path, words: str, sentence: str) -> None:
    done = shell(words, C=capture)
    assert done.returncode == 1
    said = done.stderr.splitlines()
    assert sentence in (done.stderr if words.startswith("detect") else said[-1])
    assert not {"Traceback", "unexpected", "Exception ignored"} & set(done.stderr.split())


@pytest.mark.parametrize("redirect", ["2>&-", "2> /dev/full"])
def test_a_lost_standard_error_ends_nothing(redirect: str) -> None:
    done = shell(f"inspect --json - {redirect}")
    assert done.returncode == 0
    assert json.loads(done.stdout)["classes"][0] == "benign"
    assert shell(f"inspect missing.onnx {redirect}").returncode == 1


def test_with_everything_closed_no_file_takes_the_place_of_a_stream(
    capture: Path, tmp_path: Path
) -> None:
    """The first file opened would be number 0, 1 or 2, and hold what libraries print."""
    table, facts = tmp_path / "flows.csv", tmp_path / "facts.json"
    words = "extract -r $C -o $T --json $F <&- >&- 2>&-"
    assert shell(words, C=capture, T=table, F=facts).returncode == 0
    assert table.read_text() == shell("extract -r $C", C=capture).stdout
    assert json.loads(facts.read_text())["packets"] == 2000


def test_the_case_of_the_testers(shared: Path) -> None:
    capture = shared / "cases" / "closed-stdout" / "input.pcap"
    done = shell("detect -r $C >&-", C=capture)
    assert (done.returncode, done.stderr) == (1, CLOSED + "\n")


def test_python_m_idskit_is_idskit(tmp_path: Path) -> None:
    done = shell("inspect missing.onnx")
    assert done.returncode == 1
    assert done.stderr.startswith("idskit: ")
