"""What kernels call is a part of them: it gives the same, and is not compiled by itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from idskit.kernels.compile import inlined, is_compiling, kernel

pytestmark = pytest.mark.skipif(not is_compiling(), reason="compares compiled kernels")


@kernel
def _square(value: int) -> int:
    return value * value


@inlined
def _plus(value: int, other: int = 1) -> int:
    return value + other


@kernel
def _checked(value: int) -> int:
    if value < 0:
        raise ValueError("negative")
    return _plus(_square(value))


@kernel
def _sum(values: np.ndarray) -> int:
    total = 0
    for value in values:
        total = _plus(total, other=_checked(value))
    return total


def test_parts_of_parts_do_what_python_does():
    values = np.arange(20)
    assert _sum(values) == sum(int(value) ** 2 + 1 for value in values)


def test_a_part_is_called_by_itself_before_and_after():
    assert _square(7) == 49
    assert _checked(7) == 50
    assert (_square(8), _plus(8), _plus(8, 2)) == (64, 9, 10)


def test_an_error_in_a_part_reaches_python():
    with pytest.raises(ValueError, match="negative"):
        _sum(np.array([1, -1]))


OUTER = """
import sys
from idskit.kernels.compile import kernel

@kernel
def inner(value):
    return value + 1

@kernel
def outer(value):
    return inner(value) * 2

assert outer(3) == 8
print(sum(outer.stats.cache_hits.values()))
"""


def test_only_what_python_calls_is_cached(tmp_path: Path):
    script = tmp_path / "outer.py"
    script.write_text(OUTER)
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    for hits in ("0", "1"):
        found = subprocess.run(
            [sys.executable, str(script)],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert found.stdout.strip() == hits
    assert [path.name.split("-")[0] for path in tmp_path.rglob("*.nbc")] == ["outer.outer"]
