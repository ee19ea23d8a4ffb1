"""Run activities and write their captures with the label of every flow."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

from idskit.errors import DataError, IdskitError
from idskit.files.output import write_json
from idskit.lab.activities.activity_table import ACTIVITIES
from idskit.lab.activity import Activity, missing
from idskit.lab.lab_servers import SERVERS
from idskit.lab.label_flows import label_flows
from idskit.lab.namespaces import LINKS, network
from idskit.lab.record_activity import capturing, last_words, play, scratch, serving
from idskit.lab.site_files import prepare
from idskit.process.signals import Ended
from idskit.process.start import answered

SETTLE_S = 0.5  # after the last command, until its last packets have passed


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """A recorded capture.

    Attributes:
        ended: how the command ended: its exit status, or the time after which it was ended.
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
        seed: varies addresses, sizes, rates and counts; the times of packets are never the same.
        announce: called with a line for people before each activity.

    Raises:
        DataError: no such activity or link, or a named activity lacks a program.
        IdskitError: namespaces may not be made here.
    """
    chosen = [_named(name) for name in names] or list(ACTIVITIES.values())
    check_links(links)
    lacks = {activity.name: lack(activity) for activity in chosen}
    left_out = {name: reason for name, reason in lacks.items() if reason is not None}
    if names and left_out:
        raise DataError("; ".join(f"{name}: {reason}" for name, reason in left_out.items()))
    recorded = []
    with lab_folder(output, seed) as folder:
        for activity in chosen:
            for link in links if activity.name not in left_out else ():
                announce(f"{activity.name} over {link}")
                try:
                    recorded.append(_record(activity, link, seed, output, folder))
                except IdskitError as error:
                    if names:
                        raise
                    left_out[activity.name] = str(error)
    return written(output, LabReport(recorded=tuple(recorded), left_out=left_out), seed)


def written(output: Path, report: LabReport, seed: int) -> LabReport:
    """Write ``lab.json`` and return the report."""
    write_json(output / "lab.json", asdict(report) | {"seed": seed})
    return report


def check_links(links: Sequence[str]) -> None:
    """Refuse links that do not exist."""
    for link in links:
        if link not in LINKS:
            raise DataError(f"there is no link {link!r}: choose one of {', '.join(LINKS)}")


def _named(name: str) -> Activity:
    if name not in ACTIVITIES:
        raise DataError(
            f"there is no activity {name!r}: choose one of {', '.join(sorted(ACTIVITIES))}"
        )
    return ACTIVITIES[name]


def lack(activity: Activity) -> str | None:
    """Return what an activity needs and this machine lacks; None if nothing."""
    programs = [*activity.programs, *(SERVERS[name].program for name in activity.servers)]
    found = (missing(program) for program in (*programs, "ssh-keygen", "openssl"))
    return next(filter(None, found), None)


@contextmanager
def lab_folder(output: Path, seed: int) -> Iterator[Path]:
    """Make ``output``, and a folder of what servers read, which ends with the context.

    A signal that ends the process ends it after namespaces, processes and the folder are gone.
    """
    output.mkdir(parents=True, exist_ok=True)
    with _ended_in_order(), TemporaryDirectory(prefix="idskit-lab-") as folder:
        prepare(Path(folder), random.Random(seed))  # noqa: S311 - no secret
        yield Path(folder)


@contextmanager
def _ended_in_order() -> Iterator[None]:
    def unwind(number: int, _frame: FrameType | None) -> None:
        raise Ended(number)

    before = {number: signal.getsignal(number) for number in answered()}
    for number in before:
        signal.signal(number, unwind)
    ended = 0
    try:
        yield
    except Ended as end:
        ended = end.number
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if ended:
            os.kill(os.getpid(), ended)


def _record(activity: Activity, link: str, seed: int, output: Path, folder: Path) -> Recorded:
    numbers = random.Random(f"{activity.name} {link} {seed}")  # noqa: S311 - no secret
    path = output / f"{activity.name}-{link}-{seed}.pcap"
    words = activity.words(folder, numbers)
    with (
        scratch(folder) as name,
        network(link, numbers.getrandbits(16)) as net,
        serving(activity.servers, net.server, folder),
        capturing(net.server, path),
    ):
        start = time.monotonic()
        ended = play(net.client, words, activity.seconds, folder / name)
        said = last_words(folder / name)
        time.sleep(SETTLE_S)
        seconds = time.monotonic() - start
    flows, of_kernels = label_flows(path, activity.category)
    if flows == of_kernels and activity.has_flows:
        raise IdskitError(
            f"{activity.name} sent nothing over {link} and ended with {ended}: its program said "
            f"{said!r}"
        )
    return Recorded(
        activity=activity.name,
        category=activity.category,
        link=link,
        command=" ".join(words),
        flows=flows,
        seconds=round(seconds, 1),
        ended=ended,
    )
