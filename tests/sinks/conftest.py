"""What every test of sinks has: patience with a machine on which a process may stand still."""

from __future__ import annotations

import pytest
from tests.sinks.parts import HANG_S

from idskit.sinks import (
    connections,
    mqtt_broker,
    open_sinks,
    scrape_server,
    syslog_receiver,
    webhook,
)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let connections wait, so that a receiver is away only where a test makes it so."""
    for module in (connections, mqtt_broker, syslog_receiver):
        monkeypatch.setattr(module, "TIMEOUT_S", HANG_S)
    for module in (scrape_server, webhook):
        monkeypatch.setattr(module, "DEADLINE_S", HANG_S)
    monkeypatch.setattr(mqtt_broker, "_GOODBYE_S", HANG_S)
    monkeypatch.setattr(open_sinks, "CLOSE_S", HANG_S)
