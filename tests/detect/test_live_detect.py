"""``idskit detect -i`` and ``idskit extract -i`` as processes, on a veth pair of the test's own."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.flows.capture_files import read
from tests.flows.namespaces import Wire, wire

from idskit.detect.detect_flows import detect
from idskit.errors import IdskitError
from idskit.extract.extract import extract
from idskit.flow_input import FlowInput
from idskit.generate import generate
from idskit.profiles import schema_named

pytestmark = pytest.mark.usefixtures("compiled")
HANG_S = 120.0  # a process may stand still for seconds on a busy machine; more is a hang


@pytest.fixture
def veth() -> Iterator[Wire]:
    with wire() as made:
        yield made


@pytest.fixture
def model(make_model: Callable[..., Path]) -> Path:
    """At its threshold every flow is an attack."""
    schema = schema_named("gateway")
    weights = np.zeros((len(schema), 2))
    return make_model(schema=schema, classes=("benign", "scan"), threshold=0.0, weights=weights)


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    made = generate(tmp_path_factory.mktemp("home") / "home.pcap", packets=2000, seed=4)
    return read(made.path)[0]


def is_listening(process: subprocess.Popen[str]) -> bool:
    """A packet socket is bound in its namespace, and SIGTERM is caught."""
    bound = len(Path(f"/proc/{process.pid}/net/packet").read_text().splitlines()) > 1
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    return bound and bool(caught >> (signal.SIGTERM - 1) & 1)


@contextmanager
def idskit(veth: Wire, *words: str | Path) -> Iterator[subprocess.Popen[str]]:
    """The command in the near namespace, once it listens."""
    command = veth.near.command(sys.executable, "-m", "idskit", *words)
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            deadline = time.monotonic() + HANG_S
            while process.poll() is None and not is_listening(process):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield process
        finally:
            process.kill()


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=HANG_S)
    return process.returncode, out, err


def flow_events(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """Events of single flows, as they come."""
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if "flow" in event:
            yield event


def packets_in(lines: str) -> int:
    events = [json.loads(line) for line in lines.splitlines()]
    flows = [event["flow"] for event in events if "flow" in event]
    return sum(flow["pkts_toserver"] + flow["pkts_toclient"] for flow in flows)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_finishes_the_open_flows(
    veth: Wire, model: Path, frames: list[bytes], number: signal.Signals
) -> None:
    with idskit(veth, "detect", model, "--alerts", "-i", "veth0", "--verdict-at", "0") as process:
        veth.send(frames)
        process.send_signal(number)
        code, out, err = ended(process)
    assert code == 0
    assert packets_in(out) == len(frames)
    assert "2,000 packets in" in err
    assert "dropped" not in err


def test_alerts_come_while_it_runs(veth: Wire, model: Path, frames: list[bytes]) -> None:
    with idskit(veth, "detect", model, "--alerts", "-i", "veth0") as process:
        veth.send(frames)
        assert process.stdout is not None
        event = json.loads(process.stdout.readline())
        assert (event["event_type"], event["in_iface"]) == ("incident", "veth0")
        assert next(flow_events(process))["in_iface"] == "veth0"
        process.send_signal(signal.SIGTERM)
        assert ended(process)[0] == 0


def test_silence_judges_a_lone_packet(veth: Wire, model: Path, frames: list[bytes]) -> None:
    with idskit(veth, "detect", model, "--alerts", "-i", "veth0") as process:
        veth.send(frames[:1])
        assert process.stdout is not None
        event = next(flow_events(process))  # neither a packet nor a signal comes
        assert event["alert"]["context"]["idskit"]["end"] == "verdict"
        process.send_signal(signal.SIGTERM)
        code, out, _ = ended(process)
    assert code == 0
    assert out == ""  # one flow that the model suspects is an alert, and no incident


def test_what_was_written_before_the_interface_disappeared_stays(
    veth: Wire, model: Path, frames: list[bytes]
) -> None:
    with idskit(veth, "detect", model, "--alerts", "-i", "veth0", "--verdict-at", "0") as process:
        veth.send(frames)
        veth.near.run("ip", "link", "del", "veth0")
        code, out, err = ended(process)
    assert code == 1
    assert err == "idskit: interface veth0 disappeared; the flows before that are valid\n"
    assert packets_in(out) == len(frames)
    events = [json.loads(line) for line in out.splitlines()]
    incidents = [event["incident"] for event in events if event["event_type"] == "incident"]
    begun, ended_ = (
        {one["incident_id"] for one in incidents if one["type"] == kind} for kind in ("new", "end")
    )
    assert begun == ended_ != set()


def packets_of(table: Path) -> float:
    with table.open() as file:
        rows = list(csv.DictReader(file))
    return sum(float(row["fwd_packets"]) + float(row["bwd_packets"]) for row in rows)


def test_extract_writes_the_table_at_a_signal(
    veth: Wire, frames: list[bytes], tmp_path: Path
) -> None:
    table = tmp_path / "flows.csv"
    with idskit(veth, "extract", "-i", "veth0", "-o", table, "--json", "-") as process:
        veth.send(frames)
        process.send_signal(signal.SIGTERM)
        code, out, _ = ended(process)
    statistics: dict[str, Any] = json.loads(out)
    assert (code, statistics["frames"], statistics["dropped"]) == (0, len(frames), 0)
    assert packets_of(table) == len(frames)


def test_extract_keeps_the_table_of_an_interface_that_disappears(
    veth: Wire, frames: list[bytes], tmp_path: Path
) -> None:
    table = tmp_path / "flows.csv"
    with idskit(veth, "extract", "-i", "veth0", "-o", table) as process:
        veth.send(frames)
        veth.near.run("ip", "link", "del", "veth0")
        code, _, err = ended(process)
    assert (code, err.startswith("idskit: interface veth0 disappeared")) == (1, True)
    assert packets_of(table) == len(frames)


def test_an_unknown_interface_is_one_sentence(veth: Wire, model: Path) -> None:
    with idskit(veth, "detect", model, "-i", "eth9") as process:
        code, out, err = ended(process)
    assert (code, out) == (1, "")
    assert err == "idskit: there is no network interface eth9: choose one of lo, veth0\n"


@pytest.mark.parametrize(
    "given", [{"capture": "a", "interface": "lo"}, {"interface": "lo", "flows": "b"}]
)
def test_an_interface_is_the_only_input(model: Path, given: dict[str, str]) -> None:
    with pytest.raises(IdskitError, match="name one of them"):
        detect(model, FlowInput(**given))


@pytest.mark.parametrize("given", [{}, {"capture": "a", "interface": "lo"}])
def test_extract_needs_one_input(given: dict[str, str]) -> None:
    with pytest.raises(IdskitError, match="name one of them"):
        extract(FlowInput(**given))


def test_extract_refuses_a_table() -> None:
    with pytest.raises(IdskitError, match=r"b is a table of flows, but packets are needed"):
        extract(FlowInput(flows="b"))
