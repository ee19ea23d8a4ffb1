"""Captures and interfaces to tables of flow features: CSV, Parquet or Arrow.

The CSV columns of ``cic-...`` are those of CICFlowMeter, in its order and spelling, so that scripts
made for its files go on working. Numbers read back exactly.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from idskit.capture.drops import DropNotices
from idskit.errors import IdskitError, require
from idskit.extract.csv_rows import CsvRows
from idskit.extract.text_fields import LABEL, Field, fields_of, tail_of, texts
from idskit.files.output import is_stream, reason, write_stream, write_whole
from idskit.flow import FLOW
from idskit.flow_input import FlowInput
from idskit.process.signals import finish_on_signals
from idskit.process.streams import standard_output
from idskit.profiles.flow_reader import FlowBatch, FlowReader, open_input
from idskit.profiles.reading_statistics import FlowStatistics
from idskit.schema import Schema

STDOUT = "-"
_BATCH = 8192
_BAR_BYTES = 32 << 20  # a smaller capture is read before anyone has looked at a bar
_ENDINGS = (".csv", ".csv.gz", ".parquet", ".arrow")
_GZIP_BYTES = 1 << 20  # of text in a member; each can be read by itself


def extract(
    given: FlowInput,
    output: str | Path | None = None,
    *,
    schema: str | Schema = "gateway",
    progress: bool = False,
    notice: Callable[[str], object] | None = None,
) -> FlowStatistics:
    """Write the flows of a capture as a table, one row a flow in the order in which they end.

    Args:
        given: the captures or interfaces, and how flows are made of their packets. An interface is
            read until SIGINT, SIGTERM or SIGHUP; the open flows are then written too. The same ends
            a capture that comes by a pipe. With ``verdict_at_s`` there is a row at each age, too,
            with ``verdict`` in its column ``end``: the last row of a flow is all of it.
        output: a .csv, .csv.gz, .parquet or .arrow file; CSV on standard output if None or ``-``,
            and into a pipe or a device. When its reader goes away, reading ends without an error
            and the statistics say so (``lost``).
        schema: which features, see ``idskit.profiles.NAMES``.
        progress: show on stderr how far a large capture is read.
        notice: called with a sentence while frames of an interface are being dropped.

    Raises:
        CaptureError: the capture is missing, unreadable or not a capture, or the interface cannot
            be read; one that disappears leaves a whole table of the flows before that.
        SchemaError: there is no such schema.
        IdskitError: the input is a table, the output cannot be written, or its name ends in
            something else. A disk that fills up leaves nothing of a capture, and of an interface,
            as CSV, the flows before that.
        MissingExtra: Parquet or Arrow was asked for and pyarrow is not installed.
    """
    write = _writer(output)
    with open_input(given, schema) as flows:
        if notice is not None:
            flows.on_drops = DropNotices(notice)
        with finish_on_signals(flows.stop) if flows.is_live else _bar(flows, progress):
            lost = write(flows)
        return replace(flows.statistics, lost=lost)


def _bar(flows: FlowReader, wanted: bool) -> AbstractContextManager[object]:
    if not wanted or flows.progress[1] < _BAR_BYTES:
        return nullcontext()
    from idskit.report.progress import ProgressBar

    return ProgressBar("reading", flows.progress[1], done=lambda: flows.progress[0])


# Where the table goes.

_Write = Callable[[FlowReader], str]  # why rows were lost, or empty


def _writer(output: str | Path | None) -> _Write:
    if output is None or str(output) == STDOUT:
        return _write_stdout
    path = Path(output)
    if is_stream(path):
        return lambda flows: _write_device(flows, path)
    if not path.name.endswith(_ENDINGS):
        raise IdskitError(
            f"{path} ends in none of {', '.join(_ENDINGS)}: name the output like that"
        )
    if path.suffix in {".parquet", ".arrow"}:
        require("pyarrow", "train")
    return lambda flows: _write_file(flows, path)


def _write_stdout(flows: FlowReader) -> str:
    stdout = standard_output()
    stdout.flush()
    return write_stream(stdout.buffer, _csv(flows), "standard output")


def _write_device(flows: FlowReader, path: Path) -> str:
    try:
        with path.open("wb") as file:
            pieces = _csv(flows)
            pieces = _compressed(pieces) if path.suffix == ".gz" else pieces
            return write_stream(file, pieces, str(path))
    except OSError as error:
        raise IdskitError(f"{path} cannot be opened: {reason(error)}") from error


def _write_file(flows: FlowReader, path: Path) -> str:
    """Write the table; where it ends early but is whole, say so once it is in its place."""
    write = _WRITERS[path.suffix]
    broken: list[IdskitError] = []

    def fill(partial: Path) -> None:
        try:
            write(flows, partial)
        except IdskitError as error:
            if not flows.is_live:
                raise
            broken.append(error)

    write_whole(path, fill)
    if broken:
        raise broken[0]
    return ""


# CSV

_Pieces = Iterator[bytes | memoryview]  # some whole lines each


def _write_csv(flows: FlowReader, path: Path) -> None:
    _write_pieces(_csv(flows), flows, path)


def _write_gzip(flows: FlowReader, path: Path) -> None:
    _write_pieces(_compressed(_csv(flows)), flows, path)


def _write_pieces(pieces: _Pieces, flows: FlowReader, path: Path) -> None:
    whole = 0  # bytes
    try:
        with path.open("wb") as file:
            for piece in pieces:
                file.write(piece)
                file.flush()
                whole += len(piece)
    except OSError as error:
        if not flows.is_live:
            raise
        os.truncate(path, whole)
        raise IdskitError(
            f"writing the table ended early: {reason(error)}; it holds the flows before that"
        ) from error


def _compressed(pieces: _Pieces) -> Iterator[bytes]:
    """Yield the pieces as gzip, member by member: a disk that fills up leaves those before."""
    text = bytearray()
    try:
        for piece in pieces:
            text += piece
            if len(text) >= _GZIP_BYTES:
                yield gzip.compress(text, mtime=0)  # the same flows, the same bytes
                text.clear()
    except IdskitError:  # an interface that disappears: the flows before that stay
        yield gzip.compress(text, mtime=0)
        raise
    yield gzip.compress(text, mtime=0)


def _csv(flows: FlowReader) -> _Pieces:
    """Yield the table, some whole lines at a time."""
    schema = flows.schema
    rows = CsvRows(schema, fields_of(schema), tail_of(schema))
    yield rows.header
    if flows.is_live:
        rows.compile(_nothing(schema))  # a signal to end it should not wait for that
    for batch in flows.batches(_BATCH):
        yield from rows.lines(batch)


# Parquet and Arrow


def _write_parquet(flows: FlowReader, path: Path) -> None:
    parquet, tables = require("pyarrow.parquet", "train"), _arrow_tables(flows)
    first = next(tables)
    with parquet.ParquetWriter(path, first.schema) as writer:
        for table in tables:
            writer.write_table(table)


def _write_arrow(flows: FlowReader, path: Path) -> None:
    ipc, tables = require("pyarrow.ipc", "train"), _arrow_tables(flows)
    first = next(tables)
    with ipc.new_file(path, first.schema) as writer:
        for table in tables:
            writer.write_table(table)


_WRITERS = {
    ".csv": _write_csv,
    ".gz": _write_gzip,
    ".parquet": _write_parquet,
    ".arrow": _write_arrow,
}


def _arrow_tables(flows: FlowReader) -> Iterator[Any]:
    """Yield the table in parts; the first is empty and states the columns."""
    arrow, schema = require("pyarrow", "train"), flows.schema
    tail = [field for field in tail_of(schema) if field.kind != LABEL]
    head = fields_of(schema)
    yield _arrow_table(arrow, _nothing(schema), head, tail)
    for batch in flows.batches(_BATCH):
        yield _arrow_table(arrow, batch, head, tail)


def _nothing(schema: Schema) -> FlowBatch:
    return FlowBatch(
        schema=schema, flows=np.zeros(0, FLOW), features=np.zeros((0, len(schema)), np.float64)
    )


def _arrow_table(arrow: Any, batch: FlowBatch, head: tuple[Field, ...], tail: list[Field]) -> Any:
    """Return identity columns as int64 and text, features as float64, without a Label."""
    columns = {field.column: _arrow_field(arrow, batch, field) for field in head}
    for name, column in zip(batch.schema.names, batch.features.T, strict=True):
        columns[name] = arrow.array(np.ascontiguousarray(column))
    columns |= {field.column: _arrow_field(arrow, batch, field) for field in tail}
    return arrow.table(columns)


def _arrow_field(arrow: Any, batch: FlowBatch, field: Field) -> Any:
    if field.number:
        return arrow.array(batch.flows[field.number].astype(np.int64))
    text, starts = texts(batch.flows, field.kind)
    buffers = arrow.py_buffer(starts), arrow.py_buffer(text)
    return arrow.StringArray.from_buffers(len(batch), *buffers)
