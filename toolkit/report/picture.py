"""A picture: charts below each other in one SVG file, with a title and their legends."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from idskit.files.output import write_whole
from idskit.report.svg import WIDTH, Chart, Key, is_repeated, stroke_of, text_at
from idskit.report.text import in_markup

_STYLE = (
    "svg{color:#22272e;background:#fff}"
    "@media (prefers-color-scheme:dark){svg{color:#d8dee4;background:#121212}}"
    "@media (max-width:30rem){text{font-size:16px}}"  # of a picture that a phone shows small
)
_MARGIN, _TITLE, _LINE = 12, 30, 18
_LETTER = 8.6  # pixels of a letter on a phone, about; letters are smaller elsewhere


def save_picture(path: Path, title: str, charts: Sequence[Chart]) -> None:
    """Write an SVG file; it appears under its name only when complete.

    Raises:
        IdskitError: the file cannot be written.
    """
    text = picture(title, charts)
    write_whole(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def picture(title: str, charts: Sequence[Chart]) -> str:
    """Return the text of an SVG file that needs nothing else."""
    y, parts = _TITLE, [text_at(_MARGIN, 18, title, anchor="start", bold=True)]
    for chart in filter(None, charts):
        legend, height = _legend(chart.keys)
        parts.append(f'<g transform="translate(0 {y})">{legend}</g>')
        y += height
        parts.append(f'<g transform="translate(0 {y})">{chart.body}</g>')
        y += chart.height + _MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" '
        f'viewBox="0 0 {WIDTH} {y}" role="img" aria-label="{in_markup(title)}" '
        f'font-family="system-ui, sans-serif"><style>{_STYLE}</style>{"".join(parts)}</svg>\n'
    )


def _legend(keys: Sequence[Key]) -> tuple[str, int]:
    """Write entries in lines as wide as the picture; return them with their height."""
    x, y, parts = float(_MARGIN), 0, []
    for key in keys:
        width = 24 + _LETTER * len(key.name) + 12
        if x > _MARGIN and x + width > WIDTH:
            x, y = float(_MARGIN), y + _LINE
        parts.append(_mark(key, x, y) + text_at(x + 24, y + 12, key.name, anchor="start"))
        x += width
    return "".join(parts), (y + _LINE + 4 if keys else 0)


def _mark(key: Key, x: float, y: int) -> str:
    dash = ' stroke-dasharray="5 3"' if key.dashed or is_repeated(key.color) else ""
    return f'<path d="M{x:.1f} {y + 8}h18" stroke="{stroke_of(key.color)}" stroke-width="4"{dash}/>'
