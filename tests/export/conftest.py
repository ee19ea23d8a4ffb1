"""The toy run in memory and on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.export.toy import make_run

from idskit.models.saved_run import Run, save_run


@pytest.fixture(scope="session")
def run() -> Run:
    """A run with every kind of part: attention, category codes, a dropped column."""
    return make_run()


@pytest.fixture(scope="session")
def run_folder(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run on disk."""
    folder = tmp_path_factory.mktemp("runs") / "toy"
    save_run(run, folder)
    return folder
