"""What every test of the service has: patience with a busy machine."""

from __future__ import annotations

import pytest
from tests.gateway.live import HANG_S

from idskit.gateway import control_socket


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let both ends of the control socket wait for each other."""
    monkeypatch.setattr(control_socket, "ASK_S", HANG_S)
    monkeypatch.setattr(control_socket, "ANSWER_S", HANG_S)
