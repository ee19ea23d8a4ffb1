"""Columns of Parquet and Arrow files, within bounds, as numbers or as the text CSV would have."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from idskit.errors import DataError, require
from idskit.tables.arrow_bounds import require_arrow_bounds
from idskit.tables.content import explained, kind_of, most_unpacked, unpacks_too_much
from idskit.tables.parquet_bounds import (
    MOST_FIXED_BYTES,
    require_footer_bounds,
    require_parquet_bounds,
)

_NAMES = {"parquet": "Parquet", "arrow": "Arrow"}
_KINDS = (  # of pyarrow's types, those whose cells are bounded by what is stored
    "boolean integer floating decimal null temporal string large_string binary large_binary "
    "string_view binary_view"
)
LEAST_READ = 1 << 14  # rows read at once: of each reading Arrow copies whole dictionaries
MOST_CELLS = 1 << 23  # of the rows read at once, 64 MiB of numbers


@dataclass(frozen=True, kw_only=True)
class StoredTable:
    """An open file of columns."""

    path: Path
    schema: Any  # pyarrow.Schema
    rows: int
    file: Any  # pyarrow.parquet.ParquetFile or pyarrow.ipc.RecordBatchFileReader
    is_parquet: bool

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the columns, without the spaces around them."""
        return tuple(name.strip() for name in self.schema.names)

    def columns(self, places: Collection[int], rows: int) -> Iterator[Mapping[int, Any]]:
        """Yield arrow arrays of at most ``rows`` rows, by position in the file.

        Raises:
            DataError: one of the columns holds neither numbers nor text.
        """
        for place in places:
            _require_flat(self.path, self.schema.field(place))
        if not places:
            return
        most = max(MOST_CELLS // len(places), 1)
        rows, read = min(rows, most), min(max(rows, LEAST_READ), most)
        for batch in self._of_parquet(places, read) if self.is_parquet else self._of_arrow(places):
            checked = [_checked(self.path, column) for column in batch]
            for start in range(0, len(checked[0]), rows):
                cut = (column.slice(start, rows) for column in checked)
                yield {p: _plain(c) for p, c in zip(places, cut, strict=True)}

    def _of_parquet(self, places: Collection[int], rows: int) -> Iterator[list[Any]]:
        names = self.schema.names
        wanted = [names[place] for place in places]
        nth = [names[:place].count(names[place]) for place in places]  # of that name
        for batch in self.file.iter_batches(rows, columns=wanted):
            found = map(batch.schema.get_all_field_indices, wanted)
            yield [batch.column(its[n]) for its, n in zip(found, nth, strict=True)]

    def _of_arrow(self, places: Collection[int]) -> Iterator[list[Any]]:
        for index in range(self.file.num_record_batches):
            batch = self.file.get_batch(index)
            yield [batch.column(place) for place in places]


def is_stored(path: Path) -> bool:
    """Return whether a table is a Parquet or Arrow file, by its content.

    Raises:
        DataError: it is neither that nor CSV, or its name says that it should be.
    """
    kind = kind_of(path)
    claimed = _NAMES.get(path.suffix.lower().removeprefix("."))
    if kind == "text" and claimed:
        raise DataError(f"table {path} cannot be read as {claimed}: it does not begin as one")
    return kind in _NAMES


@contextmanager
def open_stored(path: Path) -> Iterator[StoredTable]:
    """Open a Parquet or Arrow file whose size, packed and not, is in bounds.

    Raises:
        DataError: it cannot be read, or holds what no table of flows has; while reading too.
        MissingExtra: pyarrow is not installed.
    """
    require("pyarrow", "train")
    import pyarrow

    kind = kind_of(path)
    with explained(path, kind):
        try:
            with _parquet(path) if kind == "parquet" else _arrow(path) as table:
                yield table
        except MemoryError:
            raise
        except (pyarrow.ArrowException, OSError, UnicodeError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise DataError(
                f"table {path} cannot be read as {_NAMES[kind]}: {reason}; fetch or write it again"
            ) from error


@contextmanager
def _parquet(path: Path) -> Iterator[StoredTable]:
    from pyarrow import parquet

    require_footer_bounds(path)
    with parquet.ParquetFile(path) as file:
        require_parquet_bounds(path, file.metadata)
        texts = [field.name for field in file.schema_arrow if _is_words(field.type)]
    # A text that stands in many rows is kept once.
    with parquet.ParquetFile(path, read_dictionary=texts) as file:
        yield StoredTable(
            path=path,
            schema=file.schema_arrow,
            rows=file.metadata.num_rows,
            file=file,
            is_parquet=True,
        )


@contextmanager
def _arrow(path: Path) -> Iterator[StoredTable]:
    from pyarrow import ipc

    rows = require_arrow_bounds(path)
    with ipc.open_file(path) as file:
        yield StoredTable(path=path, schema=file.schema, rows=rows, file=file, is_parquet=False)


def _require_flat(path: Path, column: Any) -> None:
    from pyarrow import types

    kind = column.type.value_type if types.is_dictionary(column.type) else column.type
    flat = any(getattr(types, f"is_{name}")(kind) for name in _KINDS.split())
    if types.is_fixed_size_binary(kind):
        flat = kind.byte_width <= MOST_FIXED_BYTES
    if not flat:
        raise DataError(
            f"{path}, column {column.name!r} holds {str(column.type)[:60]}, neither numbers nor "
            "text: remove it, or give each of its values a column"
        )


def _checked(path: Path, column: Any) -> Any:
    """Return a column whose offsets and codes, which may point anywhere, and texts are right."""
    from pyarrow import types

    column.validate()
    texts = column.dictionary if types.is_dictionary(column.type) else column
    if _is_view(texts.type) and _length_of_views(texts) > most_unpacked(path):
        raise unpacks_too_much(path)
    column.validate(full=True)
    return column


def _length_of_views(texts: Any) -> int:
    """Return how many bytes texts are that may all be views of the same ones."""
    views = np.frombuffer(texts.buffers()[1], np.int32)[4 * texts.offset :]
    lengths = views[: 4 * len(texts) : 4][texts.is_valid().to_numpy(zero_copy_only=False)]
    return int(lengths.sum(dtype=np.int64))


def _is_words(kind: Any) -> bool:
    from pyarrow import types

    return _is_view(kind) or bool(
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_binary(kind)
        or types.is_large_binary(kind)
    )


def _is_view(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_string_view(kind) or types.is_binary_view(kind))


def _plain(column: Any) -> Any:
    """Return a column as numbers, or as the text that CSV would have."""
    import pyarrow
    from pyarrow import compute, types

    kind = column.type
    if types.is_dictionary(kind):
        return _coded(column)
    if _is_view(kind):
        return _from_views(column)
    if types.is_boolean(kind):
        return compute.if_else(column, *pyarrow.array(["True", "False"]))
    if types.is_duration(kind):
        return column.cast(pyarrow.int64()).cast(pyarrow.float64(), safe=False)
    if types.is_temporal(kind):
        return column.cast(pyarrow.string())
    return column.cast(pyarrow.float64(), safe=False) if _is_numeric(kind) else column


def _coded(column: Any) -> Any:
    """Return texts as codes, since a long one may stand in all rows, and others as they are."""
    import pyarrow

    if not _is_words(column.type.value_type):
        return _plain(column.cast(column.type.value_type))
    if len(column.dictionary) > len(column):
        column = _used(column)
    texts = _plain(column.dictionary)
    return pyarrow.DictionaryArray.from_arrays(column.indices, texts)


def _from_views(column: Any) -> Any:
    import pyarrow
    from pyarrow import types

    is_text = types.is_string_view(column.type)
    return column.cast(pyarrow.large_string() if is_text else pyarrow.large_binary())


def _used(column: Any) -> Any:
    """Return a coded column whose dictionary holds nothing that the column does not."""
    import pyarrow
    from pyarrow import compute

    codes = column.indices.unique().drop_null()
    indices = compute.index_in(column.indices, codes)
    return pyarrow.DictionaryArray.from_arrays(indices, column.dictionary.take(codes))


def _is_numeric(kind: Any) -> bool:
    from pyarrow import types

    checks = (types.is_floating, types.is_integer, types.is_decimal, types.is_null)
    return any(check(kind) for check in checks)
