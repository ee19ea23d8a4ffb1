"""Recognise columns that identify rows or hosts, by their name and by their values."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import ip_address

import numpy as np
from numpy.typing import NDArray

ADDRESS, TIME, ROW = "an address", "a time", "a row or flow number"
HASH, SOURCE = "a hash, an address or another code", "a capture, session or device"
_SIDES = ("src", "source", "dst", "dest", "destination", "orig", "resp", "client", "server")
_NAMES = {
    **{side + end: ADDRESS for side in _SIDES for end in ("ip", "mac", "addr", "address", "host")},
    **dict.fromkeys(("ip", "mac", "idorigh", "idresph", "saddr", "daddr"), ADDRESS),
    **dict.fromkeys(("timestamp", "time", "ts", "date", "datetime", "starttime"), TIME),
    **dict.fromkeys(("endtime", "stime", "ltime", "firstseen", "lastseen"), TIME),
    **dict.fromkeys(("macaddress", "hostname", "flowkey"), ADDRESS),
    **dict.fromkeys(("capture", "captureid", "pcap", "pcapfile", "filename"), SOURCE),
    **dict.fromkeys(("session", "sessionid", "device", "deviceid", "connectionid"), SOURCE),
    **dict.fromkeys(("flowid", "id", "uid", "rowid", "index", "row", "unnamed", "pkseqid"), ROW),
}
LEAST_ROWS = 50
# If chance would have made at least this number of repeats and there is none, values were drawn
# without replacement: for independent values the probability of that is at most e^-8.
EXPECTED_REPEATS = 8.0
# Variance over mean of how often values occur in a counter of blocks, such as a row number divided
# by ten. Independent draws give 1 or more.
COUNTER_DISPERSION, COUNTER_VALUES, COUNTER_ROWS = 0.1, 20, 3
# Seconds, milliseconds, microseconds and nanoseconds since 1970, from 1998 to 2033.
EPOCHS = tuple((9e8 * unit, 2e9 * unit) for unit in (1, 1e3, 1e6, 1e9))
LEAST_CODE = 2**24  # traffic has no counts that are all larger
_ADDRESS = re.compile(r"\d{1,3}(\.\d{1,3}){3}\b|[0-9a-f]{2}([:-][0-9a-f]{2}){5}$", re.IGNORECASE)
_TIME = re.compile(r"\d{4}-\d\d?-\d\d?\b|\d\d?/\d\d?/\d{2,4}\b|\d\d?:\d\d(:\d\d)?")
_HASH = re.compile(
    r"(?=.*\d)([0-9a-f]{8,}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$", re.IGNORECASE
)


def identity_of_name(name: str) -> str:
    """Return what a column identifies by its name, or an empty text."""
    return _NAMES.get(re.sub(r"[^a-z]", "", name.lower()), "")


def repeats_missing(values: NDArray[np.float64]) -> float:
    """Return the repeats that chance would have made among distinct values; 0 if no index.

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


def counter_dispersion(values: NDArray[np.float64]) -> float | None:
    """Return variance over mean of how often values of a block counter occur, else None."""
    if not np.isfinite(values).all():
        return None
    _, counts = np.unique(values, return_counts=True)
    if len(counts) < COUNTER_VALUES or counts.mean() < COUNTER_ROWS:
        return None
    inner = counts[1:-1]  # the first and the last block may be cut
    if counts.max() > 2 * inner.mean():  # many rows at 0 are no block
        return None
    dispersion = float(inner.var() / inner.mean())
    return dispersion if dispersion <= COUNTER_DISPERSION else None


def identity_of_values(values: NDArray[np.float64], texts: tuple[str, ...]) -> str:
    """Return what a column identifies by its numbers or up to a hundred texts, or ""."""
    if texts:
        return _identity_of_texts(texts[:100])
    found = values[~np.isnan(values)]
    if not len(found) or found.min() == found.max():
        return ""
    if any(low <= found.min() and found.max() <= high for low, high in EPOCHS):
        return TIME
    coded = np.isfinite(found).all() and (np.abs(found) >= LEAST_CODE).all()
    return HASH if coded and (found == np.round(found)).all() else ""


def _identity_of_texts(texts: tuple[str, ...]) -> str:
    kinds: dict[str, Callable[[str], object]] = {
        ADDRESS: _is_address,
        TIME: _TIME.match,
        HASH: _HASH.match,
    }
    for what, is_one in kinds.items():
        if sum(bool(is_one(text)) for text in texts) > 0.9 * len(texts):
            return what
    return ""


def _is_address(text: str) -> bool:
    """Return whether a text is, or begins with, an IP or MAC address, as flow numbers do."""
    if _ADDRESS.match(text):
        return True
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
