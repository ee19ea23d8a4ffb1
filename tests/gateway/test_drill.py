"""The drill: the whole service on real packets, and a service that does not see them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.flows.namespaces import wire

from idskit.errors import GateRefused, IdskitError
from idskit.gateway.control_socket import ControlServer
from idskit.lab import drill as drills
from idskit.lab.drill import DrillReport, StepResult, drill_on_interface


@pytest.mark.usefixtures("compiled")
def test_the_service_sees_every_step_of_a_drill() -> None:
    with wire():  # or skip
        pass
    done = subprocess.run(
        [sys.executable, "-m", "idskit", "drill", "--json", "-"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert [one["family"] for one in report["steps"]] == ["scan", "guessing", "flood"]
    assert all(one["after_s"] < 10 for one in report["steps"])
    assert report["sinks"]["eve"] >= 3


def test_a_service_that_sees_nothing_is_said_with_exit_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot: dict[str, Any] = {"incidents": [], "sinks": []}
    monkeypatch.setattr(drills, "SEEN_S", 0.3)
    monkeypatch.setattr(drills, "scan", lambda target: 7)
    with closing(ControlServer(tmp_path, lambda asked: snapshot)):
        report = drill_on_interface("lo", tmp_path, lambda _: None)
    assert report.steps[0] == StepResult(
        step="a scan of 400 ports", sent=7, family=None, after_s=None, incident_id=None
    )
    with pytest.raises(GateRefused, match="did not see a scan"):
        report.require_seen()


def test_without_a_service_nothing_is_sent(tmp_path: Path) -> None:
    with pytest.raises(IdskitError, match="no service answers"):
        drill_on_interface("lo", tmp_path, lambda _: None)


def test_packets_on_an_interface_go_to_nobody() -> None:
    """To a documentation address (RFC 5737), and no further than the first router."""
    if os.geteuid():
        pytest.skip("needs root to choose the interface")
    target = drills.Target(source="", address=drills.DOCUMENTATION, interface="lo", hops=1)
    with drills._socket(target) as made:
        assert made.getsockopt(socket.IPPROTO_IP, socket.IP_TTL) == 1
    assert drills.DOCUMENTATION.startswith("192.0.2.")


def test_a_report_without_misses_passes() -> None:
    seen = StepResult(step="x", sent=1, family="scan", after_s=1.0, incident_id="i")
    DrillReport(where="here", steps=(seen,), sinks={}).require_seen()
