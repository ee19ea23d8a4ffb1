"""Leave out rows, or columns, that hold NaN or infinity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from idskit.errors import DataError
from idskit.schema import Schema
from idskit.tables.matrix import Table


def finite(table: Table, schema: Schema, *, removable: bool) -> tuple[Table, Schema, list[str]]:
    """Return the table without columns that hold NaN or infinity, or with 0 in them, and notes."""
    notes = [*table.notes]
    if table.unlabelled:
        notes.append(f"left out: {table.unlabelled} rows without a label")
    names = ", ".join(f"{schema.names[c]} {n}" for c, n in sorted(table.nonfinite.items()))
    if table.incomplete:
        notes.append(f"left out: {table.incomplete} rows that hold NaN or infinity ({names})")
    elif table.nonfinite:
        notes.append(f"left out, columns that hold NaN or infinity: {names}")
        bad = sorted(table.nonfinite)
        if removable:
            return _without(table, bad), _less(schema, bad), notes
        table.rows[:, bad] = 0
    return table, schema, notes


def _without(table: Table, columns: Sequence[int]) -> Table:
    """Return the table without some of its columns."""
    return replace(table, rows=np.delete(table.rows, columns, axis=1))


def _less(schema: Schema, columns: Sequence[int]) -> Schema:
    """Return the schema without some of its columns."""
    kept = tuple(f for index, f in enumerate(schema.features) if index not in columns)
    if not kept:
        raise DataError(f"every column of {schema.name} holds NaN or infinity: leave out rows")
    return Schema(name=schema.name, features=kept)
