"""The command line as its users meet it: exit codes, streams, and one sentence for bad input."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from idskit.cli import main
from idskit.errors import GateRefused, IdskitError


def run(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "idskit", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def test_help_lists_the_verbs_in_the_order_of_the_path():
    out = run("--help").stdout
    verbs = [
        "extract",
        "generate",
        "train",
        "evaluate",
        "export",
        "inspect",
        "detect",
        "bench",
        "compare",
        "doctor",
    ]
    places = [out.index(f" {verb} ") for verb in verbs]
    assert places == sorted(places)


def test_version():
    assert run("--version").stdout.strip().count(".") == 2


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["extract"], ["bench", "--batch", "many"], ["detect", "--nope"]]
)
def test_usage_errors_exit_2(arguments):
    result = run(*arguments)
    assert result.returncode == 2
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["extract", "-r", "missing.pcap"], "missing.pcap: no such file"),
        (["detect", "missing.onnx", "-r", "x.pcap"], "missing.onnx"),
        (["detect"], "capture"),
        (["export", "missing-run"], "train first"),
        (["inspect", "missing.onnx"], "missing.onnx"),
        (["train", "nsl-kdd", "--data", "missing"], "missing"),
        (["train", "no-such-set", "--data", "."], "no-such-set"),
        (["bench", "missing.onnx"], "missing.onnx"),
        (["bench", "--scenario", "nonsense"], "nonsense"),
        (["compare", "a.json", "b.json"], "a.json"),
        (["extract", "-r", "missing.pcap", "--schema", "no-such"], "no-such"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_1(arguments, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    streams = capsys.readouterr()
    assert stop.value.code == 1, streams.err
    assert sentence in streams.err
    assert streams.out == ""
    assert "Traceback" not in streams.err
    assert len(streams.err.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir()), "nothing half-written is left behind"


def test_a_process_ends_with_that_sentence_and_exit_1(tmp_path):
    result = run("extract", "-r", "missing.pcap", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "idskit: cannot read missing.pcap: no such file\n"


def test_debug_shows_the_traceback(tmp_path):
    result = run("--debug", "extract", "-r", "missing.pcap", cwd=tmp_path)
    assert result.returncode == 1
    assert "Traceback" in result.stderr


def test_a_gate_exits_3(monkeypatch, capsys):
    def refuse(_words):
        raise GateRefused("no")

    monkeypatch.setattr("idskit.cli.entry.app", refuse)
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 3
    assert capsys.readouterr().err == "idskit: no\n"


def test_an_unexpected_error_is_said_as_such(monkeypatch, capsys):
    def fail(_words):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("idskit.cli.entry.app", fail)
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 1
    assert "unexpected ZeroDivisionError" in capsys.readouterr().err
    assert not issubclass(ZeroDivisionError, IdskitError)


def test_generate_extract_and_detect_on_a_capture(tmp_path):
    capture = tmp_path / "home.pcap"
    assert run("generate", "-o", capture, "--packets", 4000, "--seed", 3).returncode == 0
    table = run("extract", "-r", capture)
    assert table.returncode == 0, table.stderr
    header, *rows = table.stdout.splitlines()
    assert header.count(",") == rows[0].count(",")
    found = run("detect", "-r", capture)
    assert found.returncode == 0, found.stderr
    events = [json.loads(line) for line in found.stdout.splitlines()]
    assert {event["event_type"] for event in events} == {"incident", "alert"}
    assert all(event["alert"]["severity"] < 3 for event in events if "alert" in event)
    flow_by_flow = run("detect", "-r", capture, "--alerts").stdout.splitlines()
    assert 10 * len(events) < len(flow_by_flow)


def test_json_on_stdout_is_only_json():
    result = run("inspect", "--json", "-")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["classes"][0] == "benign"
