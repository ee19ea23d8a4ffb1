"""Findings about software: which wheels fit, what is installed, and whether it loads."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from idskit.process import telemetry
from idskit.report.finding import Finding, Severity

RUNTIMES = ("onnxruntime", "onnxruntime-gpu")
Glibc = tuple[int, int]
# The oldest glibc that the wheels of onnxruntime 1.31, numba 0.68 and numpy 2.4 take.
_GLIBC: dict[str, Glibc] = {"x86_64": (2, 28), "aarch64": (2, 28)}
_GPU_GLIBC: dict[str, Glibc] = {"x86_64": (2, 28), "aarch64": (2, 34)}  # of onnxruntime-gpu 1.31
# Oldest and newest Python that onnxruntime 1.31 and numba 0.68 have wheels for.
_PYTHONS = ((3, 11), (3, 14))
_LIBRARIES = "libonnxruntime_providers_*.so"
_SHARED = "libonnxruntime_providers_shared.so"  # the others find it only when it is loaded already
_GET = {
    "libcuda.so": "install NVIDIA's driver, which has it, or start the container with --gpus all",
    "libcu": "pip install 'onnxruntime-gpu[cuda,cudnn]', or CUDA of that number for the system",
    "libnvinfer": "pip install tensorrt, of the version that onnxruntime's release notes name",
}


def software_findings(
    *, python: str, libc: str | None, architecture: str, packages: Mapping[str, str | None]
) -> Iterator[Finding]:
    """Yield all findings about software; the arguments are those of ``machine_facts``."""
    yield _wheels(python, libc, architecture)
    yield _packages(packages)
    yield _runtimes({name: found for name in RUNTIMES if (found := packages[name])})
    yield _telemetry()
    yield from _providers()


def broken_package(check: str, package: str, error: Exception) -> Finding:
    """Report a package that does not load, instead of ending with its error."""
    return Finding(
        check=check,
        evidence=f"{package} does not load: {error}",
        severity="error",
        meaning="idskit detect needs it",
        advice=f"pip install --force-reinstall {package}",
    )


def _telemetry() -> Finding:
    """Return whether onnxruntime 1.29 and later send data; older ones never do on Linux."""
    off = telemetry.is_off()
    return Finding(
        check="telemetry",
        evidence=f"{telemetry.VARIABLE}={os.environ.get(telemetry.VARIABLE, '')}",
        severity="ok" if off else "warning",
        meaning="onnxruntime connects to nobody and keeps no device ID"
        if off
        else "onnxruntime 1.29 and later look names up, send what they measured, and keep a device "
        "ID in the cache folder",
        advice="" if off else f"unset {telemetry.VARIABLE}, or set it to 1",
    )


def _wheels(python: str, libc: str | None, architecture: str) -> Finding:
    glibc = _glibc(libc)
    tag = f"takes manylinux_{glibc[0]}_{glibc[1]}_{architecture} and older" if glibc else "no glibc"
    problem = _problem(glibc, architecture) or _python_problem(python)
    fine = "current wheels of onnxruntime and numba can be installed"
    meaning, advice = problem or (fine + _gpu(glibc, architecture), "")
    return Finding(
        check="wheels",
        evidence=f"Python {python}, {libc or 'C library not recognised'}: {tag}",
        severity="warning" if problem else "ok",
        meaning=meaning,
        advice=advice,
    )


def _glibc(libc: str | None) -> Glibc | None:
    found = re.fullmatch(r"glibc (\d+)\.(\d+).*", libc or "")
    return (int(found[1]), int(found[2])) if found else None


def _problem(glibc: Glibc | None, architecture: str) -> tuple[str, str] | None:
    """Return why pip finds no current wheels here, and what to do; None if it does."""
    needed = _GLIBC.get(architecture)
    if needed is None:
        return (
            f"onnxruntime has no wheels for {architecture}",
            "use a 64-bit system (a Raspberry Pi 3 or newer runs 64-bit Raspberry Pi OS), or build "
            "onnxruntime",
        )
    if glibc is None:
        return (
            "numba and onnxruntime have wheels for glibc only, not for musl (Alpine)",
            "use an image of Debian or Ubuntu",
        )
    if glibc < needed:
        return (
            f"current wheels need glibc {needed[0]}.{needed[1]}, so pip installs older versions",
            "upgrade the system (Debian 10, Ubuntu 20.04 or newer)",
        )
    return None


def _python_problem(python: str) -> tuple[str, str] | None:
    major, minor, *_ = map(int, re.findall(r"\d+", python))
    oldest, newest = _PYTHONS
    if oldest <= (major, minor) <= newest:
        return None
    return (
        f"current wheels are for Python {oldest[0]}.{oldest[1]} to {newest[0]}.{newest[1]}; pip "
        "installs older versions of them, or none",
        "install idskit for one of these versions of Python",
    )


def _gpu(glibc: Glibc | None, architecture: str) -> str:
    needed = _GPU_GLIBC[architecture]
    if glibc and glibc >= needed:
        return ", onnxruntime-gpu too"
    return f"; onnxruntime-gpu does not, it needs glibc {needed[0]}.{needed[1]}"


def _packages(versions: Mapping[str, str | None]) -> Finding:
    needed = {name: versions.get(name) for name in ("idskit", "numpy", "numba")}
    missing = [name for name, number in needed.items() if number is None]
    return Finding(
        check="packages",
        evidence=", ".join(f"{name} {number or 'missing'}" for name, number in needed.items()),
        severity="error" if missing else "ok",
        meaning="extraction cannot run" if missing else "everything that extraction needs is there",
        advice=f"pip install {' '.join(missing)}" if missing else "",
    )


def _runtimes(found: Mapping[str, str]) -> Finding:
    """Both packages install the same files: the later one overwrites half of the other."""
    severity: Severity = "error" if len(found) > 1 else "ok" if found else "warning"
    meanings = {
        "error": "they overwrite each other's files: either may fail, or use the CPU unasked",
        "warning": "it is not installed as a package, so its version and kind are unknown",
        "ok": "exactly one of the two packages is installed",
    }
    advice = "pip uninstall -y onnxruntime onnxruntime-gpu, then install the one you want"
    return Finding(
        check="onnxruntime",
        evidence=" and ".join(f"{name} {number}" for name, number in found.items()) or "none",
        severity=severity,
        meaning=meanings[severity],
        advice=advice if severity == "error" else "",
    )


def _providers() -> Iterator[Finding]:
    """Yield what onnxruntime offers, or why it does not load; then each provider's library."""
    try:
        import onnxruntime

        from idskit.detect.session import preload_libraries

        offered = onnxruntime.get_available_providers()
        folder = Path(onnxruntime.__file__).parent / "capi"
    except (ImportError, AttributeError, OSError) as error:
        yield broken_package("execution providers", "onnxruntime", error)
        return
    names = [name.removesuffix("ExecutionProvider") for name in offered]
    cuda = "CUDA" in names
    yield Finding(
        check="execution providers",
        evidence=", ".join(names),
        severity="ok" if "CPU" in names else "error",
        meaning="--device cuda is offered, if its libraries load (next lines)"
        if cuda
        else "only --device cpu is offered",
        advice="" if cuda else "for an NVIDIA GPU, replace onnxruntime by onnxruntime-gpu",
    )
    preload_libraries()
    yield from library_findings(folder)


def library_findings(folder: Path) -> Iterator[Finding]:
    """Load each provider that is a library of its own as onnxruntime does, and yield the result."""
    libraries = sorted(path for path in folder.glob(_LIBRARIES) if path.name != _SHARED)
    if libraries:
        _load(folder / _SHARED)
    for library in libraries:
        reason = _load(library)
        yield Finding(
            check=f"provider library {library.stem.removeprefix('libonnxruntime_providers_')}",
            evidence="loads" if reason is None else f"does not load: {reason}",
            severity="ok" if reason is None else "warning",
            meaning="this provider can be used"
            if reason is None
            else "this provider cannot be used; asking for it is an error",
            advice="" if reason is None else _how_to_get(reason),
        )


def _load(library: Path) -> str | None:
    """Return why the dynamic linker refuses a library; None if it loads."""
    try:
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        return str(error)
    return None


def _how_to_get(reason: str) -> str:
    known = (advice for prefix, advice in _GET.items() if reason.startswith(prefix))
    return next(known, "pip install --force-reinstall onnxruntime-gpu")
