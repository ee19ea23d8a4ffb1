"""``idskit doctor`` about boards, wheels and libraries, from recorded facts and files."""

from __future__ import annotations

from pathlib import Path

import pytest

from idskit.machine.doctor import doctor
from idskit.machine.installed import library_findings, software_findings
from idskit.process import telemetry
from idskit.report.finding import Finding

PACKAGES = {"idskit": "0.2.0", "numpy": "2.4.6", "numba": "0.68.1", "onnxruntime": "1.31.1"}
PI = Path(__file__).parents[1] / "aarch64"


@pytest.fixture(autouse=True)
def warm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not load all kernels for each finding: test_precompile.py and the last tests of
    test_doctor_findings.py are about what is compiled."""
    monkeypatch.setattr("idskit.machine.precompile.uncompiled_profiles", list)


def system(root: Path, files: dict[str, str]) -> Path:
    """The root of a file system with these files."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def said(finding: Finding) -> str:
    """What a finding means and what to do about it."""
    return f"{finding.meaning} {finding.advice}"


def found(name: str, root: Path) -> Finding:
    return {finding.check: finding for finding in doctor(root=root).findings}[name]


def wheels(libc: str | None, architecture: str, python: str = "3.11.2") -> Finding:
    packages = PACKAGES | {"onnxruntime-gpu": None}
    findings = software_findings(
        python=python, libc=libc, architecture=architecture, packages=packages
    )
    return next(iter(findings))


@pytest.mark.parametrize(
    ("libc", "architecture", "words"),
    [
        ("glibc 2.36", "aarch64", "onnxruntime-gpu too"),
        ("glibc 2.31", "aarch64", "onnxruntime-gpu does not, it needs glibc 2.34"),  # JetPack 5
        ("glibc 2.31", "x86_64", "onnxruntime-gpu too"),
    ],
)
def test_wheels_that_fit(libc: str, architecture: str, words: str) -> None:
    finding = wheels(libc, architecture)
    assert finding.severity == "ok"
    assert words in said(finding)


@pytest.mark.parametrize(
    ("libc", "architecture", "words"),
    [
        ("glibc 2.36", "armv7l", "no wheels for armv7l use a 64-bit system"),
        ("glibc 2.17", "x86_64", "need glibc 2.28"),
        (None, "x86_64", "not for musl"),
    ],
)
def test_wheels_that_do_not_fit(libc: str | None, architecture: str, words: str) -> None:
    finding = wheels(libc, architecture)
    assert finding.severity == "warning"
    assert words in said(finding)


@pytest.mark.parametrize("python", ["3.10.12", "3.15.0rc1"])  # JetPack 6's, and one to come
def test_a_python_without_wheels(python: str) -> None:
    finding = wheels("glibc 2.36", "aarch64", python)
    assert finding.severity == "warning"
    assert "wheels are for Python 3.11 to 3.14" in said(finding)


def test_the_newest_tag_is_named() -> None:
    assert "manylinux_2_36_aarch64" in wheels("glibc 2.36", "aarch64").evidence


def test_a_provider_library_that_does_not_load_says_why(tmp_path: Path) -> None:
    (tmp_path / "libonnxruntime_providers_cuda.so").write_text("no library at all")
    (finding,) = library_findings(tmp_path)
    assert (finding.check, finding.severity) == ("provider library cuda", "warning")
    assert "does not load" in finding.evidence
    assert str(tmp_path) in finding.evidence  # the dynamic linker's own words


@pytest.mark.parametrize(
    ("missing", "advice"),
    [
        ("libcublasLt.so.13", "onnxruntime-gpu[cuda,cudnn]"),
        ("libcudnn.so.9", "onnxruntime-gpu[cuda,cudnn]"),
        ("libcuda.so.1", "NVIDIA's driver"),
        ("libnvinfer.so.10", "pip install tensorrt"),
        ("libstrange.so.1", "--force-reinstall onnxruntime-gpu"),
    ],
)
def test_a_missing_library_is_one_that_can_be_had(
    missing: str, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(f"{missing}: cannot open shared object file: No such file or directory")

    monkeypatch.setattr("ctypes.CDLL", refuse)
    (tmp_path / "libonnxruntime_providers_cuda.so").touch()
    (finding,) = library_findings(tmp_path)
    assert missing in finding.evidence
    assert advice in said(finding)


def test_a_build_for_the_cpu_has_no_libraries_to_load(tmp_path: Path) -> None:
    (tmp_path / "libonnxruntime_providers_shared.so").touch()
    assert list(library_findings(tmp_path)) == []


@pytest.mark.parametrize(
    ("board", "level", "words"),
    [("raspberry-pi-4", "warning", "little time"), ("raspberry-pi-5", "ok", "8-bit dot products")],
)
def test_int8_on_a_raspberry_pi(board: str, level: str, words: str, tmp_path: Path) -> None:
    root = system(tmp_path, {"proc/cpuinfo": (PI / f"{board}.cpuinfo").read_text()})
    finding = found("int8 instructions", root)
    assert finding.severity == level
    assert words in said(finding)


@pytest.mark.parametrize(
    ("bits", "words"),
    [("50005", "slowed down now"), ("50000", "slowed down since its start"), ("0", "not slowed")],
)
def test_a_raspberry_pi_that_slows_down(bits: str, words: str, tmp_path: Path) -> None:
    path = "sys/devices/platform/soc/soc:firmware/get_throttled"
    finding = found("heat and supply", system(tmp_path, {path: f"{bits}\n"}))
    assert words in finding.evidence
    assert finding.severity == ("ok" if bits == "0" else "warning")


@pytest.mark.parametrize(("mode", "level"), [("15W", "warning"), ("MAXN_SUPER", "ok")])
def test_the_power_mode_of_a_jetson(mode: str, level: str, tmp_path: Path) -> None:
    files = {
        "var/lib/nvpmodel/status": "pmode:0001",
        "etc/nvpmodel.conf": f"< POWER_MODEL ID=1 NAME={mode} >\nCPU_ONLINE CORE_0 1\n",
    }
    finding = found("power mode", system(tmp_path, files))
    assert (finding.evidence, finding.severity) == (mode, level)


def test_a_machine_without_power_modes_has_no_such_line(tmp_path: Path) -> None:
    assert "power mode" not in {finding.check for finding in doctor(root=tmp_path).findings}


def test_pinning_to_some_processors_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    finding = found("processors", tmp_path)
    assert (finding.severity, finding.evidence) == (
        "warning", "4 in all, 2 by affinity, no cgroup quota",
    )  # fmt: skip
    assert "CPUAffinity=" in said(finding)


def test_a_sensor_that_only_root_may_read_is_said(tmp_path: Path) -> None:
    zone = "sys/class/powercap/intel-rapl:0"
    files = {f"{zone}/name": "package-0", f"{zone}/energy_uj": ""}  # as if it could not be read
    finding = found("power sensor", system(tmp_path, files))
    assert (finding.severity, finding.evidence) == ("warning", "only root may read it")


@pytest.mark.parametrize(("value", "level"), [("1", "ok"), ("0", "warning")])
def test_it_says_whether_telemetry_is_off(
    monkeypatch: pytest.MonkeyPatch, value: str, level: str
) -> None:
    monkeypatch.setenv(telemetry.VARIABLE, value)
    packages = PACKAGES | {"onnxruntime-gpu": None}
    findings = software_findings(
        python="3.11.2", libc="glibc 2.36", architecture="x86_64", packages=packages
    )
    (finding,) = (one for one in findings if one.check == "telemetry")
    assert (finding.severity, finding.evidence) == (level, f"ORT_DISABLE_TELEMETRY={value}")
