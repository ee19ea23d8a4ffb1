"""The median and the 99th percentile of every column, of a bounded sample of flows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idskit.schema import Schema

MOST_ROWS = 2_048  # of a protocol
PROTOCOLS = ("tcp", "udp", "icmp")  # where the column is_tcp is 1, and so on
ANY = "any"  # all of them
LEVELS = {"p50": 50.0, "p99": 99.0}
_LEAST_ROWS = 100  # a 99th percentile of fewer is the largest of them

Quantiles = Mapping[str, Mapping[str, list[float]]]


class ColumnSample:
    """A sample of rows of a stream, in which every row is as likely (Vitter, 1985)."""

    def __init__(self, schema: Schema) -> None:
        flags = [f"is_{protocol}" for protocol in PROTOCOLS]
        self._flags = [schema.names.index(flag) if flag in schema.names else -1 for flag in flags]
        self._rows: dict[str, list[NDArray[np.float32]]] = {}
        self._seen: dict[str, int] = {}
        self._random = np.random.default_rng(0)  # the same traffic gives the same file

    def add(self, row: NDArray[np.float64]) -> None:
        """Offer a row (d,) of features."""
        if not np.isfinite(row).all():
            return
        for protocol, at in zip(PROTOCOLS, self._flags, strict=True):
            if at >= 0 and row[at] > 0:
                self._offer(protocol, row)
        self._offer(ANY, row)

    def quantiles(self) -> dict[str, dict[str, list[float]]]:
        """Return lists of d values by protocol and by LEVELS, where enough rows were seen."""
        return {
            protocol: _levels(np.array(rows))
            for protocol, rows in sorted(self._rows.items())
            if len(rows) >= _LEAST_ROWS
        }

    def _offer(self, protocol: str, row: NDArray[np.float64]) -> None:
        rows = self._rows.setdefault(protocol, [])
        self._seen[protocol] = self._seen.get(protocol, 0) + 1
        if len(rows) < MOST_ROWS:
            rows.append(row.astype(np.float32))
            return
        drawn = int(self._random.integers(self._seen[protocol]))
        if drawn < MOST_ROWS:
            rows[drawn] = row.astype(np.float32)


def quantiles_of(found: Any, width: int) -> dict[str, dict[str, list[float]]]:
    """Read the quantiles of a document.

    Raises:
        KeyError, TypeError, ValueError: they are damaged.
    """
    read = {}
    for protocol in (*PROTOCOLS, ANY):
        if protocol in found:
            read[protocol] = {name: _row(found[protocol][name], width) for name in LEVELS}
    return read


def _row(values: Any, width: int) -> list[float]:
    row = np.array(values, np.float64)
    if row.shape != (width,) or not np.isfinite(row).all():
        raise ValueError(f"{width} finite numbers were expected")
    return [float(value) for value in row]


def _levels(rows: NDArray[np.float32]) -> dict[str, list[float]]:
    levels = np.percentile(rows, list(LEVELS.values()), axis=0)
    return {
        name: [float(f"{value:.6g}") for value in level]
        for name, level in zip(LEVELS, levels, strict=True)
    }
