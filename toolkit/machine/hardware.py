"""Findings about hardware: what decides how fast idskit is here, and what slows it down."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from idskit.machine.finding import Finding
from idskit.machine.sensors import Reading, read_sensors, throttled_bits

_LITTLE_MEMORY_MIB = 1024  # the flow table's 256, the model and Python, beside what else runs
_INT8 = {
    "dotprod": "ARM's 8-bit dot products",
    "i8mm": "ARM's 8-bit matrix products",
    "vnni": "x86's 8-bit dot products",
    "amx": "x86's 8-bit tiles",
}


def hardware(facts: Mapping[str, Any], root: Path) -> Iterator[Finding]:
    """All findings about hardware.

    Args:
        facts: those of ``machine_facts``.
        root: of the file system whose /proc and /sys are read.
    """
    yield _int8(facts["architecture"], facts["features"])
    yield _processors(facts["cores"], len(facts["affinity"]), facts["cgroup"]["cpus"])
    yield _governor(facts["governor"])
    yield from _power_mode(facts["power_mode"])
    reading = read_sensors(root)
    yield _throttling(reading, throttled_bits(root))
    yield _energy(reading, root)
    yield _memory(facts["memory_mib"], facts["cgroup"]["memory_mib"])


def _int8(architecture: str, features: Mapping[str, bool | None]) -> Finding:
    known = {name: has for name, has in features.items() if has is not None}
    have = [name for name, has in known.items() if has]
    if have:
        meaning = " and ".join(_INT8[name] for name in have) + ": int8 models pay here"
    elif known:
        meaning = "int8 saves memory but little time here: compare with fp32 in idskit bench"
    else:
        meaning = "not recognised: compare int8 with fp32 in idskit bench"
    return Finding(
        name="int8 instructions",
        found=f"{architecture}: {', '.join(have) or 'none of ' + ', '.join(known or _INT8)}",
        level="ok" if have else "warning",
        meaning=meaning,
    )


def _processors(cores: int | None, usable: int, quota: float | None) -> Finding:
    limited = quota is not None and quota < usable
    pinned = cores is not None and usable < cores
    return Finding(
        name="processors",
        found=f"{cores} in all, {usable} by affinity, "
        + ("no cgroup quota" if quota is None else f"cgroup quota {quota:g}"),
        level="warning" if limited or pinned else "ok",
        meaning=f"threads above the quota are stopped in the middle of a flow: give --threads "
        f"{max(1, int(quota or 1))}"
        if limited
        else f"this process may use {usable} of them, and inference uses as many threads: "
        "taskset, CPUAffinity= of its service or --cpuset-cpus of its container says so"
        if pinned
        else f"inference uses {usable} threads unless --threads says otherwise",
    )


def _governor(governor: str | None) -> Finding:
    slow = governor == "powersave"
    return Finding(
        name="clock governor",
        found=governor or "not told by this system",
        level="warning" if slow else "ok",
        meaning="the clock may stay low: cpupower frequency-set -g performance while you measure"
        if slow
        else "nothing to do",
    )


def _power_mode(mode: str | None) -> Iterator[Finding]:
    """Only a Jetson has one."""
    if mode is not None:
        most = mode.startswith("MAXN")
        yield Finding(
            name="power mode",
            found=mode,
            level="ok" if most else "warning",
            meaning="clocks and cores are not limited"
            if most
            else "it limits clocks and cores: sudo nvpmodel -q names it, -m chooses another; "
            "compare measurements of one mode only",
        )


def _throttling(reading: Reading, bits: Mapping[str, bool] | None) -> Finding:
    heat = reading.temperature_c
    slowed = bool(reading.throttled or (bits and bits["occurred"]))
    when = "slowed down now" if reading.throttled else "slowed down since its start"
    return Finding(
        name="heat and supply",
        found=("no temperature sensor" if heat is None else f"{heat:.0f} °C")
        + ("" if reading.throttled is None else f", {when if slowed else 'not slowed down'}"),
        level="warning" if slowed else "ok",
        meaning="too hot or too little voltage: cool it or change the power supply, and restart it "
        "before you measure"
        if slowed
        else "nothing to do",
    )


def _energy(reading: Reading, root: Path) -> Finding:
    """Whether a benchmark can tell the energy of a flow; it works without."""
    sensor = next((n for n, v in _power(reading).items() if v is not None), None)
    hidden = sensor is None and (root / "sys/class/powercap/intel-rapl:0/energy_uj").exists()
    return Finding(
        name="power sensor",
        found=sensor or ("only root may read it" if hidden else "none"),
        level="warning" if hidden else "ok",
        meaning="idskit bench tells the energy of a flow"
        if sensor
        else "run idskit bench as root for the energy of a flow"
        if hidden
        else "a flow's energy stays null in idskit bench",
    )


def _power(reading: Reading) -> dict[str, float | None]:
    return {"energy of the processors": reading.energy_j, "power of the board": reading.power_w}


def _memory(total: int | None, limit: int | None) -> Finding:
    sizes = [size for size in (total, limit) if size is not None]
    little = bool(sizes) and min(sizes) < _LITTLE_MEMORY_MIB
    return Finding(
        name="memory",
        found=("unknown" if total is None else f"{total:,} MiB")
        + (", no cgroup limit" if limit is None else f", cgroup limit {limit:,} MiB"),
        level="warning" if little else "ok",
        meaning="little: make the flow table smaller (open_flows, memory_mb), 256 MiB by default"
        if little
        else "enough for the flow table's 256 MiB and a model",
    )
