"""Bound the lines of each label: whatever is sent past the sensor, its disk fills slowly."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

BURST = 1000  # lines per label at once
PER_SECOND = 1.0  # lines per label from then on


@dataclass
class _Bucket:
    """Token bucket of lines: at most BURST, and PER_SECOND more."""

    latest_us: int
    lines: float = BURST
    withheld: int = 0  # since the last line

    def takes(self, now_us: int) -> bool:
        """Return whether a line may be written now, and count it as written."""
        passed_s = (
            max(0, now_us - self.latest_us) / 1e6
        )  # flows end out of order; no time counts twice
        self.latest_us = max(self.latest_us, now_us)
        self.lines = min(BURST, self.lines + passed_s * PER_SECOND)
        if self.lines < 1:
            return False
        self.lines -= 1
        return True


class Throttle:
    """Bound on the lines of each label, which counts those withheld.

    A model has few labels, so its memory is bounded too.

    Attributes:
        withheld: number of lines that were not to be written, by label.

    Example:
        >>> throttle = Throttle()
        >>> sum(throttle.admits("flood", now_us=0) is not None for _ in range(200_000))
        1000
        >>> throttle.admits("flood", now_us=2_000_000)
        199000
    """

    def __init__(self) -> None:
        self.withheld: Counter[str] = Counter()
        self._buckets: dict[str, _Bucket] = {}

    def admits(self, label: str, now_us: int) -> int | None:
        """Return None if a line is withheld, else how many of its label were since the last."""
        bucket = self._buckets.setdefault(label, _Bucket(now_us))
        if not bucket.takes(now_us):
            bucket.withheld += 1
            self.withheld[label] += 1
            return None
        withheld, bucket.withheld = bucket.withheld, 0
        return withheld
