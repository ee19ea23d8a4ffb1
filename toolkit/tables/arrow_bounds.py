"""Bounds of Arrow IPC files, checked in their metadata before pyarrow sees them.

A packed buffer states how long it is unpacked, and Arrow takes as much memory at once; pyarrow
shows neither that nor the number of rows without reading them. In the metadata any number of places
may point to the same bytes, of which Arrow makes as many copies.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from struct import unpack_from
from typing import BinaryIO

from idskit.errors import DataError
from idskit.tables.content import (
    MOST_METADATA,
    MOST_OPEN_BYTES,
    most_unpacked,
    require_cells,
    unpacks_too_much,
)
from idskit.tables.lines import MOST_COLUMNS, too_many_columns

MOST_FIELDS = 4 * MOST_COLUMNS  # columns within columns count as well
_END = b"ARROW1"
_BLOCK_BYTES, _BUFFER_BYTES, _TEXT_BYTES = 24, 16, 64
# Numbers of fields in Arrow's File.fbs, Message.fbs and Schema.fbs.
_FOOTER_SCHEMA, _DICTIONARIES, _BATCHES, _FOOTER_TEXTS = 1, 2, 3, 4
_HEADER_KIND, _HEADER, _BODY_LENGTH, _MESSAGE_TEXTS = 1, 2, 3, 4
_OF_SCHEMA, _OF_DICTIONARY, _OF_BATCH = 1, 2, 3  # kinds of headers
_DATA = 1
_LENGTH, _BUFFERS, _COMPRESSION = 0, 2, 3
_FIELDS, _SCHEMA_TEXTS = 1, 2
_NAME, _TYPE_KIND, _TYPE, _CHILDREN, _FIELD_TEXTS = 0, 2, 3, 5, 6
_WITH_VECTOR = (10, 14)  # types whose second field is a text or list: time stamps, unions


@dataclass(frozen=True, kw_only=True)
class _Batch:
    """What the metadata of a batch state."""

    is_dictionary: bool
    rows: int
    unpacked: int  # bytes of all its buffers


def require_arrow_bounds(path: Path) -> int:
    """Refuse an Arrow file that states what no table of flows has; return its number of rows.

    Raises:
        DataError: it does, or its metadata is damaged.
    """
    with _explained(path), path.open("rb") as file:
        footer = _footer(file, path.stat().st_size)
        columns = _require_schema(path, footer.table(_FOOTER_SCHEMA))
        _require_texts(path, _texts(footer, _FOOTER_TEXTS))
        batches = list(_batches(path, file, footer))
    _require_sizes(path, batches)
    rows = sum(batch.rows for batch in batches if not batch.is_dictionary)
    coded = sum(batch.rows for batch in batches if batch.is_dictionary)
    require_cells(path, rows * columns + coded, rows)
    return rows


def require_schema_bounds(path: Path, stored: bytes) -> None:
    """Refuse a message, as Parquet keeps the schema of Arrow, that becomes more than it is.

    Raises:
        DataError: it does, or it is damaged.
    """
    with _explained(path):
        message = _message(stored)
        if message.number(_HEADER_KIND, "<B") != _OF_SCHEMA:
            raise ValueError("no schema")
        _require_texts(path, _texts(message, _MESSAGE_TEXTS))
        _require_schema(path, message.table(_HEADER))


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (struct.error, ValueError, IndexError) as error:
        raise DataError(
            f"table {path} cannot be read as Arrow: its metadata is damaged; fetch or write it "
            "again"
        ) from error


def _require_sizes(path: Path, batches: list[_Batch]) -> None:
    if sum(batch.unpacked for batch in batches) > most_unpacked(path):
        raise unpacks_too_much(path)
    dictionaries = sum(batch.unpacked for batch in batches if batch.is_dictionary)
    largest = max((b.unpacked for b in batches if not b.is_dictionary), default=0)
    if dictionaries + largest > MOST_OPEN_BYTES:
        raise DataError(
            f"{path} has a batch of which, with dictionaries, {dictionaries + largest:,} bytes are "
            f"unpacked at once, and {MOST_OPEN_BYTES:,} is the most: write it in smaller batches "
            "(max_chunksize=100000)"
        )


def _require_schema(path: Path, schema: _Table) -> int:
    """Refuse a schema of too many fields or texts; return the number of columns."""
    length = _texts(schema, _SCHEMA_TEXTS)
    for field in _fields(path, schema):
        length += _texts_of_field(field)
        _require_texts(path, length)
    columns = schema.vector(_FIELDS)[1]
    if columns > MOST_COLUMNS:
        raise too_many_columns(path, columns)
    return columns


def _fields(path: Path, schema: _Table) -> Iterator[_Table]:
    """Yield the fields of a schema and those within them, one as often as it is pointed to."""
    found, count = [(schema, _FIELDS)], 0
    while found:
        table, place = found.pop()
        for field in table.tables(place, MOST_FIELDS):
            count += 1
            if count > MOST_FIELDS:
                raise too_many_columns(path, count)
            found.append((field, _CHILDREN))
            yield field


def _texts_of_field(field: _Table) -> int:
    """Return how many bytes of texts and lists a field has, without its children."""
    length = field.vector(_NAME)[1] + _texts(field, _FIELD_TEXTS)
    if field.number(_TYPE_KIND, "<B") in _WITH_VECTOR:
        length += 4 * field.table(_TYPE).vector(1)[1]
    return length


def _texts(table: _Table, place: int) -> int:
    """Return how many bytes the pairs of texts at ``place`` take."""
    length = 0
    for pair in table.tables(place, MOST_METADATA // _TEXT_BYTES):
        length += _TEXT_BYTES + pair.vector(0)[1] + pair.vector(1)[1]
        if length > MOST_METADATA:
            break
    return length


def _require_texts(path: Path, length: int) -> None:
    if length > MOST_METADATA:
        raise DataError(
            f"{path} has names and notes of more than {MOST_METADATA:,} bytes in its metadata, "
            "which no real table has: write it without them (replace_schema_metadata), or as CSV"
        )


def _footer(file: BinaryIO, size: int) -> _Table:
    file.seek(max(size - 10, 0))
    length, mark = unpack_from("<i6s", file.read(10))
    if mark != _END or not 0 < length <= min(size - 10, MOST_METADATA):
        raise ValueError("no footer")
    file.seek(size - 10 - length)
    return _Table.root(file.read(length))


def _batches(path: Path, file: BinaryIO, footer: _Table) -> Iterator[_Batch]:
    """Yield what the batches state that the footer lists, and refuse those that share bytes."""
    size, used = path.stat().st_size, 0
    for field in (_DICTIONARIES, _BATCHES):
        data, count, at = footer.vector(field)
        for block in range(count):
            offset, metadata, body = unpack_from("<qi4xq", data, at + _BLOCK_BYTES * block)
            used += metadata + body
            if min(offset, body) < 0 or metadata < 8 or max(offset + metadata + body, used) > size:
                raise ValueError("a batch outside of the file, or two in one place")
            yield _stated(path, file, offset, metadata, body)


def _stated(path: Path, file: BinaryIO, offset: int, length: int, body: int) -> _Batch:
    """Read the metadata of a batch."""
    if length > MOST_METADATA:
        raise ValueError("too much metadata")
    file.seek(offset)
    message = _message(file.read(length))
    _require_texts(path, _texts(message, _MESSAGE_TEXTS))
    header, kind = message.table(_HEADER), message.number(_HEADER_KIND, "<B")
    if kind not in (_OF_DICTIONARY, _OF_BATCH) or message.number(_BODY_LENGTH, "<q") != body:
        raise ValueError("no batch, or one of another size")
    is_dictionary = kind == _OF_DICTIONARY
    header = header.table(_DATA) if is_dictionary else header
    rows = header.number(_LENGTH, "<q")
    if rows < 0:
        raise ValueError("a negative number of rows")
    unpacked = sum(_unpacked(file, offset + length, header))
    return _Batch(is_dictionary=is_dictionary, rows=rows, unpacked=unpacked)


def _unpacked(file: BinaryIO, start: int, batch: _Table) -> Iterator[int]:
    """Yield the unpacked bytes of each buffer of a batch, whose body begins at ``start``."""
    data, count, at = batch.vector(_BUFFERS)
    is_packed = bool(batch.place(_COMPRESSION))
    for buffer in range(count):
        begin, size = unpack_from("<qq", data, at + _BUFFER_BYTES * buffer)
        if min(begin, size) < 0:
            raise ValueError("a buffer outside of the batch")
        yield _claimed(file, start + begin, size) if is_packed and size else size


def _claimed(file: BinaryIO, at: int, size: int) -> int:
    """Return the unpacked bytes that a buffer states; its size where it is stored as it is."""
    file.seek(at)
    (stated,) = unpack_from("<q", file.read(8))
    if stated < -1:
        raise ValueError("a negative size")
    return size if stated == -1 else int(stated)


def _message(stored: bytes) -> _Table:
    start = 8 if stored[:4] == b"\xff\xff\xff\xff" else 4  # older files lack these marks
    return _Table.root(stored[start:])


class _Table:
    """A table of a flatbuffer, whose fields are found by number."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at
        self._fields = at - unpack_from("<i", data, at)[0]
        if not 0 <= self._fields < len(data):
            raise ValueError("a table outside of the data")
        (self._size,) = unpack_from("<H", data, self._fields)

    @classmethod
    def root(cls, data: bytes) -> _Table:
        """Return the table that the data are of."""
        return cls(data, unpack_from("<I", data)[0])

    def place(self, field: int) -> int:
        """Return where a field lies in the data; 0 where it is absent."""
        entry = 4 + 2 * field
        if entry + 2 > self._size:
            return 0
        (offset,) = unpack_from("<H", self._data, self._fields + entry)
        return self._at + offset if offset else 0

    def number(self, field: int, form: str) -> int:
        """Return a number; 0 where it is absent."""
        place = self.place(field)
        return int(unpack_from(form, self._data, place)[0]) if place else 0

    def table(self, field: int) -> _Table:
        """Return a table within this one."""
        return _Table(self._data, self._pointed(field))

    def tables(self, field: int, most: int) -> Iterator[_Table]:
        """Yield the tables of a list, one more than ``most`` at most."""
        data, count, at = self.vector(field)
        for entry in range(at, at + 4 * min(count, most + 1), 4):
            yield _Table(data, entry + unpack_from("<I", data, entry)[0])

    def vector(self, field: int) -> tuple[bytes, int, int]:
        """Return the data, and number of elements and place of a list or text in them."""
        if not self.place(field):
            return self._data, 0, 0
        at = self._pointed(field)
        return self._data, unpack_from("<I", self._data, at)[0], at + 4

    def _pointed(self, field: int) -> int:
        place = self.place(field)
        return int(place + unpack_from("<I", self._data, place)[0])
