"""systemd: the unit as its own tools judge it, and messages as its socket gets them."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from idskit.errors import IdskitError
from idskit.machine.service_unit import install, unit_text
from idskit.process.notify import Notifier


@pytest.fixture
def notifier(manager: socket.socket) -> Iterator[Notifier]:
    with closing(Notifier()) as made:
        yield made


COMMAND = Path("/bin/true")  # exists, as systemd-analyze verify wants it


def analyze(*words: str | Path) -> str:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    done = subprocess.run(
        ["systemd-analyze", *map(str, words)], capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr + f"exit {done.returncode}"


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    path = tmp_path / "idskit.service"
    path.write_text(unit_text(COMMAND, Path("/etc/idskit/idskit.toml")))
    return path


def test_the_exposure_is_at_most_2(unit: Path) -> None:
    found = analyze("security", "--offline=true", "--no-pager", unit)
    level = float(found.partition("Overall exposure level for idskit.service: ")[2].split()[0])
    assert level <= 2.0, found


def test_systemd_understands_every_line(unit: Path) -> None:
    found = analyze("verify", "--man=no", unit)
    if "exit 0" not in found and "Failed to" in found and unit.name not in found:
        pytest.skip(f"systemd-analyze verify does not work here: {found}")
    assert found == "exit 0"


def test_what_must_stay_in_the_unit(unit: Path) -> None:
    lines = unit.read_text().splitlines()
    for line in (
        "Type=notify",
        "DynamicUser=yes",
        "CapabilityBoundingSet=CAP_NET_RAW",
        "RestartPreventExitStatus=2",
        "StateDirectory=idskit",
        "ExecStart=/bin/true run -c /etc/idskit/idskit.toml",
    ):
        assert line in lines
    assert not any(line.startswith("MemoryDenyWriteExecute") for line in lines)
    assert "NUMBA_CACHE_DIR=%C/idskit" in unit.read_text()


@pytest.mark.parametrize("path", ["/opt/a b/idskit", "/opt/%n/idskit", "/opt/x\n/y", "idskit"])
def test_paths_that_a_unit_would_misread_are_refused(path: str) -> None:
    with pytest.raises(IdskitError, match="cannot stand in a unit"):
        unit_text(Path(path))


def test_the_unit_is_written_whole_and_readable(tmp_path: Path) -> None:
    target = tmp_path / "idskit.service"
    target.symlink_to(tmp_path / "elsewhere")
    install("text\n", target)
    assert not target.is_symlink()
    assert (target.read_text(), target.stat().st_mode & 0o777) == ("text\n", 0o644)
    with pytest.raises(IdskitError, match="no systemd"):
        install("text\n", tmp_path / "none" / "idskit.service")


@pytest.fixture(params=["path", "abstract"])
def manager(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """A datagram socket as systemd's."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@idskit-{os.getpid()}"
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(name.replace("@", "\0") if name.startswith("@") else name)
        made.settimeout(60)
        yield made


def test_messages_arrive_as_systemd_reads_them(manager: socket.socket, notifier: Notifier) -> None:
    notifier.ready("Reading eth0")
    assert manager.recv(999) == b"READY=1\nSTATUS=Reading eth0"
    before = time.clock_gettime(time.CLOCK_MONOTONIC)
    with notifier.reloading():
        first = manager.recv(999).decode().split("\n")
        assert first[0] == "RELOADING=1"
        stated = int(first[1].removeprefix("MONOTONIC_USEC="))
        assert before - 1e-6 <= stated / 1e6 <= time.clock_gettime(time.CLOCK_MONOTONIC)
    assert manager.recv(999) == b"READY=1"
    notifier.stopping()
    assert manager.recv(999).startswith(b"STOPPING=1\n")


def test_the_watchdog_is_fed_a_few_times_in_its_interval(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "400000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    now_s = 1000.0
    monkeypatch.setattr("idskit.process.notify.time", SimpleNamespace(monotonic=lambda: now_s))
    with closing(Notifier()) as notifier:
        for _ in range(100):  # a busy loop does not flood the socket
            notifier.alive()
        assert manager.recv(99) == b"WATCHDOG=1"
        manager.setblocking(False)
        with pytest.raises(BlockingIOError):
            manager.recv(99)
        now_s += 0.11
        notifier.alive()
        assert manager.recv(99) == b"WATCHDOG=1"


def test_a_watchdog_of_another_process_is_not_fed(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "400000")
    monkeypatch.setenv("WATCHDOG_PID", "1")
    with closing(Notifier()) as notifier:
        assert notifier.watchdog_s is None


def test_more_time_is_asked_for_while_kernels_compile(
    manager: socket.socket, notifier: Notifier
) -> None:
    with notifier.extending("Compiling"):
        assert manager.recv(99) == b"EXTEND_TIMEOUT_USEC=60000000\nSTATUS=Compiling"


def test_without_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    for address in ("", "/nowhere/socket"):
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        with closing(Notifier()) as notifier:
            notifier.ready("x")
