"""Fragments of a flow's packets: whoever sends tiny, overlapping or missing ones hides something.

An open flow keeps sixteen bytes for it, which are not touched where no packet came in fragments.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from idskit.kernels.compile import kernel, signed

_Record = np.void
_Records = NDArray[np.void]
_Row = NDArray[np.float64]

EVIDENCE = np.dtype(
    [("fragments", "<u4"), ("tiny", "<u4"), ("overlapping", "<u4"), ("incomplete", "<u4")],
    align=True,
)


@kernel
def note_fragments(evidence: _Records, slot: int, flow: _Record, packet: _Record) -> None:
    """Count the fragments that a packet of the flow came in."""
    if packet["fragments"] == 0:
        return
    found = evidence[slot]
    if not flow["fragmented"]:
        flow["fragmented"] = 1
        found["fragments"] = found["tiny"] = found["overlapping"] = found["incomplete"] = 0
    found["fragments"] += signed(packet["fragments"])
    found["tiny"] += signed(packet["tiny_fragments"])
    found["overlapping"] += signed(packet["overlapping_fragments"])
    found["incomplete"] += signed(packet["incomplete"])


@kernel
def put_fragments(row: _Row, at: int, evidence: _Records, slot: int, flow: _Record) -> int:
    """Write the four columns of a flow."""
    if not flow["fragmented"]:
        row[at] = row[at + 1] = row[at + 2] = row[at + 3] = 0.0
        return at + 4
    found = evidence[slot]
    row[at], row[at + 1] = found["fragments"], found["tiny"]
    row[at + 2], row[at + 3] = found["overlapping"], found["incomplete"]
    return at + 4
