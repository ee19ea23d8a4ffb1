"""What is usual: the median and the 99th percentile of every column of benign flows.

A site's own are best. Until some are learned, the table that idskit ships is used, apart by
protocol: half of all flows are TCP, so the median of a count of SYNs over all of them is usual for
nobody.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from idskit.errors import SchemaError
from idskit.schema import Schema

TABLE = "usual.csv"
ANY = "any"
PROTOCOLS = ("tcp", "udp", "icmp")  # where the column is_tcp is 1, and so on; ANY covers all
P50, P99 = 0.5, 0.99


@dataclass(frozen=True, kw_only=True, eq=False)
class Usual:
    """What is usual for a flow, and of what it was measured."""

    p50: NDArray[np.float32]  # (features,)
    p99: NDArray[np.float32]  # (features,)
    about: str  # "11,981 benign flows of 862 captures"


def shipped_usual(schema: Schema, row: NDArray[np.float32]) -> Usual:
    """Return what is usual for a flow of its protocol, by the table that idskit ships.

    Args:
        schema: of the row.
        row: (features,) of the flow that will be explained.

    Raises:
        SchemaError: a column that the table does not have.
    """
    return _shipped(schema, protocol_of(schema, row))


def protocol_of(schema: Schema, row: NDArray[np.float32]) -> str:
    """Return which protocol's usual values a row is compared with; ANY where none is known."""
    flags = (f"is_{protocol}" for protocol in PROTOCOLS)
    places = [schema.names.index(flag) if flag in schema.names else None for flag in flags]
    known = zip(PROTOCOLS, places, strict=True)
    found = (protocol for protocol, at in known if at is not None and row[at] > 0)
    return next(found, ANY)


@cache
def _shipped(schema: Schema, protocol: str) -> Usual:
    about, table = _table()
    absent = [name for name in schema.names if name not in table]
    if absent:
        raise SchemaError(
            f"what is usual of column {absent[0]!r} was asked for, but the table that idskit ships "
            f"is of schema gateway, and the model reads {schema.name}: pass what is usual here"
        )
    rows = [table[name] for name in schema.names]
    return Usual(
        p50=np.array([row[f"{protocol}_p50"] for row in rows], np.float32),
        p99=np.array([row[f"{protocol}_p99"] for row in rows], np.float32),
        about=about if protocol == ANY else f"{protocol.upper()} flows among {about}",
    )


@cache
def _table() -> tuple[str, dict[str, dict[str, str]]]:
    """Return what the shipped table is of, and its rows by the name of the column.

    The reader in ``idskit.tables`` is for tables of numbers that a user brings, and needs pyarrow,
    which a gateway does not have.
    """
    first, *lines = (files("idskit.explain") / TABLE).read_text().splitlines()
    return first.removeprefix("# "), {row["column"]: row for row in csv.DictReader(lines)}
