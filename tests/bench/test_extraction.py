"""Extractors measured in turn: programs whose costs are known stand in for the real ones."""

import itertools
import json
import sys
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from tests.bench.measured import measure

from idskit.bench import run_bench as run
from idskit.bench.child_process import ChildFailed, Usage, run_child
from idskit.bench.measure import Plan, Spread
from idskit.bench.peers.flow_extractors import Extractor, Found, NotInstalled
from idskit.bench.result import Extraction, Report
from idskit.bench.scenarios import extraction
from idskit.bench.scenarios.extraction import START_PACKETS, ExtractionPlan, measure_extraction
from idskit.bench.scenarios.pipeline import Passes
from idskit.bench.views.extraction_report import extraction_sections, extraction_verdict
from idskit.errors import CaptureError, IdskitError
from idskit.generate import generate
from idskit.profiles import schema_named
from idskit.report.section import markdown_section

PLAN = ExtractionPlan(packets={"flood": 3000}, growing=(), rounds=3)
COST_US = {"idskit": 2.0, "slow": 30.0}
START_S = 0.5


@pytest.fixture(autouse=True)
def compiled(monkeypatch) -> None:
    monkeypatch.setattr(extraction, "_compile", lambda capture: None)


@pytest.fixture
def runs(monkeypatch) -> list[tuple[str, int]]:
    """Instead of running a program, say what COST_US has it cost; (program, packets) of each."""
    taken: list[tuple[str, int]] = []

    def pretend(command, folder, *, timeout_s) -> Usage:
        name, capture = command
        packets = int(Path(capture).stem.split("-")[-1])
        taken.append((name, packets))
        spent_s = START_S + COST_US[name] * packets / 1e6
        return Usage(cpu_s=spent_s, wall_s=2 * spent_s, rss_mib=50.0, output="")

    monkeypatch.setattr(extraction, "run_child", pretend)
    return taken


def program(name: str, count=lambda printed, folder: Found(flows=9, columns=3, version="1")):
    return Extractor(
        name=name,
        computes="numbers",
        command=lambda capture, folder: [name, str(capture)],
        count=count,
    )


def script(name: str, text: str) -> Extractor:
    """A real child process."""
    return replace(program(name), command=lambda *_: [sys.executable, "-I", "-S", "-c", text])


def test_one_more_packet_costs_the_slope_between_two_captures(runs) -> None:
    first, second = measure_extraction(None, PLAN, [program("idskit"), program("slow")])
    assert first.us_per_packet.values == pytest.approx([2.0] * 3)
    assert second.us_per_packet.values == pytest.approx([30.0] * 3)


def test_the_whole_process_is_that_of_the_larger_capture(runs) -> None:
    (entry,) = measure_extraction(None, PLAN, [program("idskit")])
    assert entry.cpu_s.median == pytest.approx(START_S + 2.0 * 3000 / 1e6)
    assert entry.wall_s.median == pytest.approx(2 * entry.cpu_s.median)
    assert (entry.flows, entry.columns, entry.version) == (9, 3, "1")


def test_rounds_alternate_after_a_warm_up_of_each(runs) -> None:
    measure_extraction(None, PLAN, [program("idskit"), program("slow")])
    warm, turns = runs[:2], runs[2:]
    assert warm == [("idskit", START_PACKETS), ("slow", START_PACKETS)]
    assert turns == 3 * [
        (name, packets) for name in ("idskit", "slow") for packets in (START_PACKETS, 3000)
    ]


def test_a_slow_program_has_fewer_turns_but_one(runs) -> None:
    plan = replace(PLAN, rounds=50, limit_s=0.0)
    (entry,) = measure_extraction(None, plan, [program("slow")])
    assert len(entry.cpu_s.values) == 1


def test_idskit_alone_reads_the_shares_of_a_growing_capture(runs) -> None:
    plan = replace(PLAN, packets={"flood": 16_000}, growing=("flood",), rounds=1)
    entries = measure_extraction(None, plan, [program("idskit"), program("slow")])
    assert [(entry.name, entry.packets) for entry in entries] == [
        ("idskit", 4000),
        ("idskit", 8000),
        ("idskit", 16_000),
        ("slow", 16_000),
    ]


def test_a_program_that_is_absent_or_fails_is_named_and_the_others_go_on(monkeypatch) -> None:
    def waiting(command, folder, *, timeout_s):
        """Wait a second for the one that hangs, and for the others as long as it takes."""
        given_s = 1 if "sleep" in command[-1] else timeout_s
        return run_child(command, folder, timeout_s=given_s)

    def absent(capture, folder):
        raise NotInstalled("it is not installed: apt install it")

    contenders = [
        script("idskit", "pass"),
        replace(program("absent"), command=absent),
        script("crashing", "import os; os.abort()"),
        script("hanging", "import time; time.sleep(60)"),
        replace(script("silent", "pass"), count=lambda _, folder: (folder / "none").read_text()),
        script("last", "pass"),
    ]
    monkeypatch.setattr(extraction, "run_child", waiting)
    plan = replace(PLAN, timeout_s=120, rounds=1)
    entries = measure_extraction(None, plan, contenders)
    reasons = {entry.name: entry.reason for entry in entries}
    assert reasons["idskit"] is reasons["last"] is None
    assert reasons["absent"] == "it is not installed: apt install it"
    assert "killed by SIGABRT" in reasons["crashing"]
    assert "did not end within 1 s" in reasons["hanging"]
    assert "what it wrote cannot be read" in reasons["silent"]
    assert all(entry.cpu_s is None for entry in entries if entry.reason)


def test_a_program_that_fails_later_has_no_numbers(monkeypatch) -> None:
    answers = itertools.chain(
        [Usage(cpu_s=1.0, wall_s=1.0, rss_mib=1.0, output="")] * 4, itertools.repeat(None)
    )

    def failing(command, folder, *, timeout_s):
        if (answer := next(answers)) is None:
            raise ChildFailed("killed by SIGKILL: out of memory")
        return answer

    monkeypatch.setattr(extraction, "run_child", failing)
    (entry,) = measure_extraction(None, PLAN, [program("idskit")])
    assert (entry.cpu_s, entry.reason) == (None, "killed by SIGKILL: out of memory")


def test_packets_of_a_given_capture_are_counted(runs, tmp_path) -> None:
    capture = generate(tmp_path / "home-2500.pcap", packets=2500).path
    (entry,) = measure_extraction(capture, PLAN, [program("idskit")])
    assert (entry.packets, entry.mix) == (2500, None)
    assert entry.us_per_packet.median == pytest.approx(2.0)


def test_a_given_capture_that_is_too_small_or_missing(tmp_path) -> None:
    capture = generate(tmp_path / "home.pcap", packets=500).path
    with pytest.raises(IdskitError, match=r"has 500 packets: .* at least 2,000"):
        measure_extraction(capture, PLAN, [])
    with pytest.raises(CaptureError, match="no such file"):
        measure_extraction(tmp_path / "none.pcap", PLAN, [])


# Views.


def entry(name: str, us_per_packet: float, **other) -> Extraction:
    facts: dict[str, object] = {
        "version": None,
        "computes": "",
        "columns": None,
        "capture": "C",
        "mix": None,
        "packets": 10**6,
        "flows": 500,
        "cpu_s": Spread.of([0.5 + us_per_packet]),
        "us_per_packet": Spread.of([us_per_packet]),
        "wall_s": Spread.of([1.0]),
        "rss_mib": Spread.of([64.0]),
        "reason": None,
    }
    return Extraction(name=name, **(facts | other))  # type: ignore[arg-type]


def absent(name: str, reason: str, capture: str = "C") -> Extraction:
    nothing = dict.fromkeys(("cpu_s", "us_per_packet", "wall_s", "rss_mib"))
    return replace(entry(name, 0.0, reason=reason, capture=capture), **nothing)


def test_ratios_are_to_idskit() -> None:
    (sentence,) = extraction_verdict([entry("idskit", 0.5), entry("softflowd", 0.6)])
    assert "idskit reads 2,000,000 packets/s" in sentence
    assert "(softflowd 1.20 times that)" in sentence
    assert "1.00 s of CPU (softflowd 1.10 times that)" in sentence


@pytest.mark.parametrize(("last", "says"), [(0.55, "flat"), (0.8, "not flat")])
def test_flat_or_not_as_flows_grow(last, says) -> None:
    growing = [
        entry("idskit", cost, mix="flood", capture=str(flows), flows=flows)
        for flows, cost in ((100, 0.5), (200, 0.45), (400, last))
    ]
    (sentence,) = extraction_verdict(growing)
    assert sentence.startswith("As flows grow from 100 to 400 at once")
    assert sentence.endswith(f": {says}.")


def test_reasons_are_told_once_and_with_the_capture_where_it_matters() -> None:
    told = extraction_verdict(
        [
            entry("idskit", 1.0, capture="A"),
            absent("argus", "not installed", "A"),
            absent("nfstream", "killed", "A"),
            entry("idskit", 1.0, capture="B"),
            absent("argus", "not installed", "B"),
            entry("nfstream", 9.0, capture="B"),
        ]
    )
    assert "argus was not measured: not installed." in told
    assert "nfstream was not measured on A: killed." in told


def test_an_unstable_measurement_is_said() -> None:
    shaky = Spread.of([1.0, 1.5, 0.7])
    (*_, sentence) = extraction_verdict(
        [entry("idskit", 1.0), replace(entry("x", 1.0), us_per_packet=shaky)]
    )
    assert sentence.startswith("Unstable")
    assert "the rounds of x differ by more than 10%" in sentence


def test_a_cost_lost_in_noise_is_no_rate() -> None:
    (sentence,) = extraction_verdict([entry("idskit", -0.1), entry("softflowd", 0.6)])
    assert "too many packets a second" not in sentence
    assert "cannot be told from the noise of its start-up" in sentence


def test_tables_hold_every_program() -> None:
    sections = extraction_sections([entry("idskit", 0.5), entry("y", 1.5), absent("z", "gone")])
    text = "\n".join(map(markdown_section, sections))
    assert "| y | 500 | 2.00 | 1.00 | 64 | 666,667 | 1 run | 3.00 |" in text
    assert "| z | no result |" in text


# The whole command.


@pytest.fixture
def flow_model(make_model):
    schema = schema_named("gateway")
    return make_model(schema=schema, classes=("benign", "scan"), weights=np.zeros((len(schema), 2)))


def test_peers_of_the_pipeline_are_in_the_result_file(
    runs, flow_model, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(run, "QUICK", Plan(rounds=1, round_s=0.0, warmup_s=0.0))
    monkeypatch.setattr(run, "QUICK_PASSES", Passes(count=1, packets=500))
    monkeypatch.setattr(run, "QUICK_EXTRACTION", PLAN)
    monkeypatch.setattr(run, "extractors", lambda: [program("idskit"), program("slow")])
    file = tmp_path / "r.json"
    measure(flow_model, scenario=("pipeline",), peers=True, quick=True, json=file)
    published = json.loads((files("idskit.bench") / "result.schema.json").read_text())
    jsonschema.validate(json.loads(file.read_text()), published)
    assert [entry.name for entry in Report.load(file).extraction] == ["idskit", "slow"]
    assert any("slow 15.0 times" in sentence for sentence in Report.load(file).verdict)
