"""Write the true label of every flow next to a capture of the lab."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import numpy as np

from idskit.files.output import write_whole
from idskit.lab.activity import BENIGN
from idskit.profiles.flow_reader import FlowBatch, open_flows

LABEL_COLUMNS = (
    *("src_ip", "src_port", "dst_ip", "dst_port", "protocol", "start_us", "label", "category"),
)
_IGMP, _ICMPV6 = 2, 58
_DISCOVERY = (*range(130, 137), 143)  # types of ICMPv6 (RFC 4861, RFC 3810)


def label_flows(path: Path, category: str) -> tuple[int, int]:
    """Write the label of every flow next to the capture; return their number, and that of kernels.

    All that runs on the client is one activity of this category, and nothing else is on the link
    but what kernels discover neighbours and groups with: ICMPv6 of some types, and IGMP to groups.
    """
    with open_flows(path) as flows:
        labelled = [row for batch in flows.batches() for row in _rows(batch, category)]
    rows = [row for row, _ in labelled]

    def write(partial: Path) -> None:
        with partial.open("w", newline="") as file:
            csv.writer(file).writerows([LABEL_COLUMNS, *rows])

    write_whole(path.with_name(f"{path.stem}.labels.csv"), write)
    return len(rows), sum(of_kernel for _, of_kernel in labelled)


def _rows(batch: FlowBatch, category: str) -> Iterator[tuple[tuple[object, ...], bool]]:
    """Yield the row of every flow, and whether the flow is a kernel's own."""
    for source, destination, flow in zip(
        batch.sources(), batch.destinations(), batch.flows, strict=True
    ):
        of_kernel = _is_of_kernel(flow, destination)
        kind = BENIGN if of_kernel else category
        row = (
            source,
            flow["src_port"],
            destination,
            flow["dst_port"],
            flow["protocol"],
            flow["start_us"],
            BENIGN if kind == BENIGN else "attack",
            kind,
        )
        yield row, of_kernel


def _is_of_kernel(flow: np.void, destination: str) -> bool:
    """Return whether a flow is the discovery of neighbours or groups."""
    if flow["protocol"] == _ICMPV6:
        return int(flow["icmp_type"]) in _DISCOVERY
    return bool(flow["protocol"] == _IGMP) and ip_address(destination).is_multicast
