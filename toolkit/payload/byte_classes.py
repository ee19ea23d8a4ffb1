"""Classes of the bytes of a payload: what kind of content it is, whatever the protocol."""

from __future__ import annotations

import numpy as np

from idskit.kernels.bitset import count as members
from idskit.kernels.compile import kernel
from idskit.payload.payload_counts import (
    Bytes,
    Counts,
    byte_at,
    count,
    is_digit,
    is_letter,
    largest,
)
from idskit.schemas.payload_columns import BYTE_CLASSES

EXAMINED = 256  # bytes of a payload whose classes are counted
_DISTINCT, _RUN, _TOKEN = (BYTE_CLASSES.index(name) for name in ("distinct", "run", "token"))


@kernel
def _class_of(byte: int) -> int:
    """Return the number of a byte's class, in the order of ``BYTE_CLASSES``."""
    if is_letter(byte):
        return 0
    if is_digit(byte):
        return 1
    if 33 <= byte <= 126:
        return 2
    if byte in (9, 10, 13, 32):
        return 3
    if byte == 0:
        return 5
    return 6 if byte >= 128 else 4


@kernel
def _is_token(byte: int) -> bool:
    """Return whether a byte is of the base64 alphabets, RFC 4648."""
    return is_letter(byte) or is_digit(byte) or byte in (43, 45, 47, 61, 95)


@kernel
def note_byte_classes(counts: Counts, row: int, data: Bytes, at: int, end: int) -> None:
    """Write the shares of byte classes, and the longest run and token, from counter ``row`` on.

    The counters are 0 before: this is done once for each direction of a flow.
    """
    end = min(end, at + EXAMINED)
    run = token = 0
    before = -1
    for i in range(at, end):
        byte = byte_at(data, i)
        count(counts, row + _class_of(byte))
        run = run + 1 if byte == before else 1
        token = token + 1 if _is_token(byte) else 0
        largest(counts, row + _RUN, run)
        largest(counts, row + _TOKEN, token)
        before = byte
    counts[row + _DISTINCT] = np.float32(_distinct(data, at, end))
    for i in range(row, row + _DISTINCT + 1):  # the shares are the first columns
        counts[i] /= np.float32(max(end - at, 1))


@kernel
def _distinct(data: Bytes, at: int, end: int) -> int:
    """Count the values that occur, which four words note: an array would have to be allocated."""
    a = b = c = d = np.uint64(0)
    for i in range(at, end):
        byte = byte_at(data, i)
        seen = np.uint64(1) << np.uint64(byte & 63)
        if byte < 64:
            a |= seen
        elif byte < 128:
            b |= seen
        elif byte < 192:
            c |= seen
        else:
            d |= seen
    return members(a) + members(b) + members(c) + members(d)
