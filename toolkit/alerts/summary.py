"""Summarise alerts by attack, for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from idskit.alerts.alert import Alert
from idskit.alerts.eve import eve_time
from idskit.report.section import Section
from idskit.report.text import visible

MAX_ROUTES = 4096  # pairs of addresses kept per attack: a flood forges any number of sources
SHOWN_ENDS = 3
_SEVERITIES = {1: "high", 2: "medium", 3: "low"}
_TONES = {1: "error", 2: "warning", 3: "note"}  # of a table's row


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


def attacks_section(attacks: Sequence[AttackSummary]) -> Section:
    """Return the attacks as a table for people."""
    return Section(
        title="",
        columns=("attack", "from → to (alerts)", "seen (UTC)", "alerts", "score"),
        rows=tuple(map(_row, attacks)),
        caption="score: the highest 1 - P(benign) of these alerts",
        words=3,
        severities=tuple(_TONES[attack.severity] for attack in attacks),
    )


def _row(attack: AttackSummary) -> tuple[str, ...]:
    return (
        f"{visible(attack.label)}\n{_SEVERITIES[attack.severity]} severity",
        _routes(attack),
        _period(attack),
        f"{attack.alerts:,}",
        f"{attack.max_score:.2f}",
    )


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
