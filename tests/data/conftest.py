"""Small NSL-KDD files made by code."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from idskit.data.published import nsl_kdd


def line(attack: str = "normal", **values: object) -> str:
    """One line of the publisher's format: zeros, tcp, http, SF, unless told otherwise."""
    record: dict[str, object] = dict.fromkeys(nsl_kdd.HEADER, 0)
    record |= {"protocol_type": "tcp", "service": "http", "flag": "SF", "difficulty": 20}
    record |= {"attack": attack} | values
    return ",".join(str(value) for value in record.values())


def lines(attack: str, count: int, start: int = 0) -> list[str]:
    """Distinct lines of one attack."""
    return [line(attack, src_bytes=start + index) for index in range(count)]


@pytest.fixture
def write_nsl(tmp_path: Path) -> Callable[..., Path]:
    """Write train and test lines into a folder, and return it."""

    def write(train: list[str], test: list[str] | None = None, *, zipped: bool = False) -> Path:
        for name, rows in (("KDDTrain+.txt", train), ("KDDTest+.txt", test)):
            if rows is None:
                continue
            text = "".join(row + "\n" for row in rows).encode()
            if zipped:
                (tmp_path / f"{name}.gz").write_bytes(gzip.compress(text))
            else:
                (tmp_path / name).write_bytes(text)
        return tmp_path

    return write


@pytest.fixture
def nsl_line() -> Callable[..., str]:
    return line


@pytest.fixture
def nsl_lines() -> Callable[..., list[str]]:
    return lines
