"""Words of the command line: options given twice, several captures, and what detect passes on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.flows.frames import udp, write
from typer.testing import CliRunner

from idskit.cli import app
from idskit.cli.strict_command import spread
from idskit.flow_input import FlowInput


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["detect", "-r", "a", "--threshold", "1", "--threshold", "0"], "--threshold"),
        (["detect", "--flows", "a", "--flows=b"], "--flows"),
        (["extract", "-r", "a", "-o", "b", "--output", "c"], "-o/--output"),
        (["extract", "-r", "a", "-ob", "-oc"], "-o/--output"),
        (["generate", "-o", "a", "--seed", "1", "--seed", "1"], "--seed"),
        (["bench", "--quick", "--quick"], "--quick"),
        (["bench", "-r", "a", "-r", "b"], "-r/--read"),
        (["doctor", "--json", "a", "--json", "b"], "--json"),
    ],
)
def test_an_option_given_twice_is_refused(words: list[str], name: str) -> None:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert f"{name} is given twice: give it once" in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("words", "read"),
    [
        ("-r a b c", "-r a -r b -r c"),
        ("--read a b", "--read a -r b"),
        ("-r a -r b", "-r a -r b"),
        ("-r a b m.onnx", "-r a -r b m.onnx"),
        ("m.onnx -r a b --threshold 1", "m.onnx -r a -r b --threshold 1"),
        ("-r a --threshold 1 m", "-r a --threshold 1 m"),
        ("-r - b", "-r - -r b"),
        ("-r -- a", "-r -- a"),
        ("--read=a b", "--read=a b"),
        ("-i a b", "-i a b"),
        ("", ""),
    ],
)
def test_captures_behind_one_option_are_several(words: str, read: str) -> None:
    assert spread(words.split()) == read.split()


def idskit(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "idskit", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_detect_reads_several_captures_and_their_flows_go_on(tmp_path: Path) -> None:
    for name, second in (("b", 0), ("a", 30)):
        write(tmp_path / name, [(second, 0, udp("10.0.0.1", "192.0.2.1", 9, 9))])
    done = idskit("detect", "-r", tmp_path / "a", tmp_path / "b", "--threshold", "0", "--alerts")
    assert done.returncode == 0
    assert "1 alert: 2 packets in 1 flows" in " ".join(done.stderr.split())


@pytest.mark.parametrize(("seconds", "flows"), [("15", 2), ("60", 1)])
def test_detect_and_extract_have_the_same_idle_time_out(
    tmp_path: Path, seconds: str, flows: int
) -> None:
    records = [(second, 0, udp("10.0.0.1", "192.0.2.1", 9, 9)) for second in (0, 30)]
    capture = write(tmp_path / "slow.pcap", records)
    settings = ("-r", capture, "--idle-timeout", seconds, "--memory-mb", "1")
    assert f"2 packets in {flows} flows" in " ".join(idskit("detect", *settings).stderr.split())
    assert f"{flows} flows of 2 packets" in idskit("extract", *settings).stderr


def test_an_interface_is_no_capture(tmp_path: Path) -> None:
    done = idskit("detect", "-r", "lo")
    assert (done.returncode, done.stderr) == (1, "idskit: cannot read lo: no such file\n")


@pytest.mark.parametrize("verb", ["detect", "extract"])
def test_the_same_interface_twice_is_refused(verb: str) -> None:
    done = idskit(verb, "-i", "lo", "-i", "lo")
    assert done.returncode == 1
    assert "interface lo is named twice" in done.stderr


def test_memory_reaches_the_flow_table(monkeypatch: Any, tmp_path: Path) -> None:
    opened: list[FlowInput] = []

    def open_input(given: FlowInput, _schema: Any, **_usual: Any) -> Any:
        opened.append(given)
        raise KeyboardInterrupt

    monkeypatch.setattr("idskit.detect.detect_flows.open_input", open_input)
    CliRunner().invoke(app, ["detect", "-r", "x", "--memory-mb", "7", "--idle-timeout", "9"])
    assert (opened[0].memory_mb, opened[0].idle_timeout_s) == (7, 9.0)


@pytest.mark.parametrize(
    ("flags", "ages"),
    [
        ([], None),
        (["--verdict-at", "2", "--verdict-at", "0.5"], (0.5, 2)),
        (["--verdict-at", "0"], ()),
    ],
)
def test_ages_reach_the_flow_table(flags: list[str], ages: Any, monkeypatch: Any) -> None:
    opened: list[FlowInput] = []

    def open_input(given: FlowInput, _schema: Any, **_usual: Any) -> Any:
        opened.append(given)
        raise KeyboardInterrupt

    monkeypatch.setattr("idskit.detect.detect_flows.open_input", open_input)
    CliRunner().invoke(app, ["detect", "-r", "x", *flags])
    assert opened[0].verdict_at_s == ages
