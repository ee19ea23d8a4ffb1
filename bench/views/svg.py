"""Charts as SVG text, to be put into a page: no library, no request, light and dark alike.

Lines and text are drawn in the page's own colour, series in colours that both backgrounds bear.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 640, 320
LEFT, RIGHT, TOP, BOTTOM = 70, 24, 12, 44
COLORS = (
    "#3b82f6", "#f97316", "#10a37f", "#d946ef", "#ef4444", "#b59a00", "#0ea5b7", "#8b5cf6",
    "#84662c", "#7d8590", "#65a30d", "#be185d",
)  # fmt: skip
_ROW, _BAR = 48, 18  # height of one bar's row, and of the bar in it
_BAR_LEFT, _BAR_RIGHT = 4, 120


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How numbers become places along an axis.

    ``nines`` is for per cent near 100: 90, 99, 99.9 are equally far from each other.
    """

    label: str
    kind: str = "linear"  # linear, log or nines

    def place(self, value: float) -> float:
        """Where a value lies, before the axis is fitted to the chart."""
        if self.kind == "log":
            return math.log10(value)
        return -math.log10(1 - min(value, 99.9999) / 100) if self.kind == "nines" else value

    def ticks(self, low: float, high: float) -> list[float]:
        """Round numbers between two values."""
        if self.kind == "nines":
            return [tick for tick in (0, 50, 90, 99, 99.9, 99.99) if low <= tick <= high]
        return _log_ticks(low, high) if self.kind == "log" else _linear_ticks(low, high)


@dataclass(frozen=True, kw_only=True)
class Series:
    """A line of points, or these alone; ``spread`` draws the lowest and the highest of each."""

    name: str
    points: tuple[tuple[float, float], ...]
    spread: tuple[tuple[float, float], ...] = ()
    color: int = 0  # of COLORS, in turn
    joined: bool = True


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One bar with the interval it was seen in."""

    name: str
    value: float
    low: float
    high: float
    text: str
    color: int = 0


def color_of(index: int) -> str:
    """Colour of a series."""
    return COLORS[index % len(COLORS)]


def key_of(index: int) -> str:
    """CSS background of a series' mark in the legend: dashed where its line is."""
    color = color_of(index)
    dashes = f"repeating-linear-gradient(90deg,{color} 0 5px,transparent 5px 8px)"
    return dashes if index >= len(COLORS) else color


def line_chart(series: Sequence[Series], x: Scale, y: Scale, *, limit: float | None = None) -> str:
    """Lines over two axes; ``limit`` is a horizontal line that must not be crossed."""
    xs = [px for one in series for px, _ in one.points]
    ys = [py for one in series for _, py in one.points]
    ys += [end for one in series for pair in one.spread for end in pair]
    ys += [] if limit is None else [limit]
    if not xs:
        return ""
    left, right = _span(x, xs)
    to_x = _fitted(x, left, right, LEFT, WIDTH - RIGHT)
    low, high = _margin(y, min(ys), max(ys))
    to_y = _fitted(y, low, high, HEIGHT - BOTTOM, TOP)
    parts = [_grid_x(x, to_x, left, right), _grid_y(y, to_y, low, high)]
    parts += [_line(one, to_x, to_y) for one in series]
    if limit is not None:
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{to_y(limit):.1f}" y2="{to_y(limit):.1f}" '
            'stroke="currentColor" stroke-dasharray="6 4"/>'
        )
    return _svg(parts, HEIGHT, f"{y.label} against {x.label}")


def bar_chart(bars: Sequence[Bar], label: str) -> str:
    """Horizontal bars with their intervals, from zero."""
    most = max((bar.high for bar in bars), default=0.0)
    if not most:
        return ""
    height = _ROW * len(bars) + 24
    unit = (WIDTH - _BAR_LEFT - _BAR_RIGHT) / most
    parts = [_bar(bar, _ROW * row, unit) for row, bar in enumerate(bars)]
    parts.append(_words(_BAR_LEFT, height - 4, label, anchor="start"))
    return _svg(parts, height, label)


def compact(value: float) -> str:
    """A number for an axis: 1.5k, 200k, 3M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{letter}"
    return f"{value:.4g}"


def _bar(bar: Bar, top: int, unit: float) -> str:
    """Its name, however long, above it."""
    y = top + 22
    middle = y + _BAR / 2
    low, high = (_BAR_LEFT + unit * end for end in (bar.low, bar.high))
    return (
        _words(_BAR_LEFT, y - 6, bar.name, anchor="start")
        + f'<rect x="{_BAR_LEFT}" y="{y}" width="{unit * bar.value:.1f}" height="{_BAR}" '
        f'rx="2" fill="{color_of(bar.color)}"/>'
        f'<path d="M{low:.1f} {middle}H{high:.1f}" stroke="currentColor" stroke-width="1.5"/>'
        + _words(high + 6, middle + 4, bar.text, anchor="start")
    )


def _line(one: Series, to_x: Callable[[float], float], to_y: Callable[[float], float]) -> str:
    color = color_of(one.color)
    dash = ' stroke-dasharray="5 3"' if one.color >= len(COLORS) else ""
    places = [(to_x(px), to_y(py)) for px, py in one.points]
    way = "M" + "L".join(f"{px:.1f} {py:.1f}" for px, py in places)
    line = f'<path d="{way}" fill="none" stroke="{color}" stroke-width="2"{dash}/>'
    few = places if len(places) <= 24 or not one.joined else []
    dots = "".join(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3"/>' for px, py in few)
    bars = "".join(
        f'<path d="M{px:.1f} {to_y(low):.1f}V{to_y(high):.1f}" stroke="{color}"/>'
        for (px, _), (low, high) in zip(places, one.spread, strict=False)
    )
    return f'<g fill="{color}"><title>{escape(one.name)}</title>{line * one.joined}{bars}{dots}</g>'


def _grid_x(x: Scale, to_x: Callable[[float], float], low: float, high: float) -> str:
    parts = [_words((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, x.label)]
    for tick in x.ticks(low, high):
        place = to_x(tick)
        parts.append(_words(place, HEIGHT - BOTTOM + 16, compact(tick)))
        parts.append(_rule(f"M{place:.1f} {TOP}V{HEIGHT - BOTTOM}"))
    return "".join(parts)


def _grid_y(y: Scale, to_y: Callable[[float], float], low: float, high: float) -> str:
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts = [_words(14, middle, y.label, turn=f' transform="rotate(-90 14 {middle})"')]
    for tick in y.ticks(low, high):
        place = to_y(tick)
        parts.append(_words(LEFT - 6, place + 4, compact(tick), anchor="end"))
        parts.append(_rule(f"M{LEFT} {place:.1f}H{WIDTH - RIGHT}"))
    return "".join(parts)


def _rule(way: str) -> str:
    return f'<path d="{way}" stroke="currentColor" stroke-opacity="0.18"/>'


def _words(x: float, y: float, text: str, *, anchor: str = "middle", turn: str = "") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="12" text-anchor="{anchor}" '
        f'fill="currentColor"{turn}>{escape(text)}</text>'
    )


def _svg(parts: Sequence[str], height: int, label: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(label)}" font-family="system-ui, sans-serif">'
        f"{''.join(parts)}</svg>"
    )


def _fitted(
    scale: Scale, low: float, high: float, begin: float, end: float
) -> Callable[[float], float]:
    """Map values from ``low`` to ``high`` onto pixels from ``begin`` to ``end``."""
    first, last = scale.place(low), scale.place(high)
    width = (last - first) or 1.0
    return lambda value: begin + (scale.place(value) - first) / width * (end - begin)


def _span(scale: Scale, values: Sequence[float]) -> tuple[float, float]:
    """Lowest and highest value; around a single one as much as its axis needs for ticks."""
    low, high = min(values), max(values)
    if low < high:
        return low, high
    return (low / 3, high * 3) if scale.kind == "log" else (low - 1, high + 1)


def _margin(scale: Scale, low: float, high: float) -> tuple[float, float]:
    """Some air above and below; a linear axis begins at zero."""
    return (low / 1.2, high * 1.2) if scale.kind == "log" else (min(0.0, low), high * 1.05 or 1.0)


def _linear_ticks(low: float, high: float) -> list[float]:
    rough = (high - low) / 5 or 1.0
    size = 10 ** math.floor(math.log10(rough))
    step = next(size * nice for nice in (1, 2, 5, 10) if size * nice >= rough)
    return [step * i for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if len(decades) <= 4 else (1,)
    return [s * 10.0**d for d in decades for s in steps if low <= s * 10.0**d <= high]
