"""Write the true label of every flow next to a capture of the lab."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from idskit.files.output import write_whole
from idskit.lab.activity import BENIGN
from idskit.profiles.flow_reader import FlowBatch, open_flows

LABEL_COLUMNS = (
    *("src_ip", "src_port", "dst_ip", "dst_port", "protocol", "start_us", "label", "category"),
)
_IGMP, _ICMPV6 = 2, 58
_LOCAL = ("fe80:", "ff02:", "224.", "169.254.")


def label_flows(path: Path, category: str) -> int:
    """Write the label of every flow next to the capture; return the number of flows.

    All that runs on the client is one activity of this category, and nothing else is on the link
    but the kernels' own neighbour and group discovery: ICMPv6 and IGMP with link-local or multicast
    addresses.
    """
    with open_flows(path) as flows:
        rows = [row for batch in flows.batches() for row in _rows(batch, category)]

    def write(partial: Path) -> None:
        with partial.open("w", newline="") as file:
            csv.writer(file).writerows([LABEL_COLUMNS, *rows])

    write_whole(path.with_name(f"{path.stem}.labels.csv"), write)
    return len(rows)


def _rows(batch: FlowBatch, category: str) -> Iterator[tuple[object, ...]]:
    for source, destination, flow in zip(
        batch.sources(), batch.destinations(), batch.flows, strict=True
    ):
        protocol = int(flow["protocol"])
        of_kernel = protocol in (_IGMP, _ICMPV6) and _is_local(source, destination)
        kind = BENIGN if of_kernel else category
        yield (
            source,
            flow["src_port"],
            destination,
            flow["dst_port"],
            protocol,
            flow["start_us"],
            BENIGN if kind == BENIGN else "attack",
            kind,
        )


def _is_local(*addresses: str) -> bool:
    """Return whether one of the addresses is link-local or multicast."""
    return any(address.startswith(_LOCAL) for address in addresses)
