"""Charts over two axes as SVG text: no library, nothing fetched, light and dark alike.

Lines and text are drawn in the colour of the page, series in colours that both backgrounds bear.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from idskit.report.text import in_markup

WIDTH, HEIGHT = 640, 320
LEFT, RIGHT, TOP, BOTTOM = 70, 24, 12, 44
COLORS = (
    "#3b82f6", "#f97316", "#10a37f", "#d946ef", "#ef4444", "#b59a00", "#0ea5b7", "#8b5cf6",
    "#84662c", "#7d8590", "#65a30d", "#be185d",
)  # fmt: skip
_FEW = 24  # points that are marked by dots as well as joined
_NEAR = 0.5  # pixels: a point that is nearer to the last one is left out of a line


@dataclass(frozen=True, kw_only=True)
class Key:
    """One entry of a legend; ``color`` counts through COLORS, None is the colour of text."""

    name: str
    color: int | None
    dashed: bool = False

    @property
    def background(self) -> str:
        """CSS background of its mark."""
        color, dashed = stroke_of(self.color), self.dashed or is_repeated(self.color)
        dashes = f"repeating-linear-gradient(90deg,{color} 0 5px,transparent 5px 8px)"
        return dashes if dashed else color


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A drawing of WIDTH by ``height``, and its legend."""

    body: str
    height: int
    label: str
    keys: tuple[Key, ...] = ()

    def __bool__(self) -> bool:
        """Return whether anything is drawn."""
        return bool(self.body)

    def svg(self) -> str:
        """Return it as one SVG element."""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self.height}" '
            f'role="img" aria-label="{in_markup(self.label)}" font-family="system-ui, sans-serif">'
            f"{self.body}</svg>"
        )


NOTHING = Chart(body="", height=0, label="")


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How numbers become positions along an axis.

    ``nines`` is for per cent near 100: 90, 99, 99.9 are equally far from each other. ``low`` and
    ``high`` are the ends of the axis; those of the data if None. ``whole`` is for counts such as
    epochs, between which there are no ticks.
    """

    label: str
    kind: str = "linear"  # linear, log or nines
    low: float | None = None
    high: float | None = None
    whole: bool = False

    def holds(self, value: float) -> bool:
        """Return whether the axis has a position for a value."""
        return math.isfinite(value) and (self.kind != "log" or value > 0)

    def position(self, value: float) -> float:
        """Return where a value lies, before the axis is fitted to the chart."""
        if self.kind == "log":
            return math.log10(value)
        return -math.log10(1 - min(value, 99.9999) / 100) if self.kind == "nines" else value

    def ticks(self, low: float, high: float) -> list[float]:
        """Return round numbers between two values."""
        if self.kind == "nines":
            return [tick for tick in (0, 50, 90, 99, 99.9, 99.99) if low <= tick <= high]
        if self.kind == "log":
            return _log_ticks(low, high)
        return _linear_ticks(low, high, least=1.0 if self.whole else 0.0)


@dataclass(frozen=True, kw_only=True)
class Series:
    """A line of points, or only points; ``spread`` draws the lowest and the highest of each."""

    name: str
    points: tuple[tuple[float, float], ...]
    spread: tuple[tuple[float, float], ...] = ()
    color: int | None = 0  # counts through COLORS; None is the colour of text
    joined: bool = True
    dashed: bool = False
    named: bool = True  # whether the legend has it

    def drawable(self, x: Scale, y: Scale) -> Series:
        """Return the series without points that the axes have no position for."""
        kept = [i for i, (px, py) in enumerate(self.points) if x.holds(px) and y.holds(py)]
        spread = [self.spread[i] for i in kept] if self.spread else []
        found = all(y.holds(end) for pair in spread for end in pair)
        return replace(
            self,
            points=tuple(self.points[i] for i in kept),
            spread=tuple(spread) if found else (),
        )


def stroke_of(color: int | None) -> str:
    """Return the colour of a series."""
    return "currentColor" if color is None else COLORS[color % len(COLORS)]


def is_repeated(color: int | None) -> bool:
    """Return whether another series has this colour: then its line is dashed."""
    return color is not None and color >= len(COLORS)


def line_chart(
    series: Sequence[Series],
    x: Scale,
    y: Scale,
    *,
    limit: tuple[str, float] | None = None,
) -> Chart:
    """Draw lines over two axes.

    Args:
        series: lines; points without a position, such as 0 on a logarithmic axis, are left out.
        x: the horizontal axis.
        y: the vertical axis.
        limit: name and value of a horizontal line that must not be crossed.
    """
    series = [kept for one in series if (kept := one.drawable(x, y)).points]
    xs = [px for one in series for px, _ in one.points]
    ys = [py for one in series for _, py in one.points]
    ys += [end for one in series for pair in one.spread for end in pair]
    ys += [] if limit is None else [limit[1]]
    if not xs:
        return NOTHING
    left, right = _ends(x, _span(x, xs, apart=not any(one.joined for one in series)))
    to_x = _fitted(x, left, right, LEFT, WIDTH - RIGHT)
    low, high = _ends(y, _margin(y, min(ys), max(ys)))
    to_y = _fitted(y, low, high, HEIGHT - BOTTOM, TOP)
    parts = [_grid_x(x, to_x, left, right), _grid_y(y, to_y, low, high)]
    parts += [_line(one, to_x, to_y) for one in series]
    keys = [Key(name=one.name, color=one.color, dashed=one.dashed) for one in series if one.named]
    if limit is not None:
        name, value = limit
        keys.append(Key(name=name, color=None, dashed=True))
        parts.append(
            f'<path d="M{LEFT} {to_y(value):.1f}H{WIDTH - RIGHT}" stroke="currentColor" '
            'stroke-width="1.5" stroke-dasharray="6 4"/>'
        )
    return Chart(
        body="".join(parts),
        height=HEIGHT,
        label=f"{y.label} against {x.label}",
        keys=tuple(keys),
    )


def compact(value: float) -> str:
    """Return a number for an axis: 1.5k, 200k, 3M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{letter}"
    return f"{value:.4g}"


def text_at(
    x: float, y: float, text: str, *, anchor: str = "middle", turn: str = "", bold: bool = False
) -> str:
    """Write a text at a position, in the colour of the page."""
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="12" text-anchor="{anchor}" '
        f'fill="currentColor"{weight}{turn}>{in_markup(text)}</text>'
    )


def rule(path: str) -> str:
    """Draw a line of the grid."""
    return f'<path d="{path}" stroke="currentColor" stroke-opacity="0.18"/>'


def _line(one: Series, to_x: Callable[[float], float], to_y: Callable[[float], float]) -> str:
    color = stroke_of(one.color)
    dash = ' stroke-dasharray="5 3"' if one.dashed or is_repeated(one.color) else ""
    pixels = [(to_x(px), to_y(py)) for px, py in one.points]
    path = "M" + "L".join(f"{px:.1f} {py:.1f}" for px, py in _apart(pixels))
    line = f'<path d="{path}" fill="none" stroke="{color}" stroke-width="2"{dash}/>'
    marked = pixels if (len(pixels) <= _FEW and not one.dashed) or not one.joined else []
    dots = "".join(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3"/>' for px, py in marked)
    bars = "".join(
        f'<path d="M{px:.1f} {to_y(low):.1f}V{to_y(high):.1f}" stroke="{color}"/>'
        for (px, _), (low, high) in zip(pixels, one.spread, strict=False)
    )
    title = f"<title>{in_markup(one.name)}</title>"
    return f'<g fill="{color}">{title}{line * one.joined}{bars}{dots}</g>'


def _apart(pixels: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Leave out points that cannot be told from the one before: curves may have 100,000."""
    kept: list[tuple[float, float]] = []
    for point in pixels:
        if not kept or math.dist(kept[-1], point) >= _NEAR:
            kept.append(point)
    return [*kept, pixels[-1]] if kept[-1] != pixels[-1] else kept


def _grid_x(x: Scale, to_x: Callable[[float], float], low: float, high: float) -> str:
    parts = [text_at((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, x.label)]
    for tick in x.ticks(low, high):
        at = to_x(tick)
        parts.append(text_at(at, HEIGHT - BOTTOM + 16, compact(tick)))
        parts.append(rule(f"M{at:.1f} {TOP}V{HEIGHT - BOTTOM}"))
    return "".join(parts)


def _grid_y(y: Scale, to_y: Callable[[float], float], low: float, high: float) -> str:
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts = [text_at(14, middle, y.label, turn=f' transform="rotate(-90 14 {middle})"')]
    for tick in y.ticks(low, high):
        at = to_y(tick)
        parts.append(text_at(LEFT - 6, at + 4, compact(tick), anchor="end"))
        parts.append(rule(f"M{LEFT} {at:.1f}H{WIDTH - RIGHT}"))
    return "".join(parts)


def _fitted(
    scale: Scale, low: float, high: float, begin: float, end: float
) -> Callable[[float], float]:
    """Map values from ``low`` to ``high`` onto pixels from ``begin`` to ``end``."""
    first, last = scale.position(low), scale.position(high)
    width = (last - first) or 1.0
    return lambda value: begin + (scale.position(value) - first) / width * (end - begin)


def _ends(scale: Scale, found: tuple[float, float]) -> tuple[float, float]:
    """Return the ends of an axis: those that the scale names, else those of the data."""
    low, high = found
    return low if scale.low is None else scale.low, high if scale.high is None else scale.high


def _span(scale: Scale, values: Sequence[float], *, apart: bool) -> tuple[float, float]:
    """Return the lowest and highest value, with room around dots that stand apart.

    Around a single value there is as much as ticks need.
    """
    low, high = min(values), max(values)
    if low < high:
        return (low / 1.2, high * 1.2) if apart and scale.kind == "log" else (low, high)
    return (low / 3, high * 3) if scale.kind == "log" else (low - 1, high + 1)


def _margin(scale: Scale, low: float, high: float) -> tuple[float, float]:
    """Leave some room above and below; a linear axis begins at zero."""
    return (low / 1.2, high * 1.2) if scale.kind == "log" else (min(0.0, low), high * 1.05 or 1.0)


def _linear_ticks(low: float, high: float, *, least: float) -> list[float]:
    rough = max((high - low) / 5, least) or 1.0
    size = 10 ** math.floor(math.log10(rough))
    step = next(size * nice for nice in (1, 2, 5, 10) if size * nice >= rough)
    return [step * i for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if len(decades) <= 4 else (1,)
    return [s * 10.0**d for d in decades for s in steps if low <= s * 10.0**d <= high]
