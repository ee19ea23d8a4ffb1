"""Measure what is usual in labelled captures; it writes the table that ``usual`` reads.

    python -m idskit.explain.measure_usual DATA... > toolkit/explain/usual.csv

DATA are folders of labelled captures, as ``idskit train captures`` reads them. Of each capture at
most ``MOST`` benign flows count, drawn at random: one long capture is not the world.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from idskit.attack_families import BENIGN
from idskit.data.capture_labels import Capture, find_captures
from idskit.data.labelled_captures import read_capture
from idskit.explain.usual import ANY, P50, P99, PROTOCOLS, protocol_of
from idskit.schema import Schema
from idskit.schemas.gateway_columns import GATEWAY_PACKETS

MOST = 100
SEED = 0


def main(folders: Sequence[str]) -> None:
    """Print the table of the benign flows of labelled captures."""
    captures = find_captures([Path(folder) for folder in folders])
    sys.stdout.write(usual_table(GATEWAY_PACKETS, list(_benign(captures, GATEWAY_PACKETS))))


def _benign(captures: Sequence[Capture], schema: Schema) -> Iterator[NDArray[np.float32]]:
    """Yield the benign rows of every capture that has some, at most MOST of each."""
    rng = np.random.default_rng(SEED)
    for capture in captures:
        read = read_capture(capture, schema)
        rows = read.rows[read.families == BENIGN]
        if len(rows):
            yield rows[np.sort(rng.permutation(len(rows))[:MOST])]


def usual_table(schema: Schema, captures: Sequence[NDArray[np.float32]]) -> str:
    """Return the table of the benign flows of captures, (flows, features) of each, as CSV."""
    rows = np.concatenate(captures)
    kinds = np.array([protocol_of(schema, row) for row in rows])
    found: dict[str, NDArray[np.float64]] = {}
    for kind in (ANY, *PROTOCOLS):
        chosen = rows if kind == ANY else rows[kinds == kind]
        found |= {f"{kind}_p50": _quantile(chosen, P50), f"{kind}_p99": _quantile(chosen, P99)}
    out = StringIO()
    out.write(f"# {len(rows):,} benign flows of {len(captures):,} public captures\n")
    lines = csv.writer(out, lineterminator="\n")
    lines.writerow(("column", *found))
    for place, name in enumerate(schema.names):
        lines.writerow((name, *(f"{values[place]:.5g}" for values in found.values())))
    return out.getvalue()


def _quantile(rows: NDArray[np.float32], share: float) -> NDArray[np.float64]:
    """Return a quantile of every column that some flow has: a median of flags is a flag."""
    return np.asarray(np.quantile(rows, share, axis=0, method="lower"), np.float64)


if __name__ == "__main__":
    main(sys.argv[1:])
