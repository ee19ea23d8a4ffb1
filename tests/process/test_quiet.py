"""No connection and no file that nobody asked for: every program in a namespace of its own."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import pytest
from tests.process.quiet import Watched, require_tracing

from idskit.process import telemetry

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = Path(str(files("idskit") / "shipped"))
HAS_TELEMETRY = tuple(map(int, version("onnxruntime").split(".")[:2])) >= (1, 29)


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    require_tracing()
    return Watched(tmp_path)


def test_the_watch_sees_telemetry(watched: Watched) -> None:
    if not HAS_TELEMETRY:
        pytest.skip("this onnxruntime has none")
    seen = watched.run("-c", "import onnxruntime")
    assert seen.status == 0, seen.errors
    assert any("onnxruntime" in str(path) for path in watched.outside(seen))
    assert watched.left()


def test_the_watch_sees_a_name_looked_up_and_a_file_left(watched: Watched) -> None:
    code = (
        "import socket, pathlib; pathlib.Path.home().joinpath('x').touch()\n"
        "try: socket.getaddrinfo('name.invalid', 80)\n"
        "except OSError: pass"
    )
    seen = watched.run("-c", code)
    assert seen.sockets
    assert [path.name for path in watched.outside(seen)] == ["x"]


@pytest.mark.parametrize(
    "words",
    [
        ["detect", "-r", SHIPPED / "sample.pcap"],
        ["extract", "-r", SHIPPED / "sample.pcap", "-o", "flows.csv"],
        ["bench", "--quick", "--scenario", "single-stream", "--json", "speed.json"],
        ["doctor", "--json", "-"],
    ],
    ids=lambda words: words[0],
)
def test_commands_keep_to_themselves(watched: Watched, words: list[str | Path]) -> None:
    seen = watched.run("-m", "idskit", *words)
    assert seen.status == 0, seen.errors
    assert seen.sockets == ()
    assert watched.outside(seen) == []
    assert watched.left() == []


def test_an_emitted_script_keeps_to_itself(watched: Watched) -> None:
    for module in ("torch", "onnx", "safetensors"):
        pytest.importorskip(module)
    from idskit.detect.detector import Detector
    from idskit.export.emit import emit

    model = watched.root / "work" / "ids.int8.onnx"
    shutil.copy(SHIPPED / model.name, model)
    detector = Detector.load(model)
    script = emit("python", model, detector.card, detector.sha256)
    seen = watched.run(script, "--check")
    assert seen.status == 0, seen.errors
    assert seen.sockets == ()
    assert watched.outside(seen) == []
    assert watched.left() == []


# The variable that does it.


def in_new_process(code: str, **environment: str) -> str:
    kept = {name: value for name, value in os.environ.items() if name != telemetry.VARIABLE}
    words = [sys.executable, "-c", code]
    return subprocess.run(
        words, env=kept | environment, capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.mark.parametrize(
    ("given", "expected"),
    [(None, "1 True"), ("", "1 True"), ("1", "1 True"), ("TRUE", "TRUE True"), ("0", "0 False")],
)
def test_telemetry_is_off_unless_the_user_set_something_else(
    given: str | None, expected: str
) -> None:
    code = (
        "import idskit.process.telemetry as t, os, sys; assert 'onnxruntime' not in sys.modules;"
        "print(os.environ[t.VARIABLE], t.is_off())"
    )
    environment = {} if given is None else {telemetry.VARIABLE: given}
    assert in_new_process(code, **environment) == expected


def test_the_package_decides_before_anything_of_it_is_imported() -> None:
    code = "import idskit.cli, sys; print(*(m for m in sys.modules if m.startswith('idskit.')))"
    first = in_new_process(code).split()[:3]
    assert first == [
        "idskit.process",
        "idskit.process.start",
        "idskit.process.telemetry",
    ]  # signals, from built-in modules alone


def scripts() -> list[Path]:
    """Files that run where the package is not imported: emitted, or called by path."""
    return [path for room in ("toolkit", "export", "bench") for path in (ROOT / room).rglob("*.py")]


def test_whatever_imports_onnxruntime_without_the_package_sets_it_before() -> None:
    """Only the emitted script does; a module of the package cannot be imported before it."""
    alone = [path for path in scripts() if "idskit" not in imported(path)]
    bare = [path for path in alone if "onnxruntime" in imported(path)]
    assert ROOT / "export" / "standalone.py" in bare
    for path in bare:
        lines = path.read_text().splitlines()
        (at,) = (n for n, line in enumerate(lines) if line.startswith("import onnxruntime"))
        assert any(telemetry.VARIABLE in line for line in lines[:at]), path


def imported(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in names}
