"""Findings about hardware: what decides how fast idskit is here, and what slows it down."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from idskit.machine.sensors import Reading, read_sensors, throttled_bits
from idskit.report.finding import Finding

_LITTLE_MEMORY_MIB = 1024  # 256 for the flow table, the model, Python, and other programs
_INT8 = {
    "dotprod": "ARM's 8-bit dot products",
    "i8mm": "ARM's 8-bit matrix products",
    "vnni": "x86's 8-bit dot products",
    "amx": "x86's 8-bit tiles",
}


def hardware_findings(facts: Mapping[str, Any], root: Path) -> Iterator[Finding]:
    """Yield all findings about hardware.

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
    yield _power_sensor(reading, root)
    yield _memory(facts["memory_mib"], facts["cgroup"]["memory_mib"])


def _int8(architecture: str, features: Mapping[str, bool | None]) -> Finding:
    known = {name: has for name, has in features.items() if has is not None}
    have = [name for name, has in known.items() if has]
    if have:
        meaning = (
            f"int8 models are faster than fp32 here ({' and '.join(_INT8[name] for name in have)})"
        )
    elif known:
        meaning = "int8 models save memory here, but little time"
    else:
        meaning = "this processor is not recognised: int8 models may or may not be faster"
    return Finding(
        check="int8 instructions",
        evidence=f"{architecture}: {', '.join(have) or 'none of ' + ', '.join(known or _INT8)}",
        severity="ok" if have else "warning",
        meaning=meaning,
        advice="" if have else "compare an int8 file with an fp32 file in idskit bench",
    )


def _processors(cores: int | None, usable: int, quota: float | None) -> Finding:
    evidence = f"{cores} in all, {usable} by affinity, " + (
        "no cgroup quota" if quota is None else f"cgroup quota {quota:g}"
    )
    if quota is not None and quota < usable:
        return Finding(
            check="processors",
            evidence=evidence,
            severity="warning",
            meaning="the kernel pauses this process whenever its threads use more than the quota",
            advice=f"give --threads {max(1, int(quota))}",
        )
    if cores is not None and usable < cores:
        return Finding(
            check="processors",
            evidence=evidence,
            severity="warning",
            meaning=f"this process may use {usable} of {cores} processors, and inference uses as "
            "many threads",
            advice="look at taskset, CPUAffinity= of the service, or --cpuset-cpus of the "
            "container to change that",
        )
    return Finding(
        check="processors",
        evidence=evidence,
        severity="ok",
        meaning=f"inference uses {usable} threads unless --threads names another number",
    )


def _governor(governor: str | None) -> Finding:
    slow = governor == "powersave"
    return Finding(
        check="clock governor",
        evidence=governor or "not stated by this system",
        severity="warning" if slow else "ok",
        meaning="the clock may stay low" if slow else "the clock is not held down by its governor",
        advice="cpupower frequency-set -g performance while you measure" if slow else "",
    )


def _power_mode(mode: str | None) -> Iterator[Finding]:
    """Only a Jetson has one."""
    if mode is not None:
        most = mode.startswith("MAXN")
        yield Finding(
            check="power mode",
            evidence=mode,
            severity="ok" if most else "warning",
            meaning="clocks and cores are not limited"
            if most
            else "clocks and cores are limited; measurements of other modes do not compare",
            advice="" if most else "sudo nvpmodel -m chooses another mode, -q shows this one",
        )


def _throttling(reading: Reading, bits: Mapping[str, bool] | None) -> Finding:
    heat = reading.temperature_c
    slowed = bool(reading.throttled or (bits and bits["occurred"]))
    when = "slowed down now" if reading.throttled else "slowed down since its start"
    return Finding(
        check="heat and supply",
        evidence=("no temperature sensor" if heat is None else f"{heat:.0f} °C")
        + ("" if reading.throttled is None else f", {when if slowed else 'not slowed down'}"),
        severity="warning" if slowed else "ok",
        meaning="the machine was too hot, or its voltage too low"
        if slowed
        else "nothing slows the machine down",
        advice="cool it or change its power supply, and restart it before you measure"
        if slowed
        else "",
    )


def _power_sensor(reading: Reading, root: Path) -> Finding:
    """Return whether power can be read: without it, benchmarks lack the energy per flow."""
    sensors = {"energy of the processors": reading.energy_j, "power of the board": reading.power_w}
    sensor = next((name for name, value in sensors.items() if value is not None), None)
    hidden = sensor is None and (root / "sys/class/powercap/intel-rapl:0/energy_uj").exists()
    return Finding(
        check="power sensor",
        evidence=sensor or ("only root may read it" if hidden else "none"),
        severity="warning" if hidden else "ok",
        meaning="idskit bench can state the energy per flow"
        if sensor
        else "idskit bench cannot state the energy per flow",
        advice="run idskit bench as root to measure it" if hidden else "",
    )


def _memory(total: int | None, limit: int | None) -> Finding:
    sizes = [size for size in (total, limit) if size is not None]
    little = bool(sizes) and min(sizes) < _LITTLE_MEMORY_MIB
    return Finding(
        check="memory",
        evidence=("unknown" if total is None else f"{total:,} MiB")
        + (", no cgroup limit" if limit is None else f", cgroup limit {limit:,} MiB"),
        severity="warning" if little else "ok",
        meaning="the flow table takes 256 MiB by default, which may not fit next to the rest"
        if little
        else "enough for a flow table of 256 MiB and a model",
        advice="give --memory-mb 64, or another smaller number" if little else "",
    )
