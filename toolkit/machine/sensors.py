"""What a board's sensors say at this moment; one that is not there is None, never guessed.

| | Raspberry Pi | Jetson | x86 |
|---|---|---|---|
| temperature | thermal zones | thermal zones | thermal zones, else hwmon |
| clock | cpufreq | cpufreq | cpufreq |
| throttled | firmware's bits | cooling devices | cooling devices |
| power | Pi 5: rails of the PMIC | INA3221, rail VDD_IN | |
| energy | | | RAPL, processor packages |

Every function takes the root of the file system, so that tests read recorded files.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path("/")
_FIRMWARE = "sys/devices/platform/soc/soc:firmware/get_throttled"
_SLOWING = re.compile(r"(thermal-)?cpufreq-|Processor$")  # cooling devices that cost speed; no fans
_PROCESSORS = {"coretemp", "k10temp", "zenpower", "cpu_thermal"}  # drivers, by their hwmon name
_RAIL = re.compile(r"^\s*(\w+)_[AV] (current|volt)\(\d+\)=([\d.]+)[AV]$", re.MULTILINE)
_JETSON_INPUT = "VDD_IN"  # the module's input; AGX Orin measures parts of it only


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Sensors at one moment.

    Attributes:
        temperature_c: of the hottest thermal zone, or of the processor where there is no zone.
        clock_hz: of the fastest-clocked processor.
        throttled: whether heat or supply slows the machine down now.
        power_w: drawn at this moment: by a Jetson's module, or by what a Pi 5's PMIC supplies (its
            5 V users, such as USB, are not in it).
        energy_j: drawn by the processor packages since some moment: only differences mean anything.
            The kernel shows it to root only.
    """

    temperature_c: float | None = None
    clock_hz: float | None = None
    throttled: bool | None = None
    power_w: float | None = None
    energy_j: float | None = None


def read_sensors(root: Path = ROOT) -> Reading:
    """Read every sensor once; takes some milliseconds on a Raspberry Pi, less elsewhere."""
    bits = throttled_bits(root)
    return Reading(
        temperature_c=temperature_c(root),
        clock_hz=_clock_hz(root),
        throttled=bits["now"] if bits else _is_slowed(root),
        power_w=_jetson_power_w(root) or _pi_power_w(root),
        energy_j=_counter(root).read_j(),
    )


def temperature_c(root: Path = ROOT) -> float | None:
    """Hottest thermal zone; where there is none, the processor's own sensor (most of AMD's)."""
    zones = (root / "sys/class/thermal").glob("thermal_zone*/temp")
    return _hottest_c(zones) or _hottest_c(_processor_inputs(root))


def _hottest_c(files: Iterable[Path]) -> float | None:
    """Of files that hold thousandths of a degree."""
    readings = [value for file in files if (value := read_integer(file)) is not None]
    return max(readings) / 1000 if readings else None


def _processor_inputs(root: Path) -> Iterator[Path]:
    """Yield temperatures of hwmon devices that are processors, not disks or network cards."""
    for device in (root / "sys/class/hwmon").glob("hwmon*"):
        if read_text(device / "name") in _PROCESSORS:
            yield from device.glob("temp*_input")


def throttled_bits(root: Path = ROOT) -> dict[str, bool] | None:
    """Return whether a Raspberry Pi is slowed ``now``, or it ``occurred``; None elsewhere.

    Bits 0-3 of the firmware's number are about now (low voltage, capped, throttled, soft limit of
    temperature), bits 16-19 about the time since the start.
    """
    text = read_text(root / _FIRMWARE) or (_vcgencmd(root, "get_throttled") or "").strip()
    found = re.fullmatch(r"(?:throttled=0x)?([0-9a-fA-F]+)", text)
    if not found:
        return None
    bits = int(found[1], 16)
    return {"now": bool(bits & 0xF), "occurred": bool(bits >> 16 & 0xF)}


class EnergyCounter:
    """RAPL's counters added up, and across the points where they start again at zero.

    They count up to ``max_energy_range_uj``, less than an hour's worth under load: it must be read
    more often than that. https://docs.kernel.org/power/powercap/powercap.html
    """

    def __init__(self, root: Path = ROOT) -> None:
        zones = sorted(
            (root / "sys/class/powercap").glob("intel-rapl:*")
        )  # AMD's are called so too
        self._packages = [
            zone for zone in zones if (read_text(zone / "name") or "").startswith("package")
        ]
        self._before: dict[Path, int] = {}
        self._total_uj = 0

    def read_j(self) -> float | None:
        """Return the joules since the first call; None where a package cannot be read."""
        for zone in self._packages:
            now, last = (read_integer(zone / name) for name in ("energy_uj", "max_energy_range_uj"))
            if now is None or last is None:
                return None
            self._total_uj += (now - self._before.get(zone, now)) % (last + 1)
            self._before[zone] = now
        return self._total_uj / 1e6 if self._packages else None


_counter = cache(EnergyCounter)  # one a machine: each read takes it further


def pmic_power_w(reply: str) -> float | None:
    """Power of all rails that ``vcgencmd pmic_read_adc`` gives a current and a voltage of."""
    rails: dict[str, dict[str, float]] = {}
    for name, kind, value in _RAIL.findall(reply):
        rails.setdefault(name, {})[kind] = float(value)
    products = [rail["current"] * rail["volt"] for rail in rails.values() if len(rail) == 2]
    return sum(products) if products else None


def read_text(path: Path) -> str | None:
    """Return the text of a file of /proc or /sys; None if it is empty or unreadable."""
    try:
        return path.read_text(errors="replace").strip("\0\n\t ") or None
    except OSError:
        return None


def read_integer(path: Path) -> int | None:
    """Return the decimal number that a file holds; None where it holds anything else."""
    text = read_text(path)
    return int(text) if text and re.fullmatch(r"-?\d+", text) else None


def _clock_hz(root: Path) -> float | None:
    clocks = (root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_cur_freq")
    readings = [value for clock in clocks if (value := read_integer(clock)) is not None]
    return max(readings) * 1e3 if readings else None


def _is_slowed(root: Path) -> bool | None:
    """Return whether a cooling device holds a processor's clock down (thermal sysfs API)."""
    devices = (root / "sys/class/thermal").glob("cooling_device*")
    slowing = [device for device in devices if _SLOWING.match(read_text(device / "type") or "")]
    states = [read_integer(device / "cur_state") for device in slowing]
    known = [state > 0 for state in states if state is not None]
    return any(known) if known else None


def _jetson_power_w(root: Path) -> float | None:
    """Return millivolts times milliamperes of the rail of the module (Linux, ina3221.rst)."""
    labels = root.glob("sys/bus/i2c/drivers/ina3221*/*/hwmon/hwmon*/in[1-3]_label")
    for label in labels:
        if read_text(label) == _JETSON_INPUT:
            number = label.name[2]
            volts = read_integer(label.with_name(f"in{number}_input"))
            amperes = read_integer(label.with_name(f"curr{number}_input"))
            return None if volts is None or amperes is None else volts * amperes / 1e6
    return None


def _pi_power_w(root: Path) -> float | None:
    return pmic_power_w(_vcgencmd(root, "pmic_read_adc") or "")


def _vcgencmd(root: Path, word: str) -> str | None:
    """Return what a Raspberry Pi's firmware answers; None elsewhere and on older firmware."""
    program = root / "usr/bin/vcgencmd"
    try:
        return subprocess.run(
            [program, word], capture_output=True, text=True, timeout=5, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
