"""Tables from files, a piece at a time: the one place of the audit that knows file formats."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from idskit.errors import DataError

CSV = (".csv", ".csv.gz", ".txt", ".txt.gz")
PARQUET = (".parquet",)
PIECE = 100_000  # rows


def frames(path: Path) -> Iterator[pd.DataFrame]:
    """The rows of a CSV (plain or gzip) or Parquet file, in pieces of at most ``PIECE`` rows.

    Column names come without surrounding blanks; bytes that are not UTF-8 become U+FFFD.

    Raises:
        DataError: no such file, another format, damaged, or without rows.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; give a table, or a data set by name with --data")
    name = path.name.lower()
    if not name.endswith((*CSV, *PARQUET)):
        raise DataError(
            f"{path} is none of {', '.join((*CSV, *PARQUET))}: save the table in one of these"
        )
    empty = True
    try:
        for frame in _parquet(path) if name.endswith(PARQUET) else _csv(path):
            if frame.empty:
                continue
            empty = False
            yield frame.rename(columns=lambda column: str(column).strip())
    except (OSError, EOFError, ValueError) as error:  # pandas' and pyarrow's own are ValueErrors
        reason = str(error).strip().splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path} cannot be read as a table: {reason}; repair the file") from error
    if empty:
        raise DataError(f"{path} holds no rows: give a table with labelled rows")


def _csv(path: Path) -> Iterator[pd.DataFrame]:
    with pd.read_csv(path, chunksize=PIECE, low_memory=False, encoding_errors="replace") as pieces:
        yield from pieces


def _parquet(path: Path) -> Iterator[pd.DataFrame]:
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path) as file:
        for batch in file.iter_batches(PIECE):
            yield batch.to_pandas()
