"""The floor plan: which room may import which, how large a file or folder is, what stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOPS = {"toolkit": "idskit", "export": "idskit.export", "bench": "idskit.bench"}
# From the roof down. A room imports from the floors below it and, in one direction, from its own.
FLOORS = (
    "cli",
    "bench",
    "training export audit lab",
    "gateway",
    "machine page site explain",
    "detect data sinks",
    "alerts modelfile extract generate models incidents",
    "tables profiles",
    "flows decode payload",
    "capture",
    "kernels report process files schemas",
    "ground",  # the modules that lie in toolkit/ itself
)
FLOOR = {room: -depth for depth, rooms in enumerate(FLOORS) for room in rooms.split()}
APART = {"export": {"training"}, "audit": {"training"}, "bench": {"training"}, "detect": {"models"}}
LIGHT = ("ground", "schemas", "report", "process", "files")  # neither numba nor torch
MODULES = {
    ".".join((package, *path.relative_to(ROOT / top).with_suffix("").parts)): path
    for top, package in TOPS.items()
    for path in sorted((ROOT / top).rglob("*.py"))
}
PLAIN = [path for path in MODULES.values() if not path.stem.startswith("__")]


def room_of(module: str) -> str:
    """Return the room of a module; modules that lie in no folder are the ground."""
    name = module.split(".")[1]
    return "ground" if f"idskit.{name}" in MODULES else name


def imported(path: Path) -> Iterator[str]:
    """Yield every module of idskit that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("idskit."))
        elif isinstance(node, ast.ImportFrom) and node.module == "idskit":
            names = {alias.name for alias in node.names} - {"__version__"}
            yield from (f"idskit.{name}" for name in names)
        elif isinstance(node, ast.ImportFrom) and str(node.module).startswith("idskit."):
            yield str(node.module)


def arrows() -> dict[tuple[str, str], list[str]]:
    """Return the files behind every arrow between two rooms; faces of the package are no room."""
    found: dict[tuple[str, str], list[str]] = {}
    for module, path in MODULES.items():
        if path.parent == ROOT / "toolkit" and path.stem.startswith("__"):
            continue
        for target in imported(path):
            found.setdefault((room_of(module), room_of(target)), []).append(named(path))
    return {pair: files for pair, files in found.items() if pair[0] != pair[1]}


def named(path: Path) -> str:
    """Return a path as the checkout names it."""
    return str(path.relative_to(ROOT))


def test_arrows_between_rooms_go_down() -> None:
    found = arrows()
    rooms = {room for pair in found for room in pair}
    assert rooms <= set(FLOOR), "a new room needs a floor"
    up = {
        f"{room} imports {target}": files
        for (room, target), files in found.items()
        if FLOOR[target] > FLOOR[room] or target in APART.get(room, ())
    }
    assert up == {}


def test_no_room_imports_itself_through_others() -> None:
    below: dict[str, set[str]] = {}
    for room, target in arrows():
        below.setdefault(room, set()).add(target)
    TopologicalSorter(below).prepare()  # raises CycleError


def test_no_file_is_longer_than_500_lines() -> None:
    lengths = {named(path): path.read_text().count("\n") for path in MODULES.values()}
    assert {path: lines for path, lines in lengths.items() if lines > 500} == {}


def test_no_folder_holds_more_than_12_files() -> None:
    sizes = Counter(named(path.parent) for path in PLAIN)
    assert {folder: size for folder, size in sizes.items() if size > 12} == {}


def test_a_file_name_stands_for_one_thing() -> None:
    names = Counter(path.name for path in PLAIN)
    assert [name for name, count in names.items() if count > 1] == []


def test_every_folder_has_a_face_that_says_what_it_is() -> None:
    faces = {path.parent / "__init__.py" for path in MODULES.values()}
    silent = [named(face) for face in faces if not (face.exists() and described(face))]
    assert silent == []


def described(path: Path) -> bool:
    """Return whether a file begins with a docstring."""
    return bool(ast.get_docstring(ast.parse(path.read_text())))


def loaded_by(*modules: str) -> set[str]:
    """Return the top-level packages that a new process has after importing modules."""
    code = f"import sys, {', '.join(modules)}; print(*{{n.split('.')[0] for n in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize("room", LIGHT)
def test_the_lowest_rooms_load_neither_compiler_nor_training_half(room: str) -> None:
    names = [name for name in MODULES if room_of(name) == room and "__" not in name]
    assert not loaded_by(*names) & {"numba", "llvmlite", "torch", "pandas", "onnx"}


def test_import_idskit_is_light() -> None:
    assert not loaded_by("idskit") & {"numpy", "numba", "onnxruntime", "torch", "typer"}
