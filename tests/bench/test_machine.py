"""Machine facts parsed from files in the formats of real boards; what is absent is None."""

import json
import os
import resource
from pathlib import Path

import pytest

from idskit.bench import machine

RASPBERRY_PI_5 = """\
processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc \
dcpop asimddp
CPU implementer\t: 0x41
CPU part\t: 0xd0b

Revision\t: c04170
Model\t\t: Raspberry Pi 5 Model B Rev 1.0
"""
RASPBERRY_PI_4 = RASPBERRY_PI_5.replace(" asimddp", "").replace("Pi 5 Model B", "Pi 4 Model B")
XEON = (
    "model name\t: Intel(R) Xeon(R) Platinum 8488C\nflags\t\t: fpu avx512_vnni amx_tile amx_int8\n"
)


def write(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        (RASPBERRY_PI_5, {"dotprod": True, "i8mm": False, "vnni": None, "amx": None}),
        (RASPBERRY_PI_4, {"dotprod": False, "i8mm": False, "vnni": None, "amx": None}),
        (XEON, {"dotprod": None, "i8mm": None, "vnni": True, "amx": True}),
        ("flags\t: fpu avx2", {"dotprod": None, "i8mm": None, "vnni": False, "amx": False}),
        ("", {"dotprod": None, "i8mm": None, "vnni": None, "amx": None}),
    ],
)
def test_int8_instructions(cpuinfo, expected) -> None:
    assert machine.cpu_features(cpuinfo) == expected


def test_cpu_names() -> None:
    assert machine.cpu_model(XEON) == "Intel(R) Xeon(R) Platinum 8488C"
    assert machine.cpu_model(RASPBERRY_PI_5) == "Raspberry Pi 5 Model B Rev 1.0"
    assert machine.cpu_model("") is None


def test_a_board_is_named_by_its_device_tree(tmp_path) -> None:
    root = write(tmp_path, **{"proc/device-tree/model": "NVIDIA Jetson Orin Nano\0"})
    assert machine.machine_model(root) == "NVIDIA Jetson Orin Nano"


def test_a_computer_is_named_by_its_maker(tmp_path) -> None:
    root = write(
        tmp_path,
        **{"sys/class/dmi/id/sys_vendor": "LENOVO\n", "sys/class/dmi/id/product_name": "21CB\n"},
    )
    assert machine.machine_model(root) == "LENOVO 21CB"


def test_the_hottest_zone_counts(tmp_path) -> None:
    zones = {f"sys/class/thermal/thermal_zone{i}/temp": t for i, t in enumerate(("45000", "61250"))}
    assert machine.temperature_c(write(tmp_path, **zones)) == 61.25


def test_a_zone_that_cannot_be_read_counts_for_nothing(tmp_path) -> None:
    root = write(tmp_path, **{"sys/class/thermal/thermal_zone0/temp": "N/A"})
    assert machine.temperature_c(root) is None


def test_clock(tmp_path) -> None:
    path = "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq"
    assert machine.frequency_mhz(write(tmp_path, **{path: "2400000\n"})) == 2400


@pytest.mark.parametrize(
    ("files", "limits"),
    [
        ({}, (None, None)),
        ({"cpu.max": "150000 100000", "memory.max": "536870912"}, (1.5, 512)),
        ({"cpu.max": "max 100000", "memory.max": "max"}, (None, None)),
        (
            {
                "cpu/cpu.cfs_quota_us": "50000",
                "cpu/cpu.cfs_period_us": "100000",
                "memory/memory.limit_in_bytes": "268435456",
            },
            (0.5, 256),
        ),
        (
            {
                "cpu/cpu.cfs_quota_us": "-1",
                "cpu/cpu.cfs_period_us": "100000",
                "memory/memory.limit_in_bytes": "9223372036854771712",
            },
            (None, None),
        ),
    ],
    ids=["none", "version 2", "version 2 unlimited", "version 1", "version 1 unlimited"],
)
def test_limits_of_a_container(tmp_path, files, limits) -> None:
    write(tmp_path, **{f"sys/fs/cgroup/{name}": text for name, text in files.items()})
    found = machine.cgroup_limits(tmp_path)
    assert (found["cpus"], found["memory_mib"]) == limits


def test_limits_of_a_service_are_those_of_its_own_group(tmp_path) -> None:
    write(
        tmp_path,
        **{
            "proc/self/cgroup": "0::/system.slice/idskit.service\n",
            "sys/fs/cgroup/system.slice/idskit.service/cpu.max": "200000 100000",
        },
    )
    assert machine.cgroup_limits(tmp_path)["cpus"] == 2


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("throttled=0x0\n", {"now": False, "occurred": False}),
        ("throttled=0x50005\n", {"now": True, "occurred": True}),
        ("throttled=0x50000\n", {"now": False, "occurred": True}),
        ("VCHI initialization failed\n", None),
    ],
)
def test_throttling_of_a_raspberry_pi(reply, expected) -> None:
    assert machine.parse_throttled(reply) == expected


def test_a_bare_system_has_only_nulls_and_no_guesses(tmp_path) -> None:
    facts = machine.machine_facts(tmp_path)
    assert [facts[name] for name in ("model", "cpu", "governor", "memory_mib")] == [None] * 4
    assert machine.sensors(tmp_path)["temperature_c"] is None


def test_facts_of_this_machine_are_json() -> None:
    facts = json.loads(json.dumps(machine.machine_facts()))
    assert facts["cores"] == os.cpu_count()
    assert facts["affinity"] == sorted(os.sched_getaffinity(0))
    assert facts["packages"]["onnxruntime"]


def test_memory_agrees_with_psutil() -> None:
    psutil = pytest.importorskip("psutil")
    held = machine.rss_mib()
    assert held == pytest.approx(psutil.Process().memory_info().rss / 2**20, rel=0.1)


def test_peak_memory_is_at_least_what_is_held() -> None:
    kernel = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    assert machine.rss_mib() <= machine.peak_rss_mib() <= kernel + 1
