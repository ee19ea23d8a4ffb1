"""The page's process: what it may not do, when it ends, and which options it refuses."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.page.fake_service import FakeService
from tests.page.page_client import ask

from idskit.errors import IdskitError
from idskit.options import kinds_of
from idskit.page.page_access import read_token
from idskit.page.page_options import PageOptions, protection_of
from idskit.page.page_process import PageProcess, start_page

WAIT_S = 90.0


def status(pid: int) -> dict[str, str]:
    """What the kernel says of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_it_has_no_rights_left(page: PageProcess) -> None:
    found = status(page.process.pid)
    assert found["NoNewPrivs"] == "1"
    for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(found[kind], 16) == 0, kind
    for limit in (resource.RLIMIT_NPROC, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):
        assert resource.prlimit(page.process.pid, limit) == (0, 0)
    assert found["Threads"] == "1"


_TRIES = """
import json, os, socket, sys
from idskit.page.page_process import drop_rights
folder, control = sys.argv[1:]
landlock = drop_rights()

def fails(work):
    try:
        work()
    except (OSError, ValueError):
        return True
    return False

def link(kind):
    return socket.socket(kind, socket.SOCK_STREAM)

print(json.dumps({
    "landlock": landlock,
    "write": fails(lambda: open(folder + "/new", "w")),
    "change": fails(lambda: open(folder + "/old", "a")),
    "remove": fails(lambda: os.unlink(folder + "/old")),
    "folder": fails(lambda: os.mkdir(folder + "/sub")),
    "bind": fails(lambda: link(socket.AF_INET).bind(("127.0.0.1", 0))),
    "connect": fails(lambda: link(socket.AF_INET).connect(("127.0.0.1", 9))),
    "packets": fails(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)),
    "signal": fails(lambda: os.kill(os.getppid(), 0)),
    "control": not fails(lambda: link(socket.AF_UNIX).connect(control)),
    "read": not fails(lambda: open(folder + "/old")),
}))
"""


def test_it_can_neither_write_nor_call_anybody(service: FakeService, tmp_path: Path) -> None:
    (tmp_path / "old").write_text("as it was")
    words = [sys.executable, "-c", _TRIES, str(tmp_path), str(service.path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    landlock = found.pop("landlock")
    since = dict.fromkeys(("write", "change", "remove", "folder"), 1)
    since |= {"bind": 4, "connect": 4, "signal": 6}
    expected = {name for name in found if landlock >= since.get(name, 0)}
    assert {name for name in expected if not found[name]} == set()
    if landlock == 0:
        pytest.skip("the kernel has no Landlock: only what holds without it was tested")


def test_secrets_of_the_service_do_not_reach_it(
    service: FakeService, serve_page: Callable[..., PageProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MQTT_PASSWORD", "swordfish")
    page = serve_page(service.path)
    try:
        environment = Path(f"/proc/{page.process.pid}/environ").read_bytes()
    except PermissionError:
        return  # even better: nobody else of this user may look
    assert b"swordfish" not in environment


_PARENT = """
import sys, time
from pathlib import Path
from idskit.page.page_options import PageOptions
from idskit.page.page_process import start_page
page = start_page(PageOptions(port=0), Path(sys.argv[1]))
print(page.process.pid, page.url, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_the_service_however_that_ends(
    service: FakeService, number: signal.Signals
) -> None:
    words = [sys.executable, "-c", _PARENT, str(service.path)]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as parent:
        assert parent.stdout
        pid, url = parent.stdout.readline().split()
        try:
            assert ask(url).status == 200
            parent.send_signal(number)
            parent.wait(WAIT_S)
        finally:
            parent.kill()
        end = time.monotonic() + WAIT_S
        while _runs(int(pid)):
            assert time.monotonic() < end, "the page has outlived the service"
            time.sleep(0.02)


def _runs(pid: int) -> bool:
    try:
        return not status(pid)["State"].startswith("Z")
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_it_ends_when_it_is_closed(service: FakeService) -> None:
    page = start_page(PageOptions(port=0), service.path)
    assert ask(page.url).status == 200
    page.close()
    assert page.process.returncode == -signal.SIGKILL
    with pytest.raises(ConnectionRefusedError):
        ask(page.url)


def test_it_loads_neither_numpy_nor_a_compiler() -> None:
    code = "import sys, idskit.page.page_process; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {"numpy", "numba", "onnxruntime", "torch", "typer", "rich"}


def test_a_port_in_use_is_said(service: FakeService) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(IdskitError, match=rf"127\.0\.0\.1 port {port}: Address already in use"):
            start_page(PageOptions(port=port), service.path)


def test_the_sentence_of_a_refusal_reaches_the_service(service: FakeService) -> None:
    with pytest.raises(IdskitError, match="where others reach it"):
        start_page(PageOptions(listen="0.0.0.0", port=0), service.path)  # noqa: S104 - refused


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"listen": "0.0.0.0"}, "without token_file and tls_certificate"),  # noqa: S104 - refused
        ({"listen": "::"}, "without token_file and tls_certificate"),
        ({"listen": "192.168.1.2", "token_file": "token"}, "without tls_certificate"),
        ({"listen": "localhost"}, "no IP address"),
        ({"listen": ""}, "no IP address"),
        ({"port": 65_536}, "choose 0 to 65,535"),
        ({"port": -1}, "choose 0 to 65,535"),
        ({"tls_key": "absent"}, "only one of them is set"),
        ({"tls_certificate": "absent", "tls_key": "absent"}, "cannot be read"),
        ({"tls_certificate": "token", "tls_key": "token"}, "cannot be used"),
        ({"token_file": "absent"}, "umask 077"),
        ({"token_file": "open"}, "chmod 600"),
        ({"token_file": "link"}, "cannot be read"),
        ({"token_file": "short"}, "22 to 512 ASCII characters"),
        ({"token_file": "empty"}, "22 to 512 ASCII characters"),
        ({"token_file": "two"}, "22 to 512 ASCII characters"),
        ({"token_file": "long"}, "22 to 512 ASCII characters"),
        ({"token_file": "pipe"}, "no regular file"),
    ],
)
def test_unsafe_or_impossible_options_are_refused(
    tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    texts = {"token": "t" * 32, "short": "t" * 21, "empty": "", "two": f"{'t' * 22}\n{'t' * 22}"}
    for name, text in {**texts, "long": "t" * 513, "open": "t" * 32}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o640 if name == "open" else 0o600)
    (tmp_path / "link").symlink_to(tmp_path / "token")
    os.mkfifo(tmp_path / "pipe", 0o600)
    files = ("token_file", "tls_certificate", "tls_key")
    given = {k: tmp_path / v if k in files else v for k, v in options.items()}
    with pytest.raises(IdskitError, match=words):
        protection_of(PageOptions(**given))


def test_a_token_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(f"  {'t' * 22}\n")
    path.chmod(0o400)
    assert read_token(path) == "t" * 22


def test_the_options_can_be_flags() -> None:
    assert list(kinds_of(PageOptions)) == [
        "listen", "port", "host_names", "token_file", "tls_certificate", "tls_key",
    ]  # fmt: skip
    assert protection_of(PageOptions()).tls is None
