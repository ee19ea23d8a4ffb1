"""What a file holds, by its first bytes and not by its name: packed text becomes UTF-8, in bounds.

    stored bytes ──> unpacked (gzip, bzip2, xz; zstd, lz4 with pyarrow) ──> UTF-8 without its mark

Nothing here needs more than the standard library, so that detection reads tables without pandas.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from idskit.errors import DataError, MissingExtra, require

PACKED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
}
_TABLES = {b"PAR1": "parquet", b"ARROW1\0\0": "arrow"}
_FOREIGN = {
    b"PK\x03\x04": "a zip archive or a spreadsheet: unpack it (unzip), or save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "an old spreadsheet: save the sheet as CSV",
    b"\x89HDF": "an HDF5 file: save the table as CSV or Parquet (pandas.read_hdf, to_parquet)",
    b"\x93NUMPY": "a NumPy array: save it as CSV with a line of column names (pandas)",
    b"SQLite format 3": "a SQLite database: export the table as CSV (sqlite3 -header -csv)",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive: unpack it (7z x)",
    b"\xd4\xc3\xb2\xa1": "a capture: extract its flows first (idskit extract -r)",
    b"\xa1\xb2\xc3\xd4": "a capture: extract its flows first (idskit extract -r)",
    b"\x0a\x0d\x0d\x0a": "a capture: extract its flows first (idskit extract -r)",
}
_MARKS = (  # of encodings, the longer ones first
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_HEAD = 4096  # bytes that decide on the encoding
# Real tables shrink to a fifth or a twentieth; what grows more than this after the first 64 MiB is
# a bomb, or something that a person should look at.
MOST_GROWTH, FREE_BYTES = 50, 64 << 20
# Cells that a byte of a file of columns may stand for, beyond the first ones: constant columns take
# next to nothing.
MOST_CELLS_PER_BYTE, FREE_CELLS = 100, 1 << 26
MOST_OPEN_BYTES = 512 << 20  # of a file of columns, unpacked at once
MOST_METADATA = 8 << 20  # bytes of its footer, or of one batch
XZ_MEMORY = 256 << 20  # xz -9 needs 65 MiB; a file may ask for 4 GiB
_STORED_PIECE = 1 << 16


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def kind_of(path: Path) -> str:
    """Tell what a file is: ``parquet``, ``arrow``, a name in ``PACKED``, or ``text``.

    Raises:
        DataError: no regular file, or one of a foreign format, with what to do.
    """
    with explained(path):
        if path.exists() and not path.is_file():  # opening a pipe would wait
            raise DataError(f"table {path} cannot be read: it is no regular file; save it as one")
        with path.open("rb") as file:
            return _kind(path, file.read(16))


def _kind(path: Path, head: bytes) -> str:
    for magic, what in _FOREIGN.items():
        if head.startswith(magic):
            raise DataError(f"{path} is no table but {what}")
    known = (PACKED | _TABLES).items()
    return next((kind for magic, kind in known if head.startswith(magic)), "text")


def most_unpacked(path: Path) -> int:
    """Return the number of bytes that a table may unpack to."""
    return max(FREE_BYTES, MOST_GROWTH * path.stat().st_size)


def unpacks_too_much(path: Path, advice: str = "save it as CSV and give that") -> DataError:
    """Make the error of a file that grows more than tables do."""
    return DataError(
        f"{path} ({path.stat().st_size:,} bytes) unpacks to more than {most_unpacked(path):,} "
        f"bytes, which no real table does: if you trust it, {advice}"
    )


def require_cells(path: Path, cells: int, rows: int) -> None:
    """Refuse more cells than a file of columns of that size can have."""
    size = path.stat().st_size
    if cells > max(FREE_CELLS, MOST_CELLS_PER_BYTE * size):
        raise DataError(
            f"{path} ({size:,} bytes) declares {rows:,} rows, which no real table of that size "
            "has: if you trust it, save it as CSV and give that"
        )


@contextmanager
def open_text(path: Path) -> Iterator[Text]:
    """Open the text of a table, packed or not.

    Raises:
        DataError: it cannot be read, is damaged, no text, or grows beyond the bounds; while reading
            too.
    """
    kind = kind_of(path)
    if kind in _TABLES.values():
        raise DataError(f"{path} was read as text, but it is a file of {kind}")
    with explained(path, kind), path.open("rb") as raw:
        yield Text(path, raw, _unpacked(path, raw, kind))


def _unpacked(path: Path, raw: BinaryIO, kind: str) -> _Readable:
    if kind == "text":
        return raw
    if kind == "gzip":
        return cast(_Readable, gzip.GzipFile(fileobj=raw))
    if kind == "bzip2":
        return bz2.BZ2File(raw)
    if kind == "xz":
        return _Xz(raw)
    try:
        require("pyarrow", "train")
    except MissingExtra as error:
        raise DataError(f"{path} is packed with {kind}: unpack it first ({kind} -d)") from error
    import pyarrow

    return cast(_Readable, pyarrow.CompressedInputStream(raw, kind))


class _Xz:
    """Streams of xz behind each other, with a bound on memory that ``lzma.open`` has not."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._stream: lzma.LZMADecompressor | None = None
        self._stored = b""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes, none at the end."""
        while True:
            if self._stream is None and not self._begin():
                return b""
            found = self._next(size)
            if found:
                return found

    def _begin(self) -> bool:
        self._stored = (self._stored or self._raw.read(_STORED_PIECE)).lstrip(b"\0")
        if self._stored:
            self._stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY)
        return bool(self._stored)

    def _next(self, size: int) -> bytes:
        stream = cast(lzma.LZMADecompressor, self._stream)
        if stream.needs_input and not self._stored:
            self._stored = self._raw.read(_STORED_PIECE)
            if not self._stored:
                raise EOFError
        found, self._stored = stream.decompress(self._stored, size), b""
        if stream.eof:
            self._stream, self._stored = None, stream.unused_data
        return found


class Text:
    """The bytes of a text as UTF-8; what is neither that nor UTF-16 or UTF-32 stays as it is."""

    def __init__(self, path: Path, raw: BinaryIO, content: _Readable) -> None:
        self._path, self._raw, self._content = path, raw, content
        self._size = path.stat().st_size
        self._unpacked = 0
        head = self._read(_HEAD)
        if _kind(path, head) != "text":
            raise DataError(f"{path} holds another packed file: unpack it first")
        self._encoding, mark = _encoding(path, head)
        self._decode = codecs.getincrementaldecoder(self._encoding)().decode
        self._ahead = self._utf8(head[mark:])
        self._old_ends = b"\r" in self._ahead and b"\n" not in self._ahead

    @property
    def share(self) -> float:
        """Return how much of the file has been read, 0 to 1."""
        return self._raw.tell() / max(self._size, 1)

    def read(self, size: int) -> bytes:
        """Return some bytes, about ``size`` of them at most; none at the end."""
        found, self._ahead = self._ahead, b""
        found = found or self._utf8(self._read(size))
        return found.replace(b"\r", b"\n") if self._old_ends else found

    def _read(self, size: int) -> bytes:
        found = self._content.read(size)
        self._unpacked += len(found)
        if self._unpacked > most_unpacked(self._path) and self._content is not self._raw:
            raise unpacks_too_much(self._path, "unpack it yourself and give that")
        return found

    def _utf8(self, stored: bytes) -> bytes:
        if self._encoding != "utf-8":
            return self._decode(stored, final=not stored).encode()
        if b"\0" in stored:
            raise _no_text(self._path)
        return stored


def _encoding(path: Path, head: bytes) -> tuple[str, int]:
    """Return the encoding, and the length of its mark."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding, len(mark)
    if b"\0" not in head:
        return "utf-8", 0
    if not head[::2].count(0):
        return "utf-16-le", 0
    if not head[1::2].count(0):
        return "utf-16-be", 0
    raise _no_text(path)


def _no_text(path: Path) -> DataError:
    return DataError(
        f"{path} was given as a table, but it is not CSV text (it holds zero bytes): use a CSV or "
        ".parquet file, such as `idskit extract` writes"
    )


@contextmanager
def explained(path: Path, kind: str = "text") -> Iterator[None]:
    """Turn what opening and unpacking may end in into one sentence."""
    try:
        yield
    except UnicodeError as error:
        raise DataError(
            f"{path} begins as UTF-16 or UTF-32 text and breaks off ({error}): convert it "
            "(iconv -f UTF-16 -t UTF-8)"
        ) from error
    except lzma.LZMAError as error:
        too_much = "emory" in str(error)
        raise DataError(
            f"{path} needs more than {XZ_MEMORY >> 20} MiB to be unpacked: unpack it first (xz -d)"
            if too_much
            else _damaged(path, kind)
        ) from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(_damaged(path, kind)) from error
    except MemoryError as error:
        raise DataError(
            f"{path} takes more memory than there is: read fewer rows of it (--rows), or cut it"
        ) from error
    except OSError as error:
        if error.errno is None:  # bz2's and pyarrow's own
            raise DataError(f"{_damaged(path, kind)} ({error})") from error
        raise DataError(
            f"table {path} cannot be read: {error.strerror or error}; check the path"
        ) from error


def _damaged(path: Path, kind: str) -> str:
    return f"{path} is a {kind} file that is damaged or cut short: fetch it again"


def as_text(value: object) -> str:
    """Return the text of a cell, without the spaces around it; whole numbers without ``.0``."""
    if isinstance(value, float):
        return f"{value:.15g}"
    return (decoded(value) if isinstance(value, bytes) else str(value)).strip()


def decoded(stored: bytes) -> str:
    """Return the text; bytes that are no UTF-8 are Windows-1252, as publishers have it."""
    try:
        return stored.decode()
    except UnicodeDecodeError:
        return stored.decode("cp1252", "replace")
