"""Machine facts parsed from files in the formats of real boards; what is absent is None."""

import json
import os
import resource
from pathlib import Path

import pytest

from idskit.machine import machine_facts as machine

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


def test_an_x86_processor_is_named_by_itself() -> None:
    assert machine.cpu_model(XEON) == "Intel(R) Xeon(R) Platinum 8488C"


@pytest.mark.parametrize(
    ("cpuinfo", "compatible", "name"),
    [
        (RASPBERRY_PI_5, "raspberrypi,5-model-b\0brcm,bcm2712\0", "Cortex-A76, brcm,bcm2712"),
        ("", "nvidia,p3768-0000+p3767-0005\0nvidia,tegra234\0", "nvidia,tegra234"),
        (RASPBERRY_PI_5, None, "Cortex-A76"),
        ("CPU part\t: 0xfff", None, None),
    ],
)
def test_an_arm_processor_is_named_by_core_and_chip(tmp_path, cpuinfo, compatible, name) -> None:
    files = {"proc/cpuinfo": cpuinfo}
    files |= {"proc/device-tree/compatible": compatible} if compatible else {}
    assert machine.machine_facts(write(tmp_path, **files))["cpu"] == name


@pytest.mark.parametrize(
    ("status", "name"), [("pmode:0000", "15W"), ("pmode:0002", "MAXN_SUPER"), ("pmode:0007", None)]
)
def test_power_mode_of_a_jetson(tmp_path, status, name) -> None:
    modes = "".join(
        f"< POWER_MODEL ID={i} NAME={mode} >\nCPU_ONLINE CORE_0 1\n\n"
        for i, mode in enumerate(("15W", "25W", "MAXN_SUPER"))
    )
    files = {"var/lib/nvpmodel/status": status, "etc/nvpmodel.conf": modes}
    assert machine.power_mode(write(tmp_path, **files)) == name


def test_a_board_is_named_by_its_device_tree(tmp_path) -> None:
    root = write(tmp_path, **{"proc/device-tree/model": "NVIDIA Jetson Orin Nano\0"})
    assert machine.machine_model(root) == "NVIDIA Jetson Orin Nano"


def test_a_computer_is_named_by_its_maker(tmp_path) -> None:
    root = write(
        tmp_path,
        **{"sys/class/dmi/id/sys_vendor": "LENOVO\n", "sys/class/dmi/id/product_name": "21CB\n"},
    )
    assert machine.machine_model(root) == "LENOVO 21CB"


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


def test_the_limit_of_a_group_above_counts_where_it_is_lower(tmp_path) -> None:
    write(
        tmp_path,
        **{
            "proc/self/cgroup": "0::/user.slice/session-1.scope\n",
            "sys/fs/cgroup/user.slice/cpu.max": "50000 100000",
            "sys/fs/cgroup/user.slice/session-1.scope/cpu.max": "max 100000",
            "sys/fs/cgroup/user.slice/memory.max": "536870912",
            "sys/fs/cgroup/user.slice/session-1.scope/memory.max": "1073741824",
        },
    )
    assert machine.cgroup_limits(tmp_path) == {"cpus": 0.5, "memory_mib": 512}


def test_limits_of_a_service_under_version_1(tmp_path) -> None:
    group = "system.slice/idskit.service"
    write(
        tmp_path,
        **{
            "proc/self/cgroup": f"4:memory:/{group}\n3:cpu,cpuacct:/{group}\n1:name=systemd:/x\n",
            f"sys/fs/cgroup/cpu/{group}/cpu.cfs_quota_us": "150000",
            f"sys/fs/cgroup/cpu/{group}/cpu.cfs_period_us": "100000",
            f"sys/fs/cgroup/memory/{group}/memory.limit_in_bytes": "134217728",
        },
    )
    assert machine.cgroup_limits(tmp_path) == {"cpus": 1.5, "memory_mib": 128}


def test_a_bare_system_has_only_nulls_and_no_guesses(tmp_path) -> None:
    facts = machine.machine_facts(tmp_path)
    assert [facts[name] for name in ("model", "cpu", "governor", "power_mode")] == [None] * 4
    assert facts["memory_mib"] is None
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
