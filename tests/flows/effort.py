"""How much a test tries: less where nothing is compiled, which is a hundred times slower.

``NUMBA_DISABLE_JIT=1`` runs every test, on fewer examples. With ``NUMBA_BOUNDSCHECK=1`` a kernel
can fail in every way in which it can without, and in one more: what is tried there in full need not
be tried in full again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from numba import config

from idskit.kernels.compile import is_compiling

Item = TypeVar("Item")

CHECKS_BOUNDS = bool(config.BOUNDSCHECK)  # type: ignore[attr-defined]
_SHARE = 1 if is_compiling() else 20


def examples(count: int) -> int:
    """``count``, or a twentieth of it."""
    return max(count // _SHARE, 1)


def at_least(few: int, count: int) -> int:
    """``count``, or a twentieth of it, but not fewer than show what is tested."""
    return max(few, examples(count))


def some(items: Sequence[Item]) -> Sequence[Item]:
    """All of them, or every twentieth."""
    return items[::_SHARE]
