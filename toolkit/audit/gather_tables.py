"""Read files and data sets as audit tables, in one pass and bounded memory.

files, data sets ──> pieces ──┬──> sampled columns   at most ``most_rows`` rows, in their order
                              └──> labels, hashes    every row, about 20 bytes each
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from idskit.audit.audit_reading import TableFile, open_table
from idskit.audit.audited_table import DIGITS, AuditTable, Classes, Column
from idskit.audit.identity import identity_of_name, repeats_missing
from idskit.data.dataset import Dataset, Part
from idskit.errors import DataError
from idskit.report.finding import listed
from idskit.tables.column_kinds import MOST_TEXTS, is_index_name, kinds_of
from idskit.tables.label_column import label_columns
from idskit.tables.matrix import TEXT_LENGTH

MOST_ROWS, LEAST_ROWS = 100_000, 50
FILE = "(file)"  # column of stacked tables: the capture, and the class if no column holds one
NO_LABEL = "(empty)"
MOST_CELLS = 1 << 25  # kept per table: fewer rows if it has very many columns
_NO_ROWS = pd.DataFrame()


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """Options of how tables are read."""

    labels: tuple[str, ...] = ()  # label columns; found by name if none
    most_rows: int = MOST_ROWS
    seed: int = 0


def read_tables(
    paths: list[Path], options: ReadOptions, like: AuditTable | None = None
) -> AuditTable:
    """Read files as one table.

    Tables with the same columns are stacked, and the file of a row is its capture. Tables with
    other columns and equally many rows are put side by side, as arrays that belong together.

    Args:
        paths: CSV or Parquet files.
        options: which labels, how many rows are kept and the seed of their choice.
        like: the training table; its labels and identifying columns are taken over.

    Raises:
        DataError: files that cannot be read or do not fit together, or a label that is not there.
    """
    files = [open_table(path) for path in paths]
    headers = [file.header for file in files]
    wanted = options.labels if like is None else tuple(label.name for label in like.labels)
    side_by_side = any(set(header) != set(headers[0]) for header in headers)
    labels = _label_columns(headers, wanted, _name(paths), side_by_side=side_by_side)
    if not side_by_side:
        texts = _texts(files, labels, like)
        stacked = _gather(_stacked(files, texts, labels), labels, _name(paths), options, like)
        return _noted(stacked, files)
    apart = [
        _gather(
            _stacked([file], _texts([file], labels, like), labels),
            tuple(label for label in labels if label in file.header),
            file.path.name,
            options,
            like,
        )
        for file in files
    ]
    return _noted(_side_by_side(apart), files)


def _texts(
    files: Sequence[TableFile], labels: Sequence[str], like: AuditTable | None
) -> frozenset[str]:
    """Return the columns that are read as text: the labels, and those that hold texts."""
    if like is not None:
        return frozenset(c.name for c in like.columns if c.texts).union(labels)
    kinds = kinds_of([file.path for file in files], [file.header for file in files])
    return kinds.texts.union(labels)


def _noted(table: AuditTable, files: Sequence[TableFile]) -> AuditTable:
    """Return the table with notes on its files."""
    named = [c.name for c in table.indexes]
    stated = [name for file in files for name in file.header if name in file.indexes]
    names = ", ".join(dict.fromkeys((*named, *stated)))
    left_out = [f"left out, columns that number the rows, as pandas writes: {names}"]
    notes = [note for file in files for note in file.notes()]
    return replace(table, notes=(*(left_out if names else []), *notes))


def dataset_tables(dataset: Dataset, options: ReadOptions) -> tuple[AuditTable, AuditTable]:
    """Return the rows that are learned from (training and validation), and the test rows."""
    shared = bool(np.intersect1d(dataset.train.groups, dataset.test.groups).size)
    kind = "group" if shared else FILE  # kinds of traffic are labels, captures are captures
    labels = ("class", "group") if shared else ("class",)
    known = (_frame(dataset, part, kind) for part in (dataset.train, dataset.validation))
    train = _gather(known, labels, f"{dataset.name} training", options)
    judged = iter([_frame(dataset, dataset.test, kind)])
    return train, _gather(judged, labels, f"{dataset.name} test", options, train)


def _frame(dataset: Dataset, part: Part, kind: str) -> pd.DataFrame:
    """Return rows of a part with names for codes."""
    columns: dict[str, Any] = {}
    for index, feature in enumerate(dataset.schema.features):
        values = part.rows[:, index].astype(np.float64)
        texts = np.array([*feature.categories, "(unlisted)"], object)
        named = pd.Series(texts[values.astype(int)] if feature.categories else None, dtype=object)
        columns[feature.name] = named if feature.categories else values
    columns["class"] = np.array(dataset.classes, object)[part.labels]
    columns[kind] = np.array(dataset.groups, object)[part.groups]
    return pd.DataFrame(columns)


def _name(paths: list[Path]) -> str:
    return listed([path.name for path in paths], 3) if len(paths) > 1 else paths[0].name


def _stacked(
    files: Sequence[TableFile], texts: frozenset[str], labels: Sequence[str]
) -> Iterator[pd.DataFrame]:
    """Yield the rows of all files, without the columns that they state to be an index."""
    for file in files:
        unread = [name for name in file.header if name in file.indexes and name not in labels]
        for frame in file.frames(texts, unread):
            yield frame.assign(**{FILE: file.path.name}) if len(files) > 1 else frame


def _gather(
    pieces: Iterable[pd.DataFrame],
    labels: tuple[str, ...],
    name: str,
    options: ReadOptions,
    like: AuditTable | None = None,
) -> AuditTable:
    """Read a table once, and keep what ``AuditTable`` holds."""
    gathered = _Gathered(labels, name, options, like)
    for piece in pieces:
        gathered.add(piece)
    return gathered.table()


class _Gathered:
    """What is kept of the pieces so far; the first piece decides what each column is."""

    def __init__(
        self, labels: tuple[str, ...], name: str, options: ReadOptions, like: AuditTable | None
    ) -> None:
        self._name, self._like = name, like
        self._kept = _Kept(most_rows=options.most_rows, rng=np.random.default_rng(options.seed))
        self._hashes: list[pd.DataFrame] = []
        self._labels = {label: _Codes() for label in labels}
        self._captures: dict[str, _Codes] = {}
        self._unhashed: tuple[str, ...] = ()

    def add(self, piece: pd.DataFrame) -> None:
        """Add the next rows."""
        first = not self._kept.rows
        if first and FILE in piece and FILE not in self._labels:
            self._captures = {FILE: _Codes()}
        kinds = self._labels | self._captures
        for name, codes in kinds.items():
            codes.add(piece[name])
        features = piece.drop(columns=list(kinds))
        if first:
            self._choose_unhashed(features)
        self._hashes.append(_hashes(features.drop(columns=list(self._unhashed), errors="ignore")))
        self._kept.add(features)

    def table(self) -> AuditTable:
        """Return the table of all rows.

        Raises:
            DataError: too few rows.
        """
        if self._kept.rows < LEAST_ROWS:
            raise DataError(
                f"{self._name} holds {self._kept.rows} rows, and an audit needs {LEAST_ROWS}: give "
                "more rows"
            )
        hashes = pd.concat(self._hashes, ignore_index=True)
        sample, frame = self._kept.sampled()
        columns = [_column(frame[c]) for c in frame]
        return AuditTable(
            name=self._name,
            columns=tuple(c for c in columns if not is_index_name(c.name)),
            indexes=tuple(c for c in columns if is_index_name(c.name)),
            sample=sample,
            labels=tuple(codes.classes(name) for name, codes in self._labels.items()),
            captures=next((c.classes(name) for name, c in self._captures.items()), None),
            exact=hashes["exact"].to_numpy(np.uint64),
            rounded=hashes["rounded"].to_numpy(np.uint64),
            unhashed=self._unhashed,
        )

    def _choose_unhashed(self, features: pd.DataFrame) -> None:
        if self._like is not None:
            self._unhashed = self._like.unhashed
        else:
            self._unhashed = tuple(str(c) for c in features if _identifies(features[c]))


class _Codes:
    """Names of rows as numbers, in the order of their first row until all are known."""

    def __init__(self) -> None:
        self._code_of: dict[str, int] = {}
        self._pieces: list[NDArray[np.int32]] = []

    def add(self, values: pd.Series[Any]) -> None:
        """Add the next rows."""
        codes, names = pd.factorize(_spelled(values))
        if any(len(name) >= TEXT_LENGTH for name in names):
            raise DataError(
                f"label {values.name!r} holds a text of {TEXT_LENGTH:,} characters or more, which "
                "is no class: name the column that holds the classes with --label"
            )
        code = [self._code_of.setdefault(str(n), len(self._code_of)) for n in names]
        if len(self._code_of) > MOST_TEXTS:
            raise DataError(
                f"label {values.name!r} has more than {MOST_TEXTS} different values, which are no "
                "classes: name the column that holds the classes with --label"
            )
        self._pieces.append(np.array(code, np.int32)[codes])

    def classes(self, name: str) -> Classes:
        """Return all rows, with the names in alphabetical order."""
        names = np.array(list(self._code_of), object)
        place = np.argsort(np.argsort(names))
        codes = place[np.concatenate(self._pieces)].astype(np.int32)
        return Classes(name=name, names=tuple(map(str, np.sort(names))), codes=codes)


class _Kept:
    """Uniform sample of rows in their order, from pieces: those with the smallest random keys.

    Keys follow the rows and not the pieces, so equally long tables give the same positions.
    """

    def __init__(self, *, most_rows: int, rng: np.random.Generator) -> None:
        self._most, self._rng = most_rows, rng
        self._frame, self._keys = _NO_ROWS, np.empty(0)
        self._positions = np.empty(0, np.int64)
        self.rows = 0

    def add(self, piece: pd.DataFrame) -> None:
        """Consider the next rows."""
        most = min(self._most, max(MOST_CELLS // max(len(piece.columns), 1), LEAST_ROWS))
        self._keys = np.append(self._keys, self._rng.random(len(piece)))
        self._positions = np.append(self._positions, np.arange(self.rows, self.rows + len(piece)))
        self._frame = pd.concat([self._frame, piece], ignore_index=True) if self.rows else piece
        self.rows += len(piece)
        if len(self._keys) > most:
            chosen = np.sort(np.argpartition(self._keys, most - 1)[:most])
            self._keys, self._positions = self._keys[chosen], self._positions[chosen]
            self._frame = self._frame.iloc[chosen].reset_index(drop=True)

    def sampled(self) -> tuple[NDArray[np.int64], pd.DataFrame]:
        """Return positions and rows."""
        return self._positions, self._frame


def _label_columns(
    headers: list[tuple[str, ...]],
    wanted: tuple[str, ...],
    name: str,
    *,
    side_by_side: bool = False,
) -> tuple[str, ...]:
    """Return the label columns: those asked for, those of usual names, or the file."""
    header = list(dict.fromkeys(column for its in headers for column in its))
    stacked = len(headers) > 1 and not side_by_side
    absent = [label for label in wanted if label not in header and not (stacked and label == FILE)]
    if absent:
        raise DataError(
            f"{name} has no column {listed(absent)}, which was asked for as label: it has "
            f"{listed(header)}"
        )
    found = wanted or label_columns(header) or ((FILE,) if stacked else ())
    if not found:
        raise DataError(
            f"{name} has no column that is called a label ({listed(header)}): name it with --label"
        )
    return found


def _identifies(values: pd.Series[Any]) -> bool:
    """Return whether a column identifies rows instead of describing them."""
    if identity_of_name(str(values.name)) or is_index_name(str(values.name)):
        return True
    return values.dtype != object and repeats_missing(values.to_numpy(np.float64)) > 0


def _hashes(features: pd.DataFrame) -> pd.DataFrame:
    """Return two hashes of each row, which do not depend on the order of the columns."""
    if features.columns.empty:  # a file of labels alone
        none = np.zeros(len(features), np.uint64)
        return pd.DataFrame({"exact": none, "rounded": none})
    features = features[sorted(map(str, features))]
    rounded = features.apply(lambda c: c if c.dtype == object else _significant(c.to_numpy()))
    return pd.DataFrame(
        {
            "exact": pd.util.hash_pandas_object(features, index=False),
            "rounded": pd.util.hash_pandas_object(rounded, index=False),
        }
    )


def _significant(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values rounded to DIGITS significant digits."""
    usable = np.isfinite(values) & (values != 0)
    exponent = np.floor(np.log10(np.abs(values), out=np.zeros(len(values)), where=usable))
    unit = 10.0 ** (exponent - DIGITS + 1)
    return np.where(usable, np.round(values / unit) * unit, values)


def _spelled(values: pd.Series[Any]) -> pd.Series[Any]:
    """Return labels as text, 1 and 1.0 alike."""
    named: pd.Series[Any] = values.astype(object).where(values.notna(), NO_LABEL).astype(str)
    return named.str.replace(r"^([+-]?\d+)\.0+$", r"\1", regex=True)


def _column(values: pd.Series[Any]) -> Column:
    if values.dtype != object:
        return Column(name=str(values.name), values=values.to_numpy(np.float64))
    codes, names = pd.factorize(values, sort=True)
    numbers = np.where(codes < 0, np.nan, codes.astype(np.float64))
    return Column(name=str(values.name), values=numbers, texts=tuple(map(str, names)))


def _side_by_side(tables: list[AuditTable]) -> AuditTable:
    """Join columns of several tables that describe the same rows."""
    first = tables[0]
    for other in tables[1:]:
        _require_aligned(first, other)
    names = [column.name for table in tables for column in table.columns]
    twice = {name for name in names if names.count(name) > 1}
    return AuditTable(
        name=" + ".join(table.name for table in tables),
        columns=tuple(
            Column(
                name=f"{table.name}: {c.name}" if c.name in twice else c.name,
                values=c.values,
                texts=c.texts,
            )
            for table in tables
            for c in table.columns
        ),
        indexes=tuple(column for table in tables for column in table.indexes),
        sample=first.sample,
        labels=tuple({label.name: label for table in tables for label in table.labels}.values()),
        captures=None,
        exact=_combined([table.exact for table in tables]),
        rounded=_combined([table.rounded for table in tables]),
        unhashed=tuple(name for table in tables for name in table.unhashed),
    )


def _require_aligned(first: AuditTable, other: AuditTable) -> None:
    if len(first) != len(other):
        raise DataError(
            f"{first.name} and {other.name} have neither the same columns (to be stacked) nor "
            f"equally many rows (to be put side by side): {len(first)} and {len(other)} rows; "
            "audit them one by one"
        )
    theirs: Mapping[str, Classes] = {label.name: label for label in other.labels}
    for label in first.labels:
        same = theirs.get(label.name)
        if same is None:
            continue
        differ = np.array(label.names)[label.codes] != np.array(same.names)[same.codes]
        if differ.any():
            raise DataError(
                f"{first.name} and {other.name} are put side by side, but their label "
                f"{label.name!r} differs in {differ.sum()} of {len(differ)} rows, so these are "
                "not the same rows: audit them one by one"
            )


def _combined(hashes: list[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    frame = pd.DataFrame(dict(enumerate(hashes)))
    return np.asarray(pd.util.hash_pandas_object(frame, index=False), np.uint64)
