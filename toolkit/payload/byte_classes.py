"""Classes of the bytes of a payload: what kind of content it is, whatever the protocol."""

from __future__ import annotations

import numpy as np

from idskit.kernels.compile import kernel
from idskit.payload.payload_counts import Bytes, Counts, byte_at, is_digit, is_letter, largest
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
    """Write the shares of byte classes, and the longest run and token, from counter ``row`` on."""
    end = min(end, at + EXAMINED)
    share = np.float32(1.0 / max(end - at, 1))
    seen = np.zeros(4, np.uint64)
    run = token = 0
    before = -1
    for i in range(at, end):
        byte = byte_at(data, i)
        counts[row + _class_of(byte)] += share
        word, bit = byte >> 6, np.uint64(1) << np.uint64(byte & 63)
        if not seen[word] & bit:
            seen[word] |= bit
            counts[row + _DISTINCT] += share
        run = run + 1 if byte == before else 1
        token = token + 1 if _is_token(byte) else 0
        largest(counts, row + _RUN, run)
        largest(counts, row + _TOKEN, token)
        before = byte
