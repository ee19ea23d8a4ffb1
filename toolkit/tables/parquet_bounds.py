"""Bounds of Parquet files, checked before anything is decoded.

The footer takes up to 300 times its size in memory, so it is walked before pyarrow sees it. It may
lie about sizes, so the header of every page is read: Arrow unpacks a page into as many bytes as its
header states, and stops there.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from struct import unpack
from typing import Any, BinaryIO

from idskit.errors import DataError
from idskit.tables.arrow_bounds import require_schema_bounds
from idskit.tables.content import (
    MOST_METADATA,
    MOST_OPEN_BYTES,
    most_unpacked,
    require_cells,
    unpacks_too_much,
)
from idskit.tables.lines import MOST_COLUMNS, too_many_columns
from idskit.tables.thrift import ThriftReader, TooManyItems

MOST_CHUNK_BYTES = 256 << 20
MOST_DICTIONARY = 1 << 20  # texts of a dictionary; writers give up at 1 MiB of them
MOST_FIXED_BYTES = 64  # of a value of fixed length: hashes have 32, and a bomb repeats long ones
# Structures and elements of lists in a footer: a column of a row group has about 14, of which each
# takes up to 650 bytes of memory.
MOST_ITEMS = 1 << 19
MOST_LEAVES = 4 * MOST_COLUMNS  # columns that hold columns count as well
FREE_PAGES, BYTES_PER_PAGE = 1 << 14, 64  # reading a header takes as long as hundreds of values
_HEADER_BYTES, _MOST_HEADER_BYTES = 1 << 12, 1 << 20
_PADDING = 100  # bytes that Arrow reads beyond a column of old writers
_MOST_SIZE = (1 << 31) - 1

# Of parquet.thrift's Encoding, those whose pages hold at most as many bytes as they unpack to, or a
# number for each value. In DELTA_BYTE_ARRAY, say, each value may repeat all of the one before.
_ENCODINGS = {0, 2, 3, 5, 8, 9}
_OTHER_ENCODINGS = {4: "BIT_PACKED", 6: "DELTA_LENGTH_BYTE_ARRAY", 7: "DELTA_BYTE_ARRAY"}
_DATA, _DICTIONARY, _SECOND_VERSION = 0, 2, 3  # types of pages; Arrow skips others
_HEADERS = {_DATA: 5, _DICTIONARY: 7, _SECOND_VERSION: 8}  # fields with what is theirs alone
_SCHEMA, _KEY_VALUES = 2, 5  # fields of FileMetaData; of a pair of these
_KEY, _VALUE = 1, 2
_END, _END_BYTES = b"PAR1", 8


@dataclass(frozen=True, kw_only=True)
class Page:
    """What the header of a page states."""

    length: int  # of the header itself
    packed: int  # bytes in the file
    unpacked: int
    values: int
    encoding: int
    is_dictionary: bool


@dataclass
class _Sizes:
    """Pages and unpacked bytes of a file, counted while its headers are read."""

    path: Path
    pages: int = 0
    unpacked: int = 0

    def add(self, page: Page) -> None:
        """Count a page, and refuse more than tables have."""
        self.pages += 1
        self.unpacked += page.unpacked
        if self.unpacked > most_unpacked(self.path):
            raise unpacks_too_much(self.path)
        if self.pages > max(FREE_PAGES, self.path.stat().st_size // BYTES_PER_PAGE):
            raise DataError(
                f"{self.path} has more than {self.pages - 1:,} pages, which no real table of that "
                "size has: write it as pyarrow does by default, or save it as CSV"
            )


def require_footer_bounds(path: Path) -> None:
    """Refuse a footer that would take much memory, or that Arrow would read otherwise.

    Raises:
        DataError: which bound it passes, and what to do.
    """
    reader = ThriftReader(_footer(path), most_items=MOST_ITEMS, kept=_KEY_VALUES)
    try:
        found = reader.struct()
        pairs = found.get(_KEY_VALUES, [])
        stored = [pair[_VALUE] for pair in pairs if pair[_KEY] == b"ARROW:schema"]
        columns = found[_SCHEMA] - 1  # the first is the table
    except TooManyItems as error:
        raise DataError(
            f"{path} has a footer of more than {MOST_ITEMS:,} entries, which no real table needs: "
            "write it with larger row groups (row_group_size=1000000), or save it as CSV"
        ) from error
    except (ValueError, LookupError, TypeError) as error:
        raise _damaged(path, "its footer is no structure of Parquet") from error
    if columns > MOST_LEAVES:
        raise too_many_columns(path, columns)
    for encoded in stored:
        _require_stored_schema(path, encoded)


def _require_stored_schema(path: Path, encoded: bytes) -> None:
    try:
        require_schema_bounds(path, binascii.a2b_base64(encoded, strict_mode=True))
    except (binascii.Error, TypeError) as error:
        raise _damaged(path, "the schema in its footer is not in base64") from error


def _footer(path: Path) -> bytes:
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(size - _END_BYTES, 0))
        end = file.read(_END_BYTES)
        if len(end) < _END_BYTES or not end.endswith(_END):
            raise _damaged(path, "it has no footer")
        (length,) = unpack("<I", end[:4])
        if length > min(size - _END_BYTES, MOST_METADATA):
            raise DataError(
                f"{path} has a footer of {length:,} bytes, and {MOST_METADATA:,} is the most: "
                "write it with larger row groups (row_group_size=1000000), or save it as CSV"
            )
        file.seek(size - _END_BYTES - length)
        return file.read(length)


def require_parquet_bounds(path: Path, found: Any) -> None:
    """Refuse a Parquet file that states or holds what no table of flows has.

    Args:
        path: the file.
        found: its ``pyarrow.parquet.FileMetaData``.

    Raises:
        DataError: which bound it passes, and what to do.
    """
    if found.num_columns > MOST_COLUMNS:
        raise too_many_columns(path, found.num_columns)
    groups = [found.row_group(i) for i in range(found.num_row_groups)]
    in_groups = [group.num_rows for group in groups]
    if min(in_groups, default=0) < 0:
        raise _damaged(path, "it has a negative number of rows")
    rows = max(found.num_rows, sum(in_groups))
    require_cells(path, rows * found.num_columns, rows)
    for i in range(found.num_columns):
        _require_short(path, found.schema.column(i))
    chunks = [[group.column(i) for i in range(group.num_columns)] for group in groups]
    _require_apart(path, [chunk for group in chunks for chunk in group])
    _require_pages(path, chunks)


def _require_short(path: Path, column: Any) -> None:
    if column.physical_type == "FIXED_LEN_BYTE_ARRAY" and column.length > MOST_FIXED_BYTES:
        raise DataError(
            f"{path}, column {column.name!r} holds values of {column.length:,} bytes each, and "
            f"{MOST_FIXED_BYTES} is the most: remove the column"
        )


def _require_apart(path: Path, chunks: Sequence[Any]) -> None:
    """Refuse columns that share bytes: each of them would be read anew."""
    packed = [chunk.total_compressed_size for chunk in chunks]
    if min(packed, default=0) < 0 or sum(packed) > path.stat().st_size:
        raise _damaged(path, "its columns take more bytes than the file has")


def _require_pages(path: Path, groups: Sequence[Sequence[Any]]) -> None:
    sizes = _Sizes(path)
    with path.open("rb") as file:
        for chunks in groups:
            at_once = sum(_most_at_once(file, chunk, sizes) for chunk in chunks)
            if at_once > MOST_OPEN_BYTES:
                raise DataError(
                    f"{path} has a row group of which {at_once:,} bytes are unpacked at once, and "
                    f"{MOST_OPEN_BYTES:,} is the most: write it with smaller row groups or pages "
                    "(row_group_size=100000)"
                )


def _most_at_once(file: BinaryIO, chunk: Any, sizes: _Sizes) -> int:
    """Check the pages of a column chunk; return the bytes of the dictionary and largest page."""
    dictionary = largest = in_chunk = 0
    for page in _pages(sizes.path, file, chunk):
        _require_page(sizes.path, chunk.path_in_schema, page)
        in_chunk += page.unpacked
        if in_chunk > MOST_CHUNK_BYTES:
            raise DataError(
                f"{sizes.path} has {in_chunk:,} bytes of a column in one row group, and "
                f"{MOST_CHUNK_BYTES:,} is the most: write it with smaller row groups "
                "(row_group_size=100000)"
            )
        sizes.add(page)
        dictionary += page.unpacked * page.is_dictionary
        largest = max(largest, page.unpacked * (not page.is_dictionary))
    return dictionary + largest


def _require_page(path: Path, name: str, page: Page) -> None:
    if page.is_dictionary and page.values > MOST_DICTIONARY:
        raise DataError(
            f"{path}, column {name!r} has a dictionary of {page.values:,} values, and "
            f"{MOST_DICTIONARY:,} is the most: remove the column, or write it without a dictionary "
            "(use_dictionary=False)"
        )
    if page.encoding not in _ENCODINGS:
        encoding = _OTHER_ENCODINGS.get(page.encoding, f"an unknown encoding ({page.encoding})")
        raise DataError(
            f"{path}, column {name!r} is written in {encoding}, of which a few bytes may stand for "
            "any number: write it as pyarrow does by default, or save it as CSV"
        )


def _pages(path: Path, file: BinaryIO, chunk: Any) -> Iterator[Page]:
    """Yield what the pages of a column chunk state, as far as Arrow reads them."""
    at, first = chunk.data_page_offset, chunk.dictionary_page_offset
    if first is not None and 0 < first < at:
        at = first
    end, seen = at + chunk.total_compressed_size + _PADDING, 0
    while at < end and seen < chunk.num_values:
        page = _page(path, file, at)
        yield page
        at += page.length + page.packed
        seen += 0 if page.is_dictionary else page.values


def _page(path: Path, file: BinaryIO, at: int) -> Page:
    """Read the header of the page that begins at byte ``at``."""
    size = _HEADER_BYTES
    while True:
        try:
            file.seek(at)
            reader = ThriftReader(file.read(size))
            return _stated(reader.struct(), reader.at)
        except IndexError as error:
            if size >= _MOST_HEADER_BYTES:
                raise _damaged(path, "a page has no end of its header") from error
            size *= 16
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            raise _damaged(path, "the header of a page is none") from error


def _stated(header: dict[int, Any], length: int) -> Page:
    """Read the fields of parquet.thrift's PageHeader."""
    type_ = header[1]
    kind = header[_HEADERS[type_]] if type_ in _HEADERS else {1: 0}
    page = Page(
        length=length,
        packed=header[3],
        unpacked=header[2],
        values=kind[1],
        encoding=kind.get(4 if type_ == _SECOND_VERSION else 2, 0),
        is_dictionary=type_ == _DICTIONARY,
    )
    sizes = (page.packed, page.unpacked, page.values)
    if min(sizes) < 0 or max(sizes) > _MOST_SIZE:
        raise ValueError("a size out of range")
    return page


def _damaged(path: Path, reason: str) -> DataError:
    return DataError(f"table {path} cannot be read as Parquet: {reason}; fetch or write it again")
