"""Notices about frames that the kernel drops, while it drops them."""

from __future__ import annotations

import time
from collections.abc import Callable

FIRST_S, LONGEST_S = 10.0, 600.0  # pause between notices, which doubles


class DropNotices:
    """Notices of how many frames were dropped: at once, then ever less often."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say
        self._not_before_s, self._pause_s = 0.0, FIRST_S

    def __call__(self, dropped: int) -> None:
        """Print a notice, unless the last one was a short time ago."""
        now = time.monotonic()
        if now < self._not_before_s:
            return
        self._say(
            f"{dropped:,} frames were dropped by the kernel until now: they come faster than they "
            "are read"
        )
        self._not_before_s = now + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_S)
