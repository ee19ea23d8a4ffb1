"""Published tables to a data set.

files ──> version, label and columns ──> one matrix ──> classes by label ──> three parts
          recognised_files               ../../tables   labelled_rows        ../split_protocols
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from idskit.data.dataset import Dataset, Labels, MoreRows, Request, join
from idskit.data.divide import first_occurrence, seen_in
from idskit.data.published.finite_rows import finite
from idskit.data.published.label_meanings import Meaning
from idskit.data.published.labelled_rows import labelled_dataset, read_requested
from idskit.data.published.publisher import Publisher, meaning_of
from idskit.data.published.recognised_files import (
    RecognisedFile,
    common_schema,
    files_stating,
    recognise,
    source_of,
)
from idskit.errors import DataError
from idskit.tables.matrix import MISSING, Table, read_tables, table_files
from idskit.tables.pieces import header_of


def load(publisher: Publisher, data: Path, request: Request) -> Dataset:
    """Read the tables in ``data`` and divide their rows.

    Args:
        publisher: whose tables they are.
        data: a folder of tables, or one table: .csv, .csv.gz or .parquet.
        request: files whose labels do not state the kind asked for are left out and noted.

    Raises:
        DataError: a file that cannot be read or is not the publisher's, or rows that cannot be
            trained on.
    """
    files, left_out = files_stating(publisher, data, request.labels)
    schema, notes = common_schema(publisher, files, request.reading.schema)
    sources = [source_of(file, schema, request.reading.schema) for file in files]
    table = read_requested(sources, request)
    return labelled_dataset(
        publisher.name,
        table,
        schema,
        [meaning_of(publisher, name) for name in table.names],
        publisher.classes[request.labels],
        units=_units(table, [file.label is None for file in files]),
        request=request,
        notes=(*publisher.notes, *left_out, *notes),
    )


def load_more(
    publisher: Publisher, files: Sequence[Path], dataset: Dataset, request: Request
) -> MoreRows:
    """Read rows to train on next to those of ``dataset``; labels may be coarser than asked.

    A class is possible where a label of it says nothing that the row's own label contradicts: the
    attacks of a family, if that is all the row's label states.

    Args:
        publisher: whose tables they are.
        files: tables of the version that ``dataset`` is of, or folders of them.
        dataset: divided already; rows that occur in it are left out.
        request: as it was loaded with.

    Raises:
        DataError: a file that cannot be read, is not the publisher's, or lacks a column; or no row
            that can be of a class of ``dataset``.
    """
    tables = [path for given in files for path in table_files(given)]
    found = [recognise(publisher, path, header_of(path)) for path in tables]
    for file in found:
        _require_columns(file, dataset)
    sources = [source_of(file, dataset.schema, request.reading.schema) for file in found]
    table = read_tables(sources, finite=True)
    stated = [meaning_of(publisher, name) for name in table.names]
    possible = np.array(
        [_possible(publisher, one, dataset.classes, request.labels) for one in stated]
    )
    of_row = possible[table.labels]
    kept, note = _new_rows(table.rows, of_row, dataset)
    _, _, incomplete = finite(table, dataset.schema, removable=False)
    notes = (f"more rows to train on, of {', '.join(table.sha256)}: {note}", *incomplete)
    return MoreRows(rows=table.rows[kept], possible=of_row[kept], notes=notes)


def _require_columns(file: RecognisedFile, dataset: Dataset) -> None:
    used = [dataset.schema.names[column] for column in np.flatnonzero(dataset.train.rows.any(0))]
    missing = [name for name in used if name not in file.positions]
    if missing:
        raise DataError(
            f"{file.path} was given as more rows of {dataset.name}, but it lacks {len(missing)} of "
            f"the {len(used)} columns in use ({', '.join(missing[:5])}, ...): give a file of the "
            "same version"
        )


def _possible(
    publisher: Publisher, stated: Meaning, classes: Sequence[str], labels: Labels
) -> list[bool]:
    """Return for each of ``classes`` whether a row whose label states that may be of it."""
    agreeing = [
        meaning.get(labels)
        for meaning in publisher.meanings.values()
        if all(meaning.get(kind, name) == name for kind, name in stated.items())
    ]
    return [name in agreeing for name in classes]


def _new_rows(
    rows: NDArray[np.float32], possible: NDArray[np.bool_], dataset: Dataset
) -> tuple[NDArray[np.bool_], str]:
    """Return which rows are new and of a class of the data set, and what was left out."""
    own = join([dataset.train, dataset.validation, dataset.test])
    left_out = {
        "of classes that the data lack": ~possible.any(axis=1),
        "that the data have themselves": seen_in(rows, own.rows),
        "that repeat another": first_occurrence(rows) != np.arange(len(rows)),
    }
    kept = ~np.any(list(left_out.values()), axis=0)
    counts = ", ".join(f"{mask.sum():,} {why}" for why, mask in left_out.items())
    if not kept.any():
        raise DataError(
            f"more rows of {dataset.name} were given, but none of the {len(rows):,} is new "
            f"({counts}): leave them out, or give other files"
        )
    return kept, f"{kept.sum():,} rows; left out: {counts}"


def _units(table: Table, of_one_class: list[bool]) -> NDArray[np.int64]:
    """Return what was recorded together, by row: a minute, or one of a class's files."""
    moments = table.moments.astype(np.int64)
    by_file = np.array(of_one_class)[table.files]
    return np.where(
        moments != MISSING,
        moments + len(of_one_class),
        np.where(by_file, table.files, -1),
    )
