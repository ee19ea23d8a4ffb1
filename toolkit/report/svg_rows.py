"""Charts that have a row for each name, as SVG text: bars, dots, and a matrix of shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from idskit.report.svg import COLORS, NOTHING, WIDTH, Chart, Key, compact, rule, stroke_of, text_at

_BAR_ROW, _BAR = 48, 18  # height of one bar's row, and of the bar in it
_BAR_LEFT, _BAR_RIGHT = 4, 120
_ROW = 26  # height of a row of dots
_CELL = 40  # height of a row of a matrix
_NAMES = 210  # width of the names to the left
_RIGHT, _FOOT = 24, 44
_LETTERS = 24  # of a name that fit in that width
_CELL_LETTERS = 8.6  # pixels of a letter above a matrix on a phone, about
_WIDE_CELL = 72  # pixels that hold a number with all its digits


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One bar with the interval that was observed."""

    name: str
    value: float
    low: float
    high: float
    text: str
    color: int = 0


@dataclass(frozen=True, kw_only=True)
class Dots:
    """Values of one series in every row, and what stands for them, such as their mean."""

    name: str
    values: tuple[tuple[float, ...], ...]  # by row
    means: tuple[float | None, ...] = ()  # by row; empty for none
    color: int = 0


def bar_chart(bars: Sequence[Bar], label: str) -> Chart:
    """Draw horizontal bars with their intervals, from zero."""
    most = max((bar.high for bar in bars), default=0.0)
    if not most:
        return NOTHING
    height = _BAR_ROW * len(bars) + 24
    unit = (WIDTH - _BAR_LEFT - _BAR_RIGHT) / most
    parts = [_bar(bar, _BAR_ROW * row, unit) for row, bar in enumerate(bars)]
    parts.append(text_at(_BAR_LEFT, height - 4, label, anchor="start"))
    return Chart(body="".join(parts), height=height, label=label)


def _bar(bar: Bar, top: int, unit: float) -> str:
    """Draw a bar with its name, however long, above it."""
    y = top + 22
    middle = y + _BAR / 2
    low, high = (_BAR_LEFT + unit * end for end in (bar.low, bar.high))
    return (
        text_at(_BAR_LEFT, y - 6, bar.name, anchor="start")
        + f'<rect x="{_BAR_LEFT}" y="{y}" width="{unit * bar.value:.1f}" height="{_BAR}" '
        f'rx="2" fill="{stroke_of(bar.color)}"/>'
        f'<path d="M{low:.1f} {middle}H{high:.1f}" stroke="currentColor" stroke-width="1.5"/>'
        + text_at(high + 6, middle + 4, bar.text, anchor="start")
    )


def dot_chart(names: Sequence[str], series: Sequence[Dots], label: str) -> Chart:
    """Draw values between 0 and 1 as dots, a row for each name."""
    if not names:
        return NOTHING
    bottom = _ROW * len(names)
    width = WIDTH - _NAMES - _RIGHT
    parts = [
        rule(f"M{_NAMES + tick * width:.1f} 0V{bottom}")
        + text_at(_NAMES + tick * width, bottom + 16, compact(tick))
        for tick in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    ]
    parts += [
        text_at(_NAMES - 8, _ROW * (row + 0.5) + 4, _shortened(name), anchor="end")
        for row, name in enumerate(names)
    ]
    for index, one in enumerate(series):
        lift = (index - (len(series) - 1) / 2) * 7
        parts.append(_dots(one, lift, width))
    parts.append(text_at(_NAMES + width / 2, bottom + _FOOT - 10, label))
    keys = tuple(Key(name=one.name, color=one.color) for one in series)
    return Chart(body="".join(parts), height=bottom + _FOOT, label=label, keys=keys)


def _dots(one: Dots, lift: float, width: float) -> str:
    color, marks = stroke_of(one.color), []
    for row, values in enumerate(one.values):
        y = _ROW * (row + 0.5) + lift
        marks += [
            f'<circle cx="{_NAMES + value * width:.1f}" cy="{y:.1f}" r="3.5" fill-opacity="0.6"/>'
            for value in values
        ]
        mean = one.means[row] if one.means else None
        if mean is not None:
            x = _NAMES + mean * width
            marks.append(f'<path d="M{x:.1f} {y - 7:.1f}V{y + 7:.1f}" stroke-width="2"/>')
    return f'<g fill="{color}" stroke="{color}">{"".join(marks)}</g>'


def matrix_chart(
    names: Sequence[str], counts: Sequence[Sequence[int]], *, rows: str, columns: str
) -> Chart:
    """Draw a square matrix of counts; the more of its row a cell holds, the fuller its colour."""
    width = (WIDTH - _NAMES - _RIGHT) / len(names)
    top = 44
    parts = [text_at(_NAMES + width * len(names) / 2, 14, columns)]
    parts += [
        text_at(_NAMES + width * (i + 0.5), top - 8, _shortened(name, int(width / _CELL_LETTERS)))
        for i, name in enumerate(names)
    ]
    for row, cells in enumerate(counts):
        y, whole = top + _CELL * row, max(sum(cells), 1)
        parts.append(text_at(_NAMES - 8, y + _CELL / 2 + 4, _shortened(names[row]), anchor="end"))
        for column, count in enumerate(cells):
            parts.append(_cell(_NAMES + width * column, y, width, count, count / whole))
    bottom = top + _CELL * len(names)
    parts.append(text_at(_NAMES - 8, bottom + 18, rows, anchor="end"))
    return Chart(body="".join(parts), height=bottom + 28, label=f"{rows} against {columns}")


def _cell(x: float, y: float, width: float, count: int, share: float) -> str:
    middle, wide = x + width / 2, width >= _WIDE_CELL
    texts = text_at(middle, y + 17, f"{count:,}" if wide else compact(count))
    texts += text_at(middle, y + 34, f"{100 * share:.{int(wide)}f} %")
    return (
        f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{_CELL}" fill="{COLORS[0]}" '
        f'fill-opacity="{0.7 * share:.2f}" stroke="currentColor" stroke-opacity="0.2"/>{texts}'
    )


def _shortened(name: str, most: int = _LETTERS) -> str:
    return name if len(name) <= most else f"{name[: max(most - 1, 1)]}…"
