"""``idskit doctor``: each finding from recorded files, and an exit code that scripts can trust."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from idskit.cli import main
from idskit.errors import IdskitError
from idskit.kernels.compile import is_compiling
from idskit.machine import doctor as module
from idskit.machine.doctor import Diagnosis, doctor, require_detection
from idskit.machine.machine_facts import machine_facts
from idskit.machine.precompile import precompile
from idskit.report.finding import Finding, Severity

TOOLKIT = Path(module.__file__).parents[1]

needs_compiler = pytest.mark.skipif(
    not is_compiling(), reason="NUMBA_DISABLE_JIT is set: nothing is compiled"
)


@pytest.fixture(autouse=True)
def warm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not load all kernels for each finding: test_precompile.py and the last tests of
    test_doctor_findings.py are about what is compiled."""
    monkeypatch.setattr("idskit.machine.precompile.uncompiled_profiles", list)


def system(root: Path, **contents: str) -> Path:
    """The root of a file system with these files."""
    for name, text in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def said(finding: Finding) -> str:
    """What a finding means and what to do about it."""
    return f"{finding.meaning} {finding.advice}"


def found(name: str, root: Path) -> Finding:
    return {finding.check: finding for finding in doctor(root=root).findings}[name]


@pytest.mark.parametrize(
    ("cpuinfo", "level", "words"),
    [
        ("Features\t: fp asimd asimddp i8mm", "ok", "matrix products"),
        ("Features\t: fp asimd", "warning", "little time"),
        ("flags\t: fpu avx512_vnni", "ok", "int8 models are faster than fp32 here"),
        ("nothing known", "warning", "not recognised"),
    ],
)
def test_int8_instructions(cpuinfo: str, level: str, words: str, tmp_path: Path) -> None:
    finding = found("int8 instructions", system(tmp_path, **{"proc/cpuinfo": cpuinfo}))
    assert finding.severity == level
    assert words in said(finding)


@pytest.mark.parametrize(
    ("capabilities", "level"),
    [("0000000000002000", "ok"), ("000001ffffffffff", "ok"), ("000001ffffffdfff", "warning")],
)
def test_live_capture_needs_the_capability(capabilities: str, level: str, tmp_path: Path) -> None:
    status = f"CapPrm:\t000001ffffffffff\nCapEff:\t{capabilities}\n"
    finding = found("live capture", system(tmp_path, **{"proc/self/status": status}))
    assert finding.severity == level


def test_a_cgroup_quota_below_the_usable_processors_names_the_threads(tmp_path: Path) -> None:
    finding = found("processors", system(tmp_path, **{"sys/fs/cgroup/cpu.max": "50000 100000"}))
    assert finding.severity == "warning"
    assert "--threads 1" in said(finding)


def test_a_saving_governor_is_a_warning(tmp_path: Path) -> None:
    path = "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
    assert found("clock governor", system(tmp_path, **{path: "powersave\n"})).severity == "warning"
    assert found("clock governor", system(tmp_path, **{path: "performance\n"})).severity == "ok"


def test_little_memory_is_a_warning(tmp_path: Path) -> None:
    limits = {"proc/meminfo": "MemTotal: 8000000 kB\n", "sys/fs/cgroup/memory.max": "536870912"}
    finding = found("memory", system(tmp_path, **limits))
    assert (finding.severity, finding.evidence) == ("warning", "7,812 MiB, cgroup limit 512 MiB")


def test_both_onnxruntimes_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = machine_facts(tmp_path)
    packages = facts["packages"] | {"onnxruntime": "1.20.0", "onnxruntime-gpu": "1.18.1"}
    monkeypatch.setattr(module, "machine_facts", lambda _root: facts | {"packages": packages})
    finding = found("onnxruntime", tmp_path)
    assert (finding.severity, finding.evidence) == (
        "error", "onnxruntime 1.20.0 and onnxruntime-gpu 1.18.1",
    )  # fmt: skip
    assert "pip uninstall" in said(finding)


def test_an_onnxruntime_that_does_not_load_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert found("execution providers", tmp_path).severity == "error"


def test_the_shipped_model_is_replayed(tmp_path: Path) -> None:
    finding = found("shipped model", tmp_path)
    assert finding.severity == "ok"
    assert "golden vectors" in finding.evidence


def test_json_and_table_say_the_same(tmp_path: Path) -> None:
    diagnosis = doctor(root=tmp_path)
    console = Console(record=True, width=400, file=(tmp_path / "table").open("w"))
    with console.file:
        diagnosis.show(console)
    table = console.export_text()
    for finding in json.loads(json.dumps(diagnosis.to_json()))["findings"]:
        for name in ("evidence", "meaning", "advice"):
            assert finding[name] in table


def test_warnings_exit_0_and_errors_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def diagnose(severity: Severity) -> Diagnosis:
        finding = Finding(
            check="engine", evidence="gone", severity=severity, meaning="none", advice="install it"
        )
        return Diagnosis(findings=(finding,), machine={}, precompile_s=None)

    require_detection(diagnose("warning"))
    with pytest.raises(IdskitError, match="engine: gone"):
        require_detection(diagnose("error"))
    monkeypatch.setattr(module, "doctor", lambda **_: diagnose("error"))
    with pytest.raises(SystemExit) as stop:
        main(["doctor", "--json", str(tmp_path / "found.json")])
    assert stop.value.code == 1
    assert json.loads((tmp_path / "found.json").read_text())["findings"][0]["severity"] == "error"
    assert capsys.readouterr().out == ""


# Where compiled kernels are kept


def use_kernel(**environment: str) -> tuple[str, int]:
    """Folder and cache hits of a new process that runs a kernel."""
    code = (
        "from idskit.kernels import compile as kernel; assert kernel.signed(3) == 3;"
        "print(kernel.cache_folder(), sum(kernel.signed.stats.cache_hits.values()))"
    )
    kept = {key: value for key, value in os.environ.items() if not key.startswith("NUMBA")}
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env=kept | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    folder, hits = ran.stdout.rsplit(maxsplit=1)
    return folder, int(hits)


@needs_compiler
@pytest.mark.parametrize(
    ("variable", "folder"),
    [("XDG_CACHE_HOME", "cache/idskit/numba"), ("NUMBA_CACHE_DIR", "cache/idskit")],
)
def test_kernels_are_compiled_once_for_their_user(
    variable: str, folder: str, tmp_path: Path
) -> None:
    environment = {variable: str(tmp_path / "cache")}
    assert use_kernel(**environment) == (str(tmp_path / folder), 0)
    assert use_kernel(**environment) == (str(tmp_path / folder), 1)
    assert list((tmp_path / folder).rglob("*.nbi"))


def test_without_any_folder_kernels_run_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert use_kernel(XDG_CACHE_HOME=str(tmp_path / "file")) == ("None", 0)


@needs_compiler
def test_cold_kernels_are_found_without_compiling_them(tmp_path: Path) -> None:
    code = (
        "from idskit.machine.precompile import uncompiled_profiles, PROFILES;"
        "assert uncompiled_profiles() == list(PROFILES)"
    )
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert not list(tmp_path.rglob("*.nbi"))


@needs_compiler
def test_after_warming_no_new_process_compiles() -> None:
    precompile()
    code = "from idskit.machine.precompile import uncompiled_profiles as f; assert f() == []"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_doctor_names_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("idskit.kernels.compile.is_compiling", lambda: True)
    monkeypatch.setattr("idskit.kernels.compile.cache_folder", lambda: tmp_path / "kernels")
    monkeypatch.setattr("idskit.machine.precompile.uncompiled_profiles", lambda: ["kdd99"])
    finding = found("flow engine", tmp_path)
    assert finding.severity == "warning"
    assert "kdd99" in finding.evidence
    assert str(tmp_path / "kernels") in finding.evidence
    assert "--warm" in said(finding)


def test_warming_without_a_folder_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("idskit.machine.precompile.cache_folder", lambda: None)
    with pytest.raises(IdskitError, match="NUMBA_CACHE_DIR"):
        doctor(warm=True)
