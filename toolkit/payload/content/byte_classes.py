"""Classes of the bytes of a payload: what kind of content it is, whatever the protocol."""

from __future__ import annotations

import numpy as np

from idskit.kernels.bitset import count as members
from idskit.kernels.compile import kernel
from idskit.payload.payload_counts import Bytes, Counts, is_digit, is_letter
from idskit.schemas.payload_columns import BYTE_CLASSES

EXAMINED = 256  # bytes of a payload whose classes are counted
_NONE = np.uint64(0)
_DISTINCT, _RUN, _TOKEN = (BYTE_CLASSES.index(name) for name in ("distinct", "run", "token"))


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


def _is_token(byte: int) -> bool:
    """Return whether a byte is of the base64 alphabets, RFC 4648."""
    return is_letter(byte) or is_digit(byte) or byte in (43, 45, 47, 61, 95)


_FIELD = 9  # bits of a count, up to EXAMINED: those of all classes are summed in one number
_ONE = np.array([1 << _FIELD * _class_of(byte) for byte in range(256)], np.int64)
_KEEP = np.array([-_is_token(byte) for byte in range(256)], np.int64)  # -1: of a token, else 0


@kernel
def note_byte_classes(counts: Counts, row: int, data: Bytes, at: int, end: int) -> None:
    """Write the shares of byte classes, and the longest run and token, from counter ``row`` on."""
    end = min(end, at + EXAMINED)
    size = np.float32(max(end - at, 1))
    classes = _count_classes(data, at, end)
    for i in range(_DISTINCT):  # the shares are the first columns
        counts[row + i] = np.float32((classes >> (_FIELD * i)) & (2 * EXAMINED - 1)) / size
    counts[row + _DISTINCT] = np.float32(_distinct(data, at, end)) / size
    counts[row + _RUN], counts[row + _TOKEN] = _longest(data, at, end)


@kernel
def _count_classes(data: Bytes, at: int, end: int) -> int:
    """Return the number of bytes of each class, ``_FIELD`` bits each."""
    classes = 0
    for i in range(at, end):
        classes += _ONE[data[i]]
    return classes


@kernel
def _longest(data: Bytes, at: int, end: int) -> tuple[int, int]:
    """Return the length of the longest run of one byte, and of the longest token."""
    run = token = longest_run = longest_token = 0
    for i in range(at, end):
        run = run + 1 if i > at and data[i] == data[i - 1] else 1
        token = (token + 1) & _KEEP[data[i]]
        longest_run, longest_token = max(longest_run, run), max(longest_token, token)
    return longest_run, longest_token


@kernel
def _distinct(data: Bytes, at: int, end: int) -> int:
    """Count the values that occur, which four words note: an array would have to be allocated."""
    a = b = c = d = np.uint64(0)
    for i in range(at, end):
        seen, quarter = np.uint64(1) << np.uint64(data[i] & 63), data[i] >> 6
        a |= seen if quarter == 0 else _NONE
        b |= seen if quarter == 1 else _NONE
        c |= seen if quarter == 2 else _NONE
        d |= seen if quarter == 3 else _NONE
    return members(a) + members(b) + members(c) + members(d)
