"""Builds HTML and SVG in which every text is escaped, because nothing else can be built.

    element("p", "seen from ", name("<script>"))   ->  <p>seen from <bdi>&lt;script&gt;</bdi></p>

Styles are classes of ``assets/page.css``: the policy of the page forbids style attributes.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from idskit.report.text import in_markup

_VOID = frozenset(("br", "input", "link", "meta"))
DASH = "\u2013"  # stands for a value that is not known
_UNITS = ((86_400, "day"), (3_600, "h"), (60, "min"), (1, "s"))


class Markup(str):
    """Text that is markup already; every other text is escaped where it is put."""

    __slots__ = ()


Child = str | int | Iterable["Child"] | None


def element(tag: str, *children: Child, **attributes: str | float | bool | None) -> Markup:
    """Return an element; ``class_`` and ``data_label`` become ``class`` and ``data-label``.

    Attributes that are None or False are left out, those that are True have no value.
    """
    named = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{escaped(value)}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    inner = "".join(escaped(child) for child in children)
    return Markup(f"<{tag}{named}>" if tag in _VOID else f"<{tag}{named}>{inner}</{tag}>")


def escaped(child: Child | float) -> str:
    """Return markup as it is, nothing for None, and everything else escaped."""
    if isinstance(child, Markup):
        return child
    if child is None:
        return ""
    if isinstance(child, Iterable) and not isinstance(child, str):
        return "".join(escaped(one) for one in child)
    return in_markup(child)


def name(text: str, class_: str | None = None) -> Markup:
    """Return a text from the network, whose script cannot turn the sentence around it."""
    return element("bdi", text, class_=class_)


def icon(shape: str, class_: str = "icon") -> Markup:
    """Return one of the shapes below, in the colour of the text; words always stand next to it."""
    return Markup(
        f'<svg class="{class_}" viewBox="0 0 24 24" aria-hidden="true">{_SHAPES[shape]}</svg>'
    )


_SHAPES = {
    "well": '<circle cx="12" cy="12" r="10"/><path d="m7.5 12.3 3.2 3.2 6-6.6"/>',
    "high": '<path class="full" d="M12 1.5 22.5 12 12 22.5 1.5 12z"/>'
    '<path class="cut" d="M12 7v6m0 3.4v.2"/>',
    "medium": '<path d="M12 3 22.5 21H1.5z"/><path d="M12 9.5v5m0 3v.2"/>',
    "blind": '<path d="M2 12s4-6.5 10-6.5S22 12 22 12s-4 6.5-10 6.5S2 12 2 12z"/>'
    '<circle cx="12" cy="12" r="3"/><path d="M4 21 20 3"/>',
    "overloaded": '<path d="M3.5 18a10 10 0 1 1 17 0M12 13l5-5"/><circle cx="12" cy="13" r="1"/>',
    "learning": '<circle cx="12" cy="12" r="10" stroke-dasharray="4 3.2"/>'
    '<path d="M12 6.5V12l3.6 2.4"/>',
    "away": '<circle cx="12" cy="12" r="10" stroke-dasharray="2 3"/><path d="m8 8 8 8m0-8-8 8"/>',
    "up": '<path d="M12 20V5m-6 6 6-6 6 6"/>',
    "down": '<path d="m6 6 12 12M18 6 6 18"/>',
    "now": '<path d="M2 12h4l3-8 5 16 3-8h5"/>',
    "incidents": '<path d="M12 3 22 20.5H2z"/><path d="M12 10v4.5m0 2.6v.2"/>',
    "devices": '<rect x="2.5" y="4" width="13" height="10" rx="1.5"/><path d="M6 18h6"/>'
    '<rect x="17" y="9" width="5" height="11" rx="1"/>',
    "model": '<path d="M4 20V10m5.3 10V4m5.4 16v-7M20 20V7"/>',
    "settings": '<path d="M3 7h9m6 0h3M3 17h3m6 0h9"/><circle cx="15" cy="7" r="2.6"/>'
    '<circle cx="9" cy="17" r="2.6"/>',
}


def many(number: float, what: str, plural: str = "") -> str:
    """Return a number with its noun.

    Example:
        >>> many(1, "open incident"), many(12_000, "flow")
        ('1 open incident', '12,000 flows')
    """
    return f"{number:,.0f} {what if number == 1 else plural or f'{what}s'}"


def figure(number: float | None, unit: str = "") -> str:
    """Return a number with at most four digits before its decimals, or a dash for none."""
    if number is None:
        return DASH
    digits = f"{number:,.0f}" if abs(number) >= 1_000 else f"{number:,.3g}"
    return f"{digits} {unit}".rstrip()


def span(elapsed: timedelta) -> str:
    """Return how long something lasts, in its largest unit.

    Example:
        >>> span(timedelta(minutes=75)), span(timedelta(days=2, hours=5))
        ('75 min', '2 days')
    """
    seconds = max(int(elapsed.total_seconds()), 0)
    size, unit = next((pair for pair in _UNITS if seconds >= 2 * pair[0]), _UNITS[-1])
    number = seconds // size
    return f"{number} {unit}{'s' if unit == 'day' else ''}"


def since(moment: datetime | None, now: datetime | None) -> Markup:
    """Return how long ago a moment was, with the gateway's date and time of day as its title."""
    if moment is None:
        return element("span", DASH)
    words = clock(moment) if now is None else _ago(now - moment)
    return element("time", words, datetime=moment.isoformat(), title=clock(moment))


def at(moment: datetime | None) -> Markup:
    """Return a moment as the gateway's date and time of day."""
    if moment is None:
        return element("span", DASH)
    return element("time", clock(moment), datetime=moment.isoformat())


def _ago(elapsed: timedelta) -> str:
    return "just now" if elapsed < timedelta(seconds=10) else f"{span(elapsed)} ago"


def clock(moment: datetime) -> str:
    """Return a moment in the gateway's own time zone, as 14 Nov 2026, 22:13:05."""
    local = moment.astimezone()
    return f"{local.day} {local:%b %Y, %H:%M:%S}"
