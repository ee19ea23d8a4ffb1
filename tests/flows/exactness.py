"""How exact each schema is, as Markdown: ``python -m tests.flows.exactness [SHARED]``.

    capture ──> idskit extract ──┐
            └─> reference ───────┴─> cells compared, cells that differ (relative 1e-6)

References: the tables of the two Java CICFlowMeters (``cic-...``), those of the CICIoT2023 scripts
(``ciciot2023``), and where there are none plain Python over dpkt (``ciciot2023-39``, ``kdd99``).
"""

from __future__ import annotations

import csv
import gzip
import io
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tests.flows.capture_files import read
from tests.profiles import naive_kdd99
from tests.profiles.java_tables import RELATIVE, TOOLS, cases, compare
from tests.profiles.naive_ciciot2023 import windows

from idskit.extract.extract import extract
from idskit.flow_input import FlowInput
from idskit.profiles import open_flows, schema_named
from idskit.profiles.ciciot2023.ciciot2023_windows import PIECE_BYTES
from idskit.profiles.kdd99.kdd_services import UNLISTED, tcp_services
from idskit.schemas.kdd99_columns import FLAGS, PROTOCOL_TYPES, SERVICES

SHARED = Path(__file__).resolve().parents[3] / "shared"


@dataclass
class Tally:
    """Rows of the reference, cells compared, and what is not the same."""

    rows: int = 0
    cells: int = 0
    differing: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.rows += other.rows
        self.cells += other.cells
        self.differing += other.differing

    def __str__(self) -> str:
        return f"{self.rows:,} / {self.cells:,} / {len(self.differing):,}"


# One way of comparing for each schema: None where there is no reference.


def java(schema: str, capture: Path, shared: Path) -> Tally | None:
    found = cases(shared, schema).get(name_of(capture))
    if found is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        ours = Path(folder) / "ours.csv"
        extract(FlowInput(capture=capture), ours, schema=schema)
        result = compare(ours, found[1])
    width = len(schema_named(schema))
    differing = [f"missing flow {flow}" for flow in result.missing]
    differing += [f"extra flow {flow}" for flow in result.extra]
    differing += [f"{cell}" for cell in result.differing]
    return Tally(result.cells // width, result.cells, differing)


def scripts(schema: str, capture: Path, _shared: Path) -> Tally | None:
    tables = list(capture.parent.glob("ciciot2023-pcap2csv.csv*"))
    if capture.name != "capture.pcap" or not tables:
        return None
    content = tables[0].read_bytes()
    content = gzip.decompress(content) if tables[0].suffix == ".gz" else content
    rows = list(csv.DictReader(io.StringIO(content.decode())))
    names = schema_named(schema).names
    return tally(schema, capture, [[float(row[name]) for name in names] for row in rows])


def later_windows(schema: str, capture: Path, _shared: Path) -> Tally | None:
    frames, records, _ = read(capture)
    times = (records["time_ns"] // 1000).tolist()
    rows = windows(zip(times, frames, strict=True), 10, PIECE_BYTES, later=True)
    return tally(schema, capture, rows)


def conversations(schema: str, capture: Path, _shared: Path) -> Tally | None:
    names = [*SERVICES, *UNLISTED]
    naive_kdd99.SERVICES = {port: names[code] for port, code in enumerate(tcp_services().tolist())}
    frames, records, _ = read(capture)
    times, sizes = (records["time_ns"] // 1000).tolist(), records["wire"].tolist()
    seen = map(naive_kdd99.from_frame, times, frames, sizes)
    whole = naive_kdd99.reassembled(each for each in seen if each)
    rows = naive_kdd99.rows(whole, 255, inclusive=True)
    for row in rows:
        row[1], row[3] = PROTOCOL_TYPES.index(row[1]), FLAGS.index(row[3])
        row[2] = SERVICES.index(row[2]) if row[2] in SERVICES else -1
    return tally(schema, capture, rows)


COMPARED: dict[str, Callable[[str, Path, Path], Tally | None]] = {
    **dict.fromkeys(TOOLS, java),
    "ciciot2023": scripts,
    "ciciot2023-39": later_windows,
    "kdd99": conversations,
}


def tally(schema: str, capture: Path, expected: list[list[float]]) -> Tally:
    """Compare rows in their order."""
    names = schema_named(schema).names
    theirs = np.array(expected, np.float64).reshape(-1, len(names))
    with open_flows(capture, schema) as flows:
        ours = np.concatenate([np.zeros((0, len(names))), *(b.features for b in flows.batches())])
    if ours.shape != theirs.shape:
        return Tally(len(theirs), 0, [f"{len(ours)} rows where {len(theirs)} are expected"])
    same = np.isclose(ours, theirs, rtol=RELATIVE, atol=1e-9, equal_nan=True)
    found = [
        f"row {row} {names[column]}: {theirs[row, column]:.9g}, here {ours[row, column]:.9g}"
        for row, column in np.argwhere(~same)
    ]
    return Tally(len(theirs), theirs.size, found)


def name_of(capture: Path) -> str:
    return capture.parent.name if capture.name == "capture.pcap" else capture.stem


def captures(shared: Path) -> list[Path]:
    folder = shared / "data" / "pcap"
    return [*sorted(folder.glob("golden/*.pcap")), *sorted(folder.glob("flow-reference/*/*.pcap"))]


def table(shared: Path) -> list[str]:
    """Markdown lines: a row a capture, a column a schema, and what differs below."""
    heads = [f"`{schema}` ({len(schema_named(schema))})" for schema in COMPARED]
    lines = ["| capture | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    totals, differing = {schema: Tally() for schema in COMPARED}, []
    for capture in captures(shared):
        cells = []
        for schema, way in COMPARED.items():
            found = way(schema, capture, shared)
            cells.append(str(found or "-"))
            if found is not None:
                totals[schema].add(found)
                differing += [f"* {name_of(capture)}, `{schema}`: {d}" for d in found.differing]
        lines.append(f"| {name_of(capture)} | " + " | ".join(cells) + " |")
    lines.append("| **all** | " + " | ".join(f"**{total}**" for total in totals.values()) + " |")
    return [*lines, "", *(differing or ["No cell differs."])]


# The later version of CICIoT2023: what the publisher's rows say about its definitions.

Columns = dict[str, NDArray[np.float64]]


def published(shared: Path) -> Columns:
    """The two files whose numbers are printed in full, without the last short rows."""
    rows = []
    for name in ("SqlInjection", "BrowserHijacking"):
        with gzip.open(shared / f"data/ciciot2023/{name}.pcap.csv.gz", "rt") as file:
            header, *lines = csv.reader(file)
            rows += [line for line in lines if "" not in line and "inf" not in line]
    return dict(zip(header, np.array(rows, np.float64).T, strict=True))


def made_here(shared: Path) -> Columns:
    """The same columns of all reference captures, windows of at least two packets."""
    names = schema_named("ciciot2023-39").names
    parts = [np.zeros((0, len(names)))]
    for capture in captures(shared):
        with open_flows(capture, "ciciot2023-39") as flows:
            parts += [batch.features for batch in flows.batches()]
    rows = np.concatenate(parts)
    return dict(zip(names, rows[rows[:, names.index("Number")] > 1].T, strict=True))


def close(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.isclose(left, right, rtol=1e-6, atol=1e-6)


def is_whole(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.isclose(values, np.round(values), rtol=1e-9, atol=1e-3)


def is_most_frequent(c: Columns) -> NDArray[np.bool_]:
    """Where the five protocols with a column are all there is."""
    shares = np.stack([c[name] for name in ("ARP", "ICMP", "IGMP", "TCP", "UDP")])
    most = np.array([0, 1, 2, 6, 17])[np.argmax(np.round(shares, 6), axis=0)]
    return (shares.sum(axis=0) < 0.999) | (most == c["Protocol Type"])


def counts_flags(c: Columns) -> NDArray[np.bool_]:
    pairs = [(c[f"{n}_count"], c[f"{n}_flag_number"] * c["Number"]) for n in ("ack", "syn", "fin")]
    return np.all([close(count, share) for count, share in pairs], axis=0)


IDENTITIES: dict[str, Callable[[Columns], NDArray[np.bool_]]] = {
    "`Tot sum` = `AVG` x `Number`": lambda c: close(c["Tot sum"], c["AVG"] * c["Number"]),
    "`Tot size` = `AVG`": lambda c: close(c["Tot size"], c["AVG"]),
    "`Variance` = `Std`^2": lambda c: close(c["Variance"], c["Std"] ** 2),
    "`Variance` x n(n - 1) is whole: a sample's": lambda c: is_whole(
        c["Variance"] * c["Number"] * (c["Number"] - 1)
    ),
    "`ack_`, `syn_`, `fin_count` = share x `Number`": counts_flags,
    "`Header_Length` x `Number` is whole": lambda c: is_whole(c["Header_Length"] * c["Number"]),
    "`Time_To_Live` x `Number` is whole": lambda c: is_whole(c["Time_To_Live"] * c["Number"]),
    "`IPv` + `ARP` = 1, `LLC` = `IPv`": lambda c: (
        close(c["IPv"] + c["ARP"], np.ones_like(c["IPv"])) & close(c["LLC"], c["IPv"])
    ),
    "`Protocol Type` is the most frequent": is_most_frequent,
}


def identities(shared: Path) -> list[str]:
    """Markdown lines: how many rows break what all published rows fulfil."""
    theirs, ours = published(shared), made_here(shared)
    rows = [len(columns["Number"]) for columns in (theirs, ours)]
    lines = [f"| in `ciciot2023-39` | of {rows[0]:,} published rows | of {rows[1]:,} made here |"]
    lines.append("|---|---|---|")
    for name, holds in IDENTITIES.items():
        broken = [int(np.count_nonzero(~holds(columns))) for columns in (theirs, ours)]
        lines.append(f"| {name} | {broken[0]} break it | {broken[1]} |")
    return lines


def main() -> None:
    shared = Path(sys.argv[1]) if len(sys.argv) > 1 else SHARED
    print("\n".join([*table(shared), "", *identities(shared)]))


if __name__ == "__main__":
    main()
