"""Draw how groups of features lead from the score of a usual flow to that of this one."""

from __future__ import annotations

import math
from collections.abc import Callable

from idskit.explain.explanation_tables import signed
from idskit.incidents.incident import Explanation
from idskit.report.svg import NOTHING, WIDTH, Chart, rule, stroke_of, text_at
from idskit.report.text import cut

_ROW, _BAR = 26, 14  # height of a row, and of the bar in it
_NAMES, _RIGHT = 210, 64  # width left of the bars, and right of them
_LETTERS = 26  # of a name
_RAISES, _LOWERS = 1, 0  # colours
# An axis of log-odds is marked by the probabilities that they stand for.
_TICKS = (1e-9, 1e-6, 1e-4, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999, 1 - 1e-6, 1 - 1e-9)
_APART = 44  # pixels between two ticks


def share_bars(explanation: Explanation, threshold: float | None = None) -> Chart:
    """Draw a bar for each group, from where the groups above it end; nothing without groups.

    Args:
        explanation: whose groups are drawn, the highest share first.
        threshold: score in (0, 1) from which on there is an alert; drawn as a dashed line.
    """
    if not explanation.groups:
        return NOTHING
    ends = [explanation.base]
    for group in explanation.groups:
        ends.append(ends[-1] + group.share)
    alert = _logit(threshold) if threshold is not None and 0 < threshold < 1 else None
    marks = ends if alert is None else [*ends, alert]
    to_x = _axis(min(marks), max(marks))
    bottom = _ROW * (len(explanation.groups) + 2)
    parts = [_ticks(to_x, bottom)]
    parts.append(_end(to_x, explanation.base, 0, "a usual flow"))
    for row, group in enumerate(explanation.groups):
        parts.append(_bar(to_x, group.name, group.share, ends[row], row + 1))
    parts.append(_end(to_x, explanation.score, len(explanation.groups) + 1, "this flow"))
    if alert is not None:
        parts.append(_limit(to_x(alert), bottom))
    parts.append(text_at((_NAMES + WIDTH - _RIGHT) / 2, bottom + 34, "score: chance of an attack"))
    return Chart(body="".join(parts), height=bottom + 40, label="Shares of groups of features")


def _axis(low: float, high: float) -> Callable[[float], float]:
    """Map log-odds onto pixels, with some room at both ends."""
    room = max(0.08 * (high - low), 0.1)
    unit = (WIDTH - _NAMES - _RIGHT) / (high - low + 2 * room)
    return lambda value: _NAMES + (value - low + room) * unit


def _ticks(to_x: Callable[[float], float], bottom: int) -> str:
    parts: list[str] = []
    last = -math.inf
    for chance in _TICKS:
        at = to_x(_logit(chance))
        if _NAMES <= at <= WIDTH - _RIGHT and at - last >= _APART:
            parts.append(rule(f"M{at:.1f} 0V{bottom}") + text_at(at, bottom + 16, _percent(chance)))
            last = at
    return "".join(parts)


def _bar(to_x: Callable[[float], float], name: str, share: float, begin: float, row: int) -> str:
    left, right = sorted((to_x(begin), to_x(begin + share)))
    y = _ROW * row + (_ROW - _BAR) / 2
    color = stroke_of(_RAISES if share > 0 else _LOWERS)
    return (
        _name(name, row)
        + f'<rect x="{left:.1f}" y="{y}" width="{max(right - left, 1):.1f}" height="{_BAR}" '
        f'fill="{color}"/>' + text_at(right + 5, y + 11, signed(share), anchor="start")
    )


def _end(to_x: Callable[[float], float], value: float, row: int, name: str) -> str:
    """Draw a dot for where the bars begin or end."""
    at, y = to_x(value), _ROW * (row + 0.5)
    return (
        _name(name, row)
        + f'<circle cx="{at:.1f}" cy="{y}" r="5" fill="currentColor"/>'
        + text_at(at + 10, y + 4, _percent(_chance(value)), anchor="start", bold=True)
    )


def _name(name: str, row: int) -> str:
    return text_at(_NAMES - 10, _ROW * (row + 0.5) + 4, cut(name, _LETTERS), anchor="end")


def _limit(at: float, bottom: int) -> str:
    return (
        f'<path d="M{at:.1f} 0V{bottom}" stroke="currentColor" stroke-dasharray="5 4"/>'
        + text_at(at - 4, bottom - 6, "alert", anchor="end")
    )


def _logit(chance: float) -> float:
    return math.log(chance) - math.log1p(-chance)


def _chance(log_odds: float) -> float:
    """Return the probability that log-odds stand for."""
    return 1 / (1 + math.exp(-log_odds)) if log_odds > -700 else 0.0


def _percent(chance: float) -> str:
    """Return a probability in per cent, with as many digits as the ends of the scale need."""
    nines = min(chance, 1 - chance)
    digits = 0 if nines >= 0.0995 else min(max(math.ceil(-math.log10(max(nines, 1e-12))) - 2, 0), 8)
    return f"{100 * chance:.{digits}f} %"
