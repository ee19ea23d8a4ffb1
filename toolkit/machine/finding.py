"""One line of ``idskit doctor``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One fact about this machine.

    Attributes:
        name: what was looked at.
        found: what is there.
        level: ``ok``; ``warning``: it works, but less well; ``error``: ``idskit detect`` cannot
            run.
        meaning: what that means and, where something is to be done, what.
    """

    name: str
    found: str
    level: Level
    meaning: str


def broken(name: str, package: str, error: Exception) -> Finding:
    """A package that does not load: the doctor must not end with it."""
    return Finding(
        name=name,
        found=f"{package} does not load: {error}",
        level="error",
        meaning=f"pip install --force-reinstall {package}",
    )
