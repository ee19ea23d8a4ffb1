"""The service on a veth pair of the test's own: real scans, kills, reloads, lost interfaces."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.flows.namespaces import Wire, wire
from tests.gateway.live import HANG_S, PATIENT, Service, service

pytestmark = pytest.mark.usefixtures("compiled")


@pytest.fixture
def network() -> Iterator[Wire]:
    """Two hosts that have addresses: 10.77.0.1 reads, 10.77.0.2 attacks."""
    with wire() as made:
        address(made)
        yield made


def address(made: Wire) -> None:
    for host, end, number in ((made.near, "veth0", 1), (made.far, "veth1", 2)):
        host.run("ip", "link", "set", "lo", "up")
        host.run("ip", "link", "set", end, "arp", "on", "up")
        host.run("ip", "address", "add", f"10.77.0.{number}/24", "dev", end)


def nmap(made: Wire) -> None:
    if shutil.which("nmap") is None:
        pytest.skip("needs nmap")
    words = ["nmap", "-n", "-Pn", "-sS", "-T4", "-p", "1-1000", "10.77.0.1"]
    subprocess.run(made.far.command(*words), check=True, capture_output=True, timeout=HANG_S)


def got(address: str) -> str:
    with urllib.request.urlopen(address, timeout=HANG_S) as answer:  # noqa: S310 - of the test's own
        return str(answer.read().decode())


def of_family(family: str, kind: str | None = None) -> Any:
    def find(snapshot: dict[str, Any]) -> list[dict[str, Any]]:
        found = [one for one in snapshot["incidents"] if one["label"] == family]
        return [one for one in found if kind is None or one["type"] == kind]

    return find


def verb(host: Any, state: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"STATE_DIRECTORY": str(state)}
    return subprocess.run([*PATIENT, *words], capture_output=True, text=True, check=False, env=env)


def rates_of(running: Service, made: Wire) -> dict[str, list[float]]:
    """Rates of the last minute, in which there are packets however long the test takes."""

    def find(snapshot: dict[str, Any]) -> dict[str, list[float]] | None:
        made.send([bytes(12) + b"\x08\x00" + bytes(50)])
        found: dict[str, list[float]] = snapshot["rates"]
        return found if sum(found["packets_per_s"]) else None

    rates: dict[str, list[float]] = running.until(find)
    return rates


def numbers(running: Service, host: Any) -> str:
    """What Prometheus would read, once the incident has reached the sinks."""

    def find(_: dict[str, Any]) -> str | None:
        text = str(host.call(got, "http://127.0.0.1:9411/metrics"))
        return text if re.search(r'sink_written_total{sink="eve"} [1-9]', text) else None

    return str(running.until(find))


def test_a_scan_is_one_incident_that_survives_a_kill_and_takes_a_verdict(
    network: Wire, tmp_path: Path
) -> None:
    state, notices, config = tmp_path / "state", tmp_path / "notify", tmp_path / "idskit.toml"
    config.write_text(
        f'[capture]\ninterfaces = ["veth0"]\n[eve]\npath = "{tmp_path}/eve.json"\n'
        "[prometheus]\nport = 9411\n"
    )
    with service(network.near, state, "-c", str(config), notices=notices) as running:
        nmap(network)
        (found,) = running.until(of_family("scan"))
        counted = numbers(running, network.near)
        assert 'idskit_interface_up{interface="veth0"} 1\n' in counted
        assert 'idskit_incidents_total{severity="2"} 1\n' in counted
        assert found["incident_id"] in network.near.call(got, "http://127.0.0.1:7411/")
        lines = [json.loads(one) for one in (tmp_path / "eve.json").read_text().splitlines()]
        assert [one["event_type"] for one in lines][:2] == ["incident", "alert"]
        assert {one["incident"]["incident_id"] for one in lines if "incident" in one} == {
            found["incident_id"]
        }
        assert (found["attacker"], found["target"]) == ("10.77.0.2", "10.77.0.1")
        identifier = found["incident_id"]
        assert running.ask({"ask": "verdict", "incident_id": identifier, "verdict": "wrong"})["ok"]
        refused = verb(network.near, state, "verdict", "2000", "wrong")
        assert (refused.returncode, "no incident has" in refused.stderr) == (1, True)
        assert verb(network.near, state, "verdict", identifier, "expected").returncode == 0
        busy = verb(network.near, state, "run", "-i", "lo")
        assert (busy.returncode, "another service" in busy.stderr) == (1, True)
        rates = rates_of(running, network)
        assert [len(row) for row in rates.values()] == [60, 60, 60]
        devices = {one["address"]: one for one in running.snapshot()["devices"]}
        assert devices["10.77.0.1"]["incidents"] == 0 or devices["10.77.0.2"]["flows"] > 900
        card = state / "card.html"
        assert verb(network.near, state, "explain", identifier, "--html", str(card)).returncode == 0
        assert "The last 24 hours of the device" in card.read_text()
        running.end(signal.SIGKILL)
    listed = json.loads(verb(network.near, state, "incidents", "--json").stdout)
    assert [(one["incident_id"], one["verdict"]) for one in listed] == [(identifier, "expected")]
    shown = verb(network.near, state, "explain", identifier).stderr
    assert "10.77.0.2" in shown
    assert verb(network.near, state, "verdict", identifier, "wrong").returncode == 0
    with service(network.near, state, "-i", "veth0", notices=notices) as running:
        (again,) = running.snapshot()["incidents"]
        assert (again["incident_id"], again["verdict"]) == (identifier, "wrong")
        err = running.end()
        assert running.process.returncode == 0, err


def arp(kind: int, mac: int, address: str, asked: str) -> bytes:
    """Return an ARP message (RFC 826): a question to all (1), or an answer to one (2)."""
    own, everybody, victim = bytes([2, 0, 0, 0, 0, mac]), b"\xff" * 6, bytes([2, 0, 0, 0, 0, 2])
    ends = own + socket.inet_aton(address) + victim * (kind == 2) + bytes(6) * (kind == 1)
    told = struct.pack(">HHBBH", 1, 0x0800, 6, 4, kind) + ends + socket.inet_aton(asked)
    return (everybody if kind == 1 else victim) + own + b"\x08\x06" + told + bytes(18)


def test_a_spoofing_incident_goes_on_after_a_restart(network: Wire, tmp_path: Path) -> None:
    router, phone = "192.168.7.1", "192.168.7.2"
    everyday = [arp(1, 2, phone, router), arp(2, 1, router, phone)]
    claims = [arp(2, 0x66, router, phone)] * 4
    state, notices = tmp_path / "state", tmp_path / "notify"
    with service(network.near, state, "-i", "veth0", notices=notices) as running:
        network.send(everyday)
        network.send(claims)
        (new,) = running.until(of_family("spoofing"))
        running.end()
    with service(network.near, state, "-i", "veth0", notices=notices) as running:
        (kept,) = of_family("spoofing")(running.snapshot())
        assert kept["type"] != "end"
        network.send(claims * 3)
        (grown,) = running.until(of_family("spoofing", "update"))
        running.end()
    assert new["incident_id"] == kept["incident_id"] == grown["incident_id"]


def test_an_interface_that_vanishes_is_an_incident_until_it_returns(
    network: Wire, tmp_path: Path
) -> None:
    with service(
        network.near,
        tmp_path / "state",
        "-i",
        "veth0",
        notices=tmp_path / "notify",
        WATCHDOG_USEC="1000000",
    ) as running:
        running.said("WATCHDOG=1")  # silence is no hang
        network.near.run("ip", "link", "del", "veth0")
        (blind,) = running.until(of_family("blind", "new"))
        assert "veth0" in blind["explanation"]["sentence"]
        health = running.snapshot()["health"]
        assert (health["state"], health["interfaces"][0]["up"]) == ("blind", False)
        peer = ("peer", "name", "veth1", "netns", str(network.far.pid))
        network.near.run("ip", "link", "add", "veth0", "type", "veth", *peer)
        address(network)
        running.said("WATCHDOG=1")  # neither is an interface that is gone
        running.until(of_family("blind", "end"))
        nmap(network)
        running.until(of_family("scan"))
        assert running.snapshot()["health"]["state"] == "learning"


def test_a_reload_changes_what_it_can_says_what_it_cannot_and_loses_no_packet(
    network: Wire, tmp_path: Path
) -> None:
    config = tmp_path / "idskit.toml"
    config.write_text('[capture]\ninterfaces = ["veth0"]\n')
    with service(
        network.near, tmp_path / "state", "-c", str(config), notices=tmp_path / "notify"
    ) as running:
        before = running.snapshot()["counters"]
        config.write_text("[capture]\ninterfces = 3\n")
        running.process.send_signal(signal.SIGHUP)
        running.said("RELOADING=1")
        running.said("READY=1")
        config.write_text(
            '[capture]\ninterfaces = ["veth0"]\nmemory_mb = 50\n[detection]\nthreshold = 0.5\n'
        )
        running.process.send_signal(signal.SIGHUP)
        running.said("RELOADING=1")
        network.send([bytes(12) + b"\x08\x00" + bytes(50)] * 500)
        running.said("READY=1")
        running.until(lambda one: one["model"]["threshold"] == 0.5)

        def is_complete(snapshot: dict[str, Any]) -> bool:
            seen = snapshot["counters"]["packets_total"] - before["packets_total"]
            return bool(seen >= 500)

        running.until(is_complete)
        err = running.end()
    assert "line 2: interfces is no setting of [capture]: did you mean interfaces?" in err
    assert "capture.memory_mb changed, which takes a restart" in err
    assert "detection.threshold changed" in err


def test_what_keeps_a_service_from_starting_is_one_sentence(network: Wire, tmp_path: Path) -> None:
    state = tmp_path / "state"

    def failing(*words: str, by: tuple[str, ...] = ()) -> tuple[int, str]:
        done = subprocess.run(
            network.near.command(*by, sys.executable, "-m", "idskit", "run", *words),
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"STATE_DIRECTORY": str(state)},
        )
        return done.returncode, done.stderr

    code, said = failing()
    assert (code, "no default route" in said) == (1, True)
    (tmp_path / "wrong.toml").write_text("[state]\nkeep_mb = 1\nkeap = 2\n")
    code, said = failing("-c", str(tmp_path / "wrong.toml"))
    assert (code, said.count("\n")) == (2, 3)
    assert "line 2: keep_mb is 1" in said
    (tmp_path / "wrong.toml").write_text('[page]\nlisten = "0.0.0.0"\n')
    code, said = failing("-c", str(tmp_path / "wrong.toml"), "-T")
    assert (code, "without token_file and tls_certificate" in said) == (1, True)
    (tmp_path / "wrong.toml").write_text('[detection]\nmodel = "/none.onnx"\n')
    code, said = failing("-c", str(tmp_path / "wrong.toml"), "-i", "veth0")
    assert (code, "/none.onnx" in said, said.count("\n")) == (1, True, 1)
    code, said = failing("-i", "veth0", by=("setpriv", "--bounding-set=-net_raw"))
    assert (code, "without CAP_NET_RAW" in said, said.count("\n")) == (1, True, 1)
    with network.near.call(socket.create_server, ("127.0.0.1", 7411)):
        code, said = failing("-i", "veth0")
    assert (code, "port 7411: Address already in use; choose another" in said) == (1, True)
