"""Fixtures of the page's tests: a service, and the page in its own process."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.page.fake_service import FakeService, snapshot

from idskit.page import page_process
from idskit.page.page_options import PageOptions
from idskit.page.page_process import PageProcess, start_page

# The page's own program, which waits for a client and a service that stand still on a busy machine.
_PATIENT = """
import sys
from idskit.page import control_client, page_process, web_server
web_server.CLIENT_S = control_client.ANSWER_S = 60.0
sys.exit(page_process.run_child())
"""


@pytest.fixture(scope="session", autouse=True)
def patient_page() -> Iterator[None]:
    """Start pages that are patient."""

    def popen(words: Sequence[str], **given: Any) -> subprocess.Popen[bytes]:
        program, flag, *module = words
        assert (flag, module) == ("-I", ["-m", "idskit.page.page_process"])
        return subprocess.Popen([program, flag, "-c", _PATIENT], **given)

    with pytest.MonkeyPatch.context() as patch:
        made = SimpleNamespace(PIPE=subprocess.PIPE, Popen=popen)
        patch.setattr(page_process, "subprocess", made)
        yield


@pytest.fixture(scope="module")
def socket_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose name is short enough for a socket in it."""
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def shared_service(socket_folder: Path) -> Iterator[FakeService]:
    """The service of all tests of a file."""
    with FakeService(socket_folder / "control.sock", snapshot()).running() as running:
        yield running


@pytest.fixture
def service(shared_service: FakeService) -> FakeService:
    """A service of a quiet home with one open incident, whatever tests before have done to it."""
    shared_service.found = snapshot()
    shared_service.answer = shared_service.usual
    shared_service.kept = []
    shared_service.verdicts.clear()
    return shared_service


@pytest.fixture(scope="module")
def serve_page() -> Iterator[Callable[..., PageProcess]]:
    """Start pages that end with the file's tests."""
    with ExitStack() as stack:

        def start(socket: Path, **options: Any) -> PageProcess:
            page = start_page(PageOptions(**{"port": 0, **options}), socket)
            stack.callback(page.close)
            return page

        yield start


@pytest.fixture(scope="module")
def shared_page(shared_service: FakeService, serve_page: Callable[..., PageProcess]) -> PageProcess:
    """The page of all tests of a file; it may show for a second what the service was before."""
    return serve_page(shared_service.path)


@pytest.fixture
def page(service: FakeService, shared_page: PageProcess) -> PageProcess:
    """The page of that service."""
    return shared_page


@pytest.fixture
def new_page(service: FakeService, serve_page: Callable[..., PageProcess]) -> PageProcess:
    """A page that has not asked yet."""
    return serve_page(service.path)
