"""Print the test files of what changed since main: ``python -m tests.changed [REVISION]``.

Tests mirror the tree, so a changed source file is tested by the test files of its folder that name
its module, a changed test file by itself. Changes of the ground floor are left to the whole suite.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {"toolkit": "idskit", "export": "idskit.export", "bench": "idskit.bench"}
ALWAYS = ("tests/test_arrows.py",)


def changed_files(revision: str) -> list[Path]:
    """Return the Python files that differ from where this branch left ``revision``."""
    base = _git("merge-base", revision, "HEAD").strip()
    names = _git("diff", "--name-only", base) + _git("ls-files", "--others", "--exclude-standard")
    return [Path(name) for name in names.splitlines() if name.endswith(".py")]


def tests_of(path: Path) -> set[str]:
    """Return the test files that test a file; tests of the same room that name its module."""
    top = path.parts[0]
    if top == "tests":
        return {str(path)} if path.name.startswith("test_") and (ROOT / path).exists() else set()
    if top not in PACKAGES:
        return set()
    module = ".".join((PACKAGES[top], *path.with_suffix("").parts[1:]))
    room = path.parts[1] if top == "toolkit" and len(path.parts) > 2 else top
    files = (ROOT / "tests" / room).rglob("test_*.py")
    return {str(file.relative_to(ROOT)) for file in files if module in file.read_text()}


def _git(*words: str) -> str:
    return subprocess.run(
        ["git", *words], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout


if __name__ == "__main__":
    found = {test for path in changed_files(*sys.argv[1:] or ["main"]) for test in tests_of(path)}
    print(*sorted(found | set(ALWAYS)))
