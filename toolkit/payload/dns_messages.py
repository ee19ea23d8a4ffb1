"""DNS messages, RFC 1035: their names, types and answers. mDNS and LLMNR have the same form."""

from __future__ import annotations

import numpy as np

from idskit.kernels.compile import kernel
from idskit.payload.payload_counts import (
    Bytes,
    Counts,
    big16,
    byte_at,
    count,
    is_digit,
    is_letter,
    largest,
    number_of,
)
from idskit.schemas.payload_columns import COLUMN

_QUERIES, _ANSWERS = COLUMN["dns_queries"], COLUMN["dns_answers"]
_NO_SUCH_NAME, _FAILURES = COLUMN["dns_no_such_name"], COLUMN["dns_failures"]
_NAME, _LABEL, _LABELS = (
    COLUMN[name] for name in ("dns_name_length", "dns_label_length", "dns_labels")
)
_DIGITS, _DISTINCT = COLUMN["dns_name_digits"], COLUMN["dns_name_distinct"]
_TEXT, _ADDRESS, _OTHER = (COLUMN[f"dns_{kind}_types"] for kind in ("text", "address", "other"))
_RECORDS, _ODD = COLUMN["dns_answer_records"], COLUMN["dns_odd_types"]
_ASKED = COLUMN["asked"]
_HEADER = 12
_LONGEST_NAME = 255


@kernel
def note_dns(counts: Counts, row: int, data: Bytes, at: int, end: int) -> bool:
    """Count a message; False if the bytes are none."""
    if end - at < _HEADER + 5:
        return False
    flags, questions = big16(data, at + 2), big16(data, at + 4)
    if (flags >> 11) & 15 > 6 or questions > 16:
        return False
    if flags & 0x8000:
        _note_answer(counts, row, flags & 15, big16(data, at + 6))
    else:
        count(counts, row + _QUERIES)
    if questions:
        _note_question(counts, row, data, at + _HEADER, end)
    return True


@kernel
def _note_answer(counts: Counts, row: int, code: int, records: int) -> None:
    count(counts, row + _ANSWERS)
    largest(counts, row + _RECORDS, records)
    if code == 3:
        count(counts, row + _NO_SUCH_NAME)
    elif code:
        count(counts, row + _FAILURES)


@kernel
def _note_question(counts: Counts, row: int, data: Bytes, at: int, end: int) -> None:
    """Note the name and type of the first question."""
    start, labels, digits, longest = at, 0, 0, 0
    seen = np.uint64(0)  # letters a to z, digits, and one for all others
    while at < end and byte_at(data, at) and at - start < _LONGEST_NAME:
        size = byte_at(data, at)
        if size > 63:
            break
        for i in range(at + 1, min(at + 1 + size, end)):
            byte = byte_at(data, i)
            digits += is_digit(byte)
            seen |= np.uint64(1) << np.uint64(_letter_number(byte))
        labels, longest = labels + 1, max(longest, size)
        at += 1 + size
    length = min(at, end) - start
    counts[row + _ASKED] = number_of(data, start, start + length)
    _note_name(counts, row, length, labels, longest, digits, seen)
    if at + 3 <= end and byte_at(data, at) == 0:  # else the name is compressed or too long
        _note_type(counts, row, big16(data, at + 1))


@kernel
def _letter_number(byte: int) -> int:
    if is_letter(byte):
        return (byte | 32) - 97
    return byte - 48 + 26 if is_digit(byte) else 36


@kernel
def _note_name(
    counts: Counts, row: int, length: int, labels: int, longest: int, digits: int, seen: np.uint64
) -> None:
    distinct = 0
    for bit in range(37):
        distinct += int((seen >> np.uint64(bit)) & np.uint64(1))
    letters = max(length - labels, 1)
    largest(counts, row + _NAME, length)
    largest(counts, row + _LABEL, longest)
    largest(counts, row + _LABELS, labels)
    largest(counts, row + _DIGITS, digits / letters)
    largest(counts, row + _DISTINCT, distinct / letters)


@kernel
def _note_type(counts: Counts, row: int, kind: int) -> None:
    """Count a type: text (TXT, NULL, ANY, KEY), addresses (A, AAAA, HTTPS), others.

    Odd are those that nobody asks for: NULL, SIG (RFC 3755), and private ones (RFC 6895).
    """
    if kind in (10, 24) or 65280 <= kind < 65535:
        count(counts, row + _ODD)
    if kind in (16, 10, 255, 25):
        count(counts, row + _TEXT)
    elif kind in (1, 28, 65):
        count(counts, row + _ADDRESS)
    else:
        count(counts, row + _OTHER)
