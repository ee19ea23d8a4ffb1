"""Batches of flows as lines of CSV, printed by a kernel into one reused buffer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from idskit.extract.text_fields import FIELD_BYTES, Field, put_field
from idskit.kernels.compile import kernel, raw_pointer, signed
from idskit.kernels.digits import NUMBER_BYTES, put_double, put_text
from idskit.kernels.pointers import record_pointer
from idskit.profiles.flow_reader import FlowBatch
from idskit.schema import Schema

_Bytes = NDArray[np.uint8]

_BUFFER_BYTES = 1 << 20
_COMMA, _LINE_FEED = b",\n"


class _Layout(NamedTuple):
    """Layout of a line, as the kernel reads it."""

    head: NDArray[np.int64]  # kinds of the fields before the features
    tail: NDArray[np.int64]  # kinds of those behind them
    categories: NDArray[np.int64]  # (features,) how many a nominal column has, 0 for numbers
    first_word: NDArray[np.int64]  # (features,) its word for code -1, before that for 0
    words: _Bytes  # the text of all of them
    starts: NDArray[np.int64]  # (words + 1,) where each begins
    row_bytes: int  # no line is longer


class CsvRows:
    """Printer of flows of one schema.

    Attributes:
        header: the first line.
    """

    def __init__(self, schema: Schema, head: tuple[Field, ...], tail: tuple[Field, ...]) -> None:
        names = [field.column for field in head], schema.names, [field.column for field in tail]
        self.header = (",".join(name for part in names for name in part) + "\n").encode("ascii")
        self._layout = _layout(schema, head, tail)
        self._buffer = np.zeros(max(_BUFFER_BYTES, self._layout.row_bytes), np.uint8)

    def compile(self, nothing: FlowBatch) -> None:
        """Compile now what ``lines`` needs, with a batch of no flows."""
        values = nothing.features.reshape(-1)
        _put_rows(self._layout, nothing.flows, values, values.view(np.int64), 0, self._buffer)

    def lines(self, batch: FlowBatch) -> Iterator[memoryview]:
        """Yield the batch as whole lines, some at a time; a piece is valid until the next one."""
        first = 0
        values = batch.features.reshape(-1)
        while first < len(batch):
            first, end = _put_rows(
                self._layout, batch.flows, values, values.view(np.int64), first, self._buffer
            )
            yield self._buffer[:end].data


def _layout(schema: Schema, head: tuple[Field, ...], tail: tuple[Field, ...]) -> _Layout:
    words: list[bytes] = []
    first_word = []
    for feature in schema.features:
        first_word.append(len(words))
        if feature.categories:
            words += [name.encode("ascii") for name in ("unlisted", *feature.categories)]
    widest = max([NUMBER_BYTES, *map(len, words)])
    return _Layout(
        head=np.array([field.kind for field in head], np.int64),
        tail=np.array([field.kind for field in tail], np.int64),
        categories=np.array([len(feature.categories) for feature in schema.features], np.int64),
        first_word=np.array(first_word, np.int64),
        words=np.frombuffer(bytearray(b"".join(words)), np.uint8),
        starts=np.cumsum([0, *map(len, words)]),
        row_bytes=(len(head) + len(tail)) * (FIELD_BYTES + 1) + len(schema) * (widest + 1),
    )


@kernel
def _put_rows(
    layout: _Layout,
    flows: NDArray[np.void],
    values: NDArray[np.float64],
    bits: NDArray[np.int64],
    first: int,
    buffer: _Bytes,
) -> tuple[int, int]:
    """Print rows from ``first`` on while there is room for one more.

    ``values`` (rows * features,) and ``bits`` are the same memory. Returns the first row that was
    not printed, and where the text ends.
    """
    out, records, at, row = raw_pointer(buffer), record_pointer(flows), 0, first
    numbers, patterns = raw_pointer(values), raw_pointer(bits)
    features = len(layout.categories)
    while row < len(flows) and len(buffer) - at >= layout.row_bytes:
        for kind in layout.head:
            at = _close(out, put_field(out, at, records[row], kind))
        for column in range(features):
            cell = row * features + column
            if layout.categories[column]:
                at = _close(out, _put_category(out, at, layout, column, int(numbers[cell])))
            else:
                at = _close(out, put_double(out, at, signed(patterns[cell])))
        for kind in layout.tail:
            at = _close(out, put_field(out, at, records[row], kind))
        _end_line(out, at - 1)
        row += 1
    return row, at


@kernel
def _put_category(out: _Bytes, at: int, layout: _Layout, column: int, code: int) -> int:
    is_listed = 0 <= code < layout.categories[column]
    word = layout.first_word[column] + (code + 1 if is_listed else 0)
    return put_text(out, at, layout.words[layout.starts[word] : layout.starts[word + 1]])


@kernel
def _close(out: _Bytes, at: int) -> int:
    out[at] = _COMMA
    return at + 1


@kernel
def _end_line(out: _Bytes, at: int) -> None:
    out[at] = _LINE_FEED
