"""Text from files and the network, made safe for a terminal and for a page.

A name may hold what a terminal obeys: escape sequences that set its title, clear it or type for
its user, line breaks that forge lines, and marks that turn the direction of text.
"""

from __future__ import annotations

import html


def visible(text: object, *, lines: bool = False) -> str:
    r"""Return the text with every character that would not be seen written as an escape.

    Control characters, line and paragraph breaks, marks of direction, surrogates and spaces other
    than the plain one become ``\x1b``, ``\u202e`` and so on; letters of all scripts stay.

    Args:
        text: anything, by its ``str``.
        lines: keep line breaks (``\n``), where what wrote them is known to be idskit itself.

    Example:
        >>> visible("scan\x1b[2J\nforged")
        'scan\\x1b[2J\\nforged'
    """
    words = str(text)
    if words.isprintable():
        return words
    return "".join(c if c.isprintable() or (lines and c == "\n") else _escape(c) for c in words)


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")


def cut(text: object, most: int) -> str:
    """Return ``visible(text)`` with at most so many characters; the last says that more follow.

    Example:
        >>> cut("a name from the network", 7)
        'a name…'
    """
    words = visible(text)
    return words if len(words) <= most else f"{words[: most - 1]}…"


def in_markup(text: object) -> str:
    """Return ``visible(text)`` for HTML and SVG: its tags and quotes mean nothing there."""
    return html.escape(visible(text, lines=True))


def shown(text: object) -> str:
    """Return ``visible(text)`` for rich's markup: its ``[red]`` and ``[link]`` mean nothing."""
    from rich.markup import escape

    return escape(visible(text))
