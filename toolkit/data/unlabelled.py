"""Rows without labels: of tables that ``idskit extract`` wrote, or others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from idskit.data.published.label_meanings import column_key
from idskit.data.published.publisher import positions_of
from idskit.data.user_table import to_codes
from idskit.errors import DataError
from idskit.schema import Schema
from idskit.tables.matrix import Source, read_tables, table_files
from idskit.tables.pieces import header_of


def read_unlabelled(
    files: Sequence[Path], schema: Schema, spellings: Mapping[str, str]
) -> NDArray[np.float32]:
    """Read the columns of ``schema``, in any order, and ignore all others.

    Args:
        files: CSV or Parquet tables, or folders of them.
        schema: whose columns the rows (n, features) get; rows with NaN or infinity are left out.
        spellings: column keys to feature names, where they differ.

    Raises:
        DataError: a file that cannot be read, or lacks a column.
    """
    tables = [table for given in files for table in table_files(given)]
    table = read_tables([_source(path, schema, spellings) for path in tables], finite=True)
    to_codes(table, schema)
    return table.rows


def _source(path: Path, schema: Schema, spellings: Mapping[str, str]) -> Source:
    header = header_of(path)
    positions = positions_of(schema.features, spellings, [column_key(name) for name in header])
    missing = [name for name in schema.names if name not in positions]
    if missing:
        raise DataError(
            f"{path} was given as rows without labels, but it lacks {len(missing)} of the "
            f"{len(schema)} columns of schema {schema.name} ({', '.join(missing[:5])}, ...): write "
            "it with the same profile (idskit extract --schema)"
        )
    return Source(
        path=path,
        header=header,
        positions=tuple(positions[name] for name in schema.names),
        texts=frozenset(c for c, feature in enumerate(schema.features) if feature.categories),
        label_text="none",  # all rows are of one class, which is not looked at
    )
