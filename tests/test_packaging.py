"""What a user installs: the wheel's content, its dependencies, and the shipped files."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT, TOOL = SETTINGS["project"], SETTINGS["tool"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel built from a clean copy of the tracked files."""
    source = tmp_path_factory.mktemp("source")
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False, text=True
    )
    if tracked.returncode:
        pytest.skip("needs a git checkout")
    for name in filter(None, tracked.stdout.split("\0")):
        if (ROOT / name).is_file():
            target = source / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    built = subprocess.run(
        [*command, "-w", out, source], capture_output=True, check=False, text=True
    )
    assert built.returncode == 0, built.stderr
    return zipfile.ZipFile(next(out.glob("*.whl")))


def test_wheel_installs_only_idskit(wheel):
    top = {name.split("/")[0] for name in wheel.namelist()}
    assert top == {"idskit", f"idskit-{PROJECT['version']}.dist-info"}


PACKAGES = TOOL["setuptools"]["packages"]


def test_every_room_is_listed():
    homes = {"idskit": ROOT / "toolkit", "idskit.export": ROOT / "export"}
    homes["idskit.bench"] = ROOT / "bench"
    found = {
        ".".join([name, *file.parent.relative_to(home).parts])
        for name, home in homes.items()
        for file in home.rglob("__init__.py")
    }
    assert found <= set(PACKAGES)
    assert set(PACKAGES) - found <= TOOL["setuptools"]["package-data"].keys()  # of data alone


@pytest.mark.parametrize("package", PACKAGES)
def test_wheel_has_every_room(wheel, package):
    folder = f"{package.replace('.', '/')}/"
    assert any(name.startswith(folder) for name in wheel.namelist())


@pytest.mark.parametrize("name", ["py.typed", "__main__.py", "cli/entry.py", "options.py"])
def test_wheel_has_the_program(wheel, name):
    assert f"idskit/{name}" in wheel.namelist()


@pytest.mark.parametrize("name", ["ids.int8.onnx", "sample.pcap", "sample.labels.csv"])
def test_wheel_ships_model_and_sample(wheel, name):
    assert f"idskit/shipped/{name}" in wheel.namelist()


def test_shipped_files_keep_to_their_sizes(wheel):
    assert wheel.getinfo("idskit/shipped/ids.int8.onnx").file_size <= 3 << 20
    assert wheel.getinfo("idskit/shipped/sample.pcap").file_size <= 1 << 20


def test_runtime_dependencies_are_light():
    names = {line.partition(">")[0] for line in PROJECT["dependencies"]}
    assert names == {"numpy", "numba", "onnxruntime", "typer"}
    assert {"train", "export", "gpu", "dev"} <= set(PROJECT["optional-dependencies"])


@pytest.mark.parametrize("statement", ["import idskit", "from idskit import Detector, open_flows"])
def test_import_loads_no_training_half(statement):
    program = f"import json, sys; {statement}; print(json.dumps(sorted(sys.modules)))"
    out = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    )
    loaded = set(json.loads(out.stdout))
    assert not loaded & {"torch", "onnx", "pandas", "sklearn", "lightgbm"}
