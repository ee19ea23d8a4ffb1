"""Run activities and write their captures with the label of every flow."""

from __future__ import annotations

import csv
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from idskit.errors import DataError, IdskitError
from idskit.files.output import write_json, write_whole
from idskit.lab.activity import BENIGN, Activity, missing
from idskit.lab.activity_table import ACTIVITIES
from idskit.lab.lab_servers import SERVERS, prepare
from idskit.lab.namespaces import LINKS, SERVER_END, Host, Network, network
from idskit.profiles.flow_reader import FlowBatch, open_flows

LABEL_COLUMNS = (
    *("src_ip", "src_port", "dst_ip", "dst_port", "protocol", "start_us", "label", "category"),
)
_READY_S = 10.0  # until a server listens
_LISTEN = "0A"  # a state in /proc/net/tcp
_SETTLE_S = 0.5  # after the command, until its last packets have passed


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """A recorded capture.

    Attributes:
        ended: how the command ended: its exit status, or ``time`` where it was ended.
    """

    activity: str
    category: str
    link: str
    command: str
    flows: int
    seconds: float
    ended: str


@dataclass(frozen=True, kw_only=True)
class LabReport:
    """Captures that were recorded, and activities left out with the reason."""

    recorded: tuple[Recorded, ...]
    left_out: dict[str, str]


def run_lab(
    output: Path,
    *,
    names: Sequence[str] = (),
    links: Sequence[str] = ("lan",),
    seed: int = 0,
    announce: Callable[[str], None] = lambda _: None,
) -> LabReport:
    """Run activities over links, each into ``NAME-LINK-SEED.pcap`` and its labels.

    Args:
        output: a folder; made if it is not there. ``lab.json`` in it says what was run.
        names: of activities; all whose programs are installed if none are given.
        links: of ``LINKS``.
        seed: varies addresses, rates and counts; the times of packets are never the same.
        announce: called with a line for people before each activity.

    Raises:
        DataError: no such activity or link, or a named activity lacks a program.
        IdskitError: namespaces may not be made here.
    """
    chosen = [_named(name) for name in names] or list(ACTIVITIES.values())
    for link in links:
        if link not in LINKS:
            raise DataError(f"there is no link {link!r}: choose one of {', '.join(LINKS)}")
    lacks = {activity.name: lack(activity) for activity in chosen}
    left_out = {name: reason for name, reason in lacks.items() if reason is not None}
    if names and left_out:
        raise DataError("; ".join(f"{name}: {reason}" for name, reason in left_out.items()))
    output.mkdir(parents=True, exist_ok=True)
    recorded = []
    with TemporaryDirectory(prefix="idskit-lab-") as folder:
        prepare(Path(folder))
        for activity in chosen:
            for link in links if activity.name not in left_out else ():
                announce(f"{activity.name} over {link}")
                try:
                    recorded.append(_record(activity, link, seed, output, Path(folder)))
                except IdskitError as error:
                    if names:
                        raise
                    left_out[activity.name] = str(error)
    report = LabReport(recorded=tuple(recorded), left_out=left_out)
    write_json(output / "lab.json", asdict(report) | {"seed": seed})
    return report


def _named(name: str) -> Activity:
    if name not in ACTIVITIES:
        raise DataError(
            f"there is no activity {name!r}: choose one of {', '.join(sorted(ACTIVITIES))}"
        )
    return ACTIVITIES[name]


def lack(activity: Activity) -> str | None:
    """Return what an activity needs and this machine lacks; None if nothing."""
    programs = [activity.program, *(SERVERS[name].program for name in activity.servers)]
    found = (missing(program) for program in (*programs, "ssh-keygen", "openssl"))
    return next(filter(None, found), None)


def _record(activity: Activity, link: str, seed: int, output: Path, folder: Path) -> Recorded:
    numbers = random.Random(f"{activity.name} {link} {seed}")  # noqa: S311 - no secret
    path = output / f"{activity.name}-{link}-{seed}.pcap"
    words = activity.words(folder, numbers)
    with (
        network(link, seed) as net,
        _serving(activity.servers, net.server, folder),
        _recording(net.server, path),
    ):
        start = time.monotonic()
        ended = _play(net, words, activity.seconds)
        time.sleep(_SETTLE_S)
        seconds = time.monotonic() - start
    return Recorded(
        activity=activity.name,
        category=activity.category,
        link=link,
        command=" ".join(words),
        flows=_label(path, activity),
        seconds=round(seconds, 1),
        ended=ended,
    )


@contextmanager
def _serving(names: Sequence[str], host: Host, folder: Path) -> Iterator[None]:
    """Run servers in ``host`` while the context lasts."""
    with ExitStack() as stack:
        for name in names:
            words = host.command(*SERVERS[name].words(folder))
            log = stack.enter_context((folder / f"{name}.log").open("wb"))
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            stack.callback(_end, process)
            _await(name, process, host, folder)
        yield


def _await(name: str, process: subprocess.Popen[bytes], host: Host, folder: Path) -> None:
    """Wait until a server listens.

    Raises:
        IdskitError: it ended, or does not listen in time; its own words say why.
    """
    port, until = SERVERS[name].port, time.monotonic() + _READY_S
    while port is not None and not _listens(host, port):
        if process.poll() is not None or time.monotonic() > until:
            said = (folder / f"{name}.log").read_text(errors="replace").strip()[-300:]
            raise IdskitError(f"the lab's {name} server does not listen on port {port}: {said}")
        time.sleep(0.02)


def _listens(host: Host, port: int) -> bool:
    """Return whether a TCP socket listens in the namespace, by its table of sockets."""
    with suppress(OSError):
        for table in ("tcp", "tcp6"):
            lines = Path(f"/proc/{host.pid}/net/{table}").read_text().splitlines()[1:]
            sockets = (line.split() for line in lines)
            if any(s[1].endswith(f":{port:04X}") and s[3] == _LISTEN for s in sockets):
                return True
    return False


@contextmanager
def _recording(host: Host, path: Path) -> Iterator[None]:
    module = [sys.executable, "-m", "idskit.lab.recorder", SERVER_END, str(path)]
    with subprocess.Popen(host.command(*module), stdout=subprocess.PIPE) as process:
        try:
            if process.stdout is None or process.stdout.readline() != b"ready\n":
                raise IdskitError(f"{path} cannot be recorded: see above")
            yield
        finally:
            process.terminate()


def _play(net: Network, words: list[str], seconds: int) -> str:
    """Run the client's command; return how it ended."""
    process = subprocess.Popen(
        net.client.command(*words),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return f"exit {process.wait(seconds)}"
    except subprocess.TimeoutExpired:
        return f"after {seconds} s"
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(3)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _label(path: Path, activity: Activity) -> int:
    """Write the label of every flow next to the capture; return the number of flows.

    All that runs on the client is the activity, and nothing else is on the link but the kernels'
    own neighbour discovery, which has link-local or multicast addresses.
    """
    with open_flows(path) as flows:
        rows = [row for batch in flows.batches() for row in _rows(batch, activity)]

    def write(partial: Path) -> None:
        with partial.open("w", newline="") as file:
            csv.writer(file).writerows([LABEL_COLUMNS, *rows])

    write_whole(path.with_name(f"{path.stem}.labels.csv"), write)
    return len(rows)


def _rows(batch: FlowBatch, activity: Activity) -> Iterator[tuple[object, ...]]:
    for source, destination, flow in zip(
        batch.sources(), batch.destinations(), batch.flows, strict=True
    ):
        is_attack = activity.is_attack and not _is_kernels(source, destination)
        category = activity.category if is_attack else BENIGN
        yield (
            source,
            flow["src_port"],
            destination,
            flow["dst_port"],
            flow["protocol"],
            flow["start_us"],
            "attack" if is_attack else BENIGN,
            category,
        )


def _is_kernels(*addresses: str) -> bool:
    """Return whether one of the addresses is link-local or multicast."""
    return any(
        address.startswith(("fe80:", "ff02:", "224.", "239.", "169.254.")) for address in addresses
    )
