"""Find slots by a 32-bit hash: open addressing with linear probing.

The tables of flows and of hosts both use it. Removal shifts the entries behind it back, so there
are no marks of removed entries, and the index is never rebuilt.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from idskit.kernels.compile import kernel

_Records = NDArray[np.void]

INDEX_ENTRY = np.dtype([("tag", "<u4"), ("slot", "<u4")])  # slot plus one; 0 is empty


def make_index(capacity: int) -> _Records:
    """Return an index for ``capacity`` slots, at most half full; its size is a power of two."""
    return np.zeros(1 << (2 * capacity - 1).bit_length(), INDEX_ENTRY)


@kernel
def put(hash_index: _Records, mask: int, slot: int, tag: int) -> None:
    """Insert a slot under its tag."""
    at = tag & mask
    while hash_index[at]["slot"]:
        at = (at + 1) & mask
    hash_index[at]["tag"], hash_index[at]["slot"] = tag, slot + 1


@kernel
def drop(hash_index: _Records, mask: int, slot: int, tag: int) -> None:
    """Remove a slot that was entered under ``tag``."""
    hole = tag & mask
    while hash_index[hole]["slot"] != slot + 1:
        hole = (hole + 1) & mask
    at = (hole + 1) & mask
    while hash_index[at]["slot"]:
        home = int(hash_index[at]["tag"]) & mask
        if ((at - home) & mask) >= ((at - hole) & mask):
            hash_index[hole]["tag"], hash_index[hole]["slot"] = (
                hash_index[at]["tag"],
                hash_index[at]["slot"],
            )
            hole = at
        at = (at + 1) & mask
    hash_index[hole]["slot"] = 0
