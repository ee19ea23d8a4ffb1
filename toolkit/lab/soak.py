"""Mix benign activities at random for a long time, to count what alerts they raise."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from idskit.errors import DataError, IdskitError
from idskit.lab.activities.activity_table import ACTIVITIES
from idskit.lab.activity import BENIGN, Activity
from idskit.lab.lab_servers import SERVERS
from idskit.lab.label_flows import label_flows
from idskit.lab.namespaces import Network, network
from idskit.lab.record_activity import capturing, play, scratch, serving
from idskit.lab.run_lab import LabReport, Recorded, check_links, lab_folder, lack, written

_PIECE_S = 300.0  # of one capture, whose servers stay the same
_AT_ONCE = 3
_MOST_SERVERS = 20  # in a piece
_MEAN_REST_S = 4.0  # between the end of an activity and the next one


def run_soak(
    output: Path,
    minutes: float,
    *,
    links: Sequence[str] = ("lan",),
    seed: int = 0,
    announce: Callable[[str], None] = lambda _: None,
) -> LabReport:
    """Run benign activities, a few at once, into captures ``soak-LINK-SEED-NUMBER.pcap``.

    Args:
        output: a folder; made if it is not there. ``lab.json`` in it says what was run.
        minutes: in all; captures have five each, with other activities.
        links: taken in turn.
        seed: decides what is run when.
        announce: called with a line for people before each capture.

    Raises:
        DataError: no such link, or nothing benign can run here.
        IdskitError: no capture could be recorded.
    """
    check_links(links)
    able = [a for a in ACTIVITIES.values() if not a.is_attack and lack(a) is None]
    if not able:
        raise DataError("no benign activity of the lab can run here: see `idskit lab --list`")
    numbers = random.Random(f"soak {seed}")  # noqa: S311 - no secret
    recorded, left_out = [], {}
    with lab_folder(output, seed) as folder:
        for number, seconds in enumerate(_pieces(60 * minutes)):
            link = links[number % len(links)]
            path = output / f"soak-{link}-{seed}-{number}.pcap"
            announce(f"{path.name}: {seconds:g} s")
            mixed = compatible(able, numbers)
            try:
                recorded.append(_record(path, mixed, link, seconds, folder, numbers))
            except IdskitError as error:  # such as a server that did not start: hours go on
                left_out[path.name] = str(error)
    if not recorded:
        raise IdskitError(next(iter(left_out.values())))
    return written(output, LabReport(recorded=tuple(recorded), left_out=left_out), seed)


def _pieces(seconds: float) -> Iterator[float]:
    while seconds > 0:
        yield min(seconds, _PIECE_S)
        seconds -= _PIECE_S


def compatible(able: Sequence[Activity], numbers: random.Random) -> list[Activity]:
    """Choose activities in random order whose servers do not claim the same port."""
    chosen, ports = [], dict[object, str]()
    for activity in numbers.sample(able, len(able)):
        asked = {_port(name): name for name in activity.servers}
        both = ports | asked
        if len(both) <= _MOST_SERVERS and both == asked | ports:
            chosen.append(activity)
            ports = both
    return chosen


def _port(name: str) -> object:
    server = SERVERS[name]
    return (server.port, server.is_udp) if server.port is not None else name


def _record(
    path: Path,
    mixed: Sequence[Activity],
    link: str,
    seconds: float,
    folder: Path,
    numbers: random.Random,
) -> Recorded:
    servers = sorted({name for activity in mixed for name in activity.servers})
    with (
        network(link, numbers.getrandbits(16)) as net,
        serving(servers, net.server, folder),
        capturing(net.server, path) as recorder,
    ):
        start = time.monotonic()
        ends = _mix(mixed, net, start + seconds, folder, numbers)
        cut = ", recorded in part" if recorder.poll() is not None else ""
        seconds = time.monotonic() - start
    return Recorded(
        activity="soak",
        category=BENIGN,
        link=link,
        command=", ".join(f"{name}: {end}" for name, end in ends),
        flows=label_flows(path, BENIGN)[0],
        seconds=round(seconds, 1),
        ended=f"{Counter(end for _, end in ends)['exit 0']} of {len(ends)} exit 0{cut}",
    )


def _mix(
    mixed: Sequence[Activity], net: Network, until: float, folder: Path, numbers: random.Random
) -> list[tuple[str, str]]:
    """Play activities on a few threads; return how each ended."""

    def one_after_the_other(seed: int) -> list[tuple[str, str]]:
        own = random.Random(seed)  # noqa: S311 - no secret
        ends = []
        while (left := until - time.monotonic()) > 0:
            activity = own.choice(mixed)
            with scratch(folder, f"scratch{seed}") as name:
                words = activity.words(folder, own, name)
                end = play(net.client, words, min(activity.seconds, left), folder / name)
            ends.append((activity.name, end))
            time.sleep(min(own.expovariate(1 / _MEAN_REST_S), max(until - time.monotonic(), 0)))
        return ends

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        seeds = [numbers.getrandbits(32) for _ in range(_AT_ONCE)]
        return [end for ends in pool.map(one_after_the_other, seeds) for end in ends]
