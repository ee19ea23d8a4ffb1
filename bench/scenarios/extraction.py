"""Packets to flow records, idskit and its peers: each a process of its own, in turn.

Every turn reads two captures, one of START_PACKETS and the one in question. The whole of the second
is what a user pays for one file; the difference, over the packets between them, is what one more
packet costs when a program runs on and its start-up no longer matters.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from subprocess import SubprocessError
from tempfile import TemporaryDirectory

from idskit.bench.child_process import ChildFailed, Usage, run_child
from idskit.bench.measure import Spread
from idskit.bench.peers.flow_extractors import Extractor, Found, NotInstalled
from idskit.bench.result import Extraction
from idskit.capture.capture_file import open_capture
from idskit.errors import IdskitError
from idskit.generate import generate
from idskit.profiles.flow_reader import open_flows

START_PACKETS = 1000
_TEMPORARY = "idskit-bench-"


@dataclass(frozen=True, kw_only=True)
class ExtractionPlan:
    """What is read, and how often.

    Args:
        packets: of each generated capture, by mix.
        growing: mixes of which idskit also reads ``shares``, to see whether it slows as flows grow.
        shares: of ``packets``.
        rounds: how often each program has its turn.
        limit_s: a program that took longer than this in all has no further turn.
        timeout_s: of one run, after which a program is stopped.
        seed: of the generator.
    """

    packets: dict[str, int] = field(
        default_factory=lambda: {"mixed": 1_000_000, "flood": 1_000_000}
    )
    growing: tuple[str, ...] = ("flood",)
    shares: tuple[float, ...] = (1 / 4, 1 / 2)
    rounds: int = 5
    limit_s: float = 15.0
    timeout_s: float = 300.0
    seed: int = 20_24


FULL_EXTRACTION = ExtractionPlan()
QUICK_EXTRACTION = ExtractionPlan(
    packets={"mixed": 200_000, "flood": 100_000}, rounds=3, limit_s=4.0, timeout_s=90.0
)


@dataclass(frozen=True, kw_only=True)
class _Load:
    """A capture, and the small one that tells the start-up from the rest."""

    words: str
    mix: str | None
    path: Path
    packets: int
    start: Path
    is_share: bool = False  # only for idskit


def measure_extraction(
    capture: Path | None, plan: ExtractionPlan, contenders: Sequence[Extractor]
) -> list[Extraction]:
    """Let each contender read each capture; the first one is also measured as flows grow.

    Args:
        capture: what is read; generated ones of the plan when None.
        plan: how often and how long.
        contenders: idskit first.

    Returns:
        One entry a contender and capture; one without numbers says why it has none.

    Raises:
        CaptureError: ``capture`` cannot be read.
        IdskitError: it has hardly more packets than the capture that measures start-up.
        DataError: there is no room for generated captures.
    """
    with TemporaryDirectory(prefix=_TEMPORARY) as name:
        folder = Path(name)
        loads = _generated(folder, plan) if capture is None else [_given(capture, folder, plan)]
        _compile(loads[0].start)
        return [
            entry
            for load in loads
            for entry in _compare(load, contenders[:1] if load.is_share else contenders, plan)
        ]


def _compile(capture: Path) -> None:
    """Have the flow engine on disk before the first process needs it."""
    with open_flows(capture) as flows:
        deque(flows.batches(), maxlen=0)


# Captures.


def _generated(folder: Path, plan: ExtractionPlan) -> list[_Load]:
    loads = []
    for mix, packets in plan.packets.items():
        start = _generate(folder, mix, START_PACKETS, plan)
        shares = plan.shares if mix in plan.growing else ()
        for share in (*shares, 1):
            count = int(packets * share)
            path = _generate(folder, mix, count, plan)
            words = f"generated, mix {mix}, {count:,} packets"
            loads.append(
                _Load(
                    words=words,
                    mix=mix,
                    path=path,
                    packets=count,
                    start=start,
                    is_share=share < 1,
                )
            )
    return loads


def _given(capture: Path, folder: Path, plan: ExtractionPlan) -> _Load:
    with open_capture(capture) as opened:
        packets = sum(len(frames.records) for frames in opened.frames())
    if packets < 2 * START_PACKETS:
        raise IdskitError(
            f"{capture} has {packets:,} packets: extractors are compared on at least "
            f"{2 * START_PACKETS:,}, take a larger capture"
        )
    return _Load(
        words=f"capture {capture.name}, {packets:,} packets",
        mix=None,
        path=capture.absolute(),
        packets=packets,
        start=_generate(folder, "mixed", START_PACKETS, plan),
    )


def _generate(folder: Path, mix: str, packets: int, plan: ExtractionPlan) -> Path:
    path = folder / f"{mix}-{packets}.pcap"
    generate(path, packets=packets, mix=mix, seed=plan.seed)
    return path


# Turns.


def _compare(
    load: _Load, contenders: Sequence[Extractor], plan: ExtractionPlan
) -> list[Extraction]:
    turns = [_Turns(extractor, load, plan) for extractor in contenders]
    for _ in range(plan.rounds):
        for contender in turns:
            contender.take()
    return [contender.result() for contender in turns]


class _Turns:
    """One contender on one capture: its runs so far, and why there are no more."""

    def __init__(self, extractor: Extractor, load: _Load, plan: ExtractionPlan) -> None:
        self._extractor, self._load, self._plan = extractor, load, plan
        self._pairs: list[tuple[Usage, Usage]] = []  # of the small capture, of the one in question
        self._found = Found(flows=None, columns=None, version=None)
        self._reason: str | None = None
        self._run(load.start)  # from now on its files are in memory

    def take(self) -> None:
        """Run one turn, unless one failed or its time is spent."""
        spent_s = sum(small.wall_s + large.wall_s for small, large in self._pairs)
        if self._reason is None and spent_s <= self._plan.limit_s:
            small, large = self._run(self._load.start), self._run(self._load.path)
            if small and large:
                self._pairs.append((small, large))

    def _run(self, capture: Path) -> Usage | None:
        if self._reason is not None:
            return None
        try:
            with TemporaryDirectory(prefix=_TEMPORARY) as name:
                folder = Path(name)
                command = self._extractor.command(capture, folder)
                usage = run_child(command, folder, timeout_s=self._plan.timeout_s)
                self._found = self._count(usage, folder)
                return usage
        except (NotInstalled, ChildFailed) as error:
            self._reason = str(error)
            return None

    def _count(self, usage: Usage, folder: Path) -> Found:
        try:
            return self._extractor.count(usage.output, folder)
        except (OSError, ValueError, LookupError, SubprocessError) as error:
            raise ChildFailed(f"what it wrote cannot be read: {error}") from error

    def result(self) -> Extraction:
        """Return what all turns say; no numbers where one failed."""
        pairs = () if self._reason else self._pairs
        more = self._load.packets - START_PACKETS
        return Extraction(
            name=self._extractor.name,
            computes=self._extractor.computes,
            **asdict(self._found),
            capture=self._load.words,
            mix=self._load.mix,
            packets=self._load.packets,
            cpu_s=_spread(large.cpu_s for _, large in pairs),
            us_per_packet=_spread((b.cpu_s - a.cpu_s) / more * 1e6 for a, b in pairs),
            wall_s=_spread(large.wall_s for _, large in pairs),
            rss_mib=_spread(large.rss_mib for _, large in pairs),
            reason=self._reason,
        )


def _spread(values: Iterable[float]) -> Spread | None:
    known = list(values)
    return Spread.of(known) if known else None
