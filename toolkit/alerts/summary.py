"""Summarise what a detection found, grouped by attack, for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from idskit.alerts.alert import Alert
from idskit.alerts.eve import eve_time
from idskit.alerts.throttle import BURST, PER_SECOND
from idskit.report.text import shown

MAX_ROUTES = 4096  # pairs of addresses kept per attack: a flood forges any number of sources
SHOWN_ENDS = 3
_SEVERITIES = {1: "high", 2: "medium", 3: "low"}


@dataclass(frozen=True, kw_only=True)
class Route:
    """Alerts from one address to another."""

    src: str
    dst: str
    alerts: int


@dataclass(frozen=True, kw_only=True)
class AttackSummary:
    """All alerts of one label."""

    label: str
    category: str
    severity: int  # 1 is worst
    alerts: int
    routes: tuple[Route, ...]  # most alerts first
    other_routes: int  # alerts between further addresses, beyond MAX_ROUTES
    first_us: int | None  # None if no flow has a time
    last_us: int | None
    max_score: float


@dataclass(frozen=True, kw_only=True)
class DetectionSummary:
    """What a detection read, found, and could not read."""

    source: str
    model: str
    threshold: float
    flows: int
    packets: int | None  # None for a table
    attacks: tuple[AttackSummary, ...]  # worst severity first, then most alerts
    skipped: Mapping[str, int]  # packets that were not decoded, by reason
    truncated: str  # why reading ended early, or empty
    seconds: float
    output: str = "the output"  # what the lines were written to
    lines_written: int = 0
    lines_withheld: Mapping[str, int] = field(
        default_factory=dict
    )  # by label: withheld by the throttle
    lines_lost: int = 0  # they could not be written
    dropped: int = 0  # frames that the kernel dropped before they could be read
    repeated: int = 0  # flows whose end would have raised another alert, which is omitted
    unjudged: int = 0  # flows with an infinite or undefined feature
    not_read: str = ""  # files in the folders given that are no captures
    lost: str = ""  # why alerts were not written, or empty

    @property
    def alerts(self) -> int:
        """Return the number of alerts of all labels."""
        return sum(attack.alerts for attack in self.attacks)

    def show(self, console: Console) -> None:
        """Print the summary."""
        console.print(self._headline(), highlight=False)
        if self.attacks:
            console.print(self._table())
            console.print("[dim]score: the highest 1 - P(benign) of these alerts[/dim]")
        for line in self._notes():
            console.print(line, highlight=False)

    def _headline(self) -> str:
        read = f"{self.flows:,} flows"
        if self.packets is not None:
            read = f"{self.packets:,} packets in {read}"
        found = (
            f"{self.alerts:,} alert{'' if self.alerts == 1 else 's'}"
            if self.attacks
            else "no alerts"
        )
        return (
            f"[bold]{found}[/bold]: {read} of {shown(self.source)}, {self.seconds:.1f} s, model "
            f"{shown(self.model)}, threshold {self.threshold:g}"
        )

    def _table(self) -> Table:
        table = Table(box=SIMPLE, pad_edge=False, padding=(0, 0, 0, 1))
        table.add_column("attack", overflow="fold")
        table.add_column("alerts", justify="right")
        table.add_column("from → to (alerts)", overflow="fold", ratio=1)
        table.add_column("seen (UTC)")
        table.add_column("score", justify="right")
        for attack in self.attacks:
            table.add_row(
                f"{shown(attack.label)}\n[dim]{_SEVERITIES[attack.severity]} severity[/dim]",
                f"{attack.alerts:,}",
                _routes(attack),
                _period(attack),
                f"{attack.max_score:.2f}",
            )
        return table

    def _notes(self) -> list[str]:
        notes = self._output_notes()
        if self.repeated:
            notes.append(
                f"{self.repeated:,} of these flows went on, and looked like it at their end"
            )
        if self.unjudged:
            notes.append(
                f"[yellow]{self.unjudged:,} flows were not judged[/yellow]: the tool that their "
                "schema imitates leaves one of their features infinite or undefined"
            )
        lost = {reason: n for reason, n in self.skipped.items() if reason != "reassembled"}
        if lost:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in lost.items())
            notes.append(f"packets not decoded: {reasons}")
        if "reassembled" in self.skipped:
            count = self.skipped["reassembled"]
            notes.append(f"{count:,} frames are further fragments of packets that count once")
        if self.dropped:
            notes.append(
                f"[yellow]{self.dropped:,} frames were dropped by the kernel[/yellow]: they came "
                "faster than this machine judges"
            )
        if self.truncated:
            notes.append(
                f"[yellow]reading ended early[/yellow]: {shown(self.truncated)}; "
                "the flows before that are judged"
            )
        if self.not_read:
            notes.append(
                f"not read, because they are no captures that can be: {shown(self.not_read)}"
            )
        return notes

    def _output_notes(self) -> list[str]:
        """Return notes on the lines that were written, withheld or lost."""
        notes = [f"{self.lines_written:,} lines written to {shown(self.output)}"]
        if self.lines_withheld:
            counts = self.lines_withheld.items()
            labels = ", ".join(f"{count:,} of {shown(label)}" for label, count in counts)
            notes.append(
                f"[yellow]lines withheld: {labels}[/yellow]; {BURST:,} of a label are written at "
                f"once, then {PER_SECOND:g} a second"
            )
        if self.lines_lost:
            notes.append(
                f"[red]{self.lines_lost:,} lines were lost[/red]: they could not be written"
            )
        return notes


@dataclass(kw_only=True)
class _Tally:
    """Running count of the alerts of one label."""

    example: Alert
    alerts: int = 0
    routes: Counter[tuple[str, str]] = field(default_factory=Counter)
    other_routes: int = 0
    times_us: list[int] = field(default_factory=list)  # earliest start, latest end
    max_score: float = 0.0

    def add(self, alert: Alert) -> None:
        self.alerts += 1
        self.max_score = max(self.max_score, alert.score)
        if alert.flow is None:
            return
        times = [*self.times_us, alert.flow.start_us, alert.flow.end_us]
        self.times_us = [min(times), max(times)]
        if alert.flow.src is None:
            return
        route = str(alert.flow.src), str(alert.flow.dst)
        self.routes[route] += 1
        if len(self.routes) > 2 * MAX_ROUTES:
            self._keep_busiest()

    def _keep_busiest(self) -> None:
        """Keep the MAX_ROUTES busiest routes: forged sources do not hide a real one."""
        before = self.routes.total()
        self.routes = Counter(dict(self.routes.most_common(MAX_ROUTES)))
        self.other_routes += before - self.routes.total()

    def to_summary(self) -> AttackSummary:
        self._keep_busiest()
        return AttackSummary(
            label=self.example.label,
            category=self.example.category,
            severity=self.example.severity,
            alerts=self.alerts,
            routes=tuple(
                Route(src=src, dst=dst, alerts=count)
                for (src, dst), count in self.routes.most_common()
            ),
            other_routes=self.other_routes,
            first_us=self.times_us[0] if self.times_us else None,
            last_us=self.times_us[1] if self.times_us else None,
            max_score=self.max_score,
        )


class Tallies:
    """Running counts of alerts by label, in bounded memory."""

    def __init__(self) -> None:
        self._of: dict[str, _Tally] = {}

    def add(self, alert: Alert) -> None:
        """Count one alert."""
        self._of.setdefault(alert.label, _Tally(example=alert)).add(alert)

    def attacks(self) -> tuple[AttackSummary, ...]:
        """Return summaries, worst severity first, then most alerts."""
        made = [tally.to_summary() for tally in self._of.values()]
        return tuple(sorted(made, key=lambda attack: (attack.severity, -attack.alerts)))


def _routes(attack: AttackSummary) -> str:
    """Return the busiest ends of an attack, one per line, and the alerts of the others."""
    if not attack.routes:
        return "unknown: the table names no addresses"
    ends = _busiest_ends(attack.routes)
    lines = [f"{end} ({alerts:,})" for end, alerts in ends[:SHOWN_ENDS]]
    rest = sum(alerts for _, alerts in ends[SHOWN_ENDS:]) + attack.other_routes
    if rest:
        lines.append(f"others ({rest:,})")
    return "\n".join(lines)


def _busiest_ends(routes: Sequence[Route]) -> list[tuple[str, int]]:
    """Return routes joined at their sources, or at their targets if these are fewer (a flood)."""
    at_target = len({route.dst for route in routes}) < len({route.src for route in routes})
    peers: dict[str, set[str]] = {}
    alerts: Counter[str] = Counter()
    for route in routes:
        end, peer = (route.dst, route.src) if at_target else (route.src, route.dst)
        peers.setdefault(end, set()).add(peer)
        alerts[end] += route.alerts
    ends = []
    for end, count in alerts.most_common():
        many = f"{len(peers[end]):,} addresses" if len(peers[end]) > 1 else min(peers[end])
        ends.append((f"{many} → {end}" if at_target else f"{end} → {many}", count))
    return ends


def _period(attack: AttackSummary) -> str:
    if attack.first_us is None or attack.last_us is None:
        return ""
    first, last = (eve_time(t)[:19].replace("T", " ") for t in (attack.first_us, attack.last_us))
    same_day = first[:10] == last[:10]
    return f"{first[:10]}\n{first[11:]} … {last[11:]}" if same_day else f"{first} …\n{last}"
