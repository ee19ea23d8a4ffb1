"""The traffic lab: real programs between namespaces, and the label of every flow."""

from __future__ import annotations

import csv
import json
import random
import shutil
import signal
import struct
import subprocess
import sys
import time
from ipaddress import ip_address
from pathlib import Path

import dpkt
import pytest
from tests.flows.namespaces import wire

from idskit.data.capture_labels import find_captures
from idskit.data.labelled_captures import read_flows
from idskit.errors import DataError, IdskitError
from idskit.lab import run_lab as lab_run
from idskit.lab import soak
from idskit.lab.activities.activity_table import ACTIVITIES
from idskit.lab.activities.appliances import APPLIANCES
from idskit.lab.activities.browsing import BROWSING
from idskit.lab.activities.covert_channels import COVERT_CHANNELS
from idskit.lab.activities.exploits import EXPLOITS
from idskit.lab.activities.floods import FLOODS
from idskit.lab.activities.guessing import GUESSING
from idskit.lab.activities.intrusions import INTRUSIONS
from idskit.lab.activities.office_work import OFFICE_WORK
from idskit.lab.activities.operations import OPERATIONS
from idskit.lab.activities.scans import SCANS
from idskit.lab.activity import Activity, missing
from idskit.lab.lab_servers import SERVERS, Server
from idskit.lab.label_flows import label_flows
from idskit.lab.namespaces import LINKS, PREFIX, host, network
from idskit.lab.record_activity import play
from idskit.lab.run_lab import run_lab
from idskit.lab.soak import compatible, run_soak

TRY = {
    "tries": Activity(
        name="tries",
        category="brute-force",
        command="{play} guess-web {server} 3 0.01",
        servers=("shop",),
    ),
    "asks": Activity(
        name="asks", category="benign", command="{play} shopping {server} 2 0.01", servers=("shop",)
    ),
    "sleeps": Activity(
        name="sleeps", category="benign", command="sleep 30", seconds=1, has_flows=False
    ),
    "fails": Activity(name="fails", category="scan", command="sh -c 'echo no such host; exit 3'"),
}


@pytest.fixture
def permitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip where namespaces may not be made or keys cannot be; small activities otherwise."""
    for program in ("ssh-keygen", "openssl"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}")
    with wire():
        pass
    monkeypatch.setattr(lab_run, "ACTIVITIES", TRY)


def labels_of(path: Path) -> list[dict[str, str]]:
    with path.with_name(f"{path.stem}.labels.csv").open() as file:
        return list(csv.DictReader(file))


def test_there_are_enough_activities_of_both_kinds():
    attacks = [activity for activity in ACTIVITIES.values() if activity.is_attack]
    assert len(attacks) >= 40
    assert len(ACTIVITIES) - len(attacks) >= 60


def test_no_activity_replaces_another():
    themes = (SCANS, GUESSING, FLOODS, INTRUSIONS, EXPLOITS, COVERT_CHANNELS)
    themes += (BROWSING, OFFICE_WORK, OPERATIONS, APPLIANCES)
    assert sum(map(len, themes)) == len(ACTIVITIES)


@pytest.mark.parametrize("activity", ACTIVITIES.values(), ids=lambda activity: activity.name)
def test_every_activity_names_servers_and_fields_that_exist(activity: Activity, tmp_path: Path):
    assert set(activity.servers) <= set(SERVERS)
    words = activity.words(tmp_path, random.Random(1))
    assert not any("{" in word for word in words)


def test_the_seed_decides_what_is_run(tmp_path: Path):
    activity = ACTIVITIES["browse"]
    first, again, other = (activity.words(tmp_path, random.Random(seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_missing_program_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert missing("dig") == "dig was not found: apt install dnsutils"
    assert missing("hydra") == "hydra was not found: apt install hydra"


@pytest.mark.usefixtures("permitted")
def test_what_the_client_does_is_labelled_flow_by_flow(tmp_path: Path):
    report = run_lab(tmp_path, names=["tries", "asks"], seed=3)
    assert [item.ended for item in report.recorded] == ["exit 0", "exit 0"]
    guesses = [row for row in labels_of(tmp_path / "tries-lan-3.pcap") if row["protocol"] == "6"]
    assert len(guesses) == 3
    assert {row["category"] for row in guesses} == {"brute-force"}
    assert {row["src_ip"] for row in guesses} <= {f"{PREFIX}.{n}" for n in range(100, 113)}
    asked = labels_of(tmp_path / "asks-lan-3.pcap")
    assert {row["label"] for row in asked} == {"benign"}
    assert json.loads((tmp_path / "lab.json").read_text())["seed"] == 3
    families = {
        flows.family for capture in find_captures(tmp_path) for flows in read_flows(capture)
    }
    assert families == {"benign", "guessing"}


def test_of_an_attack_only_what_kernels_say_to_neighbours_is_benign(tmp_path: Path):
    ether = bytes(12) + b"\x86\xdd"
    solicitation = ip_v6("fe80::1", "ff02::1:ff00:2", 58, b"\x87" + bytes(23))
    answer = ip_v6("fd77::2", "fd77::64", 58, b"\x88" + bytes(23))
    echo = ip_v6("fd77::64", "fd77::1", 58, b"\x80" + bytes(7))
    search = dpkt.udp.UDP(sport=4000, dport=1900, data=b"M-SEARCH")
    search.ulen = len(search)
    multicast = dpkt.ip.IP(
        src=b"\x0a\x4d\0\x64", dst=b"\xef\xff\xff\xfa", p=17, data=search, len=20 + len(search)
    )
    path = tmp_path / "a.pcap"
    with path.open("wb") as file:
        writer = dpkt.pcap.Writer(file)
        for second, frame in enumerate((ether + solicitation, ether + answer, ether + echo)):
            writer.writepkt(frame, second)
        writer.writepkt(bytes(12) + b"\x08\0" + bytes(multicast), 3)
    assert label_flows(path, "scan") == (4, 2)
    said = {row["dst_ip"]: row["category"] for row in labels_of(path)}
    assert (said["ff02::1:ff00:2"], said["fd77::64"]) == ("benign", "benign")
    assert (said["fd77::1"], said["239.255.255.250"]) == ("scan", "scan")


def ip_v6(source: str, destination: str, protocol: int, data: bytes) -> bytes:
    ends = (ip_address(address).packed for address in (source, destination))
    return struct.pack(">IHBB", 6 << 28, len(data), protocol, 255) + b"".join(ends) + data


@pytest.mark.usefixtures("permitted")
def test_a_longer_link_delays_and_a_command_is_ended(tmp_path: Path):
    run_lab(tmp_path, names=["asks"], links=["wan"])
    with (tmp_path / "asks-wan-0.pcap").open("rb") as file:
        packets = [
            (time, dpkt.ethernet.Ethernet(frame).data) for time, frame in dpkt.pcap.Reader(file)
        ]
    tcp = [
        (time, ip.data) for time, ip in packets if isinstance(getattr(ip, "data", 0), dpkt.tcp.TCP)
    ]
    asked = next(time for time, segment in tcp if segment.flags == 0x12)
    answered = next(time for time, segment in tcp if segment.flags == 0x10)
    assert answered - asked >= 2 * LINKS["wan"].delay_ms / 1e3
    (ended,) = run_lab(tmp_path, names=["sleeps"]).recorded
    assert ended.ended == "after 1 s"


@pytest.mark.usefixtures("permitted")
def test_a_program_that_sends_nothing_says_why(tmp_path: Path):
    with pytest.raises(IdskitError, match=r"fails sent nothing over lan .* exit 3: .*no such host"):
        run_lab(tmp_path, names=["fails"])


@pytest.mark.usefixtures("permitted")
def test_a_server_that_does_not_listen_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    words = ["sh", "-c", "echo no such key >&2; exit 1"]
    monkeypatch.setitem(SERVERS, "shop", Server(program="", port=8080, words=lambda _: words))
    with pytest.raises(IdskitError, match=r"shop server does not listen on port 8080: no such key"):
        run_lab(tmp_path, names=["asks"])


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.usefixtures("permitted")
def test_nothing_is_left_behind():
    with network("wan", 0) as net:
        holders = [net.client.pid, net.server.pid]
        assert all(is_running(pid) for pid in holders)
        words = net.server.command("setsid", "sleep", "60")
        stray = subprocess.Popen(words)  # what servers start outlives them
    assert stray.wait(5) == -signal.SIGKILL
    assert not any(is_running(pid) for pid in holders)


@pytest.mark.usefixtures("permitted")
def test_a_command_ends_with_its_children(tmp_path: Path):
    with host() as alone:
        words = ["sh", "-c", f"sleep 60 & echo $! > {tmp_path}/pid; wait"]
        assert play(alone, words, 3, tmp_path) == "after 3 s"
        child = int((tmp_path / "pid").read_text())
        until = time.monotonic() + 30  # a killed process runs on until it is scheduled
        while is_running(child) and time.monotonic() < until:
            time.sleep(0.05)
        assert not is_running(child)


def test_a_command_ends_with_a_parent_that_is_killed():
    code = (
        "import subprocess, time; from idskit.lab.namespaces import ending_with_us\n"
        "print(subprocess.Popen(ending_with_us(['sleep', '600'])).pid, flush=True); time.sleep(600)"
    )
    words = [sys.executable, "-c", code]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        until = time.monotonic() + 60
        while not Path(f"/proc/{child}/cmdline").read_bytes().startswith(b"sleep\0"):
            assert time.monotonic() < until  # before that setpriv has not asked for the signal
            time.sleep(0.05)
        parent.kill()
    while is_running(child) and time.monotonic() < until:
        time.sleep(0.05)
    assert not is_running(child)


@pytest.mark.usefixtures("permitted")
def test_a_signal_ends_the_lab_after_its_folder_is_gone(tmp_path: Path):
    code = (
        "import sys, time; from pathlib import Path; from idskit.lab.run_lab import lab_folder\n"
        "with lab_folder(Path(sys.argv[1]), 0) as folder: print(folder, flush=True); time.sleep(60)"
    )
    words = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        assert (folder / "site" / "index.html").is_file()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == -signal.SIGTERM
    assert not folder.exists()


@pytest.mark.usefixtures("permitted")
def test_a_soak_mixes_benign_activities_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(soak, "ACTIVITIES", {name: TRY[name] for name in ("asks", "sleeps")})
    monkeypatch.setattr(soak, "_MEAN_REST_S", 0.01)
    (recorded,) = run_soak(tmp_path, 0.05, seed=1).recorded
    assert {part.split(":")[0] for part in recorded.command.split(", ")} <= {"asks", "sleeps"}
    labels = labels_of(tmp_path / "soak-lan-1-0.pcap")
    assert {row["label"] for row in labels} == {"benign"}


def test_activities_of_a_soak_share_no_port():
    able = [a for a in ACTIVITIES.values() if not a.is_attack]
    chosen = compatible(able, random.Random(5))
    names = {name for activity in chosen for name in activity.servers}
    ports = [(SERVERS[n].port, SERVERS[n].is_udp) for n in names if SERVERS[n].port is not None]
    assert len(set(ports)) == len(ports) > 5


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"names": ["nmap-sync"]}, "no activity 'nmap-sync': choose one of"),
        ({"links": ["dsl"]}, "no link 'dsl': choose one of lan, wan, lte"),
    ],
)
def test_what_does_not_exist_is_answered_with_what_does(asked, said: str, tmp_path: Path):
    with pytest.raises(DataError, match=said):
        run_lab(tmp_path, **asked)


def test_a_named_activity_without_its_program_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(DataError, match="hydra-ssh: hydra was not found: apt install hydra"):
        run_lab(tmp_path, names=["hydra-ssh"])
