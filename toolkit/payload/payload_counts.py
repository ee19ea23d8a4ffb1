"""The counters of a flow's payloads: one row of float32, in the order of ``PAYLOAD``.

Every function here gets ``counts``, the rows of all flows one after another, and ``row``, where
the flow's own begins. Counts are exact up to 2**24.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from idskit.kernels.compile import kernel, signed
from idskit.schemas.payload_columns import BUCKETS, PAYLOAD

Counts = NDArray[np.float32]
Bytes = NDArray[np.uint8]
WIDTH = len(PAYLOAD)


@kernel
def count(counts: Counts, at: int) -> None:
    """Add one to a counter."""
    counts[at] += np.float32(1.0)


@kernel
def largest(counts: Counts, at: int, value: float) -> None:
    """Keep the larger of a counter and ``value``."""
    if value > counts[at]:
        counts[at] = np.float32(value)


@kernel
def number_of(data: Bytes, at: int, end: int, before: int = 0) -> int:
    """Return a number of 1 to 2**24 - 1 that stands for some bytes, and for a number before them.

    It is FNV-1a, folded: equal bytes have equal numbers, and other ones hardly ever.
    """
    found = 2166136261 ^ before
    for i in range(at, end):
        found = ((found ^ byte_at(data, i)) * 16777619) & 0xFFFFFFFF
    return max(1, (found >> 24) ^ (found & 0xFFFFFF))


@kernel
def put_into(counts: Counts, at: int, number: float) -> None:
    """Put a number of ``number_of`` into a set, of which a counter holds the bits."""
    bit = 1 << (int(number) % BUCKETS)
    counts[at] = np.float32(int(counts[at]) | bit)


@kernel
def byte_at(data: Bytes, at: int) -> int:
    """Return the byte at ``at``, which the caller has compared with the end of the payload."""
    return signed(data[at])


@kernel
def big16(data: Bytes, at: int) -> int:
    """Return two bytes as a number, the high byte first."""
    return (byte_at(data, at) << 8) | byte_at(data, at + 1)


@kernel
def little16(data: Bytes, at: int) -> int:
    """Return two bytes as a number, the low byte first."""
    return byte_at(data, at) | (byte_at(data, at + 1) << 8)


@kernel
def big32(data: Bytes, at: int) -> int:
    """Return four bytes as a number, the high byte first."""
    return (big16(data, at) << 16) | big16(data, at + 2)


@kernel
def little32(data: Bytes, at: int) -> int:
    """Return four bytes as a number, the low byte first."""
    return little16(data, at) | (little16(data, at + 2) << 16)


@kernel
def inside_tag(data: Bytes, at: int) -> int:
    """Return the offset of what a BER tag at ``at`` holds, X.690, 8.1.3; two bytes are there."""
    size = byte_at(data, at + 1)
    return at + 2 + (size & 0x7F if size & 0x80 else 0)


@kernel
def line_end(data: Bytes, at: int, end: int) -> int:
    """Return where the line at ``at`` ends: at a control character, or where the bytes do."""
    while at < end and byte_at(data, at) > 31:
        at += 1
    return at


@kernel
def is_letter(byte: int) -> bool:
    """Return whether a byte is an ASCII letter."""
    return 97 <= (byte | 32) <= 122


@kernel
def is_digit(byte: int) -> bool:
    """Return whether a byte is an ASCII digit."""
    return 48 <= byte <= 57
