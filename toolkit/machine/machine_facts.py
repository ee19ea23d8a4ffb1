"""Facts about this machine, read from the system; what is not there is None, never guessed.

Every function takes the root of the file system, so that tests read recorded files.
"""

from __future__ import annotations

import os
import platform
import re
import resource
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from idskit.machine.sensors import ROOT, read_sensors, read_text, throttled_bits

PACKAGES = (
    "idskit",
    "numpy",
    "numba",
    "onnxruntime",
    "onnxruntime-gpu",
    "torch",
    "lightgbm",
    "openvino",
)
# Primary part numbers of ARM's own cores, from their reference manuals (MIDR_EL1).
_ARM_CORES = {
    "0xd03": "Cortex-A53",
    "0xd05": "Cortex-A55",
    "0xd07": "Cortex-A57",
    "0xd08": "Cortex-A72",
    "0xd09": "Cortex-A73",
    "0xd0a": "Cortex-A75",
    "0xd0b": "Cortex-A76",
    "0xd0c": "Neoverse-N1",
    "0xd41": "Cortex-A78",
    "0xd42": "Cortex-A78AE",
}
_UNLIMITED_BYTES = 1 << 60  # cgroup v1 writes about 2**63 for "no limit"


def machine_facts(root: Path = ROOT) -> dict[str, Any]:
    """Everything about the machine that decides a measurement, as JSON values."""
    cpuinfo = read_text(root / "proc/cpuinfo") or ""
    return {
        "model": machine_model(root),
        "cpu": cpu_model(cpuinfo) or _soc(root, cpuinfo),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "affinity": sorted(os.sched_getaffinity(0)),
        "features": cpu_features(cpuinfo),
        "governor": read_text(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "power_mode": power_mode(root),
        "memory_mib": memory_mib(root),
        "cgroup": cgroup_limits(root),
        "kernel": platform.release(),
        "libc": " ".join(platform.libc_ver()) or None,
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def sensors(root: Path = ROOT) -> dict[str, Any]:
    """Temperature, clock and a Raspberry Pi's throttling at this moment, as JSON values."""
    reading = read_sensors(root)
    return {
        "temperature_c": reading.temperature_c,
        "frequency_mhz": None if reading.clock_hz is None else reading.clock_hz / 1e6,
        "throttled": throttled_bits(root),
    }


def machine_model(root: Path = ROOT) -> str | None:
    """Return the name of the board (device tree) or of the computer (DMI)."""
    board = read_text(root / "proc/device-tree/model")
    vendor = read_text(root / "sys/class/dmi/id/sys_vendor")
    product = read_text(root / "sys/class/dmi/id/product_name")
    return board or " ".join(filter(None, (vendor, product))) or None


def cpu_model(cpuinfo: str) -> str | None:
    """Processor name that x86's /proc/cpuinfo has."""
    return _field(cpuinfo, "model name")


def power_mode(root: Path = ROOT) -> str | None:
    """Return the power mode of a Jetson, such as 15W: it limits clocks and cores (nvpmodel)."""
    chosen = re.fullmatch(r"pmode:(\d+)", read_text(root / "var/lib/nvpmodel/status") or "")
    modes = read_text(root / "etc/nvpmodel.conf") or ""
    names = dict(re.findall(r"^< POWER_MODEL ID=(\d+) NAME=(\S+) >", modes, re.MULTILINE))
    return names.get(str(int(chosen[1]))) if chosen else None


def cpu_features(cpuinfo: str) -> dict[str, bool | None]:
    """Return which int8 instructions the processor has; None for those of another architecture.

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
    found = re.search(
        r"^MemTotal:\s*(\d+) kB", read_text(root / "proc/meminfo") or "", re.MULTILINE
    )
    return int(found[1]) >> 10 if found else None


def cgroup_limits(root: Path = ROOT) -> dict[str, float | int | None]:
    """Return the limits that a container or service sets on this process: processors and memory."""
    return {"cpus": _cgroup_cpus(root), "memory_mib": _cgroup_memory_mib(root)}


def rss_mib() -> float | None:
    """Memory that this process holds."""
    return _status_mib("VmRSS")


def peak_rss_mib() -> float:
    """Return the most memory that this process held since its start or ``reset_peak_rss``."""
    peak = _status_mib("VmHWM")
    return peak if peak is not None else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def reset_peak_rss() -> None:
    """Let ``peak_rss_mib`` start anew, where the kernel allows it (proc_pid_clear_refs(5))."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _status_mib(name: str) -> float | None:
    status = read_text(Path("/proc/self/status")) or ""
    found = re.search(rf"^{name}:\s*(\d+) kB", status, re.MULTILINE)
    return int(found[1]) / 1024 if found else None


def _cgroup_cpus(root: Path) -> float | None:
    """Return the least quota; version 2 writes "quota period" or "max period", version 1 -1."""
    pairs = [tuple(text.split()) for text in _controls(root, "", "cpu.max")]
    pairs += zip(
        _controls(root, "cpu", "cpu.cfs_quota_us"),
        _controls(root, "cpu", "cpu.cfs_period_us"),
        strict=False,
    )
    shares = [int(quota) / int(period) for quota, period in pairs if quota not in {"max", "-1"}]
    return min(shares, default=None)


def _cgroup_memory_mib(root: Path) -> int | None:
    texts = [
        *_controls(root, "", "memory.max"),
        *_controls(root, "memory", "memory.limit_in_bytes"),
    ]
    limits = [int(text) for text in texts if text != "max"]
    return min((limit >> 20 for limit in limits if limit < _UNLIMITED_BYTES), default=None)


def _controls(root: Path, controller: str, name: str) -> list[str]:
    """Return a control file's text in this process's group and in all groups above it.

    Version 1 has a tree for each controller, version 2 one for all, whose name is empty. Inside a
    container the path may be the host's, and the top of the tree is the container's own group.
    """
    groups = read_text(root / "proc/self/cgroup") or ""
    found = re.search(rf"^\d+:(?:\S+,)?{controller}(?:,\S+)?:/(.*)$", groups, re.MULTILINE)
    own = Path(found[1] if found else "")
    top = root / "sys/fs/cgroup" / controller
    return [text for group in (own, *own.parents) if (text := read_text(top / group / name))]


def _soc(root: Path, cpuinfo: str) -> str | None:
    """ARM's processor core and the board's system on a chip: "Cortex-A76, brcm,bcm2712"."""
    core = _ARM_CORES.get(_field(cpuinfo, "CPU part") or "")
    compatible = read_text(root / "proc/device-tree/compatible")  # from the board to its chip
    chip = compatible.split("\0")[-1] if compatible else None
    return ", ".join(filter(None, (core, chip))) or None


def _field(text: str, name: str) -> str | None:
    found = re.search(rf"^{name}\s*:\s*(.*)$", text, re.MULTILINE)
    return found[1].strip() if found else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
