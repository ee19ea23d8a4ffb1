"""Bounds of Arrow IPC files, checked in their metadata before anything is decoded.

A packed buffer states how long it is unpacked, and Arrow takes as much memory at once; pyarrow
shows neither that nor the number of rows without reading them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from struct import unpack_from
from typing import BinaryIO

from idskit.errors import DataError
from idskit.tables.parquet_bounds import most_unpacked, require_cells, unpacks_too_much

_END = b"ARROW1"
_BLOCK_BYTES, _BUFFER_BYTES = 24, 16
_MOST_METADATA = 16 << 20
# Numbers of fields in Arrow's File.fbs and Message.fbs.
_DICTIONARIES, _BATCHES = 2, 3
_HEADER_KIND, _HEADER = 1, 2
_OF_DICTIONARY, _OF_BATCH = 2, 3  # kinds of headers
_DATA = 1
_LENGTH, _NODES, _BUFFERS, _COMPRESSION = 0, 1, 2, 3


def require_arrow_bounds(path: Path) -> int:
    """Refuse an Arrow file that states what no table of flows has; return its number of rows.

    Raises:
        DataError: it does, or its metadata is damaged.
    """
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            rows = unpacked = columns = 0
            for offset, metadata, body in _blocks(file, size):
                if not 0 <= offset <= offset + metadata + body <= size or metadata < 8:
                    raise ValueError("a batch lies outside of the file")
                count, nodes, claimed = _stated(file, offset, metadata)
                rows, columns = rows + count, max(columns, nodes)
                unpacked += claimed
                if unpacked > most_unpacked(path):
                    raise unpacks_too_much(path)
    except (struct.error, ValueError, IndexError) as error:
        raise DataError(
            f"table {path} cannot be read as Arrow: its metadata is damaged; write it again"
        ) from error
    require_cells(path, rows, columns)
    return rows


def _blocks(file: BinaryIO, size: int) -> Iterator[tuple[int, int, int]]:
    """Yield offset, bytes of metadata and bytes of every batch that the footer lists."""
    file.seek(max(size - 10, 0))
    length, mark = unpack_from("<i6s", file.read(10))
    if mark != _END or not 0 < length <= min(size - 10, _MOST_METADATA):
        raise ValueError("no footer")
    file.seek(size - 10 - length)
    footer = _Table.root(file.read(length))
    for field in (_DICTIONARIES, _BATCHES):
        data, count, at = footer.vector(field)
        for block in range(count):
            yield unpack_from("<qi4xq", data, at + _BLOCK_BYTES * block)


def _stated(file: BinaryIO, offset: int, length: int) -> tuple[int, int, int]:
    """Return rows and columns of a batch, and the bytes that its packed buffers unpack to."""
    if length > _MOST_METADATA:
        raise ValueError("too much metadata")
    file.seek(offset)
    stored = file.read(length)
    start = 8 if stored[:4] == b"\xff\xff\xff\xff" else 4
    message = _Table.root(stored[start:])
    header, kind = message.table(_HEADER), message.number(_HEADER_KIND, "<B")
    if kind == _OF_DICTIONARY:
        header = header.table(_DATA)
    elif kind != _OF_BATCH:
        raise ValueError("no batch")
    rows = header.number(_LENGTH, "<q")
    if rows < 0:
        raise ValueError("a negative number of rows")
    claimed = 0
    if header.place(_COMPRESSION):
        data, count, at = header.vector(_BUFFERS)
        for buffer in range(count):
            begin, size = unpack_from("<qq", data, at + _BUFFER_BYTES * buffer)
            claimed += _claimed(file, offset + length + begin) if size else 0
    return (rows if kind == _OF_BATCH else 0), header.vector(_NODES)[1], claimed


def _claimed(file: BinaryIO, at: int) -> int:
    """Return the unpacked bytes that a buffer states; none where it is stored as it is."""
    file.seek(at)
    (stated,) = unpack_from("<q", file.read(8))
    if stated < -1:
        raise ValueError("a negative size")
    return max(int(stated), 0)


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

    def vector(self, field: int) -> tuple[bytes, int, int]:
        """Return the data, and number of elements and place of a vector in them."""
        if not self.place(field):
            return self._data, 0, 0
        at = self._pointed(field)
        return self._data, unpack_from("<I", self._data, at)[0], at + 4

    def _pointed(self, field: int) -> int:
        place = self.place(field)
        return int(place + unpack_from("<I", self._data, place)[0])
