"""Bounds of Parquet files, checked before anything is decoded.

The footer may lie about sizes, so the header of every page is read: Arrow unpacks a page into as
many bytes as its header states, and stops there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from idskit.errors import DataError
from idskit.tables.content import FREE_BYTES, MOST_GROWTH
from idskit.tables.lines import MOST_COLUMNS, too_many_columns
from idskit.tables.thrift import ThriftReader

# Cells that a byte of the file may stand for, beyond the first ones: constant columns take next to
# nothing. A million rows of 8 bytes are 8 MiB of a column in a row group.
MOST_CELLS_PER_BYTE, FREE_CELLS = 100, 1 << 26
MOST_CHUNK_BYTES = 256 << 20
MOST_DICTIONARY = 1 << 20  # texts of a dictionary; writers give up at 1 MiB of them
MOST_FIXED_BYTES = 64  # of a value of fixed length: hashes have 32, and a bomb repeats long ones
_HEADER_BYTES, _MOST_HEADER_BYTES = 1 << 12, 1 << 20
_DELTA_BYTE_ARRAY = 7  # parquet.thrift's Encoding: a value may repeat all of the one before

_DATA, _DICTIONARY, _SECOND_VERSION = 0, 2, 3  # types of pages; Arrow skips others
_HEADERS = {_DATA: 5, _DICTIONARY: 7, _SECOND_VERSION: 8}  # fields with what is theirs alone


@dataclass(frozen=True, kw_only=True)
class Page:
    """What the header of a page states."""

    length: int  # of the header itself
    packed: int  # bytes in the file
    unpacked: int
    values: int
    encoding: int
    is_dictionary: bool


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
    rows = [group.num_rows for group in groups]
    require_cells(
        path, max(found.num_rows, sum(rows)), found.num_columns, least=min(rows, default=0)
    )
    for i in range(found.num_columns):
        _require_short(path, found.schema.column(i))
    chunks = [group.column(i) for group in groups for i in range(found.num_columns)]
    _require_apart(path, chunks)
    _require_pages(path, chunks)


def require_cells(path: Path, rows: int, columns: int, least: int = 0) -> None:
    """Refuse more rows than a file of that size can have."""
    size = path.stat().st_size
    if least < 0 or rows * columns > max(FREE_CELLS, MOST_CELLS_PER_BYTE * size):
        raise DataError(
            f"{path} ({size:,} bytes) declares {rows:,} rows, which no real table of that size "
            "has: if you trust it, save it as CSV and give that"
        )


def most_unpacked(path: Path) -> int:
    """Return the number of bytes that a file of columns may unpack to."""
    return max(FREE_BYTES, MOST_GROWTH * path.stat().st_size)


def unpacks_too_much(path: Path) -> DataError:
    """Make the error of a file that grows more than tables do."""
    return DataError(
        f"{path} ({path.stat().st_size:,} bytes) unpacks to more than {most_unpacked(path):,} "
        "bytes, which no real table does: if you trust it, save it as CSV and give that"
    )


def _require_short(path: Path, column: Any) -> None:
    if column.physical_type == "FIXED_LEN_BYTE_ARRAY" and column.length > MOST_FIXED_BYTES:
        raise DataError(
            f"{path}, column {column.name!r} holds values of {column.length:,} bytes each, and "
            f"{MOST_FIXED_BYTES} is the most: remove the column"
        )


def _require_apart(path: Path, chunks: list[Any]) -> None:
    """Refuse columns that share bytes: each of them would be read anew."""
    packed = [chunk.total_compressed_size for chunk in chunks]
    if min(packed, default=0) < 0 or sum(packed) > path.stat().st_size:
        raise _damaged(path, "its columns take more bytes than the file has")


def _require_pages(path: Path, chunks: list[Any]) -> None:
    total, most = 0, most_unpacked(path)
    with path.open("rb") as file:
        for chunk in chunks:
            in_chunk = 0
            for page in _pages(path, file, chunk):
                _require_page(path, chunk.path_in_schema, page)
                in_chunk += page.unpacked
                total += page.unpacked
                if in_chunk > MOST_CHUNK_BYTES:
                    raise DataError(
                        f"{path} has {in_chunk:,} bytes of a column in one row group, and "
                        f"{MOST_CHUNK_BYTES:,} is the most: write it with smaller row groups "
                        "(row_group_size=100000)"
                    )
                if total > most:
                    raise unpacks_too_much(path)


def _require_page(path: Path, name: str, page: Page) -> None:
    if page.is_dictionary and page.values > MOST_DICTIONARY:
        raise DataError(
            f"{path}, column {name!r} has a dictionary of {page.values:,} values, and "
            f"{MOST_DICTIONARY:,} is the most: remove the column, or write it without a dictionary "
            "(use_dictionary=False)"
        )
    if page.encoding == _DELTA_BYTE_ARRAY:
        raise DataError(
            f"{path}, column {name!r} is written in DELTA_BYTE_ARRAY, of which a few bytes may "
            "stand for any number: write it as pyarrow does by default, or save it as CSV"
        )


def _pages(path: Path, file: BinaryIO, chunk: Any) -> Iterator[Page]:
    """Yield what the pages of a column chunk state, as far as Arrow reads them."""
    at, first = chunk.data_page_offset, chunk.dictionary_page_offset
    if first is not None and 0 < first < at:
        at = first
    end, seen = at + chunk.total_compressed_size, 0
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
    if min(page.packed, page.unpacked, page.values) < 0:
        raise ValueError("a negative size")
    return page


def _damaged(path: Path, reason: str) -> DataError:
    return DataError(f"table {path} cannot be read as Parquet: {reason}; fetch or write it again")
