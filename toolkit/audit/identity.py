"""Columns that say which row or which host it is, by their name and by their values."""

from __future__ import annotations

import re
from ipaddress import ip_address

import numpy as np
from numpy.typing import NDArray

ADDRESS, TIME, ROW = "an address", "a time", "a row or flow number"
_SIDES = ("src", "source", "dst", "dest", "destination", "orig", "resp", "client", "server")
_NAMES = {
    **{side + end: ADDRESS for side in _SIDES for end in ("ip", "mac", "addr", "address", "host")},
    **dict.fromkeys(("ip", "mac", "idorigh", "idresph", "saddr", "daddr"), ADDRESS),
    **dict.fromkeys(("timestamp", "time", "ts", "date", "datetime", "starttime"), TIME),
    **dict.fromkeys(("endtime", "stime", "ltime", "firstseen", "lastseen"), TIME),
    **dict.fromkeys(("flowid", "id", "uid", "rowid", "index", "row", "unnamed", "pkseqid"), ROW),
}
LEAST_ROWS = 50
# All-distinct values of which chance would have repeated so many were drawn without replacement:
# e^-25 is the probability of that for values that do not know each other.
EXPECTED_REPEATS = 25.0


def identity_of_name(name: str) -> str:
    """What a column identifies to judge by its name, or empty."""
    return _NAMES.get(re.sub(r"[^a-z]", "", name.lower()), "")


def repeats_missing(values: NDArray[np.float64]) -> float:
    """Repeats that chance would have made among values that never repeat; 0 if they are no index.

    Numbers 0..n-1 in any order, scaled, shifted, or a random part of them, are all distinct and lie
    on a grid of few points. n independent draws from a grid of R points repeat about n^2 / 2R times
    (the birthday problem; more often where the points are not equally likely).
    """
    if len(values) < LEAST_ROWS or not np.isfinite(values).all():
        return 0.0
    ordered = np.sort(values)
    gaps = np.diff(ordered)
    if not gaps.all():
        return 0.0
    points = (ordered[-1] - ordered[0]) / gaps.min() + 1
    expected = float(len(values) ** 2 / (2 * points))
    return expected if expected >= EXPECTED_REPEATS else 0.0


def are_addresses(texts: tuple[str, ...]) -> bool:
    """Whether texts are IP addresses, by a look at up to a hundred of them."""
    looked = texts[:100]
    return bool(looked) and sum(map(_is_address, looked)) > 0.9 * len(looked)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
