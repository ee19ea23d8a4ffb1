"""Facts about this machine, read from the system; what is not there is None, never guessed.

Every function takes the root of the file system, so that tests read recorded files.
"""

from __future__ import annotations

import os
import platform
import re
import resource
import shutil
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path("/")
PACKAGES = (
    "idskit",
    "numpy",
    "numba",
    "onnxruntime",
    "onnxruntime-gpu",
    "torch",
    "lightgbm",
)
_UNLIMITED_BYTES = 1 << 60  # cgroup v1 writes about 2**63 for "no limit"


def machine_facts(root: Path = ROOT) -> dict[str, Any]:
    """Everything about the machine that decides a measurement, as JSON values."""
    cpuinfo = _text(root / "proc/cpuinfo") or ""
    return {
        "model": machine_model(root),
        "cpu": cpu_model(cpuinfo),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "affinity": sorted(os.sched_getaffinity(0)),
        "features": cpu_features(cpuinfo),
        "governor": _text(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "memory_mib": memory_mib(root),
        "cgroup": cgroup_limits(root),
        "kernel": platform.release(),
        "libc": " ".join(platform.libc_ver()) or None,
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def sensors(root: Path = ROOT) -> dict[str, Any]:
    """Temperature, clock and throttling at this moment."""
    return {
        "temperature_c": temperature_c(root),
        "frequency_mhz": frequency_mhz(root),
        "throttled": throttled(),
    }


def machine_model(root: Path = ROOT) -> str | None:
    """Name of the board (device tree) or of the computer (DMI)."""
    board = _text(root / "proc/device-tree/model")
    vendor = _text(root / "sys/class/dmi/id/sys_vendor")
    product = _text(root / "sys/class/dmi/id/product_name")
    return board or " ".join(filter(None, (vendor, product))) or None


def cpu_model(cpuinfo: str) -> str | None:
    """Processor name of x86's and of some ARM's /proc/cpuinfo."""
    return _field(cpuinfo, "model name") or _field(cpuinfo, "Model")


def cpu_features(cpuinfo: str) -> dict[str, bool | None]:
    """Which int8 instructions the processor has; None for those of another architecture.

    ``dotprod`` and ``i8mm`` are ARM's, ``vnni`` and ``amx`` x86's (with AVX2 or AVX-512, and
    with 8-bit tiles).
    """
    features: dict[str, bool | None] = dict.fromkeys(("dotprod", "i8mm", "vnni", "amx"))
    arm, x86 = _field(cpuinfo, "Features"), _field(cpuinfo, "flags")
    if arm is not None:
        have = set(arm.split())
        features |= {"dotprod": "asimddp" in have, "i8mm": "i8mm" in have}
    if x86 is not None:
        have = set(x86.split())
        features |= {"vnni": bool(have & {"avx_vnni", "avx512_vnni"}), "amx": "amx_int8" in have}
    return features


def memory_mib(root: Path = ROOT) -> int | None:
    """Memory of the machine."""
    found = re.search(r"^MemTotal:\s*(\d+) kB", _text(root / "proc/meminfo") or "", re.MULTILINE)
    return int(found[1]) >> 10 if found else None


def cgroup_limits(root: Path = ROOT) -> dict[str, float | int | None]:
    """Limits that a container or service sets on this process: processors and memory."""
    return {"cpus": _cgroup_cpus(root), "memory_mib": _cgroup_memory_mib(root)}


def temperature_c(root: Path = ROOT) -> float | None:
    """Hottest thermal zone."""
    zones = (root / "sys/class/thermal").glob("thermal_zone*/temp")
    readings = [value for zone in zones if (value := _integer(zone)) is not None]
    return max(readings) / 1000 if readings else None


def frequency_mhz(root: Path = ROOT) -> float | None:
    """Clock of the first processor."""
    clock = _integer(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq")
    return None if clock is None else clock / 1000


def throttled() -> dict[str, bool] | None:
    """Whether a Raspberry Pi slows down now or did so since it started; None elsewhere."""
    if shutil.which("vcgencmd") is None:
        return None
    with suppress(OSError, subprocess.SubprocessError):
        command = ["vcgencmd", "get_throttled"]
        reply = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
        return parse_throttled(reply.stdout)
    return None


def parse_throttled(reply: str) -> dict[str, bool] | None:
    """Read ``throttled=0x50005``: bits 0-3 are about now, 16-19 about the time since boot."""
    found = re.fullmatch(r"throttled=0x([0-9a-fA-F]+)", reply.strip())
    if not found:
        return None
    bits = int(found[1], 16)
    return {"now": bool(bits & 0xF), "occurred": bool(bits >> 16 & 0xF)}


def rss_mib() -> float | None:
    """Memory that this process holds."""
    return _status_mib("VmRSS")


def peak_rss_mib() -> float:
    """Most memory that this process has held since it started or since ``reset_peak_rss``."""
    peak = _status_mib("VmHWM")
    return peak if peak is not None else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def reset_peak_rss() -> None:
    """Let ``peak_rss_mib`` start anew, where the kernel allows it (proc_pid_clear_refs(5))."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _status_mib(name: str) -> float | None:
    status = _text(Path("/proc/self/status")) or ""
    found = re.search(rf"^{name}:\s*(\d+) kB", status, re.MULTILINE)
    return int(found[1]) / 1024 if found else None


def _cgroup_cpus(root: Path) -> float | None:
    words = (_cgroup(root, "cpu.max") or "").split()  # version 2: "quota period"
    if len(words) == 2:
        return None if words[0] == "max" else int(words[0]) / int(words[1])
    quota = _integer(root / "sys/fs/cgroup/cpu/cpu.cfs_quota_us")  # version 1, -1: no limit
    period = _integer(root / "sys/fs/cgroup/cpu/cpu.cfs_period_us")
    return quota / period if quota and period and quota > 0 else None


def _cgroup_memory_mib(root: Path) -> int | None:
    text = _cgroup(root, "memory.max") or _text(root / "sys/fs/cgroup/memory/memory.limit_in_bytes")
    limit = int(text) if text and text.isdecimal() else None  # version 2 writes "max"
    return None if limit is None or limit > _UNLIMITED_BYTES else limit >> 20


def _cgroup(root: Path, name: str) -> str | None:
    """A version 2 limit of this process's own group, or of what its container shows as root."""
    own = re.search(r"^0::/(.*)$", _text(root / "proc/self/cgroup") or "", re.MULTILINE)
    base = root / "sys/fs/cgroup"
    return (_text(base / own[1] / name) if own else None) or _text(base / name)


def _field(text: str, name: str) -> str | None:
    found = re.search(rf"^{name}\s*:\s*(.*)$", text, re.MULTILINE)
    return found[1].strip() if found else None


def _integer(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text and re.fullmatch(r"-?\d+", text) else None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip("\0\n\t ") or None
    except OSError:
        return None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
