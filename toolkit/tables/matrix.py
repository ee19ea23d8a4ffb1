"""CSV and Parquet tables of any length to one float32 matrix, piece by piece.

    header and first rows ──> which columns, and where (Source) ──> read_tables ──> Table

A piece of a file at a time is parsed in float64 and put into the matrix: in memory are the matrix
and one piece, whatever the file's size; with a limit on rows, only those drawn. Text columns and
labels may hold bytes that are no UTF-8.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idskit.errors import DataError, require
from idskit.report.progress import ProgressBar
from idskit.tables.column_kinds import MOST_TEXTS, is_empty
from idskit.tables.content import as_text, explained
from idskit.tables.pieces import Piece, pieces, to_numbers

SUFFIXES = (".csv", ".csv.gz", ".csv.bz2", ".csv.xz", ".csv.zst", ".csv.lz4", ".parquet", ".arrow")
GROWTH = 8  # the matrix grows by one part in so many: what it may hold too much
MISSING = -1  # code of an empty text
TEXT_LENGTH = 1_024  # of a label or category; longer ones are no names

Matrix = NDArray[np.float32]
Codes = NDArray[np.int32]


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

    def name(self, column: int) -> str:
        """Return the name in the file of a column of the matrix."""
        position = self.positions[column]
        return "" if position is None else self.header[position]

    def numbers(self) -> Iterator[int]:
        """Yield the places in the file that have to hold numbers."""
        for column, position in enumerate(self.positions):
            if position is not None and column not in self.texts:
                yield position

    def words(self) -> Iterator[int]:
        """Yield the places in the file that are read as text."""
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
    seen: int  # rows of the files
    notes: tuple[str, ...]  # headers dropped, and how numbers are written
    sha256: Mapping[str, str]  # of the files as stored, by name


def table_files(data: Path) -> list[Path]:
    """Return the tables in folder ``data``, by name, or the one file that it is.

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
    sizes = [source.path.stat().st_size for source in sources]
    with ProgressBar("reading", sum(sizes)) as bar:
        for index, source in enumerate(sources):
            with explained(source.path):
                for piece in pieces(source.path, {*source.numbers(), *source.words()}):
                    reading.add(index, piece)
                    bar.show(sum(sizes[:index]) + piece.share * sizes[index], source.path.name)
            reading.finish()
    return reading.table()


def words_of(path: Path, header: Sequence[str], place: int) -> list[str]:
    """Return the different texts of a column, but the empty one, in the order they first appear.

    Raises:
        DataError: the file cannot be read.
    """
    found = _Texts(path, header[place])
    for piece in pieces(path, [place]):
        found.encode(piece.columns[place])
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
    """Codes of texts, in the order in which they first appear.

    Raises:
        DataError: a text that is too long, or more of them than a column of names has.
    """

    path: Path
    name: str  # of the column
    code_of: dict[str, int] = field(default_factory=dict)

    def encode(self, column: Any, shorten: bool = False) -> Codes:
        """Give every cell the code of its text, MISSING where there is none."""
        coded = column.dictionary_encode()
        codes = [self._code(value, shorten) for value in coded.dictionary.to_pylist()]
        lookup = np.array([*codes, MISSING], np.int32)
        found: Codes = lookup[coded.indices.fill_null(len(codes)).to_numpy(zero_copy_only=False)]
        return found

    def _code(self, value: object, shorten: bool) -> int:
        text = as_text(value)
        if shorten:  # "12/7/2017 8:55:58 AM" to the minute; a number is no time
            text = ":".join(text.split(":")[:2]) if ":" in text else ""
        if is_empty(text):
            return MISSING
        if len(text) > TEXT_LENGTH:
            raise DataError(
                f"{self.path}, column {self.name!r} holds a text of {len(text):,} characters, "
                f"which is no category: remove the column"
            )
        code = self.code_of.setdefault(text, len(self.code_of))
        if code >= MOST_TEXTS and not shorten:
            raise DataError(
                f"{self.path}, column {self.name!r} holds more than {MOST_TEXTS} different texts, "
                "which are no categories: remove the column"
            )
        return code


class _Reading:
    """Pieces of files to rows, and what was left out of them."""

    def __init__(self, sources: Sequence[Source], *, finite: bool, rows: _Rows) -> None:
        first = sources[0]
        self._sources, self._finite, self._rows = sources, finite, rows
        self._labels = _Texts(first.path, "" if first.label is None else first.header[first.label])
        self._moments = _Texts(first.path, "")
        self._texts = {column: _Texts(first.path, first.name(column)) for column in first.texts}
        self._nonfinite: Counter[int] = Counter()
        self._remarks: dict[str, Counter[str]] = {}
        self._unlabelled = self._incomplete = self._seen = self._repeated = self._last = 0

    def add(self, index: int, piece: Piece) -> None:
        """Add a piece of the file ``index``."""
        source, columns = self._sources[index], piece.columns
        self._last = piece.repeated
        block = self._block(source, piece)
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
        self._seen += len(block)
        self._unlabelled += int((~labelled).sum())
        kept: NDArray[np.bool_] = self._complete(block, labelled)
        self._rows.add(block[kept], codes[kept])

    def finish(self) -> None:
        """End a file."""
        self._repeated += self._last
        self._last = 0

    def _block(self, source: Source, piece: Piece) -> Matrix:
        block = np.zeros((piece.rows, len(source.positions)), np.float32)
        with np.errstate(over="ignore"):  # beyond float32 becomes infinity, and is counted
            for column, position in enumerate(source.positions):
                if position is not None:
                    block[:, column] = self._cells(source, column, position, piece)
        for column, value in source.undefined.items():
            block[~np.isfinite(block[:, column]), column] = value
        return block

    def _cells(
        self, source: Source, column: int, position: int, piece: Piece
    ) -> Codes | NDArray[np.float64]:
        """Return the codes of a column of text, or numbers."""
        values, name = piece.columns[position], source.header[position]
        if column in source.texts:
            return self._texts[column].encode(values)
        return to_numbers(
            source.path, name, values, piece, self._remarks.setdefault(name, Counter())
        )

    def _complete(self, block: Matrix, labelled: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which rows to keep of the labelled ones; NaN and infinity in those are counted."""
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
        """Return what was read."""
        self._rows.finish()
        files = [source.path for source in self._sources]
        if not len(self._rows.matrix):
            raise self._none_left(files)
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
            seen=self._seen,
            notes=self._notes(),
            sha256={file.name: sha256_of(file) for file in files},
        )

    def _none_left(self, files: list[Path]) -> DataError:
        if not self._incomplete:
            return DataError(f"{_listed(files)} holds no labelled row: a table with rows is needed")
        source = self._sources[0]
        names = ", ".join(source.name(c) for c, _ in self._nonfinite.most_common(5))
        return DataError(
            f"every labelled row of {_listed(files)} lacks a number or holds infinity somewhere "
            f"(most often {names}): leave out the columns instead (--nonfinite columns)"
        )

    def _notes(self) -> tuple[str, ...]:
        """Return how the text of the files was read, where that is not plain."""
        headers = [f"left out: {self._repeated} repeated header lines"] * bool(self._repeated)
        return (*headers, *remark_notes(self._remarks))


def remark_notes(remarks: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Say in which columns numbers were written in an unusual way, by way."""
    ways: dict[str, list[str]] = {}
    for name, counts in remarks.items():
        for way, count in counts.items():
            ways.setdefault(way, []).append(f"{name} {count}")
    return [f"{way}: {_few(columns)}" for way, columns in ways.items()]


def _few(names: Sequence[str], most: int = 10) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _listed(files: list[Path]) -> str:
    return str(files[0]) + (f" (and {len(files) - 1} more files)" if files[1:] else "")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as stored, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
