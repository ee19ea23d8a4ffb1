"""Fixtures of the audit's tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Write a table and return its path."""

    def write(table: pd.DataFrame, name: str = "table.csv") -> Path:
        path = tmp_path / name
        table.to_parquet(path) if name.endswith(".parquet") else table.to_csv(path, index=False)
        return path

    return write
