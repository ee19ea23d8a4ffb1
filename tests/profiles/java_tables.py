"""Tables that the two Java CICFlowMeters wrote, and how ours differ from them."""

from __future__ import annotations

import csv
import gzip
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

IDENTITY = 7  # columns before the features; a Label comes behind them
TOOLS = {"cic-fixed": ("engelen", "engelen-2021-fix"), "cic-original": ("orig", "4.0")}
RELATIVE = 1e-6


def cases(shared: Path, schema: str) -> dict[str, tuple[Path, Path]]:
    """Capture and Java table of every case that has both, by name."""
    folder = shared / "data" / "pcap"
    golden, reference = TOOLS[schema]
    found = {
        table.stem: (folder / "golden" / f"{table.stem}.pcap", table)
        for table in sorted((folder / "golden" / golden).glob("*.csv"))
    }
    for table in sorted(folder.glob(f"flow-reference/*/cicflowmeter-{reference}.csv*")):
        found[table.parent.name] = (table.parent / "capture.pcap", table)
    return found


def read_table(path: Path) -> tuple[list[str], list[list[str]]]:
    """Header and rows."""
    opened: Any = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", newline="") as file:
        header, *rows = csv.reader(file)
    return header, rows


@dataclass
class Comparison:
    cells: int = 0
    missing: list[tuple[str, ...]] = field(default_factory=list)
    extra: list[tuple[str, ...]] = field(default_factory=list)
    differing: list[tuple[Any, ...]] = field(default_factory=list)


def compare(ours: Path, java: Path) -> Comparison:
    """Match the flows by their identity and the order of their ends, then every number.

    Flows of IPv6, which the Java tools do not read, are left out.
    """
    header, expected = read_table(java)
    our_header, rows = read_table(ours)
    assert our_header == header
    by_identity: dict[tuple[str, ...], list[list[str]]] = defaultdict(list)
    for row in rows:
        if ":" not in row[1]:
            by_identity[tuple(row[:IDENTITY])].append(row)
    result = Comparison()
    for row in expected:
        identity = tuple(row[:IDENTITY])
        if not by_identity[identity]:
            result.missing.append(identity)
            continue
        mine = numbers(by_identity[identity].pop(0))
        theirs = numbers(row)
        result.cells += len(theirs)
        for column in np.flatnonzero(~_same(mine, theirs)):
            cell = (*identity, header[IDENTITY + column], theirs[column], mine[column])
            result.differing.append(cell)
    result.extra = [identity for identity, left in by_identity.items() for _ in left]
    return result


def numbers(row: list[str]) -> NDArray[np.float64]:
    return np.array([float(text) for text in row[IDENTITY:-1]])


def _same(mine: NDArray[np.float64], theirs: NDArray[np.float64]) -> NDArray[np.bool_]:
    both_nan = np.isnan(mine) & np.isnan(theirs)
    with np.errstate(invalid="ignore"):
        close = np.abs(mine - theirs) <= RELATIVE * np.abs(theirs)
    return close | (mine == theirs) | both_nan
