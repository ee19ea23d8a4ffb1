"""CSV and Parquet tables of any length to one float32 matrix, piece by piece.

    header and first rows (peek) ──> which columns, and where (Source) ──> read_tables ──> Table

A piece of a file at a time is parsed in float64 and put into the matrix: in memory are the matrix
and one piece, whatever the file's size; with a limit on rows, only those drawn. Text columns and
labels may hold bytes that are no UTF-8.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TextIO, cast

import numpy as np
from numpy.typing import NDArray

from idskit.data.progress import ReadingBar
from idskit.errors import DataError, require

SUFFIXES = (".csv", ".csv.gz", ".parquet")
PEEKED_ROWS = 1_000
CSV_PIECE_BYTES = 1 << 20
PARQUET_PIECE_ROWS = 1 << 16
GROWTH = 8  # the matrix grows by one part in so many: what it may hold too much
MISSING = -1  # code of an empty text
MOST_TEXTS = 4_096  # different texts of a column; more are no categories

Matrix = NDArray[np.float32]
Codes = NDArray[np.int32]
_Columns = Mapping[int, Any]  # arrow arrays by their place in the file


@dataclass(frozen=True, kw_only=True)
class Peek:
    """What a look at the beginning of a file shows."""

    header: tuple[str, ...]  # as written, without the spaces around
    rows: tuple[tuple[str, ...], ...]  # the first PEEKED_ROWS

    def values(self, position: int) -> list[str]:
        """The values of a column that are not empty."""
        return [row[position] for row in self.rows if position < len(row) and row[position]]


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file and where its columns go.

    ``positions`` has the place in the file of every column of the matrix; None leaves it 0.
    """

    path: Path
    header: tuple[str, ...]
    positions: tuple[int | None, ...]
    texts: frozenset[int] = frozenset()  # columns of the matrix that are text, and become codes
    label: int | None = None  # place of the label; None: all rows are of class ``label_text``
    label_text: str = ""
    moment: int | None = None  # place of a time stamp, as text
    # By column of the matrix: what is put in place of NaN and infinity.
    undefined: Mapping[int, float] = field(default_factory=dict)

    def numbers(self) -> Iterator[int]:
        """Places in the file that have to hold numbers."""
        for column, position in enumerate(self.positions):
            if position is not None and column not in self.texts:
                yield position

    def words(self) -> Iterator[int]:
        """Places in the file that are read as text."""
        yield from (p for c in self.texts if (p := self.positions[c]) is not None)
        yield from (p for p in (self.label, self.moment) if p is not None)


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of one or more files."""

    rows: Matrix  # (n, columns)
    labels: Codes  # (n,) index into names
    names: tuple[str, ...]  # of the labels, as first written
    files: Codes  # (n,) index into the sources
    moments: Codes  # (n,) code of the minute of the time stamp, MISSING where there is none
    texts: Mapping[int, tuple[str, ...]]  # the texts behind the codes, of each text column
    nonfinite: Mapping[int, int]  # NaN and infinite cells seen, by column
    unlabelled: int  # rows without a label, left out
    incomplete: int  # rows left out because they hold NaN or infinity
    sha256: Mapping[str, str]  # of the files as stored, by name


def table_files(data: Path) -> list[Path]:
    """The tables in folder ``data``, by name, or the one file that it is.

    Raises:
        DataError: there is none.
    """
    if data.is_file():
        return [data]
    files = sorted(p for p in data.glob("*") if p.name.lower().endswith(SUFFIXES))
    if not data.is_dir() or not files:
        found = "it holds no such file" if data.is_dir() else "there is no such file or folder"
        raise DataError(
            f"tables ({', '.join(SUFFIXES)}) were asked for from {data}, but {found}: give a file, "
            "or a folder of them"
        )
    return files


def peek(path: Path) -> Peek:
    """Header and first rows of a table.

    Raises:
        DataError: it cannot be read, or has no header.
    """
    with _failures(path):
        if _is_parquet(path):
            header, rows = _peek_parquet(path)
        else:
            with _text(path) as file:
                lines = csv.reader(file)
                header = next((line for line in lines if line), [])
                rows = [line for line in islice(lines, PEEKED_ROWS) if line]
    names = tuple(name.strip() for name in header)
    if not any(names):
        raise DataError(f"{path} is empty: a table with a line of column names is needed")
    return Peek(header=names, rows=tuple(tuple(v.strip() for v in row) for row in rows))


def _peek_parquet(path: Path) -> tuple[list[str], list[list[str]]]:
    with _parquet(path) as file:
        batch = next(file.iter_batches(PEEKED_ROWS), None)
        columns = [] if batch is None else [column.to_pylist() for column in batch.columns]
        rows = [["" if v is None else str(v) for v in row] for row in zip(*columns, strict=True)]
        return list(file.schema_arrow.names), rows


def read_tables(sources: Sequence[Source], *, finite: bool, most: int = 0, seed: int = 0) -> Table:
    """Read the rows of all ``sources`` into one matrix.

    Args:
        sources: files, all with the same number of columns.
        finite: leave out rows that hold NaN or infinity; they are counted.
        most: keep at most so many rows, drawn at random; 0 keeps all.
        seed: of that draw.

    Raises:
        DataError: a file that cannot be read, text where a number is due (row and column are
            named), or no row at all.
        MissingExtra: pyarrow is not installed.
    """
    require("pyarrow", "train")
    reading = _Reading(sources, finite=finite, rows=_Rows(sources, most, seed))
    with ReadingBar([source.path for source in sources]) as bar:
        for index, source in enumerate(sources):
            with _failures(source.path):
                for share, columns in _pieces(source):
                    reading.add(index, columns)
                    bar.show(source.path, share)
            bar.finish(source.path)
    return reading.table()


def words_of(path: Path, header: tuple[str, ...], place: int) -> list[str]:
    """The different texts of a column, but the empty one, in the order they first appear.

    Raises:
        DataError: the file cannot be read.
    """
    found = _Texts()
    source = Source(path=path, header=header, positions=(), label=place)
    with _failures(path):
        for _, columns in _pieces(source):
            found.encode(columns[place])
    return list(found.code_of)


class _Rows:
    """Rows gathered so far: all of them, or a sample of fixed size.

    Every row draws a number, and those with the smallest numbers stay: each set of ``most`` rows is
    as probable as any other, and no more than they are ever kept.
    """

    def __init__(self, sources: Sequence[Source], most: int, seed: int) -> None:
        self.matrix: Matrix = np.empty((0, len(sources[0].positions)), np.float32)
        self.codes: Codes = np.empty((0, 3), np.int32)  # label, file, moment
        self._drawn: NDArray[np.float64] = np.empty(0)
        self._most, self._rng = most, np.random.default_rng(seed)
        self._count = 0

    def add(self, block: Matrix, codes: Codes) -> None:
        """Add rows."""
        room = self._most - self._count if self._most else len(block)
        self._append(block[:room], codes[:room])
        if self._most:
            self._drawn = np.append(self._drawn, self._rng.random(min(room, len(block))))
            self._replace(block[room:], codes[room:])

    def finish(self) -> None:
        """Give back the room that was not needed."""
        self._resize(self._count)

    def _append(self, block: Matrix, codes: Codes) -> None:
        start, self._count = self._count, self._count + len(block)
        if self._count > len(self.matrix):
            self._resize(self._count + self._count // GROWTH)
        self.matrix[start : self._count] = block
        self.codes[start : self._count] = codes

    def _resize(self, rows: int) -> None:
        """Change the size in place, where large arrays are moved by the kernel, not copied."""
        self.matrix.resize((rows, self.matrix.shape[1]), refcheck=False)
        self.codes.resize((rows, 3), refcheck=False)

    def _replace(self, block: Matrix, codes: Codes) -> None:
        """Put new rows that drew smaller numbers in place of those that drew the largest."""
        if not len(block):
            return
        drawn = np.concatenate([self._drawn, self._rng.random(len(block))])
        kept = np.zeros(len(drawn), np.bool_)
        kept[np.argpartition(drawn, self._most)[: self._most]] = True
        places, taken = np.flatnonzero(~kept[: self._most]), np.flatnonzero(kept[self._most :])
        self.matrix[places], self.codes[places] = block[taken], codes[taken]
        self._drawn[places] = drawn[self._most + taken]


@dataclass
class _Texts:
    """Codes of texts, in the order in which they first appear."""

    code_of: dict[str, int] = field(default_factory=dict)

    def encode(self, column: Any, shorten: bool = False) -> Codes:
        coded = column.dictionary_encode()
        codes = [self._code(value, shorten) for value in coded.dictionary.to_pylist()]
        lookup = np.array([*codes, MISSING], np.int32)
        found: Codes = lookup[coded.indices.fill_null(len(codes)).to_numpy(zero_copy_only=False)]
        return found

    def _code(self, value: object, shorten: bool) -> int:
        text = _decoded(value)
        if shorten:  # "12/7/2017 8:55:58 AM" to the minute; a number is no time
            text = ":".join(text.split(":")[:2]) if ":" in text else ""
        return self.code_of.setdefault(text, len(self.code_of)) if text else MISSING


def _decoded(value: object) -> str:
    """Text of a cell; bytes that are no UTF-8 are taken for Windows-1252, as publishers have it."""
    if not isinstance(value, bytes):
        return str(value).strip()
    try:
        return value.decode().strip()
    except UnicodeDecodeError:
        return value.decode("cp1252", "replace").strip()


class _Reading:
    """Pieces of files to rows, and what was left out of them."""

    def __init__(self, sources: Sequence[Source], *, finite: bool, rows: _Rows) -> None:
        self._sources, self._finite, self._rows = sources, finite, rows
        self._labels, self._moments = _Texts(), _Texts()
        self._texts = {column: _Texts() for column in sources[0].texts}
        self._nonfinite: Counter[int] = Counter()
        self._unlabelled = self._incomplete = 0

    def add(self, index: int, columns: _Columns) -> None:
        """Add a piece of the file ``index``."""
        source = self._sources[index]
        block = self._block(source, columns)
        codes = np.full((len(block), 3), (MISSING, index, MISSING), np.int32)
        if source.label is None:
            codes[:, 0] = self._labels.code_of.setdefault(
                source.label_text, len(self._labels.code_of)
            )
        else:
            codes[:, 0] = self._labels.encode(columns[source.label])
        if source.moment is not None:
            codes[:, 2] = self._moments.encode(columns[source.moment], shorten=True)
        labelled = codes[:, 0] != MISSING
        self._unlabelled += int((~labelled).sum())
        kept: NDArray[np.bool_] = self._complete(block, labelled)
        self._rows.add(block[kept], codes[kept])

    def _block(self, source: Source, columns: _Columns) -> Matrix:
        length = len(next(iter(columns.values())))
        block = np.zeros((length, len(source.positions)), np.float32)
        with np.errstate(over="ignore"):  # beyond float32 becomes infinity, and is counted
            for column, position in enumerate(source.positions):
                if position is None:
                    continue
                if column in source.texts:
                    block[:, column] = self._categories(source, column, columns[position])
                else:
                    block[:, column] = columns[position].to_numpy(zero_copy_only=False)
        for column, value in source.undefined.items():
            block[~np.isfinite(block[:, column]), column] = value
        return block

    def _categories(self, source: Source, column: int, values: Any) -> Codes:
        codes = self._texts[column].encode(values)
        if len(self._texts[column].code_of) > MOST_TEXTS:
            name = source.header[cast(int, source.positions[column])]
            raise DataError(
                f"{source.path}, column {name!r} holds more than {MOST_TEXTS} different texts, "
                "which are no categories: remove the column"
            )
        return codes

    def _complete(self, block: Matrix, labelled: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which rows to keep of the labelled ones; NaN and infinity in those are counted."""
        bad = ~np.isfinite(block) & labelled[:, None]
        by_column = bad.sum(axis=0)
        self._nonfinite.update({int(c): int(by_column[c]) for c in np.flatnonzero(by_column)})
        if not self._finite:
            return labelled
        incomplete = bad.any(axis=1)
        self._incomplete += int(incomplete.sum())
        complete: NDArray[np.bool_] = labelled & ~incomplete
        return complete

    def table(self) -> Table:
        """What was read."""
        self._rows.finish()
        files = [source.path for source in self._sources]
        if not len(self._rows.matrix):
            raise DataError(f"{_listed(files)} holds no labelled row: a table with rows is needed")
        return Table(
            rows=self._rows.matrix,
            labels=self._rows.codes[:, 0],
            names=tuple(self._labels.code_of),
            files=self._rows.codes[:, 1],
            moments=self._rows.codes[:, 2],
            texts={column: tuple(texts.code_of) for column, texts in self._texts.items()},
            nonfinite=dict(self._nonfinite),
            unlabelled=self._unlabelled,
            incomplete=self._incomplete,
            sha256={file.name: sha256_of(file) for file in files},
        )


def _listed(files: list[Path]) -> str:
    return str(files[0]) + (f" (and {len(files) - 1} more files)" if files[1:] else "")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file as stored, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# Pieces of files.


def _pieces(source: Source) -> Iterator[tuple[float, _Columns]]:
    """Share of the file read, and columns by place: numbers as float64, words as text."""
    return _parquet_pieces(source) if _is_parquet(source.path) else _csv_pieces(source)


def _csv_pieces(source: Source) -> Iterator[tuple[float, _Columns]]:
    import pyarrow
    from pyarrow import csv as arrow_csv

    wanted: dict[str, Any] = {str(place): pyarrow.float64() for place in source.numbers()}
    wanted |= {str(place): pyarrow.binary() for place in source.words()}
    size = source.path.stat().st_size
    with _bytes(source.path) as (raw, file):
        try:
            reader = arrow_csv.open_csv(
                file,
                arrow_csv.ReadOptions(
                    column_names=[str(place) for place in range(len(source.header))],
                    skip_rows=1,  # names may be missing, or occur twice
                    block_size=CSV_PIECE_BYTES,
                ),
                convert_options=arrow_csv.ConvertOptions(
                    column_types=wanted,
                    include_columns=list(wanted),
                    null_values=["", "NA", "N/A", "null"],
                    check_utf8=False,
                ),
            )
            for batch in reader:
                places = map(int, batch.schema.names)
                yield raw.tell() / size, dict(zip(places, batch.columns, strict=True))
        except pyarrow.ArrowInvalid as error:
            raise _fault(source, str(error)) from error


def _fault(source: Source, reason: str) -> DataError:
    """Name the row and the column that could not be read, by reading the slow way."""
    numbers = set(source.numbers())
    with _text(source.path) as file:
        rows = (line for line in csv.reader(file) if line)
        next(rows)
        for number, fields in enumerate(rows, start=1):
            if len(fields) != len(source.header):
                return DataError(
                    f"{source.path} has {len(source.header)} columns, but row {number} has "
                    f"{len(fields)} fields: repair or remove that row"
                )
            for place in numbers:
                if not is_number(fields[place]):
                    return _misplaced(source, number, place, fields[place])
    return DataError(f"{source.path} cannot be read as CSV: {reason}")


def _parquet_pieces(source: Source) -> Iterator[tuple[float, _Columns]]:
    import pyarrow

    numbers, words = set(source.numbers()), set(source.words())
    with _parquet(source.path) as file:
        stored = file.schema_arrow.names
        total, done = max(file.metadata.num_rows, 1), 0
        names = [stored[place] for place in sorted(numbers | words)]
        for batch in file.iter_batches(PARQUET_PIECE_ROWS, columns=names):
            columns: dict[int, Any] = {}
            for place in numbers | words:
                column = batch.column(stored[place])
                if place in words:
                    columns[place] = column
                    continue
                try:
                    columns[place] = column.cast(pyarrow.float64())
                except pyarrow.ArrowException as error:
                    raise _text_in(source, place, column, done) from error
            done += len(batch)
            yield done / total, columns


def _text_in(source: Source, place: int, column: Any, before: int) -> DataError:
    for row, value in enumerate(column.to_pylist(), start=before + 1):
        if value is not None and not is_number(str(value)):
            return _misplaced(source, row, place, str(value))
    return DataError(f"{source.path}, column {source.header[place]!r} holds no numbers: remove it")


def _misplaced(source: Source, row: int, place: int, value: str) -> DataError:
    """The error of text where a number is due."""
    return DataError(
        f"{source.path}, row {row}, column {source.header[place]!r}: a number is due, but "
        f"{value!r} was found: repair or remove that row"
    )


def is_number(text: str) -> bool:
    """Whether ``text`` is a number, NaN and infinity included, or empty."""
    try:
        float(text or "nan")
    except ValueError:
        return text.strip().lower() in ("", "na", "n/a", "null")
    return True


# Opening.


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() == ".parquet"


def _is_gzip(path: Path) -> bool:
    return path.suffix.lower() == ".gz"


@contextmanager
def _bytes(path: Path) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """The file as stored, whose position tells how far reading has come, and its content."""
    with path.open("rb") as raw:
        if not _is_gzip(path):
            yield raw, raw
            return
        with gzip.open(raw) as content:
            yield raw, cast(BinaryIO, content)


@contextmanager
def _text(path: Path) -> Iterator[TextIO]:
    """The content as text; a byte that is no UTF-8 shows as U+FFFD, a mark at the start is gone."""
    opened = gzip.open if _is_gzip(path) else open
    with opened(path, "rt", encoding="utf-8-sig", errors="replace", newline="") as file:
        yield cast(TextIO, file)


@contextmanager
def _parquet(path: Path) -> Iterator[Any]:
    require("pyarrow", "train")
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            yield file
    except pyarrow.ArrowException as error:
        raise DataError(f"table {path} cannot be read as Parquet: {error}") from error


@contextmanager
def _failures(path: Path) -> Iterator[None]:
    """What opening and reading may end in, as one sentence."""
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(
            f"{path} is a gzip file that is damaged or cut short: fetch it again"
        ) from error
    except OSError as error:
        raise DataError(
            f"table {path} cannot be read: {error.strerror or error}; check the path"
        ) from error
    except csv.Error as error:
        raise DataError(
            f"{path} was given as a table, but it is not CSV text ({error}): use a CSV or .parquet "
            "file"
        ) from error
