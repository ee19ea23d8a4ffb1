"""Captures and interfaces to tables of flow features, CSV or Parquet.

The CSV columns of ``cic-...`` are those of CICFlowMeter, in its order and spelling, so that scripts
made for its files go on working. Numbers read back exactly.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from idskit.errors import CaptureError, IdskitError, require
from idskit.flows.live import finish_on_signals
from idskit.flows.reader import FlowBatch, FlowReader, FlowStatistics, open_flows
from idskit.flows.table import ENDS, FLOW
from idskit.output import write_whole
from idskit.schema import Feature, Schema

_BATCH = 8192
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LABEL = "NeedManualLabel"  # what CICFlowMeter writes into its last column

_Columns = dict[str, list[Any]]  # of one batch, in the order of the table


def extract(
    capture: str | Path | None = None,
    output: str | Path | None = None,
    *,
    interface: str | None = None,
    schema: str | Schema = "gateway",
    memory_mb: int = 256,
    idle_timeout_s: float | None = None,
) -> FlowStatistics:
    """Write the flows of a capture as a table, one row a flow in the order in which they end.

    Args:
        capture: a pcap or pcapng file; this or ``interface``.
        output: a .csv or .parquet file; CSV on standard output if None.
        interface: name of a network interface, read until SIGINT or SIGTERM; the open flows are
            then written too.
        schema: which features, see ``idskit.flows.profiles.NAMES``.
        memory_mb: budget of the flow table.
        idle_timeout_s: a flow without a packet for longer ends; only ``gateway`` has it.

    Raises:
        CaptureError: the capture is missing, unreadable or not a capture, or the interface cannot
            be read; one that disappears leaves a whole table of the flows before that.
        SchemaError: there is no such schema.
        IdskitError: neither or both of ``capture`` and ``interface`` were given, the output cannot
            be written, or its name ends in something else.
        MissingExtra: Parquet was asked for and pyarrow is not installed.
    """
    source = _source(capture, interface)
    live = interface is not None
    with open_flows(
        source, schema, memory_mb=memory_mb, idle_timeout_s=idle_timeout_s, live=live
    ) as flows:
        with finish_on_signals(flows.stop) if live else nullcontext():
            _write(flows, output)
        return flows.statistics


def _source(capture: str | Path | None, interface: str | None) -> str | Path:
    given = [source for source in (capture, interface) if source is not None]
    if len(given) != 1:
        raise IdskitError("extract reads a capture (-r) or an interface (-i): name one of them")
    return given[0]


def _write(flows: FlowReader, output: str | Path | None) -> None:
    """Write the table; where an interface disappears, say so after the table is there."""
    if output is None:
        _write_csv(flows, sys.stdout)
        return
    path, broken = Path(output), []
    write = _writer(path)

    def fill(partial: Path) -> None:
        try:
            write(flows, partial)
        except CaptureError as error:
            if not flows.is_live:
                raise
            broken.append(error)

    write_whole(path, fill)
    if broken:
        raise broken[0]


def _writer(path: Path) -> Callable[[FlowReader, Path], None]:
    if path.suffix == ".csv":
        return _write_csv_file
    if path.suffix == ".parquet":
        require("pyarrow", "train")
        return _write_parquet
    raise IdskitError(f"{path} is neither .csv nor .parquet: give the output one of these endings")


# CSV


def _write_csv_file(flows: FlowReader, path: Path) -> None:
    with path.open("w", encoding="ascii", newline="") as file:
        _write_csv(flows, file)


def _write_csv(flows: FlowReader, file: TextIO) -> None:
    identity = _identity_of(flows.schema)
    header = [*identity(_nothing(flows.schema)), *flows.schema.names, *_tail(flows.schema)]
    file.write(",".join(header) + "\n")
    for batch in flows.batches(_BATCH):
        file.write(_csv_rows(batch))
        file.flush()  # of an interface, somebody may be waiting for them


def _csv_rows(batch: FlowBatch) -> str:
    """Rows as text. The JSON encoder is the fastest shortest-digits printer at hand.

    No text here contains a quote or a comma, so what JSON adds can be taken away again; it spells
    NaN and Infinity as Java does.
    """
    columns = list(_identity_of(batch.schema)(batch).values())
    columns += map(_printable, batch.schema.features, batch.features.T)
    columns += [[label] * len(batch) for label in _tail(batch.schema).values()]
    text = json.dumps(list(zip(*columns, strict=True)), separators=(",", ":"))
    return text[2:-2].replace("],[", "\n").replace('"', "") + "\n"


def _printable(feature: Feature, column: NDArray[np.float64]) -> list[Any]:
    """Categories by name, whole columns as integers, others as they are."""
    if feature.categories:
        names = (*feature.categories, "unlisted")  # code -1
        return [names[code] for code in column.astype(np.int64).tolist()]
    if np.all(np.abs(column) < 2**53) and np.all(column == np.trunc(column)):
        return list(column.astype(np.int64).tolist())
    return list(column.tolist())


def _tail(schema: Schema) -> dict[str, str]:
    """What CICFlowMeter's tables have behind the features."""
    return {"Label": _LABEL} if schema.name.startswith("cic-") else {}


# Parquet


def _write_parquet(flows: FlowReader, path: Path) -> None:
    parquet, arrow = require("pyarrow.parquet", "train"), require("pyarrow", "train")
    first = _arrow_table(arrow, _nothing(flows.schema))
    with parquet.ParquetWriter(path, first.schema) as writer:
        for batch in flows.batches(_BATCH):
            writer.write_table(_arrow_table(arrow, batch).cast(first.schema))


def _arrow_table(arrow: Any, batch: FlowBatch) -> Any:
    """Identity columns as integers and text, features as float64, without a Label."""
    columns = {
        name: arrow.array(values, _arrow_type(arrow, name))
        for name, values in _identity_of(batch.schema)(batch).items()
    }
    for name, column in zip(batch.schema.names, batch.features.T, strict=True):
        columns[name] = arrow.array(np.ascontiguousarray(column))
    return arrow.table(columns)


def _arrow_type(arrow: Any, name: str) -> Any:
    return arrow.string() if name in _TEXT else arrow.int64()


_TEXT = ("src_ip", "dst_ip", "end", "Flow ID", "Src IP", "Dst IP", "Timestamp")


# Identity: who spoke with whom, in the manner of each schema.


def _identity_of(schema: Schema) -> Callable[[FlowBatch], _Columns]:
    return {"cic-fixed": _fixed_identity, "cic-original": _original_identity}.get(
        schema.name, _identity
    )


def _nothing(schema: Schema) -> FlowBatch:
    """A batch of no flows, for the names of its columns."""
    return FlowBatch(
        schema=schema, flows=np.zeros(0, FLOW), features=np.zeros((0, len(schema)), np.float64)
    )


def _identity(batch: FlowBatch) -> _Columns:
    flows = batch.flows
    return {
        "src_ip": batch.sources(),
        "src_port": flows["src_port"].tolist(),
        "dst_ip": batch.destinations(),
        "dst_port": flows["dst_port"].tolist(),
        "protocol": flows["protocol"].tolist(),
        "start_us": flows["start_us"].tolist(),
        "end_us": flows["end_us"].tolist(),
        "fwd_bytes": flows["fwd_bytes"].tolist(),
        "bwd_bytes": flows["bwd_bytes"].tolist(),
        "end": [ENDS[end] for end in flows["end"].tolist()],
    }


def _fixed_identity(batch: FlowBatch) -> _Columns:
    return _cic_identity(batch, instant)


def _original_identity(batch: FlowBatch) -> _Columns:
    return _cic_identity(batch, _clock)


def _cic_identity(batch: FlowBatch, timestamp: Callable[[int], str]) -> _Columns:
    flows = batch.flows
    columns = {
        "Src IP": batch.sources(),
        "Src Port": flows["src_port"].tolist(),
        "Dst IP": batch.destinations(),
        "Dst Port": flows["dst_port"].tolist(),
        "Protocol": flows["protocol"].tolist(),
        "Timestamp": [timestamp(start) for start in flows["start_us"].tolist()],
    }
    rows = zip(*list(columns.values())[:5], flows["reversed_id"].tolist(), strict=True)
    return {"Flow ID": [_flow_id(*row) for row in rows]} | columns


def _flow_id(src: str, src_port: int, dst: str, dst_port: int, protocol: int, turned: int) -> str:
    if turned:
        src, src_port, dst, dst_port = dst, dst_port, src, src_port
    return f"{src}-{dst}-{src_port}-{dst_port}-{protocol}"


def instant(time_us: int) -> str:
    """UTC as ``cic-fixed`` prints it: a fraction of 0, 3 or 6 digits, as short as it is exact."""
    time = _EPOCH + timedelta(microseconds=time_us)
    text = f"{time:%Y-%m-%d %H:%M:%S}"
    if time.microsecond == 0:
        return text
    fraction = f"{time.microsecond:06d}"
    return f"{text}.{fraction.removesuffix('000')}"


def _clock(time_us: int) -> str:
    """UTC as ``cic-original`` prints it in that zone: a twelve-hour clock, seconds cut."""
    return f"{_EPOCH + timedelta(microseconds=time_us):%d/%m/%Y %I:%M:%S %p}"
