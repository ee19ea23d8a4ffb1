"""The toy run in memory and on disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
from tests.export.toy import make_run

from idskit.models.saved_run import Run, save_run


@pytest.fixture(scope="session", autouse=True)
def sessions_of_one_thread() -> Iterator[None]:
    """Give sessions without options one thread: others wait in a loop, against parallel tests."""
    make = onnxruntime.InferenceSession

    def session(content: Any, options: Any = None, **more: Any) -> Any:
        if options is None:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
        return make(content, options, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnxruntime, "InferenceSession", session)
        yield


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
