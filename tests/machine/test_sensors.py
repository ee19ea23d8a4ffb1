"""Sensors parsed from files and replies in the formats of real boards; what is absent is None."""

from __future__ import annotations

from pathlib import Path

import pytest

from idskit.machine.sensors import (
    EnergyCounter,
    Reading,
    pmic_power_w,
    read_sensors,
    throttled_bits,
)

# vcgencmd on a Raspberry Pi 5 that does little: every rail's current, then every rail's voltage;
# the two last have no current (format: github.com/raspberrypi/utils, documentation of vcgencmd).
PMIC = """\
 3V7_WL_SW_A current(0)=0.00195186A
   3V3_SYS_A current(1)=0.12687090A
   1V8_SYS_A current(2)=0.18835450A
  VDD_CORE_A current(7)=0.56259000A
 3V7_WL_SW_V volt(8)=3.70720000V
   3V3_SYS_V volt(9)=3.32580900V
   1V8_SYS_V volt(10)=1.80415000V
  VDD_CORE_V volt(15)=0.76798460V
     EXT5V_V volt(24)=5.14158000V
      BATT_V volt(25)=3.28033900V
"""
PMIC_W = 0.00195186 * 3.7072 + 0.1268709 * 3.325809 + 0.1883545 * 1.80415 + 0.56259 * 0.7679846

# Labels and paths of a Jetson Orin Nano (tegra234-p3767.dtsi and ina3221.rst of Linux).
JETSON = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3/"
ORIN_NANO = {
    f"{JETSON}in1_label": "VDD_IN\n",
    f"{JETSON}in1_input": "5040\n",
    f"{JETSON}curr1_input": "1136\n",
    f"{JETSON}in2_label": "VDD_CPU_GPU_CV\n",
    f"{JETSON}in2_input": "5032\n",
    f"{JETSON}curr2_input": "168\n",
    f"{JETSON}in3_label": "VDD_SOC\n",
    f"{JETSON}in3_input": "5032\n",
    f"{JETSON}curr3_input": "296\n",
    f"{JETSON}in7_label": "sum of shunt voltages\n",
    f"{JETSON}in7_input": "1600\n",
}


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def raspberry_pi(root: Path, **replies: str) -> Path:
    """A system whose firmware answers these words, and others as an old one does."""
    cases = "".join(f"{word}) cat <<'REPLY'\n{reply}REPLY\n;;\n" for word, reply in replies.items())
    refusal = "*) echo 'error=1 error_msg=\"Command not registered\"' ;;"
    write(root, {"usr/bin/vcgencmd": f"#!/bin/sh\ncase $1 in\n{cases}{refusal}\nesac\n"})
    (root / "usr/bin/vcgencmd").chmod(0o755)
    return root


def rapl(zone: str, name: str, energy: int, most: int = 262143328850) -> dict[str, str]:
    """A zone as Linux shows it (docs.kernel.org/power/powercap/powercap.html)."""
    folder = f"sys/class/powercap/{zone}/"
    return {
        f"{folder}name": f"{name}\n",
        f"{folder}energy_uj": f"{energy}\n",
        f"{folder}max_energy_range_uj": f"{most}\n",
    }


def test_a_bare_system_has_only_nulls(tmp_path) -> None:
    assert read_sensors(tmp_path) == Reading()


def test_the_hottest_zone_counts(tmp_path) -> None:
    zones = {f"sys/class/thermal/thermal_zone{i}/temp": t for i, t in enumerate(("45000", "61250"))}
    assert read_sensors(write(tmp_path, zones)).temperature_c == 61.25


def test_a_zone_that_cannot_be_read_counts_for_nothing(tmp_path) -> None:
    root = write(tmp_path, {"sys/class/thermal/thermal_zone0/temp": "N/A"})
    assert read_sensors(root).temperature_c is None


# hwmon of an AMD desktop: Linux makes no thermal zone of k10temp.
AMD = {
    "sys/class/hwmon/hwmon0/name": "nvme\n",
    "sys/class/hwmon/hwmon0/temp1_input": "74850\n",
    "sys/class/hwmon/hwmon2/name": "k10temp\n",
    "sys/class/hwmon/hwmon2/temp1_input": "52125\n",
    "sys/class/hwmon/hwmon2/temp3_input": "49500\n",
}


def test_a_processor_without_a_zone_is_read_by_its_own_sensor(tmp_path) -> None:
    assert read_sensors(write(tmp_path, AMD)).temperature_c == 52.125


def test_a_zone_goes_before_the_processors_own_sensor(tmp_path) -> None:
    zone = {"sys/class/thermal/thermal_zone0/temp": "41000\n"}
    assert read_sensors(write(tmp_path, AMD | zone)).temperature_c == 41


def test_the_fastest_clock_counts(tmp_path) -> None:
    path = "sys/devices/system/cpu/cpu{}/cpufreq/scaling_cur_freq"
    root = write(tmp_path, {path.format(0): "600000\n", path.format(11): "2400000\n"})
    assert read_sensors(root).clock_hz == 2.4e9


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("throttled=0x0\n", {"now": False, "occurred": False}),
        ("throttled=0x50005\n", {"now": True, "occurred": True}),
        ("throttled=0x50000\n", {"now": False, "occurred": True}),
        ("VCHI initialization failed\n", None),
    ],
)
def test_throttling_of_a_raspberry_pi(reply, expected, tmp_path) -> None:
    root = raspberry_pi(tmp_path, get_throttled=reply)
    assert throttled_bits(root) == expected
    assert read_sensors(root).throttled == (expected and expected["now"])


def test_the_kernel_tells_throttling_without_a_program(tmp_path) -> None:
    path = "sys/devices/platform/soc/soc:firmware/get_throttled"
    root = write(tmp_path, {path: "80008\n"})
    assert throttled_bits(root) == {"now": True, "occurred": True}


@pytest.mark.parametrize(
    ("kind", "state", "expected"),
    [
        ("cpufreq-cpu0", "3", True),
        ("thermal-cpufreq-0", "0", False),
        ("Processor", "1", True),
        ("pwm-fan", "2", None),
        ("intel_powerclamp", "-1", None),
    ],
)
def test_a_cooling_device_that_holds_the_clock_down(kind, state, expected, tmp_path) -> None:
    device = "sys/class/thermal/cooling_device0/"
    root = write(tmp_path, {f"{device}type": f"{kind}\n", f"{device}cur_state": f"{state}\n"})
    assert read_sensors(root).throttled is expected


def test_power_of_a_raspberry_pi_5_is_the_sum_of_its_rails(tmp_path) -> None:
    assert read_sensors(raspberry_pi(tmp_path, pmic_read_adc=PMIC)).power_w == pytest.approx(PMIC_W)


def test_a_raspberry_pi_4_has_no_power_sensor(tmp_path) -> None:
    assert read_sensors(raspberry_pi(tmp_path, get_throttled="throttled=0x0\n")).power_w is None


@pytest.mark.parametrize("reply", ["", "BATT_V volt(25)=3.28033900V", "bad argument"])
def test_no_rail_has_both_numbers(reply) -> None:
    assert pmic_power_w(reply) is None


def test_power_of_a_jetson_is_that_of_its_input(tmp_path) -> None:
    assert read_sensors(write(tmp_path, ORIN_NANO)).power_w == pytest.approx(5.040 * 1.136)


def test_rails_that_are_parts_of_a_jetson_are_not_taken_for_the_whole(tmp_path) -> None:
    parts = ORIN_NANO | {f"{JETSON}in1_label": "VDD_GPU_SOC\n"}  # AGX Orin
    assert read_sensors(write(tmp_path, parts)).power_w is None


def test_energy_is_that_of_all_packages_and_not_of_their_parts(tmp_path) -> None:
    def count(uj: int) -> None:
        zones = {"intel-rapl:0": "package-0", "intel-rapl:1": "package-1", "intel-rapl:0:0": "core"}
        for zone, name in zones.items():
            write(tmp_path, rapl(zone, name, uj))

    count(5_000_000)
    before = read_sensors(tmp_path).energy_j
    count(7_500_000)
    assert read_sensors(tmp_path).energy_j - before == pytest.approx(2 * 2.5)


def test_a_counter_that_starts_again_goes_on(tmp_path) -> None:
    most = 65532610987
    counter = EnergyCounter(
        write(tmp_path, rapl("intel-rapl:0", "package-0", most - 999_999, most))
    )
    assert counter.read_j() == 0
    write(tmp_path, rapl("intel-rapl:0", "package-0", 2_000_000, most))
    assert counter.read_j() == pytest.approx(3.0)


def test_a_counter_that_only_root_may_read_is_none(tmp_path) -> None:
    zone = rapl("intel-rapl:0", "package-0", 1)
    zone.pop("sys/class/powercap/intel-rapl:0/energy_uj")  # for tests that run as root
    assert read_sensors(write(tmp_path, zone)).energy_j is None
