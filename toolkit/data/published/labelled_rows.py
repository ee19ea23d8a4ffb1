"""Rows of tables to a divided data set: classes by label, complete columns, three parts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from idskit.data.dataset import OWN, Dataset, Labels, Part, Request, check_dataset
from idskit.data.published.finite_rows import finite
from idskit.data.published.label_meanings import BENIGN, Meaning
from idskit.data.split_protocols import PAPER_NOTES, Parts, divide_honest, divide_paper
from idskit.errors import DataError
from idskit.schema import Schema
from idskit.tables.matrix import Source, Table, read_tables

UNSTATED = "left out, labels that do not state the"  # begins the note on files that are not read


def read_requested(sources: Sequence[Source], request: Request) -> Table:
    """Read ``sources`` as the request asks."""
    reading = request.reading
    finite = reading.nonfinite == "rows"
    return read_tables(sources, finite=finite, most=reading.rows, seed=request.seed)


def labelled_dataset(
    name: str,
    table: Table,
    schema: Schema,
    meanings: Sequence[Meaning],
    classes: Sequence[str],
    *,
    units: NDArray[np.int64],
    request: Request,
    notes: Sequence[str],
) -> Dataset:
    """Give rows their classes and divide them.

    Args:
        name: of the data set.
        table: the rows, with the columns of ``schema``.
        schema: of the rows.
        meanings: of each of ``table.names``.
        classes: of this kind, the benign one first; those without rows are left out.
        units: (n,) what was recorded together, -1 where unknown.
        request: protocol, kind of the classes, seed.
        notes: on what came before.

    Raises:
        DataError: one class only, or a class of one row.
        SchemaError: NaN or infinity is left.
    """
    table, schema, found = finite(table, schema, removable=request.reading.schema == OWN)
    kept = _present(table, meanings, classes, request.labels)
    if len(kept) < 2 or BENIGN not in kept:
        raise _too_few(name, kept, table, notes)
    groups = tuple(sorted({_group(meaning) for meaning in meanings}))
    part = _part(table, meanings, kept, groups, request.labels)
    parts, divided = _divide(part, units, groups, request)
    return check_dataset(
        Dataset(
            name=name,
            protocol=request.protocol,
            schema=schema,
            classes=kept,
            groups=groups,
            train=parts[0],
            validation=parts[1],
            test=parts[2],
            notes=(*notes, *found, *divided),
            sha256=table.sha256,
        )
    )


def _present(
    table: Table, meanings: Sequence[Meaning], classes: Sequence[str], labels: Labels
) -> tuple[str, ...]:
    """Return the classes that have rows."""
    seen = {meanings[code][labels] for code in np.unique(table.labels)}
    return tuple(kind for kind in classes if kind in seen)


def _too_few(name: str, kept: Sequence[str], table: Table, notes: Sequence[str]) -> DataError:
    """Return the error of rows without the benign class, or without another."""
    found = f"only rows of class {kept[0]}" if len(kept) == 1 else f"no {BENIGN} rows"
    files = ", ".join(list(table.sha256)[:3]) + (", ..." if len(table.sha256) > 3 else "")
    unused = "".join(f"; {note}" for note in notes if note.startswith(UNSTATED))
    return DataError(
        f"{name} has {found} ({len(table.rows)} rows of {files}{unused}): benign rows and rows of "
        "at least one attack are needed"
    )


def _part(
    table: Table,
    meanings: Sequence[Meaning],
    classes: tuple[str, ...],
    groups: tuple[str, ...],
    labels: Labels,
) -> Part:
    """Return all rows, each with the class and the group that its label means."""
    class_of = {name: code for code, name in enumerate(classes)}
    codes = np.array([class_of.get(meaning[labels], -1) for meaning in meanings])
    named = np.array([groups.index(_group(meaning)) for meaning in meanings])
    return Part(
        rows=table.rows,
        labels=codes[table.labels],
        weights=np.ones(len(table.rows), np.float32),
        groups=named[table.labels],
    )


def _divide(
    part: Part, units: NDArray[np.int64], groups: tuple[str, ...], request: Request
) -> tuple[Parts, Sequence[str]]:
    if request.protocol == "paper":
        return divide_paper(part, request.seed), PAPER_NOTES
    return divide_honest(part, units, groups, request.seed)


def _group(meaning: Meaning) -> str:
    """Return the finest class that a label states."""
    kinds: tuple[Labels, ...] = ("attack", "family10", "family", "binary")
    return next(meaning[kind] for kind in kinds if kind in meaning)
