"""The programs that are compared: how they are found, and how their output is read."""

import shutil
import sys
from pathlib import Path

import pytest

from idskit.bench.child_process import run_child
from idskit.bench.peers.flow_extractors import PEER_PYTHON, Extractor, NotInstalled, extractors
from idskit.generate import generate
from idskit.profiles import schema_named
from idskit.profiles.flow_reader import open_flows

CAPTURE = Path("/captures/a.pcap")
PACKETS = 400
GATEWAY = len(schema_named("gateway"))


@pytest.fixture(scope="module")
def capture(tmp_path_factory) -> Path:
    return generate(tmp_path_factory.mktemp("c") / "mixed.pcap", packets=PACKETS, mix="mixed").path


@pytest.fixture(scope="module")
def true_flows(capture) -> int:
    with open_flows(capture) as flows:
        return sum(len(batch) for batch in flows.batches())


@pytest.fixture
def programs(tmp_path, monkeypatch) -> Path:
    """The only folder in which programs are found."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr("idskit.bench.peers.flow_extractors.SERVICE_FOLDERS", ())
    return folder


def named(name: str) -> Extractor:
    return next(one for one in extractors() if one.name == name)


@pytest.mark.parametrize(
    ("name", "install"),
    [
        ("softflowd", "apt install softflowd"),
        ("suricata", "apt install suricata"),
        ("argus", "apt install argus-server argus-client"),
        ("cicflowmeter", "github.com/ahlashkari/CICFlowMeter"),
    ],
)
def test_an_absent_program_is_named_with_what_to_install(programs, tmp_path, name, install) -> None:
    with pytest.raises(NotInstalled, match=f"is not installed: .*{install}"):
        named(name).command(CAPTURE, tmp_path)


def test_a_python_peer_is_looked_for_in_the_python_given(tmp_path, monkeypatch) -> None:
    empty = tmp_path / "python"
    empty.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')  # without any package
    empty.chmod(0o755)
    monkeypatch.setenv(PEER_PYTHON, str(empty))
    with pytest.raises(NotInstalled, match=f"not installed in {empty}: pip install netflower"):
        named("netflower").command(CAPTURE, tmp_path)


def test_a_python_that_may_not_be_run(tmp_path, monkeypatch) -> None:
    (tmp_path / "python").write_text("")
    monkeypatch.setenv(PEER_PYTHON, str(tmp_path / "python"))
    with pytest.raises(NotInstalled, match=r"there but not executable: .*IDSKIT_PEER_PYTHON"):
        named("nfstream").command(CAPTURE, tmp_path)


def test_commands_name_the_program_by_its_path_and_the_capture(programs, tmp_path) -> None:
    for program in ("softflowd", "suricata", "argus", "cfm"):
        (programs / program).write_text("#!/bin/sh\n")
        (programs / program).chmod(0o755)
    for name in ("softflowd", "suricata", "argus", "cicflowmeter"):
        path, *arguments = named(name).command(CAPTURE, tmp_path)
        assert Path(path).parent == programs
        assert str(CAPTURE) in arguments


def test_softflowd_tells_flows_and_version() -> None:
    printed = "softflowd v1.1.0 starting data collection\nFlows expired: 408 (3 forced)\n"
    found = named("softflowd").count(printed, Path())
    assert (found.flows, found.version) == (408, "1.1.0")


def test_suricata_flows_are_the_flow_events(tmp_path) -> None:
    event = '{{"timestamp":"2023-11-14T22:13:20","event_type":"{}"}}\n'
    (tmp_path / "eve.json").write_text("".join(map(event.format, ("flow", "dns", "flow"))))
    printed = "This is Suricata version 6.0.10 RELEASE running in USER mode"
    found = named("suricata").count(printed, tmp_path)
    assert (found.flows, found.version) == (2, "6.0.10")


def test_cicflowmeter_flows_are_the_rows_of_its_table(tmp_path) -> None:
    (tmp_path / "a.pcap_Flow.csv").write_text("Flow ID,Src IP,Label\nx,y,z\nx,y,z\n")
    found = named("cicflowmeter").count("", tmp_path)
    assert (found.flows, found.columns) == (2, 3)


@pytest.mark.parametrize(("name", "columns"), [("idskit", GATEWAY), ("idskit CSV", GATEWAY + 10)])
def test_idskit_finds_its_flows(capture, true_flows, tmp_path, name, columns) -> None:
    one = named(name)
    usage = run_child(one.command(capture, tmp_path), tmp_path, timeout_s=240)
    found = one.count(usage.output, tmp_path)
    assert (found.flows, found.columns) == (true_flows, columns)


@pytest.mark.parametrize("name", ["softflowd", "argus"])
def test_installed_programs_find_about_as_many_flows(capture, true_flows, tmp_path, name) -> None:
    if not all(shutil.which(p) for p in ({"argus": ["argus", "racluster"]}.get(name, [name]))):
        pytest.skip(f"{name} is not installed")
    one = named(name)
    usage = run_child(one.command(capture, tmp_path), tmp_path, timeout_s=60)
    assert one.count(usage.output, tmp_path).flows == pytest.approx(true_flows, rel=0.1)
