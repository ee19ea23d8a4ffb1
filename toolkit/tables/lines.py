"""Lines of a CSV table: its header, then pieces of whole rows, both from one stream.

Blank lines and comments before the header are passed over; a header that occurs again, as in files
put behind each other, is dropped and counted. Bounded are the length of a line and the columns.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from itertools import islice
from pathlib import Path

from idskit.errors import DataError
from idskit.tables.content import Text, decoded, open_text

PIECE_BYTES = 1 << 20
LINE_BYTES = 1 << 20
PREAMBLE_BYTES = 1 << 16  # blank lines and comments before the header
MOST_COLUMNS = 4_096  # published tables have 5 to 1,504, one for each byte of a payload
_MARK = b"\xef\xbb\xbf"
_DELIMITERS = (",", "\t", ";", "|")


@dataclass(frozen=True, kw_only=True)
class Header:
    """Names of the columns, and how a table separates them."""

    names: tuple[str, ...]  # as written, without the spaces around
    delimiter: str = ","


@contextmanager
def open_lines(path: Path) -> Iterator[Lines]:
    """Open a CSV table, packed or not.

    Raises:
        DataError: it cannot be read, is empty, or has lines or columns beyond the bounds; while
            reading too.
    """
    with open_text(path) as text, csv_explained(path):
        yield Lines(path, text)


@contextmanager
def csv_explained(path: Path) -> Iterator[None]:
    """Turn what Python's CSV reader raises into one sentence."""
    try:
        yield
    except csv.Error as error:
        raise DataError(
            f"{path} was given as a table, but it is not CSV text ({error}): use a CSV or .parquet "
            "file"
        ) from error


class Lines:
    """The header, and the rows in pieces."""

    def __init__(self, path: Path, text: Text) -> None:
        self._path, self._text, self._rest = path, text, b""
        self.repeated = 0  # headers dropped so far
        line = self._first_line()
        self._line = line.strip()
        self.header = _header(path, line)
        rarest = max(self.header.names, key=lambda name: (name.isascii(), len(name)))
        self._probe = rarest.encode()  # hardly occurs in rows

    @property
    def share(self) -> float:
        """Return how much of the file has been read, 0 to 1."""
        return self._text.share

    def pieces(self, size: int | None = None) -> Iterator[bytes]:
        """Yield whole lines, about ``size`` bytes of them at a time."""
        while found := self._text.read(size or PIECE_BYTES):
            found = self._rest + found
            end = _end_of_rows(found)
            self._rest = self._bounded(found[end:])
            yield self._without_headers(found[:end])
        yield self._without_headers(self._rest)

    def rows(self, most: int) -> Iterator[list[list[str]]]:
        """Yield the fields of at most ``most`` rows, and of a piece, at a time.

        Raises:
            DataError: a row is of another width (it is named).
        """
        first = 1
        for piece in self.pieces():
            found = even_rows(self._path, self.header, piece, first)
            while rows := list(islice(found, most)):
                first += len(rows)
                yield rows

    def _first_line(self) -> bytes:
        """Return the first line that is no blank or comment, or the last comment before data."""
        self._fill()
        comment, start = b"", 0
        while start < min(len(self._rest), PREAMBLE_BYTES):
            end = _end_of_row(self._rest, start) or len(self._rest)
            line = self._rest[start:end]
            plain = line.removeprefix(_MARK).strip()
            if plain.startswith(b"#"):
                comment = line
            elif plain.strip(b",;\t| "):
                return self._begin(comment, line, start, end)
            start = end
        if start < len(self._rest):
            raise DataError(
                f"{self._path} has no line of column names in its first {PREAMBLE_BYTES >> 10} "
                "KiB: give a table that begins with one"
            )
        raise DataError(f"{self._path} is empty: a table with a line of column names is needed")

    def _begin(self, comment: bytes, line: bytes, start: int, end: int) -> bytes:
        """Choose the header of the first line that is none, and begin the rows behind it."""
        is_data = _is_data_of(comment, line)
        self._rest = self._rest[start if is_data else end :]
        return comment.lstrip(b"#") if is_data else self._bounded(line)

    def _fill(self) -> None:
        """Read as much as a header and what may stand before it take."""
        while len(self._rest) <= LINE_BYTES + PREAMBLE_BYTES and (
            found := self._text.read(PIECE_BYTES)
        ):
            self._rest += found

    def _bounded(self, line: bytes) -> bytes:
        if len(line) > LINE_BYTES:
            raise DataError(
                f"{self._path} has a line of more than {LINE_BYTES >> 20} MiB, which no table of "
                "flows has: give a table with one row a line"
            )
        return line

    def _without_headers(self, piece: bytes) -> bytes:
        if self._probe not in piece:
            return piece
        piece = self._without_equal(piece)
        if self._probe not in piece:
            return piece
        lines = piece.splitlines(keepends=True)
        kept = [line for line in lines if not (self._probe in line and self._is_header(line))]
        self.repeated += len(lines) - len(kept)
        return b"".join(kept)

    def _without_equal(self, piece: bytes) -> bytes:
        """Return the same without lines that are the header byte for byte, however many."""
        found, before = b"\n" + piece, 0
        again = b"\n" + self._line + b"\n"
        while len(found) != before:  # of two behind each other one is found at a time
            before = len(found)
            found = found.replace(again, b"\n")
        self.repeated += (len(piece) + 1 - len(found)) // (len(again) - 1)
        return found[1:]

    def _is_header(self, line: bytes) -> bool:
        found = next(fields_of(line.removeprefix(_MARK), self.header.delimiter), [])
        return tuple(name.strip(' \t"') for name in found) == self.header.names


def _header(path: Path, line: bytes) -> Header:
    text = decoded(line.removeprefix(_MARK)).rstrip("\r\n")
    outside = "".join(text.split('"')[::2])  # not within quotes
    delimiter = next((mark for mark in _DELIMITERS if mark in outside), ",")
    names = next(csv.reader(StringIO(text, newline=""), delimiter=delimiter))
    if len(names) > MOST_COLUMNS:
        raise too_many_columns(path, len(names))
    return Header(names=tuple(name.strip() for name in names), delimiter=delimiter)


def too_many_columns(path: Path, count: int) -> DataError:
    """Make the error of a table that is wider than any real one."""
    return DataError(
        f"{path} has {count:,} columns, and {MOST_COLUMNS:,} is the most: remove those that are no "
        "features"
    )


def _is_data_of(comment: bytes, line: bytes) -> bool:
    """Return whether a comment is the header of a line of numbers, as numpy.savetxt writes one."""
    if not comment or comment.count(b",") != line.count(b","):
        return False
    fields = line.split(b",")
    return sum(not field.strip(b" +-.0123456789eE") for field in fields) > len(fields) / 2


def _end_of_row(text: bytes, start: int) -> int:
    """Return where a row ends, 0 if it does not: a line end within quotes is none."""
    end, quotes = start, 0
    while after := text.find(b"\n", end) + 1:
        quotes += text.count(b'"', end, after)
        end = after
        if quotes % 2 == 0:
            return end
    return 0


def _end_of_rows(text: bytes) -> int:
    """Return where the last whole row ends; where quotes never close, the last line."""
    last = end = text.rfind(b"\n") + 1
    quotes = text.count(b'"', 0, end)
    while quotes % 2:
        before = text.rfind(b"\n", 0, end - 1) + 1
        quotes -= text.count(b'"', before, end)
        end = before
    return end or last


def even_rows(path: Path, header: Header, piece: bytes, first: int) -> Iterator[list[str]]:
    """Yield the fields of rows, of which the first has number ``first``, without comments.

    Raises:
        DataError: a row is of another width than the header (it is named).
    """
    row = first
    for fields in fields_of(piece, header.delimiter):
        if len(fields) == len(header.names):
            row += 1
            yield fields
        elif not fields[0].lstrip().startswith("#"):
            raise DataError(
                f"{path} has {len(header.names)} columns, but row {row} has {len(fields)} fields: "
                "repair or remove that row"
            )


def fields_of(piece: bytes, delimiter: str = ",") -> Iterator[list[str]]:
    """Yield the fields of rows as Python's CSV reader finds them, without blank lines."""
    text = StringIO(decoded(piece), newline="")
    return (fields for fields in csv.reader(text, delimiter=delimiter) if _is_row(fields))


def _is_row(fields: list[str]) -> bool:
    return len(fields) > 1 or bool(fields and fields[0].strip())
