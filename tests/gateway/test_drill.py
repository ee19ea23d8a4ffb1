"""The drill: the whole service on real packets, and a service that does not see them."""

from __future__ import annotations

import json
import socket
import subprocess
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tests.flows.namespaces import wire
from tests.gateway.live import PATIENT, service

from idskit.errors import GateRefused, IdskitError
from idskit.gateway.control_socket import ControlServer
from idskit.lab import drill as drills
from idskit.lab.drill import Step, StepResult, drill_on_interface, drilled
from idskit.lab.play.drill_packets import Ends, flood, guess, scan


@pytest.mark.usefixtures("compiled")
def test_the_service_sees_every_step_of_a_drill() -> None:
    with wire():  # or skip
        pass
    done = subprocess.run(
        [*PATIENT, "drill", "--json", "-"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert [one["family"] for one in report["steps"]] == ["scan", "guessing", "flood"]
    assert [one["sinks"]["eve"] > 0 for one in report["steps"]] == [True] * 3


@pytest.mark.usefixtures("compiled")
def test_on_an_interface_every_step_is_seen_and_nobody_is_reached(tmp_path: Path) -> None:
    config = tmp_path / "idskit.toml"
    config.write_text(
        f'[capture]\ninterfaces = ["veth0"]\n[state]\nfolder = "{tmp_path}/state"\n'
        f'[page]\nenabled = false\n[eve]\npath = "{tmp_path}/eve.json"\n'
        '[syslog]\ntransport = "tcp"\nhost = "127.0.0.1"\nport = 9\n'
    )
    (tmp_path / "state").mkdir(mode=0o700)
    with wire() as made:
        made.near.run("ip", "link", "set", "lo", "up")
        with service(made.near, tmp_path / "state", "-c", str(config), notices=tmp_path / "n"):
            words = ("-i", "veth0", "-c", str(config), "--json", "-")
            done = subprocess.run(
                made.near.command(*PATIENT, "drill", *words),
                capture_output=True,
                text=True,
                check=False,
            )
        received = made.far.run("cat", "/proc/net/snmp").split("Ip: ")[2].split()
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert [one["family"] for one in report["steps"]] == ["scan", "guessing", "flood"]
    assert all(one["sinks"]["eve"] > 0 for one in report["steps"])
    assert all("refused" in one["away"]["syslog"] for one in report["steps"])
    assert "sent to eve (" in done.stderr
    assert "waits for syslog, which is away: Connection refused" in " ".join(done.stderr.split())
    delivered = 8  # InDelivers, of RFC 1213: the far kernel has handed no packet to anybody
    assert received[delivered] == "0"


def steps(play: Any) -> list[Step]:
    return [Step(name="a scan", ends=("198.51.100.1", "192.0.2.1"), play=play)]


def incident(number: int, attacker: str) -> dict[str, Any]:
    return {"incident_id": str(number), "attacker": attacker, "target": None, "label": "scan"}


def test_a_service_that_sees_nothing_is_said_with_exit_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drills, "SEEN_S", 0.3)
    snapshot: dict[str, Any] = {"incidents": [], "sinks": []}

    def play() -> int:  # the incident of somebody else is none of the drill's
        snapshot["incidents"] = [incident(1, "192.168.1.9")]
        return 7

    with closing(ControlServer(tmp_path, lambda asked: snapshot)):
        report = drilled("here", tmp_path, steps(play), lambda _: None)
    assert report.steps[0] == StepResult(
        step="a scan", sent=7, family=None, after_s=None, incident_id=None, sinks={}, away={}
    )
    with pytest.raises(GateRefused, match="did not see a scan"):
        report.require_seen()


def test_where_an_incident_went_is_said_of_every_sink(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(drills, "SINKS_S", 0.1)

    def sink(name: str, written: int, away: str | None = None) -> dict[str, Any]:
        return {"name": name, "written": written, "away": away}

    snapshot: dict[str, Any] = {
        "incidents": [],
        "sinks": [sink("eve", 3), sink("mqtt", 5), sink("webhook", 0)],
    }

    def play() -> int:
        snapshot["sinks"] = [sink("eve", 5), sink("mqtt", 5, "no route"), sink("webhook", 0)]
        snapshot["incidents"] = [incident(1, "198.51.100.1")]
        return 7

    with closing(ControlServer(tmp_path, lambda asked: snapshot)):
        report = drilled("here", tmp_path, steps(play), lambda _: None)
    report.require_seen()
    report.show(Console(width=200))
    said = capsys.readouterr().out
    assert "a scan (7 connections): scan incident 1 after" in said
    assert (
        "sent to eve (2); it waits for mqtt, which is away: no route; webhook has not taken it"
        in said
    )


def test_what_cannot_be_sent_is_said(tmp_path: Path) -> None:
    snapshot: dict[str, Any] = {"incidents": [], "sinks": []}
    with (
        closing(ControlServer(tmp_path, lambda asked: snapshot)),
        pytest.raises(IdskitError, match="cannot be sent out of interface eth9"),
    ):
        drill_on_interface("eth9", tmp_path, lambda _: None)


def test_without_a_service_nothing_is_sent(tmp_path: Path) -> None:
    with pytest.raises(IdskitError, match="no service answers"):
        drill_on_interface("lo", tmp_path, lambda _: None)


def test_packets_of_a_drill_are_right_and_go_no_further_than_a_router() -> None:
    dpkt = pytest.importorskip("dpkt")
    ends = Ends.numbered(7)
    found = [*scan(ends, 3), *guess(ends, 1), *flood(ends, 2)]
    assert len(found) == 6 + 11 + 4
    for packet in found:
        read = dpkt.ip.IP(packet)
        assert read.ttl == 1
        addresses = {socket.inet_ntoa(read.src), socket.inet_ntoa(read.dst)}
        assert addresses == {"198.51.100.7", "192.0.2.7"}  # of documentation, RFC 5737
        written = (read.sum, read.data.sum)
        read.sum = read.data.sum = 0
        again = dpkt.ip.IP(bytes(read))  # dpkt computes what is 0
        assert (again.sum, again.data.sum) == written
    login = [dpkt.ip.IP(packet).data for packet in guess(ends, 1)]
    for before, after in pairwise(login):
        if before.sport != after.sport:  # answered: everything before is acknowledged
            length = len(before.data) + bool(before.flags & 3)  # SYN and FIN count
            assert after.ack == before.seq + length
