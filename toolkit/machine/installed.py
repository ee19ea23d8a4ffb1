"""Findings about software: which wheels fit, what is installed, and whether it loads."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from idskit.machine.finding import Finding, Level, broken
from idskit.process import telemetry

RUNTIMES = ("onnxruntime", "onnxruntime-gpu")
Glibc = tuple[int, int]
# The oldest glibc that the wheels of onnxruntime 1.31, numba 0.68 and numpy 2.4 take.
_GLIBC: dict[str, Glibc] = {"x86_64": (2, 28), "aarch64": (2, 28)}
_GPU_GLIBC: dict[str, Glibc] = {"x86_64": (2, 28), "aarch64": (2, 34)}  # of onnxruntime-gpu 1.31
_PYTHONS = (
    (3, 11),
    (3, 14),
)  # oldest and newest that onnxruntime 1.31 and numba 0.68 have wheels of
_LIBRARIES = "libonnxruntime_providers_*.so"
_SHARED = "libonnxruntime_providers_shared.so"  # the others find it only when it is loaded already
_GET = {
    "libcuda.so": "it is part of NVIDIA's driver: install that, or start the container with --gpus "
    "all",
    "libcu": "pip install 'onnxruntime-gpu[cuda,cudnn]', or CUDA of that number for the system",
    "libnvinfer": "pip install tensorrt, of the version that onnxruntime's release notes name",
}


def installed(
    *, python: str, libc: str | None, architecture: str, packages: Mapping[str, str | None]
) -> Iterator[Finding]:
    """All findings about software; the arguments are those of ``machine_facts``."""
    yield _wheels(python, libc, architecture)
    yield _packages(packages)
    yield _runtimes({name: found for name in RUNTIMES if (found := packages[name])})
    yield _telemetry()
    yield from _providers()


def _telemetry() -> Finding:
    """Whether onnxruntime 1.29 and later keep to themselves; older ones always do on Linux."""
    off = telemetry.is_off()
    return Finding(
        name="telemetry",
        found=f"{telemetry.VARIABLE}={os.environ.get(telemetry.VARIABLE, '')}",
        level="ok" if off else "warning",
        meaning="onnxruntime connects to nobody and keeps no device ID"
        if off
        else "onnxruntime 1.29 and later look names up, send what they measured and keep a device "
        f"ID below the cache folder: unset {telemetry.VARIABLE}, or set it to 1",
    )


def _wheels(python: str, libc: str | None, architecture: str) -> Finding:
    glibc = _glibc(libc)
    tag = f"takes manylinux_{glibc[0]}_{glibc[1]}_{architecture} and older" if glibc else "no glibc"
    problem = _problem(glibc, architecture) or _python_problem(python)
    return Finding(
        name="wheels",
        found=f"Python {python}, {libc or 'C library not recognised'}: {tag}",
        level="warning" if problem else "ok",
        meaning=problem
        or "current wheels of onnxruntime and numba install" + _gpu(glibc, architecture),
    )


def _glibc(libc: str | None) -> Glibc | None:
    found = re.fullmatch(r"glibc (\d+)\.(\d+).*", libc or "")
    return (int(found[1]), int(found[2])) if found else None


def _problem(glibc: Glibc | None, architecture: str) -> str | None:
    """Why pip finds no current wheels here, if so."""
    needed = _GLIBC.get(architecture)
    if needed is None:
        return (
            f"onnxruntime has no wheels for {architecture}: use a 64-bit system (a Raspberry Pi 3 "
            "or newer runs 64-bit Raspberry Pi OS), or build it"
        )
    if glibc is None:
        return (
            "numba and onnxruntime have wheels for glibc only, not for musl (Alpine): use an image "
            "of Debian or Ubuntu"
        )
    if glibc < needed:
        return (
            f"current wheels need glibc {needed[0]}.{needed[1]}: pip takes older versions of them; "
            "upgrade the system (Debian 10, Ubuntu 20.04 or newer)"
        )
    return None


def _python_problem(python: str) -> str | None:
    major, minor, *_ = map(int, re.findall(r"\d+", python))
    oldest, newest = _PYTHONS
    if oldest <= (major, minor) <= newest:
        return None
    return (
        f"current wheels are for Python {oldest[0]}.{oldest[1]} to {newest[0]}.{newest[1]}: pip "
        "takes older versions of them or none; install idskit for such a Python"
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
        name="packages",
        found=", ".join(f"{name} {number or 'missing'}" for name, number in needed.items()),
        level="error" if missing else "ok",
        meaning=f"pip install {' '.join(missing)}"
        if missing
        else "all that extraction needs is there",
    )


def _runtimes(found: Mapping[str, str]) -> Finding:
    """The two packages install the same files: the later one overwrites half of the other."""
    level: Level = "error" if len(found) > 1 else "ok" if found else "warning"
    meanings: dict[Level, str] = {
        "error": "they overwrite each other's files, and either may fail or use the CPU unasked: "
        "pip uninstall -y onnxruntime onnxruntime-gpu, then install the one you want",
        "warning": "not installed as a package: its version and kind are unknown",
        "ok": "one of the two packages, as it should be",
    }
    return Finding(
        name="onnxruntime",
        found=" and ".join(f"{name} {number}" for name, number in found.items()) or "none",
        level=level,
        meaning=meanings[level],
    )


def _providers() -> Iterator[Finding]:
    """What onnxruntime offers, or why it does not load; then the libraries of each offer."""
    try:
        import onnxruntime

        from idskit.detect.session import preload_libraries

        offered = onnxruntime.get_available_providers()
        folder = Path(onnxruntime.__file__).parent / "capi"
    except (ImportError, AttributeError, OSError) as error:
        yield broken("execution providers", "onnxruntime", error)
        return
    names = [name.removesuffix("ExecutionProvider") for name in offered]
    yield Finding(
        name="execution providers",
        found=", ".join(names),
        level="ok" if "CPU" in names else "error",
        meaning="--device cuda can be asked for, if its libraries load (next lines)"
        if "CUDA" in names
        else "--device cpu only; for an NVIDIA GPU install onnxruntime-gpu in place of onnxruntime",
    )
    preload_libraries()
    yield from library_findings(folder)


def library_findings(folder: Path) -> Iterator[Finding]:
    """A finding for each provider that is a library of its own, loaded as onnxruntime loads it."""
    libraries = sorted(path for path in folder.glob(_LIBRARIES) if path.name != _SHARED)
    if libraries:
        _load(folder / _SHARED)
    for library in libraries:
        reason = _load(library)
        yield Finding(
            name=f"provider library {library.stem.removeprefix('libonnxruntime_providers_')}",
            found="loads" if reason is None else f"does not load: {reason}",
            level="ok" if reason is None else "warning",
            meaning="the provider can be asked for" if reason is None else _how_to_get(reason),
        )


def _load(library: Path) -> str | None:
    """Why the dynamic linker refuses a library; None where it does not."""
    try:
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        return str(error)
    return None


def _how_to_get(reason: str) -> str:
    known = (advice for prefix, advice in _GET.items() if reason.startswith(prefix))
    return next(known, "asking for it is an error: pip install --force-reinstall onnxruntime-gpu")
