"""The drawings of the page as SVG: rows of a heat map, sparklines, bars; colours are classes.

They stretch to the width that the page has, so no text is inside them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from idskit.page.markup import Markup, element

LEVELS = 9  # of colour in a heat map; nothing is drawn for 0
_HEIGHT = 24.0  # of a sparkline


def _drawing(box: str, class_: str, label: str, *parts: Markup) -> Markup:
    return element(
        "svg", *parts, viewBox=box, class_=class_, preserveAspectRatio="none", role="img",
        aria_label=label,
    )  # fmt: skip


def heat_row(values: Sequence[float], peak: float, label: str) -> Markup:
    """Draw one host's seconds as cells; the colour is logarithmic up to ``peak``.

    Cells of one level are one path, and neighbours one stroke: a busy row takes 0.5 kB.
    """
    strokes = [""] * (LEVELS + 1)
    begin = 0
    levels = [_level(value, peak) for value in values]
    for end in range(1, len(levels) + 1):
        if end == len(levels) or levels[end] != levels[begin]:
            strokes[levels[begin]] += f"M{begin} 0h{end - begin}"
            begin = end
    paths = [
        element("path", d=stroke, class_=f"heat{level}")
        for level, stroke in enumerate(strokes)
        if stroke and level
    ]
    return _drawing(f"0 -.5 {max(len(values), 1)} 1", "heat", label, *paths)


def _level(value: float, peak: float) -> int:
    if value <= 0 or peak <= 0:
        return 0
    share = math.log1p(value) / math.log1p(max(peak, value))
    return min(LEVELS, 1 + int(share * LEVELS))


def sparkline(values: Sequence[float], label: str) -> Markup:
    """Draw a line from zero with the area below it, and a dot at the last value."""
    most = max(values, default=0.0) or 1.0
    points = [(x, _HEIGHT - value / most * (_HEIGHT - 3)) for x, value in enumerate(values)]
    if len(points) < 2:
        return Markup("")
    line = "L".join(f"{x} {y:.1f}" for x, y in points)
    right, last = points[-1]
    return _drawing(
        f"0 0 {right} {_HEIGHT:g}", "spark", label,
        element("path", d=f"M0 {_HEIGHT:g}L{line}L{right} {_HEIGHT:g}z", class_="area"),
        element("path", d=f"M{line}", class_="line"),
        element("path", d=f"M{right} {last:.1f}h0", class_="dot"),
    )  # fmt: skip


def share_bar(share: float, low: float, high: float, label: str) -> Markup:
    """Draw one share from zero, to the right if it raises a score and to the left if it lowers.

    Args:
        share: what it adds.
        low: the least of all shares that are compared, at most 0.
        high: the greatest of them, at least 0.
        label: for those who do not see it.
    """
    width = (high - low) or 1.0
    zero, end = (-low / width * 100, (share - low) / width * 100)
    bar = element(
        "rect", x=f"{min(zero, end):.1f}", y=0, width=f"{abs(end - zero):.1f}", height=10,
        class_="raises" if share >= 0 else "lowers",
    )  # fmt: skip
    return _drawing(
        "0 0 100 10", "share", label, bar, element("path", d=f"M{zero:.1f} 0v10", class_="zero")
    )


def usual_strip(value: float, median: float, upper: float, label: str) -> Markup:
    """Draw a value on a logarithmic axis next to what is usual: zero to the 99th percentile."""
    low = min(0.0, value, median, upper)
    ends = [math.log1p(number - low) for number in (0.0, median, upper, value)]
    most = max(*ends, 1e-9) * 1.04
    zero, half, usual, here = (end / most * 100 for end in ends)
    return _drawing(
        "0 0 100 12", "strip", label,
        element("path", d="M0 6h100", class_="axis"),
        element(
            "rect", x=f"{zero:.1f}", y=3, width=f"{max(usual - zero, 0):.1f}", height=6,
            class_="usual",
        ),
        element("path", d=f"M{half:.1f} 1v10", class_="half"),
        element("path", d=f"M{here:.1f} 6h0", class_="dot" if value <= upper else "dot far"),
    )  # fmt: skip


def burn_bar(ratio: float, label: str) -> Markup:
    """Draw how fast a budget burns, with a mark at 1: as fast as it may."""
    most = max(2.0, ratio * 1.05)
    bar = element(
        "rect", x=0, y=0, width=f"{max(ratio, 0) / most * 100:.1f}", height=10,
        class_="over" if ratio > 1 else "within",
    )  # fmt: skip
    limit = element("path", d=f"M{100 / most:.1f} 0v10", class_="limit")
    return _drawing("0 0 100 10", "share", label, bar, limit)


def columns(counts: Sequence[int], marked: Sequence[int], label: str) -> Markup:
    """Draw counts as columns from zero; the marked ones of each stand out at its foot."""
    most = max(4, *counts)
    bars = []
    for i, (count, high) in enumerate(zip(counts, marked, strict=True)):
        bars += [
            element(
                "rect", x=f"{i + 0.1:.1f}", y=f"{10 - number / most * 10:.2f}", width="0.8",
                height=f"{number / most * 10:.2f}", class_=kind,
            )
            for number, kind in ((count, "plain"), (high, "marked"))
            if number
        ]  # fmt: skip
    return _drawing(f"0 0 {len(counts)} 10", "columns", label, *bars)
